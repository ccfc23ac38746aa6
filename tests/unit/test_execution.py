import os
from functools import partial

import numpy as np
import pytest

from imrad import content
from imrad.execution import Store, map_tasks


def square(scale, number):
    return {"value": scale * number**2, "sum": float(np.dot(np.full(50, 0.1), np.full(50, float(number))))}


def mark(folder, number):
    with (folder / f"{number}").open("a") as handle:
        handle.write("x")
    if number == 3 and not (folder / "go").exists():
        raise KeyboardInterrupt
    return number


def test_order_and_bytes_do_not_depend_on_the_workers():
    items = list(range(12))
    here = map_tasks(partial(square, 3), items, key=str)
    there = map_tasks(partial(square, 3), items, key=str, workers=2)
    assert content.digest(here) == content.digest(there)
    assert [item["value"] for item in here] == [3 * n**2 for n in items]


def test_a_stopped_map_resumes_where_it_was(tmp_path):
    store = Store(tmp_path / "store")
    with pytest.raises(KeyboardInterrupt):
        map_tasks(partial(mark, tmp_path), range(6), key=str, store=store)
    (tmp_path / "go").touch()
    assert map_tasks(partial(mark, tmp_path), range(6), key=str, store=store) == [0, 1, 2, 3, 4, 5]
    assert [(tmp_path / str(n)).read_text() for n in range(6)] == ["x", "x", "x", "xx", "x", "x"]


def test_a_truncated_result_is_made_again(tmp_path):
    store = Store(tmp_path)
    map_tasks(partial(square, 1), [1, 2], key=str, store=store)
    path = store.path("2")
    path.write_bytes(path.read_bytes()[:20])
    assert map_tasks(partial(square, 1), [1, 2], key=str, store=store)[1]["value"] == 4


def test_progress_counts_to_the_end():
    seen = []
    map_tasks(partial(square, 1), range(5), key=str, progress=lambda *call: seen.append(call), label="cases")
    assert seen == [("cases", n, 5) for n in range(1, 6)]


def test_two_tasks_of_one_key_are_refused():
    with pytest.raises(ValueError, match="same key"):
        map_tasks(partial(square, 1), [1, 1], key=str)


def threads(_):
    from threadpoolctl import threadpool_info

    return [pool["num_threads"] for pool in threadpool_info()]


def test_numeric_libraries_run_on_one_thread_everywhere():
    np.dot(np.eye(3), np.eye(3))
    for workers in (1, 2):
        for counts in map_tasks(threads, [0, 1], key=str, workers=workers):
            assert set(counts) <= {1}, os.environ
