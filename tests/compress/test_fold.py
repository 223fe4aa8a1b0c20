"""BatchNorm folding against the network itself and against torch."""

import pytest
import torch
from chains import conv_chain, drawn, images, refused, relative_error, settle, twice_used_chain
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from reference_impl.compress import fold_batch_norms
from reference_impl.compress.fold import norm_factor

NORMS = nn.BatchNorm1d | nn.BatchNorm2d


@pytest.mark.equation("eq-ptq-norm")
@settings(max_examples=20)
@given(seed=st.integers(0, 100_000))
def test_folding_leaves_the_function_unchanged(seed: int) -> None:
    """Oracle: the chain itself, in float32: relative error at most 1e-5."""
    chain = conv_chain(seed)
    folded = fold_batch_norms(chain)
    x = images(5, seed)
    with torch.no_grad():
        assert relative_error(folded(x), chain(x)) <= 1e-5


@pytest.mark.parametrize("name", ["teacher", "student", "separable", "twice used"])
def test_the_courses_networks_fold(name: str) -> None:
    """Oracle: the network itself; a norm in two places is folded in both."""
    chain = twice_used_chain() if name == "twice used" else drawn(name).chain()
    folded = fold_batch_norms(chain)
    x = images(4)
    with torch.no_grad():
        assert relative_error(folded(x), chain(x)) <= 1e-5
    assert len(folded) == sum(not isinstance(module, NORMS) for module in chain)
    assert not any(isinstance(module, NORMS) for module in folded.modules())


@pytest.mark.equation("eq-ptq-fold")
@given(seed=st.integers(0, 100_000), affine=st.booleans(), eps=st.sampled_from([1e-5, 0.3]))
def test_weights_are_those_of_torchs_fusion(seed: int, affine: bool, eps: float) -> None:
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
    plain = nn.BatchNorm2d(2, eps=1.0, affine=False)  # 1/√4, and 1/√1 without a variance
    plain.running_var = torch.tensor([3.0, 0.0])
    torch.testing.assert_close(norm_factor(plain), torch.tensor([0.5, 1.0], dtype=torch.float64))


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
INNER = r"'block1.body.norm1'"

test_what_cannot_be_folded_is_named = refused(
    (ValueError, "chain must be in evaluation", lambda: fold_batch_norms(nn.Sequential(ONE))),
    (ValueError, "'1' must be in evaluation mode", lambda: fold(ONE, NORM, training=1)),
    (ValueError, "'0' must be .* directly after .* after None", lambda: fold(nn.BatchNorm2d(1))),
    (ValueError, "'2' must be .* after ReLU", lambda: fold(ONE, nn.ReLU(), NORM)),
    (ValueError, "'2' must be .* after BatchNorm1d", lambda: fold(ONE, NORM, nn.BatchNorm1d(1))),
    (ValueError, THREE_OUTPUTS, lambda: fold(nn.Linear(1, 2), nn.BatchNorm1d(3))),
    (ValueError, MEAN, lambda: fold(ONE, UNTRACKED)),
    (ValueError, MEAN, lambda: fold(ONE, nn.BatchNorm1d(1), running_mean=torch.nan)),
    (ValueError, VARIANCE + "finite", lambda: fold(ONE, nn.BatchNorm1d(1), running_var=torch.inf)),
    (ValueError, VARIANCE + "at least 0", lambda: fold(ONE, nn.BatchNorm1d(1), running_var=-1.0)),
    (ValueError, INNER, lambda: fold_batch_norms(drawn("residual").chain())),
)
