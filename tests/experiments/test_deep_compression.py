"""experiments.deep_compression: bytes of each step, and values that weights share."""

from dataclasses import replace

import pytest
import torch
from draws import generator

from experiments import deep_compression as recorder
from experiments import workers
from experiments.deep_compression import Run, Shared, Way
from reference_impl.compress import density, prunable_weights, write_huffman
from reference_impl.models import LeNet300

STEPS = ["float32", "pruned", "shared", "trained", "Huffman", "biases"]


QUICK = Run("FashionMNIST", "lenet300", Way(1, 2, 1, sparsity=0.9, values=15), seed=5)


def test_rows_are_those_of_the_files(monkeypatch, small):
    """Oracle: what is written and read, byte by byte; counting zeros and values."""
    files = []

    def written(network):
        files.append(write_huffman(network))
        return recorder.read_network(files[-1].data), len(files[-1].data)

    monkeypatch.setattr(recorder, "written", written)
    found = QUICK.measured(small)
    bytes_of = {row["step"]: row["bytes"] for row in found["steps"]}
    assert list(bytes_of) == STEPS
    assert [bytes_of[step] for step in ("float32", "Huffman", "biases")] == [
        len(file.data) for file in files
    ]
    in_order = [bytes_of[step] for step in STEPS]
    assert in_order == sorted(in_order, reverse=True)
    assert bytes_of["shared"] == bytes_of["trained"]
    huffman, last = (recorder.read_network(file.data) for file in files[1:])
    assert density(huffman) == pytest.approx(0.1, abs=1e-4)
    for row, (name, weight) in zip(found["layers"], prunable_weights(last).items(), strict=True):
        assert (row["layer"], row["weights"]) == (name, weight.numel())
        assert row["kept"] == int((weight != 0).sum())
        assert len(weight.unique()) <= 16
    assert sum(found["bits"].values()) == 8 * bytes_of["biases"]


def test_the_bytes_of_a_layer_are_counted_by_hand():
    """Oracle: by hand. 20 weights of two values, the last one 16 places after the others."""
    weight = torch.zeros(40)
    weight[:19] = torch.tensor([0.5, -0.25])[torch.arange(19) % 2]
    weight[35] = 0.5
    row = recorder.layer(weight)
    assert (row["kept"], row["index_bits"], row["code_bits"]) == (20, 1, 2)
    entries = 20 + 8  # 16 zeros: a filler for every two of them
    assert row["fixed_bytes"] == 2 + 1 + 8 + -(-entries * 3 // 8)
    assert recorder.pruned_bytes(weight) == 2 + 1 + -(-20 * (32 + 5) // 8)


def test_a_values_derivative_is_the_sum_of_those_of_its_weights():
    """Oracle: ``torch.bincount`` of the weights' derivatives; the weights' own values."""
    network = LeNet300(hidden=(6, 5))
    with torch.no_grad():
        network.fc2.weight[torch.rand(5, 6, generator=generator()) < 0.4] = 0
    sharing = recorder.with_shared_values(network, 4)
    fc2 = sharing.fc2
    weight = fc2.weight
    assert torch.equal(weight != 0, network.fc2.weight != 0)
    assert len(weight.unique()) == 5
    upstream = torch.rand(5, 6, generator=generator(1))
    (weight * upstream).sum().backward()
    values, shared = fc2.parametrizations.weight.original, fc2.parametrizations.weight[0]
    assert isinstance(shared, Shared)
    expected = torch.bincount(shared.codes, upstream[shared.kept], minlength=4)
    torch.testing.assert_close(values.grad, expected)
    plain = recorder.settled(network, sharing)
    assert torch.equal(plain.fc2.weight, weight)
    assert torch.equal(plain.fc1.bias, network.fc1.bias)


def test_training_moves_values_and_no_weight_to_another_one(small):
    """Oracle: weights that shared a value share one after the training, another one."""
    torch.manual_seed(0)
    whole = LeNet300(hidden=(20, 10))
    sharing = recorder.with_shared_values(whole, 8)
    before = recorder.settled(whole, sharing)
    recipe = replace(QUICK.recipe("shared", 1), learning_rate=0.01)
    recorder.learn(sharing, recorder.view(whole, small.train), recipe)
    after = recorder.settled(whole, sharing)
    assert not torch.equal(before.fc1.weight, after.fc1.weight)
    for value in before.fc1.weight.unique():
        assert len(after.fc1.weight[before.fc1.weight == value].unique()) == 1


def test_mnist_is_planned_only_where_it_is(monkeypatch, tmp_path):
    """Oracle: the plans with the folder and without it."""
    monkeypatch.setattr(workers, "MNIST", tmp_path)
    assert {run.data for run in recorder.planned([])} == {"FashionMNIST", "MNIST"}
    monkeypatch.setattr(workers, "MNIST", tmp_path / "elsewhere")
    assert {run.data for run in recorder.planned([])} == {"FashionMNIST"}
