"""Running many independent tasks: here, in worker processes, or on a Dask scheduler.

The only module that knows joblib and Dask. Results come back in the order of the items and do not
depend on where they were made; numeric libraries run on one thread everywhere, this process
included, because their last bits change with the thread count.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

from imrad import content
from imrad.exceptions import InputError, MissingExtraError

__all__ = ["Progress", "Store", "map_tasks", "single_thread"]

T = TypeVar("T")
R = TypeVar("R")

Progress = Callable[[str, int, int], None]
"""Called with a label, the number of tasks done and their total."""


class Store:
    """A folder of finished results, named by the digest of their keys, for resuming.

    Parameters
    ----------
    folder : path-like
        Made when first written to.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def path(self, key: str) -> Path:
        """Return the file that holds (or will hold) the result of `key`."""
        return self.folder / f"{content.digest(key)[:32]}.zip"

    def get(self, key: str) -> tuple[bool, Any]:
        """Return whether a readable result is there, and the result."""
        path = self.path(key)
        if not path.exists():
            return False, None
        try:
            return True, content.load(path)
        except InputError:
            return False, None

    def put(self, key: str, value: Any) -> None:
        """Write a result, atomically. It must be made of plain values, arrays and tables."""
        content.save(self.path(key), value)


@contextmanager
def single_thread() -> Iterator[None]:
    """Hold BLAS and OpenMP to one thread within the block."""
    with _libraries(len(sys.modules)).limit(limits=1):
        yield


@lru_cache(maxsize=1)
def _libraries(n_modules: int) -> Any:
    """Find the numeric libraries in this process; new ones come with new modules only."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _call(fn: Callable[[T], R], item: T) -> R:
    with single_thread():
        return fn(item)


def map_tasks(
    fn: Callable[[T], R],
    items: Sequence[T],
    *,
    key: Callable[[T], str],
    workers: int = 1,
    cluster: str | None = None,
    store: Store | None = None,
    progress: Progress | None = None,
    label: str = "",
) -> list[R]:
    """Apply `fn` to every item and return the results in the items' order.

    Parameters
    ----------
    fn : callable
        Importable (a function of a module, or a ``functools.partial`` of one), so that processes
        can run it. A task that may fail should return its failure; an exception ends the map.
    items : sequence
        The tasks.
    key : callable
        Names an item uniquely, inputs and settings included: what the store resumes by.
    workers : int
        Processes; 1 runs in this one.
    cluster : str, optional
        Address of an existing Dask scheduler (extra ``dask``); `workers` is then ignored.
    store : Store, optional
        Finished results are read from it and each new one is written to it as soon as it is made.
    progress : callable, optional
        Called in this process after every finished task.
    label : str
        What the tasks are, for the progress callback.

    Raises
    ------
    MissingExtraError
        If `cluster` is given and Dask is not installed.
    """
    keys = [key(item) for item in items]
    if len(set(keys)) != len(keys):
        message = "two tasks have the same key; keys must name each task uniquely"
        raise ValueError(message)
    results: dict[int, R] = {}
    if store is not None:
        for number, name in enumerate(keys):
            found, value = store.get(name)
            if found:
                results[number] = value
    todo = [number for number in range(len(items)) if number not in results]
    done = len(results)
    if progress is not None and done:
        progress(label, done, len(items))
    for position, value in _finished(partial(_call, fn), [items[number] for number in todo], workers, cluster):
        number = todo[position]
        if store is not None:
            store.put(keys[number], value)
        results[number] = value
        done += 1
        if progress is not None:
            progress(label, done, len(items))
    return [results[number] for number in range(len(items))]


def _finished(fn: Callable[[T], R], items: Sequence[T], workers: int, cluster: str | None) -> Iterator[tuple[int, R]]:
    if not items:
        return
    if cluster is not None:
        yield from _on_dask(fn, items, cluster)
    elif workers <= 1 or len(items) == 1:
        for number, item in enumerate(items):
            yield number, fn(item)
    else:
        from joblib import Parallel, delayed

        parallel = Parallel(n_jobs=workers, backend="loky", return_as="generator_unordered", batch_size=1)
        with warnings.catch_warnings():
            # A worker that has grown is replaced by a new one, and no task is lost by it.
            warnings.filterwarnings("ignore", message="A worker stopped while some jobs", category=UserWarning)
            yield from parallel(delayed(_numbered)(fn, number, item) for number, item in enumerate(items))


def _numbered(fn: Callable[[T], R], number: int, item: T) -> tuple[int, R]:
    return number, fn(item)


def _on_dask(fn: Callable[[T], R], items: Sequence[T], address: str) -> Iterator[tuple[int, R]]:
    try:
        from distributed import Client, as_completed
    except ImportError as error:
        message = "running on a Dask scheduler needs the extra 'dask': pip install 'imrad[dask]'"
        raise MissingExtraError(message) from error
    if ":" not in address:
        message = f"a Dask scheduler's address looks like tcp://host:8786, not {address!r}"
        raise InputError(message)
    try:
        connected = Client(address, set_as_default=False)
    except (OSError, ValueError) as error:
        message = f"no Dask scheduler answers at {address}; start one (dask scheduler) or leave --cluster out"
        raise InputError(message) from error
    with connected as client:
        futures = client.map(partial(_numbered, fn), range(len(items)), items, pure=False)
        for _, result in as_completed(futures, loop=client.loop, with_results=True):
            yield result
