"""experiments.stability: what rules see, and a record that continues."""

import pytest
import torch

from experiments import stability as recorder
from experiments.stability import Run, kept
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


def test_a_run_has_a_row_for_each_rule_and_what_it_sees(monkeypatch):
    """Oracle: six rules, three of which also see the shift of their test; percentages."""
    whole = load_dataset()
    small = Dataset(whole.train[:300], whole.validation[:150], whole.test[:150])
    monkeypatch.setattr(recorder, "SPARSITIES", {"lenet300": (0.5,)})
    rows = recorder.measured(Run("lenet300", None), small)["rows"]
    assert len(rows) == 9
    assert all(0 <= right <= 100 for row in rows for right in row["accuracy"].values())
