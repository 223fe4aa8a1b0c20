"""How many units are in a stable choice by chance: bounds on their expected number.

The examples are independent draws from one distribution, and every half-sample is treated alike.
Stable units are chosen on a share ≥ π > ½ of the half-samples. *False* are the null units among
them (Meinshausen & Bühlmann). Of C units each half-sample chooses ``chosen`` on average; then

    E[false] ≤ chosen² / ((2π − 1) C),

if the nulls are exchangeable and the choice is at least as good as one at random. *Rare* are the
units whose own probability of being chosen on one half-sample is at most p_rare (Shah & Samworth):
for complementary pairs, and without any assumption on units or scores,

    E[rare among the stable] ≤ p_rare / (2π − 1) · E[rare among those a half-sample chooses].
"""

import math
from typing import Annotated

from reference_impl.checked import Count, NonNegative, Positive, Share, Within, checked

Threshold = Annotated[float, Within(0.5, 1, above=True)]
"""π, in (½, 1]: the share of the samples on which a stable unit is chosen."""


@checked
def false_selections_bound(chosen: Positive, units: Count, threshold: Threshold) -> float:
    """Return chosen² / ((2π − 1) C), the bound of the expected number of stable nulls.

    A half-sample chooses so many of the C ``units`` on average; a null with a probability of at
    most chosen / C.

    >>> false_selections_bound(chosen=30, units=300, threshold=0.75)
    6.0

    References: Meinshausen & Bühlmann 2010, theorem 1.
    Equation: eq-stability-bound, chapter 15.
    """
    if chosen > units:
        raise ValueError(f"chosen must be in (0, {units}], the units, got {chosen}")
    return chosen**2 / ((2 * threshold - 1) * units)


@checked
def largest_choice(units: Count, threshold: Threshold, limit: Positive) -> int:
    """Return ⌊√(limit · (2π − 1) C)⌋, at most C: the most to choose with a bound within the limit.

    It is 0 if even one unit chosen from each half-sample is too many.

    >>> largest_choice(units=300, threshold=0.75, limit=6.0)
    30

    Equation: eq-stability-choice, chapter 15.
    """
    slack = 5e-13  # rounding must not lose a choice that meets the limit exactly
    return math.floor(min(math.sqrt(limit * (2 * threshold - 1) * units) * (1 + slack), units))


@checked
def rare_selections_bound(p_rare: Share, expected: NonNegative, threshold: Threshold) -> float:
    """Return p_rare / (2π − 1) · ``expected``, the bound of the stable units rarely chosen.

    The half-samples are complementary pairs, of any number. ``expected`` is how many rarely chosen
    units one half-sample chooses on average, at most p_rare times their number.

    >>> rare_selections_bound(p_rare=0.1, expected=15.0, threshold=0.75)
    3.0

    References: Shah & Samworth 2013, theorem 1.
    Equation: eq-stability-rare, chapter 15.
    """
    return p_rare / (2 * threshold - 1) * expected
