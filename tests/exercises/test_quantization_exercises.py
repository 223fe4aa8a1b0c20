"""The checkers of chapters 02, 03 and 05 accept right answers, and name wrong ones."""

import numpy as np
import pytest
import torch

from exercises.chapters import affine
from exercises.chapters.codebook import layer_weights, least_size
from exercises.chapters.rounding import outlier_signal
from reference_impl import quantization
from reference_impl.measuring import quantized_size, sqnr
from tests.exercises.claims import judged, spoiling


def inverse(q, low, high, bits):
    return low + (high - low) / (2**bits - 1) * q.float()


def numpy_inverse(codes, low, high, bits):
    return np.linspace(low, high, 2**bits)[codes.long().numpy()]


def stochastic(x, generator):
    draw = torch.rand(x.shape, generator=generator)
    part = x - x.floor()
    return x.floor() + (draw < part).float()


def ceiling_stochastic(x, generator):
    down = torch.rand(x.shape, generator=generator) < x.ceil() - x
    return torch.where(down, x.floor(), x.ceil())


def in_pairs(x, generator):
    """Return draws of which each serves two elements."""
    draws = torch.rand((x.numel() + 1) // 2, generator=generator).repeat_interleave(2)
    return draws[: x.numel()].view(x.shape)


VALUES = torch.tensor([-1.0, -0.5, 0.7, 1.4])
PART, DRAW = "draw < part", "torch.rand(x.shape, generator=generator)"
UP = "x.floor() + (draw < part).float()"


def by_channel(weight, bits):
    q_max = 2 ** (bits - 1) - 1
    end = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True)
    scale = torch.where(end == 0, 1.0, end) / q_max
    q = torch.round(weight / scale).clamp(-q_max, q_max)
    return q * scale


def channels_by_torch(weight, bits):
    q_max = 2 ** (bits - 1) - 1
    scale = weight.flatten(1).abs().amax(1).clamp(min=1e-9) / q_max
    zeros = torch.zeros(len(weight), dtype=torch.int32)
    return torch.fake_quantize_per_channel_affine(weight, scale, zeros, 0, -q_max, q_max)


ENDS = torch.tensor([-1.0, 2.2])
FOUR_BITS = quantization.affine_from_range(*ENDS, quantization.IntegerGrid(4))
CODES = FOUR_BITS.quantize(torch.tensor([0.0, 0.36, 3.0]))


def asymmetric(weight, bits):
    ends = quantization.min_max_range(weight, 0)
    return quantization.affine_from_range(*ends, quantization.IntegerGrid(bits)).round_trip(weight)


def affine_codes(x, bits):
    low, high = x.min().clamp(max=0), x.max().clamp(min=0)
    scale = (high - low) / (2**bits - 1)
    zero_point = torch.round(-low / scale)
    codes = (torch.round(x / scale) + zero_point).clamp(0, 2**bits - 1)
    return codes, scale, zero_point


def affine_of_the_package(x, bits):
    ends = quantization.min_max_range(x)
    made = quantization.affine_from_range(*ends, quantization.IntegerGrid(bits))
    return made.quantize(x), made.scale, made.zero_point


def looping_step(x, centroids):
    nearest = (x[:, None] - centroids).abs().argmin(dim=1)
    moved = centroids.clone()
    for k in range(len(centroids)):
        if (nearest == k).any():
            moved[k] = x[nearest == k].mean()
    return moved


def codes_by_order(x, levels):
    order = levels.argsort()
    ascending = levels[order]
    places = torch.bucketize(x, (ascending[1:] + ascending[:-1]) / 2)
    return order[places]


def codes_by_distance(x, levels):
    return np.abs(x.numpy()[:, None] - levels.numpy()).argmin(axis=1)


RIGHT = {
    "rounding-hand": [[0, 1, 5, 7], quantization.min_max_quantizer(VALUES, 3).quantize(VALUES)],
    "rounding-inverse": [inverse, numpy_inverse],
    "rounding-stochastic": [
        stochastic,
        ceiling_stochastic,
        {"(draw < part).float()": "torch.bernoulli(part, generator=generator)"},
        {"(x.shape": "(out=torch.empty(x.shape), size=x.shape"},
        {"(x.shape": "(*x.shape, dtype=torch.float64"},
    ],
    "rounding-outlier": [[11, 3], (11.0, 3)],
    "rounding-thermometer": [[10, 7, 1268]],
    "affine-hand": [[0.213, 5, 5, 7, 15], [FOUR_BITS.scale, FOUR_BITS.zero_point, *CODES]],
    "affine-channel": [by_channel, channels_by_torch, lambda w, b: by_channel(w.double(), b)],
    "affine-budget": [[5, 56]],
    "affine-bug": [affine_codes, affine_of_the_package],
    "affine-swish": [[5.66, 11, 11.8], [5.65, 11, 11.78]],
    "codebook-hand": [[4.6, 22], [22, 4.6]],
    "codebook-step": [looping_step, lambda *a: looping_step(*a).numpy()],
    "codebook-size": [7],
    "codebook-nearest": [codes_by_order, codes_by_distance],
    "codebook-importance": [[0, 6.4, 43.2]],
}

