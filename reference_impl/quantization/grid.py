"""The integers that b bits can hold."""

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Integer
from torch import Tensor

from reference_impl.checked import Within, checked, readable

MAX_BITS = 16
Bits = Annotated[int, Within(1, MAX_BITS)]
"""b, the length of a code."""
Codes = Integer[Tensor, "*shape"]


@checked
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

    The narrow grid leaves one code unused and is symmetric about 0. A signed grid needs 2 bits, so
    that q_max is at least 1.

    >>> grid = IntegerGrid(4, signed=True, narrow=True)
    >>> grid.q_min, grid.q_max, grid.dtype
    (-7, 7, torch.int8)
    """

    bits: Bits
    signed: bool = False
    narrow: bool = False

    def __post_init__(self) -> None:
        """Refuse one bit for a sign, and a narrow grid without one."""
        if self.signed and self.bits < 2:
            raise ValueError(f"bits must be in [2, {MAX_BITS}] for a signed grid, got {self.bits}")
        if self.narrow and not self.signed:
            raise ValueError("narrow must be False for an unsigned grid, got True")

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

    @checked
    def require_code(self, name: str, code: int) -> None:
        """Refuse an integer that is not a code, such as a zero point out of the grid."""
        if not self.q_min <= code <= self.q_max:
            raise ValueError(f"{name} must be in [{self.q_min}, {self.q_max}], got {code}")

    @checked
    def require_codes(self, name: str, q: Codes) -> None:
        """Refuse codes outside [q_min, q_max], unless torch compiles or exports."""
        if not readable():
            return
        ordered = q.dtype.is_signed or q.dtype == torch.uint8  # the other types torch cannot sort
        least, most = (int(end) for end in torch.aminmax(q if ordered else q.double()))
        if least < self.q_min or most > self.q_max:
            raise ValueError(
                f"{name} must hold codes in [{self.q_min}, {self.q_max}], got {least} to {most}"
            )
