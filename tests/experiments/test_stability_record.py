"""experiments.stability: what rules see, and a row for each."""

from dataclasses import replace

import torch

from experiments import stability as recorder
from experiments.stability import Run, kept


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


def test_a_run_has_a_row_for_each_rule_and_what_it_sees(monkeypatch, small):
    """Oracle: six rules, three of which also see the shift of their test; percentages."""
    monkeypatch.setattr(recorder, "SPARSITIES", {"lenet300": (0.5,)})
    rows = Run("lenet300", None).measured(replace(small, test=small.test[:150]))["rows"]
    assert len(rows) == 9
    assert all(0 <= right <= 100 for row in rows for right in row["accuracy"].values())
