"""What a value is, apart from how it is stored: its digest, and its plain form on disk.

Digests are of content (tables sorted by row, arrays at full precision), never of containers,
times, paths or worker counts. The plain form is a zip of JSON and ``.npy`` members: reading it
executes no code.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from imrad.exceptions import InputError

__all__ = ["digest", "digest_file", "load", "save", "write_atomically"]

_STAMP = (1980, 1, 1, 0, 0, 0)


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's content, as 64 hexadecimal characters.

    Tables count as sets of rows: neither the order of rows nor that of columns matters. Mappings
    are unordered; sequences are ordered. Arrays count by shape, kind and values, NaN equal to NaN
    and minus zero equal to zero.

    Raises
    ------
    TypeError
        If the value holds something without a plain content.
    """
    sha = hashlib.sha256()
    for part in _parts(value):
        sha.update(len(part).to_bytes(8, "little"))
        sha.update(part)
    return sha.hexdigest()


def digest_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes."""
    with Path(path).open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _parts(value: Any) -> Iterator[bytes]:
    if isinstance(value, pd.DataFrame):
        yield from _table_parts(value)
    elif isinstance(value, pd.Series):
        yield from _table_parts(value.to_frame(name=str(value.name)))
    elif isinstance(value, np.ndarray):
        yield f"array{value.shape}".encode()
        yield _array_bytes(value)
    elif value is None or isinstance(value, str | bytes | bool | int | np.bool_ | np.integer):
        plain = value.item() if isinstance(value, np.generic) else value
        yield f"{type(plain).__name__}:{plain!r}".encode()
    elif isinstance(value, float | np.floating):
        yield b"float:" + _array_bytes(np.asarray([value], dtype=np.float64))
    elif isinstance(value, Mapping):
        yield b"mapping"
        for name in sorted(value, key=str):
            yield str(name).encode()
            yield from _parts(value[name])
    elif isinstance(value, set | frozenset):
        yield b"set"
        yield from sorted(digest(item).encode() for item in value)
    elif isinstance(value, Sequence | pd.Index):
        yield f"sequence{len(value)}".encode()
        for item in value:
            yield from _parts(item)
    else:
        message = f"cannot take a digest of {type(value).__name__}"
        raise TypeError(message)


def _array_bytes(array: np.ndarray[Any, Any]) -> bytes:
    if array.dtype.kind == "f":
        wide = np.array(array, dtype="<f8")
        wide[np.isnan(wide)] = np.nan
        return b"f" + (wide + 0.0).tobytes()
    if array.dtype.kind in "iub":
        return b"i" + array.astype("<i8").tobytes()
    return b"s" + "\x1f".join("\x00" if pd.isna(item) else str(item) for item in array.ravel()).encode()


def _table_parts(table: pd.DataFrame) -> Iterator[bytes]:
    names = [name for name in table.index.names if name is not None]
    flat = (
        table.reset_index(names, names=[f"index {n}" if n in table.columns else n for n in names]) if names else table
    )
    columns = sorted(flat.columns, key=str)
    yield f"table{len(flat)}".encode()
    rows = [hashlib.sha256() for _ in range(len(flat))]
    for name in columns:
        yield str(name).encode()
        column = flat[name]
        values = column.to_numpy()
        if values.dtype.kind in "iubf" or pd.api.types.is_numeric_dtype(column.dtype):
            wide = np.array(pd.to_numeric(column).to_numpy(dtype="<f8", na_value=np.nan), dtype="<f8")
            wide[np.isnan(wide)] = np.nan
            wide = wide + 0.0
            for row, item in zip(rows, wide, strict=True):
                row.update(b"n" + item.tobytes())
        else:
            for row, item in zip(rows, column.astype(object), strict=True):
                row.update(b"\x00" if pd.isna(item) else b"s" + str(item).encode())
    yield from sorted(row.digest() for row in rows)


@contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place when the block ends well."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def save(path: str | os.PathLike[str], value: Any) -> None:
    """Write nested mappings, lists, scalars, arrays and tables to one file, atomically.

    Tuples come back as lists, mapping keys as strings.
    """
    arrays: list[np.ndarray[Any, Any]] = []
    tree = _encode(value, arrays)
    with write_atomically(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("tree.json", _STAMP), json.dumps(tree))
        for number, array in enumerate(arrays):
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{number}.npy", _STAMP), buffer.getvalue())


def load(path: str | os.PathLike[str]) -> Any:
    """Read what :func:`save` wrote.

    Raises
    ------
    InputError
        If the file is damaged or is not such a file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            tree = json.loads(archive.read("tree.json"))

            def array(number: int) -> np.ndarray[Any, Any]:
                read: np.ndarray[Any, Any] = np.load(io.BytesIO(archive.read(f"{number}.npy")), allow_pickle=False)
                return read

            return _decode(tree, array)
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        message = f"{path} is damaged or was not written by imrad ({error}); delete it and run again"
        raise InputError(message) from error


def _encode(value: Any, arrays: list[np.ndarray[Any, Any]]) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, np.ndarray):
        if value.dtype.kind == "O":
            return {"objects": [_encode(item, arrays) for item in value.ravel()], "shape": list(value.shape)}
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, pd.DataFrame):
        columns = [_encode(_plain_column(value[name]), arrays) for name in value.columns]
        return {
            "table": columns,
            "columns": [_encode(name, arrays) for name in value.columns],
            "index": _encode(value.index.to_numpy(), arrays),
            "index_name": value.index.name,
        }
    if isinstance(value, Mapping):
        return {"mapping": {str(name): _encode(item, arrays) for name, item in value.items()}}
    if isinstance(value, Sequence | pd.Index):
        return {"list": [_encode(item, arrays) for item in value]}
    message = f"cannot store {type(value).__name__} in a plain file"
    raise TypeError(message)


def _plain_column(column: pd.Series[Any]) -> np.ndarray[Any, Any]:
    if pd.api.types.is_extension_array_dtype(column.dtype) and pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=float, na_value=np.nan)
    values = column.astype(object).to_numpy() if column.dtype.kind not in "iubf" else column.to_numpy()
    return (
        np.array([None if pd.isna(item) else item for item in values], dtype=object)
        if values.dtype == object
        else values
    )


def _decode(tree: Any, array: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "float" in tree:
        return float.fromhex(tree["float"])
    if "array" in tree:
        return array(tree["array"])
    if "objects" in tree:
        flat = np.empty(len(tree["objects"]), dtype=object)
        flat[:] = [_decode(item, array) for item in tree["objects"]]
        return flat.reshape(tree["shape"])
    if "table" in tree:
        names = [_decode(name, array) for name in tree["columns"]]
        columns = {number: _decode(column, array) for number, column in enumerate(tree["table"])}
        table = pd.DataFrame(columns, index=pd.Index(_decode(tree["index"], array), name=tree["index_name"]))
        table.columns = pd.Index(names)
        return table
    if "mapping" in tree:
        return {name: _decode(item, array) for name, item in tree["mapping"].items()}
    return [_decode(item, array) for item in tree["list"]]
