"""Scores of units against torch_pruning, SciPy, autograd and units really removed."""

from functools import partial

import draws
import pytest
import torch
import torch_pruning as tp
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch import nn

from reference_impl import pruning

normal = partial(draws.normal, dtype=torch.float64)


def small_network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 3)]
    nn.init.normal_(layers[1].weight)
    return nn.Sequential(*layers)


def theirs(importance, network):
    """Return torch_pruning's scores of the first layer's channels."""
    graph = tp.DependencyGraph().build_dependency(network, torch.zeros(1, 1, 8, 8))
    return importance(graph.get_pruning_group(network[0], tp.prune_conv_out_channels, [*range(6)]))


@pytest.mark.equation("eq-importance-scale")
def test_norms_scales_and_taylor_are_torch_prunings():
    """Oracle: its magnitude, which leaves out the root, its scale, and its |Σ g w|, squared."""
    network = small_network().eval()
    network(draws.normal(4, 1, 8, 8, seed=1)).square().mean().backward()
    rows, gradients = network[0].weight.flatten(1), network[0].weight.grad.flatten(1)
    first = {"group_reduction": "first", "normalizer": None, "target_types": [nn.Conv2d]}
    for order in (1, 2):
        peer = tp.importance.GroupMagnitudeImportance(p=order, **first)
        assert torch.allclose(pruning.row_norm(rows, order) ** order, theirs(peer, network))
    peer = tp.importance.BNScaleImportance(normalizer=None)
    assert torch.equal(pruning.batch_norm_scale(network[1].weight), theirs(peer, network))
    peer = tp.importance.GroupTaylorImportance(multivariable=True, **first)
    assert torch.allclose(
        pruning.unit_taylor(rows, gradients), theirs(peer, network) ** 2, rtol=1e-4
    )


@pytest.mark.equation("eq-importance-median")
@pytest.mark.parametrize(
    ("rows", "rtol"),
    [
        (normal(7, 4), 1e-9),
        (normal(7, 4).half(), 1e-5),
        (normal(7, 4).bfloat16(), 1e-5),
        ((normal(40, 30) + 1000).float(), 1e-5),
        (torch.full((40, 30), 0.1) + 1000, 0),
    ],
)
def test_distances_are_scipys(rows, rtol):
    """Oracle: SciPy's cdist of the same rounded rows; the square's expansion would lose the far."""
    found = pruning.geometric_median_distance(rows)
    expected = torch.tensor(cdist(rows.double(), rows.double()).sum(axis=1))
    assert found.dtype == torch.promote_types(rows.dtype, torch.float32)
    assert torch.allclose(found.double(), expected, rtol=rtol, atol=0)


def test_torch_pruning_measures_distances_of_absolute_values():
    """Oracle: equal where no weight is negative; opposite filters are one filter to it."""
    peer = tp.importance.FPGMImportance(p=1, group_reduction="first", normalizer=None)
    network = small_network()
    with torch.no_grad():
        network[0].weight[1] = -network[0].weight[0]
    rows = network[0].weight.flatten(1)
    found = theirs(peer, network)
    assert torch.allclose(found, pruning.geometric_median_distance(rows.abs()), rtol=1e-5)
    assert torch.isclose(found[0], found[1])
    assert not torch.allclose(found, pruning.geometric_median_distance(rows), rtol=0.1)


@pytest.mark.equation("eq-importance-unit", "eq-importance-gate")
@given(st.integers(0, 1000))
def test_gate_is_the_taylor_of_what_writes_and_of_what_reads(seed):
    """Oracle: autograd by gates, with rows [w, b] before ReLU and columns after it."""
    w, b, v = normal(5, 4, seed=seed), normal(5, seed=seed + 1), normal(2, 5, seed=seed + 2)
    x, y = normal(8, 4, seed=seed + 3), normal(8, 2, seed=seed + 4)
    leaves = [t.requires_grad_() for t in (w, b, v)]
    gates = torch.ones(8, 5, dtype=torch.float64, requires_grad=True)
    hidden = (x @ w.T + b).relu() * gates
    losses = (hidden @ v.T - y).square().sum(dim=1)
    (c,) = torch.autograd.grad(losses.sum(), gates, retain_graph=True)
    gw, gb, gv = torch.autograd.grad(losses.mean(), leaves)
    found = pruning.gate_taylor(c)
    rows = torch.cat([w, b[:, None]], dim=1), torch.cat([gw, gb[:, None]], dim=1)
    assert torch.allclose(found, pruning.unit_taylor(*rows))
    assert torch.allclose(found, pruning.unit_taylor(v.T, gv.T))
    assert torch.allclose(pruning.mean_square_gate_taylor(c), c.square().mean(dim=0))
    assert (pruning.mean_square_gate_taylor(c) >= found).all()
    rows = torch.tensor([[1.0, 2.0, 1.0]]), torch.tensor([[2.0, -1.0, 3.0]])
    assert pruning.unit_taylor(*rows).tolist() == [9]  # contributions cancel in a unit
    assert pruning.summed_weight_taylor(*rows).tolist() == [4 + 4 + 9]  # and not in its weights


@pytest.mark.equation("eq-importance-output")
def test_output_change_is_measured_without_the_unit():
    """Oracle: the next layer's outputs with the unit's column put to 0."""
    v, a = normal(3, 6), normal(9, 6, seed=1) + 1
    found = pruning.output_change(v.T, a.square().mean(dim=0))
    for i in range(6):
        without = v.clone()
        without[:, i] = 0
        moved = (a @ without.T - a @ v.T).square().sum(dim=1).mean()
        assert torch.isclose(found[i], moved)
