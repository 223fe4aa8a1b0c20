"""Every loss of distillation against the same written directly in torch, and a training step.

The direct formulations check nothing and serve no half precision; they are what one writes for one
training. Forward and backward, a batch of 128.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.harness import Case
from reference_impl.data import Examples
from reference_impl.distillation import (
    contrastive,
    decoupled,
    distillation_objective,
    features,
    relations,
)
from reference_impl.distillation import (
    soft_targets as logits,
)
from reference_impl.models import ConvTeacher
from reference_impl.training import Recipe, Targets, new_student, student_steps, view

BATCH = 128
CLASSES = 10
T = 4.0
ALPHA = 0.9
TARGET = 1.1
STEP_TARGET = 1.25

Loss = Callable[[Tensor, Tensor], Tensor]


def drawn(*shape: int) -> Tensor:
    """Return standard normal numbers, the same for the same shape."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


LABELS = torch.arange(BATCH) % CLASSES


def kl(z: Tensor, v: Tensor) -> Tensor:
    """Return T² KL with torch's own divergence."""
    return T**2 * F.kl_div(F.log_softmax(z / T, 1), F.softmax(v / T, 1), reduction="batchmean")


def soft_cross_entropy(z: Tensor, v: Tensor) -> Tensor:
    """Return −Σ p log q."""
    return -(F.softmax(v / T, 1) * F.log_softmax(z / T, 1)).sum(1).mean()


def objective(z: Tensor, v: Tensor) -> Tensor:
    """Return Hinton's objective."""
    return (1 - ALPHA) * F.cross_entropy(z, LABELS) + ALPHA * kl(z, v)


def logit_matching(z: Tensor, v: Tensor) -> Tensor:
    """Return half the mean square of centred gaps, as the formula has it."""
    gap = (z - z.mean(1, keepdim=True)) - (v - v.mean(1, keepdim=True))
    return gap.square().sum(1).mean() / (2 * CLASSES)


def decoupled_kd(z: Tensor, v: Tensor) -> Tensor:
    """Return DKD as its authors' code computes it: two masks, and −1000 for the right class."""
    right = F.one_hot(LABELS, CLASSES).bool()

    def pair(logits: Tensor) -> Tensor:
        p = F.softmax(logits / T, 1)
        return torch.stack([(p * right).sum(1), (p * ~right).sum(1)], dim=1)

    target = F.kl_div(pair(z).log(), pair(v), reduction="batchmean")
    p = F.softmax(v / T - 1000.0 * right, 1)
    log_q = F.log_softmax(z / T - 1000.0 * right, 1)
    return T**2 * (target + 8 * F.kl_div(log_q, p, reduction="batchmean"))


def attention(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared distance of normalized maps."""
    mine, theirs = (F.normalize(f.square().sum(1).flatten(1)) for f in (a, b))
    return (mine - theirs).square().sum(1).mean()


def similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return the squared distance of normalized Gram matrices."""
    return (F.normalize(a @ a.T) - F.normalize(b @ b.T)).square().sum() / len(a) ** 2


def distances(a: Tensor, b: Tensor) -> Tensor:
    """Return RKD's first loss."""
    d, e = F.pdist(a), F.pdist(b)
    return F.smooth_l1_loss(d / d.mean(), e / e.mean())


def angles(a: Tensor, b: Tensor) -> Tensor:
    """Return RKD's second loss, as its authors' code: mean over all n³ triples."""
    mine, theirs = (
        torch.bmm(e, e.mT) for e in (F.normalize(f[None] - f[:, None], dim=2) for f in (a, b))
    )
    return F.smooth_l1_loss(mine, theirs)


def correlations(z: Tensor, v: Tensor) -> Tensor:
    """Return DIST: cosines of what is centred."""
    q, p = F.softmax(z / T, 1), F.softmax(v / T, 1)

    def rho(x: Tensor, y: Tensor) -> Tensor:
        return F.cosine_similarity(x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)).mean()

    return T**2 * ((1 - rho(q, p)) + (1 - rho(q.T, p.T)))


def contrast(a: Tensor, b: Tensor) -> Tensor:
    """Return CRD with the batch as the source of other examples."""
    odds = F.normalize(a) @ F.normalize(b).T / 0.1 - math.log(BATCH - 1)
    same = torch.eye(BATCH, dtype=torch.bool)
    others = F.logsigmoid(-odds).masked_fill(same, 0).sum() / BATCH
    return -F.logsigmoid(odds.diagonal()).mean() - others


