"""The relation of two units after BatchNorm, against BatchNorm itself."""

import pytest
import torch
from torch import nn

from reference_impl.merging import normalised_relation

KEPT, GONE = torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])
FACTOR = torch.tensor([2.0, 0.3, -1.5], dtype=torch.float64)


def drawn():
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(6).double().eval()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 4)
    return norm


def relation(norm, bias=0.0):
    gamma, beta = norm.weight.detach(), norm.bias.detach()
    moments = {"mean": norm.running_mean - bias, "variance": norm.running_var, "eps": norm.eps}
    return normalised_relation(FACTOR, (KEPT, GONE), gamma=gamma, beta=beta, **moments)


@pytest.mark.equation("eq-merge-norm")
@pytest.mark.parametrize("has_bias", [False, True])
def test_one_unit_is_an_affine_function_of_the_other(has_bias):
    """Oracle: ``nn.BatchNorm1d`` after a linear layer with w_j = s w_i; γ = 0 leaves a constant."""
    norm = drawn()
    norm.weight.data[GONE[0]] = 0
    weight = torch.randn(6, 5, dtype=torch.float64)
    weight[GONE] = FACTOR[:, None] * weight[KEPT]
    bias = torch.randn(6, dtype=torch.float64) if has_bias else torch.zeros(6)
    y = norm(torch.randn(20, 5, dtype=torch.float64) @ weight.T + bias).detach()
    scale, shift = relation(norm, bias=bias)
    torch.testing.assert_close(y[:, GONE], scale * y[:, KEPT] + shift)


def test_after_relu_it_holds_where_the_shift_is_zero_and_the_scale_positive():
    """Oracle: ReLU of the same values."""
    norm = drawn()
    with torch.no_grad():
        norm.weight.abs_()
        scale, shift = relation(norm)
        norm.bias[GONE] -= shift
    y = torch.randn(200, 3, dtype=torch.float64)
    h = norm(torch.cat([y, FACTOR * y], dim=1)).relu().detach()
    merges = (h[:, GONE] - scale * h[:, KEPT]).abs().amax(dim=0) < 1e-12
    assert merges.tolist() == [True, True, False]
    assert (scale > 0).tolist() == [True, True, False]
