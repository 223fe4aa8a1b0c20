"""Views and students: the teacher answers for the images that the student sees."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl.data import Examples, load_dataset
from reference_impl.distillation import distillation_objective, soft_target_loss
from reference_impl.models import MODELS
from reference_impl.training import (
    Recipe,
    View,
    accuracy,
    augment,
    load_checkpoint,
    new_student,
    predict,
    student_steps,
    view,
)
from reference_impl.training.distil import Targets

RECIPE = Recipe("lenet300", epochs=2, batch_size=64, learning_rate=1e-3)


@pytest.fixture(scope="module")
def train() -> Examples:
    return load_dataset().train.subset(640)


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    return load_checkpoint("lenet300")


def alone(student: torch.Tensor, targets: Targets) -> torch.Tensor:
    return F.cross_entropy(student, targets.labels)


def taught(student: torch.Tensor, targets: Targets) -> torch.Tensor:
    return distillation_objective(student, targets.logits, targets.labels, temperature=2, alpha=0.9)


def weights(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_a_view_without_a_seed_holds_the_images_and_the_teachers_logits(
    teacher: nn.Module, train: Examples
) -> None:
    """Oracle: the images themselves, bit by bit, and the teacher asked again."""
    plain = view(teacher, train)
    assert torch.equal(plain.images.to(torch.float32) / 255, train.images)
    assert torch.equal(plain.logits, predict(teacher, train.images))
    assert torch.equal(plain.labels, train.labels)


def test_an_augmented_view_holds_the_teachers_logits_of_the_augmented_images(
    teacher: nn.Module, train: Examples
) -> None:
    """Oracle: the teacher on the very images of the view; those of the plain images differ."""
    moved = view(teacher, train, seed=3)
    images = moved.images.to(torch.float32) / 255
    assert torch.equal(images, augment(train.images, torch.Generator().manual_seed(3)))
    assert torch.equal(moved.logits, predict(teacher, images))
    assert not torch.allclose(moved.logits, predict(teacher, train.images), atol=0.1)


def test_a_view_depends_on_its_seed_alone(teacher: nn.Module, train: Examples) -> None:
    """Oracle: equality of two draws, whatever was drawn between; difference of another seed."""
    first = view(teacher, train, seed=5)
    torch.rand(3)
    again, other = view(teacher, train, seed=np.int64(5)), view(teacher, train, seed=6)
    assert torch.equal(first.images, again.images)
    assert not torch.equal(first.images, other.images)


def test_every_step_pairs_images_with_their_own_targets(
    teacher: nn.Module, train: Examples
) -> None:
    """Oracle: the teacher asked again for the images of each step, in each of three views.

    Equation: eq-student-views.
    """
    views = [view(teacher, train), view(teacher, train, seed=1), view(teacher, train, seed=2)]

    class Echo(nn.Module):
        """A student of one weight that remembers what it saw."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            self.images = images
            return self.weight * torch.ones(len(images), 10)

    echo, seen = Echo(), []

    def compare(student: torch.Tensor, targets: Targets) -> torch.Tensor:
        torch.testing.assert_close(targets.logits, predict(teacher, echo.images))
        seen.append((echo.images.sum().item(), targets.labels))
        return student.square().mean()

    steps = list(student_steps(echo, views, compare, replace(RECIPE, epochs=3)))
    assert len(steps) == 3 * math.ceil(len(train) / RECIPE.batch_size)
    for epoch in range(3):
        part = seen[epoch * 10 : epoch * 10 + 10]
        total = views[epoch].images.to(torch.float32).sum().item() / 255
        assert sum(brightness for brightness, _ in part) == pytest.approx(total, rel=1e-5)
        counts = torch.cat([labels for _, labels in part]).bincount()
        assert torch.equal(counts, train.labels.bincount())
    assert not torch.equal(seen[0][1], seen[10][1]), "two epochs have the same order"


def test_every_step_has_the_features_of_its_images(teacher: nn.Module, train: Examples) -> None:
    """Oracle: features that are the images themselves, and half of their logits."""
    plain = view(teacher, train)
    features = {"images": plain.images.half(), "half": plain.logits / 2}

    def compare(outputs: torch.Tensor, targets: Targets) -> torch.Tensor:
        images = targets.features["images"].float() / 255
        torch.testing.assert_close(predict(teacher, images), targets.logits)
        assert torch.equal(2 * targets.features["half"], targets.logits)
        return outputs.square().mean()

    rich = View(plain.images, plain.labels, plain.logits, features)
    steps = student_steps(new_student(RECIPE), [rich], compare, replace(RECIPE, epochs=1))
    assert len(list(steps)) == math.ceil(len(train) / RECIPE.batch_size)


def test_seeds_begin_with_another_view(teacher: nn.Module, train: Examples) -> None:
    """Oracle: the mean brightness of the first epoch's images."""
    views = [view(teacher, train), view(teacher, train, seed=1)]
    firsts = []

    class Bright(nn.Linear):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            firsts.append(images.sum().item())
            return super().forward(images.flatten(1))

    for seed in (0, 1):
        recipe = replace(RECIPE, epochs=1, batch_size=640, seed=seed)
        list(student_steps(Bright(784, 10), views, alone, recipe))
    expected = [one.images.to(torch.float32).sum().item() / 255 for one in views]
    assert firsts == pytest.approx(expected, rel=1e-5)


def test_at_temperature_one_the_objective_is_the_cross_entropy_of_a_mixture() -> None:
    """Oracle: torch's cross-entropy with probabilities (1 − α) e_y + α p; and its gradient.

    Equation: eq-student-mixture.
    """
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


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_trained_student_gives_each_class_what_its_teacher_gives_it(temperature: float) -> None:
    """Oracle: the teacher's mean probabilities; a linear student with biases, by L-BFGS.

    Equation: eq-student-stationary.
    """
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


