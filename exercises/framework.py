"""What an exercise is made of: claims that a right answer fulfils, mistakes to recognize.

An exercise is data: a kind of answer, claims ``{text: (test, hint)}``, mistakes ``{text: test}``.
The tests are made below, of numbers (`at`, `near`, `value`) and of functions (`agrees`, `leaves`).
"""

import math
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Test = Callable[[Any], bool]
"""It says whether an answer has a property."""

PRECISION = 0.005
"""The share by which a number that is not whole may be off: three significant digits suffice."""

Case = tuple[Any, ...]
"""What a learner's function is called with."""


class WrongResultError(Exception):
    """A learner's function returned the wrong kind of thing; the text says so to the learner."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Args:
        kind: returns what is wrong with the kind of an answer, or None.
        claims: each property of a right answer, its test and what to say to an answer without it.
        mistakes: what to say to each well-known wrong answer, and how to recognize it.
    """

    kind: Callable[[Any], str | None]
    claims: Mapping[str, tuple[Test, str]]
    mistakes: Mapping[str, Test] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an exercise that nothing could fail."""
        if not self.claims:
            raise ValueError("claims must not be empty: an exercise without a claim accepts all")


def a_number(answer: Any) -> str | None:
    """Return what is wrong with ``answer`` where a number is asked for, or None."""
    value = _without_axes(answer)
    if isinstance(value, bool) or not isinstance(value, Real):
        return f"The answer is a number; this is a {type(value).__name__}."
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an integer beyond the floats
        finite = False
    return None if finite else "The answer is a finite number; this is not."


def numbers(count: int) -> Callable[[Any], str | None]:
    """Return the kind "a list of ``count`` numbers" (list, tuple, array or tensor)."""

    def kind(answer: Any) -> str | None:
        size = math.prod(answer.shape) if isinstance(answer, Tensor | np.ndarray) else count
        if size != count:  # before it is copied: it may be large
            return f"The answer has {count} numbers; this has {size}."
        try:
            found = as_numbers(answer)
            finite = found.isfinite().tolist()
        except (TypeError, ValueError, RuntimeError, OverflowError):
            return _no_numbers(answer, count)
        if found.numel() != count:
            return f"The answer has {count} numbers; this has {found.numel()}."
        return None if all(finite) else f"Entry {1 + finite.index(False)} is not a finite number."

    return kind


def _no_numbers(answer: Any, count: int) -> str:
    """Return why ``answer`` cannot be read as numbers: its type, or the entry that is not one."""
    if isinstance(answer, list | tuple):
        for place, entry in enumerate(answer, start=1):
            if entry is ...:
                return f"Entry {place} is still dots: put a number in their place."
            if not isinstance(entry, Real | Tensor | list | tuple):
                text, kind = reprlib.repr(entry), type(entry).__name__
                return f"Entry {place} is not a number: {text} is a {kind}."
            if isinstance(entry, int) and abs(entry) > 2**1023:
                return f"Entry {place} is too large a number."
    return f"The answer is a list of {count} numbers; this is a {type(answer).__name__}."


def a_function(signature: str) -> Callable[[Any], str | None]:
    """Return the kind "a function", described by ``signature``."""

    def kind(answer: Any) -> str | None:
        if callable(answer):
            return None
        return (
            f"The answer is the function itself, {signature}, without a call; "
            f"this is a {type(answer).__name__}."
        )

    return kind


def _without_axes(answer: Any) -> Any:
    """Return the one element of a tensor or array that has one, else ``answer`` itself."""
    one = isinstance(answer, Tensor | np.ndarray) and math.prod(answer.shape) == 1
    empty = isinstance(answer, Tensor) and answer.is_meta  # a shape without values
    return answer.item() if one and not empty else answer


def as_number(answer: Any) -> float:
    """Return an answer that `a_number` accepts as a float."""
    return float(_without_axes(answer))


def as_numbers(answer: Any) -> Tensor:
    """Return an answer that `numbers` accepts as a float64 tensor with one axis.

    Raises:
        TypeError: if it holds complex numbers, or no numbers.
    """
    if isinstance(answer, Tensor | np.ndarray) and "complex" in str(answer.dtype):
        raise TypeError(f"answer must hold real numbers, got dtype {answer.dtype}")
    if isinstance(answer, Tensor) and answer.is_meta:
        raise TypeError("answer must hold values, got a tensor of the device meta")
    if isinstance(answer, np.ndarray) and answer.dtype == object:
        answer = answer.tolist()
    return torch.as_tensor(answer, dtype=torch.float64, device="cpu").flatten()


def value(test: Callable[[float], bool]) -> Test:
    """Return the test of a number."""
    return lambda answer: test(as_number(answer))


def close(found: float, right: float, *, within: float = 0.0) -> bool:
    """Return whether a number counts as right: the one rule of the course.

    A whole number must be exact. Any other may be off by 0.5 %, so that an answer rounded to three
    significant digits passes. Only where an exercise allows more does it give ``within``.
    """
    if float(right).is_integer():  # exact, but perhaps computed in float32
        allowed = min(1e-6 * max(1.0, abs(right)), 0.4)
    else:
        allowed = PRECISION * abs(right)
    return abs(found - right) <= max(within, allowed)


def at(place: int, *right: Any, within: float = 0.0) -> Test:
    """Return the test whether one entry is one of these numbers, or of what functions return."""

    def holds(answer: Any) -> bool:
        found = float(as_numbers(answer)[place])
        wanted = (one() if callable(one) else one for one in right)
        return any(close(found, x, within=within) for x in wanted)

    return holds


def near(right: Any, within: float = 0.0) -> Test:
    """Return the test whether an answer begins with these numbers, or with a function's."""

    def holds(answer: Any) -> bool:
        wanted = as_numbers(right() if callable(right) else right).tolist()
        found = as_numbers(answer).tolist()
        return all(close(a, b, within=within) for a, b in zip(found, wanted, strict=False))

    return holds


