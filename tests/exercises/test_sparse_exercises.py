"""Every checker of chapter 11 accepts right answers, and names wrong ones."""

from math import comb

import numpy as np
import pytest
import torch

from exercises import sparse
from reference_impl.compress import apply_masks, prunable_weights
from reference_impl.data import load_dataset
from reference_impl.pruning import (
    cubic_sparsity,
    hard_threshold,
    keep_highest,
    keep_highest_of_all,
    keep_highest_of_each,
    rounds_to,
    soft_threshold,
)
from reference_impl.training import accuracy, load_checkpoint
from tests.exercises.claims import advised, crossed, passing

HAND = [-1.5, -2, 0.555, 6, 20]


def hand(place, value):
    return [*HAND[:place], value, *HAND[place + 1 :]]


def by_sort(weights, sparsity):
    flat = torch.cat([w.flatten() for w in weights]).abs()
    kept = torch.ones(len(flat), dtype=torch.bool)
    kept[flat.argsort(stable=True)[: round(sparsity * len(flat))]] = False
    return [p.view(w.shape) for p, w in zip(kept.split([w.numel() for w in weights]), weights)]  # noqa: B905


def by_package(weights, sparsity):
    scores = {str(i): w.abs() for i, w in enumerate(weights)}
    return tuple(keep_highest_of_all(scores, sparsity).values())


def by_python(weights, sparsity):
    places = [
        (abs(float(v)), i, j) for i, w in enumerate(weights) for j, v in enumerate(w.flatten())
    ]
    masks = [torch.ones(w.shape) for w in weights]
    for _, i, j in sorted(places)[: round(sparsity * len(places))]:
        masks[i].view(-1)[j] = 0
    return masks


RIGHT = [
    ("sparse-hand", HAND),
    ("sparse-hand", hand(2, 0.56)),
    ("sparse-hand", torch.tensor(HAND, dtype=torch.float64)),
    ("sparse-hand", np.array([-1.5, -2, 0.96 * 37 / 64, 6, 20])),
    ("sparse-masks", by_sort),
    ("sparse-masks", by_package),
    ("sparse-masks", by_python),
    ("sparse-layers", sparse.PRUNED),
    ("sparse-layers", torch.tensor(sparse.PRUNED) + 0.4),
]


test_right_answers_pass = passing(RIGHT)


def layerwise(weights, sparsity):
    return [by_sort([w], sparsity)[0] for w in weights]


def inverted(weights, sparsity):
    return [~mask for mask in by_sort(weights, sparsity)]


def largest_dropped(weights, sparsity):
    flat = torch.cat([w.flatten() for w in weights]).abs()
    kept = torch.ones(len(flat), dtype=torch.bool)
    kept[flat.argsort(descending=True)[: round(sparsity * len(flat))]] = False
    return [p.view(w.shape) for p, w in zip(kept.split([w.numel() for w in weights]), weights)]  # noqa: B905


def signed(weights, sparsity):
    least = min(w.min() for w in weights)
    return by_sort([w - least for w in weights], sparsity)


def at_threshold(weights, sparsity):
    """Drop what is not above the threshold, which is the first that should stay."""
    flat = torch.cat([w.flatten() for w in weights]).abs().sort().values
    return [w.abs() > flat[round(sparsity * len(flat))] for w in weights]


def by_threshold(weights, sparsity):
    """Right without ties: keep what is not below the first that should stay."""
    flat = torch.cat([w.flatten() for w in weights]).abs().sort().values
    return [w.abs() >= flat[round(sparsity * len(flat))] for w in weights]


def from_the_end(weights, sparsity):
    """Keep the last n − k, which is nothing for n − k = n by a slice from −0."""
    flat = torch.cat([w.flatten() for w in weights]).abs()
    kept = torch.zeros(len(flat), dtype=torch.bool)
    n_dropped = round(sparsity * len(flat))
    kept[flat.argsort(stable=True)[n_dropped:]] = n_dropped > 0
    return [p.view(w.shape) for p, w in zip(kept.split([w.numel() for w in weights]), weights)]  # noqa: B905


def in_place(weights, sparsity):
    masks = by_sort(weights, sparsity)
    for w, mask in zip(weights, masks, strict=True):
        w.mul_(mask)
    return masks


