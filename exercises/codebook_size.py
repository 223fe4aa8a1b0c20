"""Exercise of chapter 05 on length: how many values a codebook needs."""

from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, a_number, as_number
from reference_impl.checks import require_float_tensor, require_real
from reference_impl.measuring import sqnr
from reference_impl.quantization import min_max_quantizer, optimal_codebook
from reference_impl.training import load_checkpoint


def layer_weights() -> Tensor:
    """Return the 30,000 weights of LeNet-300-100's second layer."""
    weight: Tensor = load_checkpoint("lenet300").state_dict()["fc2.weight"]
    return weight


def least_size(x: Tensor, decibels: float) -> int:
    """Return the smallest K whose best codebook reaches an SQNR.

    Args:
        x: the values.
        decibels: the SQNR to reach.

    Raises:
        TypeError: if ``x`` is no floating-point tensor or ``decibels`` no real number.
        ValueError: if ``x`` is empty or not finite, or 64 values do not reach it.
    """
    require_float_tensor("x", x)
    decibels = require_real("decibels", decibels)
    for size in range(1, 65):
        if sqnr(x, optimal_codebook(x, size).round_trip(x)) >= decibels:
            return size
    raise ValueError(f"decibels must be reached with 64 values, got {decibels}")


def _target() -> float:
    x = layer_weights()
    return sqnr(x, min_max_quantizer(x, 4).round_trip(x))


def _reaches(size: float) -> bool:
    if not 1 <= size <= 1024:
        return size > 1024
    x = layer_weights()
    return sqnr(x, optimal_codebook(x, round(size)).round_trip(x)) >= _target()


_SIZE = Exercise(
    kind=a_number,
    claims=(
        Claim(
            "the answer is a whole number of values",
            lambda answer: as_number(answer) == round(as_number(answer)),
            "Count the values of the codebook.",
        ),
        Claim(
            "this many values reach the SQNR of min–max rounding at 4 bits",
            lambda answer: _reaches(as_number(answer)),
            "Measure optimal_codebook(weights, size) for a few sizes.",
        ),
        Claim(
            "one value fewer does not",
            lambda answer: not _reaches(as_number(answer) - 1),
            "A smaller codebook is enough.",
        ),
    ),
    mistakes=(
        Mistake(
            "That is the number of bits; the question is how many values the list has.",
            lambda answer: as_number(answer) in (3, 4),
        ),
        Mistake("16 is what min–max rounding uses at 4 bits.", lambda a: as_number(a) == 16),
        Mistake(
            "8 is the next power of two: a list may have any length.",
            lambda answer: as_number(answer) == 8,
        ),
    ),
)

EXERCISES = {"codebook-size": _SIZE}
