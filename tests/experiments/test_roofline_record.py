"""The record of the roofline: shipped, and made again in a moment."""

import json

import pytest

from experiments import roofline
from reference_impl.measuring import model_cost
from reference_impl.measuring.roofline import RESULT
from reference_impl.models import ConvStudent, ConvTeacher, LeNet5, LeNet300


def test_the_shipped_record_fits_the_models_that_it_names():
    """Oracle: the cost of the models as they are now; a changed model needs a new record."""
    shipped = json.loads(RESULT.read_text(encoding="utf-8"))
    models = {
        "LeNet300": LeNet300(),
        "LeNet5": LeNet5(),
        "teacher": ConvTeacher(),
        "student": ConvStudent(),
    }
    assert {point["model"] for point in shipped["points"]} == set(models)
    for point in shipped["points"]:
        cost = model_cost(models[point["model"]], (1, 28, 28))
        assert point["intensity"] == pytest.approx(cost.intensity(point["batch"]))
        assert 0 < point["speed"] <= shipped["machine"]["peak"]
    assert shipped["provenance"]["threads"] == 1


def test_a_machine_is_measured_with_each_network_and_batch(monkeypatch):
    """Oracle: the shipped record's machine and points."""
    monkeypatch.setattr(roofline, "REPEATS", 2)
    monkeypatch.setattr(roofline, "MIN_RUN_TIME", 0.01)
    found, shipped = roofline.measured(roofline.Run(), None), json.loads(RESULT.read_text("utf-8"))
    assert found["machine"].keys() == shipped["machine"].keys()
    named = ("model", "batch", "intensity")
    for ours, theirs in zip(found["points"], shipped["points"], strict=True):
        assert [ours[name] for name in named] == [theirs[name] for name in named]
        assert ours["speed"] > 0
