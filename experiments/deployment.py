"""Chapter 21: files of the networks, their agreement, their times in runtimes (three minutes)."""

import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import torch
from onnxruntime import quantization as ort_quantization  # type: ignore[import-untyped]
from torch import nn

from experiments.deployed import load_deployed
from experiments.measures import percent_right
from experiments.runtimes import RUNTIMES, Call, installed, percentiles, session
from reference_impl.compress import PostTraining, QuantizedLayer, fold_batch_norms, to_onnx
from reference_impl.compress.layers import replaced
from reference_impl.data import Dataset, load_dataset
from reference_impl.quantization import AffineQuantizer, IntegerGrid
from reference_impl.training import load_checkpoint, predict
from reference_impl.training.distil import LEVELS

NETWORKS = ("teacher", "residual", "separable", "student", "lenet5", "lenet300", "deployed")
N_CALIBRATION = 512  #: the first training images, whose ranges are those of the quantizers
BASELINE, ENDS = "ONNX Runtime", ("teacher", "deployed")  #: other runtimes have these networks
BATCHES = (1, 64)
BLANK = torch.zeros(1, 1, 28, 28)


@cache
def full_precision(name: str) -> nn.Module:
    """Return a network in float32, without BatchNorm."""
    if name != "deployed":
        return fold_batch_norms(load_checkpoint(name))
    network = load_deployed()
    layers = {p: m.layer for p, m in network.named_modules() if isinstance(m, QuantizedLayer)}
    return replaced(network, layers)


@cache
def in_integers(name: str) -> nn.Module:
    """Return a network with 8 bits for weights and activations; the deployed one as it is."""
    if name == "deployed":
        return load_deployed()
    images = load_dataset().train.images[:N_CALIBRATION]
    return PostTraining(bits=8)(full_precision(name), images)


def fused(content: bytes) -> dict[str, int]:
    """Return kind → number of the nodes that ONNX Runtime makes of a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "fused.onnx"
        session(content, optimized_model_filepath=str(path))
        return dict(Counter(node.op_type for node in onnx.load(path).graph.node))


class _Images(ort_quantization.CalibrationDataReader):  # type: ignore[misc]
    """The images of the calibration, as ONNX Runtime's quantizer reads them."""

    def __init__(self, images: torch.Tensor) -> None:
        self.batches = iter([{"x": part.numpy()} for part in images.split(64)])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.batches, None)


def quantized_by_ort(content: bytes, images: torch.Tensor | None) -> bytes:
    """Return a file in float32 quantized by ONNX Runtime; without images, dynamically."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(content)
        if images is None:
            ort_quantization.quantize_dynamic(source, target)
        else:
            given = _Images(images)
            ort_quantization.quantize_static(source, target, given, per_channel=True)
        return target.read_bytes()


@dataclass(frozen=True)
class Agreement:
    """One network: its files, and what they answer for all test images."""

    place: ClassVar = "agreement"
    packages: ClassVar = ("onnx", "onnxruntime")
    network: str

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return bytes, accuracies in percent, and how the answers differ from torch's."""
        images, labels = dataset.test.images, dataset.test.labels
        network = in_integers(self.network)
        files = {
            "float32": to_onnx(full_precision(self.network), BLANK),
            "int8": to_onnx(network, BLANK),
        }
        calibration = dataset.train.images[:N_CALIBRATION]
        files["static by ONNX Runtime"] = quantized_by_ort(files["float32"], calibration)
        files["dynamic by ONNX Runtime"] = quantized_by_ort(files["float32"], None)
        logits = {name: _answers(content, images) for name, content in files.items()}
        ours, theirs = predict(network, images), logits["int8"]
        return {
            "bytes": {name: len(content) for name, content in files.items()},
            "test": {name: percent_right(found, labels) for name, found in logits.items()},
            "test_in_torch": percent_right(ours, labels),
            "other_classes": int((ours.argmax(1) != theirs.argmax(1)).sum()),
            "largest_difference": float((ours - theirs).abs().max()),
            "median_difference": float((ours - theirs).abs().median()),
            "step": _last_step(network),
            "nodes": {name: fused(content) for name, content in files.items()},
        }


