"""reference_impl.checked: the annotations that it understands, and what it refuses."""

import collections
import inspect
import math
import shutil
import subprocess
import sys
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from jaxtyping import Bool, Float, Int64, Integer, Shaped
from torch import Tensor, nn

from reference_impl import distillation, quantization
from reference_impl.checked import (
    FINITE,
    Checked,
    Count,
    Finite,
    FloatType,
    Positive,
    Scalar,
    Share,
    Where,
    Within,
    checked,
)

T = TypeVar("T")
ALONE = """
from pathlib import Path
import torch
import reference_impl
from reference_impl.distillation.soft_targets import soften
assert reference_impl.__file__ == str(Path("reference_impl", "__init__.py").absolute())
assert torch.equal(soften(torch.zeros(1, 2), 1.0), torch.full((1, 2), 0.5))
"""
Between = Annotated[float, Within(0, 1, above=True, below=True)]
Even = Annotated[int, Where("even", lambda n: n % 2 == 0)]
Places = Annotated[Integer[Tensor, " n"], Within(0, 2)]
Above0 = Annotated[Float[Tensor, " n"], Within(0, above=True)]
OneOrMany = float | Finite[Tensor, " n"]


@checked
def mean_product(x: Finite[Tensor, "n d"], y: Finite[Tensor, "n d"], *, power: Count = 1) -> Scalar:
    return (x * y).mean() ** power


def accepts(annotation: Any) -> Callable[[Any], Any]:
    """Return a checked identity function whose one argument has this annotation."""

    def argument(value):
        return value

    argument.__annotations__ = {"value": annotation}
    return checked(argument)


ACCEPTED = [
    (int, 3, np.int8(3)),
    (float, 2, np.float16(0.5)),
    (Share, 0, 1.0),
    (Between, 0.5),
    (bool, True),
    (str | None, None),
    (int | str, "a"),
    (OneOrMany, torch.ones(2)),
    (Sequence[float], (1, 2.5)),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (list[int], []),
    (typing.Sequence, (1, "a")),
    (typing.Tuple, (1, "a")),  # noqa: UP006
    (Iterable[int], iter([1])),
    (Mapping[str, Finite[Tensor, "..."]], {"a": torch.ones(2, 3)}),
    (Callable[[int], int], abs),
    (Callable, abs),
    (nn.Module, nn.ReLU()),
    (FloatType, torch.bfloat16),
    (Even, 4),
    (T, object()),
    (Any, object()),
    (Float[Tensor, ""], torch.tensor(math.inf)),
    (Float[Tensor, "n 3"], torch.ones(2, 3, dtype=torch.float16)),
    (Float[Tensor, "n *rest"], torch.ones(4)),
    (Float[Tensor, "*rest n"], torch.ones(2, 3, 4)),
    (Float[Tensor, "... 4"], torch.ones(2, 3, 4)),
    (Int64[Tensor, "_"], torch.arange(3)),
    (Integer[Tensor, " n"], torch.arange(3, dtype=torch.uint8)),
    (Bool[Tensor, " n"], torch.tensor([True])),
    (Places, torch.arange(3)),
    (Float[np.ndarray, " n"], np.ones(2)),
    (Finite[Tensor, " n"], torch.full((4,), torch.finfo(torch.float32).max)),
]

