"""A learner's file: Python, or a notebook, that gives answers by ``check(name, answer)``."""

import __future__

import ast
import json
import linecache
import re
from collections.abc import Iterator
from importlib.util import decode_source
from pathlib import Path
from types import CodeType

from exercises.uses import needed

LARGEST = 2**20
"""Bytes of a file of Python; reading one takes some 400 times its size in memory."""

_MAGIC = re.compile(r"^( *)([%!?].*|%{0,2}[\w.*\[\]'\"]+\?\??\s*)$", re.MULTILINE)
"""A line that only IPython understands: ``%time f()``, ``!ls``, ``f?``."""

Part = CodeType | SyntaxError


def runnable(path: Path) -> list[Part]:
    """Return the parts of a file to run, one after the other.

    A part is a statement. Of a notebook these are those that call ``check`` with an answer, and
    those that such a statement needs; solutions are left out, and so is the rest of the chapter. In
    the place of a cell that does not parse stands its error: the others can be run.

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
        if error.lineno is None:  # an encoding, before a line is read
            raise ValueError(f"it is not Python in UTF-8: {error.msg}") from error
        raise ValueError(f"it does not parse: {error.msg}, line {error.lineno}") from error
    except (ValueError, KeyError, TypeError) as error:  # not UTF-8, not JSON, without cells
        kind = "a notebook" if notebook else "Python in UTF-8"
        raise ValueError(f"it is not {kind}") from error
    except (MemoryError, RecursionError) as error:
        raise ValueError("it does not parse: it is nested too deeply") from error


def _of_python(path: Path, text: str) -> list[Part]:
    if "\0" in text:  # versions of Python differ in what they raise
        raise ValueError("a file that holds a zero byte is binary")
    _remember(str(path), text)
    statements = ast.parse(text, path.name).body
    future = sum(
        getattr(__future__, name.name).compiler_flag
        for one in statements
        if isinstance(one, ast.ImportFrom) and one.module == "__future__"
        for name in one.names
    )
    return [compile(ast.Module([one], []), str(path), "exec", future) for one in statements]


def _remember(file: str, source: str) -> None:
    """Let tracebacks quote the lines of a source."""
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)


def _of_notebook(path: Path, cells: list[dict[str, object]]) -> list[Part]:
    parsed = [(place, source, _tree(source)) for place, source in _code(cells)]
    chosen = {*needed([tree for *_, tree in parsed if isinstance(tree, ast.Module)])}
    parts: list[Part] = []
    for place, source, tree in parsed:
        if isinstance(tree, SyntaxError):
            if not source.startswith("%%"):  # a cell in another language
                where = f"cell {place} does not parse: {tree.msg}, line {tree.lineno}"
                parts.append(SyntaxError(where))
            continue
        file = f"{path.name}, cell {place}"
        _remember(file, source)
        own = [one for one in tree.body if one in chosen]
        parts += [compile(ast.Module([one], []), file, "exec") for one in own]
    return parts


def _tree(source: str) -> ast.Module | SyntaxError:
    """Return a cell's syntax tree, or why there is none; lines for IPython become ``pass``."""
    try:
        return ast.parse(source)
    except SyntaxError:
        try:
            return ast.parse(_MAGIC.sub(r"\1pass", source))
        except SyntaxError as error:
            return error


def _code(cells: list[dict[str, object]]) -> Iterator[tuple[int, str]]:
    """Yield the number and the source of each code cell outside of solutions."""
    inside = False
    for place, cell in enumerate(cells, start=1):
        source = cell["source"]
        text = source if isinstance(source, str) else "".join(map(str, source))  # type: ignore[call-overload]
        if cell["cell_type"] == "code" and not inside:
            yield place, text
        if cell["cell_type"] == "markdown":
            inside = (inside or "{solution-start}" in text) and "{solution-end}" not in text
