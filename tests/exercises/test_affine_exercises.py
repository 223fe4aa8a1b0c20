"""Every checker of chapter 03 accepts right answers and names wrong ones."""

import numpy as np
import pytest
import torch

from exercises import affine
from reference_impl.measuring import quantized_size
from reference_impl.quantization import (
    IntegerGrid,
    affine_from_range,
    min_max_range,
    split_groups,
    symmetric_from_range,
)
from tests.exercises.claims import judged, spoiling


def ends(weight, dims=None, dead=lambda end: end == 0):
    """Return max |w| of each channel, 1 where ``dead``."""
    dims = tuple(range(1, weight.ndim)) if dims is None else dims
    end = weight.abs().amax(dims, keepdim=True)
    return torch.where(dead(end), torch.ones_like(end), end)


def plain(weight, bits):
    scale = ends(weight) / (2 ** (bits - 1) - 1)
    return torch.round(weight / scale) * scale


def by_torch(weight, bits):
    q_max = 2 ** (bits - 1) - 1
    scale = (ends(weight) / q_max).flatten()
    zeros = torch.zeros(len(weight), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -q_max, q_max)


RIGHT = {
    "affine-by-hand": [[3.2 / 15, 5, 5, 7, 15], [0.21, 5, 5, 7, 15]],
    "per-channel-weights": [plain, by_torch, lambda w, b: plain(w.double(), b)],
    "scale-budget": [[5, 56]],
}


def varied(*, dims=lambda _: None, more=0.0, lowest=0, rounding=torch.round, codes=False, **dead):
    """Return a round trip that differs from the right one in a point or two."""

    def answer(weight, bits):
        q_max = 2 ** (bits - 1) - 1
        scale = ends(weight, dims(weight), **dead) / (q_max + more)
        q = rounding(weight / scale).clamp(lowest - q_max, q_max)
        return q if codes else q * scale

    return answer


def asymmetric(weight, bits):
    return affine_from_range(*min_max_range(weight, 0), IntegerGrid(bits)).round_trip(weight)


def one_channel_louder(weight, bits):
    """Depend on other channels, but not for weights of the usual size."""
    return plain(weight, bits) * (1 + (weight.abs().max() > 500))


def smaller(weight, bits):
    """Restore the largest magnitude of each channel too small."""
    restored = plain(weight, bits)
    rows = restored.flatten(1)
    largest = rows.abs().argmax(1, keepdim=True)
    rows.scatter_(1, largest, 0.99 * rows.gather(1, largest))
    return restored


floored = varied(rounding=lambda u: torch.floor(u + 1e-4))
with_nan = varied(dead=lambda end: end < 0)
any_dead = varied(dead=lambda end: (end == 0).any())
all_axes = varied(dims=lambda w: tuple(range(w.ndim)))
all_but_the_second = varied(dims=lambda w: tuple(i for i in range(w.ndim) if i != 1))

WRONG = {
    "affine-by-hand": [
        ([0.2, 5, 5, 7, 15], "16 codes have 15 steps", "the scale"),
        ([0.147, 7, 7, 9, 15], "lower end"),
        ([0.213, -5, -5, -3, 9], "wrong sign"),
        ([0.213, 4.69, 4.69, 6.4, 15], "whole number"),
        ([0.213, 4, 4, 7, 15], "fraction of the zero point off", "the zero point"),
        ([0.213, 5, 4, 7, 15], "q = round(0 / s) + z", "zero has"),
        ([0.213, 5, 5, 6, 15], "the formula of chapter 02", "the code of 0.36"),
        ([0.213, 5, 5, 7, 19], "no code above 15"),
        ([0.213, 5, 5, 7, 16], "Four bits end", "the value outside"),
        ([0.213, 5, 0, 7, 15], "q = round"),
    ],
    "per-channel-weights": [
        (all_axes, "one scale for the whole tensor"),
        (all_but_the_second, "belong to the inputs"),
        (varied(more=1), "q_max is one less"),
        (varied(more=0.5, lowest=-1), "torch's observers"),
        (asymmetric, "here z = 0"),
        (with_nan, "0 / 0", "a channel of zeros"),
        (any_dead, "0 / 0", "a channel of zeros"),
        (spoiling(plain), "Work on a copy", "the weight is left"),
        (floored, "round", "all values"),
        (varied(rounding=torch.trunc), "cut the fraction"),
        (varied(codes=True), "the restored weight is s q"),
        (smaller, "the largest weight of a channel", "the largest magnitude", "all values"),
        (one_channel_louder, "has a scale of its own", "no channel"),
        (varied(dims=lambda w: (w.ndim - 1,)), "right for a matrix"),
        (lambda w, b: plain(w.view(len(w), 8), b), "right for a matrix"),
        (lambda w, b: plain(w, b).flatten(), "the shape of the weight"),
    ],
    "scale-budget": [
        ([2, 1], "left the scales out"),
        ([6, 784], "smaller groups need fewer", "no choice"),
        ([5, 784], "25 dB are not reached", "this choice"),
        ([5, 28], "Another choice"),
        ([56, 5], "the bits come first"),
        ([5.5, 56], "two whole numbers"),
        ([17, 784], "bits from 2 to 8", "bits are", "this choice", "no choice"),
        ([5, 50], "divisor of 784"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_the_numbers_by_hand_are_the_packages() -> None:
    """Oracle: the package's quantizer; 3.2 / 15 by hand."""
    quantizer = affine_from_range(torch.tensor(-1.0), torch.tensor(2.2), IntegerGrid(4))
    assert quantizer.scale.item() == pytest.approx(3.2 / 15)
    assert quantizer.zero_point.item() == 5
    assert quantizer.quantize(torch.tensor([0.0, 0.36, 3.0])).tolist() == [5, 7, 15]


def test_the_fewest_bits_are_those_of_all_choices() -> None:
    """Oracle: brute force with NumPy over all widths and divisors, not in the checker's order."""
    weight = affine.budget_weight().numpy().astype(np.float64)
    least = np.inf
    for size in (g for g in range(1, 785) if 784 % g == 0):
        groups = weight.reshape(300, -1, size)
        end = np.abs(groups).max(axis=2, keepdims=True)
        end[end == 0] = 1
        for bits in range(2, 9):
            scale = end / (2 ** (bits - 1) - 1)
            noise = ((np.round(groups / scale) * scale - groups) ** 2).sum()
            if noise * 10 ** (affine.DECIBELS / 10) <= (groups**2).sum():
                least = min(least, bits + 16 / size)
    assert affine.fewest_bits_per_weight() == pytest.approx(least)


def test_bits_and_decibels_of_a_choice() -> None:
    """Oracle: by hand and the package's size; more bits and smaller groups lower no SQNR here."""
    assert affine.bits_per_weight(5, 56) == pytest.approx(5 + 2 / 7)
    groups = split_groups(affine.budget_weight(), 56)
    grid = IntegerGrid(5, signed=True, narrow=True)
    quantizer = symmetric_from_range(*min_max_range(groups, (0, 1)), grid)
    stored = quantized_size(quantizer, groups.numel()).bits / groups.numel()
    assert stored == affine.bits_per_weight(5, 56)
    assert affine.group_sqnr(4, 56) < affine.group_sqnr(5, 56) < affine.group_sqnr(5, 28)


def test_the_weight_cannot_be_changed_through_its_copy() -> None:
    """Oracle: the weight before."""
    affine.budget_weight().zero_()
    assert affine.budget_weight().any()
