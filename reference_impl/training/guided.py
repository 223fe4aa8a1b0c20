"""Methods of distillation, ready to train with: where they look, what they adapt, what they add.

Each adds a weight times one loss to the cross-entropy of the labels. The student's hidden features
come from a chain that is tapped, the teacher's from a view that carries them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checks import require_instance, require_int, require_real
from reference_impl.compress import Tapped, outputs_at
from reference_impl.data import Examples
from reference_impl.distillation import (
    angle_relation_loss,
    attention_transfer_loss,
    contrastive_loss,
    correlation_loss,
    decoupled_loss,
    distance_relation_loss,
    hint_loss,
    pair_scores,
    similarity_preserving_loss,
    soft_target_loss,
)
from reference_impl.models import Network
from reference_impl.training.distil import Objective, Targets, View, view

MAPS = "relu3"
"""The place of feature maps, 7×7 positions in the student and in the teacher."""

MEANS = "flatten"
"""The place of the features that the head takes: the mean of each channel."""

FEW = 32
"""RKD's angles are taken between so many examples of a batch: n³ of them is too much for 128."""

SHARED = 64
"""Numbers behind CRD's adapters."""

Outputs = Mapping[str, Tensor]


class Guided(nn.Module):
    """A student with the adapters that a method needs while it trains.

    Args:
        student: its own modules are trained; nothing else of this one is kept.
        adapters: name → module, trained too.
        names: the places in the student's chain that the method looks at.
    """

    def __init__(
        self, student: Network, adapters: Mapping[str, nn.Module], names: tuple[str, ...]
    ) -> None:
        """Tap the student."""
        super().__init__()
        require_instance("student", student, Network)
        self.tapped = Tapped(student.chain(), names)
        self.adapters = nn.ModuleDict(adapters)

    def forward(self, images: Float[Tensor, "n 1 28 28"]) -> dict[str, Tensor]:
        """Return place → output; the logits under ``"logits"``."""
        outputs: dict[str, Tensor] = self.tapped(images)
        return outputs | {"logits": outputs[self.tapped.last]}


@dataclass(frozen=True)
class Method:
    """One way to distil.

    Args:
        loss: (student's outputs, targets, adapters) → scalar.
        places: where it looks, in both networks; none if the logits are enough.
        adapters: makes the modules that fit the student's features to the teacher's.
    """

    loss: Callable[[Outputs, Targets, nn.ModuleDict], Tensor]
    places: tuple[str, ...] = ()
    adapters: Callable[[], dict[str, nn.Module]] = field(default=dict)

    def guide(self, student: Network, *, seed: int) -> Guided:
        """Return the student with new adapters, drawn from the seed."""
        require_int("seed", seed, 0, 2**63 - 1)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            return Guided(student, self.adapters(), self.places)

    def objective(self, guided: Guided, weight: float) -> Objective:
        """Return CE(y, softmax(z)) + w · loss, of the outputs of ``guided``."""
        w = require_real("weight", weight, 0)

        def objective(outputs: Outputs, targets: Targets) -> Tensor:
            hard = F.cross_entropy(outputs["logits"], targets.labels)
            return hard + w * self.loss(outputs, targets, guided.adapters)

        return objective


def view_with_features(teacher: Network, examples: Examples, names: tuple[str, ...]) -> View:
    """Return the view of the images as they are, with the teacher's features in half precision."""
    plain = view(teacher, examples)
    found = outputs_at(teacher.chain(), names, examples.images)
    return replace(plain, features={name: found[name].half() for name in names})


def _logits(
    loss: Callable[[Tensor, Tensor], Tensor], outputs: Outputs, to: Targets, _: nn.ModuleDict
) -> Tensor:
    return loss(outputs["logits"], to.logits)


def _features(
    loss: Callable[[Tensor, Tensor], Tensor],
    place: str,
    outputs: Outputs,
    to: Targets,
    _: nn.ModuleDict,
) -> Tensor:
    return loss(outputs[place], to.features[place])


def _decoupled(outputs: Outputs, to: Targets, _: nn.ModuleDict) -> Tensor:
    return decoupled_loss(
        outputs["logits"], to.logits, to.labels, temperature=1.0, others_weight=1.0
    )


def _hint(outputs: Outputs, to: Targets, adapters: nn.ModuleDict) -> Tensor:
    return hint_loss(adapters["student"](outputs[MAPS]), to.features[MAPS])


def _relations(student: Tensor, teacher: Tensor) -> Tensor:
    angles = angle_relation_loss(student[:FEW], teacher[:FEW])
    return distance_relation_loss(student, teacher) + 2 * angles  # 1 : 2, as in the paper


def _contrast(outputs: Outputs, to: Targets, adapters: nn.ModuleDict) -> Tensor:
    student = adapters["student"](outputs[MEANS])
    teacher = adapters["teacher"](to.features[MEANS].to(student.dtype))
    return contrastive_loss(pair_scores(student, teacher))


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "soft targets": Method(partial(_logits, partial(soft_target_loss, temperature=1.0))),
        "decoupled": Method(_decoupled),
        "correlations": Method(partial(_logits, correlation_loss)),
        "hint": Method(_hint, (MAPS,), lambda: {"student": nn.Conv2d(32, 128, 1)}),
        "attention": Method(partial(_features, attention_transfer_loss, MAPS), (MAPS,)),
        "similarities": Method(partial(_features, similarity_preserving_loss, MAPS), (MAPS,)),
        "distances, angles": Method(partial(_features, _relations, MEANS), (MEANS,)),
        "contrast": Method(
            _contrast,
            (MEANS,),
            lambda: {"student": nn.Linear(32, SHARED), "teacher": nn.Linear(256, SHARED)},
        ),
    }
)
"""Name → method, for `ConvStudent` under `ConvTeacher`."""
