"""Codebooks: a short list of values that need not be evenly spaced.

A code is a place in the list. Quantizing takes the nearest value, dequantizing looks it up:

    q = argmin_k |x − c_k|,    x̂ = c_q.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

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

MAX_SIZE = 2**16


@dataclass(frozen=True)
class CodebookQuantizer:
    """The map x ↦ q = argmin_k |x − c_k| and its inverse q ↦ c_q.

    A value exactly between two neighbours takes the lower one, hence the smaller code.

    >>> quantizer = CodebookQuantizer((-1.0, 0.0, 0.5, 4.0))
    >>> quantizer.quantize(torch.tensor([-9.0, -0.4, 0.25, 0.3, 9.0])).tolist()
    [0, 1, 1, 2, 3]
    >>> quantizer.bits
    2

    Args:
        values: c_0 < c_1 < …, 1 to 65,536 of them, in the unit of x.

    Raises:
        TypeError: if ``values`` is no sequence of real numbers.
        ValueError: if it is empty or too long, or a value is not finite or not above the one
            before it.
    """

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        """Validate the values and make them Python's."""
        if not isinstance(self.values, Sequence) or isinstance(self.values, str):
            raise TypeError(
                f"values must be a sequence of numbers, got {type(self.values).__name__}"
            )
        if not 1 <= len(self.values) <= MAX_SIZE:
            raise ValueError(f"values must be 1 to {MAX_SIZE} numbers, got {len(self.values)}")
        values = tuple(require_real(f"values[{k}]", value) for k, value in enumerate(self.values))
        for k in range(1, len(values)):
            if values[k] <= values[k - 1]:
                raise ValueError(
                    f"values must ascend, got {values[k]} after {values[k - 1]} at place {k}"
                )
        object.__setattr__(self, "values", values)

    @property
    def bits(self) -> int:
        """Return b = ⌈log₂ K⌉, the length of a code; 0 for a single value."""
        return math.ceil(math.log2(len(self.values)))

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Return (c_k + c_{k+1}) / 2: between neighbours one changes half-way.

        Equation: eq-codebook-threshold, chapter 05.
        """
        pairs = pairwise(self.values)
        return tuple(low / 2 + high / 2 for low, high in pairs)  # low + high can overflow

    def quantize(self, x: Float[Tensor, "*shape"]) -> Int[Tensor, "*shape"]:
        """Return q = argmin_k |x − c_k| as int32: the number of thresholds below x.

        Raises:
            TypeError: if ``x`` is no floating-point tensor.
            ValueError: if it is empty or not finite.

        Equation: eq-codebook-quantize, chapter 05.
        """
        require_float_tensor("x", x)
        thresholds = torch.tensor(self.thresholds, dtype=torch.float64)
        # in float64 each comparison is exact for values of any of the narrower types
        wide = x.detach().double().contiguous()  # torch warns of others
        return torch.bucketize(wide, thresholds, out_int32=True)

    def dequantize(
        self, q: Int[Tensor, "*shape"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "*shape"]:
        """Return x̂ = c_q, rounded to ``dtype``.

        Raises:
            TypeError: if ``q`` does not hold integers or ``dtype`` is no floating-point type of
                16 bits or more.
            ValueError: if ``q`` is empty or has a code outside 0 to K − 1, or if ``dtype``
                cannot hold the values.
        """
        require_integer_tensor("q", q)
        if dtype not in FLOATING_TYPES:
            raise TypeError(f"dtype must be a floating-point torch.dtype, got {dtype!r}")
        places = q.long()
        smallest, largest = (int(end) for end in torch.aminmax(places))
        if smallest < 0 or largest >= len(self.values):
            raise ValueError(
                f"q must hold codes in [0, {len(self.values) - 1}], got {smallest} to {largest}"
            )
        if max(abs(self.values[0]), abs(self.values[-1])) > torch.finfo(dtype).max:
            raise ValueError(
                f"dtype must hold the values from {self.values[0]} to {self.values[-1]}, "
                f"got {dtype}"
            )
        return torch.tensor(self.values, dtype=torch.float64).to(dtype)[places]

    def round_trip(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return x̂ = c_q with q = argmin_k |x − c_k|, in the dtype of ``x``.

        Raises:
            TypeError, ValueError: as ``quantize`` and ``dequantize``.
        """
        return self.dequantize(self.quantize(x), x.dtype)


