"""Masks on networks against torch.nn.utils.prune and counting; bad input."""

import copy

import pytest
import torch
import torch.nn.utils.prune as torch_prune
from torch import nn

from reference_impl.compress import apply_masks, density, masks_of, prunable_weights
from reference_impl.models import MODELS, ConvStudent, LeNet300
from reference_impl.pruning import keep_highest_of_all


def drawn_masks(network: nn.Module) -> dict[str, torch.Tensor]:
    scores = {name: weight.detach().abs() for name, weight in prunable_weights(network).items()}
    return keep_highest_of_all(scores, 0.7)


@pytest.mark.parametrize("kind", MODELS.values())
def test_weights_are_the_parameters_with_two_axes_or_more(kind):
    """Oracle: the number of axes: biases and BatchNorm have one."""
    network = kind()
    expected = {name: p for name, p in network.named_parameters() if p.ndim >= 2}
    found = prunable_weights(network)
    assert list(found) == list(expected)
    assert all(found[name] is expected[name] for name in expected)


def test_a_masked_network_is_torchs():
    """Oracle: torch.nn.utils.prune.custom_from_mask, outputs and all."""
    torch.manual_seed(0)
    network = LeNet300()
    theirs = copy.deepcopy(network)
    masks = drawn_masks(network)
    apply_masks(network, masks)
    for name, mask in masks.items():
        layer = theirs.get_submodule(name.removesuffix(".weight"))
        torch_prune.custom_from_mask(layer, "weight", mask)
    images = torch.rand(5, 1, 28, 28)
    assert torch.equal(network(images), theirs(images))
    assert torch.equal(network.fc1.bias, theirs.fc1.bias)


def test_density_counts_weights_alone():
    """Oracle: counting by hand; sparse biases and BatchNorm change nothing."""
    network = ConvStudent()
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
    """Oracle: IEEE 754: nan · 0 is nan, −1 · 0 is −0."""
    layer = nn.Sequential(nn.Linear(3, 1))
    with torch.no_grad():
        layer[0].weight.copy_(torch.tensor([[float("nan"), -1.0, -2.0]]))
    apply_masks(layer, {"0.weight": torch.tensor([[False, False, True]])})
    assert layer[0].weight.tolist() == [[0.0, 0.0, -2.0]]
    assert not torch.signbit(layer[0].weight[0, 1])


def test_what_is_left_has_either_sign_and_the_mask_may_be_a_view():
    """Oracle: by hand, a mask of one row expanded to all."""
    layer = nn.Sequential(nn.Linear(3, 2))
    with torch.no_grad():
        layer[0].weight.copy_(torch.tensor([[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]]))
    mask = torch.tensor([[True, True, False]]).expand(2, 3)
    apply_masks(layer, {"0.weight": mask})
    assert torch.equal(masks_of(layer)["0.weight"], mask)


def test_a_weight_without_a_mask_stays():
    """Oracle: the weight before."""
    network = LeNet300()
    before = network.fc2.weight.clone()
    apply_masks(network, {"fc1.weight": torch.zeros(300, 784, dtype=torch.bool)})
    assert torch.equal(network.fc2.weight, before)
    assert not network.fc1.weight.any()


def test_a_shared_weight_counts_once():
    """Oracle: two layers, one tensor."""
    pair = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    pair[1].weight = pair[0].weight
    assert list(prunable_weights(pair)) == ["0.weight"]


@pytest.mark.parametrize(
    "compute",
    [
        nn.utils.parametrizations.weight_norm,
        lambda layer: torch_prune.l1_unstructured(layer, "weight", amount=0.5),
    ],
)
@pytest.mark.parametrize("function", [prunable_weights, density, masks_of])
def test_a_computed_weight_is_refused_instead_of_left_out(function, compute):
    """Oracle: masking it would change nothing; the error names the layer."""
    pair = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    compute(pair[1])
    with pytest.raises(ValueError, match="got a computed one in '1'"):
        function(pair)


GOOD = torch.ones(100, 300, dtype=torch.bool)


@pytest.mark.parametrize(
    ("masks", "error", "text"),
    [
        ([GOOD], TypeError, "masks must be Mapping"),
        ({"fc9.weight": GOOD}, ValueError, "got 'fc9.weight'"),
        ({"fc1.bias": torch.ones(300, dtype=torch.bool)}, ValueError, "got 'fc1.bias'"),
        ({"fc2.weight": [True]}, TypeError, "must be a torch.Tensor, got list"),
        (
            {"fc2.weight": torch.ones(100, 300)},
            TypeError,
            "must hold bool, got dtype torch.float32",
        ),
        ({"fc2.weight": GOOD.to_sparse()}, TypeError, "dense tensor with values, got"),
        ({"fc2.weight": GOOD.T}, ValueError, r"\(100, 300\), got \(300, 100\)"),
    ],
)
def test_bad_masks_are_refused_and_change_nothing(masks, error, text):
    """Oracle: the state before."""
    network = LeNet300()
    before = copy.deepcopy(network.state_dict())
    if isinstance(masks, dict):
        masks = {"fc1.weight": torch.zeros(300, 784, dtype=torch.bool), **masks}
    with pytest.raises(error, match=text):
        apply_masks(network, masks)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("function", [prunable_weights, density, masks_of])
def test_what_has_no_weights_is_refused(function):
    """Oracle: the error names what is missing."""
    with pytest.raises(TypeError, match="network must be Module"):
        function({"fc1.weight": GOOD})
    with pytest.raises(ValueError, match="linear or convolutional layer, got none"):
        function(nn.ReLU())
