"""The integers that b bits can hold."""

from dataclasses import dataclass

import torch
from jaxtyping import Integer
from torch import Tensor

from reference_impl.checks import require_instance, require_int, require_integer_tensor

MAX_BITS = 16


@dataclass(frozen=True)
class IntegerGrid:
    """The integers q_min, …, q_max of b bits.

    ============= ================ ===============
    grid          q_min            q_max
    ============= ================ ===============
    unsigned      0                2^b − 1
    signed        −2^(b−1)         2^(b−1) − 1
    signed narrow −(2^(b−1) − 1)   2^(b−1) − 1
    ============= ================ ===============

    The narrow grid leaves one code unused and is symmetric about 0.

    >>> IntegerGrid(8, signed=True)
    IntegerGrid(bits=8, signed=True, narrow=False)
    >>> grid = IntegerGrid(4, signed=True, narrow=True)
    >>> grid.q_min, grid.q_max, grid.dtype
    (-7, 7, torch.int8)

    Args:
        bits: b, 1 to 16; signed grids need 2, so that q_max is at least 1.
        signed: whether codes below 0 exist.
        narrow: whether −2^(b−1) is left out; for signed grids only.

    Raises:
        TypeError: if ``bits`` is no integer, or a flag no bool.
        ValueError: if ``bits`` is out of its range, or an unsigned grid is to be narrow.
    """

    bits: int
    signed: bool = False
    narrow: bool = False

    def __post_init__(self) -> None:
        """Validate the arguments."""
        require_instance("signed", self.signed, bool)
        require_instance("narrow", self.narrow, bool)
        least = 2 if self.signed else 1
        object.__setattr__(self, "bits", require_int("bits", self.bits, least, MAX_BITS))
        if self.narrow and not self.signed:
            raise ValueError("narrow must be False for an unsigned grid, which has no −2^(b−1)")

    @property
    def q_min(self) -> int:
        """Return the smallest code.

        Equation: eq-affine-grid, chapter 03.
        """
        if not self.signed:
            return 0
        return -self.q_max if self.narrow else -self.q_max - 1

    @property
    def q_max(self) -> int:
        """Return the largest code."""
        return int(2 ** (self.bits - self.signed) - 1)

    @property
    def steps(self) -> int:
        """Return q_max − q_min, the number of steps between the ends."""
        return self.q_max - self.q_min

    @property
    def dtype(self) -> torch.dtype:
        """Return the smallest integer type of torch that holds every code."""
        kinds = (torch.int8 if self.signed else torch.uint8, torch.int16, torch.int32)
        return next(kind for kind in kinds if self.q_max <= torch.iinfo(kind).max)

    def require_codes(self, name: str, q: Integer[Tensor, "*shape"]) -> None:
        """Require integers in [q_min, q_max].

        Raises:
            TypeError: if ``q`` does not hold integers.
            ValueError: if it is empty or one lies outside; the message names both extremes.
        """
        require_integer_tensor(name, q)
        if q.dtype.is_signed or q.dtype == torch.uint8:
            smallest, largest = (int(end) for end in torch.aminmax(q))
        else:  # torch does not compare wider unsigned types, and uint64 would wrap in int64
            values = q.numpy(force=True)
            smallest, largest = int(values.min()), int(values.max())
        if smallest < self.q_min or largest > self.q_max:
            raise ValueError(
                f"{name} must hold codes in [{self.q_min}, {self.q_max}], "
                f"got {smallest} to {largest}"
            )