def ours() -> dict[str, Loss]:
    """Return this package's losses of (student, teacher)."""
    return {
        "soft targets": lambda z, v: logits.soft_target_loss(z, v, temperature=T),
        "soft cross-entropy": lambda z, v: logits.soft_cross_entropy(z, v, temperature=T),
        "objective": lambda z, v: distillation_objective(z, v, LABELS, temperature=T, alpha=ALPHA),
        "logit matching": logits.logit_matching_loss,
        "decoupled": lambda z, v: decoupled.decoupled_loss(
            z, v, LABELS, temperature=T, others_weight=8.0
        ),
        "correlation": lambda z, v: relations.correlation_loss(z, v, temperature=T),
        "hint": features.hint_loss,
        "attention": features.attention_transfer_loss,
        "similarity": relations.similarity_preserving_loss,
        "distances": relations.distance_relation_loss,
        "angles": relations.angle_relation_loss,
        "contrastive": lambda a, b: contrastive.contrastive_loss(contrastive.pair_scores(a, b)),
    }


DIRECT: dict[str, Loss] = {
    "soft targets": kl,
    "soft cross-entropy": soft_cross_entropy,
    "objective": objective,
    "logit matching": logit_matching,
    "decoupled": decoupled_kd,
    "correlation": correlations,
    "hint": F.mse_loss,
    "attention": attention,
    "similarity": similarity,
    "distances": distances,
    "angles": angles,
    "contrastive": contrast,
}

SHAPES = {
    "hint": ((BATCH, 128, 7, 7), (BATCH, 128, 7, 7)),  # the student's after its adapter
    "attention": ((BATCH, 32, 7, 7), (BATCH, 128, 7, 7)),
    "similarity": ((BATCH, 32), (BATCH, 256)),
    "distances": ((BATCH, 32), (BATCH, 256)),
    "angles": ((BATCH, 32), (BATCH, 256)),
    "contrastive": ((BATCH, 128), (BATCH, 128)),
}
"""Shapes of the two networks' features, the student's first; other losses take logits."""

SLOW = frozenset({"hint", "attention", "angles"})


def problem(name: str) -> tuple[Tensor, Tensor]:
    """Return the student's output, which wants a gradient, and the teacher's."""
    mine, theirs = SHAPES.get(name, ((BATCH, CLASSES), (BATCH, CLASSES)))
    return (2 * drawn(*mine)).requires_grad_(), drawn(*theirs, 1)[..., 0]


def gradient(loss: Loss, name: str, times: int = 1) -> Tensor:
    """Return the student's gradient, computed ``times`` times."""
    student, teacher = problem(name)
    for _ in range(times):
        (found,) = torch.autograd.grad(loss(student, teacher), student)
    return found


def cases() -> Iterator[Case]:
    """Yield one case for each loss, and the training step."""
    for name, loss in ours().items():
        times = 1 if name in SLOW else 20
        yield Case(
            f"distillation loss, {name}, batch {BATCH}",
            "the same in torch",
            TARGET,
            partial(gradient, loss, name, times),
            partial(gradient, DIRECT[name], name, times),
            rounds=101,
        )
    yield step_case()


def step_case(n_steps: int = 8) -> Case:
    """Return a distilled epoch with cached logits against a plain loop on labels."""
    images = torch.randint(256, (BATCH * n_steps, 1, 28, 28)).float() / 255
    examples = Examples(images, torch.arange(BATCH * n_steps) % CLASSES)
    seen = view(ConvTeacher().eval(), examples)
    recipe = Recipe("student", epochs=1, batch_size=BATCH)
    taught, plain = new_student(recipe), new_student(recipe)
    optimizer = torch.optim.AdamW(plain.parameters(), fused=True)

    def mixed(z: Tensor, to: Targets) -> Tensor:
        return distillation_objective(z, to.logits, to.labels, temperature=T, alpha=ALPHA)

    def distilled() -> list[float]:
        return list(student_steps(taught, [seen], mixed, recipe))

    def on_labels() -> list[float]:
        losses = []
        plain.train()
        order = torch.randperm(len(images))
        for part in order.split(BATCH):
            loss = F.cross_entropy(plain(images[part]), examples.labels[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    name = f"distilled training step with cached logits, batch {BATCH}"
    return Case(name, "a plain step on labels", STEP_TARGET, distilled, on_labels)
