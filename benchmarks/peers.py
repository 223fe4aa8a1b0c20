"""Chapter 19: LeNet-300-100 in files of other tools and of the course (a few minutes).

`python -m benchmarks.peers NAME` measures one tool's rows of `data/results/peers.json`; measure
`ours` and `nncodec` after a change of `smallest.json`. Accuracies are in percent of Fashion-MNIST's
test images, or of MNIST's where a setting says so. Each tool has an environment of its own:

    python -m venv ../NAME
    ../NAME/bin/pip install torch==2.14.1 torchvision==0.29.1 scipy safetensors jaxtyping PACKAGES
    PYTHONPATH=. ../NAME/bin/python -m benchmarks.peers NAME

with a NAME and its PACKAGES (`ours` is run in the course's environment):

    nncodec        nncodec==2.1.3 numpy==1.26.4   (needs a C++ compiler)
    nncf           nncf==3.4.0 openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0
    torch_pruning  torch-pruning==1.6.1 torchao==0.18.0
"""

import argparse
import copy
import io
import json
import os
import sys
import zlib
from base64 import b64decode
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from importlib import import_module, metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from reference_impl import compress, training
from reference_impl.coding.steps import as_integers
from reference_impl.data import Dataset, load_dataset
from reference_impl.files import ROOT, write_atomically
from reference_impl.measuring import device_name
from reference_impl.quantization import optimal_codebook

PATH = ROOT / "data" / "results" / "peers.json"
RECIPE = training.Recipe("lenet300", epochs=3, learning_rate=1e-3, seed=0)
UNTRAINED, WITH_RATE = "92 % zeros, 32 values a layer, untrained", "MNIST, trained with the rate"
EXAMPLE = torch.zeros(1, 1, 28, 28)
Row = tuple[str, int, float, str]  #: setting, bytes, test, what is counted


def ours(data: Dataset, _: Path) -> Iterator[Row]:
    """Yield the chapter's file; and, from `deep_compression` and `smallest`, trained networks'."""
    network, counted = untrained(), "the whole file"
    n_bytes = len(compress.write_huffman(network).data)
    yield UNTRAINED, n_bytes, training.accuracy(network, data.test), counted
    last = [run["steps"][-1] for run in recorded("deep_compression", "FashionMNIST")]
    n_bytes, test = np.mean([(step["bytes"], step["test"]) for step in last], axis=0).tolist()
    yield f"pruned while training, mean of {len(last)} seeds", round(n_bytes), test, counted
    run = recorded("smallest", "MNIST")[0]
    yield WITH_RATE, run["bytes"], 100 - run["test_error"], counted


def untrained() -> nn.Module:
    """Return chapter 19's network: 92 % zeros, 32 shared values a layer, no training after."""
    network = training.load_checkpoint("lenet300")
    compress.apply_masks(network, training.magnitude_masks(network, 0.92))
    with torch.no_grad():
        for weight in compress.prunable_weights(network).values():
            kept = weight != 0
            weight[kept] = optimal_codebook(weight[kept], size=32).round_trip(weight[kept])
    return network


def recorded(name: str, data: str) -> list[dict[str, Any]]:
    """Return a record's runs with LeNet-300-100 on a data set, the smallest seed first."""
    runs = json.loads((ROOT / "data" / "results" / f"{name}.json").read_text("utf-8"))["runs"]
    of_network = [run for run in runs if (run["data"], run["network"]) == (data, "lenet300")]
    return sorted(of_network, key=lambda run: run["seed"])


