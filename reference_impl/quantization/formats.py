"""Grids that are given beforehand: powers of two, NormalFloat and 8-bit floating point."""

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import torch
from jaxtyping import Float, Int
from torch import Tensor

from reference_impl.checks import (
    FLOATING_TYPES,
    require_float_tensor,
    require_int,
    require_integer_tensor,
    require_real,
)
from reference_impl.quantization.codebook import CodebookQuantizer


def power_of_two_codebook(largest: float, bits: int) -> CodebookQuantizer:
    """Return 0 and ±2^(e − i), i = 0 … 2^(b−1) − 2, with e = ⌊log₂(4 a/3)⌋: 2^b − 1 values.

    2^e is the power nearest to a. Products with such weights are shifts. The error of an x from
    ¾ of the smallest power to a is at most |x|/3, with equality half-way between two powers.

    >>> power_of_two_codebook(1.0, bits=3).values
    (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0)

    Args:
        largest: a, the largest magnitude to represent, from 1e-30 to 1e30.
        bits: b, 2 to 6.

    Raises:
        TypeError: if ``largest`` is no real number or ``bits`` no integer.
        ValueError: if one is outside its range.

    References:
        Miyashita, Lee & Murmann 2016, "Convolutional Neural Networks using Logarithmic Data
        Representation"; Zhou et al. 2017, "Incremental Network Quantization", for e.

    Equation: eq-codebook-power, eq-codebook-power-bound, chapter 05.
    """
    largest = require_real("largest", largest, 1e-30, 1e30)
    bits = require_int("bits", bits, 2, 6)
    top = math.floor(math.log2(4 * largest / 3))
    powers = [2.0 ** (top - i) for i in range(2 ** (bits - 1) - 1)]
    return CodebookQuantizer((*(-power for power in powers), 0.0, *reversed(powers)))


def normal_float_codebook() -> CodebookQuantizer:
    """Return NF4: quantiles Φ⁻¹ of the normal distribution, divided by the largest of them.

    With δ = ½ (29/30 + 31/32), eight positive ones, at probabilities evenly spaced from δ down
    to, but without, ½; seven negative ones, evenly spaced likewise and mirrored; and 0.

    >>> [round(value, 4) for value in normal_float_codebook().values[:4]]
    [-1.0, -0.6962, -0.5251, -0.3949]

    References:
        Dettmers et al. 2023, "QLoRA", appendix E has the table; its equation 4 does not give it.

    Equation: eq-codebook-nf4, chapter 05.
    """
    quantile = NormalDist().inv_cdf
    end = (29 / 30 + 31 / 32) / 2
    positive = [quantile(end - (end - 0.5) * i / 8) for i in range(8)]
    negative = [-quantile(end - (end - 0.5) * i / 7) for i in range(7)]
    values = sorted([*positive, 0.0, *negative])
    return CodebookQuantizer(tuple(value / values[-1] for value in values))


