import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imrad import content
from imrad.exceptions import InputError

TABLE = pd.DataFrame({"patient": ["a", "b", "c"], "x": [0.1, np.nan, -0.0], "n": [1, 2, 3], "s": ["u", None, "w"]})

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=True) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(plain)
def test_plain_values_return_as_they_were(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("plain") / "value.zip"
    content.save(path, value)
    assert content.digest(content.load(path)) == content.digest(value)


def test_tables_and_arrays_return_to_the_bit(tmp_path):
    value = {"table": TABLE, "array": np.random.default_rng(0).normal(size=(3, 4)), "words": np.array(["a", None])}
    content.save(tmp_path / "v.zip", value)
    back = content.load(tmp_path / "v.zip")
    pd.testing.assert_frame_equal(back["table"], TABLE)
    np.testing.assert_array_equal(back["array"], value["array"])
    assert list(back["words"]) == ["a", None]


def test_digest_is_of_content_not_of_order():
    assert content.digest(TABLE) == content.digest(TABLE.iloc[::-1][["s", "n", "x", "patient"]])
    assert content.digest({"a": 1, "b": 2}) == content.digest({"b": 2, "a": 1})
    assert content.digest(np.array([0.0, np.nan])) == content.digest(np.array([-0.0, np.float64("nan")]))


@pytest.mark.parametrize("change", [("x", 0, np.nextafter(0.1, 1)), ("patient", 0, "A"), ("n", 2, 4), ("s", 1, "")])
def test_digest_sees_the_smallest_change(change):
    column, row, value = change
    other = TABLE.copy()
    other.loc[row, column] = value
    assert content.digest(other) != content.digest(TABLE)


def test_lists_are_ordered_and_types_differ():
    assert content.digest([1, 2]) != content.digest([2, 1])
    assert content.digest("1") != content.digest(1)
    assert content.digest([["a"], "b"]) != content.digest([["a", "b"]])


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "v.zip"
    content.save(path, {"a": np.arange(9)})
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="damaged"):
        content.load(path)


def test_loading_executes_no_code(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tree.json", '{"array": 0}')
        with archive.open("0.npy", "w") as handle:
            np.lib.format.write_array(handle, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(InputError):
        content.load(path)


def test_a_failed_write_leaves_nothing(tmp_path):
    def write() -> None:
        with content.write_atomically(tmp_path / "out.csv") as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert list(tmp_path.iterdir()) == []
