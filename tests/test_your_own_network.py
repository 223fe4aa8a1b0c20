"""The page "Your own network": its script, the table that it shows, and what is refused."""

import re
import runpy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from reference_impl import compress
from reference_impl.measuring import model_size, sqnr

CHAPTERS = Path(__file__).parents[1] / "chapters"
PAGE = (CHAPTERS / "your_own_network.md").read_text("utf-8")
SCRIPT = SimpleNamespace(**runpy.run_path(str(CHAPTERS / "your_own_network.py")))
ROW = r"^(\S.{25}) +([\d.]+) +([\d.]+) +(inf|-?[\d.]+) +([\d.]+)$"
X, IMAGES = torch.rand(2, 3, 8, 8), torch.rand(4, 3, 32, 32)


def shown(text: str) -> dict[str, list[str]]:
    """Return name → MB, 10⁶ MACs, SQNR in dB and milliseconds of each row of a table."""
    return {name.strip(): rest for name, *rest in re.findall(ROW, text, re.MULTILINE)}


def test_the_script_runs_on_the_weights_and_images_of_a_reader(tmp_path, monkeypatch, capsys):
    """Oracle: the page's rows; the exported network, which answers; a network of one block."""
    few = [[6, 16, 1, 2]]
    small = partial(SCRIPT.mobilenet_v2, inverted_residual_setting=few)
    monkeypatch.setitem(SCRIPT.main.__globals__, "mobilenet_v2", small)
    once = partial(SCRIPT.compare_latencies, rounds=1, min_run_time=0.001)
    monkeypatch.setitem(SCRIPT.main.__globals__, "compare_latencies", once)
    torch.save(small(num_classes=7).state_dict(), tmp_path / "weights.pt")
    for i in range(4):
        Image.new("RGB", (40, 50), (60 * i, 20, 200 - 60 * i)).save(tmp_path / f"{i}.png")
    given = ["--weights", tmp_path / "weights.pt", "--images", tmp_path, "--size", 32]
    SCRIPT.main([*map(str, given), "--export", str(tmp_path / "small.pt2")])
    rows = shown(capsys.readouterr().out)
    assert list(rows) == list(shown(PAGE))
    assert rows["as it came"][2] == "inf"
    assert float(rows["BatchNorm folded"][2]) > 60
    answer = torch.export.load(tmp_path / "small.pt2").module()(torch.rand(1, 3, 32, 32))
    assert answer.shape == (1, 7)


def test_the_exported_file_may_be_for_onnx_runtime(tmp_path, monkeypatch):
    """Oracle: ONNX Runtime, which reads the file that the last network became."""
    small = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3600, 2)).eval()
    made = [("as it came", 32, small), ("8 bits", 8, compress.PostTraining(bits=8)(small, IMAGES))]
    once = partial(SCRIPT.compare_latencies, rounds=1, min_run_time=0.001)
    for name, value in {
        "images_of": lambda *_: IMAGES,
        "network_of": lambda *_: small,
        "variants": lambda *_: made,
        "compare_latencies": once,
    }.items():
        monkeypatch.setitem(SCRIPT.main.__globals__, name, value)
    SCRIPT.main(["--export", str(tmp_path / "small.onnx")])
    session = onnxruntime.InferenceSession(str(tmp_path / "small.onnx"))
    logits = torch.from_numpy(session.run(None, {"x": IMAGES.numpy()})[0])
    assert sqnr(made[1][2](IMAGES), logits) > 30


def test_files_that_are_not_what_an_option_wants_end_in_one_line(tmp_path):
    """Oracle: an empty folder, one that is not there, and a checkpoint around the weights."""
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(SystemExit, match=r"two images or more, .* has 0"):
            SCRIPT.images_of(folder, 32)
    torch.save({"model": {}, "epoch": 3}, tmp_path / "checkpoint.pt")
    with pytest.raises(SystemExit, match=r"state_dict alone, .* has \['epoch', 'model'\]"):
        SCRIPT.network_of(tmp_path / "checkpoint.pt", X)


def test_the_sizes_and_operations_on_the_page_are_those_of_the_networks():
    """Oracle: the networks of the script, whole and halved; MACs from their widths."""
    rows, image = shown(PAGE), torch.zeros(1, 3, 96, 96)
    share = float(rows["half of the units"][1]) / float(rows["as it came"][1])
    assert f"{share:.0%} of them are left".replace("%", " %") in PAGE
    whole = SCRIPT.mobilenet_v2().eval()
    for name, network in {
        "as it came": whole,
        "BatchNorm folded": compress.fold_batch_norms(whole),
        "half of the units": compress.fold_batch_norms(SCRIPT.without_half(whole, image)),
    }.items():
        graph = compress.dependency_graph(network, image)
        macs = compress.mac_formula(network, graph)(graph.widths)
        assert rows[name][:2] == [f"{model_size(network).bytes / 1e6:.2f}", f"{macs / 1e6:.1f}"]


def by(forward: Callable[..., Tensor], **modules: nn.Module) -> nn.Module:
    """Return a network of some modules, whose forward pass is a function of it and its inputs."""
    network: nn.Module = type("By", (nn.Module,), {"forward": forward})()
    for name, module in modules.items():
        network.add_module(name, module)
    return network.eval()


CONV, EVEN = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 3, 3, padding=1)
LAYERS = {"a": nn.Conv2d(3, 4, 1), "b": nn.Conv2d(1, 2, 1)}
SHUFFLED = by(lambda m, x: m.b(F.pixel_shuffle(m.a(x), 2)), **LAYERS)
WEIGHT_NORM = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 4, 3)))
BRANCHES = by(lambda m, x: m.a(x) if x.shape[2] > 4 else m.a(x.tile(4)), a=CONV)
GATED = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Hardswish(), nn.Conv2d(4, 2, 3)).eval()
eight = compress.PostTraining(bits=8)

REFUSED = [
    lambda: eight(BRANCHES, X),
    lambda: eight(by(lambda m, x: m.a(m.a(x)), a=EVEN), X),
    lambda: eight(nn.Sequential(nn.MultiheadAttention(8, 2)), X),
    lambda: eight(WEIGHT_NORM, X),
    lambda: eight(nn.Sequential(prune.l1_unstructured(nn.Conv2d(3, 4, 3), "weight", 0.5)), X),
    lambda: eight(by(lambda m, x, y: m.a(x) + y, a=CONV), X),
    lambda: compress.remove_units(SHUFFLED, {"a": torch.arange(4) > 0}, X),
    lambda: compress.integer_network(eight(GATED, X)),
    lambda: compress.to_onnx(GATED, X),
    lambda: eight(nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)), torch.zeros(2, 3).long()),
    lambda: eight(nn.Linear(8, 2), X),
    lambda: eight(torch.compile(nn.Sequential(CONV), backend="eager"), X),
    lambda: eight(nn.DataParallel(nn.Sequential(CONV)), X),
]
TABLE = re.findall(r"^\|[^|]+\| `(\w+): ([^`]+)` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("row", "call"), [*zip(TABLE, REFUSED, strict=True)])
def test_what_the_page_calls_unsupported_is_refused_so(row, call):
    """Oracle: the error that stands in the row, with … for what depends on the network."""
    kind, message = row
    with pytest.raises(
        (ValueError, TypeError), match=re.escape(message).replace("…", ".*")
    ) as found:
        call()
    assert found.type.__name__ == kind