REFUSED = [
    (int, 2.5, TypeError, r"value must be an integer, got 2\.5 \(float\)"),
    (int, True, TypeError, r"value must be an integer, got True \(bool\)"),
    (float, "1", TypeError, r"value must be a real number, got '1' \(str\)"),
    (float, math.nan, ValueError, "value must be finite, got nan"),
    (float, 10**400, ValueError, "value must be finite as a float"),
    (Count, 0, ValueError, "value must be at least 1, got 0"),
    (Share, 1.5, ValueError, r"value must be in \[0, 1\], got 1\.5"),
    (Positive, 0, ValueError, r"value must be above 0, got 0\.0"),
    (Between, 1, ValueError, r"value must be in \(0, 1\), got 1\.0"),
    (str | None, 3, TypeError, "value must be str, got int 3"),
    (OneOrMany, "a", TypeError, r"must be a real number or be a torch.Tensor, got 'a' \(str\)"),
    (nn.Linear | nn.ReLU, None, TypeError, "value must be Linear or be ReLU, got NoneType"),
    (OneOrMany, math.inf, ValueError, "value must be finite, got inf"),
    (Sequence[float], (1, "2"), TypeError, r"value\[1\] must be a real number, got '2'"),
    (Sequence[float], 3.0, TypeError, "value must be Sequence, got float"),
    (tuple[int, str], (1,), ValueError, "value must have 2 entries, got "),
    (tuple[int, str], (1, 2), TypeError, r"value\[1\] must be str, got int 2"),
    (Mapping[str, Count], {"a": 0}, ValueError, r"value\['a'\] must be at least 1, got 0"),
    (Mapping[str, int], {1: 1}, TypeError, "a key of value must be str, got int 1"),
    (Places, torch.zeros(2).to(torch.uint16), TypeError, "must hold integers, got .* torch.uint16"),
    (Callable[[int], int], 3, TypeError, "value must be callable, got int"),
    (nn.Module, None, TypeError, "value must be Module, got NoneType"),
    (FloatType, torch.int8, ValueError, "value must be a floating-point torch.dtype"),
    (bool, np.True_, TypeError, r"value must be bool, got numpy\.bool"),
    (Mapping[str, int] | float, {1: 1}, TypeError, "a key of value must be str, got int 1"),
    (Annotated[int, Within(high=5)], 6, ValueError, "value must be at most 5, got 6"),
    (Even, 3, ValueError, "must be even, got 3"),
    (Float[Tensor, " n"], [1.0], TypeError, "value must be a torch.Tensor, got list"),
    (Float[Tensor, " n"], torch.arange(3), TypeError, "value must hold floating-point numbers"),
    (Integer[Tensor, " n"], torch.ones(3), TypeError, "value must hold integers, got dtype"),
    (Integer[Tensor, " n"], torch.tensor([True]), TypeError, "value must hold integers"),
    (Bool[Tensor, " n"], torch.ones(3), TypeError, "value must hold bool, got dtype"),
    (Float[Tensor, " n"], torch.ones(0), ValueError, r"must not be empty, got shape \(0,\)"),
    (Float[Tensor, " n"], torch.ones(2, 2), ValueError, r"must be \(n\), got shape \(2, 2\)"),
    (Float[Tensor, "n 3"], torch.ones(2, 2), ValueError, r"must be \(n, 3\), got shape \(2, 2\)"),
    (Float[Tensor, "n n"], torch.ones(2, 3), ValueError, r"value must be \(n, n\), got shape"),
    (Float[Tensor, "n *r"], torch.tensor(1.0), ValueError, r"must be \(n, \*r\), got shape \(\)"),
    (Float[Tensor, " n"], torch.ones(3).to_sparse(), TypeError, "must be a dense tensor"),
    (Float[Tensor, " n"], torch.ones(3, device="meta"), TypeError, "values, got meta"),
    (Float[Tensor, " n"], torch.ones(3).to(torch.float8_e4m3fn), TypeError, "float8"),
    (Finite[Tensor, " n"], torch.tensor([1, math.nan, -math.inf]), ValueError, "2 nan .* first"),
    (Above0, torch.tensor([1.0, 0.0]), ValueError, r"must be above 0, got 0\.0"),
]


@pytest.mark.parametrize("row", ACCEPTED)
def test_what_an_annotation_allows_passes(row):
    """Oracle: the meaning of the annotation in the standard library and in jaxtyping."""
    annotation, *values = row
    for value in values:
        passed = accepts(annotation)(value)
        assert passed is value or passed == value


@pytest.mark.parametrize(("annotation", "value", "kind", "message"), REFUSED)
def test_what_it_forbids_is_refused_by_argument_value_and_expectation(
    annotation, value, kind, message
):
    """Oracle: the message, which has the three of them."""
    with pytest.raises(kind, match=message):
        accepts(annotation)(value)


