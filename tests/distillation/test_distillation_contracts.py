"""Every public function of the family refuses what its signature forbids."""

from functools import partial

import torch
from contracts import Contracts

from reference_impl import distillation

Z = torch.tensor([[1.0, 2.0, 3.0], [3.0, -1.0, 0.0], [0.5, 0.0, 2.0]])
BOTH = {"student": Z, "teacher": Z.flip(0)}
MAPS = {"student": Z[None, None], "teacher": Z[None, None].exp()}
LABELS = torch.arange(3)
KERNEL = Z.softmax(1)
WALK = {"kernel": KERNEL, "f": Z}
KNOWN = WALK | {"labelled": LABELS < 2}
DECOUPLED = partial(distillation.decoupled_loss, **BOTH, labels=LABELS, temperature=2.0)
OBJECTIVE = partial(
    distillation.distillation_objective, **BOTH, labels=LABELS, temperature=2.0, alpha=0.5
)

CALLS = [
    partial(distillation.soften, logits=Z, temperature=2.0),
    partial(distillation.soft_target_loss, **BOTH, temperature=2.0),
    partial(distillation.soft_cross_entropy, **BOTH, temperature=2.0),
    partial(distillation.logit_matching_loss, **BOTH),
    OBJECTIVE,
    partial(distillation.effective_alpha, alpha=0.5, n_classes=10),
    partial(distillation.DecoupledParts, target=Z[0], others=Z[1], p_target=Z[2]),
    partial(distillation.decoupled_parts, **BOTH, labels=LABELS, temperature=2.0),
    DECOUPLED,
    partial(distillation.hint_loss, **BOTH),
    partial(distillation.attention_map, features=Z[None, None]),
    partial(distillation.attention_transfer_loss, **MAPS),
    partial(distillation.similarity_preserving_loss, **BOTH),
    partial(distillation.distance_relation_loss, **BOTH),
    partial(distillation.angle_relation_loss, **BOTH),
    partial(distillation.correlation_loss, **BOTH),
    partial(distillation.pair_scores, **BOTH),
    partial(distillation.contrastive_loss, scores=Z),
    partial(distillation.information_bound, scores=Z),
    partial(distillation.gaussian_kernel, x=Z, width=1.0),
    partial(distillation.neighbour_kernel, x=Z, neighbours=1),
    partial(distillation.cascade, **WALK),
    partial(distillation.iterated_cascade, **WALK, n_steps=2),
    partial(distillation.stationary_distribution, kernel=KERNEL),
    partial(distillation.propagate_labels, **KNOWN, n_steps=2),
    partial(distillation.harmonic_solution, **KNOWN),
    partial(distillation.spread_labels, **KNOWN, spread=0.5),
    partial(distillation.best_class_bias, logits=Z, labels=LABELS, index=1),
    partial(distillation.unit, x=Z),
]


ISLANDS = torch.block_diag(KERNEL, KERNEL)
TINY = torch.tensor([[1, 0, 0], [0, 1, 1e-200], [1e-200, 1, 0]], dtype=torch.float64)
"""A way out whose two steps together underflow."""
TEACHER = Z[:, :2].softmax(1)
"""Over labels, not inputs: the type error in the article's formula. Rows sum to 1."""
ONE, TWO = torch.arange(3) < 1, torch.arange(6) < 2
LEADS = "kernel must lead every input to one that is kept"

REFUSED = [
    (lambda: DECOUPLED(labels=LABELS + 1), "labels must be in 0 … 2, got 3"),
    (lambda: OBJECTIVE(labels=LABELS + 1), "labels must be in 0 … 2, got 3"),
    (lambda: OBJECTIVE(labels=LABELS - 1), "labels must be in 0 … 2, got -1"),
    (lambda: OBJECTIVE(labels=LABELS - 100), "labels must be in 0 … 2, got -100"),  # torch skips it
    (lambda: distillation.soft_target_loss(Z, -Z, temperature=1e-300), "give a finite result, got"),
    (lambda: distillation.soft_cross_entropy(Z, -Z, temperature=1e-300), "give a finite result"),
    (lambda: distillation.logit_matching_loss(1e30 * Z, Z), "must give a finite result, got inf"),
    (lambda: DECOUPLED(student=Z[:, :1], teacher=Z[:, :1]), "student must be of two classes"),
    (lambda: distillation.distance_relation_loss(0 * Z, Z), "student must have examples that"),
    (lambda: distillation.distance_relation_loss(Z, 0 * Z), "teacher must .* got 3 equal ones"),
    (lambda: distillation.angle_relation_loss(Z[:2], Z[:2]), "3 examples or more, got 2"),
    (lambda: distillation.similarity_preserving_loss(Z[:1], Z[:1]), "of two examples or more"),
    (lambda: distillation.correlation_loss(Z[:1], Z[:1]), "of two examples and two classes"),
    (lambda: distillation.correlation_loss(Z[:, :1], Z[:, :1]), "of two examples and two classes"),
    (lambda: distillation.contrastive_loss(Z[:1, :1]), "scores must be of two examples or more"),
    (lambda: distillation.iterated_cascade(TEACHER, TEACHER, 1), r"kernel must be \(m, m\)"),
    (lambda: distillation.cascade(TEACHER, TEACHER), "kernel must have the k = 3 of f"),
    (lambda: distillation.cascade(0.99 * KERNEL, Z), "kernel must be rows that sum to 1"),
    (lambda: distillation.cascade(KERNEL, Z.double()), "f must have the dtype of kernel"),
    (lambda: distillation.harmonic_solution(KERNEL, Z, LABELS > 2), "labelled must be true for"),
    (lambda: distillation.harmonic_solution(ISLANDS, torch.cat([Z, Z]), TWO), LEADS),
    (lambda: distillation.harmonic_solution(TINY, torch.eye(3).double(), ONE), LEADS),
    (lambda: distillation.stationary_distribution(ISLANDS), "kernel must have one π"),
    (lambda: distillation.stationary_distribution(torch.eye(3)), "kernel must have one π"),
    (lambda: distillation.neighbour_kernel(Z, neighbours=3), "must be below the 3 inputs"),
    (lambda: distillation.best_class_bias(Z, LABELS, 3), "index must be below 3, got 3"),
    (lambda: distillation.best_class_bias(Z, LABELS + 1, 1), r"labels must be in 0 … 2, got 3"),
]


class TestContracts(Contracts):
    face, calls, refused, errors = distillation, CALLS, REFUSED, (TypeError, ValueError)
