"""Every checker of chapter 03 accepts right answers and names wrong ones."""

import numpy as np
import pytest
import torch

from exercises.affine import (
    DECIBELS,
    bits_per_weight,
    budget_weight,
    fewest_bits_per_weight,
    group_sqnr,
)
from reference_impl.measuring import quantized_size
from reference_impl.quantization import (
    IntegerGrid,
    affine_from_range,
    min_max_range,
    split_groups,
    symmetric_from_range,
)
from tests.exercises.claims import advised, crossed, passing


def ends(weight, dims=None):
    """Return max |w| of each channel, 1 where it is 0."""
    dims = tuple(range(1, weight.ndim)) if dims is None else dims
    end = weight.abs().amax(dims, keepdim=True)
    return torch.where(end == 0, torch.ones_like(end), end)


def plain(weight, bits):
    scale = ends(weight) / (2 ** (bits - 1) - 1)
    return torch.round(weight / scale) * scale


def row_by_row(weight, bits):
    rows = []
    for row in weight:
        top = row.abs().max().item()
        scale = top / (2 ** (bits - 1) - 1) if top else 1.0
        rows.append((row / scale).round() * scale)
    return torch.stack(rows)


def by_torch(weight, bits):
    q_max = 2 ** (bits - 1) - 1
    scale = (ends(weight) / q_max).flatten()
    zeros = torch.zeros(len(weight), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -q_max, q_max)


def in_double(weight, bits):
    return plain(weight.double(), bits)


RIGHT = [
    ("affine-by-hand", [0.213, 5, 5, 7, 15]),
    ("affine-by-hand", (0.2133333, 5.0, 5.0, 7.0, 15.0)),
    ("affine-by-hand", np.array([0.21, 5, 5, 7, 15])),
    ("affine-by-hand", torch.tensor([3.2 / 15, 5, 5, 7, 15])),
    ("per-channel-weights", plain),
    ("per-channel-weights", row_by_row),
    ("per-channel-weights", by_torch),
    ("per-channel-weights", in_double),
    ("scale-budget", [5, 56]),
    ("scale-budget", torch.tensor([5, 56])),
    ("scale-budget", (5.0, 56.0)),
]


test_right_answers_pass = passing(RIGHT)


def scaled(dims):
    """Return a round trip whose scales are reduced over other axes."""

    def answer(weight, bits):
        chosen = dims(weight)
        scale = ends(weight, chosen) / (2 ** (bits - 1) - 1)
        return torch.round(weight / scale) * scale

    return answer


def with_nan(weight, bits):
    scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True) / (2 ** (bits - 1) - 1)
    return torch.round(weight / scale) * scale


def halved(weight, bits):
    scale = ends(weight) / ((2**bits - 1) / 2)
    return torch.round(weight / scale).clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) * scale


def powers(weight, bits):
    scale = ends(weight) / 2 ** (bits - 1)
    return torch.round(weight / scale).clamp(1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) * scale


def asymmetric(weight, bits):
    rows = weight.flatten(1)
    low, high = rows.amin(1, keepdim=True).clamp(max=0), rows.amax(1, keepdim=True).clamp(min=0)
    scale = (high - low) / (2**bits - 1)
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    z = -torch.round(low / scale)
    q = (torch.round(rows / scale) + z).clamp(0, 2**bits - 1)
    return ((q - z) * scale).view_as(weight)


def in_place(weight, bits):
    return weight.copy_(plain(weight, bits))


def floored(weight, bits):
    scale = ends(weight) / (2 ** (bits - 1) - 1)
    return torch.floor(weight / scale + 1e-4) * scale


def truncated(weight, bits):
    scale = ends(weight) / (2 ** (bits - 1) - 1)
    return torch.trunc(weight / scale) * scale


def codes(weight, bits):
    return torch.round(weight / (ends(weight) / (2 ** (bits - 1) - 1)))


def any_dead(weight, bits):
    """Spoil all channels where one is dead."""
    end = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True)
    scale = torch.where((end == 0).any(), torch.ones_like(end), end) / (2 ** (bits - 1) - 1)
    return torch.round(weight / scale) * scale


