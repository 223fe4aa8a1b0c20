"""Methods of distillation: where they look, what they adapt, what they add to cross-entropy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl import distillation
from reference_impl.checked import Count, NonNegative, checked
from reference_impl.compress import Tapped, outputs_at
from reference_impl.data import Examples, Seed
from reference_impl.models import Network
from reference_impl.training.distil import Targets, View, view
from reference_impl.training.loop import Objective

MAPS = "relu3"  # the place of feature maps, 7×7 positions in the student and in the teacher
MEANS = "flatten"  # the place of the features that the head takes: the mean of each channel
FEW = 32  # RKD takes angles between this many examples of a batch: 128³ would be too many
SHARED = 64  # features after CRD's adapters, of the student and of the teacher

Outputs = Mapping[str, Tensor]


@checked
class Guided(nn.Module):
    """A student with the adapters (name → module) that a method trains with it, for a while."""

    def __init__(
        self, student: Network, adapters: Mapping[str, nn.Module], names: tuple[str, ...]
    ) -> None:
        """Tap the student at the named places."""
        super().__init__()
        self.tapped = Tapped(student, names)
        self.adapters = nn.ModuleDict(adapters)

    def forward(self, images: Float[Tensor, "n 1 28 28"]) -> dict[str, Tensor]:
        """Return place → output; the logits under ``"logits"``."""
        outputs: dict[str, Tensor] = self.tapped(images)
        return outputs | {"logits": outputs[self.tapped.last]}


@checked
@dataclass(frozen=True)
class Method:
    """One way to distil: a loss, the places where it looks in both networks, and its adapters."""

    loss: Callable[[Outputs, Targets, nn.ModuleDict], Tensor]
    places: tuple[str, ...] = ()
    adapters: Callable[[], dict[str, nn.Module]] = field(default=dict)  #: fit both to each other
    least: Count = 1  #: examples that it compares with each other: a smaller batch has no loss

    @checked
    def guide(self, student: Network, *, seed: Seed) -> Guided:
        """Return the student with new adapters, drawn from the seed."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            return Guided(student, self.adapters(), self.places)

    @checked
    def objective(self, guided: Guided, weight: NonNegative) -> Objective:
        """Return CE(y, softmax(z)) + λ · loss, a function of the outputs of ``guided``."""

        def objective(outputs: Outputs, targets: Targets) -> Tensor:
            hard = F.cross_entropy(outputs["logits"], targets.labels)
            if len(targets.labels) < self.least:  # the last batch of an epoch
                return hard
            return hard + weight * self.loss(outputs, targets, guided.adapters)

        return objective


@checked
def view_with_features(teacher: Network, examples: Examples, names: tuple[str, ...]) -> View:
    """Return the view of the images as they are, with the teacher's features.

    These are in half precision, unless one is too large for it.
    """
    found = outputs_at(teacher, names, examples.images)
    features = {name: x.half() if x.half().isfinite().all() else x for name, x in found.items()}
    features = {name: features[name] for name in names}
    return replace(view(teacher, examples), features=features)


def _of_logits(loss: Callable[[Tensor, Tensor], Tensor], least: int = 1) -> Method:
    return Method(lambda student, to, _: loss(student["logits"], to.logits), least=least)


def _at(place: str, loss: Callable[[Tensor, Tensor], Tensor], least: int = 1) -> Method:
    return Method(
        lambda student, to, _: loss(student[place], to.features[place]), (place,), least=least
    )


def _decoupled(student: Outputs, to: Targets, _: nn.ModuleDict) -> Tensor:
    z, v, labels = student["logits"], to.logits, to.labels
    return distillation.decoupled_loss(z, v, labels, temperature=1.0, others_weight=1.0)


def _hint(student: Outputs, to: Targets, adapters: nn.ModuleDict) -> Tensor:
    return distillation.hint_loss(adapters["student"](student[MAPS]), to.features[MAPS])


def _relations(student: Tensor, teacher: Tensor) -> Tensor:
    angles = distillation.angle_relation_loss(student[:FEW], teacher[:FEW])
    return distillation.distance_relation_loss(student, teacher) + 2 * angles  # 1 : 2, as in RKD


def _contrast(student: Outputs, to: Targets, adapters: nn.ModuleDict) -> Tensor:
    mine = adapters["student"](student[MEANS])
    theirs = adapters["teacher"](to.features[MEANS].to(mine.dtype))
    return distillation.contrastive_loss(distillation.pair_scores(mine, theirs))


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "soft targets": _of_logits(partial(distillation.soft_target_loss, temperature=1.0)),
        "decoupled": Method(_decoupled),
        "correlations": _of_logits(distillation.correlation_loss, least=2),
        "hint": Method(_hint, (MAPS,), lambda: {"student": nn.Conv2d(32, 128, 1)}),
        "attention": _at(MAPS, distillation.attention_transfer_loss),
        "similarities": _at(MAPS, distillation.similarity_preserving_loss, least=2),
        "distances, angles": _at(MEANS, _relations, least=3),
        "contrast": Method(
            _contrast,
            (MEANS,),
            lambda: {"student": nn.Linear(32, SHARED), "teacher": nn.Linear(256, SHARED)},
            least=2,
        ),
    }
)
"""Name → method, for `ConvStudent` under `ConvTeacher`."""
