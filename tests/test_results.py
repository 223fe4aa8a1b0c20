"""Recorded results say where they come from, and their command exists."""

import json
import shlex
from datetime import date
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RESULTS = sorted((ROOT / "data" / "results").glob("*.json"))


def test_there_are_results() -> None:
    """Oracle: chapter 01 draws one."""
    assert RESULTS


@pytest.mark.parametrize("file", RESULTS, ids=lambda file: file.stem)
def test_each_result_has_its_provenance(file: Path) -> None:
    """Oracle: the issue's list: command, seed, versions, date."""
    provenance = json.loads(file.read_text(encoding="utf-8"))["provenance"]
    python, option, module, *_ = shlex.split(provenance["command"])
    assert (python, option) == ("python", "-m")
    assert find_spec(module) is not None
    assert {"command", "seed", "versions", "date"} <= provenance.keys()
    assert provenance["versions"]["torch"].startswith("2.14.1")
    assert date.fromisoformat(provenance["date"]) <= date.today()
