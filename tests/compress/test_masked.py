"""Masks on networks against torch.nn.utils.prune and counting; sparse layers against SciPy."""

import copy

import pytest
import scipy.sparse
import torch
import torch.nn.utils.prune as torch_prune
from chains import SMALL, drawn, images, refused, same_state
from torch import nn

from reference_impl.compress import (
    CsrLinear,
    apply_masks,
    density,
    masks_of,
    prunable_weights,
    with_sparse_layers,
)
from reference_impl.pruning import keep_highest_of_all


def drawn_masks(network: nn.Module) -> dict[str, torch.Tensor]:
    scores = {name: weight.detach().abs() for name, weight in prunable_weights(network).items()}
    return keep_highest_of_all(scores, share=0.3)


@pytest.mark.parametrize("name", SMALL)
def test_weights_are_the_parameters_with_two_axes_or_more(name):
    """Oracle: the number of axes: biases and BatchNorm have one."""
    network = drawn(name)
    expected = {name: p for name, p in network.named_parameters() if p.ndim >= 2}
    found = prunable_weights(network)
    assert list(found) == list(expected)
    assert all(found[name] is expected[name] for name in expected)
    pair = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    pair[1].weight = pair[0].weight  # two layers, one tensor
    assert list(prunable_weights(pair)) == ["0.weight"]


def test_a_masked_network_is_torchs():
    """Oracle: torch.nn.utils.prune.custom_from_mask, outputs and all; fc2 has no mask."""
    network = drawn("lenet300")
    theirs = copy.deepcopy(network)
    masks = drawn_masks(network)
    del masks["fc2.weight"]
    apply_masks(network, masks)
    for name, mask in masks.items():
        layer = theirs.get_submodule(name.removesuffix(".weight"))
        torch_prune.custom_from_mask(layer, "weight", mask)
    assert torch.equal(network(images(5)), theirs(images(5)))
    assert torch.equal(network.fc1.bias, theirs.fc1.bias)
    assert torch.equal(network.fc2.weight, theirs.fc2.weight)


def test_density_counts_weights_alone():
    """Oracle: counting by hand; sparse biases and BatchNorm change nothing."""
    network = drawn("student")
    n = sum(p.numel() for p in network.parameters() if p.ndim >= 2)
    assert density(network) == 1
    masks = drawn_masks(network)
    apply_masks(network, masks)
    with torch.no_grad():
        for p in network.parameters():
            if p.ndim < 2:
                p.zero_()
    assert density(network) == (n - round(0.7 * n)) / n
    assert all(torch.equal(masks[name], found) for name, found in masks_of(network).items())


def test_masks_turn_nan_and_negative_weights_into_a_plain_zero():
    """Oracle: IEEE 754: nan · 0 is nan, −1 · 0 is −0; a mask of one row expanded to two."""
    layer = nn.Sequential(nn.Linear(3, 2))
    with torch.no_grad():
        layer[0].weight.copy_(torch.tensor([[float("nan"), -1.0, -2.0], [3.0, 4.0, 5.0]]))
    mask = torch.tensor([[False, False, True]]).expand(2, 3)
    apply_masks(layer, {"0.weight": mask})
    assert layer[0].weight.tolist() == [[0.0, 0.0, -2.0], [0.0, 0.0, 5.0]]
    assert not torch.signbit(layer[0].weight[0, 1])
    assert torch.equal(masks_of(layer)["0.weight"], mask)


