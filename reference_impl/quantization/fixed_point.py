"""Multiplying integers by a real number in integers: fixed-point multipliers and requantization.

M = 2^−n M_0 with ½ ≤ M_0 < 1, and M_0 held as the integer m = 2^31 M_0. Then

    round(M r) = round(m r / 2^(31 + n)),

a product of two 32-bit integers and a rounding shift to the right, exact in 64 bits.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int32, Int64, Integer
from torch import Tensor

from reference_impl.checks import (
    require_arithmetic,
    require_float_tensor,
    require_instance,
    require_int,
    require_same_shape,
    require_tensor,
)
from reference_impl.quantization.grid import IntegerGrid

SIGNIFICAND_BITS = 31
LEAST_SHIFT = 1 - SIGNIFICAND_BITS
"""Of n: below it, 31 + n < 1, and nothing would be shifted to the right."""
LARGEST_SHIFT = 1100
"""Of n: the smallest float64 above 0 is 2^−1074."""


@dataclass(frozen=True, eq=False)
class FixedPointMultiplier:
    """The number M = 2^−n M_0, ½ ≤ M_0 < 1, as the two integers m = 2^31 M_0 and n.

    >>> half = FixedPointMultiplier(torch.tensor(2**30), torch.tensor(0))
    >>> half.value.item()
    0.5

    Args:
        significand: m, in [2^30, 2^31); any shape: () for one M, (C,) for one per channel.
        shift: n, at least −30; the shape of ``significand``. It is positive where M < ½.

    Raises:
        TypeError: if either does not hold uint8 or signed integers.
        ValueError: if one is out of its range, or the shapes differ.
    """

    significand: Integer[Tensor, "*channels"]
    shift: Integer[Tensor, "*channels"]

    def __post_init__(self) -> None:
        """Validate the arguments and keep copies, which nobody else can change."""
        _require_within("significand", self.significand, 2**30, 2**31 - 1)
        _require_within("shift", self.shift, LEAST_SHIFT, LARGEST_SHIFT)
        require_same_shape("shift", self.shift, "significand", self.significand)
        object.__setattr__(self, "significand", self.significand.to(torch.int32, copy=True))
        object.__setattr__(self, "shift", self.shift.to(torch.int32, copy=True))

    @property
    def value(self) -> Float64[Tensor, "*channels"]:
        """Return M = 2^−(31 + n) m, exact in float64."""
        exponent = -(SIGNIFICAND_BITS + self.shift.numpy())
        value = np.ldexp(self.significand.numpy().astype(np.float64), exponent)
        return torch.as_tensor(value, dtype=torch.float64)


def fixed_point(
    multiplier: Float[Tensor, "*channels"], bits: int = SIGNIFICAND_BITS
) -> FixedPointMultiplier:
    """Return M = 2^−n M_0 next to the given numbers, with M_0 = round(2^bits M_0) / 2^bits.

    With 31 bits its relative error is at most 2^−31.

    >>> m = fixed_point(torch.tensor(0.3))
    >>> m.significand.item(), m.shift.item()
    (1288490240, 1)

    Args:
        multiplier: positive numbers.
        bits: of M_0, 1 to 31: fewer make the multiplication cheaper and M coarser.

    Raises:
        TypeError: if ``multiplier`` is no floating-point tensor or ``bits`` no integer.
        ValueError: if a multiplier is not in (0, 2^30), or ``bits`` out of its range.

    References:
        Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
        Integer-Arithmetic-Only Inference", section 2.2.

    Equation: eq-integer-multiplier, chapter 04.
    """
    require_float_tensor("multiplier", multiplier)
    bits = require_int("bits", bits, 1, SIGNIFICAND_BITS)
    smallest, largest = (end.item() for end in torch.aminmax(multiplier))
    if smallest <= 0 or largest >= 2**30 * (1 - 2.0**-32):
        raise ValueError(f"multiplier must be in (0, 2^30), got {smallest} to {largest}")
    fraction, exponent = torch.frexp(multiplier.detach().double())  # fraction in [½, 1)
    significand = torch.round(fraction * 2.0**bits).long() << (SIGNIFICAND_BITS - bits)
    carried = significand == 2**SIGNIFICAND_BITS  # ½ ≤ M_0 < 1 again: 2^n · 1 = 2^(n + 1) · ½
    return FixedPointMultiplier(
        torch.where(carried, 2 ** (SIGNIFICAND_BITS - 1), significand), -(exponent + carried.int())
    )


def rescale(
    accumulators: Int32[Tensor, "*shape"], multiplier: FixedPointMultiplier
) -> Int64[Tensor, "*shape"]:
    """Return round(M r), exact, in integers; ties go to the even neighbour.

    With p = m r and t = 31 + n it is ⌊(p + 2^(t−1) − 1 + e) / 2^t⌋, where e is 1 if ⌊p / 2^t⌋ is
    odd, else 0: only an odd floor is lifted from a tie.

    >>> rescale(torch.tensor([1, 2, 3, 5], dtype=torch.int32), fixed_point(torch.tensor(0.5)))
    tensor([0, 1, 2, 2])

    Args:
        accumulators: r.
        multiplier: M; one, of shape () or (1,), or one for each entry of the last axis of
            ``accumulators``, whose shape the result has.

    Raises:
        TypeError: if ``accumulators`` is no int32 tensor or ``multiplier`` no multiplier.
        ValueError: if ``accumulators`` is empty, or the shape of M does not fit its last axis.

    Equation: eq-integer-shift, chapter 04.
    """
    require_tensor("accumulators", accumulators)
    if accumulators.dtype != torch.int32:
        raise TypeError(f"accumulators must hold int32, got dtype {accumulators.dtype}")
    require_instance("multiplier", multiplier, FixedPointMultiplier)
    shape = tuple(multiplier.significand.shape)
    if shape and shape not in ((1,), accumulators.shape[-1:]):
        raise ValueError(
            f"multiplier must be one, or one for each entry of the last axis of accumulators, "
            f"{tuple(accumulators.shape)}, got shape {shape}"
        )
    # |p| < 2^62: whatever is shifted by more than 62 is below a half, hence 0
    t = SIGNIFICAND_BITS + multiplier.shift.long()
    significand = torch.where(t > 62, 0, multiplier.significand.long())
    if shape == (1,):  # would give a number an axis
        t, significand = t.squeeze(0), significand.squeeze(0)
    t = t.clamp(max=62)
    product = accumulators.long() * significand  # a 0-dim int64 alone would not widen int32
    below_half = (1 << (t - 1)) - 1
    odd = (product >> t).bitwise_and_(1)
    return product.add_(odd).add_(below_half).__irshift__(t)


def requantize(
    accumulators: Int32[Tensor, "*shape"],
    multiplier: FixedPointMultiplier,
    grid: IntegerGrid,
    zero_point: int,
    *,
    relu: bool = False,
) -> Integer[Tensor, "*shape"]:
    """Return q = clip(round(M r) + z, q_min, q_max), in integers; with ``relu`` from z on.

    The value s (q − z) is not negative where q ≥ z: a clip that starts at z is a ReLU.

    >>> r = torch.tensor([-700, 30, 9000], dtype=torch.int32)
    >>> requantize(r, fixed_point(torch.tensor(0.05)), IntegerGrid(8), zero_point=10).tolist()
    [0, 12, 255]
    >>> requantize(r, fixed_point(torch.tensor(0.05)), IntegerGrid(8), 10, relu=True).tolist()
    [10, 12, 255]

    Args:
        accumulators: r, sums in units of s_a s_b.
        multiplier: M = s_a s_b / s; one, or one for each entry of the last axis.
        grid: of q.
        zero_point: z, a code of the grid.
        relu: whether negative values become 0.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `rescale`, or if ``zero_point`` is no code of the grid.

    References:
        Jacob et al. 2018, equations 5 and 6, and section 2.4.

    Equation: eq-integer-requantize, eq-integer-relu, chapter 04.
    """
    require_instance("grid", grid, IntegerGrid)
    zero_point = require_int("zero_point", zero_point, grid.q_min, grid.q_max)
    require_instance("relu", relu, bool)
    q = rescale(accumulators, multiplier).add_(zero_point)
    return q.clamp_(zero_point if relu else grid.q_min, grid.q_max).to(grid.dtype)


def _require_within(name: str, value: Tensor, low: int, high: int) -> None:
    """Require integers in [low, high]."""
    require_arithmetic(name, value)
    smallest, largest = (int(end) for end in torch.aminmax(value))
    if smallest < low or largest > high:
        raise ValueError(f"{name} must be in [{low}, {high}], got {smallest} to {largest}")
