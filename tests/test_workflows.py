"""Continuous integration: its workflows, executed with commands that only write their names."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
#: What each one does, in order.
COMMANDS = {
    "publish": [
        *("make env", "make site"),
        "sudo apt-get install -y --no-install-recommends fonts-wqy-microhei",
        *("make pdf", "cp _build/pdf/model-compression.pdf _build/html", "make test-site"),
    ],
    "test": ["make env", "make lint", "make site", "make test-site", "make test"],
}
_RECORDER = '#!/bin/sh\necho "$(basename "$0") $*" >> "$RECORD"\n'


def steps(path: Path) -> list[dict]:
    """Return the steps of all jobs, in the order in which the jobs need each other."""
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    order = sorted(jobs.values(), key=lambda job: "needs" in job)
    return [step for job in order for step in job["steps"]]


def test_the_workflows_are_those_that_are_tested():
    """Oracle: the folder."""
    assert [path.stem for path in WORKFLOWS] == sorted(COMMANDS)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_runs_its_commands_in_order(path, tmp_path):
    """Oracle: a shell that finds a recorder under the names of the commands."""
    for name in ("make", "chromium", "sudo", "cp"):
        (tmp_path / name).write_text(_RECORDER)
        (tmp_path / name).chmod(0o755)
    record = tmp_path / "record"
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RECORD": str(record)}
    for step in steps(path):
        if "run" in step:
            command = ["bash", "-e", "-o", "pipefail", "-c", step["run"]]
            subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    assert record.read_text().splitlines() == COMMANDS[path.stem]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    asked = {c.removeprefix("make ") for c in COMMANDS[path.stem] if c.startswith("make ")}
    assert asked <= targets


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_uses_official_actions_of_one_version_and_no_right_to_write(path):
    """Oracle: GitHub's rules: rights are read-only unless a job asks for more."""
    workflow = yaml.safe_load(path.read_text("utf-8"))
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", action) for action in used)
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_what_is_published_is_what_was_built():
    """Oracle: the folder that `make test-site` opens, and what the action of Pages asks for."""
    (path,) = (p for p in WORKFLOWS if p.stem == "publish")
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    upload = jobs["build"]["steps"][-1]
    folder = upload["with"]["path"]
    assert f"book_tools.site.check {folder}\n" in (ROOT / "Makefile").read_text("utf-8")
    assert jobs["deploy"]["needs"] == "build"
    assert jobs["deploy"]["permissions"] == {"pages": "write", "id-token": "write"}
