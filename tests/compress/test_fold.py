"""BatchNorm folding against the network itself and against torch."""

import copy

import pytest
import torch
from chains import conv_chain, images, relative_error, settle, settled, twice_used_chain
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from reference_impl.compress import fold_batch_norms
from reference_impl.compress.fold import norm_factor
from reference_impl.models import MODELS


@settings(max_examples=30)
@given(seed=st.integers(0, 100_000))
def test_folding_leaves_the_function_unchanged(seed: int) -> None:
    """Oracle: the chain itself, in float32: relative error at most 1e-5.

    Equation: eq-ptq-norm.
    """
    chain = conv_chain(seed)
    folded = fold_batch_norms(chain)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    x = images(5, seed)
    with torch.no_grad():
        assert relative_error(folded(x), chain(x)) <= 1e-5


def test_modules_in_two_places_are_folded_in_both() -> None:
    """Oracle: the chain itself."""
    chain, x = twice_used_chain(), images(3)
    with torch.no_grad():
        expected = chain(x)
        folded = fold_batch_norms(chain)
        assert relative_error(folded(x), expected) <= 1e-5
        assert torch.equal(chain(x), expected), "the chain was changed"
    assert len(folded) == len(chain) - 2


@pytest.mark.parametrize("name", ["teacher", "student", "separable"])
def test_the_courses_networks_fold(name: str) -> None:
    """Oracle: the network itself."""
    chain = settled(MODELS[name](), 3)
    x = images(4)
    with torch.no_grad():
        assert relative_error(fold_batch_norms(chain)(x), chain(x)) <= 1e-5


def test_norm_factor_by_hand() -> None:
    """Oracle: γ/√(σ² + ε) = 3/√4 and 1/√4."""
    norm = nn.BatchNorm2d(2, eps=1.0)
    norm.running_var = torch.tensor([3.0, 3.0])
    norm.weight = nn.Parameter(torch.tensor([3.0, -1.0]))
    torch.testing.assert_close(norm_factor(norm), torch.tensor([1.5, -0.5], dtype=torch.float64))
    plain = nn.BatchNorm2d(2, eps=1.0, affine=False)
    plain.running_var = torch.tensor([3.0, 0.0])
    torch.testing.assert_close(norm_factor(plain), torch.tensor([0.5, 1.0], dtype=torch.float64))


@given(seed=st.integers(0, 100_000), affine=st.booleans(), eps=st.sampled_from([1e-5, 0.3]))
def test_weights_are_those_of_torchs_fusion(seed: int, affine: bool, eps: float) -> None:
    """Oracle: torch.nn.utils.fusion, with and without γ and β, a small ε and a large one.

    Equation: eq-ptq-fold.
    """
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


def test_one_channel_by_hand() -> None:
    """Oracle: a = 6/√(8.75 + 0.25) = 2, so W' = 2 · 3 and b' = 2 (1 − 5) + 0.5."""
    norm = nn.BatchNorm1d(1, eps=0.25)
    chain = nn.Sequential(nn.Linear(1, 1), norm).eval()
    with torch.no_grad():
        chain[0].weight.fill_(3)
        chain[0].bias.fill_(1)
        for entry, value in (("running_mean", 5), ("running_var", 8.75), ("weight", 6)):
            getattr(norm, entry).fill_(value)
        norm.bias.fill_(0.5)
    folded = fold_batch_norms(chain)[0]
    assert (folded.weight.item(), folded.bias.item()) == (6, -7.5)


def test_the_chain_is_left_as_it_is() -> None:
    """Oracle: its state before."""
    chain = conv_chain(1)
    before = copy.deepcopy(chain.state_dict())
    fold_batch_norms(chain)[0].weight.data.zero_()
    assert all(torch.equal(before[key], value) for key, value in chain.state_dict().items())


def eval_chain(*modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(*modules).eval()


@pytest.mark.parametrize(
    ("chain", "error", "message"),
    [
        (nn.Linear(1, 1), TypeError, "chain must be Sequential, got Linear"),
        (nn.Sequential(nn.Linear(1, 1)), ValueError, "chain must be in evaluation mode"),
        (eval_chain(nn.BatchNorm2d(1)), ValueError, "'0' must be .* directly after .* after None"),
        (
            eval_chain(nn.Linear(1, 1), nn.ReLU(), nn.BatchNorm1d(1)),
            ValueError,
            "'2' must be .* directly after .* after ReLU",
        ),
        (
            eval_chain(nn.Linear(1, 2), nn.BatchNorm1d(2), nn.BatchNorm1d(2)),
            ValueError,
            "'2' must be .* directly after .* after BatchNorm1d",
        ),
        (
            eval_chain(nn.Linear(1, 2), nn.BatchNorm1d(3)),
            ValueError,
            "'1' must be .* of 3 outputs, .* after Linear",
        ),
        (
            eval_chain(nn.Linear(1, 2), nn.BatchNorm1d(2, track_running_stats=False)),
            ValueError,
            "'1': norm must have finite running statistics",
        ),
    ],
)
def test_what_cannot_be_folded_is_named(
    chain: nn.Module, error: type[Exception], message: str
) -> None:
    """Oracle: the module and what was expected are in the message."""
    with pytest.raises(error, match=message):
        fold_batch_norms(chain)


def with_statistics(entry: str, value: float) -> nn.Sequential:
    chain = eval_chain(nn.Linear(1, 1), nn.BatchNorm1d(1))
    getattr(chain[1], entry).fill_(value)
    return chain


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("running_mean", float("nan"), "'1': norm must have finite running statistics"),
        ("running_var", float("inf"), "'1': variance must be finite"),
        ("running_var", -1.0, "'1': variance must be at least 0, got -1.0"),
    ],
)
def test_statistics_that_are_not_finite_or_negative_are_refused(
    entry: str, value: float, message: str
) -> None:
    """Oracle: the message; without the check the weights would be nan."""
    with pytest.raises(ValueError, match=message):
        fold_batch_norms(with_statistics(entry, value))


def test_one_norm_in_training_mode_is_enough_to_refuse() -> None:
    """Oracle: the message names the norm; the chain itself is in evaluation mode."""
    chain = eval_chain(nn.Linear(1, 1), nn.BatchNorm1d(1))
    chain[1].train()
    with pytest.raises(ValueError, match="'1' must be in evaluation mode"):
        fold_batch_norms(chain)


def test_a_norm_inside_another_module_is_refused_by_name() -> None:
    """Oracle: the residual network, whose blocks would stay as they are silently."""
    with pytest.raises(ValueError, match=r"'block1.body.norm1'"):
        fold_batch_norms(MODELS["residual"]().chain().eval())
