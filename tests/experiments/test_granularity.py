"""experiments.granularity: what it records, against the network quantized by hand."""

import numpy as np
import pytest
import torch

from experiments import granularity as recorder
from reference_impl.training import load_checkpoint, predict


def test_a_row_is_the_network_quantized_by_hand(small):
    """Oracle: torch's fake-quantize of each weight, symmetric, 4 bits per channel."""
    row = recorder.measured(recorder.Run("lenet300", "channel", "symmetric", 4), small)
    network = load_checkpoint("lenet300")

    def hits() -> torch.Tensor:
        return predict(network, small.test.images).argmax(dim=1) == small.test.labels

    original = hits()
    for layer in (network.fc1, network.fc2, network.fc3):
        w = layer.weight.detach()
        scale = w.abs().amax(dim=1) / 7
        zeros = torch.zeros(len(scale), dtype=torch.int32)
        layer.weight.data = torch.fake_quantize_per_channel_affine(w, scale, zeros, 0, -7, 7)
    now = hits()  # an image between two classes may fall to either by rounding
    assert row["gained"] == pytest.approx(int((now & ~original).sum()), abs=1)
    assert row["lost"] == pytest.approx(int((original & ~now).sum()), abs=1)
    right = 100 * now.double().mean().item()
    assert row["accuracy"] == pytest.approx(right, abs=1.01 * 100 / len(now))
    assert row["bits_per_weight"] == pytest.approx(4 + 16 * 410 / 266_200)


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("form", ["symmetric", "asymmetric"])
def test_weights_and_decibels_are_those_by_hand(form, bits):
    """Oracle: torch's fake-quantize per tensor, and 10 log₁₀(Σ w² / Σ (w − ŵ)²) in NumPy.

    Symmetric, the codes are −q_max … q_max; asymmetric, one more.
    """
    network = load_checkpoint("lenet300")
    q_max = 2 ** (bits - 1) - 1
    before, after, stored = [], [], 0
    for layer in (network.fc1, network.fc2, network.fc3):
        w = layer.weight.detach()
        if form == "symmetric":
            scale, zero, q_min = w.abs().max() / q_max, 0, -q_max
        else:
            q_min = -q_max - 1
            scale = (w.max() - w.min()) / (2**bits - 1)
            zero = q_min - round(w.min().item() / scale.item())
        stored += 16 + bits * (zero != 0)  # a scale, and a zero point unless it is 0
        before.append(w.flatten())
        w_hat = torch.fake_quantize_per_tensor_affine(w, scale.item(), zero, q_min, q_max)
        after.append(w_hat.flatten())
    w, w_hat = (torch.cat(values).double().numpy() for values in (before, after))
    decibels = 10 * np.log10((w**2).sum() / ((w - w_hat) ** 2).sum())

    changed, bits_per_weight, found = recorder.quantized(network, "tensor", form, bits)
    ours = torch.cat([layer.weight.flatten() for layer in (changed.fc1, changed.fc2, changed.fc3)])
    other_code = np.abs(ours.detach().numpy() - w_hat) > 1e-6 * np.abs(w_hat)
    assert other_code.mean() < 1e-5  # a weight halfway between two codes may be rounded to either
    assert found == pytest.approx(decibels)
    assert bits_per_weight == pytest.approx(bits + stored / 266_200, abs=1e-9)


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
