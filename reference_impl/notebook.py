"""What every chapter's first cell calls, and the tables that cells show."""

import ast
import os
import random
import re
import warnings
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Annotated

import numpy as np
import torch

from reference_impl import plots
from reference_impl.checked import Within, checked
from reference_impl.folders import FASHION_MNIST, data_folder

MAX_THREADS = 1024
NEEDS_A_LOOK = "this sentence needs a look:"  #: printed before one that does not hold
_ZERO = re.compile(r"(?<!\w)-(?=0(?:\.0+)?(?![.\d]))")  # of a number that was rounded to -0
_MINUS = re.compile(r"(?<![\w.)])-(?=\.?\d)")


@checked
def begin(seed: Annotated[int, Within(0, 2**32 - 1)] = 0, data: str | Path | None = None) -> None:
    """Make a notebook repeatable: seeds, one torch thread, warnings as errors, the book's figures.

    The variable ``REFERENCE_IMPL_THREADS`` sets another number of threads; the portability
    matrix of the book's tests uses it. One is the default because two were measured up to 15
    times slower on the small models of this course when the second core was busy. Warnings of
    ipykernel's own modules are the exception: they stay warnings.

    Args:
        seed: of Python's, NumPy's and torch's global generators.
        data: the notebook's data set, as `load_dataset` takes it. With another one than the shipped
            one, a sentence that does not hold is printed instead of stopping its cell.

    Raises:
        ValueError: if the variable does not hold an integer in [1, 1024]; nothing has been set.
        FileNotFoundError: if there is no such data set.
    """
    adapted = data is not None and data_folder(data).resolve() != FASHION_MNIST.resolve()
    threads = os.environ.get("REFERENCE_IMPL_THREADS", "1")
    if threads not in map(str, range(1, MAX_THREADS + 1)):
        raise ValueError(
            f"REFERENCE_IMPL_THREADS must be an integer in [1, {MAX_THREADS}], got {threads!r}"
        )
    torch.set_num_threads(int(threads))
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 — libraries that draw from the global generator
    torch.manual_seed(seed)
    warnings.simplefilter("error")
    warnings.filterwarnings("default", module=r"ipykernel\.")  # Jupyter's own, at shutdown
    plots.use_book_style()
    if adapted:
        print_failed_sentences()


def print_failed_sentences() -> None:
    """Let the notebook's assertions print what does not hold, and go on.

    The sentences of a chapter are true of its own data and networks; with others, the instructor
    needs the list of those that are not.
    """
    from IPython import get_ipython  # noqa: PLC0415 — what is not a notebook may lack it

    shell = get_ipython()
    if shell and not any(isinstance(one, _Sentences) for one in shell.ast_transformers):
        shell.ast_transformers.append(_Sentences())


class _Sentences(ast.NodeTransformer):
    """Turns ``assert condition, "sentence"`` into a line that is printed if it does not hold."""

    def visit_Assert(self, node: ast.Assert) -> ast.If:
        sentence = node.msg or ast.Constant(ast.unparse(node.test))
        call = ast.Call(ast.Name("print", ast.Load()), [ast.Constant(NEEDS_A_LOOK), sentence], [])
        condition = ast.UnaryOp(ast.Not(), node.test)
        return ast.fix_missing_locations(
            ast.copy_location(ast.If(condition, [ast.Expr(call)], []), node)
        )


@checked
class Table:
    """A table as the last line of a cell: HTML on a page, aligned columns in a terminal.

    The first column names the rows and stands left, as do columns without a digit; columns of
    numbers stand right. A minus is a minus sign, and 0 has none.

    >>> Table(["step", "bytes", "change"], [["float32", "1,066", "–"], ["Huffman", "26", "-1,040"]])
    step     bytes  change
    float32  1,066       –
    Huffman     26  −1,040
    """

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Take the heads, with their units, and the cells as they are to be read."""
        if wrong := [row for row in rows if len(row) != len(head)]:
            raise ValueError(f"rows must have {len(head)} cells, got {wrong[0]}")
        cells = [list(map(_with_minus_signs, row)) for row in rows]
        self._lines = [list(head), *cells]
        columns = list(zip(*cells, strict=True)) or [()] * len(head)
        self._right = [
            place > 0 and any(map(str.isdigit, "".join(column)))
            for place, column in enumerate(columns)
        ]

    def __repr__(self) -> str:
        """Return the columns, two spaces between them."""
        widths = [max(map(len, column)) for column in zip(*self._lines, strict=True)]
        padded = (
            [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(line, widths, self._right, strict=True)
            ]
            for line in self._lines
        )
        return "\n".join("  ".join(line).rstrip() for line in padded)

    def _repr_html_(self) -> str:
        """Return the table with a head for each column and each row."""
        style = [' style="text-align: right"' if right else "" for right in self._right]
        head, *rows = [[escape(cell) for cell in line] for line in self._lines]
        heads = "".join(
            f'<th scope="col"{where}>{cell}</th>' for cell, where in zip(head, style, strict=True)
        )
        body = "\n".join(
            f'<tr><th scope="row">{row[0]}</th>'
            + "".join(f"<td{w}>{c}</td>" for c, w in zip(row[1:], style[1:], strict=True))
            + "</tr>"
            for row in rows
        )
        return f'<table class="table">\n<tr>{heads}</tr>\n{body}\n</table>'


def _with_minus_signs(cell: str) -> str:
    return _MINUS.sub("\N{MINUS SIGN}", _ZERO.sub("", cell))
