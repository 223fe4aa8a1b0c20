"""Exercises of chapter 22: blocks and drafts by hand, a rotation, a bug, a length, a cache."""

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    WrongResultError,
    a_function,
    a_number,
    agrees,
    as_number,
    as_numbers,
    at,
    called,
    either,
    leaves,
    normals,
    numbers,
    shaped_as,
)

EXERCISES: dict[str, Exercise] = {}

# -- by hand: bits of a block, tokens of a pass ----------------------------------------------------

BITS, SMALLER, TOKENS, SPEED = 5.0, 6.4, 1.75, 1.875 / 1.3
"""4 + 8/8; 32/5; 1 + ½ + ¼; 1 + ½ + ¼ + ⅛ in the time of 1.3 passes."""

EXERCISES["questions-block"] = Exercise(
    kind=numbers(4),
    claims={
        "the bits are right": (at(0, BITS), "4 bits, and an eighth of the scale's."),
        "the ratio is right": (at(1, SMALLER), "32 bits over the bits of a number."),
        "the tokens of a pass are right": (
            at(2, TOKENS),
            "1 + ½ + ¼: the token that the large model adds counts as well.",
        ),
        "the tokens in the time of a pass are right": (
            at(3, SPEED),
            "1 + ½ + ¼ + ⅛ tokens in the time of 1 + 3/10 passes.",
        ),
    },
    mistakes={
        "You forgot the scale: each block has one.": at(0, 4.0),
        "You counted a whole scale for each number.": at(0, 12.0),
        "You forgot the token of the large model itself.": at(2, 0.75),
        "You counted all drafts as accepted.": at(2, 3.0),
        "You forgot the time that drafting takes.": at(3, 1.875),
        "You forgot the time of the pass itself.": at(3, 1.875 / 0.3),
    },
)

# -- predict before you run: an outlier and a constant, rotated ------------------------------------

EXERCISES["questions-rotation"] = Exercise(
    kind=numbers(2),
    claims={
        "the outlier's largest magnitude is right": (
            at(0, 2.0),
            "Each entry of the matrix is ±¼, and one entry of x is not 0.",
        ),
        "the constant's largest magnitude is right": (
            at(1, 4.0),
            "One row of the matrix has 16 entries of +¼.",
        ),
    },
    mistakes={
        "The outlier is still in one place: each entry becomes ±8/4.": at(0, 8.0),
        "You divided by 16; the rotation is Hadamard's matrix over √16.": at(0, 0.5),
        "A rotation keeps the length, not each entry: the ones meet in one place.": at(1, 1.0),
        "You forgot to divide the sum of 16 ones by 4.": at(1, 16.0),
    },
)

# -- spot the bug: keys with a scale for each channel ----------------------------------------------


def _right(keys: Tensor, bits: int) -> Tensor:
    return _rounded(keys, 0, 2 ** (bits - 1) - 1)


def _rounded(keys: Tensor, dim: int, largest: int) -> Tensor:
    scale = keys.abs().amax(dim=dim, keepdim=True) / largest
    scale = scale.where(scale > 0, 1)
    return (keys / scale).round() * scale


def _keys() -> list[Case]:
    (drawn,) = normals(0, (40, 6))
    drawn[:, 2] *= 10
    return [(drawn, 4), (drawn[:7], 3)]


def _silent() -> Case:
    (drawn,) = normals(1, (9, 3))
    drawn[:, 1] = 0
    return drawn, 4


def _run(answer: Callable[..., Tensor], case: Case) -> Tensor:
    return shaped_as(case[0], "keys", called(answer, case))


def _makes(dim: int, codes: Callable[[int], int]) -> Test:
    return agrees(lambda keys, bits: _rounded(keys, dim, codes(bits)), _keys, _run)


EXERCISES["questions-keys"] = Exercise(
    kind=a_function("keys_in_bits(keys, bits)"),
    claims={
        "each channel has a scale of its own, and codes up to 2^(bits − 1) − 1": (
            agrees(_right, _keys, _run),
            "The maximum runs over the tokens, and the largest signed code is 2^(bits − 1) − 1.",
        ),
        "a channel of zeros stays 0": (
            agrees(_right, lambda: [_silent()], _run),
            "Its scale is 0, and 0/0 is not a number.",
        ),
        "the keys are left as they are": (leaves(_silent), "Return a new tensor."),
    },
    mistakes={
        "Both faults are still there.": _makes(1, lambda bits: 2 ** (bits - 1)),
        "The maximum still runs over the channels: that is a scale for each token.": _makes(
            1, lambda bits: 2 ** (bits - 1) - 1
        ),
        "The largest code of b signed bits is 2^(b − 1) − 1: 8 has no code in 4 bits.": _makes(
            0, lambda bits: 2 ** (bits - 1)
        ),
        "These are the codes of unsigned numbers; keys have both signs.": _makes(
            0, lambda bits: 2**bits - 1
        ),
    },
)

