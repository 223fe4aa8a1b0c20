"""The network of chapter 21: distilled, trained at 4 bits, written as ONNX (an hour and a half).

``python -m experiments.deployed`` makes ``data/deployed``. Interrupted after the distillation, it
continues with the training at 4 bits.
"""

import argparse
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from experiments.measures import accuracies, shipped, told
from experiments.workers import machine
from reference_impl import compress
from reference_impl.data import Dataset, load_dataset
from reference_impl.files import ROOT, write_atomically
from reference_impl.measuring import count_parameters
from reference_impl.training import (
    AdamRecipe,
    BaseRecipe,
    QatRecipe,
    View,
    provenance,
    student_steps,
    view,
)
from reference_impl.training.distil import LEVELS
from reference_impl.training.quantize import N_START

DEPLOYED = ROOT / "data" / "deployed"  #: the folder of the network
ONNX, WEIGHTS, RECORD = "fashion.onnx", "fashion.safetensors", "fashion.json"
N_VIEWS = 16  #: augmented copies of the training images that the teacher answers, once
TEMPERATURE, ALPHA = 4.0, 0.9
FULL_PRECISION = AdamRecipe(epochs=160, learning_rate=0.01, warm_up=0.05)
FEW_BITS = QatRecipe(bits=4, epochs=32, learning_rate=0.003, seed=2)


def new_network() -> nn.Sequential:
    """Return the network: few operations, most of them on few positions.

    The first convolution has a stride instead of a pooling after it, because a channel at 28×28
    positions costs four times as much as one at 14×14.
    """

    def block(below: int, above: int, kernel: int, **how: Any) -> list[nn.Module]:
        conv = nn.Conv2d(below, above, kernel, bias=False, **how)
        return [conv, nn.BatchNorm2d(above), nn.ReLU()]

    return nn.Sequential(
        *block(1, 16, 5, stride=2, padding=2),
        *block(16, 32, 3, padding=1),
        nn.MaxPool2d(2),
        *block(32, 32, 3, padding=1),
        *block(32, 28, 3, stride=2),
        nn.Flatten(),
        nn.Linear(28 * 9, 10),
    ).to(memory_format=torch.channels_last)


def with_quantizers(network: nn.Sequential, images: torch.Tensor) -> nn.Sequential:
    """Return the network with learned quantizers: 4 bits for weights, 8 for what layers read.

    The first layer's weights have 8 bits, and the step of its input is that of a pixel, 1/255.
    """
    first, *rest = compress.weight_layers(network)
    bits = {name: compress.LayerBits(4, 8) for name in rest}
    learned = compress.learn_layers(network, images, {first: compress.LayerBits(8, 8), **bits})
    step = compress.learned_layers(learned)[first].input_quantizer.scale
    with torch.no_grad():
        step.fill_(1 / LEVELS)
    step.requires_grad = False
    return learned.to(memory_format=torch.channels_last)


def deployed(learned: nn.Sequential) -> nn.Sequential:
    """Return the network with fixed quantizers, that are only where they round anything.

    A pixel is a whole number of 255ths already, so the first layer reads it as it is.
    """
    network = compress.deploy(learned.eval()).to(memory_format=torch.contiguous_format)
    first = next(one for one in network.modules() if isinstance(one, compress.QuantizedLayer))
    first.of_input = None
    return network


def load_deployed(folder: Path = DEPLOYED) -> nn.Sequential:
    """Return the network that the shipped ONNX file was made of."""
    with torch.random.fork_rng(devices=()):  # initial weights are drawn, and replaced
        blank = new_network().eval()
    network = deployed(with_quantizers(blank, torch.linspace(0, 1, 784).view(1, 1, 28, 28)))
    network.load_state_dict(load_file(folder / WEIGHTS))
    return network


def trained(network: nn.Sequential, views: Sequence[View], recipe: BaseRecipe) -> nn.Sequential:
    """Train a network on the teacher's answers; it is changed."""
    steps = student_steps(network, views, told(TEMPERATURE, ALPHA), recipe)
    per_epoch = recipe.n_steps(len(views[0].labels)) // recipe.epochs
    for epoch in range(1, recipe.epochs + 1):
        loss = sum(islice(steps, per_epoch)) / per_epoch
        print(f"{type(recipe).__name__} {epoch}/{recipe.epochs}: loss {loss:.4f}", flush=True)
    return network.eval()


def distilled(views: Sequence[View]) -> nn.Sequential:
    """Return the trained network in full precision."""
    torch.manual_seed(FULL_PRECISION.seed)
    return trained(new_network(), views, FULL_PRECISION)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m experiments.deployed", description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEPLOYED, help="of the network")
    folder = parser.parse_args(arguments).folder
    torch.set_num_threads(1)
    began = time.perf_counter()
    try:
        dataset = load_dataset()
        teacher = shipped("teacher")
        views = [view(teacher, dataset.train, seed=seed) for seed in range(1, N_VIEWS + 1)]
        network = new_network()
        if (part := folder / "distilled.part").exists():
            network.load_state_dict(load_file(part))
            print(f"{part}: distilled before")
        else:
            network = distilled(views)
            write_atomically(part, lambda path: path.write_bytes(save(contiguous(network))))
        whole = accuracies(network.eval(), dataset)
        start = with_quantizers(network, dataset.train.images[:N_START])
        final = deployed(trained(start, views, FEW_BITS))
        write(final, folder, whole, dataset, time.perf_counter() - began)
        part.unlink()
    except KeyboardInterrupt:
        print("\ninterrupted; the same command continues", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"deployed: {error}", file=sys.stderr)
        return 1
    return 0


def write(
    network: nn.Module, folder: Path, whole: dict[str, float], dataset: Dataset, seconds: float
) -> None:
    """Write the file, the weights that it was made of, and where both come from."""
    content = compress.to_onnx(network, dataset.test.images[:1])
    weights = save(contiguous(network))
    found = accuracies(network, dataset)
    record = {
        "command": "python -m experiments.deployed",
        "licence": "as the course: MIT; trained on Fashion-MNIST (MIT)",
        "teacher": provenance("teacher").sha256,
        "objective": {"views": N_VIEWS, "temperature": TEMPERATURE, "alpha": ALPHA},
        "recipes": {"full_precision": asdict(FULL_PRECISION), "few_bits": asdict(FEW_BITS)},
        "full_precision": whole,
        "validation_accuracy": found["validation"],
        "test_accuracy": found["test"],
        "parameters": count_parameters(network),
        "seconds": round(seconds, 1),
        "versions": machine(("numpy", "onnx")),
        "date": datetime.now(UTC).date().isoformat(),
        "sha256": {
            ONNX: hashlib.sha256(content).hexdigest(),
            WEIGHTS: hashlib.sha256(weights).hexdigest(),
        },
    }
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / ONNX, lambda part: part.write_bytes(content))
    write_atomically(folder / WEIGHTS, lambda part: part.write_bytes(weights))
    write_atomically(folder / RECORD, lambda part: part.write_text(text, encoding="utf-8"))
    print(f"{folder / ONNX}: {len(content)} bytes, test {found['test']:.2f} %")


def contiguous(network: nn.Module) -> dict[str, Any]:
    """Return the state of a network, each tensor in the usual order of memory."""
    return {name: value.contiguous() for name, value in network.state_dict().items()}


if __name__ == "__main__":
    sys.exit(main())
