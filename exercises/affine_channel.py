"""Exercise of chapter 03 to implement: a scale for each output channel of a weight."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, WrongResultError, a_function
from reference_impl.quantization import (
    IntegerGrid,
    affine_from_range,
    min_max_range,
    symmetric_from_range,
)

PerChannel = Callable[[Tensor, int], Tensor]


def _weights() -> list[Tensor]:
    """Return a matrix and a convolution's weight whose channels differ widely in size."""
    source = torch.Generator().manual_seed(5)
    sizes = 10 ** torch.linspace(-2, 1, 6)
    matrix = torch.randn(6, 8, generator=source) * sizes.view(6, 1)
    kernel = torch.randn(6, 3, 2, 2, generator=source) * sizes.view(6, 1, 1, 1)
    return [matrix, kernel]


def _restored(answer: PerChannel, weight: Tensor, bits: int) -> Tensor:
    """Return what the learner's function gives for a copy of the weight."""
    found = answer(weight.clone(), bits)
    if not isinstance(found, Tensor):
        kind = type(found).__name__
        raise WrongResultError(f"The function must return a tensor; it returned a {kind}.")
    if found.shape != weight.shape:
        raise WrongResultError(
            f"The result must have the weight's shape {tuple(weight.shape)}; "
            f"it has {tuple(found.shape)}."
        )
    return found.double()


def _agrees(formula: PerChannel) -> Callable[[PerChannel], bool]:
    """Return the test whether an answer agrees with ``formula`` up to float32's own rounding."""

    def holds(answer: PerChannel) -> bool:
        for weight in _weights():
            for bits in (2, 4, 8):
                found, expected = _restored(answer, weight, bits), formula(weight, bits).double()
                if not torch.allclose(found, expected, rtol=1e-4, atol=1e-7):
                    return False
        return True

    return holds


def _of_channels(axes: Any) -> PerChannel:
    """Return the symmetric round trip whose scales are told apart along the axes."""

    def formula(weight: Tensor, bits: int) -> Tensor:
        grid = IntegerGrid(bits, signed=True, narrow=True)
        return symmetric_from_range(*min_max_range(weight, axes), grid).round_trip(weight)

    return formula


def _halves(answer: PerChannel) -> bool:
    """Return whether s is absmax / ((2^b − 1)/2); the ends, half-way between codes, may differ."""
    for weight in _weights():
        scale = weight.abs().flatten(1).amax(1).view(-1, *[1] * (weight.ndim - 1)) / 127.5
        off = (_restored(answer, weight, 8) / scale - (weight / scale).round()).abs()
        if (off < 1e-3).double().mean() < 0.8:
            return False
    return True


