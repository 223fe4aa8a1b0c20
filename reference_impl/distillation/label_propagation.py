"""The article's formula P_S(y|x) = Σ_x' P_T(x'|x) P_S(y|x'), taken at its word, and its repair.

P_T(x'|x) is a probability over *inputs* x' given an input x: a Markov kernel, not a classifier. On
m inputs it is a matrix K whose rows sum to 1, and the formula is f = K f.
"""

from typing import Annotated

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from reference_impl.checked import (
    Count,
    Finite,
    FromZero,
    Positive,
    Where,
    Within,
    checked,
    widened,
)


def _sum_to_one(kernel: Float[Tensor, "m k"]) -> bool:
    return bool(((kernel.double().sum(dim=1) - 1).abs() <= 1e-5).all())


Inputs = Finite[Tensor, "m _ ..."]  # of any shape
Transitions = Annotated[Float[Tensor, "m k"], Within(0), Where("rows that sum to 1", _sum_to_one)]
Kernel = Annotated[Float[Tensor, "m m"], Within(0), Where("rows that sum to 1", _sum_to_one)]
Rows = Finite[Tensor, "m classes"]  # class probabilities of every input
Labelled = Annotated[
    Bool[Tensor, " m"], Where("true for an input or more", lambda m: bool(m.any()))
]


@checked
def gaussian_kernel(x: Inputs, *, width: Positive) -> Float[Tensor, "m m"]:
    """Return K_ij = w_ij / Σ_k w_ik with w_ij = exp(−‖x_i − x_j‖² / (2 σ²)); σ is the width."""
    kernel = torch.softmax(-(_distances(x) / width).square() / 2, dim=1)
    return kernel.to(widened(x).dtype)


@checked
def neighbour_kernel(x: Inputs, *, neighbours: Count) -> Float[Tensor, "m m"]:
    """Return K_ij = w_ij / Σ_k w_ik; w_ij is 1 if i is among j's nearest or j among i's, else 0.

    An input is not its own neighbour. If two are equally far, the first is nearer.
    """
    if neighbours >= len(x):
        raise ValueError(f"neighbours must be below the {len(x)} inputs of x, got {neighbours}")
    distances = _distances(x).fill_diagonal_(torch.inf)
    nearest = distances.argsort(dim=1, stable=True)[:, :neighbours]
    chosen = torch.zeros_like(distances).scatter_(1, nearest, 1.0)
    weights = torch.maximum(chosen, chosen.T).to(widened(x).dtype)
    return weights / weights.sum(dim=1, keepdim=True)


@checked
def cascade(kernel: Transitions, f: Finite[Tensor, "k classes"]) -> Float[Tensor, "m classes"]:
    """Return K f, the total probability Σ_x' P(x'|x) P(y|x').

    >>> import torch
    >>> cascade(torch.tensor([[0.9, 0.1]]), torch.tensor([[1.0, 0.0], [0.5, 0.5]]))
    tensor([[0.9500, 0.0500]])

    That is P(y|x) if y depends on x through x' alone. Row i of K is the distribution of x' given
    input i, row j of f the class probabilities given x' = j.

    Raises:
        TypeError: if ``f`` has another dtype than ``kernel``.

    Equation: eq-distill-article, appendix article_distillation.
    """
    if f.dtype != kernel.dtype:
        raise TypeError(f"f must have the dtype of kernel, {kernel.dtype}, got {f.dtype}")
    return kernel @ f


@checked
def iterated_cascade(kernel: Kernel, f: Rows, n_steps: FromZero) -> Float[Tensor, "m classes"]:
    """Return Kⁿ f, the article's formula applied ``n_steps`` times.

    >>> import torch
    >>> kernel = torch.tensor([[0.5, 0.5], [0.25, 0.75]])
    >>> iterated_cascade(kernel, torch.eye(2), 50)  # the input is forgotten
    tensor([[0.3333, 0.6667],
            [0.3333, 0.6667]])

    If every input reaches every other, and not in step with a clock (K is irreducible and
    aperiodic), each row tends to the same distribution, πᵀ f: the input is forgotten.

    Equation: eq-distill-collapse, appendix article_distillation.
    """
    for _ in range(n_steps):
        f = cascade.__wrapped__(kernel, f)
    return f


@checked
def stationary_distribution(kernel: Kernel) -> Float[Tensor, " m"]:
    """Return π with πᵀ K = πᵀ and Σ π = 1, the share of time a walk by K spends at each input.

    It is right also where an input is left once in 10²⁰ steps: nothing is subtracted.

    Raises:
        ValueError: if there is more than one such π: some inputs never reach some others.

    References: Grassmann et al. 1985, "Regenerative analysis and steady state distributions for
    Markov chains".
    """
    is_goal = _reachable(kernel).all(dim=0)
    if not is_goal.any():
        raise ValueError("kernel must have one π, got one where all others reach no common input")
    order = (~is_goal).to(torch.uint8).argsort(stable=True)  # first one that all others reach
    pi = kernel.new_ones(1, dtype=torch.float64)
    for into, _ in reversed(_left_out(kernel.double()[order][:, order], 1)):
        pi = torch.cat([pi, (pi @ into)[None]])
    return (pi / pi.sum())[order.argsort()].to(kernel.dtype)


