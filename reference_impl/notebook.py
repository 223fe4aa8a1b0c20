"""What every chapter's first cell calls."""

import os
import random
import warnings
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
