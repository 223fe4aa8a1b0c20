"""How many units are in a stable choice by chance: bounds on their expected number.

The examples are independent draws from one distribution, and every half-sample is treated alike.
With V the number of *null* units among those chosen on a share ≥ π > ½ of the half-samples, each of
which chooses q of p on average (Meinshausen & Bühlmann),

    E[V] ≤ q² / ((2π − 1) p),

if the nulls are exchangeable and the choice is at least as good as one at random. With L the units
whose own probability of being chosen on one half-sample is at most θ (Shah & Samworth), for
complementary pairs and without any assumption on units or scores,

    E|Ŝ ∩ L| ≤ θ / (2π − 1) · E|Ŝ_half ∩ L|.
"""

import math
from typing import Annotated

from reference_impl.checked import Count, NonNegative, Positive, Share, Within, checked

Threshold = Annotated[float, Within(0.5, 1, above=True)]
"""π, in (½, 1]: the share of the samples on which a stable unit is chosen."""


@checked
def false_selections_bound(q: Positive, p: Count, threshold: Threshold) -> float:
    """Return q² / ((2π − 1) p), the bound of the expected number of stable nulls.

    q ≤ p units are chosen on average, a null with a probability of at most q/p.

    >>> false_selections_bound(q=30, p=300, threshold=0.75)
    6.0

    References: Meinshausen & Bühlmann 2010, theorem 1.
    Equation: eq-stability-bound, chapter 15.
    """
    if q > p:
        raise ValueError(f"q must be in (0, {p}], the units, got {q}")
    return q**2 / ((2 * threshold - 1) * p)


@checked
def largest_choice(p: Count, threshold: Threshold, bound: Positive) -> int:
    """Return ⌊√(bound · (2π − 1) p)⌋, at most p: the largest q that keeps to the bound.

    It is 0 if even one unit chosen from each half-sample is too many.

    >>> largest_choice(p=300, threshold=0.75, bound=6.0)
    30

    Equation: eq-stability-choice, chapter 15.
    """
    slack = 5e-13  # rounding must not lose a q that meets the bound exactly
    return math.floor(min(math.sqrt(bound * (2 * threshold - 1) * p) * (1 + slack), p))


@checked
def rare_selections_bound(theta: Share, expected: NonNegative, threshold: Threshold) -> float:
    """Return θ / (2π − 1) · E|Ŝ_half ∩ L|, the bound of the stable units that are rarely chosen.

    The half-samples are complementary pairs, of any number. What a half-sample chooses of L on
    average, ``expected``, is at most q, and at most θ |L|.

    >>> rare_selections_bound(theta=0.1, expected=15.0, threshold=0.75)
    3.0

    References: Shah & Samworth 2013, theorem 1.
    Equation: eq-stability-rare, chapter 15.
    """
    return theta / (2 * threshold - 1) * expected