def variadic(*values: int) -> None: ...
def no_tensor(x: float) -> Annotated[float, FINITE]: ...
def many(x: Float[Tensor, " n"]) -> Finite[Tensor, " n"]: ...


@pytest.mark.parametrize(
    ("define", "message"),
    [
        (lambda: accepts(Float[Tensor, "n+1"]), "sizes must be numbers, names"),
        (lambda: accepts(Float[nn.Parameter, " n"]), "looks at tensors and arrays"),
        (lambda: accepts(Annotated[Shaped[Tensor, " n"], Within(0)]), "of real numbers"),
        (lambda: accepts(set[int]), "does not understand"),
        (lambda: accepts(Collection[int]), "does not look into"),
        (lambda: accepts(collections.Counter[str]), "does not look into"),
        (lambda: accepts(np.ndarray[Any, np.dtype[np.float64]]), "does not look into"),
        (lambda: accepts(TypeVar("IntOrText", int, str)), "does not understand"),
        (lambda: checked(no_tensor), "looks at one number"),
        (lambda: accepts(Annotated[str, Within(1)]), "compares numbers"),
        (lambda: accepts(Annotated[int, "small"]), "understands one Within"),
        (lambda: accepts(Annotated[int, 3]), "understands one Within"),
        (lambda: checked(variadic), "does not understand"),
        (lambda: checked(many), "looks at one number"),
    ],
)
def test_what_is_not_understood_fails_at_the_definition(define, message):
    """Oracle: nothing is called."""
    with pytest.raises(TypeError, match=message):
        define()


def test_sizes_of_one_name_agree_across_arguments():
    """Oracle: the shapes."""
    with pytest.raises(ValueError, match=r"x must have the shape of y, \(3, 4\), got \(3, 2\)"):
        mean_product(torch.ones(3, 2), torch.ones(3, 4))

    @checked
    def same(x: Float[Tensor, "*shape"], y: Float[Tensor, "*shape"]) -> None: ...

    with pytest.raises(ValueError, match=r"x must have the shape of y, \(3, 2\), got \(2, 3\)"):
        same(torch.ones(2, 3), torch.ones(3, 2))


def test_a_result_that_is_not_finite_names_the_argument_or_all():
    """Oracle: which argument holds the nan; with finite ones, all. A maximum hides −∞ from one."""

    def largest(x: Finite[Tensor, " n"]) -> Scalar:
        return x.max()

    x, hidden = torch.ones(2, 2), torch.tensor([1.0, -math.inf])
    with pytest.raises(ValueError, match="y must be finite, got 4 nan"):
        mean_product(x, x * math.nan)
    with pytest.raises(ValueError, match="x and y and power must give a finite result, got inf"):
        mean_product(x * 1e30, x * 1e30)
    assert checked(largest)(hidden) == 1
    largest.__annotations__["x"] = Annotated[Float[Tensor, " n"], Within()]
    with pytest.raises(ValueError, match="x must be finite"):
        checked(largest)(hidden)


@given(st.lists(st.floats(width=32), min_size=1, max_size=6))
def test_finite_is_what_isfinite_says_as_an_annotation_and_as_a_mark(values):
    """Oracle: torch.isfinite of every element; sums that overflow included."""
    x = torch.tensor(values)
    for annotation in (Finite[Tensor, " n"], Annotated[Float[Tensor, " n"], FINITE]):
        if torch.isfinite(x).all():
            accepts(annotation)(x)
        else:
            with pytest.raises(ValueError, match="value must be finite"):
                accepts(annotation)(x)


@checked
@dataclass(frozen=True)
class Grid:
    bits: Annotated[int, Within(1, 16)]
    signed: bool = False


class Scaler:
    @checked
    def times(self, x: Count) -> int:
        return 2 * x


