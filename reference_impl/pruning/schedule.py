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
    """Return s_t = s_f + (s_0 − s_f)(1 − t/n)³, and s_f from step n on; s_0 ≤ s_f.

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
    """Return ⌈log(1 − s) / log(1 − p)⌉, the least r with 1 − (1 − p)^r ≥ s.

    Each round drops the share p of what is left.

    >>> rounds_to(0.92, 0.2), rounds_to(0.5, 0.5)
    (12, 1)

    References: Frankle & Carbin 2019, "The lottery ticket hypothesis": p = 20 %.
    Equation: eq-sparse-rounds, chapter 13.
    """
    slack = 1e-12  # where r rounds reach s exactly, rounding must not add one
    return math.ceil(math.log1p(slack - sparsity) / math.log1p(-share))