@pytest.mark.parametrize("function", [prunable_weights, density, masks_of])
def test_a_computed_weight_is_refused_instead_of_left_out(function):
    """Oracle: masking it would change nothing; the error names the layer."""
    for compute in (
        nn.utils.parametrizations.weight_norm,
        lambda layer: torch_prune.l1_unstructured(layer, "weight", amount=0.5),
    ):
        pair = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
        compute(pair[1])
        with pytest.raises(ValueError, match="got a computed one in '1'"):
            function(pair)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_a_sparse_layer_answers_as_the_dense_one(bias, density):
    """Oracle: nn.Linear with the zeros, and SciPy's product of sparse rows; a copy of both."""
    torch.manual_seed(0)
    layer = nn.Linear(30, 20, bias=bias)
    layer.weight.data *= torch.rand(20, 30) < density
    sparse, x = CsrLinear(layer), torch.randn(7, 30)
    assert sparse.values == int(layer.weight.count_nonzero())
    assert torch.equal(sparse.weight.to_dense(), layer.weight)
    found = sparse(x)
    torch.testing.assert_close(found, layer(x), atol=1e-5, rtol=1e-5)
    product = scipy.sparse.csr_array(layer.weight.detach().numpy()) @ x.numpy().T
    by_scipy = torch.from_numpy(product.T) + (layer.bias if bias else 0)
    torch.testing.assert_close(found, by_scipy, atol=1e-5, rtol=1e-5)
    for parameter in layer.parameters():
        parameter.data.zero_()
    assert torch.equal(sparse(x), found)
    assert torch.equal(copy.deepcopy(sparse)(x), found)
    zeros = CsrLinear(layer)
    zeros.load_state_dict(sparse.state_dict())
    assert torch.equal(zeros(x), found)
    torch.testing.assert_close(zeros.double()(x.double()).float(), found)
    assert sparse(x[:0]).shape == (0, 20)


@pytest.mark.parametrize("name", ["lenet300", "student", "nested"])
def test_a_chain_answers_as_before(name):
    """Oracle: the chain, which may hold layers inside other modules; its linear layers counted."""
    chain = drawn("lenet300" if name == "nested" else name)
    if name == "nested":
        chain = nn.Sequential(chain[:3], chain[3:])
    sparse = with_sparse_layers(chain)
    linear = [name for name, module in chain.named_modules() if isinstance(module, nn.Linear)]
    assert all(isinstance(sparse.get_submodule(name), CsrLinear) for name in linear)
    torch.testing.assert_close(sparse(images(5)), chain(images(5)), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", [nn.ConvTranspose2d(1, 2, 3), nn.MultiheadAttention(4, 2)])
def test_layers_that_cannot_be_masked_are_refused_instead_of_left_out(layer):
    """Oracle: their path and their kind."""
    network = nn.Sequential(nn.Linear(4, 4), nn.Sequential(layer))
    with pytest.raises(ValueError, match=rf"'1.0' is {type(layer).__name__}"):
        density(network)


def mask_fc1_and(name: str, *shape: int) -> None:
    """Mask a layer and this; whatever is raised, nothing is masked."""
    network = drawn("lenet300")
    before = copy.deepcopy(network)
    masks = {"fc1.weight": torch.zeros(12, 784, dtype=torch.bool)}
    try:
        apply_masks(network, {**masks, name: torch.ones(shape, dtype=torch.bool)})
    finally:
        assert same_state(network, before)


class Doubled(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


LAYER = CsrLinear(nn.Linear(4, 3))
SPARSE = nn.Sequential(LAYER, nn.Linear(3, 2))
WRONG = {**LAYER.state_dict(), "columns": LAYER.columns + 4}

test_bad_masks_change_nothing_and_like_bad_layers_are_refused = refused(
    (ValueError, "got 'fc9.weight'", lambda: mask_fc1_and("fc9.weight", 10, 12)),
    (ValueError, "got 'fc1.bias'", lambda: mask_fc1_and("fc1.bias", 12)),
    (ValueError, r"\(10, 12\), got \(12, 10\)", lambda: mask_fc1_and("fc2.weight", 12, 10)),
    (ValueError, "convolutional layer, got none", lambda: prunable_weights(nn.ReLU())),
    (ValueError, r"x must be \(n, 4\), got \(4,\)", lambda: LAYER(torch.rand(4))),
    (ValueError, r"x must be \(n, 4\), got \(2, 5, 4\)", lambda: LAYER(torch.rand(2, 5, 4))),
    (TypeError, "must be float32 or float64, got", lambda: CsrLinear(nn.Linear(4, 3).half())),
    (
        TypeError,
        "got torch.bfloat16",
        lambda: copy.deepcopy(LAYER).bfloat16()(torch.rand(2, 4).bfloat16()),
    ),
    (RuntimeError, "col_indices", lambda: copy.deepcopy(LAYER).load_state_dict(WRONG)),
    (ValueError, "computed one in '0'", lambda: prunable_weights(SPARSE)),
    (ValueError, "'0' calls linear", lambda: with_sparse_layers(nn.Sequential(Doubled(4, 3)))),
    (ValueError, "a linear layer, got none", lambda: with_sparse_layers(nn.Sequential(nn.ReLU()))),
)
