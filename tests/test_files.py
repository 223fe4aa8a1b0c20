"""reference_impl.files: whole files or none, and errors that say how to repair."""

import signal
import subprocess
import sys

import pytest

from reference_impl.files import ROOT, file_error, read_bytes, sha256, write_atomically

KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from reference_impl.files import write_atomically

def write_half(part):
    part.write_bytes(b"half of the new cont")
    os.kill(os.getpid(), signal.SIGKILL)

write_atomically(Path(sys.argv[1]), write_half)
"""


def test_sha256_is_that_of_the_bytes(tmp_path):
    """Oracle: the digest of "abc" in FIPS 180-2, appendix B.1."""
    (tmp_path / "abc").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256(tmp_path / "abc") == expected


def test_a_written_file_replaces_the_old_one_and_leaves_nothing_else(tmp_path):
    """Oracle: the listing of the folder; a reader keeps the old file, as after any rename."""
    target = tmp_path / "new folder" / "file"
    write_atomically(target, lambda part: part.write_bytes(b"old"))
    with target.open("rb") as reader:
        write_atomically(target, lambda part: part.write_bytes(b"new"))
        assert reader.read() == b"old"
    assert target.read_bytes() == b"new"
    assert list(target.parent.iterdir()) == [target]


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path):
    """Oracle: the listing of the folder; SIGKILL, which no handler can soften."""
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def full_disk(part):
        part.write_bytes(b"ne")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, full_disk)
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]
    command = [sys.executable, "-c", KILLED_WHILE_WRITING, str(target)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"


def test_a_missing_or_bad_file_is_named_with_its_repair(tmp_path):
    """Oracle: the words of the message."""
    with pytest.raises(FileNotFoundError, match=r"absent: no such file; to repair: copy or down"):
        read_bytes(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"git checkout -- data/FashionMNIST$"):
        read_bytes(ROOT / "data" / "FashionMNIST" / "absent")
    own = str(file_error(ROOT / "data" / "mine" / "images", "(32, 32) pixels"))
    assert own.endswith("must hold is in chapters/adapting.md, “What is accepted”")
    assert "git" not in own
    bad = str(file_error(tmp_path / "bad", "three\nelephants"))
    assert bad.startswith(f"{tmp_path / 'bad'}: found three elephants; to repair: ")
