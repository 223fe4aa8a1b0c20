"""The checkers of chapter 19 accept right answers, and name wrong ones."""

import math

import pytest
import torch

from exercises.chapters import coding as exercises
from reference_impl import coding
from tests.exercises.claims import judged, spoiling

COUNTS = torch.tensor([7, 4, 3, 1, 1])
LENGTHS = coding.code_lengths(COUNTS)
KEPT = torch.zeros(40, dtype=torch.bool).index_fill(0, torch.tensor([5, 6, 29]), value=True)
GAPS, _ = coding.relative_indices(KEPT, bits=3)
BY_PACKAGE = [
    round(16 * coding.mean_length(COUNTS, LENGTHS)),
    coding.canonical_codes(LENGTHS)[2],
    *(len(GAPS), GAPS[-1]),
]

#: layer → weights, kept in percent, bits of a weight, percent of the size, as the paper has them
LENET300 = [(235_200, 8, 4.4, 2.32), (30_000, 9, 4.4, 3.04), (1000, 26, 4.3, 12.70)]
LENET5 = [
    *((500, 66, 7.2, 67.45), (25_000, 12, 7.2, 5.28)),
    *((400_000, 8, 4.5, 2.45), (5000, 19, 5.2, 6.13)),
]


def bits(rows):
    return sum(n * kept * b for n, kept, b, _ in rows) / sum(n * kept for n, kept, *_ in rows)


def percent(rows):
    return sum(n * size for n, *_, size in rows) / sum(n for n, *_ in rows)


def by_autograd(gradient, codes, size):
    values = torch.zeros(size, dtype=gradient.dtype, requires_grad=True)
    (found,) = torch.autograd.grad((values[codes] * gradient).sum(), values)
    return found


def by_bincount(gradient, codes, size):
    return torch.bincount(codes.flatten(), gradient.flatten(), minlength=size)


def in_blocks(n):
    """Return the bits of a weight, its blocks counted one by one."""
    shares = [0.05, 0.9, 0.05]
    counts = [1.0]
    for _ in range(n):
        counts = [one * share for one in counts for share in shares]
    whole = torch.tensor([round(count * 20**n) for count in counts])
    return coding.mean_length(whole, coding.code_lengths(whole)) / n


HAND, TABLES = [32, 6, 5, 6], [4.4, 4.77, 2.73, 5]
BLOCKS = [1.1, 0.7275, 0.6269]
ENTROPY = -0.9 * math.log2(0.9) - 0.1 * math.log2(0.05)
RIGHT = {
    "coding-hand": [HAND, {1: 110}, BY_PACKAGE],
    "coding-predict": [5.89, 5.9, exercises.fewer()],
    "coding-tables": [TABLES, {2: 2.74}, [bits(LENET300), bits(LENET5), percent(LENET5), 5]],
    "coding-gradient": [by_bincount, by_autograd, lambda *a: by_bincount(*a).numpy()],
    "coding-blocks": [BLOCKS, [in_blocks(n) for n in (1, 2, 3)]],
}

MINIMUM = ", minlength=size"
WRONG = {
    "coding-hand": [
        ({0: 2}, "all 16 symbols"),
        ({0: 48}, "three bits for each", "the bits"),
        ({0: 31.59}, "entropy"),
        ({0: 14}, "A occurs seven times"),
        ({0: 40}, "until one is left", "the bits"),
        ({1: 2}, "of fixed length"),
        ({1: 3}, "append a zero"),
        ({1: 7}, "(code + 1)", "the code of C"),
        ({2: 6}, "after seven others"),
        ({2: 3}, "forgot the fillers"),
        ({2: 4}, "for every eight zeros", "the number"),
        ({3: 7}, "29 − 6 − 1"),
        ({3: 1}, "22 mod 7"),
        ({3: 22}, "22 mod 8", "the last gap"),
    ],
    "coding-predict": [
        (10, "farther from the last one"),
        (0.589, "ten times fewer gaps too"),
        (1.7, "ten times fewer gaps too"),
        (1 / 5.885, "the smaller by the larger"),
        (3, "index_bytes(0.1)", "it is"),
    ],
    "coding-tables": [
        ({0: 5.1}, "the table's total", "LeNet-300-100's"),
        ({1: 4.1}, "the table's total"),
        ({2: 2.55}, "the table's total"),
        ({0: 4.367}, "plain mean"),
        ({1: 6.025}, "plain mean"),
        ({2: 20.33}, "plain mean"),
        ({1: 4.668}, "by all weights"),
        ({2: 3.37}, "by the kept weights"),
        ({2: 36.6}, "in percent", "LeNet-5's size"),
        ({3: 5.2}, "what the table says"),
        ({0: 4.2}, "weight the rows by the kept", "LeNet-300-100's"),
        ({1: 5}, "330, 3,000", "LeNet-5's bits"),
        ({2: 2.9}, "a share of its layer", "LeNet-5's size"),
        ({3: 6}, "is a prefix code", "the most bits"),
    ],
    "coding-gradient": [
        (
            {"torch.bincount(": "torch.bincount(codes.ravel()).reciprocal() * torch.bincount("},
            "mean",
        ),
        ({", gradient.flatten()": ""}, "how many weights"),
        (exercises._last, "does not add"),
        (lambda g, codes, size: by_bincount(g, codes, size)[codes], "gradient of the weights"),
        ({MINIMUM: ""}, "`size` entries", "a value without"),
        (spoiling(by_bincount), "new tensors", "the arguments"),
        (lambda g, codes, size: -by_bincount(g, codes, size), "∂L/∂v_k", "each value", "a value"),
    ],
    "coding-blocks": [
        ({1: 1.455}, "of a pair"),
        ({2: 1.8808}, "of a triple"),
        ({0: ENTROPY}, "does not reach"),
        ({1: 29 / 18}, "the same share"),
        ({0: 2}, "fixed length"),
        ({0: 1.3}, "lengths 2, 1, 2", "the bits of a weight by itself"),
        ({1: 0.8}, "Nine symbols", "the bits of a weight in pairs"),
        ({2: 0.7}, "27 symbols", "the bits of a weight in triples"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_indices_shrink_as_the_entropy_of_the_mask_does():
    """Oracle: H(p) n bits say which of n weights are kept, if each is with a probability p."""
    entropy = {p: -p * math.log2(p) - (1 - p) * math.log2(1 - p) for p in (0.1, 0.01)}
    for share, bits_of_a_weight in entropy.items():
        least = bits_of_a_weight * exercises.LAYER / 8
        assert exercises.index_bytes(share) == pytest.approx(least, rel=0.03)
    assert exercises.fewer() == pytest.approx(entropy[0.1] / entropy[0.01], rel=0.02)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_blocks_come_nearer_to_the_entropy(n):
    """Oracle: H ≤ L < H + 1 for a block, so H ≤ L / n < H + 1 / n; blocks counted one by one."""
    found = exercises.block_bits(exercises.TERNARY, n)
    assert ENTROPY < found < ENTROPY + 1 / n
    assert found == pytest.approx(in_blocks(n))
