"""What every chapter's first cell calls."""

import os
import random
import warnings

import numpy as np
import torch

from reference_impl import plots
from reference_impl.checks import require_int

MAX_THREADS = 1024


def begin(seed: int = 0) -> None:
    """Make a notebook repeatable: seeds, one torch thread, warnings as errors, the book's figures.

    The variable ``REFERENCE_IMPL_THREADS`` sets another number of threads; the portability
    matrix of the book's tests uses it. One is the default because two were measured up to 15
    times slower on the small models of this course when the second core was busy. Warnings of
    ipykernel's own modules are the exception: they stay warnings.

    Args:
        seed: of Python's, NumPy's and torch's global generators.

    Raises:
        TypeError: if ``seed`` is no integer.
        ValueError: if ``seed`` is not in [0, 2³² − 1] or the variable holds no integer in
            [1, 1024]. Nothing has been set then.
    """
    require_int("seed", seed, 0, 2**32 - 1)
    seed = int(seed)  # random.seed takes no integer of NumPy's
    threads = _threads()
    torch.set_num_threads(threads)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 — libraries that draw from the global generator
    torch.manual_seed(seed)
    warnings.simplefilter("error")
    warnings.filterwarnings("default", module=r"ipykernel\.")  # Jupyter's own, at shutdown
    plots.use_book_style()


def _threads() -> int:
    """Return the number of threads that the variable sets, or 1."""
    text = os.environ.get("REFERENCE_IMPL_THREADS", "1")
    digits = text.isascii() and text.isdecimal() and len(text) <= 4
    if not digits or not 1 <= int(text) <= MAX_THREADS:
        raise ValueError(
            f"REFERENCE_IMPL_THREADS must be an integer in [1, {MAX_THREADS}], got {text!r}"
        )
    return int(text)
