"""What trainings refuse, by name; and what must be as it was then."""

import re
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from reference_impl import training
from reference_impl.data import Examples
from reference_impl.models import LeNet300
from reference_impl.training import Growth, Guided, QatRecipe, Recipe, View, pruned_steps

RECIPE = Recipe("lenet300", epochs=1)
STUDENT = LeNet300((3, 2))
CHANCE = torch.Generator()
GREY = Examples(torch.full((4, 1, 28, 28), 0.3), torch.arange(4))
VIEW = View(torch.zeros(4, 1, 28, 28, dtype=torch.uint8), torch.arange(4), torch.zeros(4, 10))
OTHER = View(VIEW.images[:3], VIEW.labels[:3], VIEW.logits[:3])
PAIRS = [(torch.ones(3, 1), torch.zeros(3, 1))]


def per_example():
    line = torch.nn.Linear(1, 1)
    return training.train_steps(line, PAIRS, torch.sub, torch.optim.SGD(line.parameters(), 0.1))


def student_steps(views, **changes):
    return training.student_steps(STUDENT, views, F.mse_loss, replace(RECIPE, **changes))


def pruned(**how):
    return next(pruned_steps(STUDENT, GREY, RECIPE, **how))


def tickets(share, rounds):
    return training.tickets(STUDENT, print, share=share, rounds=rounds)


REFUSED = [  # what is called, and what the message says
    (lambda: training.augment(torch.zeros(2, 3, 28, 28), CHANCE), "images must be (n, 1, "),
    (lambda: training.erase(torch.zeros(3, 28, 28), CHANCE), "images must be (n, 1, "),
    (lambda: training.predict(STUDENT, GREY.images[:0]), "images must not be empty"),
    (lambda: training.predict(STUDENT, GREY.images / 0), "images must be finite"),
    (lambda: training.accuracy(STUDENT, GREY, batch_size=0), "batch_size must be at least 1"),
    (lambda: Guided(training.load_checkpoint("student"), {}, ("relu9",)), "got ['relu9']"),
    (lambda: training.view(STUDENT, GREY), "examples must have pixels that are whole numbers of"),
    (lambda: replace(VIEW, labels=VIEW.labels[:3]), "images must have the n = 3 of labels"),
    (lambda: replace(VIEW, labels=VIEW.labels + 8), "labels must be in 0 … 9, got 11"),
    (lambda: replace(VIEW, logits=VIEW.logits / 0), "logits must be finite"),
    (lambda: replace(VIEW, features={"m": torch.ones(3, 2)}), "the n = 3 of features['m']"),
    (lambda: student_steps([]), "views must be one view"),
    (lambda: student_steps([VIEW, OTHER]), "views must be one view or more, of one length"),
    (lambda: student_steps([VIEW], augment=True), "recipe must be without augment and erase"),
    (lambda: next(per_example()), "objective must return a scalar, got shape (3, 1)"),
    (lambda: training.recipe_steps(STUDENT, [], F.mse_loss, RECIPE, 0), "n_steps must be at least"),
    (lambda: Growth(1.0), "final must be in [0, 1), got 1.0"),
    (lambda: Growth(0.9, begin=0.7), "end must be at least begin = 0.7, got 0.6"),
    (lambda: Growth(0.9, every=0), "every must be at least 1"),
    (lambda: pruned(masks={}, growth=Growth(0.5)), "must not both be given"),
    (lambda: pruned(masks={"fc1.weight": torch.ones(2).bool()}), "fc1.weight"),
    (lambda: tickets(1.0, 1), "share must be in (0, 1)"),
    (lambda: tickets(0.0, 1), "share must be in (0, 1)"),
    (lambda: tickets(0.2, 0), "rounds must be at least 1"),
    (lambda: Recipe("lenet", epochs=2), "model must be"),
    (lambda: replace(RECIPE, batch_size=1), "batch_size must be"),
    (lambda: replace(RECIPE, learning_rate=float("nan")), "learning_rate must be"),
    (lambda: replace(RECIPE, warm_up=1), "warm_up must be"),
    (lambda: replace(RECIPE, seed=-1), "seed must be"),
    (lambda: QatRecipe(bits=9), "bits must be"),
    (lambda: QatRecipe(bits=4, edges=1), "edges must be"),
    (lambda: QatRecipe(bits=4, learning_rate=0), "learning_rate must be"),
    (lambda: RECIPE.rate(1.1), "progress must be"),
    (lambda: QatRecipe(bits=4).rate(float("nan")), "progress must be"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_bad_input_is_named_at_the_call_before_a_weight_moves(call, message):
    """Oracle: the message names argument, value and expectation; a copy of the weights."""
    before = [weight.clone() for weight in STUDENT.parameters()]
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        call()
    assert all(map(torch.equal, before, STUDENT.parameters()))
