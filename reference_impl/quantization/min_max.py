"""Min–max rounding: the article's formula, with the inverse that it leaves out.

Between the smallest and the largest value lie 2^b codes, hence q_max = 2^b − 1 steps:

    s = (max − min) / q_max,    q = round((x − min) / s),    x̂ = min + s q.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

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

MAX_BITS = 16

Rounding = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class MinMaxQuantizer:
    """The map x ↦ q = clip(round((x − low) / s), 0, 2^b − 1) and its inverse q ↦ low + s q.

    The step is s = (high − low) / (2^b − 1), in the unit of x. A value in [low, high] comes back
    with an error of at most s/2, up to the last digit of its dtype; one outside comes back as the
    nearer end.

    >>> quantizer = MinMaxQuantizer(low=-1.0, high=2.0, bits=2)
    >>> quantizer.step
    1.0
    >>> quantizer.quantize(torch.tensor([-1.0, -0.4, 0.4, 7.0])).tolist()
    [0, 1, 1, 3]

    Args:
        low: the value of code 0.
        high: the value of code 2^b − 1, above ``low``.
        bits: b, the length of a code, 1 to 16.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``low`` or ``high`` is not finite, ``high`` not above ``low``, the step 0 in
            float64, or ``bits`` outside 1 to 16.
    """

    low: float
    high: float
    bits: int

    def __post_init__(self) -> None:
        """Validate the arguments; NumPy's short numbers become Python's, which cannot overflow."""
        object.__setattr__(self, "bits", require_int("bits", self.bits, 1, MAX_BITS))
        object.__setattr__(self, "low", require_real("low", self.low))
        object.__setattr__(self, "high", require_real("high", self.high))
        if self.high <= self.low:
            raise ValueError(
                f"high must be above low = {self.low}, got {self.high}: "
                "a constant has no range to divide"
            )
        if not math.isfinite(self.high - self.low):
            raise ValueError(f"high − low must be finite, got {self.low} and {self.high}")
        if self.step == 0:
            raise ValueError(
                f"high must be further above low = {self.low}, got {self.high}: "
                f"{self.max_code} steps between them are 0 in float64"
            )

    @property
    def max_code(self) -> int:
        """Return q_max = 2^b − 1: the largest code, and the number of steps.

        Equation: eq-rounding-levels, chapter 02.
        """
        return int(2**self.bits - 1)

    @property
    def step(self) -> float:
        """Return s = (high − low) / (2^b − 1).

        Equation: eq-rounding-step, chapter 02.
        """
        return (self.high - self.low) / self.max_code

    def quantize(
        self, x: Float[Tensor, "*shape"], rounding: Rounding = torch.round_
    ) -> Int[Tensor, "*shape"]:
        """Return q = clip(round((x − low) / s), 0, 2^b − 1), as int32.

        Args:
            x: values; half-precision ones are computed in float32.
            rounding: real numbers to whole numbers, elementwise; it may work in place, as the
                default does, which sends halves to the even neighbour. See also
                ``round_half_up`` and ``round_stochastically``.

        Raises:
            TypeError: if ``x`` is no floating-point tensor, or ``rounding`` no function that
                returns a tensor.
            ValueError: if ``x`` is empty or not finite, if its dtype cannot hold 1/s or
                high − low, or if ``rounding`` returns another shape or dtype.

        Equation: eq-rounding-min-max, chapter 02.
        """
        return self._codes(x, rounding).to(torch.int32)

    def dequantize(
        self, q: Int[Tensor, "*shape"], dtype: torch.dtype = torch.float32
    ) -> Float[Tensor, "*shape"]:
        """Return x̂ = low + s q, computed in float32 or wider and then rounded to ``dtype``.

        Raises:
            TypeError: if ``q`` does not hold integers or ``dtype`` is no floating-point type of
                16 bits or more.
            ValueError: if ``q`` is empty or has a code outside 0 to 2^b − 1, or if ``dtype``
                cannot hold the ends of the range.

        Equation: eq-rounding-inverse, chapter 02.
        """
        require_integer_tensor("q", q)
        if dtype not in FLOATING_TYPES:
            raise TypeError(f"dtype must be a floating-point torch.dtype, got {dtype!r}")
        smallest, largest = (int(end) for end in torch.aminmax(q))
        if smallest < 0 or largest > self.max_code:
            raise ValueError(
                f"q must hold codes in [0, {self.max_code}], got {smallest} to {largest}"
            )
        return self._values(q.to(torch.promote_types(dtype, torch.float32)), dtype)

    def round_trip(
        self, x: Float[Tensor, "*shape"], rounding: Rounding = torch.round_
    ) -> Float[Tensor, "*shape"]:
        """Return x̂ = low + s clip(round((x − low) / s), 0, 2^b − 1) in the dtype of ``x``.

        Raises:
            TypeError, ValueError: as ``quantize``.

        Equation: eq-rounding-bound, chapter 02.
        """
        return self._values(self._codes(x, rounding), x.dtype)

    def _values(self, q: Float[Tensor, "*shape"], dtype: torch.dtype) -> Float[Tensor, "*shape"]:
        """Return low + s q in ``dtype``; ``q`` is overwritten."""
        if max(abs(self.low), abs(self.high)) > torch.finfo(dtype).max:
            raise ValueError(
                f"dtype must hold the range from {self.low} to {self.high}, got {dtype}"
            )
        return q.mul_(self.step).add_(self.low).to(dtype)

    def _codes(self, x: Float[Tensor, "*shape"], rounding: Rounding) -> Float[Tensor, "*shape"]:
        """Return clip(round((x − low) / s), 0, 2^b − 1), still in floating point."""
        require_float_tensor("x", x)
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        self._require_representable(x.dtype)
        inverse_step = 1 / torch.tensor(self.step, dtype=x.dtype)
        scaled = (x - self.low) * inverse_step  # as torch does: (x − low) / s differs at ties
        q = _rounded(scaled, rounding)
        return q.clamp_(0, self.max_code)  # in place: new memory costs 10 times as much

    def _require_representable(self, dtype: torch.dtype) -> None:
        """Refuse a range or a step that ``dtype`` would turn into inf."""
        largest = torch.finfo(dtype).max
        if self.high - self.low > largest or self.step * largest < 1:
            raise ValueError(
                f"x must have a dtype that holds the range {self.high - self.low} and 1/s for the "
                f"step s = {self.step}, got {dtype}"
            )


def _rounded(scaled: Tensor, rounding: Rounding) -> Tensor:
    """Return ``rounding(scaled)``, a tensor of the same shape and dtype."""
    if not callable(rounding):
        raise TypeError(f"rounding must be a function of a tensor, got {rounding!r}")
    shape, dtype = scaled.shape, scaled.dtype
    q = rounding(scaled)
    if not isinstance(q, Tensor):
        raise TypeError(f"rounding must return a tensor, got {type(q).__name__}")
    if q.shape != shape or q.dtype != dtype:
        raise ValueError(
            f"rounding must return shape {tuple(shape)} and {dtype}, "
            f"got {tuple(q.shape)} and {q.dtype}"
        )
    return q


def min_max_quantizer(x: Float[Tensor, "*shape"], bits: int) -> MinMaxQuantizer:
    """Return the quantizer with low = min x, high = max x and codes of b bits.

    >>> article = torch.tensor([1.2, 2.3, 3.4, 4.5])
    >>> min_max_quantizer(article, bits=8).quantize(article).tolist()
    [0, 85, 170, 255]

    Args:
        x: values of any shape; their extremes become code 0 and code 2^b − 1.
        bits: b, 1 to 16.

    Raises:
        TypeError: if ``x`` is no floating-point tensor or ``bits`` no integer.
        ValueError: if ``x`` is empty, not finite or constant, or ``bits`` outside 1 to 16.
    """
    require_float_tensor("x", x)
    low, high = (value.item() for value in torch.aminmax(x))
    if low == high:
        raise ValueError(f"x must not be constant, got {low} everywhere: max − min is 0")
    return MinMaxQuantizer(low, high, bits)


def round_half_up(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Return ⌊x⌋ + [x − ⌊x⌋ ≥ ½]: halves go up, so their mean error is +½.

    ⌊x + ½⌋ is not the same in floating point: the largest float32 below ½ plus ½ rounds to 1.

    >>> round_half_up(torch.tensor([-1.5, 0.5, 1.5, 2.5])).tolist()
    [-1.0, 1.0, 2.0, 3.0]

    Raises:
        TypeError: if ``x`` is no floating-point tensor.
        ValueError: if it is empty or not finite.
    """
    require_float_tensor("x", x)
    floor = torch.floor(x)
    return floor + (x - floor >= 0.5).to(x.dtype)


def round_stochastically(
    x: Float[Tensor, "*shape"], generator: torch.Generator
) -> Float[Tensor, "*shape"]:
    """Return ⌊x⌋ + 1 with probability x − ⌊x⌋, else ⌊x⌋: unbiased, E[round(x)] = x.

    The mean squared error over uniformly distributed fractions is 1/6, twice the 1/12 of
    rounding to the nearest.

    Args:
        x: values.
        generator: of the random numbers, so that a seed repeats them.

    Raises:
        TypeError: if ``x`` is no floating-point tensor or ``generator`` no torch.Generator.
        ValueError: if ``x`` is empty or not finite.

    References:
        Gupta et al. 2015, "Deep Learning with Limited Numerical Precision", section 3.1.

    Equation: eq-rounding-stochastic, chapter 02.
    """
    require_float_tensor("x", x)
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator, got {type(generator).__name__}")
    wide = x.to(torch.promote_types(x.dtype, torch.float32))  # half has too few random numbers
    floor = torch.floor(wide)
    drawn = torch.rand(x.shape, generator=generator, dtype=wide.dtype)
    return (floor + (drawn < wide - floor).to(wide.dtype)).to(x.dtype)
