"""Exercises of chapter 21: bytes of a file, what is fused, packed codes, a quiet round, Amdahl."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    agrees,
    at,
    called,
    leaves,
    near,
    numbers,
)

EXERCISES: dict[str, Exercise] = {}

# -- by hand: the bytes of a linear layer, 784 → 300 -----------------------------------------------

WEIGHTS, OUTPUTS = 784 * 300, 300
BYTES = (4 * (WEIGHTS + OUTPUTS), WEIGHTS + 12 * OUTPUTS, WEIGHTS // 2 + 12 * OUTPUTS)
"""In float32; in 8 and in 4 bits with s_w, the bias and s_a s_w, 4 bytes each, for each output."""

EXERCISES["deploy-bytes"] = Exercise(
    kind=numbers(3),
    claims={
        "the bytes in float32 are right": (
            at(0, BYTES[0]),
            "Four bytes for each of 784 · 300 weights and 300 biases.",
        ),
        "the bytes with 8 bits are right": (
            at(1, BYTES[1]),
            "One byte a weight; and for each output s_w, the bias and s_a s_w, of 4 bytes each.",
        ),
        "the bytes with 4 bits are right": (
            at(2, BYTES[2]),
            "Half a byte a weight; what belongs to the outputs is as before.",
        ),
    },
    mistakes={
        "You forgot the biases in float32.": at(0, 4 * WEIGHTS),
        "You forgot the scales and biases.": at(1, WEIGHTS),
        "You forgot the scale of the biases, s_a s_w.": at(1, WEIGHTS + 8 * OUTPUTS),
        "Biases have 32 bits, not 8: they are sums of products.": at(1, WEIGHTS + 9 * OUTPUTS),
        "You halved the scales and biases too; they keep their 4 bytes.": at(2, BYTES[1] // 2),
    },
)

# -- to predict: the convolutions that stay in floating point --------------------------------------

EXERCISES["deploy-fused"] = Exercise(
    kind=numbers(2),
    claims={
        "the student's number is right": (
            at(0, 1),
            "Its third convolution is followed by ReLU and a mean, and rounded only then.",
        ),
        "the residual network's number is right": (
            at(1, 4),
            "The first convolution, and the second of each block: what they compute is added to "
            "something else before anything rounds it.",
        ),
    },
    mistakes={
        "You counted the convolutions in integers; the others are asked for.": near((2, 3)),
        "ReLU and max-pooling do not stop it: both can be done in codes.": at(0, 3),
        "A mean is not an operation on codes here: what it reads is not rounded.": at(0, 0),
        "The first convolution writes the stream, which a block both reads and adds to.": at(1, 3),
    },
)

# -- to find: the bug in packing -------------------------------------------------------------------

Pack = Callable[[Tensor], Any]


def _packed(codes: Tensor) -> Tensor:
    low, high = codes[::2] & 15, codes[1::2] & 15
    return (low | (high << 4)).to(torch.uint8)


def _positive() -> list[Case]:
    return [(torch.tensor([1, 7, 0, 3, 6, 0], dtype=torch.int8),)]


def _negative() -> list[Case]:
    return [(torch.tensor([-7, -1, -1, 3, 4, -8, -2, 0], dtype=torch.int8),)]


def _bytes(answer: Pack, case: Case) -> Tensor:
    return called(answer, case).to(torch.int64) & 255


def _packs(formula: Callable[[Tensor], Any]) -> Test:
    return agrees(formula, _negative, _bytes)


EXERCISES["deploy-pack"] = Exercise(
    kind=a_function("pack(codes)"),
    claims={
        "codes that are not negative are packed": (
            agrees(_packed, _positive, _bytes),
            "The first code of a pair is the lower half of the byte, the second the upper one.",
        ),
        "negative codes are packed": (
            agrees(_packed, _negative, _bytes),
            "In 8 bits −1 is 11111111: only its lower four bits belong in the byte.",
        ),
        "a byte is unsigned": (
            lambda f: called(f, _negative()[0]).dtype == torch.uint8,
            "Return torch.uint8.",
        ),
        "what it is given stays as it is": (
            leaves(lambda: _negative()[0]),
            "Return a new tensor.",
        ),
    },
    mistakes={
        "The upper bits of a negative first code still overwrite the second.": _packs(
            lambda codes: (codes[::2] | (codes[1::2] << 4)).to(torch.uint8).long()
        ),
        "You swapped the halves.": _packs(
            lambda codes: ((codes[1::2] & 15) | ((codes[::2] & 15) << 4)).to(torch.uint8).long()
        ),
        "You shifted the codes to 0 … 15; the format wants two's complement.": _packs(
            lambda codes: ((codes[::2] + 8) | ((codes[1::2] + 8) << 4)).to(torch.uint8).long()
        ),
    },
)

# -- implement: the median and the 95th percentile of the quietest round ---------------------------

Quiet = Callable[[Tensor], Any]


def _quiet(times: Tensor) -> Tensor:
    best = times[times.quantile(0.5, dim=1).argmin()]
    return best.quantile(torch.tensor([0.5, 0.95], dtype=times.dtype))


def _rounds() -> list[Case]:
    draws = torch.Generator().manual_seed(18)
    noise = torch.rand(5, 41, generator=draws, dtype=torch.float64)
    slow = torch.tensor([3.0, 0.0, 1.0, 0.5, 2.0], dtype=torch.float64)[:, None]
    times = 20 + slow + noise
    times[1, :3] += 100  # the quietest round has the slowest calls
    times[4, 0] = 1.0  # and the fastest call is in another one
    return [(times,)]


def _measures(formula: Callable[[Tensor], Any]) -> Test:
    return agrees(formula, _rounds, within=1e-3)


EXERCISES["deploy-quiet"] = Exercise(
    kind=a_function("quiet(times)"),
    claims={
        "it returns two numbers": (
            lambda f: called(f, _rounds()[0]).shape == (2,),
            "A tensor of two numbers: p50 and p95.",
        ),
        "they are those of the round with the least median": (
            _measures(_quiet),
            "Find the row with the least median; its 0.5- and 0.95-quantiles are the answer.",
        ),
        "what it is given stays as it is": (
            leaves(lambda: _rounds()[0]),
            "Return a new tensor.",
        ),
    },
    mistakes={
        "You chose by the mean; one interruption spoils it.": _measures(
            lambda t: t[t.mean(1).argmin()].quantile(torch.tensor([0.5, 0.95]).to(t))
        ),
        "You chose by the fastest call; one is luck.": _measures(
            lambda t: t[t.amin(1).argmin()].quantile(torch.tensor([0.5, 0.95]).to(t))
        ),
        "You took all rounds together; the noisy ones count too.": _measures(
            lambda t: t.flatten().quantile(torch.tensor([0.5, 0.95]).to(t))
        ),
        "You took the least of each percentile; both must be of one round.": _measures(
            lambda t: t.quantile(torch.tensor([0.5, 0.95]).to(t), dim=1).amin(1)
        ),
    },
)

# -- transfer: a voice detector, 60 % of whose time is products ------------------------------------

EXERCISES["deploy-amdahl"] = Exercise(
    kind=numbers(3),
    claims={
        "the factor with products four times as fast is right": (
            at(0, 1 / 0.55),
            "What is left of the time: 0.6 / 4 for the products and 0.4 for the rest.",
        ),
        "the limit is right": (
            at(1, 2.5),
            "Products that take no time leave 0.4 of it.",
        ),
        "the factor for eight frames at once is right": (
            at(2, 1 / (0.15 + 0.25 + 0.15 / 8)),
            "The fixed part, 0.15, is paid once for eight frames: 0.15 / 8 for each.",
        ),
    },
    mistakes={
        "Four times as fast is true of the products only.": at(0, 4),
        "You divided the rest too.": at(0, 1 / (0.15 + 0.1)),
        "You gave what is left of the time; the factor is its inverse.": at(0, 0.55),
        "You divided all by eight; only the fixed part is shared.": at(2, 8 / 0.55),
        "You left the products as slow as before.": at(2, 1 / (0.85 + 0.15 / 8)),
    },
)
