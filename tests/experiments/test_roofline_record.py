"""The record of the roofline: shipped, and made again in a moment."""

import json
from pathlib import Path

import pytest
import torch

from experiments.roofline import record
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


def test_the_record_is_written_whole(tmp_path):
    """Oracle: json reads back what was returned; no part of a file stays behind."""
    found = record(str(tmp_path / "sub" / "roofline.json"), repeats=2, min_run_time=0.01)
    assert json.loads((tmp_path / "sub" / "roofline.json").read_text(encoding="utf-8")) == found
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["roofline.json"]
    assert found["provenance"]["versions"]["torch"] == torch.__version__


def test_a_folder_is_refused_before_anything_is_measured():
    """Oracle: the message."""
    with pytest.raises(ValueError, match="path must be a file, got the folder"):
        record(Path(__file__).parent)