def _in_steps(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return w / s and s at 4 bits."""
    scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True) / 7
    return weight / scale, scale


def _mostly(found: Tensor, expected: Tensor) -> bool:
    """Return whether nine in ten agree: float32 may decide otherwise at the ends."""
    return bool(((found - expected).abs() < 1e-3).double().mean() > 0.9)


def _truncates(answer: PerChannel) -> bool:
    """Return whether the fraction of w / s is cut off, the largest magnitudes aside."""
    for weight in _weights():
        u, scale = _in_steps(weight)
        inner = u.abs() < 6.9
        if not _mostly((_restored(answer, weight, 4) / scale)[inner], u[inner].trunc()):
            return False
    return True


def _returns_codes(answer: PerChannel) -> bool:
    """Return whether the result is q instead of s q."""
    return all(_mostly(_restored(answer, w, 4), _in_steps(w)[0].round()) for w in _weights())


def _for_matrices_only(answer: PerChannel) -> bool:
    """Return whether the scales are right for a matrix, and too many for a filter."""
    matrix, kernel = _weights()
    right = _of_channels(0)
    if not torch.allclose(_restored(answer, matrix, 4), right(matrix, 4).double(), rtol=1e-4):
        return False
    try:
        found = _restored(answer, kernel, 4)
    except (RuntimeError, IndexError, ValueError, WrongResultError):
        return True
    return not torch.allclose(found, right(kernel, 4).double(), rtol=1e-4)


def _asymmetric(weight: Tensor, bits: int) -> Tensor:
    return affine_from_range(*min_max_range(weight, 0), IntegerGrid(bits)).round_trip(weight)


def _by_powers(weight: Tensor, bits: int) -> Tensor:
    """Restore with s = absmax / 2^(b−1), clipped to the narrow grid."""
    end = 2 ** (bits - 1)
    scale = weight.abs().amax(tuple(range(1, weight.ndim)), keepdim=True) / end
    restored: Tensor = (weight / scale).round().clamp(1 - end, end - 1) * scale
    return restored


def _keeps_largest(answer: PerChannel) -> bool:
    """Return whether the largest magnitude of each channel comes back as it was."""
    for weight in _weights():
        found = _restored(answer, weight, 4).flatten(1)
        rows = weight.double().flatten(1)
        largest = rows.abs().argmax(1, keepdim=True)
        if not torch.allclose(found.gather(1, largest), rows.gather(1, largest), rtol=1e-5):
            return False
    return True


def _keeps_channels_apart(answer: PerChannel) -> bool:
    """Return whether a channel comes back the same, whatever the others hold."""
    for weight in _weights():
        alone = _restored(answer, weight, 4)[:3]
        louder = weight.clone()
        louder[3:] *= 100
        if not torch.equal(_restored(answer, louder, 4)[:3], alone):
            return False
    return True


def _survives_a_dead_channel(answer: PerChannel) -> bool:
    """Return whether a channel of zeros comes back as zeros, and the others as without it."""
    for weight in _weights():
        dead = weight.clone()
        dead[2] = 0
        found, whole = _restored(answer, dead, 4), _restored(answer, weight, 4)
        others = torch.arange(len(weight)) != 2
        if found[2].any() or not torch.equal(found[others], whole[others]):
            return False
    return True


def _leaves_the_weight(answer: PerChannel) -> bool:
    weight = _weights()[0]
    before = weight.clone()
    answer(weight, 4)
    return torch.equal(weight, before)


_PER_CHANNEL = Exercise(
    kind=a_function("per_channel(weight, bits)"),
    claims=(
        Claim(
            "the largest magnitude of each channel comes back",
            _keeps_largest,
            "With s = max |w| / q_max the largest weight of a channel has the code ±q_max.",
        ),
        Claim(
            "no channel depends on another",
            _keeps_channels_apart,
            "Each output channel (axis 0) has a scale of its own: reduce all axes but the first.",
        ),
        Claim(
            "all values are right, at 2, 4 and 8 bits",
            _agrees(_of_channels(0)),
            "s = max |w| / (2^(b−1) − 1), q = clip(round(w / s), −q_max, q_max), ŵ = s q.",
        ),
        Claim(
            "a channel of zeros stays zero",
            _survives_a_dead_channel,
            "There max |w| = 0 and w / s is 0 / 0: take any other scale, such as 1.",
        ),
        Claim("the weight is left as it was", _leaves_the_weight, "Work on a copy of the weight."),
    ),
    mistakes=(
        Mistake("You returned the codes q: the restored weight is s q.", _returns_codes),
        Mistake("You cut the fraction of w / s off: round to the nearest.", _truncates),
        Mistake("You used one scale for the whole tensor.", _agrees(_of_channels(()))),
        Mistake(
            "Your scales belong to the inputs, axis 1: an output channel is an entry of axis 0.",
            _agrees(_of_channels(1)),
        ),
        Mistake("You divided by 2^(b−1): q_max is one less.", _agrees(_by_powers)),
        Mistake(
            "You divided by (2^b − 1)/2, the convention of torch's observers: on a narrow grid "
            "q_max is 2^(b−1) − 1.",
            _halves,
        ),
        Mistake("You used an asymmetric range: here z = 0.", _agrees(_asymmetric)),
        Mistake(
            "It is right for a matrix, not for a convolution's weight: reduce all axes but the "
            "first.",
            _for_matrices_only,
        ),
    ),
)

EXERCISES = {"per-channel-weights": _PER_CHANNEL}
