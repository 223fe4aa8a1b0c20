"""From an annotation to the rule that checks a value; `reference_impl.checked` applies the rules.

A rule takes an argument's name, its value and the sizes so far; it returns the value or raises.
"""

import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Self, TypeVar

from jaxtyping import AbstractArray

from reference_impl.arrays import Within, array_rule

Rule = Callable[[str, Any, dict[str, Any]], Any]
_UNCHECKED = (set, frozenset, type)
_READ_ONCE = (Iterable, Iterator)  # to look into one would use it up


@dataclass(frozen=True)
class Where:
    """A condition that ``test`` decides and ``expected`` names: ``Where("prime", is_prime)``."""

    expected: str
    test: Callable[[Any], bool]


FINITE = "finite"
"""Neither nan nor inf: `Within` without ends, but see ``lazy`` in `rule_of`."""


def rule_of(hint: Any, *, lazy: bool = False) -> Rule:
    """Return what checks a value by this annotation.

    Args:
        hint: the annotation.
        lazy: leave out what ``FINITE`` asks for: the caller looks at the result first.

    Raises:
        TypeError: if the annotation is not understood.
    """
    base, *extras = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
    if FINITE in extras:
        extras.remove(FINITE)
        extras += [] if lazy else [Within()]
    within = next((extra for extra in extras if isinstance(extra, Within)), None)
    conditions = [extra for extra in extras if isinstance(extra, Where)]
    if len(conditions) + (within is not None) < len(extras):
        raise TypeError(f"checked understands one Within and any Where, not all of {extras}")
    if within is not None and base not in (int, float) and not _is_array(base):
        raise TypeError(f"checked compares numbers and tensors with {within}, not {base}")
    rule = _base_rule(base, within)

    def with_conditions(name: str, value: Any, sizes: dict[str, Any]) -> Any:
        value = rule(name, value, sizes)
        for condition in conditions:
            if not condition.test(value):
                shown = f"shape {tuple(value.shape)}" if hasattr(value, "shape") else repr(value)
                raise ValueError(f"{name} must be {condition.expected}, got {shown}")
        return value

    return with_conditions if conditions else rule


def _base_rule(base: Any, within: Within | None) -> Rule:  # noqa: PLR0911 — a kind, a line
    origin = typing.get_origin(base)
    if _is_array(base):
        return array_rule(base, within)
    if base in (int, float):
        return _number_rule(_integer if base is int else _real, within or Within())
    if base in (Any, object, Self):
        return lambda _name, value, _sizes: value
    if isinstance(base, TypeVar) and not base.__constraints__:
        return rule_of(base.__bound__ or Any)
    if origin in (typing.Union, types.UnionType):
        return _union_rule(typing.get_args(base))
    if Callable in (base, origin) or typing.Callable in (base, origin):
        return _callable
    kind, parts = origin or base, typing.get_args(base)
    if not inspect.isclass(kind) or getattr(kind, "_is_protocol", False) or kind in _UNCHECKED:
        raise TypeError(f"checked does not understand the annotation {base!r}")
    if not parts or kind in _READ_ONCE:
        return _instance_rule(kind)
    wanted = 2 if issubclass(kind, Mapping) else int(issubclass(kind, Sequence))
    if kind is not tuple and len(parts) != wanted:
        raise TypeError(f"checked does not look into {base!r}: annotate a Sequence or a Mapping")
    return _container_rule(kind, parts)


def _is_array(base: Any) -> bool:
    return inspect.isclass(base) and issubclass(base, AbstractArray)


def _instance_rule(kind: type) -> Rule:
    def rule(name: str, value: Any, _: dict[str, Any]) -> Any:
        if not isinstance(value, kind):
            shown = f" {value!r}" if isinstance(value, str | int | float) else ""
            got = type(value).__name__
            if got == kind.__name__:
                got = f"{type(value).__module__}.{got}"
            raise TypeError(f"{name} must be {kind.__name__}, got {got}{shown}")
        return value

    return rule


def _union_rule(options: Sequence[Any]) -> Rule:
    """Return the rule of the first option of whose kind a value is."""
    rules = [rule_of(option) for option in options if option is not type(None)]

    def rule(name: str, value: Any, sizes: dict[str, Any]) -> Any:
        if value is None and type(None) in options:
            return None
        refusals = []
        for one in rules:
            try:
                return one(name, value, sizes)
            except TypeError as error:
                message = str(error)
                if message.startswith((f"{name}[", f"a key of {name}")):
                    raise  # the value is of this kind, a part of it is not
                refusals.append(message.removeprefix(f"{name} must ").partition(", got "))
        expected = " or ".join(dict.fromkeys(text for text, _, _ in refusals))
        raise TypeError(f"{name} must {expected}, got {refusals[0][2]}")

    return rule


def _container_rule(kind: type, arguments: Sequence[Any]) -> Rule:
    """Return the rule of a mapping or a sequence, whose values it checks and passes on."""
    whole = _instance_rule(kind)
    parts = [rule_of(a) for a in arguments if a is not Ellipsis]
    fixed = kind is tuple and Ellipsis not in arguments

    def rule(name: str, value: Any, sizes: dict[str, Any]) -> Any:
        whole(name, value, sizes)
        if fixed and len(value) != len(parts):
            raise ValueError(f"{name} must have {len(parts)} entries, got {value!r}")
        is_mapping = isinstance(value, Mapping)
        read, same = {}, True
        for key, part in value.items() if is_mapping else enumerate(value):
            if is_mapping:
                parts[0](f"a key of {name}", key, sizes)
            read[key] = parts[key if fixed else -1](f"{name}[{key!r}]", part, sizes)
            same = same and read[key] is part
        if same:
            return value
        return read if is_mapping else tuple(read.values())

    return rule


def _callable(name: str, value: Any, _: dict[str, Any]) -> Any:
    if not callable(value):
        raise TypeError(f"{name} must be callable, got {type(value).__name__}")
    return value


def _number_rule(read: Callable[[str, Any], Any], within: Within) -> Rule:
    own, low, high = int if read is _integer else float, within.low, within.high

    def rule(name: str, value: Any, _: dict[str, Any]) -> Any:
        if type(value) is own and low < value < high:  # what nearly every call brings
            return value
        number = read(name, value)
        if not within.holds(number, number):
            raise ValueError(f"{name} must be {within}, got {number}")
        return number

    return rule


def _integer(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name} must be an integer, got {value!r} ({type(value).__name__})")
    return int(value)


def _real(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {value!r} ({type(value).__name__})")
    try:
        number = float(value)
    except OverflowError as error:
        raise ValueError(f"{name} must be finite as a float, got a larger integer") from error
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {number}")
    return number
