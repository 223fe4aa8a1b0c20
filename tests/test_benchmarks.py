"""The benchmark harness: ratios, targets and the file that it writes."""

import json
import time

import pytest
import torch

from benchmarks import (
    codebook,
    coding,
    distillation,
    integer,
    merging,
    networks,
    pruning,
    quantization,
)
from benchmarks.harness import Case, Result, compare, report
from benchmarks.onnx_peer import onnx_call
from reference_impl.compress import prunable_weights, write_huffman
from reference_impl.data import load_dataset
from reference_impl.files import ROOT
from reference_impl.measuring import model_cost, sqnr
from reference_impl.models import LeNet5
from reference_impl.training import load_checkpoint

FAST = Case("fast", "sleep", 1.0, lambda: None, lambda: time.sleep(0.002), rounds=5)
SLOW = Case("slow", "nothing", 2.0, lambda: time.sleep(0.002), lambda: None, rounds=5)


def test_the_faster_side_has_a_ratio_below_one():
    """Oracle: a sleep against nothing."""
    fast, slow = compare(FAST), compare(SLOW)
    assert fast.ratio < 1 < slow.ratio
    assert fast.lower_quartile <= fast.ratio <= fast.upper_quartile
    assert fast.holds
    assert not slow.holds


def test_the_report_writes_what_the_issue_asks_for(tmp_path, capsys):
    """Oracle: the list {name, peer, ratio, target, holds}."""
    results = [Result(FAST, 0.5, 0.4, 0.6, 0.002), Result(SLOW, 3.0, 2.0, 4.0, 0.001)]
    assert report(results[:1], tmp_path / "one.json")
    assert not report(results, tmp_path / "deep" / "bench.json")
    assert json.loads((tmp_path / "deep" / "bench.json").read_text()) == [
        {"name": "fast", "peer": "sleep", "ratio": 0.5, "target": 1.0, "holds": True},
        {"name": "slow", "peer": "nothing", "ratio": 3.0, "target": 2.0, "holds": False},
    ]
    assert "NO" in capsys.readouterr().out


def test_the_quantization_benchmarks_time_equal_results():
    """Oracle: the peers' own results; the codes differ at ties, where torch divides by s."""
    (fused, separate) = quantization.min_max_cases()
    assert torch.equal(fused.ours(), separate.ours())
    step = (fused.ours() - fused.theirs()).abs().max()
    assert 0 < step < 0.05  # half a step, about 0.02, twice: the grids are shifted
    (trip, both_ways, codes) = quantization.affine_cases()
    assert torch.equal(trip.ours(), trip.theirs())
    assert torch.equal(both_ways.ours(), both_ways.theirs())
    ours, theirs = codes.ours(), codes.theirs()
    assert ours.dtype == theirs.dtype == torch.int8
    assert (ours != theirs).double().mean() < 1e-5


def test_the_codebook_benchmark_times_equal_results(monkeypatch):
    """Oracle: the peers' squared errors on the same weights, every eighth; ours is the least."""
    weights = codebook.weights()[::8]
    monkeypatch.setattr(codebook, "weights", lambda: weights)
    x = weights.double()
    (restarts, exact) = codebook.cases()
    ours = restarts.ours()
    error = float((x - ours.round_trip(x)).square().sum())
    assert error < restarts.theirs()
    assert ours.values == pytest.approx(sorted(exact.theirs().centroids), abs=1e-9)


def test_the_distillation_benchmarks_time_equal_losses():
    """Oracle: the direct formulation's gradient; angles differ by the triples that are counted."""
    ours = distillation.ours()
    assert ours.keys() == distillation.DIRECT.keys()
    for name, loss in ours.items():
        mine = distillation.gradient(loss, name)
        peer = distillation.gradient(distillation.DIRECT[name], name)
        rtol = 0.05 if name == "angles" else 1e-4
        assert (mine - peer).norm() < rtol * peer.norm(), name
    step = distillation.step_case(n_steps=2)
    assert len(step.ours()) == len(step.theirs()) == 2
    assert [case.target for case in distillation.cases()] == [1.1] * len(ours) + [1.25]


def test_the_integer_benchmarks_time_the_peers_layer(monkeypatch):
    """Oracle: the float32 layer of each library, within a unit of the last place of its sums."""
    monkeypatch.setattr(integer, "SHAPES", [(5, 64, 12)])
    given = integer.problem(5, 64, 12)
    ours = {name: call() for name, call in integer.integer_calls(given).items()}
    for name, call in integer.float_calls(given).items():
        y = call() if name == "ONNX Runtime" else call().detach()
        y = torch.as_tensor(y).double()
        sums = ours["codes → int32"] * given.unit
        torch.testing.assert_close(sums, y, rtol=1e-5, atol=1e-3, msg=name)
        exact = torch.round(sums / given.output_scale) + given.requantizer.zero_point
        assert torch.equal(ours["codes → codes"], exact.clamp(7, 255).to(torch.uint8))
    targets = [case.target for case in integer.cases()]
    assert targets in ([1.0, 1.0], [])


