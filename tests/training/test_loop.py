"""Steps against hand-made gradients, one cycle of AdamW against a loop written out with torch."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl.data import Examples, batches
from reference_impl.models import ConvStudent
from reference_impl.training import Recipe, one_cycle_steps, train_steps
from reference_impl.training.loop import adamw

RECIPE = Recipe("lenet300", epochs=1, learning_rate=0.03, weight_decay=0.2)


def squared_error(outputs, targets):
    return (outputs - targets).square().mean()


def student() -> ConvStudent:
    torch.manual_seed(0)
    return ConvStudent((2, 2, 2))


def line(weight: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return model


def test_each_step_is_gradient_descent_on_its_batch():
    """Oracle: w ← w − η · 2 x (w x − y), by hand; the loss is the one before the step."""
    model, w, rate = line(0.0), 0.0, 0.1
    pairs = [(1.0, 2.0), (2.0, 1.0), (-1.0, 3.0)]
    steps = train_steps(
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
    for loss in train_steps(model, plan, squared_error, torch.optim.SGD(model.parameters(), 0.1)):
        nn.init.zeros_(model.weight)
        losses.append(loss)
    assert losses == [1.0, 1.0, 1.0]


def test_targets_may_be_a_teachers_logits():
    """Oracle: the teacher's weight, which the student must reach."""
    teacher, model = line(3.0), line(0.0)
    inputs = torch.linspace(-1, 1, 8).unsqueeze(1)
    plan = [(inputs, teacher(inputs).detach())] * 200
    list(train_steps(model, plan, squared_error, torch.optim.SGD(model.parameters(), 0.3)))
    assert model.weight.item() == pytest.approx(3.0, abs=1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_training_before_the_step(bad):
    """Oracle: the weight after the last good step."""
    model = line(1.0)
    plan = [(torch.ones(1, 1), torch.zeros(1, 1)), (torch.ones(1, 1), torch.full((1, 1), bad))]
    steps = train_steps(model, plan, squared_error, torch.optim.SGD(model.parameters(), 0.25))
    next(steps)
    with pytest.raises(ValueError, match=r"loss must be finite, got (nan|inf) at step 1"):
        next(steps)
    assert model.weight.item() == 0.5


def test_a_loss_per_example_is_refused():
    """Oracle: the words of the message."""
    model = line(1.0)
    plan = [(torch.ones(3, 1), torch.zeros(3, 1))]
    steps = train_steps(model, plan, torch.sub, torch.optim.SGD(model.parameters(), 0.1))
    with pytest.raises(ValueError, match=r"objective must return a scalar, got shape \(3, 1\)"):
        next(steps)


def test_training_puts_the_model_in_training_mode():
    """Oracle: BatchNorm's running mean, which only training moves."""
    model = student().eval()
    before = model.norms[0].running_mean.clone()
    plan = batches(Examples(torch.rand(4, 1, 28, 28), torch.arange(4)), 4)
    list(train_steps(model, plan, F.cross_entropy, torch.optim.SGD(model.parameters(), 0.1)))
    assert model.training
    assert not torch.equal(model.norms[0].running_mean, before)


def made() -> tuple[nn.Linear, list[tuple[torch.Tensor, torch.Tensor]]]:
    torch.manual_seed(0)
    data = [(torch.randn(8, 3), torch.randint(2, (8,))) for _ in range(5)]
    return nn.Linear(3, 2), data


def test_each_step_has_the_rate_of_its_middle_and_decays():
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
    found = list(one_cycle_steps(network, data, F.cross_entropy, RECIPE, 5))
    assert found == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(network.weight, oracle.weight)


def test_the_network_trains_in_training_mode_and_ends_in_evaluation_mode():
    """Oracle: the flag, at each step and at the end."""
    network, data = made()
    network.eval()
    for _ in one_cycle_steps(network, data, F.cross_entropy, RECIPE, 5):
        assert network.training
    assert not network.training


def test_a_cycle_may_be_taken_in_two_parts():
    """Oracle: the same cycle in one; weights and losses bit by bit."""
    network, data = made()
    whole, parts = copy.deepcopy(network), copy.deepcopy(network)
    expected = list(one_cycle_steps(whole, data, F.cross_entropy, RECIPE, 5))
    optimizer = adamw(parts, RECIPE)
    losses = []
    for done, part in ((0, data[:2]), (2, data[2:])):
        losses += one_cycle_steps(
            parts, part, F.cross_entropy, RECIPE, 5, optimizer=optimizer, done=done
        )
    assert losses == expected
    assert torch.equal(parts.weight, whole.weight)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"network": None}, TypeError, "network must be Module, got NoneType"),
        ({"batches": 3}, TypeError, "batches must be Iterable, got int 3"),
        ({"objective": None}, TypeError, "objective must be callable"),
        ({"recipe": {}}, TypeError, "recipe must be Recipe, got dict"),
        ({"n_steps": 0}, ValueError, "n_steps must be at least 1, got 0"),
        ({"optimizer": 0.1}, TypeError, "optimizer must be Optimizer, got float 0.1"),
    ],
)
def test_bad_input_is_named_at_the_call(change, error, message):
    """Oracle: the words of the message; nothing is asked of the generator."""
    network, data = made()
    given = {
        "network": network,
        "batches": data,
        "objective": F.cross_entropy,
        "recipe": RECIPE,
        "n_steps": 5,
    }
    with pytest.raises(error, match=message):
        one_cycle_steps(**(given | change))
