"""experiments.granularity: what it records, against the network quantized by hand."""

import numpy as np
import pytest
import torch

from experiments import granularity as record_granularity
from reference_impl.data import Dataset, load_dataset
from reference_impl.training import load_checkpoint, predict

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def small() -> Dataset:
    whole = load_dataset()
    return Dataset(whole.train[:10], whole.validation[:10], whole.test[:500])


def test_a_row_is_the_network_quantized_by_hand(small: Dataset) -> None:
    """Oracle: torch's fake-quantize of each weight, symmetric, 4 bits per channel."""
    run = record_granularity.Run("lenet300", "channel", "symmetric", 4)
    row = record_granularity.measured(run, small)
    network = load_checkpoint("lenet300").eval()
    original = predict(network, small.test.images).argmax(dim=1) == small.test.labels
    for layer in (network.fc1, network.fc2, network.fc3):
        scale = layer.weight.detach().abs().amax(dim=1) / 7
        zeros = torch.zeros(len(scale), dtype=torch.int32)
        layer.weight.data = torch.fake_quantize_per_channel_affine(
            layer.weight.detach(), scale, zeros, 0, -7, 7
        )
    hits = predict(network, small.test.images).argmax(dim=1) == small.test.labels
    one = 100 / len(hits)  # an image between two classes may fall to either by rounding
    assert row["gained"] == pytest.approx(int((hits & ~original).sum()), abs=1)
    assert row["lost"] == pytest.approx(int((original & ~hits).sum()), abs=1)
    assert row["accuracy"] == pytest.approx(100 * hits.double().mean().item(), abs=1.01 * one)
    assert row["bits_per_weight"] == pytest.approx(4 + 16 * 410 / 266_200)


@pytest.mark.parametrize("bits", [4, 2])
@pytest.mark.parametrize("form", ["symmetric", "asymmetric"])
def test_weights_and_decibels_are_those_by_hand(form: str, bits: int) -> None:
    """Oracle: torch's fake-quantize per tensor, and 10 log₁₀(Σ w² / Σ (w − ŵ)²) in NumPy.

    Symmetric, the codes are −q_max … q_max; asymmetric, one more.
    """
    network = load_checkpoint("lenet300").eval()
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

    changed, bits_per_weight, found = record_granularity.quantized(network, "tensor", form, bits)
    ours = torch.cat([layer.weight.flatten() for layer in (changed.fc1, changed.fc2, changed.fc3)])
    other_code = np.abs(ours.detach().numpy() - w_hat) > 1e-6 * np.abs(w_hat)
    assert other_code.mean() < 1e-5  # a weight halfway between two codes may be rounded to either
    assert found == pytest.approx(decibels)
    assert bits_per_weight == pytest.approx(bits + stored / 266_200, abs=1e-9)


def test_groups_divide_the_rows_and_are_as_large_as_allowed() -> None:
    """Oracle: by hand; 28 and 8 divide 784, 9 the nine weights of a filter."""
    shapes = {
        (300, 784, 32): (300, 28, 28),
        (300, 784, 8): (300, 98, 8),
        (100, 300, 32): (100, 10, 30),
        (32, 9, 8): (32, 3, 3),
    }
    for (out, columns, most), expected in shapes.items():
        view, axes = record_granularity.parts(torch.ones(out, columns), most)
        assert (tuple(view.shape), axes) == (expected, (0, 1))
    kernel = torch.ones(4, 3, 5, 5)
    assert record_granularity.parts(kernel, "tensor")[1] == ()
    assert record_granularity.parts(kernel, "channel")[0].shape == (4, 75)
