"""Chapter 10: what a wrong distillation loss does to a training (fifteen minutes).

The student of the course on 5,000 images: alone, distilled, distilled with a wrong loss, and
distilled at a higher temperature.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from experiments.measures import answered, logits_of, percent_right
from reference_impl import training
from reference_impl.data import Dataset
from reference_impl.distillation import soft_target_loss
from reference_impl.training import Targets

N_IMAGES, EPOCHS = 5_000, 12
TEMPERATURE, ALPHA = 1.0, 0.9
HOT, HALF = 4.0, 0.5
SEEDS = range(5)
CLASSES = 10


def _soft(student: Tensor, to: Targets, temperature: float = TEMPERATURE) -> Tensor:
    return soft_target_loss(student, to.logits, temperature=temperature)


def _reversed(student: Tensor, to: Targets) -> Tensor:
    """Return T² KL(q ‖ p), weighed by the student."""
    log_p, log_q = (x.div(TEMPERATURE).log_softmax(dim=1) for x in (to.logits, student))
    kl = F.kl_div(log_p, log_q, reduction="batchmean", log_target=True)
    return TEMPERATURE**2 * kl


#: loss → (α, its soft part)
LOSSES: Mapping[str, tuple[float, Callable[[Tensor, Targets], Tensor]]] = {
    "alone": (0.0, _soft),
    "distilled": (ALPHA, _soft),
    "mean over classes": (ALPHA, lambda student, to: _soft(student, to) / CLASSES),
    "reversed": (ALPHA, _reversed),
    "hot": (HALF, partial(_soft, temperature=HOT)),
}


@dataclass(frozen=True)
class Run:
    """One training of a student."""

    loss: str  #: one of `LOSSES`
    seed: int = 0  #: of the initial weights and the order

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return accuracies in percent, and T² KL to the teacher on validation images in nats."""
        alpha, soft = LOSSES[self.loss]

        def objective(student: Tensor, to: Targets) -> Tensor:
            return (1 - alpha) * F.cross_entropy(student, to.labels) + alpha * soft(student, to)

        view = answered("teacher", dataset.train, N_IMAGES)
        recipe = training.Recipe("student", epochs=EPOCHS, learning_rate=1e-2, seed=self.seed)
        student = training.new_student(recipe)
        losses = [*training.student_steps(student, [view], objective, recipe)]
        logits = logits_of(student, dataset)
        teacher = answered("teacher", dataset.validation).logits
        apart = soft_target_loss(logits["validation"], teacher, temperature=TEMPERATURE)
        return {
            "first_loss": losses[0],
            "last_loss": sum(losses[-20:]) / 20,
            "validation": percent_right(logits["validation"], dataset.validation.labels),
            "test": percent_right(logits["test"], dataset.test.labels),
            "to_teacher": apart.item(),
        }


PLAN = [Run(loss, seed) for seed in SEEDS for loss in LOSSES]
