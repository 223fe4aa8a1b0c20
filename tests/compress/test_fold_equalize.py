"""BatchNorm folding and cross-layer equalization against the network itself, torch and by hand."""

from itertools import pairwise

import pytest
import torch
from chains import (
    FLAT_MODELS,
    assert_same_function,
    conv_chain,
    drawn,
    images,
    refused,
    settle,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from reference_impl import compress
from reference_impl.compress import fold_batch_norms
from reference_impl.compress.equalize import input_ranges
from reference_impl.compress.fold import norm_factor

NORMS = nn.BatchNorm1d | nn.BatchNorm2d


@pytest.mark.equation("eq-ptq-norm")
@settings(max_examples=20)
@given(seed=st.integers(0, 100_000))
def test_folding_leaves_the_function_unchanged(seed: int):
    """Oracle: the chain itself, in float32: relative error at most 1e-5."""
    chain = conv_chain(seed)
    assert_same_function(fold_batch_norms(chain), chain, images(5, seed))


@pytest.mark.parametrize("name", ["teacher", "student", "separable", "residual"])
def test_the_courses_networks_fold(name: str):
    """Oracle: the network itself."""
    chain = drawn(name)
    folded = fold_batch_norms(chain)
    assert_same_function(folded, chain, images(4))
    assert len(folded) == sum(not isinstance(module, NORMS) for module in chain)
    assert not any(isinstance(module, NORMS) for module in folded.modules())


@pytest.mark.equation("eq-ptq-fold")
@given(seed=st.integers(0, 100_000), affine=st.booleans(), eps=st.sampled_from([1e-5, 0.3]))
def test_weights_are_those_of_torchs_fusion(seed: int, affine: bool, eps: float):
    """Oracle: torch.nn.utils.fusion, with and without γ and β, a small ε and a large one."""
    torch.manual_seed(seed)
    conv, linear = nn.Conv2d(2, 4, 3, groups=2), nn.Linear(3, 4, bias=False)
    norm2d = nn.BatchNorm2d(4, eps=eps, affine=affine)
    norm1d = nn.BatchNorm1d(4, eps=eps, affine=affine)
    for layer, norm, fuse in (
        (conv, norm2d, fuse_conv_bn_eval),
        (linear, norm1d, fuse_linear_bn_eval),
    ):
        if layer is linear and not affine:
            continue  # torch's fusion of linear layers cannot
        chain = settle(nn.Sequential(layer, norm), seed)
        ours, theirs = fold_batch_norms(chain)[0], fuse(chain[0], chain[1])
        torch.testing.assert_close(ours.weight, theirs.weight)
        torch.testing.assert_close(ours.bias, theirs.bias)


def test_the_factor_without_gamma_or_a_variance():
    """Oracle: by hand: 1/√4, and 1/√1 without a variance."""
    norm = nn.BatchNorm2d(2, eps=1.0, affine=False)
    norm.running_var = torch.tensor([3.0, 0.0])
    torch.testing.assert_close(norm_factor(norm), torch.tensor([0.5, 1.0], dtype=torch.float64))


def fold(*modules: nn.Module, training: int | None = None, **statistics: float) -> None:
    """Fold a chain in evaluation mode except one module, with these statistics in the last."""
    chain = nn.Sequential(*modules).eval()
    if training is not None:
        chain[training].train()
    for entry, value in statistics.items():
        getattr(chain[-1], entry).fill_(value)
    fold_batch_norms(chain)


ONE, NORM, UNTRACKED = nn.Linear(1, 1), nn.BatchNorm1d(1), nn.BatchNorm1d(1, affine=False)
UNTRACKED.running_mean = UNTRACKED.running_var = None
THREE_OUTPUTS = "'1' must be .* of 3 outputs, .* after Linear"
MEAN, VARIANCE = "'1': norm must have finite running statistics", "'1': variance must be "

test_what_cannot_be_folded_is_named = refused(
    (ValueError, "network must be in evaluation", lambda: fold_batch_norms(nn.Sequential(ONE))),
    (ValueError, "'1' must be in evaluation mode", lambda: fold(ONE, NORM, training=1)),
    (ValueError, THREE_OUTPUTS, lambda: fold(nn.Linear(1, 2), nn.BatchNorm1d(3))),
    (ValueError, MEAN, lambda: fold(ONE, UNTRACKED)),
    (ValueError, MEAN, lambda: fold(ONE, nn.BatchNorm1d(1), running_mean=torch.nan)),
    (ValueError, VARIANCE + "finite", lambda: fold(ONE, nn.BatchNorm1d(1), running_var=torch.inf)),
    (ValueError, VARIANCE + "at least 0", lambda: fold(ONE, nn.BatchNorm1d(1), running_var=-1.0)),
)


@pytest.mark.equation("eq-ptq-rescale")
@settings(max_examples=20)
@given(seed=st.integers(0, 100_000), groups=st.sampled_from([1, 2]), sweeps=st.integers(1, 20))
def test_equalization_leaves_the_function_unchanged(seed: int, groups: int, sweeps: int):
    """Oracle: the chain itself, in float32: relative error at most 1e-5."""
    chain = conv_chain(seed, norms=False, groups=groups)
    assert_same_function(compress.equalize(chain, sweeps=sweeps), chain, images(5, seed))


@pytest.mark.parametrize("name", FLAT_MODELS)
def test_ranges_of_neighbours_are_equal_at_the_end(name: str):
    """Oracle: the ranges of each layer's rows and of the columns that read them; the network."""
    chain = compress.fold_batch_norms(drawn(name))
    for layer in compress.weight_layers(chain).values():
        nn.init.zeros_(layer.bias)  # so that none outweighs its weights
    equalized = compress.equalize(chain, sweeps=200)
    assert_same_function(equalized, chain, images(4))
    for layer, after in pairwise(compress.weight_layers(equalized).values()):
        r1 = compress.output_ranges(layer)
        torch.testing.assert_close(r1, input_ranges(after, len(r1)), rtol=1e-3, atol=0)


@given(r=st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)), min_size=1, max_size=5))
def test_factors_make_both_ranges_their_geometric_mean(r: list[tuple[float, float]]):
    """Oracle: √(r1 r2) in float64."""
    r1, r2 = torch.tensor(r, dtype=torch.float64).T
    s = compress.equalizing_factors(r1, r2)
    torch.testing.assert_close(r1 / s, torch.sqrt(r1 * r2))
    torch.testing.assert_close(r2 * s, torch.sqrt(r1 * r2))


