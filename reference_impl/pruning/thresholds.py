"""Sparsity by a penalty, and how fast it grows: L1's proximal step, soft and hard threshold."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_instance, require_int, require_real
from reference_impl.pruning.masks import keep_highest


def soft_threshold(x: Float[Tensor, "*shape"], threshold: float) -> Float[Tensor, "*shape"]:
    """Return sign(x) · max(|x| − τ, 0), the w that minimises ½ (w − x)² + τ |w|.

    Args:
        x: any shape.
        threshold: τ ≥ 0, in the unit of x.

    Raises:
        TypeError: if ``x`` is no floating-point tensor or ``threshold`` no number.
        ValueError: if ``x`` is empty or not finite, or ``threshold`` negative.

    References:
        Tibshirani (1996), Regression shrinkage and selection via the lasso; Parikh & Boyd (2014),
        Proximal algorithms, section 6.5.2.

    >>> soft_threshold(torch.tensor([3.0, -0.5, 1.0, -2.0]), 1.0).tolist()
    [2.0, 0.0, 0.0, -1.0]

    Equation: eq-sparse-scalar, eq-sparse-soft, chapter 11.
    """
    require_float_tensor("x", x)
    tau = require_real("threshold", threshold, 0)
    return torch.where(x.abs() > tau, x - tau * x.sign(), torch.zeros_like(x))


def hard_threshold(x: Float[Tensor, "*shape"], threshold: float) -> Float[Tensor, "*shape"]:
    """Return x where |x| > τ, else 0: the w that minimises ½ (w − x)² + ½ τ² ‖w‖₀.

    Args:
        x: any shape.
        threshold: τ ≥ 0, in the unit of x.

    Raises:
        TypeError, ValueError: as `soft_threshold`.

    >>> hard_threshold(torch.tensor([3.0, -0.5, 1.0, -2.0]), 1.0).tolist()
    [3.0, 0.0, 0.0, -2.0]

    Equation: eq-sparse-hard, chapter 11.
    """
    require_float_tensor("x", x)
    tau = require_real("threshold", threshold, 0)
    return torch.where(x.abs() > tau, x, torch.zeros_like(x))


def proximal_step(
    weight: Float[Tensor, "*shape"],
    gradient: Float[Tensor, "*shape"],
    *,
    rate: float,
    penalty: float,
) -> Float[Tensor, "*shape"]:
    """Return S(w − η g, η λ): a gradient step on L, then the soft threshold of λ ‖w‖₁.

    Args:
        weight: w.
        gradient: g, of L without the penalty.
        rate: η > 0.
        penalty: λ ≥ 0, loss per unit of |w|.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if a tensor is empty, not finite or of another shape, or a number out of range.

    References:
        Parikh & Boyd (2014), Proximal algorithms, section 4.2.

    >>> w, g = torch.tensor([1.0, 0.1]), torch.tensor([2.0, 0.0])
    >>> proximal_step(w, g, rate=0.25, penalty=0.5).tolist()
    [0.375, 0.0]

    Equation: eq-sparse-penalty, eq-sparse-model, eq-sparse-proximal, chapter 11.
    """
    require_float_tensor("weight", weight)
    require_float_tensor("gradient", gradient)
    if gradient.shape != weight.shape:
        raise ValueError(
            f"gradient must have the weight's shape {tuple(weight.shape)}, "
            f"got {tuple(gradient.shape)}"
        )
    eta = require_real("rate", rate, 0, open_low=True)
    lam = require_real("penalty", penalty, 0)
    return soft_threshold(weight - eta * gradient, eta * lam)


def cubic_sparsity(step: int, n_steps: int, *, final: float, initial: float = 0.0) -> float:
    """Return s_t = s_f + (s_0 − s_f)(1 − t/n)³, and s_f from step n on.

    Args:
        step: t ≥ 0.
        n_steps: n ≥ 1, over which the sparsity grows.
        final: s_f, in [0, 1).
        initial: s_0, in [0, s_f].

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if one is out of range.

    References:
        Zhu & Gupta (2017), To prune, or not to prune, equation 1.

    >>> [round(cubic_sparsity(t, 4, final=0.8), 4) for t in (0, 1, 2, 4, 9)]
    [0.0, 0.4625, 0.7, 0.8, 0.8]

    Equation: eq-sparse-cubic, eq-sparse-rate, chapter 11.
    """
    t = require_int("step", step, 0)
    n = require_int("n_steps", n_steps, 1)
    s_f = _require_share("final", final)
    s_0 = require_real("initial", initial, 0, s_f)
    return s_f + (s_0 - s_f) * (1 - min(t, n) / n) ** 3


def rounds_to(sparsity: float, share: float) -> int:
    """Return the least r with 1 − (1 − p)^r ≥ s: rounds that drop a share p of what is left.

    Args:
        sparsity: s to reach, in [0, 1).
        share: p dropped each round, in (0, 1).

    Raises:
        TypeError: if an argument is no number.
        ValueError: if one is out of range.

    References:
        Frankle & Carbin (2019), The lottery ticket hypothesis: p = 20 %.

    >>> rounds_to(0.92, 0.2), rounds_to(0.5, 0.5)
    (12, 1)

    Equation: eq-sparse-rounds, chapter 11.
    """
    s = _require_share("sparsity", sparsity)
    p = _require_share("share", share)
    if p == 0:
        raise ValueError("share must be above 0, got 0: nothing would ever go")
    r = max(0, math.floor(math.log1p(-s) / math.log1p(-p)) - 1)
    while -math.expm1(r * math.log1p(-p)) < s - 1e-12:  # 1 - (1 - p) ** r, for a tiny p, too
        r += 1
    return r


def _require_share(name: str, value: float) -> float:
    number = require_real(name, value, 0, 1)
    if number == 1:
        raise ValueError(f"{name} must be below 1, got 1: nothing would be kept")
    return number


def keep_highest_of_each(
    scores: Mapping[str, Float[Tensor, "..."]], sparsity: float
) -> dict[str, Bool[Tensor, "..."]]:
    """Return masks that drop the same share of each tensor's scores: layerwise pruning.

    Args:
        scores: name → the larger, the more worth keeping.
        sparsity: share of each to drop, in [0, 1).

    Raises:
        TypeError: if ``scores`` is no mapping, a score no floating-point tensor, or ``sparsity``
            no number.
        ValueError: if there is none, one is empty or not finite, or ``sparsity`` outside [0, 1).
    """
    require_instance("scores", scores, Mapping)
    if not scores:
        raise ValueError("scores must hold a tensor or more, got none")
    for name, score in scores.items():
        require_float_tensor(f"scores[{name!r}]", score)
    return {name: keep_highest(score, sparsity) for name, score in scores.items()}
