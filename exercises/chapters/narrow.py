"""Exercises of chapter 16: what is removed with a unit, what it saves, and where it costs most."""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    WrongResultError,
    a_function,
    a_number,
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
            "After the flatten a channel owns one column for each of its positions.",
        ),
        "the parameters are right": (
            at(1, PARAMETERS),
            "Nine weights of the filter, γ and β, and in each of the five rows of the linear "
            "layer the columns of the channel.",
        ),
        "the multiply–accumulates are right": (
            at(2, MACS),
            "Nine products at each of 36 positions, and one product for each removed weight of the "
            "linear layer.",
        ),
    },
    mistakes={
        "You took one column; the channel has 6 · 6 positions.": at(0, 1),
        "You took all columns of the linear layer.": at(0, 144),
        "You forgot γ and β of the BatchNorm.": at(1, 189),
        "You forgot what reads the channel: columns of the linear layer.": at(1, 11),
        "You counted the running mean and variance; they are not trained.": at(1, 193),
        "You removed the linear layer's biases too; all five classes are still there.": at(1, 196),
        "You counted the filter at one position; it runs at 36.": at(2, 189),
        "You forgot that the linear layer multiplies less, too.": at(2, 324),
        "You counted two operations for each product.": at(2, 2 * MACS),
    },
)

# -- implement: the removal of channels in front of a flatten --------------------------------------

Remove = Callable[[Tensor, Tensor, Tensor, Tensor], Any]


def _problem(positions: int = 16) -> Case:
    """Return weight and bias of five channels, the reader's weight, and which ones are kept."""
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
            "3 of 5 channels are kept: weight (3, 2, 3, 3), bias (3,), reader (7, 3 · 16).",
        ),
        "the small network computes what the masked one computes": (
            _answers_as_masked,
            "Channel c owns the columns c · p … c · p + p − 1 of the reader, p positions.",
        ),
        "it is right without a flatten too, with one position": (
            _makes(_right, positions=1),
            "The number of positions is reader.shape[1] // len(keep); do not write 16.",
        ),
        "its arguments are left as they were": (
            leaves(_problem),
            "Return new tensors: the original network must not change.",
        ),
    },
    mistakes={
        "You kept the channels that the mask drops.": _makes(
            lambda w, b, reader, keep: _right(w, b, reader, ~keep)
        ),
        "You kept the first channels, as many as the mask keeps. The mask also names them.": _makes(
            lambda w, b, reader, keep: _right(w, b, reader, torch.arange(len(keep)) < keep.sum())
        ),
        "You forgot the reader: the columns of a removed channel must be removed, too.": _makes(
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

# -- spot the bug: what one unit less saves --------------------------------------------------------

Terms = Sequence[tuple[int, tuple[str, ...]]]
Widths = Mapping[str, int]
TERMS: Terms = ((9, ("stem",)), (36, ("stem", "stem")), (4, ("inner", "stem")), (10, ("inner",)))
WIDTHS: Widths = {"stem": 6, "inner": 5}


def _macs(terms: Terms, widths: Widths) -> int:
    return sum(count * math.prod(widths[j] for j in labels) for count, labels in terms)


def _saved(terms: Terms, widths: Widths, label: str) -> int:
    return _macs(terms, widths) - _macs(terms, {**widths, label: widths[label] - 1})


def _others(terms: Terms, widths: Widths, label: str) -> int:
    """Return the colleague's count, with the layers that read the unit."""
    mine = [(count, labels) for count, labels in terms if label in labels]
    return sum(c * math.prod(widths[j] for j in labels if j != label) for c, labels in mine)


def _written(terms: Terms, widths: Widths, label: str) -> int:
    return _saved([term for term in terms if term[1][0] == label], widths, label)


def _count(answer: Callable[..., Any], label: str) -> Any:
    if wrong := a_number(found := answer(TERMS, dict(WIDTHS), label)):
        raise WrongResultError(f"The function must return a number. {wrong}")
    return found


def _saves(formula: Callable[..., int], *labels: str) -> Test:
    """Return the test whether an answer counts as a formula does, for each of these widths."""
    return lambda answer: all(_count(answer, j) == formula(TERMS, WIDTHS, j) for j in labels)


EXERCISES["narrow-saved"] = Exercise(
    kind=a_function("saved(terms, widths, label)"),
    claims={
        "it counts the layers that write the unit and those that read it": (
            _saves(_saved, "inner"),
            "In a term, the label may stand at any place, not only at the first one.",
        ),
        "it is right for a layer that reads and writes the same width": (
            _saves(_saved, "stem"),
            "Compare the sum for the old widths with the sum for the new ones: C² falls by 2C − 1.",
        ),
    },
    mistakes={
        "You counted the layers that write the unit, and not those that read it.": _saves(
            _written, "stem", "inner"
        ),
        "A layer that reads and writes the width saves C² − (C − 1)², and you counted another "
        "number.": _saves(_others, "stem", "inner"),
    },
)

# -- transfer: a head of an attention layer --------------------------------------------------------

HEAD, HEAD_MACS, CHANNEL = 4144, 4096, 257
"""3 · 16 rows of 64 weights and a bias, 16 columns of 64; 64 in each of 3 columns, a row of 65."""

EXERCISES["narrow-head"] = Exercise(
    kind=numbers(3),
    claims={
        "the parameters of a head are right": (
            at(0, HEAD),
            "Sixteen rows and biases of query, key and value; sixteen columns of the output.",
        ),
        "the multiply–accumulates of a head are right": (
            at(1, HEAD_MACS),
            "One product for each weight that is removed, for a token; biases are added.",
        ),
        "the parameters of a channel of the stream are right": (
            at(2, CHANNEL),
            "A column of query, key and value, and a row of the output matrix with its bias.",
        ),
    },
    mistakes={
        "You forgot the biases of query, key and value.": at(0, 4096),
        "You removed the output's biases too; all 64 outputs are still there.": at(0, 4160, 4208),
        "You forgot the columns of the output matrix.": at(0, 3120, 3072),
        "You counted biases as products.": at(1, HEAD),
        "You forgot the columns of the output matrix, which multiply less, too.": at(1, 3072),
        "You forgot the bias of the output.": at(2, 256),
        "You forgot the row of the output matrix, which writes the channel.": at(2, 192),
        "You removed biases of query, key and value; their units are all kept.": at(2, 260, 259),
    },
)

# -- predict: half of one width of the residual network -----------------------------------------

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
        "the stream costs most, inner3 least": (
            lambda answer: as_numbers(answer).argsort().tolist() == [0, 2, 1, 3],
            "In the order of network.widths: stream, inner1, inner2, inner3.",
        ),
        "the accuracies are right": (
            near(HALVED, TOLERANCE),
            "keep_highest(row_norm(incoming_rows(network, label)), share=0.5) for one label at a "
            "time, all other widths whole; dataset.validation[:1000].",
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
