"""Hints and attention transfer against hand values, torchdistill, autograd and invariances."""

import pytest
import torch
import torch.nn.functional as F
from draws import generator, normal
from hypothesis import given
from hypothesis import strategies as st
from torchdistill.losses.mid_level import ATLoss

from reference_impl.distillation import attention_map, attention_transfer_loss, hint_loss, unit


def drawn(seed=0, channels=3, n=4, dtype=torch.float64):
    return normal(n, channels, 2, 3, seed=seed, dtype=dtype)


@pytest.mark.equation("eq-relation-map")
def test_attention_map_by_hand():
    """Oracle: channels (1, 2) and (2, 0) at two positions: A = (5, 4), ‖A‖ = √41."""
    features = torch.tensor([[[[1.0, 2.0]], [[2.0, 0.0]]]])
    torch.testing.assert_close(attention_map(features), torch.tensor([[5.0, 4.0]]) / 41**0.5)


@pytest.mark.equation("eq-relation-attention")
def test_attention_transfer_agrees_with_torchdistill_up_to_the_mean_over_positions():
    """Oracle: ATLoss in its mode "code", times h w = 6; in its mode "paper", norm for square."""
    student, teacher = drawn(0), drawn(1, channels=5)
    io = {"m": {"output": student}}, {"m": {"output": teacher}}
    pair = {"p": {name: {"io": "output", "path": "m"} for name in ("student", "teacher")}}
    ours = attention_transfer_loss(student, teacher)
    torch.testing.assert_close(6 * ATLoss(pair, mode="code")(*io), ours)
    norms = torch.linalg.vector_norm(attention_map(student) - attention_map(teacher), dim=1)
    torch.testing.assert_close(ATLoss(pair, mode="paper")(*io), norms.mean())
    torch.testing.assert_close(norms.square().mean(), ours)


@given(seed=st.integers(0, 1000), scale=st.sampled_from([1e-3, 0.5, 7.0, 1e4]))
def test_attention_ignores_order_sign_and_scale_of_the_channels(seed, scale):
    """Oracle: Σ_c f_c² is symmetric in the channels; the norm divides a factor away."""
    features = drawn(seed)
    order = torch.randperm(3, generator=generator(seed))
    changed = -scale * features[:, order]
    torch.testing.assert_close(attention_map(changed), attention_map(features))
    zero = torch.zeros((), dtype=torch.float64)
    torch.testing.assert_close(attention_transfer_loss(changed, features), zero)


@pytest.mark.equation("eq-relation-hint")
def test_attention_sees_places_and_hints_see_scale():
    """Oracle: mirrored features have another map, doubled ones another hint; ``F.mse_loss``."""
    features, other = drawn(), drawn(1)
    assert attention_transfer_loss(features.flip(3), features) > 0.1
    torch.testing.assert_close(hint_loss(2 * features, features), features.square().mean())
    torch.testing.assert_close(hint_loss(features, other), F.mse_loss(features, other))


def test_what_is_silent_has_no_direction_and_no_gradient():
    """Oracle: 0, where ``F.normalize`` hands on 10¹² times the gradient; ‖0 − b‖² = 1 of a map."""
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0]], requires_grad=True)
    found = unit(x)
    found[:, 0].sum().backward()
    assert found.tolist() == [[0, 0], [pytest.approx(0.6), pytest.approx(0.8)]]
    torch.testing.assert_close(x.grad, torch.tensor([[0, 0], [0.128, -0.096]]))
    student = torch.zeros(2, 3, 2, 3, requires_grad=True)
    loss = attention_transfer_loss(student, drawn(n=2, dtype=torch.float32))
    loss.backward()
    assert loss.item() == pytest.approx(1)
    assert torch.equal(student.grad, torch.zeros_like(student))


def test_a_unit_vector_of_float16_is_computed_in_float32():
    """Oracle: 1 / √2; the square of 60,000 is beyond float16."""
    found = unit(torch.tensor([6e4, 6e4], dtype=torch.float16))
    assert found.tolist() == pytest.approx([0.5**0.5] * 2, abs=1e-3)
