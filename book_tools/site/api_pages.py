"""Sphinx extension: API pages that show signatures as written, typeset formulas, and contracts.

- A signature is shown as it stands in the source, with the names of its annotations.
- The line ``Equation: eq-…, chapter NN.`` of a docstring becomes the equation itself, typeset.
- What a signature demands is listed as what the call raises: nobody writes that by hand.
"""

import ast
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from jaxtyping import AbstractArray
from sphinx.application import Sphinx

from book_tools.files import ROOT
from book_tools.pages import formulas
from reference_impl import checked
from reference_impl.checked import Where, Within

_KINDS: dict[Any, str] = {
    **{float: "a real number", int: "an integer", bool: "a bool", str: "a string"},
    **{type(None): "None", Callable: "callable", object: ""},
}


equations = cache(formulas.equations)  # a page names many of one chapter


def show_signature(*arguments: Any) -> tuple[str, str | None] | None:
    """Return parameters and annotations as the source has them (autodoc-process-signature)."""
    _app, what, _name, obj, _options, _signature, _returned = arguments
    if what not in {"function", "method", "class"}:
        return None
    try:
        source = textwrap.dedent(inspect.getsource(inspect.unwrap(obj)))
    except (OSError, TypeError):
        return None
    node = ast.parse(source).body[0]
    if isinstance(node, ast.FunctionDef):
        given = node.args
        if given.args and given.args[0].arg in {"self", "cls"}:
            del given.args[0]
        return f"({ast.unparse(given)})", ast.unparse(node.returns) if node.returns else None
    if isinstance(node, ast.ClassDef) and hasattr(obj, "__dataclass_fields__"):
        fields = [ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign)]
        return f"({', '.join(f for f in fields if 'ClassVar' not in f)})", None
    return None


def expectation(hint: Any) -> str:
    """Return what an annotation demands, in words; nothing for an annotation without a check.

    >>> expectation(Annotated[int, Within(1, 16)])
    'an integer, in [1, 16]'
    """
    base, *extras = typing.get_args(hint) if typing.get_origin(hint) is Annotated else (hint,)
    parts = [_kind(base)]
    for extra in extras:
        if isinstance(extra, Where):
            parts.append(extra.expected)
        else:
            parts.append("finite" if extra == Within() else str(extra))
    return ", ".join(part for part in parts if part)


def _kind(base: Any) -> str:
    if isinstance(base, typing.TypeVar):
        base = base.__bound__
    origin = typing.get_origin(base)
    if inspect.isclass(base) and issubclass(base, AbstractArray):
        numbers = {"Float": "floating-point"}.get(base.dtype.__name__, base.dtype.__name__.lower())
        return f"{_article(numbers)} tensor of shape ``({', '.join(base.dim_str.split())})``"
    if origin in {typing.Union, types.UnionType}:
        return " or ".join(map(expectation, typing.get_args(base)))
    kind = origin or base
    if kind in _KINDS:
        return _KINDS[kind]
    return _article(kind.__name__) if inspect.isclass(kind) else ""


def _article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def contract(obj: Any) -> str:
    """Return the field that lists what a checked function or class raises; empty if nothing."""
    target = obj.__init__ if inspect.isclass(obj) else obj
    code = getattr(target, "__code__", None)
    if not hasattr(target, "__wrapped__") or code is None or code.co_filename != checked.__file__:
        return ""
    hints = typing.get_type_hints(target, include_extras=True)
    demands = {name: expectation(hint) for name, hint in hints.items() if name != "return"}
    shown = "; ".join(f"``{name}`` is {text}" for name, text in demands.items() if text)
    return f":raises TypeError, ValueError: unless {shown}." if shown else ""


def insert_raised(lines: list[str], field: str) -> None:
    """Put a field before the other errors of a docstring, else at its end: one list of errors."""
    others = [index for index, line in enumerate(lines) if line.startswith(":raises ")]
    if others:
        lines.insert(others[0], field)
    else:
        lines += ["", field, ""]


def typeset(text: str) -> str:
    """Return a docstring with each ``Equation:`` replaced by the equation."""

    def shown(match: re.Match[str]) -> str:
        (chapter,) = (ROOT / "chapters").glob(f"{match[2]}*.ipynb")
        name = f"chapter {match[2]}" if match[2].isdigit() else formulas.title(chapter)
        lines = []
        for label in re.split(r",\s+", match[1]):
            lines += ["", ".. math::", "", f"   {' '.join(equations(chapter)[label].split())}", ""]
            page = f":doc:`{name} </chapters/{chapter.stem}>`"
            lines += [f"Equation :eq:`{label}` of {page}."]
        return "\n".join([*lines, ""])

    return formulas.NAMED.sub(shown, text)


def correct(lines: list[str]) -> None:
    """Correct a docstring after napoleon.

    ``|x|`` means an absolute value and not a substitution, except in code; and napoleon takes the
    formula before the colon in a property's ``Return n = …: the largest code.`` for a type.
    """
    if lines and lines[-1].startswith(":type: Return"):
        lines[0] = f"{lines.pop().removeprefix(':type: ')}: {lines[0]}"
    block: int | None = None  # how far the line is indented whose "::" begins a block of code
    for index, line in enumerate(lines):
        indent = len(line) - len(line.lstrip())
        if block is not None and line and indent <= block:
            block = None
        if block is None and not line.lstrip().startswith((">>>", "...")):
            parts = line.split("``")  # odd parts are literal
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[index] = "``".join(parts)
            block = indent if line.endswith("::") else None


def complete_docstring(*arguments: Any) -> None:
    """Answer Sphinx's event autodoc-process-docstring, after napoleon."""
    _app, what, _name, obj, _options, lines = arguments
    correct(lines)
    lines[:] = typeset("\n".join(lines)).split("\n")
    if what in {"function", "method", "class"} and (field := contract(obj)):
        insert_raised(lines, field)


def drop_list_of_modules(app: Sphinx, exception: Exception | None) -> None:
    """Remove viewcode's list of all listings: it links to builtins, and nests lists badly."""
    if exception is None and app.builder.format == "html":
        (Path(app.outdir) / "_modules" / "index.html").unlink(missing_ok=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("autodoc-process-signature", show_signature)
    app.connect("autodoc-process-docstring", complete_docstring, priority=900)
    app.connect("build-finished", drop_list_of_modules)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