def nncodec(data: Dataset, folder: Path) -> Iterator[Row]:
    """Yield NNCodec's files: of float32 in steps of its own, of integers without loss."""
    codec: Any = import_module("nncodec.nn")

    def coded(arrays: dict[str, Any], **settings: Any) -> tuple[int, dict[str, Any]]:
        given = {"verbose": False, "results": str(folder), **settings}
        stream = bytes(codec.encode(copy.deepcopy(arrays), given))
        read = codec.decode(bytearray(stream))
        if not settings and not all(np.array_equal(read[name], arrays[name]) for name in arrays):
            raise ValueError("integers must be coded without loss")
        return len(stream), read

    counted = "the whole bitstream"
    for qp in (-28, -24, -20, -16):
        network = training.load_checkpoint("lenet300")
        n_bytes, read = coded({k: v.numpy() for k, v in network.state_dict().items()}, qp=qp)
        network.load_state_dict({k: torch.tensor(v) for k, v in read.items()})
        yield f"float32, qp {qp}", n_bytes, training.accuracy(network, data.test), counted
    shared = untrained()
    codes, beside = {}, 4 * sum(p.numel() for p in shared.parameters() if p.ndim == 1)
    for name, weight in compress.prunable_weights(shared).items():
        values, places = weight.detach().unique(return_inverse=True)
        codes[name] = (places - (values < 0).sum()).int().numpy()  # 0 stays 0
        beside += 4 * len(values)
    n_bytes, both = coded(codes)[0] + beside, f"{counted}; {beside} bytes of float32 beside it"
    yield f"{UNTRAINED}: codes as int32", n_bytes, training.accuracy(shared, data.test), both
    run, integers = recorded("smallest", "MNIST")[0], dict[str, Any]()
    for p in compress.read_network(b64decode(run["file"])).parameters():
        rows = p.detach().view(len(p) if p.ndim > 1 else 1, -1)
        for table in as_integers(rows) or ():  # integers, and exponents of the rows' steps
            integers[str(len(integers))] = np.atleast_2d(table.int().numpy())
    yield f"{WITH_RATE}: as int32", coded(integers)[0], 100 - run["test_error"], counted


def nncf(data: Dataset, folder: Path) -> Iterator[Row]:
    """Yield NNCF's files: OpenVINO's with quantized weights, ONNX with activations as well."""
    os.environ["NNCF_CI"] = "1"  # else it reports its use
    tool, ov, onnx = (import_module(name) for name in ("nncf", "openvino", "onnx"))
    images, mode = data.train.images[:300].split(1), tool.CompressWeightsMode

    def measured(setting: str, *files: Path) -> Row:
        given = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        run = ov.Core().compile_model(files[-1], "CPU", given)
        logits = np.concatenate([run(x.numpy())[0] for x in data.test.images.split(1000)])
        test = 100 * (logits.argmax(1) == data.test.labels.numpy()).mean()
        size = len(zlib.compress(b"".join(file.read_bytes() for file in files), 9))
        return setting, size, float(test), f"{' and '.join(f.suffix for f in files)}, deflated"

    def weights(setting: str, network: nn.Module, **how: Any) -> Row:
        model = ov.convert_model(network, example_input=EXAMPLE, input=[-1, 1, 28, 28])
        path = folder / "network.xml"
        ov.save_model(tool.compress_weights(model, **how), path, compress_to_fp16=False)
        return measured(setting, path.with_suffix(".bin"), path)

    yield weights("INT8_SYM weights", Plain(), mode=mode.INT8_SYM)
    rows: dict[str, Any] = {"mode": mode.INT4_SYM, "group_size": -1, "all_layers": True}
    yield weights("INT4_SYM weights, a scale a row", Plain(), **rows)
    rows |= {"gptq": True, "dataset": tool.Dataset(images[:128], Tensor.numpy)}
    yield weights("INT4_SYM weights, a scale a row, GPTQ", Plain(), **rows)
    model = onnx.load_from_string(compress.to_onnx(training.load_checkpoint("lenet300")))
    model = tool.quantize(model, tool.Dataset(images, lambda x: {"x": x.numpy()}))
    onnx.save(model, path := folder / "network.onnx")
    yield measured("weights and activations in 8 bits", path)
    magnitude, form = tool.PruneMode.UNSTRUCTURED_MAGNITUDE_LOCAL, tool.StripFormat.IN_PLACE
    masked = tool.prune(Plain(), mode=magnitude, ratio=0.92, examples_inputs=EXAMPLE)
    list(training.example_steps(masked, data.train, RECIPE))
    masked, pruned = tool.strip(masked, strip_format=form, example_input=EXAMPLE), Plain()
    pruned.load_state_dict({name: masked.get_parameter(name) for name in pruned.state_dict()})
    yield weights("92 % zeros, 3 epochs, INT8_SYM weights", pruned, mode=mode.INT8_SYM)