WRONG = [
    ("sparse-hand", hand(0, 1.5), "lost the sign"),
    ("sparse-hand", hand(0, -2.5), "towards 0"),
    ("sparse-hand", hand(1, -1.5), "only the soft one"),
    ("sparse-hand", hand(2, 0.015), "t/n for 1"),
    ("sparse-hand", hand(2, 0.405), "still to go"),
    ("sparse-hand", hand(2, 0.24), "straight line"),
    ("sparse-hand", hand(2, 55.5), "a share is asked"),
    ("sparse-hand", hand(3, 5), "a round early"),
    ("sparse-hand", hand(3, 3), "two thirds stay"),
    ("sparse-hand", hand(4, 120), "set of places"),
    ("sparse-hand", hand(4, 64), "three of them"),
    ("sparse-hand", hand(0, -1), "max(|x| − τ, 0)"),
    ("sparse-hand", hand(1, -1), "stays as it is"),
    ("sparse-hand", hand(2, 0.5), "t/n = ¼"),
    ("sparse-hand", hand(3, 7), "first power below a tenth"),
    ("sparse-hand", hand(4, 15), "Three of six places"),
    ("sparse-hand", HAND[:4], "has 5 numbers"),
    ("sparse-masks", layerwise, "of each tensor"),
    ("sparse-masks", inverted, "true where a weight is dropped"),
    ("sparse-masks", largest_dropped, "the largest magnitudes"),
    ("sparse-masks", signed, "forgot the magnitude"),
    ("sparse-masks", at_threshold, "one too many"),
    ("sparse-masks", by_threshold, "cannot part equals"),
    ("sparse-masks", from_the_end, "x[-0:] is not"),
    ("sparse-masks", in_place, "change nothing"),
    ("sparse-masks", lambda w, s: by_sort(w, s)[0], "must return 3 masks"),
    ("sparse-masks", lambda w, s: [True, True, True], "weight's shape"),
    ("sparse-masks", lambda w, s: [x != 0 for x in w], "Count:"),
    ("sparse-layers", [a / 100 for a in sparse.PRUNED], "multiply by 100"),
    ("sparse-layers", sparse.LARGEST_DROPPED, "dropped the largest"),
    ("sparse-layers", sparse.SIGNED, "forgot the magnitude"),
    ("sparse-layers", sparse.TENTH_DROPPED, "kept 90 %"),
    ("sparse-layers", sparse.WITHIN_ROWS, "of each row"),
    ("sparse-layers", sparse.ON_TEST, "test images"),
    ("sparse-layers", sparse.ON_ALL, "first 1,000"),
    ("sparse-layers", sparse.ONE_BY_ONE, "a fresh one"),
    ("sparse-layers", sparse.THE_OTHERS, "two other layers"),
    ("sparse-layers", sparse.OF_ALL_TOGETHER, "global masks"),
    ("sparse-layers", [100 - a for a in sparse.PRUNED], "that is right is asked"),
    ("sparse-layers", sparse.PRUNED[::-1], "In the order of the layers"),
    ("sparse-layers", [50.0, 80.0, 60.0], "on a fresh copy"),
    ("sparse-layers", ..., "No answer yet"),
]


test_wrong_answers_are_named = advised(WRONG)


CLAIMS = [
    ("sparse-hand", hand(0, -1), ["the soft"]),
    ("sparse-hand", hand(1, -1), ["the hard"]),
    ("sparse-hand", hand(2, 0.5), ["the sparsity"]),
    ("sparse-hand", hand(3, 7), ["the rounds"]),
    ("sparse-hand", hand(4, 15), ["the patterns"]),
    ("sparse-masks", by_threshold, ["ties"]),
    ("sparse-masks", in_place, ["what it is given"]),
    ("sparse-masks", from_the_end, ["a sparsity of 0"]),
    ("sparse-masks", layerwise, ["no dropped", "ties"]),
    ("sparse-layers", [a + 1 for a in sparse.PRUNED], ["the accuracies"]),
    ("sparse-layers", [0.5, 81.7, 67.0], ["they are percentages", "the accuracies"]),
]

test_each_claim_can_fail = crossed(CLAIMS)


def test_the_numbers_by_hand_are_those_of_the_package():
    """Oracle: the functions of the chapter, and Python's binomial coefficient."""
    x = torch.tensor([-2.0])
    assert soft_threshold(x, 0.5).item() == sparse.SOFT
    assert hard_threshold(x, 0.5).item() == sparse.HARD
    assert cubic_sparsity(1, 4, final=0.96) == pytest.approx(sparse.GROWN)
    assert rounds_to(0.9, 1 / 3) == sparse.ROUNDS
    assert comb(6, 3) == sparse.PATTERNS


def test_the_accuracies_are_measured():
    """Oracle: the shipped network, by the right way and by the wrong ones."""
    network, dataset = load_checkpoint("lenet300"), load_dataset()
    few = dataset.validation[:1000]
    ways = (
        (sparse.PRUNED, lambda w: keep_highest(w.abs(), 0.9), few),
        (sparse.LARGEST_DROPPED, lambda w: keep_highest(-w.abs(), 0.9), few),
        (sparse.SIGNED, lambda w: keep_highest(w, 0.9), few),
        (sparse.TENTH_DROPPED, lambda w: keep_highest(w.abs(), 0.1), few),
        (sparse.WITHIN_ROWS, lambda w: torch.stack([keep_highest(r, 0.9) for r in w.abs()]), few),
        (sparse.ON_TEST, lambda w: keep_highest(w.abs(), 0.9), dataset.test[:1000]),
        (sparse.ON_ALL, lambda w: keep_highest(w.abs(), 0.9), dataset.validation),
    )
    for expected, choose, examples in ways:
        for place, name in enumerate(prunable_weights(network)):
            small = load_checkpoint("lenet300")
            weight = prunable_weights(small)[name].detach()
            apply_masks(small, {name: choose(weight)})
            assert accuracy(small, examples) == pytest.approx(expected[place], abs=0.3)


def test_the_accuracies_of_several_masks_are_measured():
    """Oracle: the shipped network, pruned layer after layer, but for one, and by global masks."""
    few = load_dataset().validation[:1000]
    weights = prunable_weights(load_checkpoint("lenet300"))
    scores = {name: weight.detach().abs() for name, weight in weights.items()}
    each, of_all = keep_highest_of_each(scores, 0.9), keep_highest_of_all(scores, 0.9)
    names = list(scores)
    for place, name in enumerate(names):
        for expected, masks in (
            (sparse.ONE_BY_ONE, {n: each[n] for n in names[: place + 1]}),
            (sparse.THE_OTHERS, {n: each[n] for n in names if n != name}),
            (sparse.OF_ALL_TOGETHER, {name: of_all[name]}),
        ):
            small = load_checkpoint("lenet300")
            apply_masks(small, masks)
            assert accuracy(small, few) == pytest.approx(expected[place], abs=0.3)
