"""The ablation of chapter 06: paired differences, draws, and a record that is resumed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from experiments import ptq as ablate_ptq
from reference_impl.compress import PostTraining
from reference_impl.data import Dataset, load_dataset


def test_paired_difference_is_scipys_standard_error() -> None:
    """Oracle: scipy.stats.sem of the differences, in points."""
    draws = torch.Generator().manual_seed(0)
    ours, theirs = (torch.rand(500, generator=draws) < share for share in (0.8, 0.9))
    difference, error = ablate_ptq.paired_difference(ours, theirs)
    each = 100 * (ours.double() - theirs.double()).numpy()
    assert difference == pytest.approx(each.mean())
    assert error == pytest.approx(stats.sem(each))


def test_calibration_images_are_drawn_without_replacement() -> None:
    """Oracle: the training images, each at most once; the same seed gives the same draw."""
    train = load_dataset().train
    images = ablate_ptq.calibration_images(train, 3, n=50)
    known = {image.numpy().tobytes() for image in train.images}
    drawn = {image.numpy().tobytes() for image in images}
    assert len(drawn) == 50
    assert drawn <= known
    assert torch.equal(images, ablate_ptq.calibration_images(train, 3, n=50))
    assert not torch.equal(images, ablate_ptq.calibration_images(train, 4, n=50))


@pytest.mark.parametrize("recipe", sorted(ablate_ptq.RECIPES))
def test_every_recipe_is_one(recipe: str) -> None:
    """Oracle: the constructor, after a trip through JSON as the chapter makes it."""
    arguments = json.loads(json.dumps(ablate_ptq.RECIPES[recipe]))
    assert PostTraining(bits=4, **arguments).adaptive == recipe.startswith("AdaRound")


def test_an_interrupted_record_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: a run that was not interrupted gives the same rows; known rows are not repeated."""
    whole = load_dataset()
    few = Dataset(whole.train, whole.validation.subset(40), whole.test.subset(40))
    monkeypatch.setattr(ablate_ptq, "load_dataset", lambda: few)
    monkeypatch.setattr(ablate_ptq, "NETWORKS", ("separable",))
    monkeypatch.setattr(ablate_ptq, "BITS", (4,))
    monkeypatch.setattr(ablate_ptq, "SEEDS", (0, 1))
    monkeypatch.setattr(ablate_ptq, "N_CALIBRATION", 16)
    names = ("per tensor", "per channel, clipped, corrected")
    monkeypatch.setattr(ablate_ptq, "RECIPES", {name: ablate_ptq.RECIPES[name] for name in names})
    path = tmp_path / "ptq.json"
    ablate_ptq.record(path)
    found = json.loads(path.read_text(encoding="utf-8"))
    assert [(row["seed"], row["recipe"]) for row in found["rows"]] == [
        (seed, name) for seed in (0, 1) for name in names
    ]
    cut = {**found, "rows": found["rows"][:1]}
    cut["rows"][0] = {**cut["rows"][0], "test": -1.0}  # a mark: this row must be kept
    path.write_text(json.dumps(cut), encoding="utf-8")
    ablate_ptq.record(path)
    again = json.loads(path.read_text(encoding="utf-8"))
    assert again["rows"][0]["test"] == -1
    assert again["rows"][1:] == found["rows"][1:]
    assert ablate_ptq.read_rows(path, {"separable": "other weights"}) == []


def test_the_record_is_complete_and_reaches_the_targets() -> None:
    """Oracle: the issue: 8 bits within 0.2 points of full precision, 4 bits within 1.0."""
    found = json.loads(ablate_ptq.RESULT.read_text(encoding="utf-8"))
    keys = {(row["network"], row["recipe"], row["bits"], row["seed"]) for row in found["rows"]}
    expected = len(ablate_ptq.NETWORKS) * len(ablate_ptq.RECIPES) * 3 * len(ablate_ptq.SEEDS)
    assert len(keys) == len(found["rows"]) == expected
    assert found["recipes"] == ablate_ptq.RECIPES
    for network in ablate_ptq.NETWORKS:
        for bits, allowed in ((8, 0.2), (4, 1.0)):
            rows = [
                row for row in found["rows"] if (row["network"], row["bits"]) == (network, bits)
            ]
            scores = {
                split: {
                    name: np.mean(
                        [row[f"{split}_difference"] for row in rows if row["recipe"] == name]
                    )
                    for name in ablate_ptq.RECIPES
                }
                for split in ("validation", "test")
            }
            chosen = max(scores["validation"], key=scores["validation"].get)
            assert scores["test"][chosen] >= -allowed, (network, bits, chosen)
