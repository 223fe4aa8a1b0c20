"""The checkers of chapter 06 accept right answers, and name wrong ones."""

import ml_dtypes
import numpy as np
import torch

from exercises.chapters.formats import nearest
from reference_impl.quantization import E2M1, E4M3, microscaling
from tests.exercises.claims import judged, spoiling


def mxfp4(x):
    largest = x.abs().amax(dim=1, keepdim=True)
    exponent = torch.floor(torch.log2(largest)) - 2
    scale = torch.where(largest > 0, torch.exp2(exponent), 1.0)
    return nearest(x / scale) * scale


def decode(codes):
    sign = torch.where(codes >= 128, -1.0, 1.0)
    q = codes.int() % 128
    field, mantissa = q // 8, (q % 8) / 8
    normal = 2.0 ** (field - 7) * (1 + mantissa)
    value = torch.where(field == 0, 2.0**-6 * mantissa, normal)
    return sign * torch.where(q == 127, torch.nan, value)


def decode_in_ml_dtypes(codes):
    return codes.byte().numpy().view(ml_dtypes.float8_e4m3fn).astype(np.float32)


RIGHT = {
    "format-hand": [[10, 0.6875, 2**-9], [10, 0.6875, 0.001953125]],
    "format-saturating": [9.3, 9.6, 9],
    "format-bug": [mxfp4, lambda x: microscaling(x).values, lambda x: mxfp4(x.double())],
    "format-decoder": [
        decode,
        decode_in_ml_dtypes,
        E4M3.dequantize,
        lambda codes: codes.view(torch.float8_e4m3fn).float(),
    ],
    "format-meter": [[5, 5, 27]],
}

WRONG = {
    "format-hand": [
        ({0: 2}, "1.25, not 0.25", "the byte"),
        ({0: 5}, "2^(b_e − 1) − 1 = 15", "the byte"),
        ({0: 4.5}, "five bits here", "the byte"),
        ({0: 9}, "is 18 and the bias 15", "the byte"),
        ({1: 0.75}, "in E5M2", "0.7 in E4M3"),
        ({1: 0.7}, "three mantissa bits", "0.7 in E4M3"),
        ({2: 2**-6}, "smallest normal", "the smallest"),
        ({2: 2**-10}, "1 − bias", "the smallest"),
        ({2: 2**-7 * 1.125}, "no implied one", "the smallest"),
        ({2: 0}, "It is subnormal", "the smallest"),
    ],
    "format-saturating": [
        (0.093, "a percentage"),
        (12.5, "its logarithm is"),
        (90.7, "do not saturate"),
        (41.5, "which ends at 6"),
        (25, "between 4 and 8", "the share"),
    ],
    "format-bug": [
        (
            {
                ".abs()": "",
                "torch.floor(": "torch.round(",
                "torch.where(largest > 0, torch.exp2(exponent), 1.0)": "torch.exp2(exponent)",
            },
            *("the power of two below", "blocks", "blocks", "a block"),
        ),
        ({"torch.floor(": "torch.round("}, "rounded to the nearest", "blocks", "blocks", "a block"),
        ({"torch.floor(": "torch.ceil("}, "rounded the exponent up"),
        ({") - 2": ")"}, "subtract 2"),
        (lambda x: microscaling(x, fits=True).values, "divided by 6"),
        ({".abs()": ""}, "of the absolute values", "blocks whose largest magnitude is n", "a b"),
        (
            {"torch.where(largest > 0, torch.exp2(exponent), 1.0)": "torch.exp2(exponent)"},
            *("0 / 0 is nan", "a block of zeros"),
        ),
        ({"nearest(x / scale) * scale": "nearest(x / scale)"}, "the power of two below"),
        (spoiling(mxfp4), "Work on new tensors", "x is left"),
        (lambda x: mxfp4(x).flatten(), "shape of x"),
    ],
    "format-decoder": [
        ({"field - 7": "field - 8"}, "− 1 = 7", "positive", "negative"),
        ({"2.0**-6 * mantissa": "2.0**-6 * (1 + mantissa)"}, "no implied one", "zero", "negative"),
        ({"2.0**-6": "2.0**-7"}, "exponent 1 − bias", "zero", "negative"),
        ({"q == 127": "q >= 120"}, "Only one code", "positive", "negative"),
        ({"q == 127": "q >= 126"}, "448 is a number", "positive", "negative"),
        ({"torch.where(q == 127, torch.nan, value)": "value"}, "480 would be", "nan"),
        ({"return sign * ": "return "}, "codes from 128 on", "negative"),
        ({"codes.int()": "codes"}, "6 − 7 is 255", "positive", "negative"),
        (E2M1.dequantize, "It raised"),
    ],
    "format-meter": [
        ({0: 4}, "23 are needed", "the exponent bits"),
        ({0: 23}, "how many bits does the field", "the exponent bits"),
        ({0: 6}, "23 powers of two", "the exponent bits"),
        ({1: 6}, "half of the spacing", "the mantissa bits"),
        ({1: 4}, "3.1 %", "the mantissa bits"),
        ({1: 3}, "2^-6 is 1.6 %", "the mantissa bits"),
        ({2: 28}, "half a step, not a step", "the bits of an integer"),
        ({2: 23}, "smallest reading", "the bits of an integer"),
        ({2: 32}, "how many steps", "the bits of an integer"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)
