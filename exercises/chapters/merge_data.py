"""Exercises of chapter 18: a fit by hand and in code, channels, and a failed sensor."""

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    agrees,
    as_numbers,
    at,
    either,
    leaves,
    near,
    normals,
    numbers,
    same,
    tensors,
)

EXERCISES: dict[str, Exercise] = {}

# -- by hand: kept 0, 2, 4; removed 1, 2, 6; next layer 2, −4 and bias 1 ---------------------------

_is = partial(at)
FIT = (1.25, 0.5, -3.0, -1.0)
"""Deviations −2, 0, 2 and −2, −1, 3: U = (10/3) / (8/3), offset = 3 − 2 U; then W' U, β' + W' e."""

EXERCISES["merge-fit-hand"] = Exercise(
    kind=numbers(4),
    claims={
        "the coefficient is right": (
            _is(0, FIT[0]),
            "Covariance of both over the variance of the kept neuron, from deviations.",
        ),
        "the offset is right": (_is(1, FIT[1]), "Mean removed − coefficient · mean kept."),
        "the next layer's weight is right": (
            _is(2, FIT[2]),
            "The weight of the kept neuron, plus that of the removed one times the coefficient.",
        ),
        "the next layer's bias is right": (
            _is(3, FIT[3]),
            "The bias, plus the weight of the removed neuron times the offset.",
        ),
    },
    mistakes={
        "You did not subtract the means before you multiplied.": _is(0, 28 / 20),
        "You divided by the variance of the removed neuron.": _is(0, 10 / 14),
        "You gave the difference of the means; the coefficient belongs in it.": _is(1, 1),
        "You replaced the next layer's weight; the product is added.": _is(2, -5),
        "You added the coefficient as it is; the next layer's weight multiplies it.": _is(2, 3.25),
        "You added the offset as it is; the next layer's weight multiplies it.": _is(3, 1.5),
    },
)

# -- predict: half of the channels of one width of the teacher -------------------------------------

PRUNED = (49.2, 80.8, 77.1, 91.0)
"""Accuracy on 1,000 validation images with half of conv1, conv2, conv3, conv4."""

MERGED = (77.6, 75.9, 88.5, 92.2)
BY_KAPPA = (77.1, 81.4, 85.9, 92.4)
NOT_FOLDED = (40.1, 70.7, 88.3, 92.1)
ON_TEST = (26.7, -4.8, 13.7, 1.8)

TOLERANCE = 0.85
"""A few images of a thousand may be classified otherwise on another processor, twice."""


def _gains(after: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a - b for a, b in zip(after, PRUNED, strict=True))


GAINS = _gains(MERGED)

EXERCISES["merge-channels"] = Exercise(
    kind=numbers(4),
    claims={
        "merging loses to pruning in one layer, and in the right one": (
            lambda answer: (as_numbers(answer) > 0).tolist() == [True, False, True, True],
            "Merged minus pruned, in the order of teacher.widths: conv1 to conv4.",
        ),
        "the gains are right": (
            near(GAINS, TOLERANCE),
            "accuracy(merge_nearest(teacher, keep)) − accuracy(remove_units(teacher, keep)), one "
            "label at a time, the highest norms of incoming_rows kept; dataset.validation[:1000].",
        ),
    },
    mistakes={
        "You gave accuracies; take the difference to pruning.": near(MERGED, TOLERANCE),
        "You took pruned minus merged.": near([-g for g in GAINS], TOLERANCE),
        "You gave shares; multiply by 100.": near([g / 100 for g in GAINS], TOLERANCE / 100),
        "You merged with the factor κ; the task is the ratio of norms.": near(_gains(BY_KAPPA)),
        "You compared the convolution's own weights; after BatchNorm the folded rows count.": near(
            _gains(NOT_FOLDED)
        ),
        "You looked at test images; choices are made on validation.": near(ON_TEST, TOLERANCE),
    },
)

# -- spot the bug, and implement: fits of all neurons, of all channels -----------------------------

Fit = Callable[[Tensor, Tensor], Any]


def _solved(y: Tensor, x: Tensor) -> Any:
    """Return the U of the least ‖y − x Uᵀ‖²."""
    return torch.linalg.lstsq(x, y).solution.T


def _right(h: Tensor, keep: Tensor) -> list[Tensor]:
    mean = h.mean(dim=0)
    unmerge = _solved(h - mean, h[:, keep] - mean[keep])
    return [unmerge, mean - unmerge @ mean[keep]]


def _not_centred(h: Tensor, keep: Tensor) -> Any:
    return _solved(h, h[:, keep])


def _transposed(h: Tensor, keep: Tensor) -> list[Tensor]:
    unmerge, offset = _right(h, keep)
    return [unmerge.T, offset]


def _values(shift: float = 3.0) -> Case:
    """Return values of five neurons on 40 images, not centred, and which of them are kept."""
    hidden, noise, mix = normals(0, (40, 3), (40, 5), (3, 5), dtype=torch.float64)
    values = hidden @ mix + 0.3 * noise + shift * torch.arange(5)
    return values, torch.tensor([True, False, True, True, False])


