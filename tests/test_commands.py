"""The two commands: `make help` is complete, and each failure is one line that says what to do."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("bash") is None,
    reason="make and bash are not on this machine",
)


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def program(folder: Path, name: str, script: str) -> Path:
    """Write an executable that stands in for a real program."""
    file = folder / name
    file.write_text(f"#!/usr/bin/env bash\n{script}\n")
    file.chmod(0o755)
    return file


def only_line(result: subprocess.CompletedProcess[str]) -> str:
    """Return the single line of an error; anything more would hide it."""
    assert result.returncode != 0
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def test_help_lists_every_target_in_one_line() -> None:
    """Oracle: the targets that the Makefile declares phony."""
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE.replace("\\\n", ""), re.M)
    assert phony is not None
    lines = run("make", "--no-print-directory", "help").stdout.splitlines()
    assert sorted(line.split()[1] for line in lines) == sorted(phony[1].split())
    assert all(len(line) < 100 for line in lines)


@pytest.mark.parametrize(
    "file", sorted((ROOT / "data" / "results").glob("*.json")), ids=lambda file: file.stem
)
def test_each_recorded_result_has_a_target_that_runs_its_command(file: Path) -> None:
    """Oracle: the command in the record's provenance, and what `make` would run."""
    command = json.loads(file.read_text(encoding="utf-8"))["provenance"]["command"]
    name = f"result-{file.stem}"
    assert command in run("make", "--dry-run", "--assume-old=.venv/.installed", name).stdout
    together = re.search(r"^results: (.*?) *##", MAKEFILE, re.M)
    assert together is not None
    assert name in together[1].split()


def test_readme_and_continuous_integration_call_targets_that_exist() -> None:
    """Oracle: the Makefile's own list of targets."""
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    for name in ("README.md", "CONTRIBUTING.md", "intro.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M)) <= targets, name
    called = re.findall(r"^stage ([a-z-]+)$", (ROOT / ".ci" / "run").read_text(), re.M)
    assert {"test", "lint", "book", "test-site"} <= set(called) <= targets
    assert called[-1] == "test", "the pytest summary comes last"


@pytest.fixture
def environment(tmp_path: Path):
    """Return a call of environment.sh for an environment that is not there yet."""

    def call(**variables: str) -> subprocess.CompletedProcess[str]:
        fresh = {"VENV": str(tmp_path / "venv"), "BIN": str(tmp_path / "venv" / "bin")}
        return run("bash", "book_tools/environment.sh", **(fresh | variables))

    return call


def test_a_missing_python_is_named(environment) -> None:
    """Oracle: a path that does not exist."""
    line = only_line(environment(PYTHON="/nowhere/python3.11"))
    assert "install Python 3.11, or name it: make PYTHON=" in line


def test_another_python_is_named_with_its_version(environment, tmp_path: Path) -> None:
    """Oracle: a stand-in that says 3.9."""
    old = program(tmp_path, "python3", "echo 3.9")
    assert f"Python 3.11 is needed, {old} is 3.9" in only_line(environment(PYTHON=str(old)))


def test_a_python_without_venv_is_named(environment, tmp_path: Path) -> None:
    """Oracle: a stand-in for Debian's python3, which lacks ensurepip."""
    bare = program(tmp_path, "python3", 'case "$2" in *venv*) exit 1;; *) echo 3.11;; esac')
    assert "install python3.11-venv" in only_line(environment(PYTHON=str(bare)))


def test_a_full_disk_is_said_before_anything_is_installed(environment, tmp_path: Path) -> None:
    """Oracle: a stand-in for df that reports 300 MB."""
    program(tmp_path, "df", "echo header; echo disk 100000 99700 300 99% /")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    line = only_line(environment(PYTHON=sys.executable, PATH=path))
    assert "only 300 MB are free" in line
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    ("pip_says", "expected"),
    [
        ("ERROR: [Errno 28] No space left on device", "the disk is full"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES\n    numpy==2.4.6", "is not the one that"),
        ("ERROR: Could not find a version that satisfies torch", "could not be fetched"),
        ("ERROR: something new", "the packages could not be installed: ERROR: something new"),
    ],
)
def test_a_failed_installation_is_explained(
    environment, tmp_path: Path, pip_says: str, expected: str
) -> None:
    """Oracle: stand-ins for Python and its pip, failing with pip's own words."""
    inner = tmp_path / "venv" / "bin"
    inner.mkdir(parents=True)
    program(inner, "python", f"echo '{pip_says}' >&2; exit 1")
    python = program(tmp_path, "python3", 'case "$1" in -c|-V) echo 3.11;; *) exit 0;; esac')
    result = environment(PYTHON=str(python))
    assert expected in only_line(result)
    assert not (tmp_path / "venv" / ".installed").exists()
