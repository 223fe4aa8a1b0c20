"""reference_impl.idx: what is written is read, and nothing that is damaged."""

import gzip
import re
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from idx_files import idx_bytes, write_idx

from reference_impl.idx import IMAGES_MAGIC, LABELS_MAGIC, read_idx

ARRAY = np.arange(2 * 3 * 4).reshape(2, 3, 4).astype(np.uint8)


def packed(content: bytes) -> bytes:
    """Return the gzip file, the same whenever it is made."""
    return gzip.compress(content, mtime=0)


PACKED = packed(idx_bytes(ARRAY))


def read_packed(content: bytes, magic: int = IMAGES_MAGIC) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some-file.gz"
        path.write_bytes(content)
        return read_idx(path, magic)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, max_side=9)))
def test_every_array_that_is_written_is_read(array):
    """Oracle: a writer made from the format's description."""
    found = read_packed(packed(idx_bytes(array)), magic=0x0800 + array.ndim)
    np.testing.assert_array_equal(found, array)


@given(st.integers(0, len(PACKED) - 1))
def test_every_truncated_file_is_refused(length):
    """Oracle: every strict beginning of a good file."""
    with pytest.raises(ValueError, match=r"some-file\.gz: found .*; to repair: "):
        read_packed(PACKED[:length])


@given(st.integers(10, len(PACKED) - 1), st.integers(1, 255))
def test_a_damaged_byte_never_changes_an_entry(position, change):
    """Oracle: the CRC-32 of gzip finds every burst of up to 32 bits; padding bits say nothing."""
    damaged = bytearray(PACKED)
    damaged[position] ^= change
    try:
        found = read_packed(bytes(damaged))
    except ValueError as error:
        assert re.search(r"some-file\.gz: found .*; to repair: ", str(error))  # noqa: PT017
    else:
        np.testing.assert_array_equal(found, ARRAY)


FOREIGN = {
    "an empty file": (b"", "cut off after 0 bytes"),
    "a web page": (b"<html>404</html>", "no intact gzip data"),
    "not gzipped": (idx_bytes(ARRAY), "no intact gzip data"),
    "more behind the end": (PACKED + b"more", "4 bytes after the end"),
    "gzipped nothing": (packed(b""), "magic number 0, expected 2051"),
    "gzipped text": (packed(b"hello world"), "magic number 1751477356, expected 2051"),
    "labels for images": (packed(idx_bytes(ARRAY[0, 0])), "magic number 2049, expected 2051"),
    "signed bytes": (packed(b"\0\0\x09" + idx_bytes(ARRAY)[3:]), "magic number 2307, expected"),
    "half a header": (packed(idx_bytes(ARRAY)[:12]), "magic number 2051, expected 2051 and 3"),
    "one entry less": (packed(idx_bytes(ARRAY)[:-1]), r"23 entries where .* says \(2, 3, 4\)"),
    "one entry more": (packed(idx_bytes(ARRAY) + b"x"), r"25 entries where .* says \(2, 3, 4\)"),
    "no entry": (packed(idx_bytes(ARRAY[:0])), r"0 entries where .* says \(0, 3, 4\)"),
}


@pytest.mark.parametrize(("content", "found"), FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_file_is_refused_and_its_content_named(content, found):
    """Oracle: hand-made files, each wrong in one way."""
    with pytest.raises(ValueError, match=rf"some-file\.gz: found .*{found}"):
        read_packed(content)


def test_a_missing_file_or_a_folder_is_refused(tmp_path):
    """Oracle: the words of the message."""
    with pytest.raises(FileNotFoundError, match=r"absent\.gz: no such file; to repair"):
        read_idx(tmp_path / "absent.gz", LABELS_MAGIC)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_idx(tmp_path, LABELS_MAGIC)


@pytest.mark.parametrize(("magic", "error"), [(3, ValueError), ("2051", TypeError)])
def test_an_impossible_magic_number_is_refused(tmp_path, magic, error):
    """Oracle: the format, whose magic number for unsigned bytes is 0x0800 + number of axes."""
    write_idx(tmp_path / "file.gz", ARRAY)
    with pytest.raises(error, match="magic"):
        read_idx(tmp_path / "file.gz", magic)
