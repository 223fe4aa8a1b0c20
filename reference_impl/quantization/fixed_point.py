"""Multiplying integers by a real number in integers: fixed-point multipliers and requantization.

M = 2^−shift M_0 with ½ ≤ M_0 < 1, and M_0 held as the integer significand = 2^31 M_0. Then

    round(M r) = round(significand · r / 2^(31 + shift)),

a product of two 32-bit integers and a rounding shift to the right, exact in 64 bits.
"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Int32, Int64
from torch import Tensor

from reference_impl.checked import Within, checked
from reference_impl.quantization.grid import Codes, IntegerGrid

SIGNIFICAND_BITS = 31
MAX_SHIFT = 1074  #: that of the smallest float64
Sums = Int32[Tensor, "*shape"]
Factors = Annotated[Float[Tensor, "*channels"], Within(0, 2**30, above=True, below=True)]


@checked
@dataclass(frozen=True, eq=False)
class FixedPointMultiplier:
    """The number M = 2^−shift M_0, ½ ≤ M_0 < 1, as the integers significand = 2^31 M_0 and shift.

    The shape is () for one M, (C,) for one per channel. Below −30 nothing is shifted right.

    >>> FixedPointMultiplier(torch.tensor(2**30), torch.tensor(0)).value.item()
    0.5
    """

    significand: Annotated[Int[Tensor, "*channels"], Within(2**30, 2**31 - 1)]
    shift: Annotated[Int[Tensor, "*channels"], Within(1 - SIGNIFICAND_BITS, MAX_SHIFT)]

    def __post_init__(self) -> None:
        """Keep copies, so that later changes to the arguments have no effect."""
        object.__setattr__(self, "significand", self.significand.to(torch.int32, copy=True))
        object.__setattr__(self, "shift", self.shift.to(torch.int32, copy=True))

    @property
    def value(self) -> Float64[Tensor, "*channels"]:
        """Return M = 2^−(31 + shift) significand, exact in float64."""
        exponent = -(SIGNIFICAND_BITS + self.shift.numpy())
        value = np.ldexp(self.significand.double().numpy(), exponent)
        return torch.as_tensor(value, dtype=torch.float64)


@checked
def fixed_point(
    multiplier: Factors, bits: Annotated[int, Within(1, SIGNIFICAND_BITS)] = SIGNIFICAND_BITS
) -> FixedPointMultiplier:
    """Return M = 2^−shift M_0 next to the given numbers, with M_0 = round(2^bits M_0) / 2^bits.

    Its relative error is at most 2^−bits; fewer bits make the multiplication cheaper.

    >>> m = fixed_point(torch.tensor(0.3))
    >>> m.significand.item(), m.shift.item()
    (1288490240, 1)

    References: Jacob et al. 2018, see `AffineQuantizer`, section 2.2.
    Equation: eq-integer-multiplier, chapter 04.
    """
    fraction, exponent = torch.frexp(multiplier.detach().double())  # fraction in [½, 1)
    significand = torch.round(fraction * 2.0**bits).long() << (SIGNIFICAND_BITS - bits)
    carried = significand == 2**SIGNIFICAND_BITS  # ½ ≤ M_0 < 1 again: 2^n · 1 = 2^(n + 1) · ½
    significand = torch.where(carried, 2 ** (SIGNIFICAND_BITS - 1), significand)
    return FixedPointMultiplier(significand, -(exponent + carried.int()))


@checked
def rescale(accumulators: Sums, multiplier: FixedPointMultiplier) -> Int64[Tensor, "*shape"]:
    """Return round(M r), exact, in integers; ties go to the even neighbour.

    With product = significand · r and divisor = 2^(31 + shift) it is
    ⌊(product + divisor / 2 − 1 + odd) / divisor⌋, where odd is 1 if ⌊product / divisor⌋ is odd,
    else 0: a tie is rounded up only from an odd floor. M is one number, or one for each entry of
    r's last axis.

    >>> rescale(torch.tensor([1, 2, 3, 5], dtype=torch.int32), fixed_point(torch.tensor(0.5)))
    tensor([0, 1, 2, 2])

    Equation: eq-integer-shift, chapter 04.
    """
    channels, shape = tuple(multiplier.shift.shape), tuple(accumulators.shape)
    if channels not in ((), (1,), shape[-1:]):
        raise ValueError(f"multiplier must be one or fit the last axis of {shape}, got {channels}")
    t = (SIGNIFICAND_BITS + multiplier.shift.long()).clamp(max=63)  # 0 from there: |p| < 2^62
    p = accumulators.long() * multiplier.significand.long()
    odd = (p >> t).bitwise_and_(1)  # in place: four times as fast for 64 × 4,096
    below_half = (1 << (t - 1)) - 1
    return p.add_(odd).add_(below_half).__irshift__(t).view(shape)  # a number has no axis


@checked
def requantize(
    accumulators: Sums,
    multiplier: FixedPointMultiplier,
    grid: IntegerGrid,
    zero_point: int,
    *,
    relu: bool = False,
) -> Codes:
    """Return q = clip(round(M r) + z, q_min, q_max), in integers; with ``relu`` from z on.

    r is a sum in units of s_a s_b and M = s_a s_b / s; z is a code. The value s (q − z) is not
    negative where q ≥ z: a clip that starts at z is a ReLU.

    >>> r = torch.tensor([-700, 30, 9000], dtype=torch.int32)
    >>> requantize(r, fixed_point(torch.tensor(0.05)), IntegerGrid(8), 10, relu=True).tolist()
    [10, 12, 255]

    References: Jacob et al. 2018, equations 5 and 6, and section 2.4.
    Equation: eq-integer-requantize, eq-integer-relu, chapter 04.
    """
    grid.require_code("zero_point", zero_point)
    q = rescale.__wrapped__(accumulators, multiplier).add_(zero_point)
    return q.clamp_(zero_point if relu else grid.q_min, grid.q_max).to(grid.dtype)