WRONG = {
    "rounding-hand": [
        ([0, 2, 6, 8], "2^b − 1 steps"),
        ([-3, -1, 2, 4], "subtract the minimum"),
        ([0, 1, 4, 7], "cut the fraction off"),
        ([0, 1, 2, 3], "b steps, or 2 bits"),
        ([1, 1, 5, 7], "Subtract the smallest", "the smallest", "all four"),
        ([0, 1, 5, 6], "count from 0 to 7", "the largest", "all four"),
        ([0, 2, 5, 7], "Divide (x − min) by the step", "all four"),
    ],
    "rounding-inverse": [
        ({"low + (": "("}, "left the minimum out"),
        ({"(2**bits - 1)": "2**bits"}, "Your step is"),
        ({"/ (2**bits - 1) * q.float()": "* q / (2**bits - 1)"}, "wraps around"),
        (lambda q, *ends: inverse(q.to(torch.uint8), *ends), "one step"),
        (lambda *a: inverse(*a).flatten(), "same shape", "the result has the shape"),
        ({"low + (high": "high - (high"}, "Code 0 stands for min"),
        ({"low +": "low + (q.numel() == 1) * (q == 0) +"}, "Code 0 stands for min", "code 0"),
        ({"low +": "low + (q.numel() == 1) * (q > 0) +"}, "stands for max", "the largest"),
        (
            {"low +": "low + 1e-3 * (q > 0) * (q < 2**bits - 1) * (q.dtype == torch.int32) +"},
            *("a code of more than 8 bits", "codes in between"),
        ),
    ],
    "rounding-stochastic": [
        (lambda x, _: torch.round(x), "nothing is random"),
        (lambda x, _: torch.floor(x), "always rounds down"),
        ({PART: "(draw > part) & (part > 0)"}, "Up and down are swapped"),
        ({PART: "(draw < 0.5) & (part > 0)"}, "fair coin"),
        ({"x.shape": "()"}, "Elements moved together"),
        ({DRAW: "in_pairs(x, generator)"}, "Elements moved together", "each element"),
        ({PART: "draw <= part"}, "if r is 0"),
        ({", generator=generator": ""}, "generator that is given"),
        ({"=generator": "=generator.manual_seed(1)"}, "do not seed it yourself"),
        (
            {"=generator": "=torch.Generator().manual_seed(generator.initial_seed())"},
            *("do not seed it yourself", "another seed"),
        ),
        (spoiling(stochastic), "changed x itself"),
        ({UP: "torch.floor(x + draw * (1 - 2**-30))"}, "moves a large one"),
        ({UP: "torch.round(x + 2 * draw - 1)"}, "nothing else"),
        (lambda x, g: stochastic(x.flatten(), g), "in the shape of x", "every result"),
        ({PART: "(draw < part) | (x >= 100_000)"}, "must never move", "integers stay"),
        ({PART: "draw < part + 0.05 * (part > 0)"}, "Go up with probability", "the mean"),
    ],
    "rounding-outlier": [
        ({0: 7}, "rule of thumb"),
        ({0: 8}, "without the outlier"),
        ({0: 10}, "stays below 40 dB", "this many bits"),
        ({0: 12}, "try one less", "one bit fewer"),
        ({0: 11.5}, "whole number of bits", "the answer is a whole"),
        ({0: 17}, "from 1 to 16", "the answer is a whole", "this many bits", "one bit fewer"),
        ({1: 8}, "how many more it causes", "the bits due to the outlier"),
        ({1: 4}, "and subtract", "the bits due to the outlier"),
    ],
    "rounding-thermometer": [
        ([11, 8, 1448], "0.05 °C is half a step"),
        ({0: 9}, "how many steps have 65", "the bits for a year"),
        ({1: 6}, "12 °C instead of 65", "the bits for a day"),
        ({2: 1260}, "left out the minimum", "the bytes of a day"),
        ({2: 10_144}, "not bytes", "the bytes of a day"),
        ({2: 1448}, "no whole byte", "the bytes of a day"),
        ({2: 1808}, "bits of a year for a day", "the bytes of a day"),
        ({2: 1264}, "need 4 bytes each", "the bytes of a day"),
    ],
    "affine-hand": [
        ([0.2, 5, 5, 7, 15], "16 codes have 15 steps", "the scale"),
        ([0.147, 7, 7, 9, 15], "lower end"),
        ([0.213, -5, -5, -3, 9], "wrong sign"),
        ([0.213, 4.69, 4.69, 6.4, 15], "whole number"),
        ([0.213, 4, 4, 7, 15], "fraction of the zero point off", "the zero point"),
        ([0.213, 5, 4, 7, 15], "q = round(0 / s) + z", "zero has"),
        ([0.213, 5, 5, 6, 15], "the formula of chapter 02", "the code of 0.36"),
        ([0.213, 5, 5, 7, 19], "no code above 15"),
        ([0.213, 5, 5, 7, 16], "Four bits end", "the value outside"),
    ],
    "affine-channel": [
        ({"range(1, ": "range("}, "one scale for the whole tensor"),
        ({"tuple(range(1,": "(0, *range(2,"}, "belong to the inputs"),
        ({"/ q_max": "/ (q_max + 1)"}, "q_max is one less"),
        ({"/ q_max": "/ (q_max + 0.5)", "(-q_max": "(-q_max - 1"}, "torch's observers"),
        (asymmetric, "here z = 0"),
        ({"end == 0": "end < 0"}, "0 / 0", "a channel of zeros"),
        ({"end == 0": "(end == 0).any()"}, "0 / 0", "a channel of zeros"),
        (spoiling(by_channel), "Work on a copy", "the weight is left"),
        ({"torch.round(weight / scale": "torch.floor(weight / scale + 1e-4"}, "round", "all"),
        ({"round": "trunc"}, "cut the fraction"),
        ({"return q * scale": "return q"}, "the restored weight is s q"),
        (
            {"* scale": "* scale * (1 - 0.01 * (weight.abs() == end))"},
            *("the largest weight of a channel", "the largest magnitude", "all values"),
        ),
        ({"* scale": "* scale * (1 + (end.max() > 500))"}, "has a scale of its own", "no ch"),
        ({"tuple(range(1, weight.ndim))": "weight.ndim - 1"}, "right for a matrix"),
        (lambda w, b: by_channel(w.view(len(w), 8), b), "right for a matrix"),
        (lambda w, b: by_channel(w, b).flatten(), "the shape of the weight"),
    ],
    "affine-budget": [
        ([2, 1], "left the scales out"),
        ([6, 784], "smaller groups need fewer", "no choice"),
        ([5, 784], "25 dB are not reached", "this choice"),
        ([5, 28], "Another choice"),
        ([56, 5], "the bits come first"),
        ([5.5, 56], "two whole numbers"),
        ([17, 784], "bits from 2 to 8", "bits are", "this choice", "no choice"),
        ([5, 50], "divisor of 784"),
    ],
    "affine-bug": [
        (
            {
                ".clamp(max=0)": "",
                ".clamp(min=0)": "",
                "+ zero_point).clamp(0, 2**bits - 1)": ").clamp(0, 2**bits - 1) + zero_point",
            },
            *("clip before", "the codes", "the zero point", "no value", "the scale"),
        ),
        (
            {"+ zero_point).clamp(0, 2**bits - 1)": ").clamp(0, 2**bits - 1) + zero_point"},
            *("clip before", "no value"),
        ),
        (
            {".clamp(max=0)": "", ".clamp(min=0)": ""},
            *("stretch it first", "the zero point", "the scale"),
        ),
        (
            {
                ".clamp(max=0)": "",
                ".clamp(min=0)": "",
                "-low / scale)": "-low / scale).clamp(0, 2**bits - 1)",
            },
            *("not enough", "no value", "the scale"),
        ),
        (
            {".clamp(min=0)": ""},
            *("lower end only", "the zero point", "the scale"),
        ),
        ({"torch.round(-low": "torch.floor(-low"}, "cut the fraction", "no value"),
        ({"torch.round(-low / scale)": "-low / scale"}, "Codes are whole", "the codes", "the z"),
        ({".clamp(0, 2**bits - 1)": ".clamp(0, 2**bits - 2)"}, "Compare", "no value"),
        ({"(2**bits - 1)\n": "2**bits\n"}, "divided by 2^b", "the zero", "no value", "the scale"),
        (spoiling(affine_codes), "Work on a copy", "x is left"),
        (lambda x, b: affine_codes(x, b)[0], "codes, scale and zero point"),
        (lambda x, b: (affine_codes(x, b)[0], x, x), "one number each"),
        (lambda x, b: (affine_codes(x, b)[0][:1], x[0], x[0]), "the shape of x"),
    ],
    "affine-swish": [
        ({0: 6.02}, "never negative", "the gain"),
        ({0: 6.05}, "never negative", "the gain"),
        ({0: 2.83}, "10 log10 of its square", "the gain"),
        ({0: -5.66}, "the smaller step", "the gain"),
        ({0: 5.59}, "q_max = 127", "the gain"),
        ({0: 3}, "what are the two steps", "the gain"),
        ({1: 12}, "own code", "the number"),
        ({1: 10}, "below the zero point", "the number"),
        ({2: 0.5}, "inside the range only", "the largest"),
        ({2: 11.3}, "6/255", "the largest"),
        ({2: 10}, "clipped to 0", "the largest"),
    ],
    "codebook-hand": [
        ([2, 13], "fixed point", "no other pair"),
        ([1, 22], "min–max"),
        ([3, 22], "medians"),
        ([4, 20], "Give each number to the nearer"),
        ([4.6, 21.8], "both must be means of theirs", "each value is the mean"),
    ],
    "codebook-step": [
        ({"(nearest == k).any()": "True"}, "became nan"),
        (
            {"(nearest == k).any()": "True", "mean()": "sum() / max((nearest == k).sum(), 1)"},
            "became 0",
            "a level",
        ),
        ({"return moved": "return moved[nearest.unique()]"}, "keep it, and do not divide"),
        ({"mean": "median"}, "medians"),
        ({".abs().argmin(dim=1)": ".gt(0).sum(dim=1).sub(1).clamp_min(0)"}, "half-way"),
        (lambda _, centroids: centroids, "as they were"),
        (spoiling(looping_step, 1), "Work on new tensors", "x and levels"),
    ],
    "codebook-size": [
        (3, "number of bits"),
        (4, "number of bits"),
        (16, "min–max rounding uses"),
        (8, "power of two"),
        (7.4, "Count the levels", "the answer is a whole"),
        (6, "Measure", "this many levels"),
        (9, "smaller codebook", "one level fewer"),
    ],
    "codebook-nearest": [
        (torch.bucketize, "still the levels"),
        (
            lambda x, levels: torch.bucketize(x, levels).clamp(max=len(levels) - 1),
            "half-way",
            "with ascending",
            "with levels in any",
        ),
        ({"levels.argsort()": "torch.arange(len(levels))"}, "expects ascending"),
        ({"order[places]": "places"}, "translate them"),
        ({"order[places]": "order.flip(0)[places]"}, "half-way", "with asc", "with levels in any"),
        (
            {"order[places]": "order[places] - 1"},
            "Codes run from 0",
            "every code",
            "with ascending",
            "with levels in any",
        ),
        (spoiling(codes_by_order, 1), "Work on new tensors", "x and levels"),
    ],
    "codebook-importance": [
        ([10 / 3, 12, 56 / 3], "without importances"),
        ([2, 12, 64], "unweighted problem"),
        ([1, 8, 48], "another cut"),
        ({1: 7.33}, "plain mean", "the upper"),
        ({0: 1}, "all three cuts", "the lower"),
        ({1: 6}, "weighted mean of its cell", "the upper"),
        ({2: 25.6}, "importance of its weight", "the weighted error"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_the_outlier_is_50():
    """Oracle: the exercise's text."""
    assert outlier_signal()[-1] == 50
    assert outlier_signal().shape == (10_001,)


def test_the_fewest_bits_are_those_of_all_choices():
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


def test_bits_and_decibels_of_a_choice():
    """Oracle: by hand and the package's size; more bits and smaller groups lower no SQNR here."""
    assert affine.bits_per_weight(5, 56) == pytest.approx(5 + 2 / 7)
    groups = quantization.split_groups(affine.budget_weight(), 56)
    grid = quantization.IntegerGrid(5, signed=True, narrow=True)
    quantizer = quantization.symmetric_from_range(*quantization.min_max_range(groups, (0, 1)), grid)
    stored = quantized_size(quantizer, groups.numel()).bits / groups.numel()
    assert stored == affine.bits_per_weight(5, 56)
    assert affine.group_sqnr(4, 56) < affine.group_sqnr(5, 56) < affine.group_sqnr(5, 28)


def test_the_weight_cannot_be_changed_through_its_copy():
    """Oracle: the weight before."""
    affine.budget_weight().zero_()
    assert affine.budget_weight().any()


def test_the_step_of_the_checker_is_lloyds():
    """Oracle: the package's iteration, stopped after one step."""
    x = torch.randn(300, generator=torch.Generator().manual_seed(0)).double()
    start = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    run = quantization.lloyd(x, start, steps=1)
    assert run.quantizer.values == pytest.approx(looping_step(x, start).tolist())


def test_the_least_size_is_the_first_that_reaches_the_ratio():
    """Oracle: the SQNR measured at the size and below it."""
    x = layer_weights()[:2]
    size = least_size(x, 15.0)
    assert sqnr(x, quantization.optimal_codebook(x, size).round_trip(x)) >= 15
    assert sqnr(x, quantization.optimal_codebook(x, size - 1).round_trip(x)) < 15
    with pytest.raises(ValueError, match="decibels must be reached with 64 values"):
        least_size(x, 200.0)
