"""The shipped ONNX file: made again, measured anew; its training on few images; its record."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments import deployed, deployment, runtimes
from experiments.deployed import DEPLOYED, ONNX, WEIGHTS, load_deployed
from reference_impl import compress
from reference_impl.data import load_dataset
from reference_impl.files import ROOT
from reference_impl.training import provenance

SHIPPED = json.loads((DEPLOYED / "fashion.json").read_text("utf-8"))
RECORD = json.loads((ROOT / "data/results/deployment.json").read_text("utf-8"))
AGREEMENT = {row["network"]: row for row in RECORD["agreement"]}
TIMES = {(r["runtime"], r["batch"], r["threads"]): r["microseconds"] for r in RECORD["times"]}


def test_the_shipped_file_is_made_of_the_shipped_weights():
    """Oracle: the file written again, and the sums in the record."""
    content = (DEPLOYED / ONNX).read_bytes()
    assert compress.to_onnx(load_deployed(), torch.zeros(1, 1, 28, 28)) == content
    for name in (ONNX, WEIGHTS):
        found = hashlib.sha256((DEPLOYED / name).read_bytes()).hexdigest()
        assert found == SHIPPED["sha256"][name]
    assert SHIPPED["teacher"] == provenance("teacher").sha256


def test_the_shipped_file_is_as_good_as_its_record_says():
    """Oracle: all test images in ONNX Runtime; ties may be decided otherwise."""
    test = load_dataset().test
    session = runtimes.session((DEPLOYED / ONNX).read_bytes())
    (logits,) = session.run(None, {"x": test.images.numpy()})
    right = 100 * float((logits.argmax(1) == test.labels.numpy()).mean())
    assert right == pytest.approx(SHIPPED["test_accuracy"], abs=0.15)
    assert right == pytest.approx(AGREEMENT["deployed"]["test"]["int8"], abs=0.15)


def test_the_record_is_of_the_shipped_files():
    """Oracle: the files' lengths; the accuracies of the shipped networks' own records."""
    for name, row in AGREEMENT.items():
        if name == "deployed":
            assert row["bytes"]["int8"] == (DEPLOYED / ONNX).stat().st_size
        else:
            assert row["test"]["float32"] == pytest.approx(provenance(name).test_accuracy, abs=0.05)


def test_the_deployed_file_reaches_its_goals():
    """Oracle: the goals: a hundredth of the bytes, six and ten times the speed."""
    whole, small = AGREEMENT["teacher"], AGREEMENT["deployed"]
    assert small["bytes"]["int8"] <= min(whole["bytes"]["float32"] / 100, 15_600)
    for batch, times in ((1, 6), (64, 10)):
        found = TIMES["ONNX Runtime", batch, 1]
        assert found["teacher, float32"]["p50"] >= times * found["deployed, int8"]["p50"]


@pytest.fixture
def few(monkeypatch, small):
    """Shorten the recipe, and take a part of the data."""
    monkeypatch.setattr(deployed, "load_dataset", lambda: small)
    monkeypatch.setattr(deployed, "N_VIEWS", 2)
    for name in ("FULL_PRECISION", "FEW_BITS"):
        monkeypatch.setattr(deployed, name, replace(getattr(deployed, name), epochs=1))


@pytest.mark.usefixtures("few")
def test_a_run_writes_a_network_that_loads_and_goes_on_after_the_distillation(
    monkeypatch, tmp_path, capsys
):
    """Oracle: the file of a second run, which stops at the training in few bits and continues."""
    arguments = ["--folder", str(tmp_path)]
    assert deployed.main(arguments) == 0
    first = (tmp_path / ONNX).read_bytes()
    assert compress.to_onnx(load_deployed(tmp_path), torch.zeros(1, 1, 28, 28)) == first
    with monkeypatch.context() as patched:
        patched.setattr(deployed, "with_quantizers", interrupted)
        assert deployed.main(arguments) == 130
    capsys.readouterr()
    assert deployed.main(arguments) == 0
    assert "AdamRecipe" not in capsys.readouterr().out
    assert (tmp_path / ONNX).read_bytes() == first


def interrupted(*_):
    raise KeyboardInterrupt


def test_percentiles_are_those_of_the_quietest_round():
    """Oracle: a clock that says how long each call takes: 3 µs, in one round 2 µs, once 9."""
    ticks, count = [0.0], [0]

    def call():
        count[0] += 1
        round_number = (count[0] - 11) // 1000
        slow = 9e-6 if count[0] % 10 == 0 else 2e-6
        ticks[0] += slow if round_number == 1 else 3e-6

    found = runtimes.percentiles({"call": call}, lambda: ticks[0], rounds=3)
    assert found["call"]["p50"] == pytest.approx(2, abs=0.01)
    assert found["call"]["p95"] == pytest.approx(9, abs=0.01)


def test_a_runtime_that_is_not_installed_is_left_out_by_name(monkeypatch, capsys):
    """Oracle: a name that no package has; the plan without it."""
    missing = runtimes.Runtime("no_such_runtime", runtimes.eager)
    monkeypatch.setitem(runtimes.RUNTIMES, "None such", missing)
    planned = list(deployment.planned([]))
    assert "None such" not in {getattr(run, "runtime", "") for run in planned}
    assert "None such is left out: pip install no_such_runtime" in capsys.readouterr().err
    assert {"ONNX Runtime", "torch"} <= {getattr(run, "runtime", "") for run in planned}


@pytest.mark.parametrize("name", ["ONNX Runtime", "torch"])
def test_a_call_answers_its_batch(name):
    """Oracle: torch on the same network."""
    x = load_dataset().test.images[:3].clone()
    network = deployment.full_precision("student")
    answer = runtimes.RUNTIMES[name].prepare(network, x, 1)()
    found = answer[0] if name == "ONNX Runtime" else answer.numpy()
    with torch.no_grad():
        np.testing.assert_allclose(found, network(x).numpy(), atol=1e-3)
