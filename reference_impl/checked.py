"""The signature is the contract: what breaks it is refused by argument, value and expectation.

::

    Logits = Finite[Tensor, "n classes"]
    Temperature = Annotated[float, Within(0, 1e6, above=True)]

    @checked
    def soften(logits: Logits, temperature: Temperature) -> Float[Tensor, "n classes"]: ...

A wrong kind of object is a ``TypeError``, a right kind with a wrong value a ``ValueError``. An
annotation that `checked` does not understand is a ``TypeError`` where the function is defined.
"""

import functools
import inspect
import typing
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, Protocol, Self, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.arrays import FLOATING_TYPES, Within, is_finite, readable, widened
from reference_impl.rules import FINITE, Rule, Where, rule_of

if TYPE_CHECKING:
    from jaxtyping import Float as Finite
else:

    class Finite:
        """``Finite[Tensor, "n d"]``: a ``Float`` tensor without nan and inf."""

        def __class_getitem__(cls, item: Any) -> Any:
            """Return the annotation."""
            return Annotated[Float[item], FINITE]


Scalar = Finite[Tensor, ""]
Values = Finite[Tensor, "*shape"]
Count = Annotated[int, Within(1)]
FromZero = Annotated[int, Within(0)]
Share = Annotated[float, Within(0, 1)]
Positive = Annotated[float, Within(0, above=True)]
NonNegative = Annotated[float, Within(0)]
FloatType = Annotated[
    torch.dtype, Where("a floating-point torch.dtype", lambda dtype: dtype in FLOATING_TYPES)
]

# fmt: off
__all__ = [
    "checked", "Checked", "Within", "Where", "FINITE", "Finite", "Values", "Scalar", "Count",
    "FromZero", "Share", "Positive", "NonNegative", "FloatType", "FLOATING_TYPES", "readable",
    "widened",
]
# fmt: on

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S")
C = TypeVar("C", bound=type)


class Checked(Protocol[P, R_co]):
    """A function whose arguments are checked; ``__wrapped__`` is the formula alone."""

    __name__: str

    @property
    def __wrapped__(self) -> Callable[P, R_co]:
        """Return the function without its checks, for callers that have checked."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Check, then call."""

    @typing.overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @typing.overload
    def __get__(
        self: "Checked[Concatenate[S, Q], R]", instance: S, owner: type | None = None
    ) -> "Checked[Q, R]": ...


@typing.overload
def checked(target: C) -> C: ...  # type: ignore[overload-overlap]
@typing.overload
def checked(target: Callable[P, R]) -> Checked[P, R]: ...
def checked(target: Any) -> Any:
    """Check the arguments of a function, or the fields of a dataclass, by their annotations.

    Sizes of one name must agree. Where the result is annotated as finite, such as `Scalar`, it is
    looked at, and arguments annotated as `Finite` only if it is not: that is cheaper. An argument
    whose nan or inf a finite result could hide has ``Within()`` instead. NumPy's numbers are passed
    on as Python's, which cannot overflow. Nothing is checked while torch compiles, exports or
    traces: values are not there to be read.

    >>> from jaxtyping import Float
    >>> @checked
    ... def halved(x: Finite[Tensor, "n"], times: Count) -> Float[Tensor, "n"]:
    ...     return x / 2**times
    >>> halved(torch.ones(2), 0)
    Traceback (most recent call last):
    ...
    ValueError: times must be at least 1, got 0

    Raises:
        TypeError: if an annotation is not understood.
    """
    if inspect.isclass(target):
        setattr(target, "__init__", checked(target.__init__))  # noqa: B010 — a class, not an object
        return target
    parameters = inspect.signature(target).parameters
    hints = typing.get_type_hints(target, include_extras=True)
    if any(p.kind in {p.VAR_POSITIONAL, p.VAR_KEYWORD} for p in parameters.values()):
        raise TypeError(f"checked does not understand * and ** in {target.__qualname__}")
    returned = typing.get_args(hints.get("return"))
    finite = FINITE in returned
    if finite and getattr(returned[0], "dim_str", None) != "":  # the shape of one number
        raise TypeError(f"checked looks at one number, not at all that {target.__name__} returns")
    places = [(i, name) for i, name in enumerate(parameters) if name in hints]
    rules = [(i, name, rule_of(hints[name], lazy=finite)) for i, name in places]
    all_rules = [(i, name, rule_of(hints[name])) for i, name in places]

    @functools.wraps(target)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not readable():
            return target(*args, **kwargs)
        given, kwargs = _obeying(rules, args, kwargs)
        result = target(*given, **kwargs)
        if finite and readable(result) and not is_finite(result):
            _obeying(all_rules, args, kwargs)
            names = " and ".join(name for _, name in places)
            raise ValueError(f"{names} must give a finite result, got {result.item()}: too large?")
        return result

    return call


def _obeying(
    rules: Iterable[tuple[int, str, Rule]], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments as the rules pass them on."""
    sizes: dict[str, Any] = {}
    given = list(args)
    for place, name, rule in rules:
        if place < len(given):
            given[place] = rule(name, given[place], sizes)
        elif name in kwargs:
            kwargs[name] = rule(name, kwargs[name], sizes)
    return given, kwargs
