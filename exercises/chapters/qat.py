"""Exercises of chapter 09: slopes by hand, a settled step, an update, a quantizer, a gate."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from exercises.chapters.qat_update import UPDATE
from exercises.framework import (
    Case,
    Exercise,
    Test,
    a_function,
    a_number,
    agrees,
    as_numbers,
    at,
    either,
    near,
    numbers,
    shaped_as,
    value,
)
from reference_impl.quantization import IntegerGrid, learned_fake_quantize

EXERCISES: dict[str, Exercise] = {}

# -- by hand: ∂x̂/∂s of −2.6, −0.6, 0.35, 1.7 with s = 0.5 on −4 … 3: x/s is −5.2, −1.2, 0.7, 3.4 ---


_slope_is = partial(at)
_slopes_are = partial(near)


EXERCISES["qat-slopes"] = Exercise(
    kind=numbers(4),
    claims={
        "the value far below the grid has the slope q_min": (
            _slope_is(0, -4),
            "It is clipped to s q_min, which grows with s at the rate q_min.",
        ),
        "the second slope is right": (
            _slope_is(1, 0.2),
            "Inside, the slope is round(x/s) − x/s; here x/s = −1.2.",
        ),
        "the third slope is right": (
            _slope_is(2, 0.3),
            "Inside, the slope is round(x/s) − x/s; here x/s = 0.7.",
        ),
        "the value between q_max and q_max + ½ counts as inside": (
            _slope_is(3, -0.4),
            "x/s = 3.4 is rounded to 3 = q_max, which is a code of the grid: nothing is clipped.",
        ),
    },
    mistakes={
        "You gave the codes: that is ∂x̂/∂s between two jumps, not the estimator's.": _slopes_are(
            (-4, -1, 1, 3)
        ),
        "Your signs are the wrong way round: round(x/s) − x/s, not x/s − round(x/s).": (
            lambda answer: _slopes_are((-0.2, -0.3))(as_numbers(answer)[1:])
        ),
        "You gave clipped values no slope: x gets no gradient there, but s does.": _slopes_are(
            (0, 0.2, 0.3, -0.4)
        ),
        "You clipped first, as the paper does: there 3.4 > 3 is outside. Here x is rounded "
        "first.": _slopes_are((-4, 0.2, 0.3, 3)),
        "You used the residual outside too: −5.2 is clipped to −4, and stays there when s "
        "changes a little.": either(
            _slopes_are((0.2, 0.2, 0.3, -0.4)), _slopes_are((1.2, 0.2, 0.3, -0.4))
        ),
        "You gave x̂, the values that come back: give how they change with s.": _slopes_are(
            (-2, -0.5, 0.5, 1.5)
        ),
        "You gave round(x/s): inside, the slope is that minus x/s; outside, q_min or "
        "q_max.": _slopes_are((-5, -1, 1, 3)),
        "You multiplied by s: the slope has no unit.": _slopes_are((-2, 0.1, 0.15, -0.2)),
        "The smallest code of 3 signed bits is −2² = −4, for this grid is not narrow.": _slopes_are(
            (-3, 0.2, 0.3, -0.4)
        ),
    },
)

# -- implement: a quantizer that can be trained ----------------------------------------------------

Quantizer = Callable[[Tensor, Tensor, int, int], Any]


def _cases() -> list[Case]:
    """Return values inside, beside the end codes and outside, a step, and the grid's ends."""
    cases: list[Case] = []
    for q_min, q_max in ((-4, 3), (0, 15), (-1, 1)):
        codes = torch.arange(q_min - 3, q_max + 4, dtype=torch.float64)
        u = torch.cat([codes + 0.1, codes + 0.3, codes - 0.2])  # on no edge
        cases.append((0.7 * u, torch.tensor(0.7, dtype=torch.float64), q_min, q_max))
    return cases


def _run(answer: Quantizer, case: Case) -> Tensor:
    return shaped_as(case[0], "x", answer(*case))


def _gradient(place: int) -> Callable[[Quantizer, Case], Tensor]:
    """Return what runs an answer and gives ∂x̂/∂x (0) or ∂x̂/∂s (1), element by element."""

    def run(answer: Quantizer, case: Case) -> Tensor:
        case = tuple(p.clone().requires_grad_() if isinstance(p, Tensor) else p for p in case)
        x_hat = _run(answer, case)
        slopes = torch.zeros_like(case[0])
        for i, part in enumerate(x_hat if x_hat.requires_grad else ()):
            (found,) = torch.autograd.grad(part, case[place], retain_graph=True, allow_unused=True)
            if found is not None:  # else nothing depends on it: 0
                slopes[i] = found if place else found[i]
        return slopes

    return run


def _gradient_is(place: int, formula: Callable[[Tensor, int, int], Tensor]) -> Test:
    """Return the test whether the gradient of x (0) or s (1) is ``formula(x/s, q_min, q_max)``."""
    return agrees(lambda x, s, *ends: formula(x / s, *ends), _cases, _gradient(place))


def _reference(x: Tensor, s: Tensor, q_min: int, q_max: int) -> Tensor:
    bits = (q_max - q_min).bit_length()
    grid = IntegerGrid(bits, signed=q_min < 0, narrow=q_min == -q_max)
    return learned_fake_quantize(x, s, torch.zeros_like(s), grid)


_values_are_right = agrees(_reference, _cases, _run)


def _inside(u: Tensor, q_min: int, q_max: int, *, margin: float = 0.5) -> Tensor:
    """Return 1 from ``margin`` below q_min to ``margin`` above q_max, 0 elsewhere."""
    return ((u > q_min - margin) & (u < q_max + margin)).double()


def _slope(u: Tensor, q_min: int, q_max: int) -> Tensor:
    return torch.round(u).clamp(q_min, q_max) - u * _inside(u, q_min, q_max)


