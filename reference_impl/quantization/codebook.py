"""Codebooks: a short list of levels v_k that need not be evenly spaced.

A code is a place in the list. Quantizing takes the nearest level, dequantizing looks it up:

    q = argmin_k |x − v_k|,    x̂ = v_q.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor

from reference_impl.checked import (
    Count,
    Finite,
    FloatType,
    Values,
    Where,
    Within,
    checked,
    readable,
    widened,
)
from reference_impl.quantization.grid import Codes

MAX_SIZE = 2**16
Size = Annotated[int, Within(1, MAX_SIZE)]
"""K, how many levels a codebook has: a code has at most 16 bits."""
Ascending = Annotated[
    tuple[float, ...],
    Where(f"1 to {MAX_SIZE} numbers", lambda c: 1 <= len(c) <= MAX_SIZE),
    Where("ascending", lambda c: all(low < high for low, high in pairwise(c))),
]
"""v_0 < v_1 < …, in the unit of x."""
NORMALIZED = Where("within [-1, 1]", lambda codebook: max(map(abs, codebook.values)) <= 1)
Reals = Float[Tensor, "*shape"]
Scales = Finite[Tensor, " blocks"]


@checked
@dataclass(frozen=True)
class CodebookQuantizer:
    """The map x ↦ q = argmin_k |x − v_k| and its inverse q ↦ v_q; ``values`` are the levels v_k.

    A number exactly between two neighbours takes the lower one, hence the smaller code.

    >>> quantizer = CodebookQuantizer((-1.0, 0.0, 0.5, 4.0))
    >>> quantizer.quantize(torch.tensor([-9.0, -0.4, 0.25, 0.3, 9.0])).tolist(), quantizer.bits
    ([0, 1, 1, 2, 3], 2)
    """

    values: Ascending

    @property
    def bits(self) -> int:
        """Return b = ⌈log₂ K⌉, the length of a code; 0 for a single level."""
        return math.ceil(math.log2(len(self.values)))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return (v_k + v_{k+1}) / 2: between neighbours the code changes half-way.

        Equation: eq-codebook-threshold, chapter 05.
        """
        return tuple(  # below the upper one, even of two neighbours in float64
            min((low + high) / 2, math.nextafter(high, low)) for low, high in pairwise(self.values)
        )

    @checked
    def quantize(self, x: Values) -> Codes:
        """Return q = argmin_k |x − v_k|: the number of thresholds below x.

        Equation: eq-codebook-quantize, chapter 05.
        """
        wide = x.detach().double().contiguous()  # comparisons are exact; torch warns of strides
        return torch.bucketize(wide, wide.new_tensor(self.thresholds), out_int32=True)

    def dequantize(self, q: Codes, dtype: FloatType = torch.float32) -> Reals:
        """Return x̂ = v_q, rounded to ``dtype``."""
        values = torch.tensor(self.values, dtype=torch.float64, device=q.device)
        return look_up(values, q, dtype)

    def round_trip(self, x: Values) -> Reals:
        """Return x̂ = v_q with q = argmin_k |x − v_k|, in the dtype of ``x``."""
        return self.dequantize(self.quantize(x), x.dtype)


@checked
def look_up(values: Float64[Tensor, " size"], q: Codes, dtype: FloatType) -> Reals:
    """Return the levels of codes in 0 … K − 1, rounded to a ``dtype`` that holds finite ones."""
    places, rounded = q.long(), values.to(dtype)
    if readable():
        _require_values(values, places, rounded)
    return rounded[places]


def _require_values(values: Tensor, places: Tensor, rounded: Tensor) -> None:
    """Refuse codes without a level, and a type whose largest number a level exceeds."""
    low, high = int(places.min()), int(places.max())
    if low < 0 or high >= len(values):
        raise ValueError(f"q must hold codes in [0, {len(values) - 1}], got {low} to {high}")
    if len(over := values[rounded.isinf() & values.isfinite()].abs()):
        raise ValueError(f"dtype must hold magnitudes up to {over.max()}, got {rounded.dtype}")


@checked
@dataclass(frozen=True)
class BlockQuantizer:
    """Blocks of g values, each divided by its largest magnitude, then one codebook for all.

    For the values x_i of one block: s = max |x_i|, q_i = argmin_k |x_i / s − c_k|, x̂_i = s c_{q_i}.
    The tensor is read row by row; the last block may be shorter. A block of zeros has s = 0.
    The values of the codebook lie in [−1, 1]; ``block`` is g.

    >>> ternary = BlockQuantizer(CodebookQuantizer((-1.0, 0.0, 1.0)), block=2)
    >>> ternary.round_trip(torch.tensor([1.0, 0.1, -8.0, 5.0])).tolist()
    [1.0, 0.0, -8.0, 8.0]

    References: Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization", section 2.
    """

    codebook: Annotated[CodebookQuantizer, NORMALIZED]
    block: Count

    @checked
    def scales(self, x: Values) -> Float[Tensor, " blocks"]:
        """Return s = max |x_i| of each block, in the dtype of ``x``."""
        flat = x.detach().flatten().abs()
        block = min(self.block, flat.numel())
        return F.pad(flat, (0, -flat.numel() % block)).view(-1, block).amax(dim=1)

    @checked
    def quantize(self, x: Values) -> tuple[Codes, Float[Tensor, " blocks"]]:
        """Return q_i = argmin_k |x_i / s − c_k|, and the scales.

        Equation: eq-codebook-block, chapter 06.
        """
        scales = self.scales(x)
        divisor = self._each(torch.where(scales == 0, 1, scales), x.shape)
        return self.codebook.quantize(widened(x.detach()) / divisor), scales

    @checked
    def dequantize(self, q: Codes, scales: Scales) -> Reals:
        """Return x̂_i = s c_{q_i} in the dtype of ``scales``, which has one s for each block."""
        if len(scales) != (blocks := -(-q.numel() // self.block)):
            raise ValueError(f"scales must be {blocks}, one for each block, got {len(scales)}")
        wide = self._each(widened(scales), q.shape)
        return (self.codebook.dequantize(q, wide.dtype) * wide).to(scales.dtype)

    def round_trip(self, x: Values) -> Reals:
        """Return x̂_i = s c_{q_i} in the dtype of ``x``."""
        return self.dequantize(*self.quantize(x))

    def _each(self, scales: Float[Tensor, " blocks"], shape: torch.Size) -> Reals:
        """Return the scale of each value, in the values' shape."""
        count = math.prod(shape)
        return scales.repeat_interleave(min(self.block, count))[:count].view(shape)