# -- implement: how far ahead a draft should write -------------------------------------------------

Length = Callable[[float, float], int]
DRAFTS = [(a, cost) for a in (0.05, 0.3, 0.5, 0.8, 0.95) for cost in (0.02, 0.1, 0.4)]


def _tokens(a: float, k: int) -> float:
    return sum(a**i for i in range(k + 1))


def _best(speed: Callable[[float, float, int], float], first: int = 0) -> Length:
    return lambda a, cost: max(range(first, 21), key=lambda k: speed(a, cost, k))


_LENGTH = _best(lambda a, cost, k: _tokens(a, k) / (1 + k * cost))


def _whole(answer: Length, case: Case) -> Tensor:
    found = answer(*case)
    if wrong := a_number(found):
        raise WrongResultError(f"The function must return a number. {wrong}")
    return torch.tensor(as_number(found))


def _lengths(formula: Length, cases: list[tuple[float, float]]) -> Test:
    return agrees(lambda *case: torch.tensor(float(formula(*case))), lambda: cases, _whole)


EXERCISES["questions-draft"] = Exercise(
    kind=a_function("draft_length(a, cost)"),
    claims={
        "it finds the length with the most tokens per time": (
            _lengths(_LENGTH, DRAFTS),
            "Tokens 1 + a + … + a^k over the time 1 + k · cost, for k from 0 to 20.",
        ),
        "drafts that are always accepted are as long as allowed": (
            _lengths(_LENGTH, [(1.0, 0.1)]),
            "With a = 1 there are k + 1 tokens; the closed form divides by 0.",
        ),
        "where no draft pays, the length is 0": (
            _lengths(_LENGTH, [(0.0, 0.1), (0.1, 0.5), (1.0, 1.0)]),
            "0 is allowed, and of equal values the smallest k is asked.",
        ),
    },
    mistakes={
        "You left out what drafting costs: then longer is always better.": either(
            _lengths(_best(lambda a, _cost, k: _tokens(a, k)), DRAFTS),
            _lengths(lambda _a, _cost: 20, DRAFTS),
        ),
        "You left out the token that the large model adds.": _lengths(
            _best(lambda a, cost, k: (_tokens(a, k) - 1) / (1 + k * cost)), DRAFTS
        ),
        "You left out the time of the large model's pass.": _lengths(
            _best(lambda a, cost, k: _tokens(a, k) / (k * cost), first=1), DRAFTS
        ),
        "No draft at all is allowed too: k may be 0.": _lengths(
            _best(lambda a, cost, k: _tokens(a, k) / (1 + k * cost), first=1), DRAFTS
        ),
    },
)

# -- transfer: the cache of a language model -------------------------------------------------------

IN_16, IN_4, FIT = 402_653_184, 113_246_208, 14_563
"""24 · 2 · 1024 · 4096 numbers of 2 bytes; of 4.5 bits; how many tokens of 27,648 bytes fit."""

EXERCISES["questions-cache"] = Exercise(
    kind=numbers(3),
    claims={
        "the bytes in 16 bits are right": (
            at(0, IN_16),
            "24 layers · 2 vectors · 1,024 numbers · 4,096 tokens · 2 bytes.",
        ),
        "the bytes in 4 bits are right": (at(1, IN_4), "4 + 16/32 bits a number."),
        "the tokens that fit are right": (
            at(2, FIT),
            "Divide the first answer by the bytes of a token, and round down.",
        ),
    },
    mistakes={
        "Each layer keeps a key *and* a value.": at(0, IN_16 // 2),
        "You gave bits; eight of them are a byte.": at(0, 8 * IN_16),
        "You gave each number a scale of its own.": at(1, IN_16 * 20 // 16),
        "The last token does not fit whole: round down.": (
            lambda answer: FIT < float(as_numbers(answer)[2]) <= FIT + 1
        ),
        "You forgot the scales: half a bit for each number.": either(
            at(1, IN_16 // 4), at(2, 16_384)
        ),
    },
)
