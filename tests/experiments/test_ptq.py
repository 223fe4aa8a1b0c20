"""The ablation of chapter 06: paired differences, draws, and a record that is resumed."""

import json

import numpy as np
import pytest
import torch
from scipy import stats

from experiments import ptq as ablate_ptq
from reference_impl.compress import PostTraining, fold_batch_norms
from reference_impl.data import Dataset, load_dataset
from reference_impl.files import ROOT
from reference_impl.training import accuracy, load_checkpoint


def test_paired_difference_is_scipys_standard_error() -> None:
    """Oracle: scipy.stats.sem of the differences, in points."""
    draws = torch.Generator().manual_seed(0)
    ours, theirs = (torch.rand(500, generator=draws) < share for share in (0.8, 0.9))
    difference, error = ablate_ptq.paired_difference(ours, theirs)
    each = 100 * (ours.double() - theirs.double()).numpy()
    assert difference == pytest.approx(each.mean())
    assert error == pytest.approx(stats.sem(each))


def test_calibration_images_are_drawn_without_replacement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Oracle: the training images, each at most once; the same seed gives the same draw."""
    monkeypatch.setattr(ablate_ptq, "N_CALIBRATION", 50)
    train = load_dataset().train
    images = ablate_ptq.calibration_images(train, 3)
    known = {image.numpy().tobytes() for image in train.images}
    drawn = {image.numpy().tobytes() for image in images}
    assert len(drawn) == 50
    assert drawn <= known
    assert torch.equal(images, ablate_ptq.calibration_images(train, 3))
    assert not torch.equal(images, ablate_ptq.calibration_images(train, 4))


@pytest.mark.parametrize("recipe", sorted(ablate_ptq.RECIPES))
def test_every_recipe_is_one(recipe: str) -> None:
    """Oracle: the constructor, after a trip through JSON as the chapter makes it."""
    arguments = json.loads(json.dumps(ablate_ptq.RECIPES[recipe]))
    assert PostTraining(bits=4, **arguments).adaptive == recipe.startswith("AdaRound")


def test_a_row_is_the_network_quantized_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Oracle: the post-training quantization of the chapter, on images drawn by hand."""
    monkeypatch.setattr(ablate_ptq, "N_CALIBRATION", 16)
    whole = load_dataset()
    few = Dataset(whole.train, whole.validation.subset(40), whole.test.subset(40))
    found = ablate_ptq.measured(ablate_ptq.Run("separable", "per channel, clipped", 4, 1), few)
    chain = fold_batch_norms(load_checkpoint("separable").chain())
    images = ablate_ptq.calibration_images(whole.train, 1)
    assert len(images) == 16
    quantized = PostTraining(bits=4, clipped=True)(chain, images)
    assert found["test"] == accuracy(quantized, few.test)
    assert found["test_difference"] == pytest.approx(found["test"] - accuracy(chain, few.test))


def test_the_record_reaches_the_targets() -> None:
    """Oracle: the issue: 8 bits within 0.2 points of full precision, 4 bits within 1.0."""
    found = json.loads((ROOT / "data" / "results" / "ptq.json").read_text(encoding="utf-8"))
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
