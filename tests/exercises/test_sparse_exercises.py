"""Every checker of chapter 11 accepts right answers, and names wrong ones."""

from math import comb

import pytest
import torch

from exercises import sparse
from reference_impl import pruning
from reference_impl.compress import apply_masks, prunable_weights
from reference_impl.data import load_dataset
from reference_impl.training import accuracy, load_checkpoint
from tests.exercises.claims import judged, spoiling

HAND = [-1.5, -2, 0.555, 6, 20]


def hand(place, value):
    return [*HAND[:place], value, *HAND[place + 1 :]]


def chosen_from(order, kept=lambda places, n_dropped: places[n_dropped:]):
    """Return masks of the places that are left of an order of all magnitudes."""

    def masks(weights, sparsity):
        flat = torch.cat([w.flatten() for w in weights]).abs()
        mask = torch.zeros(len(flat), dtype=torch.bool)
        mask[kept(order(flat), round(sparsity * len(flat)))] = True
        parts = mask.split([w.numel() for w in weights])
        return [part.view(w.shape) for part, w in zip(parts, weights, strict=True)]

    return masks


def ascending(flat):
    return flat.argsort(stable=True)


by_sort = chosen_from(ascending)


def by_package(weights, sparsity):
    scores = {str(i): w.abs() for i, w in enumerate(weights)}
    return tuple(pruning.keep_highest_of_all(scores, sparsity).values())


RIGHT = {
    "sparse-hand": [HAND, hand(2, 0.56), hand(2, 0.96 * 37 / 64)],
    "sparse-masks": [by_sort, by_package],
    "sparse-layers": [sparse.PRUNED, [a + 0.4 for a in sparse.PRUNED]],
}


def layerwise(weights, sparsity):
    return [by_sort([w], sparsity)[0] for w in weights]


def signed(weights, sparsity):
    least = min(w.min() for w in weights)
    return by_sort([w - least for w in weights], sparsity)


def compared(compare):
    """Return masks by a threshold, which is the first magnitude that should stay."""

    def masks(weights, sparsity):
        flat = torch.cat([w.flatten() for w in weights]).abs().sort().values
        return [compare(w.abs(), flat[round(sparsity * len(flat))]) for w in weights]

    return masks


largest_dropped = chosen_from(lambda flat: flat.argsort(descending=True))
from_the_end = chosen_from(ascending, kept=lambda places, n: places[n:] if n else places[:0])
right_without_ties = compared(torch.ge)

WRONG = {
    "sparse-hand": [
        (hand(0, 1.5), "lost the sign"),
        (hand(0, -2.5), "towards 0"),
        (hand(0, -1), "max(|x| − τ, 0)", "the soft"),
        (hand(1, -1.5), "only the soft one"),
        (hand(1, -1), "stays as it is", "the hard"),
        (hand(2, 0.015), "t/n for 1"),
        (hand(2, 0.405), "still to go"),
        (hand(2, 0.24), "straight line"),
        (hand(2, 55.5), "a share is asked"),
        (hand(2, 0.5), "t/n = ¼", "the sparsity"),
        (hand(3, 5), "a round early"),
        (hand(3, 3), "two thirds stay"),
        (hand(3, 7), "first power below a tenth", "the rounds"),
        (hand(4, 120), "set of places"),
        (hand(4, 64), "three of them"),
        (hand(4, 15), "Three of six places", "the patterns"),
    ],
    "sparse-masks": [
        (layerwise, "of each tensor", "no dropped", "ties"),
        (lambda w, s: [~mask for mask in by_sort(w, s)], "true where a weight is dropped"),
        (largest_dropped, "the largest magnitudes"),
        (signed, "forgot the magnitude"),
        (compared(torch.gt), "one too many"),
        (right_without_ties, "cannot part equals", "ties"),
        (from_the_end, "x[-0:] is not", "a sparsity of 0"),
        (spoiling(by_sort), "change nothing", "what it is given"),
        (lambda w, s: by_sort(w, s)[0], "must return 3 masks"),
        (lambda *_: [True, True, True], "weight's shape"),
        (lambda w, s: [x != 0 for x in w], "Count:"),
    ],
    "sparse-layers": [
        ([a / 100 for a in sparse.PRUNED], "multiply by 100"),
        (sparse.LARGEST_DROPPED, "dropped the largest"),
        (sparse.SIGNED, "forgot the magnitude"),
        (sparse.TENTH_DROPPED, "kept 90 %"),
        (sparse.WITHIN_ROWS, "of each row"),
        (sparse.ON_TEST, "test images"),
        (sparse.ON_ALL, "first 1,000"),
        (sparse.ONE_BY_ONE, "a fresh one"),
        (sparse.THE_OTHERS, "two other layers"),
        (sparse.OF_ALL_TOGETHER, "global masks"),
        ([100 - a for a in sparse.PRUNED], "that is right is asked"),
        (sparse.PRUNED[::-1], "In the order of the layers"),
        ([a + 1 for a in sparse.PRUNED], "on a fresh copy", "the accuracies"),
        ([0.5, 81.7, 67.0], "Accuracies in percent", "they are percentages", "the accuracies"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def pruned_accuracy(masks, examples):
    small = load_checkpoint("lenet300")
    apply_masks(small, masks)
    return accuracy(small, examples)


def test_the_accuracies_are_measured():
    """Oracle: the shipped network, by the right way and by the wrong ones."""
    dataset, weights = load_dataset(), prunable_weights(load_checkpoint("lenet300"))
    few, test = dataset.validation[:1000], dataset.test[:1000]
    scores = {name: weight.detach().abs() for name, weight in weights.items()}
    each, of_all = (
        pruning.keep_highest_of_each(scores, 0.9),
        pruning.keep_highest_of_all(scores, 0.9),
    )
    for place, (name, w) in enumerate(scores.items()):
        rows = torch.stack([pruning.keep_highest(row, 0.9) for row in w])
        up_to = dict(list(each.items())[: place + 1])
        for expected, masks, examples in (
            (sparse.PRUNED, {name: each[name]}, few),
            (sparse.LARGEST_DROPPED, {name: pruning.keep_highest(-w, 0.9)}, few),
            (sparse.SIGNED, {name: pruning.keep_highest(weights[name].detach(), 0.9)}, few),
            (sparse.TENTH_DROPPED, {name: pruning.keep_highest(w, 0.1)}, few),
            (sparse.WITHIN_ROWS, {name: rows}, few),
            (sparse.ON_TEST, {name: each[name]}, test),
            (sparse.ON_ALL, {name: each[name]}, dataset.validation),
            (sparse.ONE_BY_ONE, up_to, few),
            (sparse.THE_OTHERS, {n: mask for n, mask in each.items() if n != name}, few),
            (sparse.OF_ALL_TOGETHER, {name: of_all[name]}, few),
        ):
            assert pruned_accuracy(masks, examples) == pytest.approx(expected[place], abs=0.3)


def test_the_numbers_by_hand_are_those_of_the_package():
    """Oracle: the functions of the chapter, and Python's binomial coefficient."""
    x = torch.tensor([-2.0])
    assert pruning.soft_threshold(x, 0.5).item() == sparse.SOFT
    assert pruning.hard_threshold(x, 0.5).item() == sparse.HARD
    assert pruning.cubic_sparsity(1, 4, final=0.96) == pytest.approx(sparse.GROWN)
    assert pruning.rounds_to(0.9, 1 / 3) == sparse.ROUNDS
    assert comb(6, 3) == sparse.PATTERNS
