"""What a signature promises, tried: every argument of a call made wrong in turn.

A family's test lists one good call of each public function and of each checked method, as a
`functools.partial` with named arguments: ``partial(rounding_noise, step=0.5)``. What joins two
arguments, and what a `Where` asks, is out of reach of that: it has a second table, of wrong calls
and what they are told. A subclass of `Contracts` tests both tables.
"""

import importlib
import inspect
import math
import pkgutil
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import ModuleType, UnionType
from typing import Annotated, Any, Union

import pytest
import torch
from jaxtyping import AbstractArray, Shaped
from torch import Tensor

from reference_impl import checked
from reference_impl.checked import FINITE, Within
from reference_impl.rules import rule_of

_NOT_FINITE = {True: (math.nan, math.inf, -math.inf), False: ()}
Case = tuple[str, Any, type[Exception]]  # what is wrong, the wrong value, the error expected


class Contracts:
    """The tests of what a module exports, of good calls, and of wrong ones with their messages."""

    face, calls, refused, errors = None, (), (), ValueError

    def pytest_generate_tests(self, metafunc):
        if "good" in metafunc.fixturenames:
            metafunc.parametrize("good", self.calls, ids=name)
        if "wrong" in metafunc.fixturenames:
            metafunc.parametrize(("wrong", "message"), self.refused)

    def test_every_public_function_is_tried(self):
        """Oracle: what the module exports."""
        assert untried(self.face, self.calls) == set()

    def test_each_argument_made_wrong_is_refused_by_its_name(self, good):
        """Oracle: the annotations, by `wrong_values`."""
        assert unrefused(good) == []

    def test_what_only_a_body_can_know_is_refused_by_name(self, wrong, message):
        """Oracle: the argument, its value and what was expected, by hand."""
        with pytest.raises(self.errors, match=message):
            wrong()


def name(call: partial) -> str:
    """Return what a call calls: ``rounding_noise``, ``AffineQuantizer.quantize``."""
    return call.func.__qualname__


def untried(face: ModuleType, calls: Sequence[partial]) -> set[str]:
    """Return the checked functions, dataclasses and methods of a package that no call tries.

    What it exports counts, and what its modules define without an underscore.
    """
    promised = set()
    for exported in _public(face):
        if _is_checked(exported.__init__ if inspect.isclass(exported) else exported):
            promised.add(exported.__qualname__)
        if inspect.isclass(exported):
            methods = [getattr(exported, word) for word in vars(exported) if word != "__init__"]
            promised |= {method.__qualname__ for method in methods if _is_checked(method)}
    return promised - {name(call) for call in calls}


def _public(face: ModuleType) -> Iterator[Any]:
    yield from (getattr(face, word) for word in face.__all__)
    for found in pkgutil.iter_modules(face.__path__, f"{face.__name__}."):
        module = importlib.import_module(found.name)
        for word, value in vars(module).items():
            if not word.startswith("_") and getattr(value, "__module__", "") == found.name:
                yield value


def _is_checked(target: Any) -> bool:
    code = getattr(target, "__code__", None)
    return code is not None and code.co_filename == checked.__file__


def unrefused(call: partial) -> list[str]:
    """Return which wrong arguments a call accepts, or refuses with another error or name."""
    call()  # a good one
    hints = typing.get_type_hints(
        call.func.__init__ if inspect.isclass(call.func) else call.func, include_extras=True
    )
    given = inspect.signature(call.func).bind(**call.keywords)
    given.apply_defaults()
    found = []
    for argument, value in given.arguments.items():
        named = rf"(a key of )?{argument}\b.* must .*got "
        cases = [(named, case) for case in wrong_values(hints[argument], value)]
        cases += _other_sizes(hints, given.arguments, argument)
        for pattern, (what, wrong, error) in cases:
            try:
                found.append(f"{argument} {what}: {call(**{argument: wrong})!r}")
            except Exception as refusal:  # noqa: BLE001 — another kind is a finding too
                if type(refusal) is not error or not re.match(pattern, str(refusal)):
                    found.append(f"{argument} {what}: {refusal!r}")
    return found