@pytest.mark.usefixtures("one_thread")
def test_a_recipe_repeats_to_the_same_bits_and_its_seed_matters(
    teacher: nn.Module, train: Examples
) -> None:
    """Oracle: equality of two runs, whatever was drawn before; difference with another seed."""
    views, found = [view(teacher, train)], []
    for seed in (1, 1, 2):
        recipe = replace(RECIPE, seed=seed)
        student = new_student(recipe)
        torch.rand(3)
        list(student_steps(student, views, taught, recipe))
        assert not student.training
        found.append(weights(student))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_a_student_learns_from_the_teacher_alone(teacher: nn.Module) -> None:
    """Oracle: its accuracy, with labels that are all wrong and α = 1: no label is looked at."""
    dataset = load_dataset()
    train = dataset.train.subset(3000)
    plain = view(teacher, train)
    wrong = View(plain.images, (plain.labels + 1) % 10, plain.logits)
    recipe = replace(RECIPE, epochs=4)
    student = new_student(recipe)
    objective = partial(distillation_objective, temperature=2, alpha=1)
    list(student_steps(student, [wrong], lambda z, to: objective(z, to.logits, to.labels), recipe))
    assert accuracy(student, dataset.validation) > 75


def test_the_learning_rate_follows_the_recipe(teacher: nn.Module, train: Examples) -> None:
    """Oracle: `Recipe.rate` at the middle of each step, read off AdamW's first step sizes."""
    recipe = replace(RECIPE, epochs=1, batch_size=64, weight_decay=0.0)

    class One(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.weight * torch.ones(len(images), 10)

    one, before, rates = One(), 0.0, []
    for _ in student_steps(one, [view(teacher, train)], lambda z, _: z.sum() / len(z), recipe):
        rates.append(before - one.weight.item())  # a constant gradient: each step is the rate
        before = one.weight.item()
    expected = [recipe.rate((step + 0.5) / 10) for step in range(10)]
    assert rates == pytest.approx(expected, rel=1e-4)


def test_the_weights_decay_as_the_recipe_says(teacher: nn.Module, train: Examples) -> None:
    """Oracle: Π (1 − rate · decay), by which AdamW shrinks a weight that has no gradient."""
    recipe = replace(RECIPE, epochs=1, batch_size=64, weight_decay=0.3)
    student = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    before = weights(student)
    views = [view(teacher, train)]
    list(student_steps(student, views, lambda z, _: 0 * z.sum(), recipe))
    left = math.prod(1 - 0.3 * recipe.rate((step + 0.5) / 10) for step in range(10))
    torch.testing.assert_close(weights(student), left * before)


def test_seeds_meet_the_images_in_another_order(teacher: nn.Module, train: Examples) -> None:
    """Oracle: the labels that the objective is given; those of one seed are the same twice."""
    views = [view(teacher, train)]

    def met(seed: int) -> torch.Tensor:
        labels = []

        def objective(z: torch.Tensor, targets: Targets) -> torch.Tensor:
            labels.append(targets.labels)
            return z.square().mean()

        recipe = replace(RECIPE, epochs=1, seed=seed)
        list(student_steps(new_student(recipe), views, objective, recipe))
        return torch.cat(labels)

    assert torch.equal(met(1), met(1))
    assert not torch.equal(met(1), met(2))


EXAMPLES = Examples(torch.zeros(4, 1, 28, 28), torch.arange(4))
VIEW = View(torch.zeros(4, 1, 28, 28, dtype=torch.uint8), torch.arange(4), torch.zeros(4, 10))


STUDENT = MODELS["lenet300"]()


def changed(**values) -> View:
    return replace(VIEW, **values)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: view(None, EXAMPLES), TypeError, "teacher must be Module, got NoneType"),
        (lambda: view(STUDENT, EXAMPLES, seed=-1), ValueError, "seed must be .* got -1"),
        (
            lambda: view(STUDENT, Examples(EXAMPLES.images + 0.3, EXAMPLES.labels)),
            ValueError,
            "examples must have pixels that are whole numbers of 255ths",
        ),
        (
            lambda: changed(images=VIEW.images.float()),
            TypeError,
            "images must hold uint8, got dtype torch.float32",
        ),
        (
            lambda: changed(labels=VIEW.labels[:3]),
            ValueError,
            "images must have the n = 3 of labels, got 4",
        ),
        (
            lambda: changed(labels=VIEW.labels + 8),
            ValueError,
            "labels must be in 0 … 9, got 11",
        ),
        (lambda: changed(logits=VIEW.logits / 0), ValueError, "logits must be finite"),
        (
            lambda: changed(features={"mean": torch.ones(3, 2)}),
            ValueError,
            r"images must have the n = 3 of features\['mean'\]",
        ),
        (
            lambda: changed(features={"mean": torch.arange(4)}),
            TypeError,
            r"features\['mean'\] must hold floating-point",
        ),
        (lambda: student_steps(STUDENT, [], alone, RECIPE), ValueError, "views must be one view"),
        (
            lambda: student_steps(STUDENT, [EXAMPLES], alone, RECIPE),
            TypeError,
            r"views\[0\] must be View, got Examples",
        ),
        (
            lambda: student_steps(STUDENT, [VIEW], alone, replace(RECIPE, augment=True)),
            ValueError,
            "recipe must be without augment and erase",
        ),
    ],
)
def test_bad_input_is_named(call, error: type[Exception], message: str) -> None:
    """Oracle: the message names argument, value and expectation, at the call."""
    with pytest.raises(error, match=message):
        call()