WRONG = [
    ("affine-by-hand", [0.2, 5, 5, 7, 15], "16 codes have 15 steps"),
    ("affine-by-hand", [0.147, 7, 7, 9, 15], "lower end"),
    ("affine-by-hand", [0.213, -5, -5, -3, 9], "wrong sign"),
    ("affine-by-hand", [0.213, 4.69, 4.69, 6.4, 15], "whole number"),
    ("affine-by-hand", [0.213, 4, 4, 6, 15], "fraction of the zero point off"),
    ("affine-by-hand", [0.213, 5, 5, 6, 15], "the formula of chapter 02"),
    ("affine-by-hand", [0.213, 5, 5, 7, 19], "no code above 15"),
    ("affine-by-hand", [0.213, 5, 0, 7, 15], "q = round"),
    ("affine-by-hand", [0.213, 5, 5, 7], "5 numbers; this has 4"),
    (
        "per-channel-weights",
        scaled(lambda w: tuple(range(w.ndim))),
        "one scale for the whole tensor",
    ),
    (
        "per-channel-weights",
        scaled(lambda w: tuple(i for i in range(w.ndim) if i != 1)),
        "belong to the inputs",
    ),
    ("per-channel-weights", powers, "q_max is one less"),
    ("per-channel-weights", halved, "torch's observers"),
    ("per-channel-weights", asymmetric, "here z = 0"),
    ("per-channel-weights", with_nan, "0 / 0"),
    ("per-channel-weights", in_place, "Work on a copy"),
    ("per-channel-weights", floored, "round"),
    ("per-channel-weights", truncated, "cut the fraction"),
    ("per-channel-weights", codes, "the restored weight is s q"),
    ("per-channel-weights", any_dead, "0 / 0"),
    ("per-channel-weights", scaled(lambda w: (w.ndim - 1,)), "right for a matrix"),
    ("per-channel-weights", scaled(lambda _: (1,)), "right for a matrix"),
    ("per-channel-weights", lambda w, b: plain(w.view(len(w), 8), b), "right for a matrix"),
    ("per-channel-weights", lambda w, b: plain(w, b).tolist(), "returned a list"),
    ("per-channel-weights", lambda w, b: plain(w, b).flatten(), "the shape of the weight"),
    ("per-channel-weights", lambda _w, _b: 1 / 0, "ZeroDivisionError"),
    ("per-channel-weights", plain(torch.ones(2, 2), 4), "without a call"),
    ("scale-budget", [2, 1], "left the scales out"),
    ("scale-budget", [6, 784], "smaller groups need fewer"),
    ("scale-budget", [5, 98], "25 dB are not reached"),
    ("scale-budget", [5, 28], "Another choice"),
    ("scale-budget", [56, 5], "the bits come first"),
    ("scale-budget", [5.5, 56], "two whole numbers"),
    ("scale-budget", [5, 50], "divisor of 784"),
]


test_wrong_answers_are_named = advised(WRONG)


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


CLAIMS = [
    ("affine-by-hand", [0.2, 5, 5, 7, 15], ["the scale"]),
    ("affine-by-hand", [0.213, 4, 4, 7, 15], ["the zero point"]),
    ("affine-by-hand", [0.213, 5, 4, 7, 15], ["zero has"]),
    ("affine-by-hand", [0.213, 5, 5, 6, 15], ["the code of 0.36"]),
    ("affine-by-hand", [0.213, 5, 5, 7, 16], ["the value outside"]),
    ("per-channel-weights", smaller, ["the largest magnitude", "all values"]),
    ("per-channel-weights", one_channel_louder, ["no channel"]),
    ("per-channel-weights", floored, ["all values"]),
    ("per-channel-weights", with_nan, ["a channel of zeros"]),
    ("per-channel-weights", any_dead, ["a channel of zeros"]),
    ("per-channel-weights", in_place, ["the weight is left"]),
    ("scale-budget", [5, 784], ["this choice"]),
    ("scale-budget", [6, 784], ["no choice"]),
    ("scale-budget", [17, 784], ["bits are", "this choice", "no choice"]),
]

test_each_claim_can_fail = crossed(CLAIMS)


def test_the_numbers_by_hand_are_the_packages() -> None:
    """Oracle: the package's quantizer; 3.2 / 15 by hand."""
    quantizer = affine_from_range(torch.tensor(-1.0), torch.tensor(2.2), IntegerGrid(4))
    assert quantizer.scale.item() == pytest.approx(3.2 / 15)
    assert quantizer.zero_point.item() == 5
    assert quantizer.quantize(torch.tensor([0.0, 0.36, 3.0])).tolist() == [5, 7, 15]


def test_the_fewest_bits_are_those_of_all_choices() -> None:
    """Oracle: brute force with NumPy over all widths and divisors, not in the checker's order."""
    weight = budget_weight().numpy().astype(np.float64)
    least = np.inf
    for size in (g for g in range(1, 785) if 784 % g == 0):
        groups = weight.reshape(300, -1, size)
        end = np.abs(groups).max(axis=2, keepdims=True)
        end[end == 0] = 1
        for bits in range(2, 9):
            scale = end / (2 ** (bits - 1) - 1)
            noise = ((np.round(groups / scale) * scale - groups) ** 2).sum()
            if noise * 10 ** (DECIBELS / 10) <= (groups**2).sum():
                least = min(least, bits + 16 / size)
    assert fewest_bits_per_weight() == pytest.approx(least)


def test_bits_and_decibels_of_a_choice() -> None:
    """Oracle: by hand and the package's size; more bits and smaller groups lower no SQNR here."""
    assert bits_per_weight(5, 56) == pytest.approx(5 + 2 / 7)
    groups = split_groups(budget_weight(), 56)
    grid = IntegerGrid(5, signed=True, narrow=True)
    quantizer = symmetric_from_range(*min_max_range(groups, (0, 1)), grid)
    assert quantized_size(quantizer, groups.numel()).bits / groups.numel() == bits_per_weight(5, 56)
    assert group_sqnr(4, 56) < group_sqnr(5, 56) < group_sqnr(5, 28)
    with pytest.raises(ValueError, match="size must divide the 784 columns"):
        group_sqnr(4, 10)
    with pytest.raises(ValueError, match="size must be at least 1"):
        bits_per_weight(4, 0)
    with pytest.raises(TypeError, match="bits must be an integer"):
        group_sqnr(4.5, 7)


def test_the_weight_cannot_be_changed_through_its_copy() -> None:
    """Oracle: the weight before."""
    budget_weight().zero_()
    assert budget_weight().any()