def wrong_values(hint: Any, value: Any) -> Iterator[Case]:
    """Yield what an annotation forbids, made from a value that it allows."""
    base, *extras = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
    if base in (Any, object):
        return
    if typing.get_origin(base) in (Union, UnionType):
        options = [option for option in typing.get_args(base) if _allows(option, value)]
        if value is not None:  # another kind may be an option too
            cases = wrong_values(options[0], value)
            yield from (case for case in cases if case[2] is ValueError)
        yield "an object", object(), TypeError
        return
    yield "None", None, TypeError
    yield "an object", object(), TypeError
    within = next((extra for extra in extras if isinstance(extra, Within)), None)
    if base is bool:
        yield "1", 1, TypeError
    elif base in (int, float):
        yield from _wrong_numbers(base, within or Within())
    elif isinstance(value, Tensor) and inspect.isclass(base) and issubclass(base, AbstractArray):
        yield from _wrong_tensors(base, within or (Within() if FINITE in extras else None), value)
    elif isinstance(value, Mapping | tuple | list):
        yield from _wrong_parts(typing.get_origin(base), typing.get_args(base), value)


def _allows(hint: Any, value: Any) -> bool:
    try:
        rule_of(hint)("value", value, {})
    except (TypeError, ValueError):
        return False
    return True


def _wrong_parts(kind: Any, parts: Sequence[Any], value: Any) -> Iterator[Case]:
    """Yield a container whose first entry is wrong, and one of another length if that is fixed."""
    if isinstance(value, Mapping):
        key, first = next(iter(value.items()))
        if not isinstance(parts[0], typing.TypeVar):  # else any key will do
            yield "with the key None", {None: first}, TypeError
        for what, wrong, error in wrong_values(parts[1], first):
            yield f"[{key!r}] {what}", {**value, key: wrong}, error
        return
    if kind is tuple and Ellipsis not in parts:
        yield "shorter", value[:-1], ValueError
    for what, wrong, error in wrong_values(parts[0], value[0]) if value else ():
        yield f"[0] {what}", (wrong, *value[1:]), error


def _wrong_numbers(kind: type, within: Within) -> Iterator[Case]:
    yield "True", True, TypeError
    yield "a string", "1", TypeError
    if kind is int:
        yield "a float", 1.0, TypeError
    else:
        yield "nan", math.nan, ValueError
        yield "inf", math.inf, ValueError
    for beyond in _beyond(within, kind):
        yield str(beyond), beyond, ValueError


def _beyond(within: Within, kind: type) -> Iterator[float]:
    """Yield the numbers of a kind that lie next to an interval, outside."""

    def beside(end: float, towards: float) -> float:
        return end + math.copysign(1, towards) if kind is int else math.nextafter(end, towards)

    if within.low > -math.inf:
        yield kind(within.low if within.above else beside(within.low, -math.inf))
    if within.high < math.inf:
        yield kind(within.high if within.below else beside(within.high, math.inf))


def _wrong_tensors(hint: Any, within: Within | None, value: Tensor) -> Iterator[Case]:
    floating = value.is_floating_point()
    yield "a list", value.tolist(), TypeError
    if hint.dtype is not Shaped:
        yield "of another dtype", value.long() if floating else value.double(), TypeError
    yield "empty", value.new_empty((0,) * max(value.ndim, 1)), ValueError
    if "*" not in hint.dim_str and "..." not in hint.dim_str:
        yield "with an axis more", value[None], ValueError
    if within is None:
        return
    for number in (*_beyond(within, float if floating else int), *_NOT_FINITE[floating]):
        wrong = (value.detach().double() if floating else value.long()).clone()
        wrong.view(-1)[-1] = number
        yield f"with {number}", wrong, ValueError


def _other_sizes(
    hints: dict[str, Any], given: Mapping[str, Any], argument: str
) -> Iterator[tuple[str, Case]]:
    """Yield the argument with one entry, or one axis, more than another argument shares with it."""
    named = _sizes(hints[argument])
    others = {word: _dims(hints[word]) for word in given if word != argument}
    for axis, size in enumerate(named):
        sharing = [word for word in others if size in others[word] and given[word] is not None]
        if sharing or named.count(size) > 1:
            x = given[argument]
            longer = torch.cat([x, x.narrow(axis, 0, 1)], axis) if size[0] != "*" else x[None]
            either = "|".join((argument, *sharing))
            yield f"({either}) must .*got ", (f"longer in {size}", longer, ValueError)


def _sizes(hint: Any) -> list[str]:
    """Return the named sizes of an array, one an axis, or the one name of all its axes."""
    dims = _dims(hint)
    is_named = all(re.fullmatch(r"[A-Za-z]\w*|\d+", size) for size in dims)
    return dims if is_named or (len(dims) == 1 and dims[0][0] == "*") else []


def _dims(hint: Any) -> list[str]:
    base = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
    return base.dim_str.split() if hasattr(base, "dim_str") else []