@pytest.mark.equation("eq-ptq-equalize")
def test_factors_maximize_the_product_of_both_precisions():
    """Oracle: brute force over s of Nagel's objective, Σ_i (r1_i/s_i / R1) (r2_i s_i / R2)."""
    r1, r2 = torch.tensor([3.0, 0.2]), torch.tensor([0.5, 4.0])
    s = compress.equalizing_factors(r1, r2)

    def precision(s: torch.Tensor) -> float:
        a, b = r1 / s, r2 * s
        return float((a / a.max() * b / b.max()).sum())

    best = precision(s)
    for factor in torch.logspace(-2, 2, 41):
        assert precision(torch.tensor([s[0] * factor, s[1]])) <= best + 1e-6


def test_dead_channels_are_left_alone():
    """Oracle: a row of zeros, a column of zeros: no nan, function unchanged, weights unchanged."""
    chain = conv_chain(0, norms=False)
    with torch.no_grad():
        chain.conv1.weight[1] = 0
        chain.fc2.weight[:, 2] = 0
    equalized = compress.equalize(chain)
    assert_same_function(equalized, chain, images(3))
    assert torch.equal(equalized.conv1.bias[1], chain.conv1.bias[1])
    assert torch.equal(equalized.fc2.weight[:, 2], chain.fc2.weight[:, 2])


def test_a_channel_whose_bias_outweighs_its_weights_is_left_alone():
    """Oracle: by hand: 8 > 2 · 10⁻⁹ is left; 5 > 2 · 2 too; for 3 < 2 · 2, s = √(2 / ½) = 2."""
    chain = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    with torch.no_grad():
        chain[0].weight.copy_(torch.tensor([[1e-9, 0.0], [1.0, 2.0], [2.0, 1.0]]))
        chain[0].bias.copy_(torch.tensor([8.0, 5.0, 3.0]))
        chain[2].weight.copy_(torch.tensor([[1.0, 0.5, 0.5]]))
    equalized = compress.equalize(chain)
    torch.testing.assert_close(equalized[0].bias, torch.tensor([8.0, 5.0, 1.5]))
    torch.testing.assert_close(equalized[2].weight, torch.tensor([[1.0, 0.5, 1.0]]))


def test_what_stands_outside_the_weight_layers_does_not_matter():
    """Oracle: a softmax at the end comes after every pair."""
    chain = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Softmax(1)).eval()
    assert_same_function(compress.equalize(chain), chain, torch.rand(3, 2))


@pytest.mark.equation("eq-ptq-homogeneous")
@pytest.mark.parametrize("module", [nn.ReLU6(), nn.GELU(), nn.Sigmoid(), nn.BatchNorm1d(2)])
def test_what_stops_a_factor_is_refused(module: nn.Module):
    """Oracle: f(2 x) ≠ 2 f(x) for these; the message names the module."""
    x = torch.tensor([[4.0, -1.0]])
    module.eval()
    if not isinstance(module, nn.BatchNorm1d):
        assert not torch.allclose(module(2 * x), 2 * module(x))
    name = type(module).__name__
    with pytest.raises(ValueError, match=rf"positive factors pass .* followed by {name} '1'"):
        compress.equalize(nn.Sequential(nn.Linear(2, 2), module, nn.Linear(2, 2)).eval())


def of(*modules: nn.Module) -> None:
    compress.equalize(nn.Sequential(*modules))


CONV, ONE, TWO = nn.Conv2d(1, 4, 3), nn.Linear(1, 1), nn.Linear(4, 2)
LAST = "another: '0' is followed by nothing"

test_channels_that_the_next_layer_does_not_read_are_refused = refused(
    (ValueError, LAST, lambda: of(ONE)),
    (ValueError, "3 channels", lambda: of(nn.Linear(2, 3), nn.ReLU(), nn.Linear(4, 1))),
    (ValueError, "by Flatten '1'", lambda: of(CONV, nn.Flatten(1, 2), TWO)),
    (ValueError, "4 channels", lambda: of(CONV, nn.ReLU(), TWO)),
    (ValueError, "2 channels", lambda: of(nn.Linear(2, 2), TWO)),
    (ValueError, "by MaxPool2d '1'", lambda: of(nn.Linear(2, 4), nn.MaxPool2d(2), TWO)),
)
