"""Exercises of chapter 16: what goes with a channel, by hand and in code; each width halved."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    agrees,
    as_numbers,
    at,
    leaves,
    near,
    normals,
    numbers,
    same,
    tensors,
)

EXERCISES: dict[str, Exercise] = {}

# -- by hand: what one channel takes with it -------------------------------------------------------

COLUMNS, PARAMETERS, MACS = 36, 191, 504
"""Of 6×6 positions; 9 weights, γ and β, 5 · 36 columns' weights; 36 · 9 and 36 · 5."""

EXERCISES["narrow-channel"] = Exercise(
    kind=numbers(3),
    claims={
        "the columns are right": (
            at(0, COLUMNS),
            "Behind the flatten a channel owns one column for each of its positions.",
        ),
        "the parameters are right": (
            at(1, PARAMETERS),
            "Nine weights of the filter, γ and β, and in each of the five rows of the linear "
            "layer the columns of the channel.",
        ),
        "the multiply–accumulates are right": (
            at(2, MACS),
            "Nine products at each of 36 positions, and one product for each weight of the linear "
            "layer that is gone.",
        ),
    },
    mistakes={
        "You took one column; the channel has 6 · 6 positions.": at(0, 1),
        "You took all columns of the linear layer.": at(0, 144),
        "You forgot γ and β of the BatchNorm.": at(1, 189),
        "You forgot what reads the channel: columns of the linear layer.": at(1, 11),
        "You counted running mean and variance; nobody trains them.": at(1, 193),
        "You removed the linear layer's biases too; no class is gone.": at(1, 196),
        "You counted the filter at one position; it runs at 36.": at(2, 189),
        "You forgot what reads the channel saves too.": at(2, 324),
        "You counted two operations for each product.": at(2, 2 * MACS),
    },
)

# -- to implement: the removal of channels in front of a flatten -----------------------------------

Remove = Callable[[Tensor, Tensor, Tensor, Tensor], Any]


def _problem(positions: int = 16) -> Case:
    """Return weight and bias of five channels, the reader's weight, and which channels stay."""
    parts = normals(0, (5, 2, 3, 3), (5,), (7, 5 * positions))
    return *parts, torch.tensor([True, False, True, True, False])


def _run(answer: Remove, case: Case) -> list[Tensor]:
    return tensors(answer(*deepcopy(case)), "weight", "bias", "reader")


def _right(weight: Tensor, bias: Tensor, reader: Tensor, keep: Tensor) -> list[Tensor]:
    blocks = reader.view(len(reader), len(keep), -1)
    return [weight[keep], bias[keep], blocks[:, keep].flatten(1)]


def _outputs(parts: list[Tensor]) -> Tensor:
    """Return what a convolution of 4 × 4 images, its ReLU and the linear layer compute."""
    weight, bias, reader = parts
    images = normals(1, (4, 2, 4, 4))[0]
    return F.linear(F.relu(F.conv2d(images, weight, bias, padding=1)).flatten(1), reader)


def _answers_as_masked(answer: Remove) -> bool:
    weight, bias, reader, keep = _problem()
    masked = _outputs([weight, bias, reader * keep.repeat_interleave(16)])
    return same(_outputs(_run(answer, _problem())), masked, within=1e-4)


def _makes(formula: Callable[..., Any], positions: int = 16) -> Test:
    return agrees(formula, lambda: [_problem(positions)], _run)


def _zeroed(weight: Tensor, bias: Tensor, reader: Tensor, keep: Tensor) -> list[Tensor]:
    return [weight * keep.view(-1, 1, 1, 1), bias * keep, reader * keep.repeat_interleave(16)]


EXERCISES["narrow-remove"] = Exercise(
    kind=a_function("remove(weight, bias, reader, keep)"),
    claims={
        "the three shapes are right": (
            lambda f: [p.shape for p in _run(f, _problem())] == [(3, 2, 3, 3), (3,), (7, 3 * 16)],
            "Of 5 channels 3 stay: weight (3, 2, 3, 3), bias (3,), reader (7, 3 · 16).",
        ),
        "the small network computes what the masked one computes": (
            _answers_as_masked,
            "Channel c owns the columns c · p … c · p + p − 1 of the reader, p positions.",
        ),
        "it is right without a flatten too, with one position": (
            _makes(_right, positions=1),
            "The number of positions is reader.shape[1] // len(keep); do not write 16.",
        ),
        "what it is given stays as it is": (
            leaves(_problem),
            "Return new tensors: the network must stay whole.",
        ),
    },
    mistakes={
        "You kept the channels that the mask drops.": _makes(
            lambda w, b, reader, keep: _right(w, b, reader, ~keep)
        ),
        "You kept the first channels, as many as the mask keeps; it says which.": _makes(
            lambda w, b, reader, keep: _right(w, b, reader, torch.arange(len(keep)) < keep.sum())
        ),
        "You forgot the reader: its columns of a channel that is gone must go too.": _makes(
            lambda w, b, reader, keep: (w[keep], b[keep], reader)
        ),
        "You forgot the bias.": _makes(
            lambda w, b, reader, keep: (w[keep], b, _right(w, b, reader, keep)[2])
        ),
        "You set weights to 0: that is a mask, and nothing is smaller.": _makes(_zeroed),
        "You took one column for each channel; after the flatten it owns one for each position, "
        "reader.shape[1] // len(keep) of them.": _makes(
            lambda w, b, reader, keep: (w[keep], b[keep], reader[:, : len(keep)][:, keep])
        ),
        "You took the columns as if channels alternated; flatten writes all positions of a channel "
        "before it comes to the next.": _makes(
            lambda w, b, reader, keep: (w[keep], b[keep], reader[:, keep.repeat(16)])
        ),
    },
)

# -- to explore: half of one width of the residual network -----------------------------------------

HALVED = (12.1, 62.9, 46.1, 81.2)
"""Accuracy on 1,000 validation images without half of stream, inner1, inner2, inner3."""

LOWEST_KEPT = (28.6, 36.4, 50.5, 82.1)
FIRST_LAYER_ALONE = (9.0, 63.0, 53.3, 77.7)
ON_TEST = (12.4, 61.9, 45.4, 82.6)

TOLERANCE = 0.55
"""A few images of a thousand may fall to the other side on another processor."""

EXERCISES["narrow-halves"] = Exercise(
    kind=numbers(4),
    claims={
        "they are percentages": (
            lambda answer: all(1 < a <= 100 for a in as_numbers(answer)),
            "Accuracies in percent, of stream, inner1, inner2 and inner3.",
        ),
        "the stream is the dearest, inner3 the cheapest": (
            lambda answer: as_numbers(answer).argsort().tolist() == [0, 2, 1, 3],
            "In the order of network.widths: stream, inner1, inner2, inner3.",
        ),
        "the accuracies are right": (
            near(HALVED, TOLERANCE),
            "keep_highest(row_norm(incoming_rows(network, label)), share=0.5) for one label at a "
            "time, the others whole; dataset.validation[:1000].",
        ),
    },
    mistakes={
        "You gave shares; multiply by 100.": near([a / 100 for a in HALVED], TOLERANCE),
        "You kept the lowest scores.": near(LOWEST_KEPT, TOLERANCE),
        "You took the norm of one layer's weights; incoming_rows has all that write a unit, "
        "with their BatchNorm.": near(FIRST_LAYER_ALONE, TOLERANCE),
        "You looked at test images; choices are made on validation.": near(ON_TEST, TOLERANCE),
    },
)
