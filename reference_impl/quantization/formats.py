"""Codebooks that are fixed in advance: powers of two, NormalFloat and 8-bit floating point."""

import math
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import Annotated

import torch
import torch.nn.functional as F

from reference_impl.checked import FloatType, Values, Where, Within, checked
from reference_impl.quantization.codebook import CodebookQuantizer, Reals, look_up
from reference_impl.quantization.grid import Codes

_SPECIAL = "infinity", "nan", "none"
Special = Annotated[str, Where("infinity, nan or none", _SPECIAL.__contains__)]


@checked
def power_of_two_codebook(
    largest: Annotated[float, Within(1e-30, 1e30)], bits: Annotated[int, Within(2, 6)]
) -> CodebookQuantizer:
    """Return 0 and ±2^(top − i), i = 0 … 2^(b−1) − 2, with top = ⌊log₂(4/3 max |x|)⌋.

    These are 2^b − 1 values. 2^top is the power nearest to max |x|, the largest magnitude. Products
    with such weights are shifts. The error of an x from ¾ of the smallest power to max |x| is at
    most |x|/3, reached half-way between two.

    >>> power_of_two_codebook(1.0, bits=3).values
    (-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0)

    References: Miyashita et al. 2016, "Convolutional Neural Networks using Logarithmic Data
    Representation"; Zhou et al. 2017, "Incremental Network Quantization", for top.
    Equation: eq-codebook-power, eq-codebook-power-bound, chapter 06.
    """
    top = math.floor(math.log2(4 * largest / 3))
    powers = [2.0 ** (top - i) for i in range(2 ** (bits - 1) - 1)]
    return CodebookQuantizer((*(-power for power in powers), 0.0, *reversed(powers)))


def normal_float_codebook() -> CodebookQuantizer:
    """Return NF4: quantiles Φ⁻¹ of the normal distribution, divided by the largest of them.

    Φ⁻¹(½ + (end − ½) i/8) for i = 1 … 8, −Φ⁻¹(½ + (end − ½) i/7) for i = 1 … 7, and 0, all divided
    by Φ⁻¹(end), with the probability end = ½ (29/30 + 31/32).

    >>> [round(value, 4) for value in normal_float_codebook().values[:4]]
    [-1.0, -0.6962, -0.5251, -0.3949]

    References: Dettmers et al. 2023, "QLoRA": appendix E has the table, equation 4 another one.
    Equation: eq-codebook-nf4, chapter 06.
    """
    quantile = NormalDist().inv_cdf
    delta = (29 / 30 + 31 / 32) / 2
    positive = [quantile(0.5 + (delta - 0.5) * i / 8) for i in range(1, 9)]
    negative = [-quantile(0.5 + (delta - 0.5) * i / 7) for i in range(1, 8)]
    values = sorted([*positive, 0.0, *negative])
    return CodebookQuantizer(tuple(value / values[-1] for value in values))


@checked
@dataclass(frozen=True)
class FloatFormat:
    """Floating point with a sign, b_e exponent bits and b_m mantissa bits.

    Code expo·2^b_m + mant, with the exponent field expo and the mantissa field mant, stands for

        2^(expo − bias) (1 + mant/2^b_m)  if expo > 0 (normal number),
        2^(1 − bias) mant/2^b_m           if expo = 0 (subnormal number),

    with bias = 2^(b_e − 1) − 1; codes from 2^(b_e + b_m) on are the negatives. What rounds beyond
    the largest number becomes the largest number if the format ``saturates``, else infinite, or nan
    if infinity has no code.

    >>> E2M1.magnitudes
    (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
    >>> E4M3.largest, E5M2.largest
    (448.0, 57344.0)

    References: Micikevicius et al. 2022, "FP8 Formats for Deep Learning", section 3; Open Compute
    Project 2023, "OCP Microscaling Formats (MX) Specification", section 5.3, for 4 and 6 bits.
    """

    exponent_bits: Annotated[int, Within(2, 5)]
    mantissa_bits: Annotated[int, Within(1, 7)]
    special: Special = "nan"
    """Which codes are not numbers: those of the last exponent field, the last one, or none."""
    saturates: bool = True

    def __post_init__(self) -> None:
        """Refuse a format that has no code for what is too large."""
        if self.special == "none" and not self.saturates:
            raise ValueError("saturates must be True if no code is special, got False")

    @property
    def bits(self) -> int:
        """Return 1 + b_e + b_m."""
        return 1 + self.exponent_bits + self.mantissa_bits

    @property
    def bias(self) -> int:
        """Return 2^(b_e − 1) − 1."""
        return int(2 ** (self.exponent_bits - 1) - 1)

    @property
    def magnitudes(self) -> tuple[float, ...]:
        """Return the finite values from 0 up; each one's place is its code.

        Equation: eq-codebook-float, chapter 06.
        """
        fractions = 2**self.mantissa_bits
        codes = 2 ** (self.bits - 1) - {"infinity": fractions, "nan": 1, "none": 0}[self.special]
        return tuple(
            2.0 ** (max(j, 1) - self.bias) * ((j > 0) + f / fractions)
            for j, f in (divmod(code, fractions) for code in range(codes))
        )

    @property
    def largest(self) -> float:
        """Return the largest finite value."""
        return self.magnitudes[-1]

    @checked
    def quantize(self, x: Values) -> Codes:
        """Return the codes of the nearest values; half-way to the even code.

        Rounded once, from the exact x; torch's casts of float64 pass through float32.
        """
        wide = x.detach().double().contiguous()  # torch warns of others
        values = list(self.magnitudes)
        if not self.saturates:
            values.append(2 * values[-1] - values[-2])  # where the next number would be
        halves = wide.new_tensor([(low + high) / 2 for low, high in pairwise(values)])
        below = torch.bucketize(wide.abs(), halves)  # half-way goes down …
        above = torch.bucketize(wide.abs(), halves, right=True)  # … or up
        code = torch.where(below % 2 == 0, below, above).int()
        negative = torch.signbit(wide).int() * 2 ** (self.bits - 1)
        codes: Codes = code + negative
        return codes

    def dequantize(self, q: Codes, dtype: FloatType = torch.float32) -> Reals:
        """Return the values of the codes, infinite and nan ones too."""
        values = [*self.magnitudes, math.inf] if self.special == "infinity" else self.magnitudes
        half = torch.tensor(values, dtype=torch.float64, device=q.device)
        half = F.pad(half, (0, 2 ** (self.bits - 1) - len(half)), value=math.nan)
        return look_up(torch.cat([half, -half]), q, dtype)

    def round_trip(self, x: Values) -> Reals:
        """Return the nearest values, in the dtype of ``x``."""
        return self.dequantize(self.quantize(x), x.dtype)


E4M3 = FloatFormat(4, 3)  #: as torch.float8_e4m3fn: up to 448, no infinities
E2M1, E2M3, E3M2 = (FloatFormat(e, m, special="none") for e, m in ((2, 1), (2, 3), (3, 2)))
"""FP4 and FP6 of the OCP standard: every code is a number."""
E5M2 = FloatFormat(5, 2, "infinity", saturates=False)  #: as torch.float8_e5m2: a float16 cut short