def test_fields_and_methods_are_checked_and_numbers_become_pythons():
    """Oracle: the type and the value of the field; a call through the object."""
    assert type(Grid(np.int8(4)).bits) is int
    assert replace(Grid(4), bits=5) == Grid(5)
    large = np.int16(300)  # whose square is beyond int16
    passed = accepts(Mapping[str, int])({"a": large})["a"], accepts(Sequence[int])([large])[0]
    assert passed[0] * passed[1] == 300**2
    assert Scaler().times(2) == 4
    for call, kind, message in (
        (lambda: Grid(17), ValueError, "bits must be"),
        (lambda: Grid(2.0), TypeError, "bits must be"),
        (lambda: replace(Grid(4), bits=0), ValueError, "bits must be"),
        (lambda: Grid(4, signed=1), TypeError, "signed must be bool"),
        (lambda: Scaler().times(0), ValueError, "x must be at least 1"),
    ):
        with pytest.raises(kind, match=message):
            call()


def test_the_formula_alone_is_wrapped_and_keeps_its_name_and_signature():
    """Oracle: the standard library's introspection."""
    x = torch.ones(2, 2)
    assert mean_product.__wrapped__(x * math.inf, x, power=1) == math.inf
    assert mean_product.__name__ == "mean_product"
    assert list(inspect.signature(mean_product).parameters) == ["x", "y", "power"]
    typed: Checked[..., Tensor] = mean_product
    assert typed is mean_product


class Product(nn.Module):
    def forward(self, x):
        return mean_product(x, x + 1)


@checked
def halved(x: Finite[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return x / 2


class Half(nn.Module):
    def forward(self, x):
        return halved(x)


def test_a_checked_function_can_be_exported_compiled_and_traced():
    """Oracle: eager execution."""
    x = torch.arange(6.0).reshape(3, 2)
    for strict in (False, True):
        program = torch.export.export(Product(), (x,), strict=strict)
        torch.testing.assert_close(program.module()(x), Product()(x))
    compiled = torch.compile(Product(), backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), Product()(x))
    torch.testing.assert_close(torch.fx.symbolic_trace(Half())(x), x / 2)
    torch.testing.assert_close(torch.fx.symbolic_trace(Product())(x), Product()(x))


def test_gradients_of_single_examples_are_vmaps():
    """Oracle: the gradient of each example alone."""
    x, y = torch.arange(6.0).reshape(3, 2), torch.ones(3, 2)
    gradient = torch.func.grad(lambda a, b: mean_product(a[None], b[None]))
    each = torch.func.vmap(gradient)(x, y)
    torch.testing.assert_close(
        each, torch.stack([gradient(*pair) for pair in zip(x, y, strict=True)])
    )


CODES = quantization.CodebookQuantizer((-1.0, 0.5, 2.0))
LOGITS = torch.arange(8.0).reshape(4, 2) % 3


class Applied(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "function",
    [
        lambda z: distillation.distillation_objective(
            z, LOGITS, torch.tensor([0, 1, 1, 0]), temperature=2.0, alpha=0.5
        ),
        lambda z: distillation.decoupled_loss(
            z, LOGITS, torch.tensor([0, 1, 1, 0]), temperature=2.0
        ),
        lambda z: distillation.distance_relation_loss(z, LOGITS),
        lambda z: quantization.affine_from_range(
            z.amin(), z.amax(), quantization.IntegerGrid(4)
        ).round_trip(z),
        CODES.round_trip,
    ],
)
def test_conditions_in_bodies_do_not_stop_an_export(function):
    """Oracle: eager execution, on values that export did not see."""
    x = torch.linspace(-1, 2, 8).reshape(4, 2).sin()
    program = torch.export.export(Applied(function), (x.cos(),), strict=False)
    torch.testing.assert_close(program.module()(x), function(x))


def test_a_module_of_formulas_works_with_three_more_files(tmp_path):
    """Oracle: what the page of the reference says, in a process that finds these files alone."""
    package = Path(checked.__globals__["__file__"]).parent
    (tmp_path / "reference_impl").mkdir()
    (tmp_path / "reference_impl" / "__init__.py").touch()
    names = ["checked.py", "arrays.py", "rules.py", "distillation/soft_targets.py"]
    for name in names:
        copied = tmp_path / "reference_impl" / name
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(package / name, copied)
    alone = f"import sys; sys.path[0:1] = [{str(tmp_path)!r}]{ALONE}"
    subprocess.run([sys.executable, "-I", "-c", alone], check=True, cwd=tmp_path)
