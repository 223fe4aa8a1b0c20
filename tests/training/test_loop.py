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
from reference_impl.models import LeNet300

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_each_step_is_gradient_descent_on_its_batch_until_a_loss_is_not_finite(bad):
    """Oracle: w ← w − η · 2 x (w x − y), by hand; the loss is the one before the step."""
    model, w, rate = nn.Linear(1, 1, bias=False), 0.0, 0.1
    nn.init.zeros_(model.weight)
    pairs = [(1.0, 2.0), (2.0, 1.0), (-1.0, 3.0)]
    data = [(torch.tensor([[x]]), torch.tensor([[y]])) for x, y in [*pairs, (1.0, bad)]]
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    steps = training.train_steps(model, data, F.mse_loss, optimizer)
    for x, y in pairs:
        assert next(steps) == pytest.approx((w * x - y) ** 2)
        w -= rate * 2 * x * (w * x - y)
        assert model.weight.item() == pytest.approx(w)
    with pytest.raises(ValueError, match=r"loss must be finite, got (nan|inf) at step 3"):
        next(steps)
    assert model.weight.item() == pytest.approx(w)


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


def steps(network, *batch):
    """Take one step, the second of two batches."""
    fine = torch.ones(2, 3), torch.tensor([0, 1])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    list(training.train_steps(network, [fine, batch], F.cross_entropy, optimizer))


@pytest.mark.parametrize(
    ("width", "label", "frozen", "message"),
    [
        (4, 0, False, "batch 1 must suit .* in Linear '0': RuntimeError: mat1"),
        (3, 2, False, "batch 1 must suit .* in Sequential: IndexError: Target 2 is out"),
        (3, 0, True, "parameters that are not frozen"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_by_its_batch(width, label, frozen, message):
    """Oracle: the second of two batches, the path of the layer."""
    network = nn.Sequential(nn.Linear(3, 2)).requires_grad_(not frozen)
    with pytest.raises(ValueError, match=message):
        steps(network, torch.ones(2, width), torch.tensor([0, label]))


def test_a_last_batch_of_one_is_refused_before_the_first_step(few):
    """Oracle: torch: BatchNorm has no variance of one value; 33 = 32 + 1 images, of one place."""
    network = nn.Sequential(nn.Conv2d(1, 10, 28), nn.BatchNorm2d(10), nn.Flatten())
    some, recipe = few[:33], replace(RECIPE, batch_size=32)
    message = "batch of one example, got 32 for 33: Expected more than 1 value per channel"
    with pytest.raises(ValueError, match=message):
        training.example_steps(network, some, recipe)
    assert not network[1].num_batches_tracked
    with pytest.raises(ValueError, match=message):
        training.student_steps(network, [training.view(network, some)], F.mse_loss, recipe)


@pytest.mark.parametrize("warm_up", [1, 20, 50, 99])
def test_the_rate_rises_on_a_line_and_falls_on_half_a_cosine(warm_up):
    """Oracle: a share of the peak; torch's CosineAnnealingLR over the steps after the warm-up."""
    recipe = training.Recipe("lenet5", epochs=1, learning_rate=0.3, warm_up=warm_up / 100)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100 - warm_up)
    for step in range(101):
        expected = scheduler.get_last_lr()[0] if step >= warm_up else 0.3 * step / warm_up
        assert recipe.rate(step / 100) == pytest.approx(expected, abs=1e-9)
        if step >= warm_up:
            optimizer.step()
            scheduler.step()


@pytest.mark.usefixtures("unmoved")
def test_a_new_student_has_the_weights_of_its_seed_and_draws_nothing_else():
    """Oracle: torch's own initialization after the same seed."""
    student = training.new_student(training.Recipe("lenet300", epochs=1, seed=7))
    with torch.random.fork_rng():
        torch.manual_seed(7)
        own = LeNet300()
    assert all(map(torch.equal, student.parameters(), own.parameters()))


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


def fitted(recipe, *_):
    *_, last = training.fit(recipe, small_dataset())
    return last.best


def taught(recipe, teacher, few):
    student, views = training.new_student(recipe), [training.view(teacher, few)]
    list(training.student_steps(student, views, lambda z, to: F.mse_loss(z, to.logits), recipe))
    return student


def quantized(recipe, network, few):
    chain = training.prepare(network, recipe, few)
    list(training.fine_tune(chain, recipe, few))
    return chain


@pytest.mark.parametrize(
    ("trained", "recipe"),
    [
        (fitted, replace(BARS, epochs=1)),
        (taught, training.Recipe("student", epochs=1)),
        *((quantized, training.QatRecipe(bits, epochs=1, augment=True)) for bits in (None, 4)),
    ],
)
def test_the_seed_decides_a_training_and_the_global_generator_does_not(trained, recipe, few):
    """Oracle: the same and another seed, from different global states; copies of both."""
    network = training.load_checkpoint("student")
    before, found = copy.deepcopy(network.state_dict()), []
    for run, seed in enumerate((5, 5, 6)):
        drawn = torch.manual_seed(run).get_state()
        made = trained(replace(recipe, seed=seed), network, few)
        assert torch.equal(torch.get_rng_state(), drawn)
        assert not made.training
        found.append(torch.cat([weight.flatten() for weight in made.parameters()]))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert all(map(torch.equal, before.values(), network.state_dict().values()))
