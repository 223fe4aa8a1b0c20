"""The article's formula P_S(y|x) = Σ_x' P_T(x'|x) P_S(y|x'), taken at its word, and its repair.

P_T(x'|x) is a probability over *inputs* x' given an input x: a Markov kernel, no classifier. On m
inputs it is a matrix K whose rows sum to 1, and the formula is f = K f.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_int, require_real, require_tensor
from reference_impl.distillation.kernels import Kernel, require_kernel


def cascade(
    kernel: Float[Tensor, "m k"], f: Float[Tensor, "k classes"]
) -> Float[Tensor, "m classes"]:
    """Return K f, the total probability Σ_x' P(x'|x) P(y|x').

    That is P(y|x) if y depends on x through x' alone.

    Args:
        kernel: K, row i the distribution of x' given input i.
        f: row j the class probabilities given x' = j; in the dtype of K.

    Raises:
        TypeError: if an argument is no tensor of float32 or float64, or their dtypes differ.
        ValueError: if K has a negative entry or a row whose sum is not 1, or the sizes do not fit.

    Equation: eq-distill-article, chapter 08.
    """
    require_kernel("kernel", kernel, square=False)
    _require_rows(f, kernel)
    return kernel @ f


def iterated_cascade(
    kernel: Kernel, f: Float[Tensor, "m classes"], n_steps: int
) -> Float[Tensor, "m classes"]:
    """Return Kⁿ f, the article's formula applied ``n_steps`` times.

    If every input reaches every other, and not in step with a clock (K is irreducible and
    aperiodic), each row tends to the same distribution, πᵀ f: the input is forgotten.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `cascade`, or if ``n_steps`` is below 0.

    Equation: eq-distill-collapse, chapter 08.
    """
    require_kernel("kernel", kernel)
    _require_rows(f, kernel)
    for _ in range(require_int("n_steps", n_steps, 0)):
        f = kernel @ f
    return f


def stationary_distribution(kernel: Kernel) -> Float[Tensor, " m"]:
    """Return π with πᵀ K = πᵀ and Σ π = 1, the share of time a walk by K spends at each input.

    It is right also where an input is left once in 10²⁰ steps: nothing is subtracted.

    Raises:
        TypeError: if ``kernel`` is no floating-point tensor.
        ValueError: if it is no kernel, or has more than one such π: some inputs never reach
            some others.

    References:
        Grassmann, Taksar & Heyman 1985, "Regenerative analysis and steady state distributions for
        Markov chains".
    """
    require_kernel("kernel", kernel)
    is_goal = _reachable(kernel).all(dim=0)
    if not is_goal.any():
        raise ValueError(
            "kernel must have one π, got one where no input is reached from all others"
        )
    order = (~is_goal).to(torch.uint8).argsort(stable=True)  # first one that all others reach
    pi = kernel.new_ones(1, dtype=torch.float64)
    for into, _ in reversed(_left_out(kernel.double()[order][:, order], 1)):
        pi = torch.cat([pi, (pi @ into)[None]])
    return (pi / pi.sum())[order.argsort()].to(kernel.dtype)


def propagate_labels(
    kernel: Kernel,
    f: Float[Tensor, "m classes"],
    labelled: Bool[Tensor, " m"],
    n_steps: int,
) -> Float[Tensor, "m classes"]:
    """Return f after ``n_steps`` times f ← K f, with the labelled rows put back each time.

    Args:
        kernel: K.
        f: class probabilities: the truth in the labelled rows, anything in the others.
        labelled: which rows are known.
        n_steps: number of times.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `cascade`, if no row is labelled, or ``n_steps`` is below 0.

    References:
        Zhu & Ghahramani 2002, "Learning from labeled and unlabeled data with label propagation".
    """
    require_kernel("kernel", kernel)
    _require_rows(f, kernel)
    _require_labelled(labelled, len(kernel))
    known = f
    for _ in range(require_int("n_steps", n_steps, 0)):
        f = torch.where(labelled[:, None], known, kernel @ f)
    return f


def harmonic_solution(
    kernel: Kernel, f: Float[Tensor, "m classes"], labelled: Bool[Tensor, " m"]
) -> Float[Tensor, "m classes"]:
    """Return where `propagate_labels` ends: f_u = (I − K_uu)⁻¹ K_ul f_l, and f_l as it is.

    Row i is the distribution of the label at which a walk by K from input i first arrives. It is
    right also where an input is left once in 10²⁰ steps, and I − K_uu in floating point is noise.

    Args:
        kernel: K.
        f: class probabilities; only the labelled rows are read.
        labelled: which rows are known (l); the others are u.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `cascade`, if no row is labelled, or an input reaches no labelled one.

    References:
        Zhu, Ghahramani & Lafferty 2003, "Semi-supervised learning using Gaussian fields and
        harmonic functions", equation 5.

    Equation: eq-distill-harmonic, chapter 08.
    """
    require_kernel("kernel", kernel)
    _require_rows(f, kernel)
    _require_labelled(labelled, len(kernel))
    lost = ~_reachable(kernel)[:, labelled].any(dim=1)
    if lost.any():
        raise ValueError(
            f"kernel must lead every input to a labelled one, input {lost.nonzero()[0].item()} "
            "reaches none"
        )
    order = (~labelled).to(torch.uint8).argsort(stable=True)  # first the labelled ones
    solution = f[labelled].double()
    for _, away in reversed(_left_out(kernel.double()[order][:, order], len(solution))):
        solution = torch.cat([solution, away[None] @ solution])
    return solution[order.argsort()].to(f.dtype)


def spread_labels(
    kernel: Kernel, f: Float[Tensor, "m classes"], labelled: Bool[Tensor, " m"], *, spread: float
) -> Float[Tensor, "m classes"]:
    """Return (1 − a) (I − a K)⁻¹ y, the fixed point of f ← a K f + (1 − a) y: a soft clamp.

    y holds the labelled rows of f, zeros elsewhere. A known label may be overruled.

    Args:
        kernel: K.
        f: class probabilities; only the labelled rows are read.
        labelled: which rows are known.
        spread: a, the weight of the neighbours' word, in [0, 1).

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: as `cascade`, if no row is labelled, or a is not in [0, 1).

    References:
        Zhou, Bousquet, Lal, Weston & Schölkopf 2004, "Learning with local and global consistency",
        with D⁻¹ W in the place of D^(−1/2) W D^(−1/2).

    Equation: eq-distill-spread, chapter 08.
    """
    require_kernel("kernel", kernel)
    _require_rows(f, kernel)
    _require_labelled(labelled, len(kernel))
    a = require_real("spread", spread, 0, 1)
    if a == 1:
        raise ValueError("spread must be below 1, got 1.0")
    k = kernel.double()
    k = k / k.sum(dim=1, keepdim=True)  # to 1 in float64 too, so that I − a K is not singular
    y = torch.where(labelled[:, None], f, 0).double()
    solution: Tensor = torch.linalg.solve(torch.eye(len(k)).to(k) - a * k, (1 - a) * y)
    return solution.to(f.dtype)


def _require_rows(f: Tensor, kernel: Tensor) -> None:
    require_float_tensor("f", f)
    if f.ndim != 2 or len(f) != kernel.shape[1]:
        raise ValueError(f"f must be ({kernel.shape[1]}, classes), got shape {tuple(f.shape)}")
    if f.dtype != kernel.dtype:
        raise TypeError(f"f must have the dtype of kernel, {kernel.dtype}, got {f.dtype}")


def _require_labelled(labelled: Tensor, m: int) -> None:
    require_tensor("labelled", labelled)
    if labelled.dtype != torch.bool:
        raise TypeError(f"labelled must hold booleans, got dtype {labelled.dtype}")
    if labelled.shape != (m,):
        raise ValueError(f"labelled must have shape ({m},), got {tuple(labelled.shape)}")
    if not labelled.any():
        raise ValueError("labelled must name an input or more, got none")


def _left_out(kernel: Tensor, n_kept: int) -> list[tuple[Tensor, Tensor]]:
    """Watch a walk only while it is at one of the first n inputs; n falls to ``n_kept``.

    For each input left out, from the last: the expected visits to it per visit to each of the
    others, and the distribution of where it is left for. Nothing is subtracted, and the diagonal is
    not read, so that nothing cancels.
    """
    steps = []
    while len(kernel) > n_kept:
        into, away = kernel[:-1, -1], kernel[-1, :-1]
        leaving = away.sum()
        if leaving == 0:
            raise ValueError(
                "kernel must leave every input by more than rounding, got a share of 0"
            )
        away = away / leaving
        steps.append((into / leaving, away))
        kernel = kernel[:-1, :-1] + torch.outer(into, away)
    return steps


def _reachable(kernel: Tensor) -> Tensor:
    """Return whether input i leads to input j in any number of steps, 0 among them."""
    reached = (kernel > 0) | torch.eye(len(kernel), dtype=torch.bool, device=kernel.device)
    while True:
        paths = reached.to(torch.float32)
        wider = paths @ paths > 0  # paths of twice the length
        if torch.equal(wider, reached):
            return reached
        reached = wider