@checked
def propagate_labels(
    kernel: Kernel, f: Rows, labelled: Labelled, n_steps: FromZero
) -> Float[Tensor, "m classes"]:
    """Return f after ``n_steps`` times f ← K f, with the labelled rows put back each time.

    The labelled rows of f hold the truth, the others anything.

    References: Zhu & Ghahramani 2002, "Learning from labeled and unlabeled data with label
    propagation".
    """
    known = f
    for _ in range(n_steps):
        f = torch.where(labelled[:, None], known, cascade.__wrapped__(kernel, f))
    return f


@checked
def harmonic_solution(kernel: Kernel, f: Rows, labelled: Labelled) -> Float[Tensor, "m classes"]:
    """Return where `propagate_labels` ends: f_u = (I − K_uu)⁻¹ K_ul f_l, and f_l as it is.

    >>> import torch
    >>> walk = torch.tensor([[0.0, 1, 0], [0.5, 0, 0.5], [0, 1, 0]])
    >>> ends = torch.tensor([True, False, True])
    >>> harmonic_solution(walk, torch.tensor([[1.0, 0], [0, 0], [0, 1]]), ends)[1]
    tensor([0.5000, 0.5000])

    Row i is the distribution of the label at which a walk by K from input i first arrives. Only
    the labelled rows (l) of f are read; the others are u. It is right also where an input is left
    once in 10²⁰ steps, and I − K_uu in floating point is noise.

    Raises:
        ValueError: if an input reaches no labelled one.

    References: Zhu et al. 2003, "Semi-supervised learning using Gaussian fields and harmonic
    functions", equation 5.
    Equation: eq-distill-harmonic, appendix label_propagation.
    """
    order = (~labelled).to(torch.uint8).argsort(stable=True)  # first the labelled ones
    solution = f[labelled].double()
    for _, away in reversed(_left_out(kernel.double()[order][:, order], len(solution))):
        solution = torch.cat([solution, away[None] @ solution])
    return solution[order.argsort()].to(f.dtype)


@checked
def spread_labels(
    kernel: Kernel,
    f: Rows,
    labelled: Labelled,
    *,
    spread: Annotated[float, Within(0, 1, below=True)],
) -> Float[Tensor, "m classes"]:
    """Return (1 − a) (I − a K)⁻¹ f₀, the fixed point of f ← a K f + (1 − a) f₀: a soft clamp.

    >>> import torch
    >>> flip, labelled = torch.tensor([[0.0, 1], [1, 0]]), torch.tensor([True, False])
    >>> spread_labels(flip, torch.tensor([[1.0], [0]]), labelled, spread=0.5)
    tensor([[0.6667],
            [0.3333]])

    f₀ holds the labelled rows of f, zeros elsewhere, and a = ``spread`` is the weight of the
    neighbours' opinion. A known label may be overruled.

    References: Zhou et al. 2004, "Learning with local and global consistency", with D⁻¹ W in the
    place of D^(−1/2) W D^(−1/2).
    Equation: eq-distill-spread, appendix label_propagation.
    """
    k, a = kernel.double(), spread
    k = k / k.sum(dim=1, keepdim=True)  # to 1 in float64 too, so that I − a K is not singular
    y = torch.where(labelled[:, None], f, 0).double()
    solution: Tensor = torch.linalg.solve(torch.eye(len(k)).to(k) - a * k, (1 - a) * y)
    return solution.to(f.dtype)


def _distances(x: Float[Tensor, "m _ ..."]) -> Float[Tensor, "m m"]:
    """Return ‖x_i − x_j‖ in float64, without the cancellation of ‖x_i‖² − 2 ⟨x_i, x_j⟩ + ‖x_j‖²."""
    rows = x.double().flatten(1)
    return torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")


def _left_out(
    kernel: Float[Tensor, "m m"], n_kept: int
) -> list[tuple[Float[Tensor, " n"], Float[Tensor, " n"]]]:
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
            raise ValueError("kernel must lead every input to one that is kept, got a share of 0")
        away = away / leaving
        steps.append((into / leaving, away))
        kernel = kernel[:-1, :-1] + torch.outer(into, away)
    return steps


def _reachable(kernel: Float[Tensor, "m m"]) -> Bool[Tensor, "m m"]:
    """Return whether input i leads to input j in any number of steps, 0 included."""
    reached = (kernel > 0) | torch.eye(len(kernel), dtype=torch.bool, device=kernel.device)
    while True:
        paths = reached.to(torch.float32)
        wider = paths @ paths > 0  # paths of twice the length
        if torch.equal(wider, reached):
            return reached
        reached = wider