def _answers(content: bytes, images: torch.Tensor) -> torch.Tensor:
    run = session(content)
    parts = [run.run(None, {"x": part.numpy()})[0] for part in images.split(500)]
    return torch.from_numpy(np.concatenate(parts))


def _last_step(network: nn.Module) -> float:
    """Return by how much one code of the last layer's input moves a logit, at most."""
    *_, last = (one for one in network.modules() if isinstance(one, QuantizedLayer))
    assert last.input_quantizer is not None  # noqa: S101
    return float(last.input_quantizer.scale * last.layer.weight.detach().abs().max())


@dataclass(frozen=True)
class Variant:
    """The deployed network, written in other ways that compute nearly the same."""

    place: ClassVar = "variants"
    packages: ClassVar = ("onnx", "onnxruntime", "numpy")
    batch: int

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return p50 and p95 of a call in microseconds, by variant.

        The first layer in integers as the others; and its weight restored in every call, as it is
        if a DequantizeLinear stands where a product of constants does.
        """
        x = {"x": dataset.test.images[: self.batch].numpy()}
        network = load_deployed()
        first = next(m for m in network.modules() if isinstance(m, QuantizedLayer))
        pixels = AffineQuantizer(torch.tensor(1 / LEVELS), torch.tensor(0), IntegerGrid(8))
        files = {"as deployed": to_onnx(network, BLANK)}
        files["weight restored in every call"] = _restored_each_time(files["as deployed"])
        first.input_quantizer = pixels
        files["first layer in integers"] = to_onnx(network, BLANK)
        calls: dict[str, Call] = {
            name: partial(session(file).run, None, x) for name, file in files.items()
        }
        return {"microseconds": percentiles(calls)}


def _restored_each_time(content: bytes) -> bytes:
    """Return the file with a DequantizeLinear for the product that restores a weight."""
    model = onnx.load_from_string(content)
    nodes = model.graph.node
    (product,) = (node for node in nodes if node.op_type == "Mul")
    (cast,) = (node for node in nodes if product.input[0] in node.output)
    (scale,) = (one for one in model.graph.initializer if one.name == product.input[1])
    del scale.dims[1:]
    product.op_type = "DequantizeLinear"
    product.input[0] = cast.input[0]
    product.attribute.append(onnx.helper.make_attribute("axis", 0))
    nodes.remove(cast)
    return bytes(model.SerializeToString())


@dataclass(frozen=True)
class Timing:
    """Networks in one runtime."""

    place: ClassVar = "times"
    runtime: str
    batch: int
    threads: int

    @property
    def packages(self) -> tuple[str, ...]:
        """Return whose version counts."""
        package = RUNTIMES[self.runtime].package
        return ("onnxruntime", "numpy", *(() if package == "torch" else (package,)))

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return p50 and p95 of a call in microseconds, by network and kind of numbers."""
        runtime = RUNTIMES[self.runtime]
        x = dataset.test.images[: self.batch].clone()
        calls = {}
        for name in NETWORKS if self.runtime == BASELINE else ENDS:
            calls[f"{name}, float32"] = runtime.prepare(full_precision(name), x, self.threads)
            if runtime.quantized:
                calls[f"{name}, int8"] = runtime.prepare(in_integers(name), x, self.threads)
        clock = time.process_time if self.threads == 1 else time.perf_counter
        found = percentiles(calls, clock)
        torch.set_num_threads(1)
        return {"microseconds": found, "load": round(os.getloadavg()[0], 1)}


def about() -> dict[str, Any]:
    """Return how each time is measured."""
    return {"provenance": {"calibration_images": N_CALIBRATION}}


def planned(_: Sequence[Any]) -> Iterator[Agreement | Variant | Timing]:
    """Yield what can be measured with the packages that are installed."""
    yield from map(Agreement, NETWORKS)
    yield from map(Variant, BATCHES)
    for name, runtime in RUNTIMES.items():
        if installed(name):
            yield from (Timing(name, n, each) for n in BATCHES for each in runtime.threads)
