"""How many units get into a stable choice without deserving it: bounds on their expected number.

The examples are independent draws from one distribution, and every half-sample is treated alike.
With V the number of *null* units among those chosen in a share ≥ π > ½ of the half-samples, each of
which chooses q of p on average (Meinshausen & Bühlmann),

    E[V] ≤ q² / ((2π − 1) p),

if the nulls are exchangeable and the choice is no worse than one at random. With L the units whose
own probability of being chosen from one half-sample is at most θ (Shah & Samworth), for
complementary pairs and without any assumption on units or scores,

    E|Ŝ ∩ L| ≤ θ / (2π − 1) · E|Ŝ_half ∩ L|.
"""

import math

from reference_impl.checks import require_int, require_real

MOST_UNITS = 2**53
"""The largest p: up to there a float tells each whole number from the next."""


def false_selections_bound(q: float, p: int, threshold: float) -> float:
    """Return q² / ((2π − 1) p), the bound of the expected number of stable nulls.

    It assumes that the examples are independent draws, that the nulls are exchangeable, and that
    the choice is no worse than one at random: a null is chosen with a probability of at most q/p.

    >>> false_selections_bound(q=30, p=300, threshold=0.75)
    6.0

    Args:
        q: units chosen from a half-sample, on average; in (0, p].
        p: units, at most 2⁵³.
        threshold: π, in (½, 1].

    Raises:
        TypeError: if an argument is no number, or ``p`` no integer.
        ValueError: if one is out of range.

    References:
        Meinshausen & Bühlmann (2010), theorem 1.

    Equation: eq-stability-bound, chapter 13.
    """
    p = require_int("p", p, 1, MOST_UNITS)
    q = require_real("q", q, 0, p, open_low=True)
    pi = require_real("threshold", threshold, 0.5, 1, open_low=True)
    return q**2 / ((2 * pi - 1) * p)


def largest_choice(p: int, threshold: float, bound: float) -> int:
    """Return ⌊√(bound · (2π − 1) p)⌋, at most p: the largest q that keeps to the bound.

    It is 0 if even one unit chosen from each half-sample is too many.

    >>> largest_choice(p=300, threshold=0.75, bound=6.0)
    30

    Args:
        p: units, at most 2⁵³.
        threshold: π, in (½, 1].
        bound: on the expected number of stable nulls, above 0.

    Raises:
        TypeError: if an argument is no number, or ``p`` no integer.
        ValueError: if one is out of range.

    Equation: eq-stability-choice, chapter 13.
    """
    p = require_int("p", p, 1, MOST_UNITS)
    pi = require_real("threshold", threshold, 0.5, 1, open_low=True)
    bound = require_real("bound", bound, 0, open_low=True)
    root = math.sqrt(bound) * math.sqrt((2 * pi - 1) * p)  # the product of all may overflow
    q = min(math.floor(root) + 1, p)  # a root may be rounded down
    slack = bound * (1 + 1e-12)
    while q > 0 and false_selections_bound(q, p, pi) > slack:
        q -= 1
    return q


def rare_selections_bound(theta: float, expected: float, threshold: float) -> float:
    """Return θ / (2π − 1) · E|Ŝ_half ∩ L|, the bound of the stable units that are rarely chosen.

    L holds the units whose probability of being chosen from one half-sample is at most θ. It holds
    for every score, if the examples are independent draws from one distribution and the
    half-samples complementary pairs, of any number.

    >>> rare_selections_bound(theta=0.1, expected=15.0, threshold=0.75)
    3.0

    Args:
        theta: θ, in [0, 1].
        expected: E|Ŝ_half ∩ L|: how many units of L a half-sample chooses on average, 0 or more.
            It is at most q, and at most θ |L|.
        threshold: π, in (½, 1].

    Raises:
        TypeError: if an argument is no number.
        ValueError: if one is out of range.

    References:
        Shah & Samworth (2013), theorem 1.

    Equation: eq-stability-rare, chapter 13.
    """
    theta = require_real("theta", theta, 0, 1)
    expected = require_real("expected", expected, 0)
    pi = require_real("threshold", threshold, 0.5, 1, open_low=True)
    return theta / (2 * pi - 1) * expected
