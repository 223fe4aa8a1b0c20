"""reference_impl.training.recipe: the learning rate against torch's schedulers, bad input."""

from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.training import Recipe


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


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [
        ("model", "lenet", ValueError),
        ("model", 5, ValueError),
        ("epochs", 0, ValueError),
        ("epochs", 1.5, TypeError),
        ("batch_size", 1, ValueError),
        ("learning_rate", 0, ValueError),
        ("learning_rate", float("nan"), ValueError),
        ("learning_rate", float("inf"), ValueError),
        ("learning_rate", "0.1", TypeError),
        ("warm_up", 0, ValueError),
        ("warm_up", 1, ValueError),
        ("weight_decay", -1e-9, ValueError),
        ("augment", 1, TypeError),
        ("erase", "no", TypeError),
        ("seed", -1, ValueError),
        ("seed", None, TypeError),
    ],
)
def test_an_impossible_recipe_names_the_field_and_the_value(field, value, error):
    """Oracle: the words of the message."""
    good = {"model": "lenet300", "epochs": 2}
    with pytest.raises(error, match=rf"{field} must be .*, got .*{value}"):
        Recipe(**{**good, field: value})


@pytest.mark.parametrize("progress", [-0.1, 1.1, float("nan")])
def test_the_rate_outside_of_the_training_is_refused(progress):
    """Oracle: the words of the message."""
    with pytest.raises(ValueError, match="progress must be"):
        Recipe("lenet300", epochs=1).rate(progress)


def test_a_recipe_cannot_be_changed():
    """Oracle: an assignment."""
    with pytest.raises(FrozenInstanceError):
        Recipe("lenet300", epochs=1).seed = 3
