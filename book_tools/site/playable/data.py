"""What the figures to play with are given besides their controls: recorded and trained numbers."""

import io
import json
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

import torch
from matplotlib.image import imsave
from torch import Tensor

from reference_impl.compress import incoming_rows, prunable_weights, values_read
from reference_impl.data import load_dataset
from reference_impl.files import ROOT
from reference_impl.measuring import file_bytes
from reference_impl.measuring.interval import bonferroni_level, student_quantile
from reference_impl.merging import cosine_similarity
from reference_impl.quantization import normal_float_codebook, optimal_codebook
from reference_impl.training import load_checkpoint, magnitude_masks, predict

SHIRT = 290
"""The validation image of chapter 10: a shirt; the teacher gives its class 90 %."""
SPARSITIES = range(80, 99, 3)
"""In percent."""
SIZES = (8, 16, 32)
"""Shared values of a layer."""


def packed(numbers: Tensor, kind: str) -> str:
    """Return whole numbers in base64, of NumPy's kind: "u1" is a byte, "<i2" has two."""
    return b64encode(numbers.numpy().astype(kind).tobytes()).decode()


def logits_of_a_shirt() -> dict[str, Any]:
    """Return the logits v of the teacher and z of the student for one image, and the image."""
    dataset = load_dataset()
    images = dataset.validation.images[SHIRT : SHIRT + 1]
    v, z = (predict(load_checkpoint(name), images)[0] for name in ("teacher", "student"))
    numbers = {
        name: [round(x, 4) for x in logits.tolist()] for name, logits in (("v", v), ("z", z))
    }
    names = {"classes": dataset.classes, "label": "Shirt"}
    return {**names, **numbers, "image": _address(images[0, 0])}


def _address(pixels: Tensor) -> str:
    """Return a picture as an address that holds it."""
    file = io.BytesIO()
    imsave(file, pixels.numpy(), cmap="gray_r", format="png")
    return "data:image/png;base64," + b64encode(file.getvalue()).decode()


def quantiles_of_four_bits() -> Mapping[str, Any]:
    """Return NF4's values from 0 up."""
    return {"nf4": [round(value, 5) for value in normal_float_codebook().values if value >= 0]}


def similar_neurons() -> Mapping[str, Any]:
    """Return the second hidden layer of LeNet-300-100: its cosines, lengths, values and readers.

    Cosines are in units of 1/32,700, rounded down, so that none crosses a threshold of two digits.
    Values are those of 2,000 validation images: their root mean squares, and the mean products of
    pairs of neurons over the two roots, in units of 1/255.
    """
    network = load_checkpoint("lenet300").eval()
    rows, dataset = incoming_rows(network, "hidden2"), load_dataset()
    below = torch.tril_indices(len(rows), len(rows), offset=-1).unbind()
    h = values_read(network, "hidden2", dataset.validation.images[:2000])
    columns = network.get_parameter("fc3.weight").detach()
    roots = h.square().mean(dim=0).sqrt()
    shared = (h.T @ h / len(h)) / torch.outer(roots, roots).clamp(min=1e-9)
    silent = values_read(network, "hidden2", dataset.train.images).amax(dim=0) == 0
    return {
        "cosines": packed((32_700 * cosine_similarity(rows)[below]).floor(), "<i2"),
        "norms": [round(norm, 4) for norm in rows.norm(dim=1).tolist()],
        "roots": [round(root, 4) for root in roots.tolist()],
        "shared": packed((255 * shared[below]).round(), "u1"),
        "columns": [[round(1000 * w) for w in row] for row in columns.tolist()],
        "spread": (h @ columns.T).var(dim=0).sum().item(),
        "silent": silent.nonzero().flatten().tolist(),
    }


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


def recorded_orders() -> Mapping[str, Any]:
    """Return the accuracy (0.01 %) and bytes of each order, one list a seed; and Student's t."""
    record = json.loads((ROOT / "data/results/order.json").read_text("utf-8"))
    cells: dict[str, dict[int, dict[str, Any]]] = {}
    for run in record["runs"]:
        name = "LeNet-300-100" if run["network"] == "lenet300" else run["network"]
        seeds = cells.setdefault(f"{name}, {run['strength']}", {})
        seeds.setdefault(run["seed"], {}).update(run["orders"])
    orders = sorted(next(iter(next(iter(cells.values())).values())))
    level = bonferroni_level(6 * len(cells))
    return {
        "orders": [order.split(" → ") for order in orders],
        "settings": {
            name: {
                "right": [[round(100 * one[o]["test"]) for o in orders] for one in seeds.values()],
                "bytes": [[one[o]["bytes"] for o in orders] for one in seeds.values()],
            }
            for name, seeds in cells.items()
        },
        "alone": student_quantile(0.95, 4),
        "together": student_quantile(level, 4),
    }


DATA: Mapping[str, Callable[[], Any]] = {
    "fig-coding-parts": coded_layers,
    "fig-distill-temperature": logits_of_a_shirt,
    "fig-format-lines": quantiles_of_four_bits,
    "fig-merge-matrix": similar_neurons,
    "fig-order-gains": recorded_orders,
}
"""The name of a figure, and a function that returns what JSON can hold."""
