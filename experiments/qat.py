"""``python -m experiments.qat``: train chapter 07's networks of few bits, record the results.

The record, ``data/results/qat.json``, is written after each run. A command that is interrupted and
started again skips the runs that are in it already.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm

from experiments.records import read_record, run_recorder, write_record
from reference_impl.compress import (
    Bits,
    adaround,
    deploy,
    edge_bits,
    fold_batch_norms,
    input_quantizers,
    learned_layers,
    learned_quantizers,
    quantize_layers,
    weight_quantizers,
)
from reference_impl.data import Dataset
from reference_impl.files import ROOT
from reference_impl.quantization import IntegerGrid, mse_range, symmetric_from_range
from reference_impl.training import QatRecipe, accuracy, fine_tune, load_checkpoint, prepare
from reference_impl.training.quantize import N_START

RESULT = ROOT / "data" / "results" / "qat.json"
COMMAND = "python -m experiments.qat"

RECIPES = {
    "lenet300": QatRecipe(bits=None, epochs=3),
    "lenet5": QatRecipe(bits=None, epochs=3),
    "student": QatRecipe(bits=None, epochs=6, learning_rate=0.04, augment=True),
    "teacher": QatRecipe(bits=None, epochs=5, augment=True, erase=True),
}
"""Network → how it is trained on; chosen by validation accuracy alone."""

WIDTHS = (4, 3, 2)
SEEDS = (0, 1, 2)
FOLDED_RATES = (0.04, 0.01, 0.0025)
"""Learning rates that are tried where BatchNorm is folded before the training."""

EDGES = torch.linspace(-2, 2, 101)
"""Edges of the bins of `watched`, in steps of the quantizers."""


def planned() -> Iterator[tuple[str, QatRecipe]]:
    """Yield the runs, (network, recipe), in the order in which they are made."""
    for seed in SEEDS:
        for bits in (*WIDTHS, None):
            yield "lenet300", replace(RECIPES["lenet300"], bits=bits, seed=seed)
        yield "lenet300", replace(RECIPES["lenet300"], bits=2, edges=2, seed=seed)
        for name in ("student", "teacher"):
            for bits in WIDTHS:
                yield name, replace(RECIPES[name], bits=bits, seed=seed)
    yield "teacher", RECIPES["teacher"]
    for bits in WIDTHS:
        yield "lenet5", replace(RECIPES["lenet5"], bits=bits)
        for rate in FOLDED_RATES:
            folded = replace(RECIPES["student"], fold=True, learning_rate=rate)
            yield "student", replace(folded, bits=bits)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""

    def whole(path: Path, dataset: Dataset) -> None:
        record(path, dataset, list(planned()))

    return run_recorder(COMMAND, __doc__, RESULT, whole, arguments)


def record(path: Path, dataset: Dataset, runs: Sequence[tuple[str, QatRecipe]]) -> None:
    """Make the runs that the record does not hold yet, and write it after each.

    Raises:
        OSError: if the record cannot be written.
    """
    found = read_record(path, post_training=[])

    def write() -> None:
        write_record(path, found, COMMAND, (run["recipe"]["seed"] for run in found["runs"]))

    write()  # a path that cannot be written must fail before the first training
    for network, recipe in runs:
        key: dict[str, Any] = {"network": network, "recipe": asdict(recipe)}
        if not any(key.items() <= run.items() for run in found["runs"]):
            found["runs"].append(key | trained(network, recipe, dataset))
            write()
    if "watched" not in found:
        found["watched"] = watched(dataset)
        write()
    networks = dict.fromkeys(network for network, _ in runs)
    for network in networks:
        for bits in WIDTHS:
            key = {"network": network, "bits": bits}
            if not any(key.items() <= one.items() for one in found["post_training"]):
                found["post_training"].append(key | rounded(network, bits, dataset))
                write()


def trained(network: str, recipe: QatRecipe, dataset: Dataset) -> dict[str, Any]:
    """Return the accuracies before and after the training, in percent, and its time, in seconds."""
    began = time.perf_counter()
    chain = prepare(load_checkpoint(network).chain(), recipe, dataset.train)
    start = accuracy(chain, dataset.validation)
    losses = list(_bar(network, recipe, dataset, chain))
    final = deploy(chain) if list(learned_quantizers(chain)) else chain
    result = {
        "start_validation": start,
        "validation": accuracy(final, dataset.validation),
        "test": accuracy(final, dataset.test),
        "loss": sum(losses[-100:]) / len(losses[-100:]),
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(network, recipe.bits, recipe, result, flush=True)
    return result


def rounded(network: str, bits: int, dataset: Dataset) -> dict[str, Any]:
    """Return the test accuracies of post-training quantization at the same bits, in percent.

    BatchNorm is folded; ranges are those of the least mean squared error, per output channel for
    the weights; then each weight is rounded to the nearest code, or by chapter 06's AdaRound.
    """
    chain = fold_batch_norms(load_checkpoint(network).chain())
    images = dataset.train.images[:N_START]
    weights, inputs = _quantizers(chain, images, bits)
    ways = {
        "nearest": quantize_layers(chain, weights, inputs),
        "adaround": adaround(chain, weights, inputs, images),
    }
    result = {way: accuracy(quantized, dataset.test) for way, quantized in ways.items()}
    print(network, bits, result, flush=True)
    return result


def watched(dataset: Dataset) -> dict[str, Any]:
    """Return what the training at 2 bits does to the middle layer of LeNet-300-100.

    The density of its weights, in steps of their quantizers, before and after; and, every 20
    steps of the training, the share of its codes that changed since.
    """
    recipe = replace(RECIPES["lenet300"], bits=2)
    chain = prepare(load_checkpoint("lenet300").chain(), recipe, dataset.train)
    layer = learned_layers(chain)["fc2"]

    def in_steps() -> torch.Tensor:
        return (layer.layer.weight / layer.weight_quantizer.scale).detach().clone()

    def density(u: torch.Tensor) -> list[float]:
        share = torch.histogram(u.flatten(), EDGES, density=True).hist
        return [round(value, 4) for value in share.tolist()]

    before = in_steps()
    codes, changed = before.round().clamp(-1, 1), []
    for step, _ in enumerate(fine_tune(chain, recipe, dataset.train), start=1):
        if step % 20 == 0:
            now = in_steps().round().clamp(-1, 1)
            changed.append(round((now != codes).double().mean().item(), 6))
            codes = now
    ends = {"low": float(EDGES[0]), "high": float(EDGES[-1])}
    return ends | {"before": density(before), "after": density(in_steps()), "changed": changed}


def _quantizers(chain: nn.Sequential, images: torch.Tensor, bits: int) -> tuple[Any, Any]:
    """Return quantizers of weights and inputs by layer, those of the first and last with 8 bits."""
    weights, inputs = {}, {}
    for name, width in edge_bits(chain, Bits(bits, bits)).items():
        signed = IntegerGrid(width.weight, signed=True, narrow=True)
        clip = partial(mse_range, grid=signed, from_range=symmetric_from_range)
        weights[name] = weight_quantizers(chain, signed, estimate=clip)[name]
        grid = IntegerGrid(width.inputs)
        inputs[name] = input_quantizers(
            chain, images, grid, estimate=partial(mse_range, grid=grid)
        )[name]
    return weights, inputs


def _bar(
    network: str, recipe: QatRecipe, dataset: Dataset, chain: nn.Sequential
) -> Iterator[float]:
    """Wrap the steps in a progress bar, which only a terminal shows."""
    steps = fine_tune(chain, recipe, dataset.train)
    total = recipe.epochs * -(-len(dataset.train) // recipe.batch_size)
    label = f"{network}, {recipe.bits or 32} bits, seed {recipe.seed}"
    yield from tqdm(steps, total=total, desc=label, unit="step", leave=False, disable=None)


if __name__ == "__main__":
    sys.exit(main())
