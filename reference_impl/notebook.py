"""What every chapter's first cell calls."""

import os
import random
import warnings

import numpy as np
import torch

from reference_impl import plots
from reference_impl.checks import require_int


def begin(seed: int = 0) -> None:
    """Make a notebook repeatable: seeds, one torch thread, warnings as errors, the book's figures.

    The variable ``REFERENCE_IMPL_THREADS`` sets another number of threads; the portability
    matrix of the book's tests uses it. One is the default because two were measured up to 15
    times slower on the small models of this course when the second core was busy.

    Args:
        seed: of Python's, NumPy's and torch's global generators.

    Raises:
        ValueError: if ``seed`` is negative or the variable holds no positive integer.
    """
    require_int("seed", seed, 0, 2**32 - 1)
    threads = os.environ.get("REFERENCE_IMPL_THREADS", "1")
    if not threads.isdigit() or int(threads) < 1:
        raise ValueError(f"REFERENCE_IMPL_THREADS must be a positive integer, got {threads!r}")
    torch.set_num_threads(int(threads))
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 — libraries that draw from the global generator
    torch.manual_seed(seed)
    warnings.simplefilter("error")
    warnings.filterwarnings("default", module=r"ipykernel\.")  # Jupyter's own, at shutdown
    plots.use_book_style()
