"""experiments.stability: what rules see, and a record that continues."""

import json

import pytest
import torch

from experiments import stability as recorder
from experiments.stability import Run, kept, record
from reference_impl.data import Dataset, load_dataset

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_rule_never_sees_the_shift_of_its_test():
    """Oracle: a rule that notes the names of what it is given."""
    seen = []

    def rule(values, n_keep, _):
        seen.append(list(values))
        return torch.arange(4) < n_keep

    values = {"hidden1": {name: torch.ones(3, 4) for name in ("plain", "noise", "blur")}}
    for test in ("plain", "noise", "blur"):
        assert kept(rule, values, 0.5, 0, unseen=test)["hidden1"].sum() == 2
    assert seen == [["plain", "noise", "blur"], ["plain", "blur"], ["plain", "noise"]]


def test_a_record_skips_the_runs_that_it_holds(monkeypatch, tmp_path):
    """Oracle: a call that would fail if a run were made twice."""
    whole = load_dataset()
    small = Dataset(whole.train[:300], whole.validation[:150], whole.test[:150])
    monkeypatch.setattr(recorder, "SPARSITIES", {"lenet300": (0.5,)})
    path, run = tmp_path / "stability.json", Run("lenet300", None)
    record(path, small, [run])
    first = path.read_text(encoding="utf-8")
    monkeypatch.setattr(recorder, "measured", None)
    record(path, small, [run])
    assert json.loads(path.read_text(encoding="utf-8"))["runs"] == json.loads(first)["runs"]
    rows = json.loads(first)["runs"][0]["rows"]
    assert len(rows) == 9
    assert all(0 <= right <= 100 for row in rows for right in row["accuracy"].values())
