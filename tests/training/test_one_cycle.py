"""One cycle of AdamW against a loop written out with torch; bad input."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl.training import Recipe, one_cycle_steps

RECIPE = Recipe("lenet300", epochs=1, learning_rate=0.03, weight_decay=0.2)


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


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"network": None}, TypeError, "network must be Module"),
        ({"recipe": {}}, TypeError, "recipe must be Recipe"),
        ({"n_steps": 0}, ValueError, "n_steps must be at least 1"),
        ({"n_steps": 2.0}, TypeError, "n_steps must be an integer"),
    ],
)
def test_bad_input_is_named(change, error, message):
    """Oracle: the documented errors."""
    network, data = made()
    given = {
        "network": network,
        "batches": data,
        "objective": F.cross_entropy,
        "recipe": RECIPE,
        "n_steps": 5,
    }
    with pytest.raises(error, match=message):
        next(one_cycle_steps(**(given | change)))
