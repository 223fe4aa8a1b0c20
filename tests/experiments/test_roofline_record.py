"""The record of the roofline: shipped, and made again in a moment."""

import pytest
import shipped

from benchmarks import roofline
from reference_impl.measuring import model_cost


def test_the_shipped_record_fits_the_models_that_it_names():
    """Oracle: the cost of the models as they are now; a changed model needs a new record."""
    found = shipped.record("roofline")
    assert {point["model"] for point in found["points"]} == set(roofline.NETWORKS)
    for point in found["points"]:
        cost = model_cost(roofline.NETWORKS[point["model"]](), (1, 28, 28))
        assert point["intensity"] == pytest.approx(cost.intensity(point["batch"]))
        assert 0 < point["speed"] <= found["machine"]["peak"]
    assert found["provenance"]["threads"] == 1


def test_a_machine_is_measured_with_each_network_and_batch(monkeypatch):
    """Oracle: the shipped record's machine and points."""
    monkeypatch.setattr(roofline, "REPEATS", 2)
    monkeypatch.setattr(roofline, "MIN_RUN_TIME", 0.01)
    found, expected = roofline.Run().measured(None), shipped.record("roofline")
    assert found["machine"].keys() == expected["machine"].keys()
    named = ("model", "batch", "intensity")
    for ours, theirs in zip(found["points"], expected["points"], strict=True):
        assert [ours[name] for name in named] == [theirs[name] for name in named]
        assert ours["speed"] > 0
