"""The checkers of chapter 22 accept right answers, and name wrong ones."""

import math

import pytest
import torch
from scipy.linalg import hadamard

from exercises.chapters import questions
from reference_impl.quantization import AffineQuantizer, IntegerGrid
from tests.exercises.claims import judged, spoiling

ROTATION = torch.tensor(hadamard(16) / 4)
LARGEST = [(8 * ROTATION[:, 0]).abs().max(), ROTATION.sum(dim=1).abs().max()]


def by_channel(keys, bits):
    scale = keys.abs().amax(dim=0, keepdim=True) / (2 ** (bits - 1) - 1)
    scale = scale.where(scale > 0, 1)
    return (keys / scale).round() * scale


def by_package(keys, bits):
    """Round each channel by the package's symmetric quantizer of one tensor."""
    grid = IntegerGrid(bits, signed=True)
    columns = []
    for column in keys.T:
        scale = column.abs().max() / grid.q_max
        quantizer = AffineQuantizer(scale if scale else torch.tensor(1.0), torch.tensor(0), grid)
        columns.append(quantizer.round_trip(column))
    return torch.stack(columns, dim=1)


def by_search(a, cost):
    tokens, best, time = 1.0, (1.0, 0), 1.0
    for k in range(1, 21):
        tokens, time = tokens + a**k, time + cost
        if tokens / time > best[0] + 1e-12:
            best = tokens / time, k
    return best[1]


def closed(a, cost):
    def speed(k):
        tokens = k + 1 if a == 1 else (1 - a ** (k + 1)) / (1 - a)
        return tokens / (1 + k * cost)

    return max(range(21), key=lambda k: (round(speed(k), 12), -k))


NUMBERS = 24 * 2 * 1024

RIGHT = {
    "questions-block": [[5, 6.4, 1.75, 1.4423], [4 + 8 / 8, 32 / 5, 1.75, 1.44]],
    "questions-rotation": [[2, 4], LARGEST],
    "questions-keys": [by_channel, by_package, lambda *case: by_channel(*case).numpy()],
    "questions-draft": [by_search, closed, lambda *case: torch.tensor(closed(*case))],
    "questions-cache": [
        [402_653_184, 113_246_208, 14_563],
        [NUMBERS * 4096 * 2, NUMBERS * 4096 * 9 / 16, math.floor(4096 * 32 / 9)],
    ],
}

WRONG = {
    "questions-block": [
        ({0: 4}, "forgot the scale"),
        ({0: 12}, "for each number"),
        ({1: 8}, "32 bits over", "the ratio"),
        ({2: 0.75}, "the large model itself"),
        ({2: 3}, "as accepted"),
        ({3: 1.875}, "drafting takes"),
        ({3: 6.25}, "pass itself"),
        ({3: 1.5}, "1 + 3/10", "the tokens in"),
    ],
    "questions-rotation": [
        ({0: 8}, "still in one place"),
        ({0: 0.5}, "over √16"),
        ({0: 1}, "one entry of x", "the outlier"),
        ({1: 1}, "keeps the length"),
        ({1: 16}, "divide the sum"),
        ({1: 2}, "16 entries", "the constant"),
    ],
    "questions-keys": [
        ({"dim=0": "dim=1", "(2 ** (bits - 1) - 1)": "2 ** (bits - 1)"}, "Both faults"),
        ({"dim=0": "dim=1"}, "for each token", "each channel", "a channel"),
        (
            {"(2 ** (bits - 1) - 1)": "2 ** (bits - 1)"},
            "8 has no code",
            "each channel",
            "a channel",
        ),
        ({"(2 ** (bits - 1) - 1)": "(2**bits - 1)"}, "unsigned"),
        ({"scale.where(scale > 0, 1)": "scale"}, "0/0", "a channel of zeros"),
        (spoiling(by_channel), "a new tensor", "the keys"),
        (lambda keys, bits: keys.sum(dim=0), "shape of keys"),
    ],
    "questions-draft": [
        (lambda a, cost: 20, "what drafting costs", "it finds", "where no"),
        (
            lambda a, cost: max(range(21), key=lambda k: sum(a**i for i in range(k + 1))),
            "what drafting costs",
        ),
        ({"tokens, best, time = 1.0, (1.0, 0)": "tokens, best, time = 0.0, (0.0, 0)"}, "adds"),
        (lambda a, cost: max(1, by_search(a, cost)), "k may be 0"),
        (lambda a, cost: max(1, by_search(a, 0.001)), "1 + a", "it finds", "where no"),
        (lambda a, cost: None, "must return a number"),
    ],
    "questions-cache": [
        ({0: 201_326_592}, "and* a value"),
        ({0: 3_221_225_472}, "eight of them"),
        ({1: 100_663_296}, "half a bit"),
        ({1: 503_316_480}, "of its own"),
        ({2: 14_564}, "round down"),
        ({2: 16_384}, "half a bit"),
        ({1: 1}, "16/32", "the bytes in 4"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


@pytest.mark.parametrize(("a", "cost"), questions.DRAFTS)
def test_the_lengths_of_drafts_are_best(a, cost):
    """Oracle: 1 + a + … + a^k by the closed form, all lengths compared."""
    speeds = [(1 - a ** (k + 1)) / (1 - a) / (1 + k * cost) for k in range(21)]
    assert speeds[by_search(a, cost)] == pytest.approx(max(speeds))