def torch_pruning(data: Dataset, _: Path) -> Iterator[Row]:
    """Yield files of networks with fewer hidden units, by Torch-Pruning and torchao."""
    tp, ao = import_module("torch_pruning"), import_module("torchao.quantization")
    int4 = torch.int4  # type: ignore[attr-defined]
    four = ao.IntxWeightOnlyConfig(weight_dtype=int4, granularity=ao.PerAxis(0))
    for units, ratio in (("225-75", 0.25), ("150-50", 0.5), ("75-25", 0.75)):
        network, norm = Plain(), tp.importance.GroupMagnitudeImportance(p=2)
        how: dict[str, Any] = {"pruning_ratio": ratio, "ignored_layers": [network.layers[-1]]}
        tp.pruner.BasePruner(network, EXAMPLE, importance=norm, **how).step()
        list(training.example_steps(network, data.train, RECIPE))
        for name, bits in (("int8", ao.Int8WeightOnlyConfig()), ("int4", four)):
            twin, file = copy.deepcopy(network), io.BytesIO()
            ao.quantize_(twin, bits)
            torch.save(twin.state_dict(), file)
            setting = f"{units} hidden units, 3 epochs, {name} weights, a scale a row"
            counted = "what torch.save writes, a byte an integer, deflated"
            n_bytes = len(zlib.compress(file.getvalue(), 9))
            yield setting, n_bytes, training.accuracy(twin, data.test), counted


class Plain(nn.Module):
    """The shipped network without checks of shapes."""

    def __init__(self) -> None:
        """Load it."""
        super().__init__()
        self.layers = nn.Sequential(*training.load_checkpoint("lenet300").children())

    def forward(self, x: Tensor) -> Any:
        """Return the logits."""
        return self.layers(x)


PEERS = {measure.__name__: measure for measure in (ours, nncodec, nncf, torch_pruning)}
PACKAGES = ("numpy", "nncodec", "nncf", "openvino", "onnx", "torch_pruning", "torchao")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument("name", choices=PEERS)
    name = parser.parse_args(arguments).name
    torch.set_num_threads(1)
    try:
        with TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
            found = list(PEERS[name](load_dataset(), Path(folder)))
    except ImportError as error:
        print(f"{name}: {error}; see the head of benchmarks/peers.py", file=sys.stderr)
        return 1
    keys = ("peer", "setting", "bytes", "test", "counted")
    rows = [dict(zip(keys, (name, s, n, round(t, 2), c), strict=True)) for s, n, t, c in found]
    versions = {module: metadata.version(module) for module in PACKAGES if module in sys.modules}
    made: dict[str, Any] = {"command": f"python -m benchmarks.peers {name}", "seed": RECIPE.seed}
    made |= {"date": datetime.now(UTC).date().isoformat(), "device": device_name(), "threads": 1}
    made |= {"instruction_sets": torch.backends.cpu.get_cpu_capability()}
    made |= {"versions": {"torch": torch.__version__, **versions}}
    empty = '{"provenance": {"peers": {}}, "rows": []}'
    old = json.loads(PATH.read_text(encoding="utf-8") if PATH.exists() else empty)
    rows += [row for row in old["rows"] if row["peer"] != name]
    rows.sort(key=lambda row: [*PEERS].index(row["peer"]))
    made |= {"peers": old["provenance"]["peers"] | {name: made.copy()}}
    text = json.dumps({"provenance": made, "rows": rows}, indent=1, ensure_ascii=False) + "\n"
    write_atomically(PATH, lambda part: part.write_text(text, encoding="utf-8"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
