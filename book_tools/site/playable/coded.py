"""What the figure of coded bytes is given: where weights are left, and which values they share."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from reference_impl.compress import prunable_weights
from reference_impl.measuring import file_bytes
from reference_impl.quantization import optimal_codebook
from reference_impl.training import load_checkpoint, magnitude_masks

SPARSITIES = range(80, 99, 3)
"""In percent."""
SIZES = (8, 16, 32)
"""Shared values of a layer."""


def runs_of_zeros(kept: Tensor) -> list[list[int]]:
    """Return the numbers of zeros before kept weights, and how often each of them occurs."""
    places = kept.flatten().nonzero().flatten()
    zeros = torch.diff(places, prepend=places.new_tensor([-1])) - 1
    return [numbers.tolist() for numbers in zeros.unique(return_counts=True)]


def coded_layers() -> Mapping[str, Any]:
    """Return each layer's runs of zeros and counts of its shared values, by sparsity."""
    network = load_checkpoint("lenet300")
    weights = {name: w.detach() for name, w in prunable_weights(network).items()}
    layers: dict[str, Any] = {name.removesuffix(".weight"): {} for name in weights}
    for sparsity in SPARSITIES:
        for name, mask in magnitude_masks(network, sparsity / 100).items():
            kept = weights[name][mask]
            books = {size: optimal_codebook(kept, size=size) for size in SIZES}
            codes = {size: book.quantize(kept).bincount() for size, book in books.items()}
            layers[name.removesuffix(".weight")][sparsity] = {
                "zeros": runs_of_zeros(mask),
                "codes": {size: counts.tolist() for size, counts in codes.items()},
            }
    biases = [p.numel() for p in network.parameters() if p.ndim == 1]
    return {"layers": layers, "biases": biases, "dense": file_bytes(network)}