def _takes_two_axes(answer: Quantizer) -> bool:
    x = torch.linspace(-3, 3, 12).view(3, 4)
    return _run(answer, (x, torch.tensor(0.5), -4, 3)).shape == (3, 4)


EXERCISES["qat-trainable"] = Exercise(
    kind=a_function("trainable(x, scale, q_min, q_max)"),
    claims={
        "the values are s · clip(round(x/s), q_min, q_max)": (
            _values_are_right,
            "Forward, nothing is estimated: round(x/s), clip, times s.",
        ),
        "x has the gradient 1 inside, end codes included, and 0 outside": (
            _gradient_is(0, _inside),
            "Inside means that round(x/s) is a code: q_min ≤ round(x/s) ≤ q_max.",
        ),
        "s has the gradient round(x/s) − x/s inside, and q_min or q_max outside": (
            _gradient_is(1, _slope),
            "Let x̂ = x + s · (round(x/s) − x/s) inside with the bracket detached, and "
            "s · q_min or s · q_max outside.",
        ),
        "a tensor with two axes keeps its shape": (_takes_two_axes, "Work element by element."),
    },
    mistakes={
        "autograd went through torch.round, whose derivative is 0: detach the residual.": (
            lambda f: _gradient_is(0, lambda u, *_: torch.zeros_like(u))(f) and _values_are_right(f)
        ),
        "The end codes get no gradient: that is torch.clamp, whose derivative on its bounds "
        "is 0. Compare the codes before and after clipping instead.": _gradient_is(
            0, lambda u, *ends: _inside(u, *ends, margin=-0.5)
        ),
        "You clipped first and rounded then, as the paper does: inside ends at x/s = q_min and "
        "q_max, half a step too early.": _gradient_is(
            0, lambda u, *ends: _inside(u, *ends, margin=0)
        ),
        "x gets a gradient even where it is clipped.": _gradient_is(
            0, lambda u, *_: torch.ones_like(u)
        ),
        "s gets the code as its gradient: hold round(x/s) − x/s constant, not "
        "round(x/s).": _gradient_is(1, lambda u, *ends: torch.round(u).clamp(*ends)),
        "s gets no gradient where x is clipped: there x̂ = s q_min or s q_max.": _gradient_is(
            1, lambda u, *ends: (torch.round(u) - u) * _inside(u, *ends)
        ),
        "s gets no gradient at all: do not detach it.": _gradient_is(
            1, lambda u, *_: torch.zeros_like(u)
        ),
    },
)

# -- predict before you run: where a step settles --------------------------------------------------

SETTLED = 2 - math.sqrt(2)
"""Root of s² − 4 s + 2: the estimator's gradient of the mean squared error vanishes there."""

BEST = 2 / 3
"""Root of s/2 = 1 − s: the step of the least mean squared error."""

CLIPPED_FIRST = 1 / (1 + 1 / math.sqrt(6))
"""Root of s²/6 = (1 − s)²: where the paper's order, clip and then round, settles."""


EXERCISES["qat-settles"] = Exercise(
    kind=a_number,
    claims={
        "the step lies between 0 and 1": (
            value(lambda s: 0 < s < 1),
            "The values lie in [−1, 1], and the codes reach from −s to s: s lies between 0 and 1.",
        ),
        "it is not the step of the least error": (
            value(lambda s: abs(s - BEST) >= 0.01),
            "Solve for a gradient of zero; the estimator's is not the true one.",
        ),
        "the estimator's gradient vanishes there": (
            near(SETTLED),
            "Inside, |x| < 1.5 s, the gradient is (x̂ − x)²/s; beyond, it is x̂ − x times the sign. "
            "Balance the two.",
        ),
    },
    mistakes={
        "That is the best step, 2/3: the estimator does not find it.": near(BEST),
        "That is the other root of s² − 4 s + 2. Inside would end at 1.5 s, beyond all "
        "values.": near(2 + math.sqrt(2)),
        "You clipped first, as the paper does: that settles at 0.71.": near(CLIPPED_FIRST),
        "That is where LSQ starts, 2 E|x| / √q_max = 1, not where it settles.": near(1),
    },
)

EXERCISES["qat-update"] = UPDATE  # spot the bug

# -- transfer: a gate, its surrogate the sigmoid ---------------------------------------------------

_SIGMOID = 1 / (1 + math.exp(0.5))
_GATE = -4 * _SIGMOID * (1 - _SIGMOID)  # −0.940


_gate_is = partial(near)


EXERCISES["qat-gate"] = Exercise(
    kind=numbers(3),
    claims={
        "the derivative at first is right": (
            at(0, _GATE),
            "By the chain rule: (gate · 2 − 2) · 2 · sigmoid · (1 − sigmoid), with a gate of 0.",
        ),
        "the update is right": (
            lambda answer: math.isclose(sum(as_numbers(answer).tolist()[:2]), -0.5, abs_tol=0.006),
            "The new u is −0.5 minus the derivative.",
        ),
        "the derivative after the update is right": (
            at(2, 0),
            "u is above 0 now, so the gate is 1, and gate · 2 − 2 = 0.",
        ),
    },
    mistakes={
        "That is the true derivative, 0: take the slope of the surrogate.": _gate_is((0,)),
        "You let the forward pass use the sigmoid; it uses the gate, which is 0 at first.": at(
            0, (2 * _SIGMOID - 2) * _GATE / -2
        ),
        "You took the slope 1, that of rounding; the surrogate here is the sigmoid.": _gate_is(
            (-4,)
        ),
        "You left out the factor 2 of the unit's output.": _gate_is((_GATE / 2,)),
        "Your sign is wrong: gate · 2 − 2 is −2 at first.": _gate_is((-_GATE,)),
    },
)
