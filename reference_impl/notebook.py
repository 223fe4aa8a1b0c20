"""What every chapter's first cell calls, and the tables that cells show."""

import os
import random
import warnings
from collections.abc import Sequence
from html import escape
from typing import Annotated

import numpy as np
import torch

from reference_impl import plots
from reference_impl.checked import Within, checked

MAX_THREADS = 1024


@checked
def begin(seed: Annotated[int, Within(0, 2**32 - 1)] = 0) -> None:
    """Make a notebook repeatable: seeds, one torch thread, warnings as errors, the book's figures.

    The variable ``REFERENCE_IMPL_THREADS`` sets another number of threads; the portability
    matrix of the book's tests uses it. One is the default because two were measured up to 15
    times slower on the small models of this course when the second core was busy. Warnings of
    ipykernel's own modules are the exception: they stay warnings.

    Args:
        seed: of Python's, NumPy's and torch's global generators.

    Raises:
        ValueError: if the variable does not hold an integer in [1, 1024]; nothing has been set.
    """
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


@checked
class Table:
    """A table as the last line of a cell: HTML on a page, aligned columns in a terminal.

    The first column names the rows and stands left, the others stand right.

    >>> Table(["step", "bytes"], [["float32", "1,066"], ["Huffman", "26"]])
    step     bytes
    float32  1,066
    Huffman     26
    """

    def __init__(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Take the heads, with their units, and the cells as they are to be read."""
        if wrong := [row for row in rows if len(row) != len(head)]:
            raise ValueError(f"rows must have {len(head)} cells, got {wrong[0]}")
        self._lines = [list(head), *map(list, rows)]

    def __repr__(self) -> str:
        """Return the columns, two spaces between them."""
        widths = [max(map(len, column)) for column in zip(*self._lines, strict=True)]
        padded = (
            [
                line[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)),
            ]
            for line in self._lines
        )
        return "\n".join("  ".join(line).rstrip() for line in padded)

    def _repr_html_(self) -> str:
        """Return the table with a head for each column and each row."""
        right = ' style="text-align: right"'
        head, *rows = [[escape(cell) for cell in line] for line in self._lines]
        heads = "".join(f'<th scope="col"{right if i else ""}>{c}</th>' for i, c in enumerate(head))
        body = "\n".join(
            f'<tr><th scope="row">{row[0]}</th>'
            + "".join(f"<td{right}>{cell}</td>" for cell in row[1:])
            + "</tr>"
            for row in rows
        )
        return f'<table class="table">\n<tr>{heads}</tr>\n{body}\n</table>'