@dataclass(frozen=True)
class FloatFormat:
    """Floating point with a sign, b_e exponent bits and b_m mantissa bits.

    Code j·2^b_m + f, with the exponent field j and the fraction field f, stands for

        2^(j − β) (1 + f/2^b_m)  if j > 0 (normal),    2^(1 − β) f/2^b_m  if j = 0 (subnormal),

    with the bias β = 2^(b_e − 1) − 1; codes from 2^(b_e + b_m) on are the negatives. With
    ``infinities`` the last exponent field is spent on infinity and nan, and what rounds beyond
    the largest number becomes infinite. Without, only the last code is nan, and the largest
    number is kept instead. Both are what torch's casts do.

    >>> FloatFormat(4, 3).largest, FloatFormat(5, 2, infinities=True).largest
    (448.0, 57344.0)

    Args:
        exponent_bits: b_e, 2 to 5.
        mantissa_bits: b_m, 1 to 7.
        infinities: whether the last exponent field is reserved.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if one is outside its range.

    References:
        Micikevicius et al. 2022, "FP8 Formats for Deep Learning", section 3.
    """

    exponent_bits: int
    mantissa_bits: int
    infinities: bool = False

    def __post_init__(self) -> None:
        """Validate the arguments."""
        for name, low, high in (("exponent_bits", 2, 5), ("mantissa_bits", 1, 7)):
            object.__setattr__(self, name, require_int(name, getattr(self, name), low, high))
        if not isinstance(self.infinities, bool):
            raise TypeError(f"infinities must be True or False, got {self.infinities!r}")

    @property
    def bits(self) -> int:
        """Return 1 + b_e + b_m."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """Return β = 2^(b_e − 1) − 1."""
        return int(2 ** (self.exponent_bits - 1) - 1)

    @property
    def magnitudes(self) -> tuple[float, ...]:
        """Return the finite values from 0 up; each one's place is its code.

        Equation: eq-codebook-float, chapter 05.
        """
        fractions = 2**self.mantissa_bits
        codes = (
            (2**self.exponent_bits - 1) * fractions if self.infinities else 2 ** (self.bits - 1) - 1
        )
        return tuple(
            2.0 ** (j - self.bias) * (1 + f / fractions)
            if j
            else 2.0 ** (1 - self.bias) * f / fractions
            for j, f in (divmod(code, fractions) for code in range(codes))
        )

    @property
    def largest(self) -> float:
        """Return the largest finite value."""
        return self.magnitudes[-1]

    def quantize(self, x: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """Return the codes of the nearest values as int32; half-way to the even fraction field.

        Rounded once, from the exact x; torch's casts of float64 pass through float32.

        Raises:
            TypeError: if ``x`` is no floating-point tensor.
            ValueError: if it is empty or not finite.
        """
        require_float_tensor("x", x)
        wide = x.detach().double().contiguous()  # torch warns of others
        values = list(self.magnitudes)
        if self.infinities:
            values.append(2 * values[-1] - values[-2])  # where the next number would be
        halves = torch.tensor(
            [(low + high) / 2 for low, high in pairwise(values)],
            dtype=torch.float64,
        )
        below = torch.bucketize(wide.abs(), halves)  # half-way goes down …
        above = torch.bucketize(wide.abs(), halves, right=True)  # … or up
        code = torch.where(below % 2 == 0, below, above)
        negative = torch.signbit(wide).long() * 2 ** (self.bits - 1)
        signed: Tensor = code + negative
        return signed.to(torch.int32)

    def dequantize(
        self, q: Int[Tensor, "*shape"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "*shape"]:
        """Return the values of the codes, infinite and nan ones too.

        Raises:
            TypeError: if ``q`` does not hold integers or ``dtype`` is no floating-point type of
                16 bits or more.
            ValueError: if ``q`` is empty or has a code outside 0 to 2^(1 + b_e + b_m) − 1, or if
                ``dtype`` cannot hold the largest value.
        """
        require_integer_tensor("q", q)
        if dtype not in FLOATING_TYPES:
            raise TypeError(f"dtype must be a floating-point torch.dtype, got {dtype!r}")
        if self.largest > torch.finfo(dtype).max:
            raise ValueError(f"dtype must hold values up to {self.largest}, got {dtype}")
        places = q.long()
        smallest, largest = (int(end) for end in torch.aminmax(places))
        if smallest < 0 or largest >= 2**self.bits:
            raise ValueError(
                f"q must hold codes in [0, {2**self.bits - 1}], got {smallest} to {largest}"
            )
        table = torch.full((2 ** (self.bits - 1),), math.nan, dtype=torch.float64)
        table[: len(self.magnitudes)] = torch.tensor(self.magnitudes, dtype=torch.float64)
        if self.infinities:
            table[len(self.magnitudes)] = math.inf
        return torch.cat([table, -table]).to(dtype)[places]

    def round_trip(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return the nearest values, in the dtype of ``x``.

        Raises:
            TypeError, ValueError: as ``quantize`` and ``dequantize``.
        """
        return self.dequantize(self.quantize(x), x.dtype)


E4M3 = FloatFormat(4, 3)
"""As torch.float8_e4m3fn: up to 448, no infinities."""

E5M2 = FloatFormat(5, 2, infinities=True)
"""As torch.float8_e5m2: up to 57,344, a float16 cut short."""
