"""Exercises of chapter 06: floats by hand, a share, two formats as code, a light meter."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    a_number,
    agrees,
    at,
    leaves,
    near,
    normals,
    numbers,
    shaped_as,
)
from reference_impl.quantization import E2M1, E4M3, microscaling

EXERCISES: dict[str, Exercise] = {}

# -- by hand: a byte, a rounded number, the smallest number ----------------------------------------

EXERCISES["format-hand"] = Exercise(
    kind=numbers(3),
    claims={
        "the byte in E5M2": (
            at(0, 10),
            "The exponent field 10010 is 18 and the bias 15; the mantissa 01 is a quarter.",
        ),
        "0.7 in E4M3": (
            at(1, 0.6875),
            "Write 0.7 as 2^-1 · 1.4; three mantissa bits are eighths, and 0.4 is 3.2 eighths.",
        ),
        "the smallest positive number of E4M3": (
            at(2, 2**-9),
            "It is subnormal: exponent field 0, mantissa field 1.",
        ),
    },
    mistakes={
        "A normal number has an implied one: 1.25, not 0.25.": at(0, 2),
        "The bias is 2^(b_e − 1) − 1 = 15.": at(0, 5, 20, 2**18 * 1.25),
        "You read the byte in E4M3: the exponent has five bits here.": at(0, 4.5),
        "You rounded 0.7 in E5M2, to quarters of the power of two.": at(1, 0.75),
        "2^-6 is the smallest normal number; subnormal ones are smaller.": at(2, 2**-6),
        "A subnormal number has the exponent 1 − bias, not 0 − bias.": at(2, 2**-10),
        "A subnormal number has no implied one.": at(2, 2**-6 * 1.125, 2**-7 * 1.125),
    },
)

# -- predict: how many blocks of MXFP6 saturate ----------------------------------------------------

EXERCISES["format-saturating"] = Exercise(
    kind=a_number,
    claims={
        "the share of the blocks, in percent": (
            near(100 * math.log2(8 / 7.5), 0.5),
            "In units of the scale the largest value is between 4 and 8; from 7.5 on it saturates.",
        ),
    },
    mistakes={
        "The answer is a percentage.": near(math.log2(8 / 7.5)),
        "That would be right if the largest value itself were uniform between 4 and 8; here its "
        "logarithm is.": near(12.5, 0.5),
        "That is the share of the blocks that do not saturate.": near(100 * math.log2(7.5 / 4), 1),
        "That is the share for E2M1, which ends at 6.": near(100 * math.log2(8 / 6), 0.5),
    },
)

# -- spot the bug: MXFP4 ---------------------------------------------------------------------------

Rounding = Callable[[Tensor], Tensor]


def nearest(x: Tensor) -> Tensor:
    """Return the nearest values of E2M1, ±6 for what is larger, and nan for nan."""
    return E2M1.round_trip(x.nan_to_num()).where(~x.isnan(), torch.nan)


def _blocks(power: Callable[[Tensor], Tensor], offset: int = 2) -> Rounding:
    """Return MXFP4 with the scale 2^(power(log₂ max |x|) − offset)."""

    def rounded(x: Tensor) -> Tensor:
        largest = x.abs().amax(dim=1, keepdim=True)
        scale = torch.exp2(power(largest.log2()) - offset)
        return nearest(x / scale) * scale

    return rounded


def _some(*, sign: int = 0, zeros: bool = False) -> list[Case]:
    """Return blocks; with a sign those whose largest magnitude has it, or with a row of zeros."""
    (x,) = normals(6, (400, 32))
    x = x * torch.exp2(torch.arange(400) % 13 - 6.0)[:, None]
    tops = x.gather(1, x.abs().argmax(dim=1, keepdim=True))[:, 0]
    x = x[tops * sign > 0] if sign else x
    return [(torch.cat([torch.zeros(1, 32), x]) if zeros else x,)]


def _mxfp4(x: Tensor) -> Tensor:
    return microscaling(x).values


def _rounds(formula: Rounding, cases: Callable[[], list[Case]]) -> Test:
    return agrees(
        formula, cases, lambda f, case: shaped_as(case[0], "x", f(case[0].clone())), share=1e-6
    )


EXERCISES["format-bug"] = Exercise(
    kind=a_function("mxfp4(x)"),
    claims={
        "blocks whose largest magnitude is positive": (
            _rounds(_mxfp4, lambda: _some(sign=1)),
            "The exponent of the scale is floor(log2(largest)) − 2: the power of two below.",
        ),
        "blocks whose largest magnitude is negative": (
            _rounds(_mxfp4, lambda: _some(sign=-1)),
            "The largest magnitude is that of the absolute values.",
        ),
        "a block of zeros stays a block of zeros": (
            _rounds(_mxfp4, lambda: _some(zeros=True)),
            "log2(0) is −inf, the scale 0, and 0 / 0 is nan: give such a block any other scale.",
        ),
        "x is left as it was": (
            leaves(lambda: _some(zeros=True)[0]),
            "Work on new tensors.",
        ),
    },
    mistakes={
        "The exponent is still rounded to the nearest: the standard rounds it down.": _rounds(
            _blocks(torch.round), _some
        ),
        "You rounded the exponent up: nothing saturates, but the standard rounds it down.": _rounds(
            _blocks(torch.ceil), _some
        ),
        "The largest value of E2M1 is 6, and its power of two is 4 = 2^2: subtract 2.": _rounds(
            _blocks(torch.floor, 0), _some
        ),
        "You divided by 6 before the logarithm: then nothing saturates, which is not the "
        "standard's rule.": _rounds(lambda x: microscaling(x, fits=True).values, _some),
    },
)

# -- implement: the numbers of E4M3 ----------------------------------------------------------------


def _decoder(
    *,
    bias: int = 7,
    implied: float = 0.0,
    lowest: int = 1,
    nan_from: int = 127,
    wraps: bool = False,
) -> Rounding:
    """Return a decoder of E4M3, with what may go wrong in it."""

    def decoded(codes: Tensor) -> Tensor:
        q = codes.long() % 128
        field, mantissa = q // 8, q % 8 / 8
        exponent = field.clamp_min(lowest) - bias
        power = torch.exp2(exponent % 256 if wraps else exponent)
        size = power * torch.where(field > 0, 1 + mantissa, implied + mantissa)
        size = torch.where(q >= nan_from, torch.nan, size)
        return torch.where(codes.long() < 128, size, -size)

    return decoded


def _bytes(low: int, high: int) -> Callable[[], list[Case]]:
    return lambda: [(torch.arange(low, high, dtype=torch.uint8),)]


def _decodes(formula: Rounding, cases: Callable[[], list[Case]]) -> Test:
    return agrees(formula, cases, share=0, within=0)


EXERCISES["format-decoder"] = Exercise(
    kind=a_function("decode(codes)"),
    claims={
        "positive normal numbers": (
            _decodes(E4M3.dequantize, _bytes(8, 127)),
            "The number is 2^(exponent field − 7) (1 + mantissa field / 8).",
        ),
        "zero and the subnormal numbers": (
            _decodes(E4M3.dequantize, _bytes(0, 8)),
            "With the exponent field 0 the number is 2^-6 · mantissa field / 8.",
        ),
        "negative numbers": (
            _decodes(E4M3.dequantize, _bytes(128, 255)),
            "The first bit is the sign: codes from 128 on are negative.",
        ),
        "nan": (
            lambda f: all(_decodes(E4M3.dequantize, _bytes(q, q + 1))(f) for q in (127, 255)),
            "The codes 127 and 255, all exponent and mantissa bits 1, are nan.",
        ),
    },
    mistakes={
        "The bias is 2^(b_e − 1) − 1 = 7.": _decodes(_decoder(bias=8), _bytes(8, 127)),
        "In uint8, 6 − 7 is 255: convert the codes to another type first.": _decodes(
            _decoder(wraps=True), _bytes(8, 127)
        ),
        "Subnormal numbers have no implied one.": _decodes(_decoder(implied=1.0), _bytes(1, 8)),
        "A subnormal number has the exponent 1 − bias, as the smallest normal ones have.": _decodes(
            _decoder(lowest=0), _bytes(0, 8)
        ),
        "Only one code of each sign is nan; the others with the exponent field 15 are numbers up "
        "to 448.": _decodes(_decoder(nan_from=120), _bytes(8, 127)),
        "448 is a number, the largest; nan is the code after it.": _decodes(
            _decoder(nan_from=126), _bytes(8, 127)
        ),
        "480 would be the next number, but its code stands for nan.": _decodes(
            replace(E4M3, special="none").dequantize, _bytes(0, 128)
        ),
    },
)

# -- transfer: a light meter -----------------------------------------------------------------------

EXERCISES["format-meter"] = Exercise(
    kind=numbers(3),
    claims={
        "the exponent bits": (
            at(0, 5),
            "From 2^-7 to 2^15 there are 23 powers of two, and the field 0 is the subnormal ones'.",
        ),
        "the mantissa bits": (
            at(1, 5),
            "The relative error is at most 2^-(b_m + 1): 2^-6 is 1.6 %.",
        ),
        "the bits of an integer": (
            at(2, 27),
            "Half a step must be 2 % of 0.01 lux: how many steps have 50,000 lux?",
        ),
    },
    mistakes={
        "Four bits are 16 exponents; 23 are needed.": at(0, 4),
        "That is the number of powers of two; how many bits does the field need?": at(
            0, 22, 23, 24
        ),
        "The error is half of the spacing: 2^-(b_m + 1), not 2^-b_m.": at(1, 6),
        "2^-5 is 3.1 %, more than 2 %.": at(1, 4),
        "0.0002 lux is half a step, not a step.": at(2, 28),
        "The error must be 2 % of the smallest reading; you took the smallest reading itself.": at(
            2, 22, 23
        ),
    },
)
