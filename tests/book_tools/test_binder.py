"""What Binder runs: the commands in their order, and that they name what exists."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_binder_takes_torch_for_cpus_before_the_project(tmp_path):
    """Oracle: the calls of `pip` and `python`, which two scripts write down instead."""
    for name in ("pip", "python"):
        recorder = tmp_path / name
        recorder.write_text(f'#!/bin/sh\necho {name} "$@" >> "{tmp_path}/calls"\n')
        recorder.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([ROOT / "binder" / "postBuild"], env=os.environ | {"PATH": path}, check=True)
    torch, project, desk = (tmp_path / "calls").read_text().splitlines()
    assert "torch torchvision --index-url https://download.pytorch.org/whl/cpu" in torch
    extras = re.findall(r"\w+", project.partition(".[")[2])
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(extras) == {"book", "deploy", "oracles"} <= set(pyproject["optional-dependencies"])
    assert desk == "python -m book_tools.editions.lab --make-only"


def test_binder_has_a_python_that_the_project_runs_on():
    """Oracle: the range in pyproject.toml."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lowest, beyond = map(int, re.findall(r"3\.(\d+)", pyproject["requires-python"]))
    minor = int((ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-3."))
    assert lowest <= minor < beyond
