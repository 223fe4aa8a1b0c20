"""Tensors and arrays by their annotation: the kind of numbers, the sizes, the values."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.fx import Proxy

FLOATING_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_NUMBERS = {"Float": "floating-point numbers", "Int": "integers", "Integer": "integers"}
_UNSUPPORTED = ("float4", "float8")  # torch does not compute with them
_ANY = {"...", "_"}


@dataclass(frozen=True)
class Within:
    """A number, or each number of a tensor, is finite and in [low, high].

    ``above`` leaves out ``low`` itself, ``below`` leaves out ``high``.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __str__(self) -> str:
        """Return the interval, such as ``in (0, 1]`` or ``at least 1``."""
        if self.high == math.inf and self.low > -math.inf:
            return f"{'above' if self.above else 'at least'} {self.low}"
        return f"in {'(' if self.above else '['}{self.low}, {self.high}{')' if self.below else ']'}"

    def holds(self, low: float, high: float) -> bool:
        """Return whether everything from ``low`` to ``high`` lies within."""
        return (self.low < low if self.above else self.low <= low) and (
            high < self.high if self.below else high <= self.high
        )


@dataclass(frozen=True)
class _Array:
    """What an annotation such as ``Float[Tensor, "n d"]`` asks of a value."""

    kind: Any
    numbers: str
    dtypes: frozenset[Any]
    dims: tuple[str, ...]
    many: int | None
    fixed: Mapping[str, tuple[int, str]]
    within: Within | None

    def __call__(self, name: str, x: Any, sizes: dict[str, Any]) -> Any:
        """Return the value, refused unless its kind, sizes and numbers are those asked for."""
        if isinstance(x, Proxy):  # torch.fx traces
            return x
        if not isinstance(x, self.kind):
            expected = "torch.Tensor" if self.kind is Tensor else self.kind.__name__
            raise TypeError(f"{name} must be a {expected}, got {type(x).__name__}")
        if self.dtypes and x.dtype not in self.dtypes:
            raise TypeError(f"{name} must hold {self.numbers}, got dtype {x.dtype}")
        if self.kind is Tensor and (x.layout != torch.strided or x.is_meta):
            raise TypeError(f"{name} must be a dense tensor with values, got {x.layout}")
        shape = tuple(x.shape)
        if 0 in shape:
            raise ValueError(f"{name} must not be empty, got shape {shape}")
        self.bind(name, shape, sizes)
        if self.within is not None:
            _compare(self.within, name, x)
        return x

    def bind(self, name: str, shape: tuple[int, ...], sizes: dict[str, Any]) -> None:
        """Note the sizes that have a name; those noted before must agree."""
        lengths: tuple[Any, ...] = shape
        if self.many is not None and len(shape) >= len(self.dims) - 1:
            after = self.many + len(shape) - len(self.dims) + 1
            lengths = (*shape[: self.many], shape[self.many : after], *shape[after:])
        expected = ", ".join(self.dims)
        if len(lengths) != len(self.dims):
            raise ValueError(f"{name} must be ({expected}), got shape {shape}")
        for size, length in zip(self.dims, lengths, strict=True):
            seen, owner = self.fixed.get(size) or sizes.setdefault(size, (length, name))
            if length == seen or size in _ANY:
                continue
            if len(self.dims) == 1 and self.many == 0:
                raise ValueError(f"{name} must have the shape of {owner}, {seen}, got {shape}")
            also = f" with {size} = {seen} as in {owner}" if owner else ""
            raise ValueError(f"{name} must be ({expected}){also}, got shape {shape}")


def array_rule(hint: Any, within: Within | None) -> Callable[[str, Any, dict[str, Any]], Any]:
    """Return what checks a value by an annotation of jaxtyping.

    Raises:
        TypeError: if a size is not a number, a name, ``*name`` or ``...``.
    """
    kind, dims = hint.array_type, tuple(hint.dim_str.split())
    if any(not re.fullmatch(r"\*?[A-Za-z_]\w*|\d+|\.\.\.", d) for d in dims):
        raise TypeError(f"sizes must be numbers, names, *names or ..., got {hint.dim_str!r}")
    many = next((i for i, d in enumerate(dims) if d.startswith(("*", "..."))), None)
    numbers = _NUMBERS.get(hint.dtype.__name__, hint.dtype.__name__.lower())
    names = [] if hint.dtype is Shaped else [n for n in hint.dtypes if n[:6] not in _UNSUPPORTED]
    own = torch if kind is Tensor else np
    known = [getattr(own, n) for n in names if hasattr(own, n)]
    dtypes = frozenset(known if own is torch else map(np.dtype, known))
    fixed = {size: (int(size), "") for size in dims if size.isdigit()}
    return _Array(kind, numbers, dtypes, dims, many, fixed, within)


def _compare(within: Within, name: str, x: Any) -> None:
    """Refuse nan, inf and what lies outside."""
    if not all_finite(x):
        bad = x[~(torch if isinstance(x, Tensor) else np).isfinite(x)]
        raise ValueError(
            f"{name} must be finite, got {len(bad)} nan or inf, the first {bad[0].item()}"
        )
    if within.low > -math.inf or within.high < math.inf:
        low, high = x.min().item(), x.max().item()
        if not within.holds(low, high):
            worst = high if within.holds(low, low) else low
            raise ValueError(f"{name} must be {within}, got {worst}")


def all_finite(x: Any) -> bool:
    """Return whether no element is nan or inf: one sum tells, unless finite numbers overflow."""
    if isinstance(x, Tensor):
        x = x.detach()
        return math.isfinite(x.sum().item()) or bool(torch.isfinite(x).all())
    return bool(np.isfinite(x).all())
