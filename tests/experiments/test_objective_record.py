"""experiments.objective: a student on a few images, and each loss against torch's."""

import pytest
import torch
import torch.nn.functional as F

from experiments import objective as recorder
from experiments.measures import shipped
from experiments.objective import LOSSES, PLAN, Run
from reference_impl import training


def kl(z, v, reduction="batchmean"):
    return F.kl_div(z.log_softmax(1), v.softmax(1), reduction=reduction)


SOFT = {  # the soft part, made of torch's functions
    "alone": kl,
    "distilled": kl,
    "mean over classes": lambda z, v: kl(z, v, "mean"),
    "reversed": lambda z, v: kl(v, z),
    "hot": lambda z, v: 16 * kl(z / 4, v / 4),
}
pytestmark = pytest.mark.filterwarnings("ignore:reduction")  # torch's, about kl_div's mean


@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_is_torchs(name):
    """Oracle: ``F.kl_div`` with the reduction, the order and the temperature of its name."""
    z, v = torch.randn(2, 6, 10, generator=torch.Generator().manual_seed(0))
    to = training.Targets(torch.arange(6), v, {})
    assert torch.allclose(LOSSES[name][1](z, to), SOFT[name](z, v))


def test_what_is_measured_of_a_student(small, monkeypatch):
    """Oracle: the same training and the same numbers by hand."""
    monkeypatch.setattr(recorder, "N_IMAGES", 120)
    monkeypatch.setattr(recorder, "EPOCHS", 2)
    found = Run("distilled", seed=3).measured(small)
    view = training.view(shipped("teacher"), small.train[:120])
    recipe = training.Recipe("student", epochs=2, learning_rate=1e-2, seed=3)
    student = training.new_student(recipe)

    def loss(z, to):
        return 0.1 * F.cross_entropy(z, to.labels) + 0.9 * kl(z, to.logits)

    losses = list(training.student_steps(student, [view], loss, recipe))
    teacher = training.predict(shipped("teacher"), small.validation.images)
    apart = kl(training.predict(student, small.validation.images), teacher)
    assert found["first_loss"] == pytest.approx(losses[0], rel=1e-4)
    assert found["test"] == pytest.approx(training.accuracy(student, small.test), abs=1)
    assert found["to_teacher"] == pytest.approx(apart.item(), rel=1e-2)
    assert len(PLAN) == 5 * len(LOSSES)
