"""Validation of arguments: every failure names the argument, the value and what was expected.

A wrong kind of object is a ``TypeError``; a right kind with a wrong value is a ``ValueError``.
"""

import math
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

FLOATING_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def require_instance(name: str, value: Any, kind: type | tuple[type, ...]) -> None:
    """Require an instance of a class, or of one of several.

    Raises:
        TypeError: otherwise.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        expected = " or ".join(one.__name__ for one in kinds)
        found = type(value).__name__
        if isinstance(value, str | int | float):  # anything else may be long to print
            found += f" {value!r}"
        raise TypeError(f"{name} must be {expected}, got {found}")


def require_int(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Require an integer in [low, high], and return it as Python's, which cannot overflow.

    ``high=None`` sets no upper end.

    Raises:
        TypeError: if ``value`` is no integer (a bool is none either).
        ValueError: if it lies outside the range.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    number = int(value)
    if number < low or (high is not None and number > high):
        expected = f"at least {low}" if high is None else f"in [{low}, {high}]"
        raise ValueError(f"{name} must be {expected}, got {number}")
    return number


def require_real(
    name: str, value: Any, low: float = -math.inf, high: float = math.inf, *, open_low: bool = False
) -> float:
    """Require a finite real number in [low, high], and return it as Python's float.

    With ``open_low`` the range is (low, high].

    Raises:
        TypeError: if ``value`` is no real number.
        ValueError: if it is not finite or lies outside the range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {value!r} ({type(value).__name__})")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(f"{name} must be finite as a float, got a larger integer") from error
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    if number < low or number > high or (open_low and number == low):
        left = "(" if open_low else "["
        raise ValueError(f"{name} must be in {left}{low}, {high}], got {number}")
    return number


def require_tensor(name: str, value: Any) -> None:
    """Require a ``torch.Tensor`` with at least one element.

    Raises:
        TypeError: if ``value`` is no tensor.
        ValueError: if it is empty.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")
    if value.numel() == 0:
        raise ValueError(f"{name} must not be empty, got shape {tuple(value.shape)}")


def require_floating(name: str, value: Any) -> None:
    """Require a non-empty tensor of floating-point numbers (16 bits or more), finite or not.

    Raises:
        TypeError: if ``value`` is no tensor, or one of integers, booleans or complex numbers.
        ValueError: if it is empty.
    """
    require_tensor(name, value)
    if value.dtype not in FLOATING_TYPES:
        raise TypeError(f"{name} must hold floating-point numbers, got dtype {value.dtype}")
    if value.layout != torch.strided or value.is_meta:
        raise TypeError(f"{name} must be a dense tensor with values, got {value.layout}")


def require_float_tensor(name: str, value: Any) -> None:
    """Require a non-empty tensor of finite floating-point numbers (16 bits or more).

    Raises:
        TypeError: if ``value`` is no tensor, or one of integers, booleans or complex numbers.
        ValueError: if it is empty or has a nan or an inf; their count and the first are named.
    """
    require_floating(name, value)
    smallest, largest = torch.aminmax(value.detach())  # nan passes through; isfinite costs 10 times
    if not (math.isfinite(smallest) and math.isfinite(largest)):
        bad = value[~torch.isfinite(value)]
        raise ValueError(
            f"{name} must be finite, got {bad.numel()} nan or inf, the first {bad[0].item()}"
        )


def require_integer_tensor(name: str, value: Any) -> None:
    """Require a non-empty tensor of integers (booleans are none).

    Raises:
        TypeError: if ``value`` is no tensor or holds anything but integers.
        ValueError: if it is empty.
    """
    require_tensor(name, value)
    if value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
        raise TypeError(f"{name} must hold integers, got dtype {value.dtype}")
    if value.layout != torch.strided or value.is_meta:
        raise TypeError(f"{name} must be a dense tensor with values, got {value.layout}")


def require_arithmetic(name: str, value: Any) -> None:
    """Require a non-empty tensor of integers with which torch computes: uint8, or signed ones.

    Raises:
        TypeError: if ``value`` is no tensor, or one of anything else, such as uint16.
        ValueError: if it is empty.
    """
    require_integer_tensor(name, value)
    if not (value.dtype.is_signed or value.dtype == torch.uint8):
        raise TypeError(f"{name} must hold uint8 or signed integers, got dtype {value.dtype}")


def require_same_shape(name: str, value: Tensor, other_name: str, other: Tensor) -> None:
    """Require two tensors of the same shape.

    Raises:
        ValueError: naming both shapes.
    """
    if value.shape != other.shape:
        raise ValueError(
            f"{name} must have the shape of {other_name}, {tuple(other.shape)}, "
            f"got {tuple(value.shape)}"
        )


def require_broadcast(name: str, x: Tensor, scale: Tensor) -> None:
    """Require that the scale broadcasts to the shape of x: one scale for each element.

    Raises:
        ValueError: naming both shapes.
    """
    lengths = zip(reversed(scale.shape), reversed(x.shape), strict=False)
    if scale.ndim > x.ndim or any(n not in (1, of) for n, of in lengths):
        raise ValueError(
            f"{name} must have a shape to which the scale's shape {tuple(scale.shape)} "
            f"broadcasts, got {tuple(x.shape)}"
        )
