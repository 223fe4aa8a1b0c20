"""The checkers of chapter 21 accept right answers, and name wrong ones."""

import numpy as np
import torch
from onnx import TensorProto, helper, numpy_helper

from exercises import report
from tests.exercises.claims import judged, spoiling


def pack(codes):
    low, high = codes[::2] & 15, codes[1::2] & 15
    return (low | high << 4).to(torch.uint8)


def quiet(times):
    best = min(times, key=lambda row: row.median())
    ends = np.percentile(best.numpy(), [50, 95])
    return torch.from_numpy(ends)


def pack_by_arithmetic(codes):
    pairs = codes.int().view(-1, 2) % 16
    return (pairs @ torch.tensor([1, 16], dtype=torch.int32)).to(torch.uint8)


def quiet_by_sorting(times):
    rows = times.sort(dim=1).values
    best = min(rows, key=lambda row: torch.quantile(row, 0.5))
    return torch.stack([torch.quantile(best, share) for share in (0.5, 0.95)])


RIGHT = {
    "deploy-bytes": [[942_000, 238_800, 121_200]],
    "deploy-fused": [[1, 4]],
    "deploy-pack": [pack, pack_by_arithmetic],
    "deploy-quiet": [quiet, quiet_by_sorting],
    "deploy-amdahl": [[1.818, 2.5, 2.389]],
}
WRONG = {
    "deploy-bytes": [
        ({0: 940_800}, "the biases in float32", "the bytes in float32"),
        ({1: 235_200}, "scales and biases", "the bytes with 8 bits"),
        ({1: 237_600}, "the scale of the biases", "the bytes with 8 bits"),
        ({1: 237_900}, "Biases have 32 bits", "the bytes with 8 bits"),
        ({2: 119_400}, "halved the scales", "the bytes with 4 bits"),
    ],
    "deploy-fused": [
        ([2, 3], "the others are asked for"),
        ({0: 3}, "ReLU and max-pooling"),
        ({0: 0}, "A mean is not"),
        ({1: 3}, "writes the stream"),
        ({1: 7}, "added to", "the residual"),
    ],
    "deploy-pack": [
        ({"codes[::2] & 15, codes[1::2] & 15": "codes[::2], codes[1::2]"}, "overwrite the second"),
        ({"low | high << 4": "high | low << 4"}, "swapped"),
        (
            {"codes[::2] & 15, codes[1::2] & 15": "codes[::2] + 8, codes[1::2] + 8"},
            "two's complement",
        ),
        ({"torch.uint8": "torch.int8"}, "uint8"),
        (spoiling(pack), "new tensor", "what it is given"),
    ],
    "deploy-quiet": [
        ({"row.median()": "row.mean()"}, "by the mean", "they are those"),
        ({"row.median()": "row.min()"}, "fastest call", "they are those"),
        ({"best.numpy()": "times.numpy()"}, "all rounds together", "they are those"),
        (lambda t: t.quantile(torch.tensor([0.5, 0.95]).double(), 1).amin(1), "both must be"),
        ({"[50, 95]": "[50, 95, 99]"}, "two numbers"),
        (spoiling(quiet), "new tensor", "what it is given"),
    ],
    "deploy-amdahl": [
        ({0: 4}, "true of the products only", "the factor with"),
        ({0: 4.0}, "true of the products only", "the factor with"),
        ({0: 0.55}, "its inverse", "the factor with"),
        ({2: 14.5}, "only the fixed part", "the factor for"),
        ({2: 1.151}, "as slow as before", "the factor for"),
    ],
}
test_right_answers_are_accepted, test_mistakes_are_named = judged(RIGHT, WRONG)


def test_packed_codes_are_those_of_onnx():
    """Oracle: onnx's reader of constants of 4 bits."""
    codes = torch.tensor([-7, 7, -1, 0, 3, -8], dtype=torch.int8)
    stored = helper.make_tensor("w", TensorProto.INT4, [6], pack(codes).numpy().tobytes(), raw=True)
    assert numpy_helper.to_array(stored).astype(np.int8).tolist() == codes.tolist()
    assert report("deploy-pack", pack).passed
