"""Cross-layer equalization against the network itself and by hand."""

from itertools import pairwise

import pytest
import torch
from chains import FLAT_MODELS, conv_chain, drawn, images, refused, relative_error, twice_used_chain
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from reference_impl import compress
from reference_impl.compress.equalize import input_ranges


@pytest.mark.equation("eq-ptq-rescale")
@settings(max_examples=20)
@given(seed=st.integers(0, 100_000), groups=st.sampled_from([1, 2]), sweeps=st.integers(1, 20))
def test_equalization_leaves_the_function_unchanged(seed: int, groups: int, sweeps: int) -> None:
    """Oracle: the chain itself, in float32: relative error at most 1e-5."""
    chain = conv_chain(seed, norms=False, groups=groups)
    equalized = compress.equalize(chain, sweeps=sweeps)
    x = images(5, seed)
    with torch.no_grad():
        assert relative_error(equalized(x), chain(x)) <= 1e-5


@pytest.mark.parametrize("name", [*FLAT_MODELS, "twice used"])
def test_ranges_of_neighbours_are_equal_at_the_end(name: str) -> None:
    """Oracle: the ranges of each layer's rows and of the columns that read them; the network."""
    if name == "twice used":
        chain = twice_used_chain(norms=False)
    else:
        chain = compress.fold_batch_norms(drawn(name).chain())
    equalized = compress.equalize(chain, sweeps=200)
    x = images(4)
    with torch.no_grad():
        assert relative_error(equalized(x), chain(x)) <= 1e-5
    for layer, after in pairwise(compress.weight_layers(equalized).values()):
        r1 = compress.output_ranges(layer)
        torch.testing.assert_close(r1, input_ranges(after, len(r1)), rtol=1e-3, atol=0)


def test_two_layers_by_hand() -> None:
    """Oracle: r1 = (8, 1), r2 = (2, 4), so s = (2, ½) and both ranges are (4, 2)."""
    chain = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)).eval()
    with torch.no_grad():
        chain[0].weight.copy_(torch.tensor([[8.0, 3.0], [0.5, -1.0]]))
        chain[0].bias.copy_(torch.tensor([4.0, 1.0]))
        chain[2].weight.copy_(torch.tensor([[-2.0, 4.0]]))
    first, _, last = compress.equalize(chain, sweeps=1)
    assert first.weight.tolist() == [[4, 1.5], [1, -2]]
    assert first.bias.tolist() == [2, 2]
    assert last.weight.tolist() == [[-4, 2]]


@given(r=st.lists(st.tuples(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)), min_size=1, max_size=5))
def test_factors_make_both_ranges_their_geometric_mean(r: list[tuple[float, float]]) -> None:
    """Oracle: √(r1 r2) in float64."""
    r1, r2 = torch.tensor(r, dtype=torch.float64).T
    s = compress.equalizing_factors(r1, r2)
    torch.testing.assert_close(r1 / s, torch.sqrt(r1 * r2))
    torch.testing.assert_close(r2 * s, torch.sqrt(r1 * r2))


@pytest.mark.equation("eq-ptq-equalize")
def test_factors_maximize_the_product_of_both_precisions() -> None:
    """Oracle: brute force over s of Nagel's objective, Σ_i (r1_i/s_i / R1) (r2_i s_i / R2)."""
    r1, r2 = torch.tensor([3.0, 0.2]), torch.tensor([0.5, 4.0])
    s = compress.equalizing_factors(r1, r2)

    def precision(s: torch.Tensor) -> float:
        a, b = r1 / s, r2 * s
        return float((a / a.max() * b / b.max()).sum())

    best = precision(s)
    for factor in torch.logspace(-2, 2, 41):
        assert precision(torch.tensor([s[0] * factor, s[1]])) <= best + 1e-6


def test_dead_channels_are_left_alone() -> None:
    """Oracle: a row of zeros, a column of zeros: no nan, function unchanged, weights unchanged."""
    chain = conv_chain(0, norms=False)
    with torch.no_grad():
        chain.conv1.weight[1] = 0
        chain.fc2.weight[:, 2] = 0
    equalized = compress.equalize(chain)
    x = images(3)
    assert relative_error(equalized(x), chain(x)) <= 1e-5
    assert torch.equal(equalized.conv1.bias[1], chain.conv1.bias[1])
    assert torch.equal(equalized.fc2.weight[:, 2], chain.fc2.weight[:, 2])


def test_flattened_channels_are_scaled_together() -> None:
    """Oracle: by hand; channel c of 4 positions owns the columns 4 c … 4 c + 3."""
    chain = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 1)).eval()
    with torch.no_grad():
        chain[0].weight.copy_(torch.tensor([1.0, 16.0]).view(2, 1, 1, 1))
        chain[3].weight.copy_(torch.tensor([[1.0, 2, 3, 4, 1, -1, 1, 1]]))
    equalized = compress.equalize(chain, sweeps=1)
    assert equalized[0].weight.flatten().tolist() == [2, 4]
    assert equalized[3].weight.tolist() == [[0.5, 1, 1.5, 2, 4, -4, 4, 4]]


def test_what_stands_outside_the_weight_layers_does_not_matter() -> None:
    """Oracle: a softmax at the end comes after every pair."""
    chain = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2), nn.Softmax(1)).eval()
    x = torch.rand(3, 2)
    assert relative_error(compress.equalize(chain)(x), chain(x)) <= 1e-5


@pytest.mark.equation("eq-ptq-homogeneous")
@pytest.mark.parametrize("module", [nn.ReLU6(), nn.GELU(), nn.Sigmoid(), nn.BatchNorm1d(2)])
def test_what_stops_a_factor_is_refused(module: nn.Module) -> None:
    """Oracle: f(2 x) ≠ 2 f(x) for these; the message names the module."""
    x = torch.tensor([[4.0, -1.0]])
    module.eval()
    if not isinstance(module, nn.BatchNorm1d):
        assert not torch.allclose(module(2 * x), 2 * module(x))
    name = type(module).__name__
    with pytest.raises(ValueError, match=rf"positive factors pass .*, got {name} '1'"):
        compress.equalize(nn.Sequential(nn.Linear(2, 2), module, nn.Linear(2, 2)).eval())


def of(*modules: nn.Module) -> None:
    compress.equalize(nn.Sequential(*modules))


CONV, ONE, TWO = nn.Conv2d(1, 4, 3), nn.Linear(1, 1), nn.Linear(4, 2)
PARTLY = "chain must let positive factors pass between its weight layers"
THREE = "a factor of each of the 3 channels from '0' to '2'"

test_channels_that_the_next_layer_does_not_read_are_refused = refused(
    (ValueError, "two weight layers or more", lambda: of(ONE)),
    (ValueError, THREE, lambda: of(nn.Linear(2, 3), nn.ReLU(), nn.Linear(4, 1))),
    (ValueError, PARTLY, lambda: of(CONV, nn.Flatten(1, 2), TWO)),
    (ValueError, r"4 channels .* got \[ReLU", lambda: of(CONV, nn.ReLU(), TWO)),
    (ValueError, r"2 channels from '0' to '1', got \[Linear", lambda: of(nn.Linear(2, 2), TWO)),
)