def _maps() -> Case:
    """Return values of five channels on 20 images at 3 × 2 positions."""
    values, keep = _values()
    (noise,) = normals(1, (20, 5, 3, 2), dtype=torch.float64)
    return values.view(20, 2, 5).mean(dim=1)[:, :, None, None] + noise, keep


def _run(answer: Fit, case: Case) -> list[Tensor]:
    return [part.double() for part in tensors(answer(*deepcopy(case)), "U", "offset")]


def _makes(formula: Callable[..., Any], *cases: Callable[[], Case]) -> Test:
    return agrees(formula, lambda: [case() for case in cases], _run, within=1e-4)


def _kept_are_themselves(answer: Fit, case: Callable[[], Case]) -> bool:
    (unmerge, offset), keep = _run(answer, case()), case()[1]
    own = torch.eye(int(keep.sum()), dtype=torch.float64)
    return same(unmerge[keep], own, within=1e-4) and bool((offset[keep].abs() < 1e-4).all())


def _wrong_offset_alone(answer: Fit) -> bool:
    pairs = zip(_run(answer, _values()), _right(*_values()), strict=True)
    return [same(*pair, within=1e-4) for pair in pairs] == [True, False]


EXERCISES["merge-fit"] = Exercise(
    kind=a_function("fit(h, keep)"),
    claims={
        "U is (neurons, kept neurons), the offset has one number per neuron": (
            lambda f: [part.shape for part in _run(f, _values())] == [(5, 3), (5,)],
            "Of five neurons three are kept: U is (5, 3), the offset (5,).",
        ),
        "each kept neuron is itself": (
            partial(_kept_are_themselves, case=_values),
            "A kept neuron's row of U has a 1 at its own place, and its offset is 0.",
        ),
        "it is right for neurons whose means are not 0": (
            _makes(_right, _values),
            "Subtract both means before the products; offset = mean(h) − U mean(h_kept).",
        ),
        "what it is given stays as it is": (leaves(_values), "Return new tensors."),
    },
    mistakes={
        "The products are still of values; subtract the means first.": lambda answer: same(
            _run(answer, _values())[0], _not_centred(*_values()), within=1e-4
        ),
        "The offset is still without U: mean(h) − U mean(h_kept).": _wrong_offset_alone,
        "You returned U transposed: a row is an old neuron.": _makes(_transposed, _values),
    },
)


def _by_rows(h: Tensor, keep: Tensor) -> list[Tensor]:
    return _right(h.movedim(1, -1).flatten(0, -2), keep)


def _mixed(h: Tensor, keep: Tensor) -> list[Tensor]:
    return _right(h.reshape(-1, h.shape[1]), keep)


EXERCISES["merge-maps"] = Exercise(
    kind=a_function("fit_channels(h, keep)"),
    claims={
        "U is (channels, kept channels), the offset has one number per channel": (
            lambda f: [part.shape for part in _run(f, _maps())] == [(5, 3), (5,)],
            "Of five channels three are kept: U is (5, 3), the offset (5,).",
        ),
        "each kept channel is itself": (
            partial(_kept_are_themselves, case=_maps),
            "A kept channel's row of U has a 1 at its own place, and its offset is 0.",
        ),
        "each position of each image is a row": (
            _makes(_by_rows, _maps),
            "Move the axis of the channels to the end, then flatten the others.",
        ),
        "what it is given stays as it is": (leaves(_maps), "Return new tensors."),
    },
    mistakes={
        "A reshape does not move an axis: your rows mix channels.": _makes(_mixed, _maps),
        "You took the mean over the positions; each of them is a row.": _makes(
            lambda h, keep: _right(h.mean(dim=(2, 3)), keep), _maps
        ),
    },
)

# -- transfer: y = 2 x₁ + 3 x₂ + 1, means 10 and 20, variances 4 and 5, covariance 2 ---------------

EXERCISES["merge-sensor"] = Exercise(
    kind=numbers(3),
    claims={
        "the weight is right": (_is(0, 3.5), "x₂ ≈ (covariance / variance of x₁) x₁ + offset."),
        "the constant is right": (_is(1, 46), "1 + 3 · offset, and offset = 20 − 0.5 · 10."),
        "the error is right": (
            _is(2, 6),
            "What is left of x₂ has the variance 5 − 2²/4.",
        ),
    },
    mistakes={
        "You divided by the variance of the sensor that failed.": _is(0, 2 + 3 * 2 / 5),
        "You forgot what the first sensor had before.": _is(0, 1.5),
        "You forgot the weight 3 of the failed sensor.": either(_is(0, 2.5), _is(1, 16), _is(2, 2)),
        "You put the mean in the place of the failed sensor.": either(
            _is(1, 61), _is(2, 3 * 5**0.5)
        ),
        "You gave the mean square; take its root.": _is(2, 36),
    },
)
