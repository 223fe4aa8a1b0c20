"""A mean over a few seeds, and how far it may be off: Student's t."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from reference_impl.checks import require_instance, require_int, require_real


@dataclass(frozen=True)
class Interval:
    """``mean ± half_width``; see `mean_interval` and `paired_gain`.

    >>> str(Interval(0.72, 0.31))
    '0.7 ± 0.3'

    Args:
        mean: of the values.
        half_width: 0 or more.
    """

    mean: float
    half_width: float

    @property
    def excludes_zero(self) -> bool:
        """Whether all numbers of the interval have the sign of its mean."""
        return abs(self.mean) > self.half_width

    def __str__(self) -> str:
        """Return both with one decimal."""
        return f"{self.mean:.1f} ± {self.half_width:.1f}"


def mean_interval(values: Sequence[float], *, level: float = 0.95) -> Interval:
    """Return x̄ ± t s / √k, with s² = Σ (x_i − x̄)² / (k − 1) and t Student's quantile.

    If the values are independent and normal, the interval holds their true mean with the
    probability ``level``. The t of few values is large: 12.7 for two, 4.3 for three, 2.8 for five.

    >>> str(mean_interval([1.0, 2.0, 3.0]))
    '2.0 ± 2.5'

    Args:
        values: k ≥ 2 numbers.
        level: in (0, 1).

    Raises:
        TypeError: if a value or ``level`` is no real number.
        ValueError: if there are fewer than two values, one is not finite, or ``level`` is not in
            (0, 1).

    References:
        Student 1908, "The probable error of a mean".
    """
    numbers = _numbers("values", values)
    k = len(numbers)
    if k < 2:
        raise ValueError(f"values must be two numbers or more, got {k}")
    mean = sum(numbers) / k
    variance = sum((number - mean) ** 2 for number in numbers) / (k - 1)
    return Interval(mean, student_quantile(level, k - 1) * math.sqrt(variance / k))


def paired_gain(
    after: Sequence[float], before: Sequence[float], *, level: float = 0.95
) -> Interval:
    """Return `mean_interval` of the differences after_i − before_i.

    Pair i has in common whatever is not compared, such as the seed. What the seed does to both
    then drops out; intervals of the two means would count it twice.

    Args:
        after: k ≥ 2 numbers.
        before: as many, in the same order.
        level: in (0, 1).

    Raises:
        TypeError, ValueError: as `mean_interval`, and if the numbers of values differ.

    Equation: eq-student-gain, chapter 09.
    """
    new, old = _numbers("after", after), _numbers("before", before)
    if len(new) != len(old):
        raise ValueError(f"after and before must be as many, got {len(new)} and {len(old)}")
    return mean_interval([b - a for a, b in zip(old, new, strict=True)], level=level)


def student_quantile(level: float, freedom: int) -> float:
    """Return t with P(|x| ≤ t) = ``level`` for Student's x with ν degrees of freedom.

    With θ = arctan(t/√ν), the probability is a finite sum of powers of cos θ; it grows with θ,
    which is found by halving its range.

    >>> round(student_quantile(0.95, 4), 3)
    2.776

    Args:
        level: in (0, 1).
        freedom: ν ≥ 1.

    Raises:
        TypeError: if ``level`` is no real number or ``freedom`` no integer.
        ValueError: if one is out of range.

    References:
        Abramowitz & Stegun 1964, Handbook of mathematical functions, 26.7.3 and 26.7.4.
    """
    level = require_real("level", level, 0, 1, open_low=True)
    if level == 1:
        raise ValueError("level must be below 1, got 1")
    freedom = require_int("freedom", freedom, 1)
    low, high = 0.0, math.pi / 2
    for _ in range(60):  # as far as a float goes
        middle = (low + high) / 2
        if _probability(middle, freedom) < level:
            low = middle
        else:
            high = middle
    return math.sqrt(freedom) * math.tan(low)


def _probability(theta: float, freedom: int) -> float:
    """Return P(|x| ≤ √ν tan θ)."""
    odd = freedom % 2
    term, total = (math.cos(theta) if odd else 1.0), 0.0
    for power in range(2 + odd, freedom + 1, 2):  # terms cos^(power − 2), up to cos^(ν − 2)
        total += term
        term *= math.cos(theta) ** 2 * (power - 1) / power
    if odd:
        return 2 / math.pi * (theta + math.sin(theta) * total)
    return math.sin(theta) * total


def _numbers(name: str, values: Sequence[float]) -> list[float]:
    require_instance(name, values, Sequence)
    return [require_real(f"{name}[{place}]", value) for place, value in enumerate(values)]
