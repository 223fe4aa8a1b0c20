"""The learning rate against torch's schedulers, a seed's initial weights, bad input."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.models import MODELS
from reference_impl.training import Recipe, new_student


def test_after_the_warm_up_the_rate_is_half_a_cosine():
    """Oracle: torch's CosineAnnealingLR over the 80 steps after the warm-up."""
    recipe = Recipe("lenet5", epochs=1, learning_rate=0.3, warm_up=0.2)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=80)
    for step in range(20, 101):
        assert recipe.rate(step / 100) == pytest.approx(scheduler.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        scheduler.step()


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 0.99))
def test_the_rate_rises_to_its_peak_and_falls_from_there(first, second, warm_up):
    """Oracle: monotony; the peak is at the end of the warm-up."""
    recipe = Recipe("student", epochs=3, learning_rate=2.0, warm_up=warm_up)
    low, high = sorted((first, second))
    assert 0 <= recipe.rate(low) <= recipe.rate(warm_up) == 2.0
    if high <= warm_up:
        assert recipe.rate(low) <= recipe.rate(high)
    if low >= warm_up:
        assert recipe.rate(low) >= recipe.rate(high)


@pytest.mark.usefixtures("unmoved")
def test_a_new_student_has_the_weights_of_its_seed_and_draws_nothing_else():
    """Oracle: torch's own initialisation after the same seed."""
    student = new_student(Recipe("lenet300", epochs=1, seed=7))
    with torch.random.fork_rng():
        torch.manual_seed(7)
        own = MODELS["lenet300"]()
    assert all(map(torch.equal, student.parameters(), own.parameters()))