def either(*tests: Test) -> Test:
    """Return the test whether an answer passes one of the tests."""
    return lambda answer: any(test(answer) for test in tests)


def normals(seed: int, *shapes: tuple[int, ...], dtype: torch.dtype | None = None) -> list[Tensor]:
    """Return tensors of standard normal numbers, drawn one after the other from one seed."""
    draws = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=draws, dtype=dtype) for shape in shapes]


def a_tensor(result: Any) -> Tensor:
    """Return what a learner's function returned, which must be a tensor or a NumPy array."""
    if isinstance(result, np.ndarray):
        return torch.tensor(result)
    if not isinstance(result, Tensor):
        kind = type(result).__name__
        raise WrongResultError(f"The function must return a tensor; it returned a {kind}.")
    return result


def shaped_as(model: Tensor, name: str, result: Any) -> Tensor:
    """Return what a learner's function returned, which must have the shape of ``model``."""
    found = a_tensor(result)
    if found.shape != model.shape:
        raise WrongResultError(
            f"The result must have the shape of {name}, {tuple(model.shape)}; "
            f"it has {tuple(found.shape)}."
        )
    return found


def tensors(result: Any, *names: str) -> list[Tensor]:
    """Return what a learner's function returned, which must be as many tensors as names."""
    parts = result if isinstance(result, tuple | list) else ()
    if len(parts) != len(names) or not all(isinstance(p, Tensor | np.ndarray) for p in parts):
        count = {2: "two", 3: "three"}[len(names)]
        raise WrongResultError(f"The function must return {count} tensors: {', '.join(names)}.")
    return [a_tensor(part) for part in parts]


def called(answer: Any, case: Case) -> Tensor:
    """Return the tensor that an answer returns for a copy of a case."""
    return a_tensor(answer(*deepcopy(case)))


def same(found: Any, expected: Any, *, share: float = 1e-4, within: float = 1e-6) -> bool:
    """Return whether two tensors, or sequences of them, agree in shape and values."""
    if not isinstance(expected, Tensor):
        pairs = zip(found, expected, strict=True)
        return all(same(a, b, share=share, within=within) for a, b in pairs)
    return found.shape == expected.shape and torch.allclose(
        found.double(), expected.double(), rtol=share, atol=within, equal_nan=True
    )


def agrees(
    formula: Callable[..., Any],
    cases: Callable[[], Iterable[Case]],
    run: Callable[[Any, Any], Any] = called,
    *,
    share: float = 1e-4,
    within: float = 1e-6,
) -> Test:
    """Return the test whether an answer gives on each case what ``formula``, right or wrong, gives.

    ``run`` calls an answer with copies of a case and returns what `same` compares.
    """
    return lambda answer: all(
        same(run(answer, case), formula(*case), share=share, within=within) for case in cases()
    )


def leaves(case: Callable[[], Case]) -> Test:
    """Return the test whether an answer leaves the arguments that it is given as they are."""

    def holds(answer: Any) -> bool:
        given = deepcopy(case())
        answer(*given)
        return all(map(torch.equal, _tensors_in(given), _tensors_in(case())))

    return holds


def _tensors_in(part: Any) -> Sequence[Tensor]:
    if isinstance(part, nn.Module):
        return list(part.state_dict().values())
    if isinstance(part, tuple | list):
        return [tensor for one in part for tensor in _tensors_in(one)]
    return [part] if isinstance(part, Tensor) else []
