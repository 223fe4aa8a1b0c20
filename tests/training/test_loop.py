"""Steps against hand-made gradients, a recipe against a loop written out, whole trainings."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import reference_impl.training.loop as looping
from reference_impl import training
from reference_impl.data import Dataset, Examples

pytestmark = pytest.mark.usefixtures("one_thread")


def squared_error(outputs, targets):
    return (outputs - targets).square().mean()


def line(weight: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return model


def test_each_step_is_gradient_descent_on_its_batch():
    """Oracle: w ← w − η · 2 x (w x − y), by hand; the loss is the one before the step."""
    model, w, rate = line(0.0), 0.0, 0.1
    pairs = [(1.0, 2.0), (2.0, 1.0), (-1.0, 3.0)]
    steps = training.train_steps(
        model,
        [(torch.tensor([[x]]), torch.tensor([[y]])) for x, y in pairs],
        squared_error,
        torch.optim.SGD(model.parameters(), lr=rate),
    )
    for (x, y), loss in zip(pairs, steps, strict=True):
        assert loss == pytest.approx((w * x - y) ** 2)
        w -= rate * 2 * x * (w * x - y)
        assert model.weight.item() == pytest.approx(w)


def test_the_callers_loop_body_runs_between_two_steps():
    """Oracle: a weight set to zero after each step starts each step there, as a mask would."""
    model = line(0.0)
    plan = [(torch.ones(1, 1), torch.ones(1, 1))] * 3
    losses = []
    for loss in training.train_steps(
        model, plan, squared_error, torch.optim.SGD(model.parameters(), 0.1)
    ):
        nn.init.zeros_(model.weight)
        losses.append(loss)
    assert losses == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_training_before_the_step(bad):
    """Oracle: the weight after the last good step."""
    model = line(1.0)
    plan = [(torch.ones(1, 1), torch.zeros(1, 1)), (torch.ones(1, 1), torch.full((1, 1), bad))]
    steps = training.train_steps(
        model, plan, squared_error, torch.optim.SGD(model.parameters(), 0.25)
    )
    next(steps)
    with pytest.raises(ValueError, match=r"loss must be finite, got (nan|inf) at step 1"):
        next(steps)
    assert model.weight.item() == 0.5


RECIPE = training.Recipe("lenet300", epochs=1, learning_rate=0.03, weight_decay=0.2)


def made() -> tuple[nn.Linear, list[tuple[torch.Tensor, torch.Tensor]]]:
    torch.manual_seed(0)
    data = [(torch.randn(8, 3), torch.randint(2, (8,))) for _ in range(5)]
    return nn.Linear(3, 2), data


def test_each_step_of_a_recipe_has_the_rate_of_its_middle_and_decays():
    """Oracle: torch.optim.AdamW by hand, its rate set before each step; no rounding apart."""
    network, data = made()
    oracle = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(oracle.parameters(), weight_decay=0.2)
    losses = []
    for step, (x, y) in enumerate(data):
        optimizer.param_groups[0]["lr"] = RECIPE.rate((step + 0.5) / 5)
        loss = F.cross_entropy(oracle(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    found = list(training.recipe_steps(network, data, F.cross_entropy, RECIPE, 5))
    assert found == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(network.weight, oracle.weight)


def test_a_recipe_trains_in_training_mode_and_ends_in_evaluation_mode():
    """Oracle: the flag; BatchNorm's running mean, which only training moves."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2)).eval()
    for _ in training.recipe_steps(network, made()[1], F.cross_entropy, RECIPE, 5):
        assert network.training
    assert network[0].running_mean.all()
    assert not network.training


BARS = training.Recipe(
    "student", epochs=4, batch_size=32, learning_rate=1e-2, augment=True, erase=True, seed=5
)


def small_dataset() -> Dataset:
    """Return ten classes that can be learnt: a bright bar whose place is the label, and noise."""
    labels = torch.arange(350) % 10
    images = torch.rand(350, 1, 28, 28, generator=torch.Generator().manual_seed(0)) * 0.3
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, 4 + 2 * label : 6 + 2 * label, 4:24] = 1
    whole = Examples(images, labels)
    return Dataset(train=whole[:200], validation=whole[200:300], test=whole[300:])


def test_a_fit_learns_and_the_test_set_is_not_touched():
    """Oracle: chance, ln 10 nats and 10 %; a data set without a test set."""
    blind = small_dataset()
    object.__setattr__(blind, "test", None)
    *_, last = training.fit(replace(BARS, epochs=8, augment=False, erase=False), blind)
    assert last.loss < math.log(10) - 0.5
    assert training.accuracy(last.best, blind.validation) > 50


def test_the_epochs_of_a_fit_are_those_of_its_steps():
    """Oracle: the steps alone, from the same weights; mean losses and last weights bit by bit."""
    dataset = small_dataset()
    epochs = list(training.fit(replace(BARS, epochs=2), dataset))
    network = training.new_student(BARS)
    losses = list(training.example_steps(network, dataset.train, replace(BARS, epochs=2)))
    assert [epoch.loss for epoch in epochs] == [sum(losses[:7]) / 7, sum(losses[7:]) / 7]
    assert epochs[-1].validation_accuracy == training.accuracy(network, dataset.validation)


@pytest.mark.usefixtures("unmoved")
def test_the_best_epoch_on_the_validation_set_is_kept_as_it_was():
    """Oracle: the highest accuracy in the history; the weights measured in training's layout."""
    dataset = small_dataset()
    epochs = list(training.fit(BARS, dataset))
    scores, last = [epoch.validation_accuracy for epoch in epochs], epochs[-1]
    assert last.best_epoch == scores.index(max(scores)) + 1
    assert not last.best.training
    same = last.best.to(memory_format=torch.channels_last)  # so it rounds as it did
    assert training.accuracy(same, dataset.validation) == max(scores)


def test_of_equal_epochs_the_first_is_kept(monkeypatch):
    """Oracle: scripted accuracies."""
    scores = iter([0.0, 80.0, 80.0, 60.0])
    monkeypatch.setattr(looping, "accuracy", lambda *_: next(scores))
    found = [(epoch.best_epoch, epoch.best) for epoch in training.fit(BARS, small_dataset())]
    assert [best for best, _ in found] == [1, 2, 2, 2]
    assert found[1][1] is found[3][1]


def test_the_seed_decides_a_fit_and_the_global_generator_does_not():
    """Oracle: runs with the same and another seed, from different global states."""
    losses = []
    for run, seed in enumerate((5, 5, 6)):
        torch.manual_seed(run)
        losses.append(next(training.fit(replace(BARS, seed=seed), small_dataset())).loss)
    assert losses[0] == losses[1] != losses[2]
