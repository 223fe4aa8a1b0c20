"""experiments.order: every order once, bytes by hand, and what the record must hold."""

import zlib
from itertools import permutations

import numpy as np
import torch

from experiments import order as recorder
from experiments.runner import runs_of
from reference_impl import compress
from reference_impl.models import LeNet300
from reference_impl.training import Quantize


def test_every_order_is_made_once():
    """Oracle: the permutations of four names, with stages that do nothing."""

    class Counted(recorder.Run):
        def after(self, network, order, *_):
            return (*network, order[-1])

    found = []
    for name in recorder.NAMES:
        run = Counted("lenet300", "mild", 1, name)
        found += list(run.finished((name,), (name,), None))
    assert all(order == made for order, made in found)
    assert sorted(order for order, _ in found) == sorted(permutations(recorder.NAMES))


def test_stored_bytes_are_those_of_codes_steps_and_biases():
    """Oracle: NumPy's codes of the same weights, and zlib."""
    torch.manual_seed(0)
    network = LeNet300((4, 3)).eval()
    deployed = compress.deploy(Quantize(3).changed(network, torch.rand(5, 1, 28, 28)))
    content = b""
    for layer in (deployed.fc1, deployed.fc2, deployed.fc3):
        scale = layer.weight_quantizer.scale
        codes = np.rint(layer.layer.weight.detach().numpy() / scale.numpy())
        content += codes.astype(np.int8).tobytes() + scale.numpy().astype(np.float16).tobytes()
        of_input = layer.input_quantizer
        content += of_input.scale.numpy().tobytes() + of_input.zero_point.numpy().tobytes()
        content += layer.layer.bias.detach().numpy().tobytes()
    assert recorder.stored_bytes(deployed) == len(zlib.compress(content, level=9))


def test_the_plan_has_every_order_for_every_seed():
    """Oracle: 5 seeds, 2 networks, 2 strengths, 4 first stages; two rivals; a start each."""
    plan = runs_of(recorder, [])
    kinds = [type(run).__name__ for run in plan]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "Start": 10,
        "Run": 80,
        "Together": 40,
        "Timed": 4,
    }
    assert len(set(plan)) == len(plan)


def test_a_strong_stage_changes_more_than_a_mild_one():
    """Oracle: the settings; both strengths have the four stages."""
    for network in recorder.STARTS:
        mild, strong = (recorder.STAGES[network, s] for s in ("mild", "strong"))
        assert list(mild) == list(strong) == list(recorder.NAMES)
        assert strong["prune"].sparsity > mild["prune"].sparsity
        assert strong["merge"].share > mild["merge"].share
        assert strong["quantize"].bits < mild["quantize"].bits
