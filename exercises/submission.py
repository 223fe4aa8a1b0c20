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
from typing import Any

LARGEST = 2**20
"""Bytes of a file of Python; reading one takes some 400 times its size in memory."""

_MAGIC = re.compile(
    r"^( *)((?:[\w, ]+= *)?[%!].*|\?.*|%{0,2}[\w.*\[\]'\"]+\?\??\s*)$", re.MULTILINE
)
"""A line that only IPython understands: ``%matplotlib inline``, ``files = !ls``, ``f?``."""

_TIMED = re.compile(r"^( *)%{1,2}time\b *", re.MULTILINE)
"""What stands before a statement to measure its time."""

SOLUTION = "solution"
"""The tag of the cells of a solution in the editions of a chapter."""

Part = CodeType | SyntaxError


def runnable(path: Path) -> list[Part]:
    """Return the parts of a file to run, one after the other.

    A part is a statement. A notebook gives all that it has, except for the solutions of the
    exercises. In the place of a cell that cannot be compiled stands its error.

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


def _of_notebook(path: Path, cells: list[dict[str, Any]]) -> list[Part]:
    parts: list[Part] = []
    for place, source in _code(cells):
        file = f"{path.name}, cell {place}"
        try:
            tree = _tree(source)
            own = [compile(ast.Module([one], []), file, "exec") for one in tree.body]
            compile(tree, file, "exec")  # refuses more: `from __future__` below another statement
        except SyntaxError as error:
            if not source.startswith("%%"):  # a cell in another language
                where = f"cell {place} does not parse: {error.msg}, line {error.lineno}"
                parts.append(SyntaxError(where))
            continue
        _remember(file, source)
        parts += own
    return parts


def _tree(source: str) -> ast.Module:
    """Return a cell's syntax tree, in which lines that only IPython understands are ``pass``."""
    try:
        return ast.parse(source)
    except SyntaxError:
        return ast.parse(_MAGIC.sub(r"\1pass", _TIMED.sub(r"\1", source)))


def _code(cells: list[dict[str, Any]]) -> Iterator[tuple[int, str]]:
    """Yield the number and the source of each code cell outside of solutions."""
    inside = False  # between the gates of a solution, which the book's own notebooks have
    for place, cell in enumerate(cells, start=1):
        text = "".join(cell["source"])  # a string, or a list of lines
        if cell["cell_type"] == "markdown":
            inside = (inside or "{solution-start}" in text) and "{solution-end}" not in text
        tags = cell.get("metadata", {}).get("tags", ())
        if cell["cell_type"] == "code" and not inside and SOLUTION not in tags:
            yield place, text
