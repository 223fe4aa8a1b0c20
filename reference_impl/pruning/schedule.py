"""How fast sparsity grows: along a cubic curve, or round by round."""

import math
from typing import Annotated

from reference_impl.checked import Count, FromZero, Within, checked
from reference_impl.pruning.masks import Sparsity

DroppedEachRound = Annotated[float, Within(0, 1, above=True, below=True)]


@checked
def cubic_sparsity(
    step: FromZero, n_steps: Count, *, final: Sparsity, initial: Sparsity = 0.0
) -> float:
    """Return ζ_t = ζ_end + (ζ_0 − ζ_end)(1 − t/N)³, and ζ_end from step N on; ζ_0 ≤ ζ_end.

    >>> [round(cubic_sparsity(t, 4, final=0.8), 4) for t in (0, 1, 2, 4, 9)]
    [0.0, 0.4625, 0.7, 0.8, 0.8]

    References: Zhu & Gupta 2017, "To prune, or not to prune", equation 1.
    Equation: eq-sparse-cubic, eq-sparse-rate, chapter 13.
    """
    if initial > final:
        raise ValueError(f"initial must be in [0, {final}], up to final, got {initial}")
    return final + (initial - final) * (1 - min(step, n_steps) / n_steps) ** 3


@checked
def rounds_to(sparsity: Sparsity, share: DroppedEachRound) -> int:
    """Return ⌈ln(1 − ζ) / ln(1 − share)⌉, the fewest rounds that reach the sparsity ζ.

    Each round drops this share of what is left.

    >>> rounds_to(0.92, 0.2), rounds_to(0.5, 0.5)
    (12, 1)

    References: Frankle & Carbin 2019, "The lottery ticket hypothesis": 20 %.
    Equation: eq-sparse-rounds, chapter 13.
    """
    slack = 1e-12  # where rounds reach ζ exactly, rounding must not add one
    return math.ceil(math.log1p(slack - sparsity) / math.log1p(-share))
