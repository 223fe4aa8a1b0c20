"""A mean over a few seeds, and how far it may be off: Student's t."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from scipy.special import stdtrit

from reference_impl.checked import Count, Where, Within, checked

Values = Annotated[Sequence[float], Where("two numbers or more", lambda values: len(values) >= 2)]
Level = Annotated[float, Within(0, 1, above=True, below=True)]


@dataclass(frozen=True)
class Interval:
    """``mean ± half_width``; see `mean_interval` and `paired_gain`."""

    mean: float
    half_width: float

    @property
    def excludes_zero(self) -> bool:
        """Whether all numbers of the interval have the sign of its mean."""
        return abs(self.mean) > self.half_width

    def __str__(self) -> str:
        """Return both with one decimal."""
        return f"{self.mean:.1f} ± {self.half_width:.1f}"


@checked
def mean_interval(values: Values, *, level: Level = 0.95) -> Interval:
    """Return x̄ ± t s / √k, with s² = Σ (x_i − x̄)² / (k − 1) and t Student's quantile.

    If the values are independent and normal, the interval holds their true mean with the
    probability ``level``. The t of few values is large: 12.7 for two, 4.3 for three, 2.8 for five.

    >>> str(mean_interval([1.0, 2.0, 3.0]))
    '2.0 ± 2.5'

    References: Student 1908, "The probable error of a mean".
    """
    k, numbers = len(values), [float(value) for value in values]
    mean = sum(numbers) / k
    variance = sum((number - mean) ** 2 for number in numbers) / (k - 1)
    return Interval(mean, student_quantile(level, k - 1) * math.sqrt(variance / k))


@checked
def paired_gain(after: Values, before: Values, *, level: Level = 0.95) -> Interval:
    """Return `mean_interval` of the differences after_i − before_i.

    >>> gain = paired_gain([3.0, 4.0, 5.0], [2.0, 2.0, 2.0])
    >>> round(gain.mean, 2), round(gain.half_width, 2)
    (2.0, 2.48)

    The two values of pair i share everything that is not compared, such as the seed. What the seed
    does to both then drops out; intervals of the two means would count it twice.

    Equation: eq-student-gain, chapter 11.
    """
    if len(after) != len(before):
        raise ValueError(f"before must have the {len(after)} values of after, got {len(before)}")
    gains = [float(a) - float(b) for a, b in zip(after, before, strict=True)]
    return mean_interval(gains, level=level)


@checked
def student_quantile(level: Level, freedom: Count) -> float:
    """Return t with P(|x| ≤ t) = ``level`` for Student's x with ν = ``freedom`` degrees of freedom.

    >>> round(student_quantile(0.95, 4), 3)
    2.776
    """
    return float(stdtrit(freedom, (1 + level) / 2))


@checked
def bonferroni_level(n: Count, *, level: Level = 0.95) -> float:
    """Return 1 − (1 − level) / n, the level of each of n simultaneous intervals.

    Each misses its true value with probability (1 − level) / n at most, so that one of them or
    more does with 1 − level at most, however they depend on each other.

    >>> round(bonferroni_level(24), 4)
    0.9979

    References: Dunn 1961, "Multiple comparisons among means".
    Equation: eq-order-bonferroni, chapter 20.
    """
    return 1 - (1 - level) / n
