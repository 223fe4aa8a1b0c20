"""book_tools.record_granularity: what it records, against the network quantized by hand."""

import json
from pathlib import Path

import pytest
import torch

from book_tools import record_granularity
from reference_impl.checkpoints import load_checkpoint
from reference_impl.data import Dataset, load_dataset
from reference_impl.training import predict


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def small() -> Dataset:
    whole = load_dataset()
    return Dataset(whole.train[:10], whole.validation[:10], whole.test[:500])


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, small: Dataset) -> None:
    """Let the command take one network and 500 images."""
    monkeypatch.setattr(record_granularity, "NETWORKS", ("lenet300",))
    monkeypatch.setattr(record_granularity, "WIDTHS", (4, 2))
    monkeypatch.setattr(record_granularity, "load_dataset", lambda: small)


@pytest.mark.usefixtures("command")
def test_a_row_is_the_network_quantized_by_hand(tmp_path: Path, small: Dataset) -> None:
    """Oracle: torch's fake-quantize of each weight, symmetric, 4 bits per channel."""
    path = tmp_path / "record.json"
    assert record_granularity.main(["--path", str(path)]) == 0
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    assert len(rows) == 4 * 2 * 2
    (row,) = (
        row
        for row in rows
        if (row["granularity"], row["form"], row["bits"]) == ("channel", "symmetric", 4)
    )
    network = load_checkpoint("lenet300").eval()
    original = predict(network, small.test.images).argmax(dim=1) == small.test.labels
    for layer in (network.fc1, network.fc2, network.fc3):
        scale = layer.weight.detach().abs().amax(dim=1) / 7
        zeros = torch.zeros(len(scale), dtype=torch.int32)
        layer.weight.data = torch.fake_quantize_per_channel_affine(
            layer.weight.detach(), scale, zeros, 0, -7, 7
        )
    hits = predict(network, small.test.images).argmax(dim=1) == small.test.labels
    assert row["gained"] == int((hits & ~original).sum())
    assert row["lost"] == int((original & ~hits).sum())
    assert row["accuracy"] == pytest.approx(100 * hits.double().mean().item())
    assert row["bits_per_weight"] == pytest.approx(4 + 16 * 410 / 266_200)


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


@pytest.mark.usefixtures("command")
def test_a_path_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Oracle: exit code 1 and the program's name before the message."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert record_granularity.main(["--path", str(blocked / "record.json")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("record_granularity: ")
