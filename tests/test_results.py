"""Recorded results say where they come from, and their command exists."""

import json
import shlex
import tomllib
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
(TORCH,) = (r for r in map(Requirement, PROJECT["dependencies"]) if r.name == "torch")
RESULTS = sorted((ROOT / "data" / "results").glob("*.json"))


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_each_result_has_its_provenance(file):
    """Oracle: the issue's list: command, seed, versions, date."""
    provenance = json.loads(file.read_text(encoding="utf-8"))["provenance"]
    python, option, module, *_ = shlex.split(provenance["command"])
    assert (python, option) == ("python", "-m")
    assert find_spec(module) is not None
    assert {"command", "seed", "versions", "date"} <= provenance.keys()
    torch = Version(provenance["versions"]["torch"]).base_version
    assert TORCH.specifier.contains(torch)
    assert date.fromisoformat(provenance["date"]) <= date.today()