@dataclass(frozen=True)
class BlockQuantizer:
    """Blocks of g values, each divided by its largest magnitude, then one codebook for all.

    For the values x_i of one block: s = max |x_i|, q_i = argmin_k |x_i / s − c_k|, x̂_i = s c_{q_i}.
    The tensor is read row by row; the last block may be shorter. A block of zeros has s = 0.

    >>> ternary = BlockQuantizer(CodebookQuantizer((-1.0, 0.0, 1.0)), block=2)
    >>> ternary.round_trip(torch.tensor([1.0, 0.1, -8.0, 5.0])).tolist()
    [1.0, 0.0, -8.0, 8.0]

    Args:
        codebook: whose values lie in [−1, 1].
        block: g, the values that share a scale, at least 1.

    Raises:
        TypeError: if ``codebook`` is no `CodebookQuantizer` or ``block`` no integer.
        ValueError: if ``block`` is below 1 or the codebook leaves [−1, 1].

    References:
        Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization", section 2.
    """

    codebook: CodebookQuantizer
    block: int

    def __post_init__(self) -> None:
        """Validate the arguments."""
        if not isinstance(self.codebook, CodebookQuantizer):
            raise TypeError(
                f"codebook must be a CodebookQuantizer, got {type(self.codebook).__name__}"
            )
        object.__setattr__(self, "block", require_int("block", self.block, 1))
        low, high = self.codebook.values[0], self.codebook.values[-1]
        if low < -1 or high > 1:
            raise ValueError(f"codebook must lie in [-1, 1], got values from {low} to {high}")

    def scales(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, " blocks"]:
        """Return s = max |x_i| of each block, in the dtype of ``x``.

        Raises:
            TypeError: if ``x`` is no floating-point tensor.
            ValueError: if it is empty or not finite.
        """
        require_float_tensor("x", x)
        flat = x.detach().flatten().abs()
        block = min(self.block, flat.numel())
        missing = -flat.numel() % block
        return torch.cat([flat, flat.new_zeros(missing)]).view(-1, block).amax(dim=1)

    def quantize(
        self, x: Float[Tensor, "*shape"]
    ) -> tuple[Int[Tensor, "*shape"], Float[Tensor, " blocks"]]:
        """Return q_i = argmin_k |x_i / s − c_k| as int32, and the scales.

        Raises:
            TypeError, ValueError: as ``scales``.

        Equation: eq-codebook-block, chapter 05.
        """
        scales = self.scales(x)
        divisor = self._each(torch.where(scales == 0, 1, scales), x.shape)
        wide = x.detach().to(torch.promote_types(x.dtype, torch.float32))
        return self.codebook.quantize(wide / divisor), scales

    def dequantize(
        self, q: Int[Tensor, "*shape"], scales: Float[Tensor, " blocks"]
    ) -> Float[Tensor, "*shape"]:
        """Return x̂_i = s c_{q_i} in the dtype of ``scales``.

        Raises:
            TypeError, ValueError: as ``CodebookQuantizer.dequantize``, and if ``scales`` is no
                floating-point tensor with one finite number per block.
        """
        require_float_tensor("scales", scales)
        require_integer_tensor("q", q)
        blocks = -(-q.numel() // self.block)
        if scales.shape != (blocks,):
            raise ValueError(
                f"scales must have shape ({blocks},), one for each block of {self.block}, "
                f"got {tuple(scales.shape)}"
            )
        wide = torch.promote_types(scales.dtype, torch.float32)
        values = self.codebook.dequantize(q, wide) * self._each(scales, q.shape)
        return values.to(scales.dtype)

    def round_trip(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Return x̂_i = s c_{q_i} in the dtype of ``x``.

        Raises:
            TypeError, ValueError: as ``scales``.
        """
        return self.dequantize(*self.quantize(x))

    def _each(self, scales: Tensor, shape: torch.Size) -> Tensor:
        """Return the scale of each value, in the values' shape."""
        count = math.prod(shape)
        return scales.repeat_interleave(min(self.block, count))[:count].view(shape)
