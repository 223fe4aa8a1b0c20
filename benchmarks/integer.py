"""Chapter 04: times of layers in integers against the best in float32 (two minutes).

What `make bench` times, and an experiment: `python -m experiments integer` records this machine.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn

from benchmarks.harness import Case
from benchmarks.onnx_peer import onnx_call
from reference_impl.compress import (
    Requantizer,
    integer_network,
    layer_inputs,
    quantize_layers,
    weight_layers,
)
from reference_impl.data import Dataset
from reference_impl.measuring import compare_latencies
from reference_impl.quantization import (
    IntegerGrid,
    IntegerLinear,
    affine_from_range,
    fixed_point,
    int8_products_are_exact,
    min_max_range,
    symmetric_from_range,
)
from reference_impl.training import load_checkpoint

SHAPES = ((64, 1024, 4096), (1, 1024, 4096))
NETWORKS = ("lenet300", "lenet5")
BATCHES = (64, 1)
SEED = 0
ROUNDS = 50
BYTE = IntegerGrid(8)

Calls = dict[str, Callable[[], object]]


@dataclass(frozen=True, eq=False)
class Problem:
    """One linear layer of random codes, in integers and in the real numbers they stand for."""

    layer: IntegerLinear
    requantizer: Requantizer
    codes: torch.Tensor
    unit: torch.Tensor

    @property
    def output_scale(self) -> torch.Tensor:
        """Return s_y."""
        return self.unit / self.requantizer.multiplier.value


def problem(n: int, k: int, m: int) -> Problem:
    """Return a layer of m outputs with a scale for each, and n rows of k codes."""
    generator = torch.Generator().manual_seed(SEED)
    codes = torch.randint(0, 256, (n, k), generator=generator, dtype=torch.uint8)
    weight = torch.randint(-127, 128, (m, k), generator=generator, dtype=torch.int8)
    bias = torch.randint(-9999, 9999, (m,), generator=generator, dtype=torch.int32)
    unit = torch.rand(m, generator=generator).double() * 1e-4 + 1e-5
    requantizer = Requantizer(fixed_point(unit / 0.5), BYTE, zero_point=7, relu=True)
    return Problem(IntegerLinear(weight, bias, BYTE, input_zero=120), requantizer, codes, unit)


def float_calls(given: Problem) -> Calls:
    """Return the layer on restored values in float32, in each library, by name."""
    layer, n = given.layer, given.codes.shape[0]
    x = given.codes.float() - layer.input_zero
    weight = layer.weight * given.unit.float().unsqueeze(1)
    bias = layer.bias * given.unit.float()
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.load_state_dict({"weight": weight, "bias": bias})
    calls: Calls = {
        "torch": lambda: linear(x),
        "ONNX Runtime": onnx_call(nn.Sequential(linear), x),
    }
    if torch.backends.mkldnn.is_available():
        # the packed weight of torch's compiler: private, and the fastest that torch has
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, n)
        fused = torch.ops.mkldnn._linear_pointwise
        calls["torch, oneDNN packed"] = lambda: fused(x, packed, bias, "none", [], "")
    return calls


def integer_calls(given: Problem) -> Calls:
    """Return the layer in integers: the product alone, sums with bias, and codes."""
    layer, requantizer, codes = given.layer, given.requantizer, given.codes
    calls: Calls = {
        "codes → int32": lambda: layer.accumulate(codes),
        "codes → codes": lambda: requantizer(layer.accumulate(codes)),
    }
    if int8_products_are_exact():
        calls["torch._int_mm alone"] = lambda: torch._int_mm(codes, layer.weight.t())
    return calls


def network_calls(name: str, images: torch.Tensor) -> Calls:
    """Return a trained network on images in float32, in each library, and in integers."""
    network = load_checkpoint(name)
    chain = copy.deepcopy(network).double()
    ranges = {key: (x.min(), x.max()) for key, x in layer_inputs(chain, images.double())}
    signed = IntegerGrid(8, signed=True, narrow=True)
    restored = quantize_layers(
        chain,
        {
            key: symmetric_from_range(*min_max_range(layer.weight.detach(), 0), signed)
            for key, layer in weight_layers(chain).items()
        },
        {key: affine_from_range(*ends, BYTE) for key, ends in ranges.items()},
    )
    integers = integer_network(restored)
    codes = integers.quantize(images.double())
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    return {
        "torch": lambda: network(images),
        "torch, channels last": lambda: last(images),
        "ONNX Runtime": onnx_call(network, images),
        "integers": lambda: integers.logits(codes),
    }


def cases() -> Iterator[Case]:
    """Yield the cases of chapter 04, against whichever float32 is fastest here."""
    if not int8_products_are_exact():
        return  # no instruction for products of bytes, and nothing to claim
    with torch.inference_mode():
        given = problem(*SHAPES[0])
        peers, ours = float_calls(given), integer_calls(given)
        took = compare_latencies(peers, threads=1)
    best = min(took, key=lambda name: took[name])
    for name in ("codes → int32", "codes → codes"):
        yield Case(
            f"integer linear 1024→4096, batch 64, {name}",
            f"best fp32: {best}",
            1.0,
            partial(_repeat, ours[name]),
            partial(_repeat, peers[best]),
        )


@dataclass(frozen=True)
class LayerRun:
    """One linear layer of random codes."""

    place: ClassVar = "layers"
    packages: ClassVar = ("onnxruntime",)
    batch: int
    inputs: int
    outputs: int

    def measured(self, _: Dataset) -> dict[str, Any]:
        """Return the seconds of one call of each way; see `fastest`."""
        with torch.inference_mode():
            given = problem(self.batch, self.inputs, self.outputs)
            return fastest({**float_calls(given), **integer_calls(given)})


@dataclass(frozen=True)
class NetworkRun:
    """One trained network."""

    place: ClassVar = "networks"
    packages: ClassVar = ("onnxruntime",)
    network: str
    batch: int

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the seconds of one call of each way; see `fastest`."""
        with torch.inference_mode():
            return fastest(network_calls(self.network, dataset.test.images[: self.batch]))


def fastest(calls: Calls) -> dict[str, Any]:
    """Return the least seconds of several rounds in which all calls take turns.

    Whatever else runs on the machine can only slow it down.
    """
    rounds = [
        compare_latencies(calls, threads=1, rounds=1, min_run_time=0.02) for _ in range(ROUNDS)
    ]
    return {"seconds": {name: min(took[name] for took in rounds) for name in calls}}


def about() -> dict[str, Any]:
    """Return how each time is measured."""
    return {"provenance": {"rounds": ROUNDS, "seed": SEED}}


def planned(_: Sequence[Any]) -> Iterator[LayerRun | NetworkRun]:
    """Yield the layers, then the networks."""
    yield from (LayerRun(*shape) for shape in SHAPES)
    yield from (NetworkRun(name, n) for name in NETWORKS for n in BATCHES)


def _repeat(call: Callable[[], object], times: int = 10) -> object:
    """Return the result of the last of several calls: one alone is too short to time."""
    with torch.inference_mode():
        for _ in range(times - 1):
            call()
        return call()
