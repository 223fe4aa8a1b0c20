"""The two commands: `make help` is complete, and each failure is one line that says what to do."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from book_tools import kept_torch
from experiments.__main__ import EXPERIMENTS

ROOT = Path(__file__).parents[1]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(
    shutil.which("make") is None or shutil.which("bash") is None,
    reason="make and bash are not on this machine",
)


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if "MAKE" not in name}
    env = inherited | variables  # as if `make test` did not call it
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60
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


def test_help_lists_every_target_in_one_line_and_six_apart():
    """Oracle: the targets that the Makefile declares phony."""
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE.replace("\\\n", ""), re.M)
    assert phony is not None
    lines = run("make", "--no-print-directory", "help").stdout.splitlines()
    told = {line.split()[1] for line in lines if line} - {"result-%"}
    assert told == set(phony[1].split())
    assert lines.index("") == 6
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) <= 30


def test_each_recorded_result_can_be_made_again():
    """Oracle: what `make` would run, for one record and for all of them."""
    files = (ROOT / "data" / "results").glob("*.json")
    names = sorted({file.stem for file in files} - {"peers"})  # made in other environments
    assert set(names) == set(EXPERIMENTS)
    for target, called in {"result-qat": ["qat"], "results": names}.items():
        said = run("make", "--dry-run", "--assume-old=.venv/.installed", target).stdout
        words = said.strip().rsplit("python -m experiments ", 1)[1].split()
        assert (sorted(words[:-1]), words[-1]) == (called, "--anew")


def test_readme_and_continuous_integration_call_targets_that_exist():
    """Oracle: the Makefile's own list of targets."""
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    for name in ("README.md", "CONTRIBUTING.md", "intro.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.M)) <= targets, name
    called = re.findall(r"^stage ([a-z-]+)$", (ROOT / ".ci" / "run").read_text(), re.M)
    assert {"test", "lint", "site", "test-site"} <= set(called) <= targets
    assert called[-1] == "test", "the pytest summary comes last"


@pytest.fixture
def environment(tmp_path):
    """Return a call of environment.sh for an environment that is not there yet."""

    def call(**variables: str) -> subprocess.CompletedProcess[str]:
        fresh = {"VENV": str(tmp_path / "venv"), "BIN": str(tmp_path / "venv" / "bin")}
        return run("bash", "book_tools/environment.sh", **(fresh | variables))

    return call


PROBLEMS = {
    # what the stand-in for Python prints or does, and what the line says of it
    "exit 1": "{python} does not run: name another: make PYTHON=",
    "echo 3.9": "Python 3.11 to 3.14 is needed, {python} is 3.9",
    "echo 3.15": "Python 3.11 to 3.14 is needed, {python} is 3.15",
    "echo 2.12": "Python 3.11 to 3.14 is needed, {python} is 2.12",
    'case "$2" in *venv*) exit 1;; *) echo 3.12;; esac': "install python3.12-venv",
}


@pytest.mark.parametrize("script", PROBLEMS)
def test_a_python_that_cannot_be_taken_is_named(environment, tmp_path, script):
    """Oracle: stand-ins; Debian's python3 has no ensurepip; pyproject.toml's range."""
    python = program(tmp_path, "python3", script)
    assert PROBLEMS[script].format(python=python) in only_line(environment(PYTHON=str(python)))


def test_the_first_python_that_fits_is_taken(environment, tmp_path):
    """Oracle: stand-ins of pyenv's shims, which do not run, and of Pythons outside the range."""
    for name in ("3.11", "3.12", "3.13", "3.14", "3", ""):
        program(tmp_path, f"python{name}", "exit 127")
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    line = only_line(environment(PYTHON="", PATH=path))
    assert line.startswith("make: Python 3.11 to 3.14 is needed, and none is found")
    fits = 'case "$2" in *venv*) exit 1;; *) echo 3.13;; esac'
    program(tmp_path, "python3.13", fits)
    assert "install python3.13-venv" in only_line(environment(PYTHON="", PATH=path))


def test_torch_is_kept_only_if_it_is_there_and_in_the_range(environment, tmp_path):
    """Oracle: stand-ins for the packages; pyproject.toml's range."""
    for name, version in (("torch", "2.8.0"), ("torchvision", "0.24.1+cpu")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"__version__ = '{version}'\n")
    given = {"PYTHON": sys.executable, "TORCH": "keep", "PYTHONPATH": str(tmp_path)}
    start = f"make: TORCH=keep takes the torch and torchvision of {sys.executable}: "
    assert only_line(environment(**given)) == f"{start}torch 2.8.0 is not >=2.9,<3"
    (tmp_path / "torch" / "__init__.py").write_text("import nowhere\n")
    assert only_line(environment(**given)) == f"{start}No module named 'nowhere'"
    assert "TORCH is keep or nothing, not cpu" in only_line(environment(**given | {"TORCH": "cpu"}))


def test_an_interrupted_environment_with_a_kept_torch_is_not_filled_with_another(
    environment, tmp_path
):
    """Oracle: what environment.sh leaves when it is interrupted, and the Python that it names."""
    python = program(tmp_path, "python3", "echo 3.9")
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "torch-wanted").write_text(f"{python}\n")
    assert "make TORCH=keep was interrupted: call it again" in only_line(environment())
    assert f"{python} is 3.9" in only_line(environment(TORCH="keep"))


def test_torch_and_the_libraries_beside_it_are_linked(tmp_path, monkeypatch):
    """Oracle: two distributions in a folder of packages, of which one is to be kept."""
    given, site = tmp_path / "given", tmp_path / "site"
    site.mkdir()
    for name in ("nvidia-x", "numpy"):
        info = given / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
        module = name.partition("-")[0]
        (given / module).mkdir()
        (given / module / "a.py").touch()
        (info / "RECORD").write_text(
            f"{module}/a.py,,\n{info.name}/METADATA,,\n../../bin/{name},,\n"
        )
    monkeypatch.setattr(sys, "path", [str(given)])
    with pytest.raises(ValueError, match="torch does not list its files"):
        kept_torch.link(site)
    assert sorted(path.name for path in site.iterdir()) == ["nvidia", "nvidia-x-1.0.dist-info"]
    assert (site / "nvidia").resolve() == given / "nvidia"
    for name in ("torch", "torchvision"):
        (site / name).mkdir()
    kept_torch.link(site)


def test_a_full_disk_is_said_before_anything_is_installed(environment, tmp_path):
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
def test_a_failed_installation_is_explained(environment, tmp_path, pip_says, expected):
    """Oracle: stand-ins for Python and its pip, failing with pip's own words."""
    inner = tmp_path / "venv" / "bin"
    inner.mkdir(parents=True)
    program(inner, "python", f"[ $1 = -c ] && echo 3.12 || {{ echo '{pip_says}' >&2; exit 1; }}")
    python = program(tmp_path, "python3", 'case "$1" in -c) echo 3.12;; *) exit 0;; esac')
    result = environment(PYTHON=str(python))
    assert expected in only_line(result)
    assert not (tmp_path / "venv" / ".installed").exists()
