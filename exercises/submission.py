"""A learner's file: Python, or a notebook, that gives answers by ``check(name, answer)``."""

import ast
import json
import linecache
import re
from collections.abc import Iterator
from importlib.util import decode_source
from pathlib import Path
from types import CodeType

LARGEST = 2**20
"""Bytes of a file of Python; reading one takes some 400 times its size in memory."""

#: lines that only IPython understands
_MAGIC = re.compile(r"^[%!?]|\?\s*$")


def runnable(path: Path) -> list[CodeType]:
    """Return the parts of a file to run, one after the other.

    A part of Python is a statement. A part of a notebook is a cell that calls ``check``, or that
    defines what such a cell uses; solutions are left out, and so is the rest of the chapter.

    Raises:
        ValueError: if the file cannot be read as Python or as a notebook, or is too large.
    """
    notebook = path.suffix.lower() == ".ipynb"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from error
    if not notebook and len(content) > LARGEST:
        raise ValueError("it is larger than 1 MB, too large to be read as Python")
    try:
        if notebook:
            return _of_notebook(path, json.loads(content)["cells"])
        return _of_python(path, decode_source(content))
    except SyntaxError as error:
        where = f", line {error.lineno}" if error.lineno else ""
        raise ValueError(f"it does not parse: {error.msg}{where}") from error
    except (ValueError, KeyError, TypeError) as error:  # not UTF-8, not JSON, without cells
        kind = "a notebook" if notebook else "Python"
        raise ValueError(f"it is not {kind}") from error
    except (MemoryError, RecursionError) as error:
        raise ValueError("it does not parse: it is nested too deeply") from error


def _of_python(path: Path, text: str) -> list[CodeType]:
    if "\0" in text:  # versions of Python differ in what they raise
        raise ValueError("a file that holds a zero byte is binary")
    linecache.cache[str(path)] = (len(text), None, text.splitlines(keepends=True), str(path))
    statements = ast.parse(text, path.name).body
    return [compile(ast.Module([one], []), str(path), "exec") for one in statements]


def _of_notebook(path: Path, cells: list[dict[str, object]]) -> list[CodeType]:
    needed: set[str] = set()
    chosen = []
    for place, source in reversed(list(_code(cells))):
        try:
            tree = ast.parse(source)
        except SyntaxError as error:
            if "check(" in source:
                raise SyntaxError(
                    f"cell {place}: {error.msg}", (None, error.lineno, 0, "")
                ) from error
            continue
        names = [one for one in ast.walk(tree) if isinstance(one, ast.Name)]
        if "check" in {one.id for one in names} or needed & set(_bound(tree)):
            needed |= {one.id for one in names if isinstance(one.ctx, ast.Load)}
            file = f"{path.name}, cell {place}"
            linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
            chosen.append(compile(tree, file, "exec"))
    return chosen[::-1]


def _code(cells: list[dict[str, object]]) -> Iterator[tuple[int, str]]:
    """Yield the number and the source of each code cell outside of solutions, without magics."""
    inside = False
    for place, cell in enumerate(cells, start=1):
        source = cell["source"]
        text = source if isinstance(source, str) else "".join(map(str, source))  # type: ignore[call-overload]
        if cell["cell_type"] == "code" and not inside:
            yield (
                place,
                "\n".join(
                    x
                    for x in text.split("\n")
                    if not x.startswith(("%", "!", "?")) and not x.endswith("?")
                ),
            )
        if cell["cell_type"] == "markdown":
            inside = (inside or "{solution-start}" in text) and "{solution-end}" not in text


def _bound(tree: ast.Module) -> Iterator[str]:
    """Yield the names that a cell defines or changes: ``x = …``, ``x[0] = …``, ``x.append(…)``."""
    said = [one.value for one in tree.body if isinstance(one, ast.Expr)]
    changing = [one.func for one in said if isinstance(one, ast.Call)]
    for one in (*ast.walk(tree), *changing):
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            yield one.id
        elif isinstance(one, ast.Subscript | ast.Attribute) and (
            isinstance(one.ctx, ast.Store) or one in changing
        ):
            yield from (name.id for name in ast.walk(one.value) if isinstance(name, ast.Name))
        elif isinstance(one, ast.FunctionDef | ast.ClassDef):
            yield one.name
        elif isinstance(one, ast.Import | ast.ImportFrom):
            yield from (n.asname or n.name.split(".")[0] for n in one.names)