def test_the_integer_record_has_every_way(monkeypatch):
    """Oracle: the shipped record, which the same experiment made."""
    monkeypatch.setattr(integer, "compare_latencies", lambda calls, **_: dict.fromkeys(calls, 1.0))
    text = (ROOT / "data" / "results" / "integer.json").read_text(encoding="utf-8")
    networks = {(row["network"], row["batch"]): row for row in json.loads(text)["networks"]}
    dataset = load_dataset()
    for run in integer.planned([]):
        if isinstance(run, integer.NetworkRun):
            ways = networks[run.network, run.batch]["seconds"].keys()
            assert run.measured(dataset)["seconds"].keys() == ways
    found = integer.LayerRun(2, 64, 8).measured(dataset)["seconds"]
    assert {"torch", "ONNX Runtime", "codes → int32", "codes → codes"} <= found.keys()


@pytest.mark.parametrize("name", ["lenet300", "lenet5"])
def test_the_networks_peers_give_the_networks_logits(name):
    """Oracle: the trained network; its logits in integers are near, the others equal."""
    images = load_dataset().test.images[:8]
    calls = integer.network_calls(name, images)
    with torch.no_grad():
        logits = load_checkpoint(name)(images)
        found = {key: torch.as_tensor(call()) for key, call in calls.items()}
    assert torch.equal(found.pop("integers").argmax(1), logits.argmax(1))
    for key, value in found.items():
        torch.testing.assert_close(value, logits, rtol=1e-4, atol=1e-4, msg=key)


def test_the_onnx_peer_refuses_what_it_cannot_say():
    """Oracle: the message names the module."""
    with pytest.raises(ValueError, match="operator of ONNX for each module, got GELU"):
        onnx_call(torch.nn.Sequential(torch.nn.GELU()), torch.ones(1, 2))


def test_the_pruning_benchmarks_time_equal_networks():
    """Oracle: the masked twin's logits; the operations of Torch-Pruning's network."""
    *narrow, whole = pruning.cases()
    for case in narrow:
        assert torch.allclose(case.ours(), case.theirs(), atol=1e-4)
    ours, theirs = (model_cost(side(), (1, 28, 28)).macs for side in (whole.ours, whole.theirs))
    assert 0.97 * theirs < ours <= theirs


def test_the_merging_benchmarks_time_equal_similarities(monkeypatch):
    """Oracle: the peers' own results on fewer neurons; merging leaves half of them."""
    monkeypatch.setattr(merging, "NEURONS", 128)
    (loop, sklearn, whole) = merging.cases()
    ours, pairs = loop.ours(), loop.theirs()
    looped = torch.stack(list(pairs.values())).view(32, 128)
    torch.testing.assert_close(ours[:32], looped, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours, torch.from_numpy(sklearn.theirs()), atol=1e-6, rtol=0)
    assert [tuple(layer.shape) for layer in whole.ours()] == [(64, 1024), (1024, 64)]
    assert loop.target == pytest.approx(128 / 1000)  # a loop over 32 of 4,096 neurons


def test_the_benchmarks_of_a_brought_network_time_equal_results():
    """Oracle: torch's fused weights; the network's outputs; Torch-Pruning's MACs."""
    fold, quantize, prune = networks.cases()
    ours, theirs = fold.ours(), fold.theirs()
    torch.testing.assert_close(ours.conv1.weight, theirs.conv1.weight)
    with torch.no_grad():
        images = torch.rand(2, 3, networks.SIZE, networks.SIZE)
        assert sqnr(ours(images), quantize.ours()(images)) > 20
    macs = [model_cost(side().eval(), (3, 96, 96)).macs for side in (prune.ours, prune.theirs)]
    assert 0.9 * macs[1] < macs[0] <= macs[1]


def test_the_coding_benchmarks_time_equal_results(monkeypatch):
    """Oracle: the symbols; sizes of other coders; the network that was written."""
    monkeypatch.setattr(coding, "N", 20_000)
    monkeypatch.setattr(coding, "load_checkpoint", lambda _: LeNet5(conv=(5, 9), hidden=50))
    encoding, range_encoding, decoding, range_decoding, file = coding.cases()
    symbols = coding.drawn()
    assert decoding.ours().tolist() == decoding.theirs() == symbols.tolist()
    assert range_decoding.theirs().tolist() == symbols.tolist()
    n = len(encoding.ours())
    assert n <= len(encoding.theirs()) < n + 60
    assert 0.95 * n < range_encoding.theirs().nbytes <= n
    read = file.ours()
    assert all(len(weight.unique()) <= 32 for weight in prunable_weights(read).values())
    sizes = coding.peer_sizes(read)
    assert sizes["raw"] == 4 * sum(parameter.numel() for parameter in read.parameters())
    ours = len(write_huffman(read).data)
    assert ours < min(sizes.values()) < 2 * ours
