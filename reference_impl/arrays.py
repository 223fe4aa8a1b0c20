"""Tensors and arrays by their annotation: the kind of numbers, the sizes, the values."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.fx import Proxy

_jit_traces: Callable[[], bool] = torch.jit.is_tracing  # type: ignore[attr-defined]
FLOATING_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

_NUMBERS = {"Float": "floating-point numbers", "Int": "integers", "Integer": "integers"}
_UNSUPPORTED = ("float4", "float8")  # torch does not compute with them
_NOT_ORDERED = ("uint16", "uint32", "uint64", "comple")  # nor does it compare these


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
        if self.low == -math.inf and self.high < math.inf:
            return f"{'below' if self.below else 'at most'} {self.high}"
        return f"in {'(' if self.above else '['}{self.low}, {self.high}{')' if self.below else ']'}"

    def holds(self, low: float, high: float) -> bool:
        """Return whether everything from ``low`` to ``high`` lies within."""
        return (self.low < low if self.above else self.low <= low) and (
            high < self.high if self.below else high <= self.high
        )


@dataclass(frozen=True)
class _Array:
    """What an annotation such as ``Float[Tensor, "n 3"]`` asks of a value.

    ``many`` is the place of a size that stands for several, ``fixed`` the places that are numbers.
    """

    kind: Any
    numbers: str
    dtypes: frozenset[Any]
    dims: tuple[str, ...]
    many: int | None
    fixed: tuple[tuple[int, int], ...]
    within: Within | None

    def __call__(self, name: str, x: Any, sizes: dict[str, Any]) -> Any:
        """Return the value, refused unless its kind, sizes and numbers are those asked for."""
        if not isinstance(x, self.kind) or (self.dtypes and x.dtype not in self.dtypes):
            return self.other_kind(name, x)
        if self.kind is Tensor and (x.layout is not torch.strided or x.is_meta):
            got = x.device if x.is_meta else x.layout
            raise TypeError(f"{name} must be a dense tensor with values, got {got}")
        shape = lengths = x.shape
        if 0 in shape:
            raise ValueError(f"{name} must not be empty, got shape {tuple(shape)}")
        if self.many is not None and len(shape) >= len(self.dims) - 1:
            lengths = _grouped(shape, self.many, len(self.dims))
        if len(lengths) != len(self.dims) or (
            self.fixed and any(lengths[i] != n for i, n in self.fixed)
        ):
            expected = ", ".join(self.dims)
            raise ValueError(f"{name} must be ({expected}), got shape {tuple(shape)}")
        for size, length in zip(self.dims, lengths, strict=True):
            bound = sizes.get(size)
            if bound is None:
                sizes[size] = (length, name, self.dims, shape)
            elif bound[0] != length:
                self.disagree(name, tuple(shape), size, length, bound)
        if self.within is not None:
            _compare(self.within, name, x)
        return x

    def other_kind(self, name: str, x: Any) -> Any:
        """Let pass what torch.fx traces; refuse any other kind."""
        if isinstance(x, Proxy):
            return x
        if isinstance(x, self.kind):
            raise TypeError(f"{name} must hold {self.numbers}, got dtype {x.dtype}")
        expected = "torch.Tensor" if self.kind is Tensor else self.kind.__name__
        raise TypeError(f"{name} must be a {expected}, got {type(x).__name__}")

    def disagree(
        self, name: str, shape: tuple[int, ...], size: str, length: Any, bound: tuple[Any, ...]
    ) -> None:
        """Refuse the argument that has another size than this one, which is taken for right."""
        seen, first, dims, first_shape = bound
        if size in {"_", "..."} or size.isdigit():
            return
        if first == name:
            raise ValueError(f"{name} must be ({', '.join(self.dims)}), got shape {shape}")
        if dims == self.dims and not {"_", "..."} & {*dims}:  # shapes must be equal
            raise ValueError(
                f"{first} must have the shape of {name}, {shape}, got {tuple(first_shape)}"
            )
        wanted = f"{size} = {length}" if len(size) == 1 or size[0] == "*" else f"{length} {size}"
        raise ValueError(f"{first} must have the {wanted} of {name}, got {seen}")


def _grouped(shape: tuple[int, ...], many: int, n_dims: int) -> tuple[Any, ...]:
    """Return the sizes, those of ``*name`` or ``...`` at the place ``many`` as one tuple."""
    after = many + len(shape) - n_dims + 1
    return (*shape[:many], tuple(shape[many:after]), *shape[after:])


def array_rule(hint: Any, within: Within | None) -> Callable[[str, Any, dict[str, Any]], Any]:
    """Return what checks a value by an annotation of jaxtyping.

    Raises:
        TypeError: if a size is not a number, a name, ``*name`` or ``...``.
    """
    kind, dims = hint.array_type, tuple(hint.dim_str.split())
    if kind not in (Tensor, np.ndarray) or (within is not None and hint.dtype is Shaped):
        raise TypeError(f"checked looks at tensors and arrays of real numbers, not at {hint}")
    if any(not re.fullmatch(r"\*?[A-Za-z_]\w*|\d+|\.\.\.", d) for d in dims):
        raise TypeError(f"sizes must be numbers, names, *names or ..., got {hint.dim_str!r}")
    many = next((i for i, d in enumerate(dims) if d.startswith(("*", "..."))), None)
    fixed = tuple((i, int(d)) for i, d in enumerate(dims) if d.isdigit())
    numbers = _NUMBERS.get(hint.dtype.__name__, hint.dtype.__name__.lower())
    left_out = _UNSUPPORTED if within is None else _UNSUPPORTED + _NOT_ORDERED
    names = [] if hint.dtype is Shaped else [n for n in hint.dtypes if n[:6] not in left_out]
    own = torch if kind is Tensor else np
    known = [getattr(own, n) for n in names if hasattr(own, n)]
    dtypes = frozenset(known if own is torch else map(np.dtype, known))
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
        return is_finite(x.sum()) or bool(torch.isfinite(x).all())
    return bool(np.isfinite(x).all())


def is_finite(number: Tensor) -> bool:
    """Return whether one number is neither nan nor inf; True under `torch.func.vmap`, unread."""
    try:
        return math.isfinite(number.item())
    except RuntimeError:
        return True


def readable(x: Any = None) -> bool:
    """Return whether values can be read: not while torch compiles, exports or traces."""
    return not (torch.compiler.is_compiling() or _jit_traces() or isinstance(x, Proxy))


def widened(x: Tensor) -> Tensor:
    """Return ``x`` in float32 or wider: sums of squares, and codes of 16 bits, leave float16."""
    return x if x.dtype.itemsize >= 4 else x.float()
