"""Views and students: the teacher answers for the images that the student sees."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl import training
from reference_impl.distillation import distillation_objective, soft_target_loss
from reference_impl.training import Recipe, Targets, View, predict, student_steps, view

RECIPE = Recipe("lenet300", epochs=1, batch_size=64, learning_rate=1e-3)


@pytest.fixture(scope="module")
def teacher():
    return training.load_checkpoint("lenet300")


def brightness(one: View) -> float:
    return one.images.to(torch.float32).sum().item() / 255


class Echo(nn.Module):
    """A student of one weight that remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.seen: list[torch.Tensor] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen.append(images)
        return self.weight * torch.ones(len(images), 10)


@pytest.mark.parametrize("seed", [None, 3])
def test_a_view_holds_the_teachers_logits_of_its_own_images(teacher, few, seed):
    """Oracle: the plain images or `augment` of them, bit by bit, and the teacher asked again."""
    chance = torch.Generator().manual_seed(3)
    images = few.images if seed is None else training.augment(few.images, chance)
    for found in (view(teacher, few, seed=seed), view(teacher, few, seed=seed and np.int64(seed))):
        assert torch.equal(found.images.to(torch.float32) / 255, images)
        assert torch.equal(found.logits, predict(teacher, images))
        assert torch.equal(found.labels, few.labels)
    assert not torch.equal(found.images, view(teacher, few, seed=6).images)


@pytest.mark.equation("eq-student-views")
def test_every_step_pairs_images_with_their_own_targets(teacher, few):
    """Oracle: the teacher asked again for the images of each step, in each of three views."""
    views = [
        replace(plain, features={"half": plain.logits / 2, "images": plain.images.half()})
        for plain in (view(teacher, few, seed=seed) for seed in (None, 1, 2))
    ]
    echo, met = Echo(), []

    def compare(student: torch.Tensor, targets: Targets) -> torch.Tensor:
        torch.testing.assert_close(targets.logits, predict(teacher, echo.seen[-1]))
        assert torch.equal(2 * targets.features["half"], targets.logits)
        assert torch.equal(targets.features["images"].float() / 255, echo.seen[-1])
        met.append(targets.labels)
        return student.square().mean()

    steps = list(student_steps(echo, views, compare, replace(RECIPE, epochs=3)))
    assert len(steps) == 3 * math.ceil(len(few) / RECIPE.batch_size)
    for epoch in range(3):
        part = slice(epoch * 10, epoch * 10 + 10)
        total = sum(images.sum().item() for images in echo.seen[part])
        assert total == pytest.approx(brightness(views[epoch]), rel=1e-5)
        assert torch.equal(torch.cat(met[part]).bincount(), few.labels.bincount())
    assert not torch.equal(met[0], met[10]), "two epochs have the same order"


def test_seeds_begin_with_another_view_and_have_another_order_and_the_same_rates(teacher, few):
    """Oracle: the brightness of the view; the images of the steps, those of a seed twice.

    `Recipe.rate` at the middle of each step: a constant gradient makes it AdamW's step.
    """
    views = [view(teacher, few), view(teacher, few, seed=1)]

    def met(seed: int, views: list[View]) -> torch.Tensor:
        echo, before = Echo(), 0.0
        recipe = replace(RECIPE, seed=seed, weight_decay=0.0)
        for step, _ in enumerate(student_steps(echo, views, lambda z, _: z.sum(), recipe)):
            rate, before = before - echo.weight.item(), echo.weight.item()
            assert rate == pytest.approx(recipe.rate((step + 0.5) / 10), rel=1e-4)
        return torch.cat(echo.seen)

    for seed, one in enumerate(views):
        assert met(seed, views).sum().item() == pytest.approx(brightness(one), rel=1e-5)
    assert torch.equal(met(1, views[:1]), met(1, views[:1]))
    assert not torch.equal(met(1, views[:1]), met(2, views[:1]))


@pytest.mark.equation("eq-student-mixture")
def test_at_temperature_one_the_objective_is_the_cross_entropy_of_a_mixture():
    """Oracle: torch's cross-entropy with probabilities (1 − α) e_y + α p; and its gradient."""
    draws = torch.Generator().manual_seed(0)
    z, v = torch.randn(2, 7, 5, generator=draws, dtype=torch.float64)
    labels = torch.randint(5, (7,), generator=draws)
    z.requires_grad_()
    p = v.softmax(dim=1)
    mixture = 0.3 * F.one_hot(labels, 5) + 0.7 * p
    loss = distillation_objective(z, v, labels, temperature=1, alpha=0.7)
    entropy = -(p * p.log()).sum(dim=1).mean()
    assert loss.item() == pytest.approx((F.cross_entropy(z, mixture) - 0.7 * entropy).item())
    (gradient,) = torch.autograd.grad(loss, z)
    torch.testing.assert_close(gradient, (z.softmax(dim=1) - mixture).detach() / 7)


@pytest.mark.equation("eq-student-stationary")
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_trained_student_gives_each_class_what_its_teacher_gives_it(temperature):
    """Oracle: the teacher's mean probabilities; a linear student with biases, by L-BFGS."""
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(60, 3, generator=draws, dtype=torch.float64)
    v = 3 * torch.randn(60, 4, generator=draws, dtype=torch.float64)
    student = nn.Linear(3, 4, dtype=torch.float64)
    optimizer = torch.optim.LBFGS(
        student.parameters(), max_iter=500, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = soft_target_loss(student(x), v, temperature=temperature)
        value.backward()
        return value

    optimizer.step(loss)
    q, p = ((a.detach() / temperature).softmax(dim=1) for a in (student(x), v))
    torch.testing.assert_close(q.mean(dim=0), p.mean(dim=0), atol=1e-4, rtol=0)
    assert (q - p).abs().max() > 0.1, "only the means agree"
