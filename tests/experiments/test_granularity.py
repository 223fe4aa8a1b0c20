"""experiments.granularity: what it records, against the network quantized by hand."""

from itertools import product

import numpy as np
import pytest
import torch

from experiments import granularity as recorder
from experiments.measures import hits
from reference_impl.training import load_checkpoint

CASES = [("channel", "symmetric", 4), *product(["tensor"], recorder.FORMS, (4, 2))]


@pytest.mark.parametrize(("granularity", "form", "bits"), CASES)
def test_a_row_is_the_network_quantized_by_hand(small, granularity, form, bits):
    """Oracle: torch's fake-quantize of each weight, and 10 log₁₀(Σ w² / Σ (w − ŵ)²) in NumPy.

    Symmetric, the codes are −q_max … q_max; asymmetric, one more.
    """
    row = recorder.Run("lenet300", granularity, form, bits).measured(small)
    network = load_checkpoint("lenet300")
    original = hits(network, small.test)
    before, after, stored = [], [], 0
    for layer in (network.fc1, network.fc2, network.fc3):
        w = layer.weight.detach() if granularity == "channel" else layer.weight.detach().view(1, -1)
        low, high, q_max = w.amin(dim=1), w.amax(dim=1), 2 ** (bits - 1) - 1
        if form == "symmetric":
            q_min, scale, zero = -q_max, w.abs().amax(dim=1) / q_max, torch.zeros(len(w))
        else:
            q_min, scale = -q_max - 1, (high - low) / (2**bits - 1)
            zero = q_min - (low / scale).round()
        stored += 16 * len(w) + bits * bool(zero.any())  # a scale, and a zero point unless it is 0
        w_hat = torch.fake_quantize_per_channel_affine(w, scale, zero.int(), 0, q_min, q_max)
        before.append(w.flatten())
        after.append(w_hat.flatten())
        layer.weight.data = w_hat.view_as(layer.weight)
    now = hits(network, small.test)  # an image between two classes may fall to either by rounding
    assert row["gained"] == pytest.approx(int((now & ~original).sum()), abs=1)
    assert row["lost"] == pytest.approx(int((original & ~now).sum()), abs=1)
    right = 100 * now.double().mean().item()
    assert row["accuracy"] == pytest.approx(right, abs=1.01 * 100 / len(now))
    assert row["bits_per_weight"] == pytest.approx(bits + stored / 266_200, abs=1e-9)
    w, w_hat = (torch.cat(values).double().numpy() for values in (before, after))
    assert row["sqnr"] == pytest.approx(10 * np.log10((w**2).sum() / ((w - w_hat) ** 2).sum()))
    changed, *_ = recorder.quantized(load_checkpoint("lenet300"), granularity, form, bits)
    ours = torch.cat([layer.weight.flatten() for layer in (changed.fc1, changed.fc2, changed.fc3)])
    other_code = np.abs(ours.detach().numpy() - w_hat) > 1e-6 * np.abs(w_hat)
    assert other_code.mean() < 1e-5  # a weight halfway between two codes may be rounded to either


@pytest.mark.parametrize(
    ("shape", "granularity", "seen", "axes"),
    [
        ((300, 784), 32, (300, 28, 28), (0, 1)),
        ((300, 784), 8, (300, 98, 8), (0, 1)),
        ((100, 300), 32, (100, 10, 30), (0, 1)),
        ((32, 9), 8, (32, 3, 3), (0, 1)),
        ((4, 3, 5, 5), "tensor", (4, 75), ()),
        ((4, 3, 5, 5), "channel", (4, 75), 0),
    ],
)
def test_groups_divide_the_rows_and_are_as_large_as_allowed(shape, granularity, seen, axes):
    """Oracle: by hand; 28 and 8 divide 784, 9 the nine weights of a filter."""
    view, found = recorder.parts(torch.ones(shape), granularity)
    assert (tuple(view.shape), found) == (seen, axes)
