"""Chapter 03: accuracy against bits, granularity and form (ten minutes).

Three networks, their weights restored with a range for each tensor, channel or group of columns.
"""

import copy
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any, ClassVar

import torch
from torch import Tensor

from experiments.measures import hits
from reference_impl import quantization
from reference_impl.data import Dataset, Examples
from reference_impl.measuring import quantized_size, sqnr
from reference_impl.models import Network
from reference_impl.training import load_checkpoint

NETWORKS = ("lenet300", "lenet5", "teacher")
#: A number is the most columns of a group; a layer takes the largest divisor of its columns
GRANULARITIES: tuple[str | int, ...] = ("tensor", "channel", 32, 8)
FORMS = {
    "asymmetric": quantization.affine_from_range,
    "symmetric": quantization.symmetric_from_range,
}
WIDTHS = (8, 6, 5, 4, 3, 2)


@dataclass(frozen=True)
class Run:
    """One network with restored weights."""

    place: ClassVar = "rows"
    network: str
    granularity: str | int
    form: str
    bits: int

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return the results; images gained and lost are counted against the network itself."""
        how = self.granularity, self.form, self.bits
        changed, bits_per_weight, decibels = quantized(load_checkpoint(self.network), *how)
        original, now = _right(self.network, dataset.test), hits(changed, dataset.test)
        return {
            "bits_per_weight": bits_per_weight,
            "sqnr": decibels,
            "accuracy": 100 * float(now.double().mean()),
            "gained": int((now & ~original).sum()),
            "lost": int((original & ~now).sum()),
        }


PLAN = [Run(*setting) for setting in product(NETWORKS, GRANULARITIES, FORMS, WIDTHS)]


@cache
def _right(name: str, examples: Examples) -> Tensor:
    return hits(load_checkpoint(name), examples)


def quantized(
    network: Network, granularity: str | int, form: str, bits: int
) -> tuple[Network, float, float]:
    """Return a copy with restored weights, the bits of each weight and the SQNR of all."""
    grid = quantization.IntegerGrid(bits, signed=True, narrow=form == "symmetric")
    changed, stored, before, after = copy.deepcopy(network), 0, [], []
    for parameter in changed.parameters():
        if parameter.ndim < 2:
            continue
        weight = parameter.detach().clone()
        view, axes = parts(weight, granularity)
        quantizer = FORMS[form](*quantization.min_max_range(view, axes), grid)
        restored = quantizer.round_trip(view).view_as(weight)
        parameter.data.copy_(restored)
        stored += quantized_size(quantizer, weight.numel()).bits
        before.append(weight.flatten())
        after.append(restored.flatten())
    n_weights = sum(map(len, before))
    return changed, stored / n_weights, sqnr(torch.cat(before), torch.cat(after))


def parts(weight: Tensor, granularity: str | int) -> tuple[Tensor, int | tuple[int, ...]]:
    """Return a view of the weight and the axes of which each index has a range of its own."""
    rows = weight.flatten(1)
    if granularity == "tensor":
        return rows, ()
    if granularity == "channel":
        return rows, 0
    columns, most = rows.shape[1], int(granularity)
    size = max(g for g in range(1, most + 1) if columns % g == 0)
    return quantization.split_groups(rows, size), (0, 1)
