"""What is done with a network that someone brings: torchvision's resnet18, random weights."""

import copy
from collections.abc import Iterator

import torch
import torch_pruning as tp  # type: ignore[import-untyped]
import torchvision
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from benchmarks.harness import Case
from reference_impl.compress import (
    dependency_graph,
    fold_batch_norms,
    incoming_rows,
    input_quantizers,
    mac_formula,
    prune_to_budget,
    quantize_layers,
    weight_quantizers,
)
from reference_impl.pruning import row_norm
from reference_impl.quantization import IntegerGrid

SIZE = 96
"""Rows and columns of an image; with 224, as usual, what tracing costs is a smaller share."""

THREE_TIMES = 3.0
TWICE = 2.0
NO_SLOWER = 1.0


def resnet18() -> nn.Module:
    """Return the network in evaluation mode."""
    torch.manual_seed(0)
    network: nn.Module = torchvision.models.resnet18().eval()
    return network


def quantized(network: nn.Module, images: Tensor) -> nn.Module:
    """Return the network with 8-bit weights and inputs, whose ranges are those of the images."""
    weights = weight_quantizers(network, IntegerGrid(8, signed=True, narrow=True))
    inputs = input_quantizers(network, images, IntegerGrid(8))
    return quantize_layers(network, weights, inputs)


def pruned(network: nn.Module, image: Tensor, max_macs: int) -> nn.Module:
    """Return the network within a budget, without its units of the smallest weights."""
    found = dependency_graph(network, image)
    scores = {label: row_norm(incoming_rows(network, label, found)) for label in found.widths}
    return prune_to_budget(network, scores, max_macs, found)


def torch_pruned(network: nn.Module, image: Tensor) -> nn.Module:
    """Return the network without half of its channels, globally, by Torch-Pruning."""
    theirs = copy.deepcopy(network)
    tp.pruner.BasePruner(
        theirs,
        image,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=0.5,
        ignored_layers=[theirs.fc],
    ).step()
    return theirs


def cases() -> Iterator[Case]:
    """Yield folding, quantizing and pruning."""
    network, images = resnet18(), torch.rand(32, 3, SIZE, SIZE)
    yield Case(
        "trace resnet18 and fold its BatchNorm",
        "torch.fx.experimental.optimization.fuse",
        THREE_TIMES,
        lambda: fold_batch_norms(network),
        lambda: fuse(network),
    )
    folded = fold_batch_norms(network)

    def forward() -> Tensor:
        with torch.no_grad():
            logits: Tensor = folded(images)
        return logits

    name = f"quantize resnet18 and observe 32 images, {SIZE}²"
    yield Case(
        name, "the forward pass of the 32", TWICE, lambda: quantized(folded, images), forward
    )
    budget = mac_formula(theirs := torch_pruned(network, images[:1]), images[:1])
    left = dependency_graph(theirs, images[:1]).widths
    yield Case(
        "structured pruning of resnet18, scores to smaller network",
        "torch_pruning",
        NO_SLOWER,
        lambda: pruned(network, images[:1], budget(left)),
        lambda: torch_pruned(network, images[:1]),
    )
