"""Chapter 19: Deep Compression, step by step (15 minutes; MNIST too if it is in data/MNIST).

A network is trained; weights are dropped little by little, while the whole network teaches what is
left of it; the weights that are left share a few values a layer, which are trained as well; and a
file is written with Huffman codes. After each step the bytes of the whole file are counted.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from experiments import workers
from experiments.measures import accuracies, shipped, told
from reference_impl.coding import number_bytes, relative_indices, write_shared
from reference_impl.compress import prunable_weights, read_network, write_huffman
from reference_impl.data import Dataset, load_dataset
from reference_impl.models import Network
from reference_impl.quantization import optimal_codebook
from reference_impl.training import (
    Growth,
    Recipe,
    View,
    example_steps,
    new_student,
    student_steps,
    view,
)
from reference_impl.training.prune import masked_steps


@dataclass(frozen=True)
class Way:
    """How a network is compressed; chosen on validation images."""

    dense: int  #: epochs without pruning; 0: the shipped network
    pruned: int  #: epochs with pruning: in the first half of them weights are dropped
    shared: int  #: epochs in which the shared values are trained
    sparsity: float  #: share of all weights that are dropped
    values: int  #: that the weights of a layer share; 0 is not one of them


#: data and network → how
WAYS = {
    ("FashionMNIST", "lenet300"): Way(0, 8, 2, sparsity=0.92, values=31),
    ("FashionMNIST", "lenet5"): Way(0, 6, 2, sparsity=0.93, values=31),
    ("MNIST", "lenet300"): Way(8, 16, 2, sparsity=0.925, values=31),
    ("MNIST", "lenet5"): Way(3, 5, 1, sparsity=0.92, values=31),
}
TOLD: dict[str, float] = {"temperature": 4.0, "alpha": 0.9}
#: part of the training → learning rate and weight decay
RATES = {"dense": (2e-3, 0.05), "pruned": (2e-3, 0.05), "shared": (2e-4, 0.0)}
BIASES = 16  #: values that the biases of a layer share in the last step
SEEDS = range(3)


@dataclass(frozen=True)
class Run:
    """One network on one data set."""

    data: str
    network: str
    way: Way
    seed: int  #: of the initial weights and of the orders of the images

    def measured(self, dataset: Dataset) -> dict[str, Any]:
        """Return a row for each step and for each layer, and of what the last file consists.

        Accuracies are in percent, seconds those of the processor. The files of "float32",
        "Huffman" and "biases" are written, and what is measured is what was read from them. Of the
        steps between, bytes are counted.
        """
        dataset = load_dataset(workers.MNIST) if self.data == "MNIST" else dataset
        way, rows, began = self.way, [], time.process_time()

        def note(step: str, network: nn.Module, n_bytes: int) -> None:
            rows.append({"step": step, "bytes": n_bytes} | accuracies(network, dataset))

        network = self.whole(way.dense, dataset)
        note("float32", *written(network))
        answers = view(network, dataset.train)
        growth = Growth(way.sparsity, begin=0, end=0.5)
        learn(network, answers, self.recipe("pruned", way.pruned), growth)
        note("pruned", network, instead(network, pruned_bytes))
        sharing = with_shared_values(network, way.values)
        network = settled(network, sharing)
        note("shared", network, instead(network, fixed_bytes))
        learn(sharing, answers, self.recipe("shared", way.shared))
        network = settled(network, sharing)
        note("trained", network, instead(network, fixed_bytes))
        note("Huffman", *written(network))
        layers = [{"layer": name} | layer(w) for name, w in prunable_weights(network).items()]
        with torch.no_grad():
            for bias in (p for p in network.parameters() if p.ndim == 1):
                bias.copy_(optimal_codebook(bias, BIASES).round_trip(bias))
        note("biases", *written(network))
        return {
            "steps": rows,
            "layers": layers,
            "bits": dict(write_huffman(network).items),
            "processor_seconds": round(time.process_time() - began, 1),
        }

    def whole(self, epochs: int, dataset: Dataset) -> Network:
        """Return the network that is compressed."""
        if epochs == 0:
            return shipped(self.network)
        recipe = self.recipe("dense", epochs)
        network = new_student(recipe)
        list(example_steps(network, dataset.train, recipe))
        return network

    def recipe(self, part: str, epochs: int) -> Recipe:
        """Return how a part of the training is done; each part has orders of its own."""
        rate, decay = RATES[part]
        seed = len(RATES) * self.seed + [*RATES].index(part)
        return Recipe(
            self.network, epochs=epochs, learning_rate=rate, weight_decay=decay, seed=seed
        )


def planned(_: Sequence[Any]) -> Iterator[Run]:
    """Yield the runs on Fashion-MNIST; and those on MNIST, if it is here."""
    for ((data, network), way), seed in product(WAYS.items(), SEEDS):
        if data == "FashionMNIST" or workers.MNIST.is_dir():
            yield Run(data, network, way, seed)


def about() -> dict[str, Any]:
    """Return how networks are trained."""
    return {"rates": RATES, "told": TOLD}


def learn(network: Network, answers: View, recipe: Recipe, growth: Growth | None = None) -> None:
    """Train in place on labels and on the answers of the whole network."""
    steps = student_steps(network, [answers], told(**TOLD), recipe)
    if growth is not None:
        steps = masked_steps(network, steps, recipe.n_steps(len(answers.labels)), growth=growth)
    list(steps)


class Shared(nn.Module):
    """Weights that share values: w_i = c_(q_i) where weight i is kept, else 0.

    So the derivative of a value is the sum of those of its weights,
    ∂L/∂c_k = Σ_(i: q_i = k) ∂L/∂w_i.
    """

    def __init__(self, weight: Tensor, size: int) -> None:
        """Take for the values the codebook of least squared error."""
        super().__init__()
        self.kept = weight != 0
        codebook = optimal_codebook(weight[self.kept], size)
        self.codes = codebook.quantize(weight[self.kept]).long()
        self.values = torch.tensor(codebook.values, dtype=weight.dtype)

    def forward(self, values: Tensor) -> Tensor:
        """Return the weights."""
        return values.new_zeros(self.kept.shape).masked_scatter(self.kept, values[self.codes])

    def right_inverse(self, _: Tensor) -> Tensor:
        """Return the values, which become the parameter instead of the weights."""
        return self.values


def with_shared_values(network: Network, size: int) -> Network:
    """Return a copy in which the kept weights of each layer share ``size`` values, parameters."""
    sharing = copy.deepcopy(network)
    for name, weight in prunable_weights(network).items():
        shared = Shared(weight.detach(), size)
        owner = sharing.get_submodule(name.removesuffix(".weight"))
        parametrize.register_parametrization(owner, "weight", shared)
    return sharing


def settled(network: Network, sharing: Network) -> Network:
    """Return a copy of a network with the weights and biases that another one computes."""
    plain = copy.deepcopy(network)
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            owner, _, own = name.rpartition(".")
            parameter.copy_(getattr(sharing.get_submodule(owner), own))
    return plain


def written(network: Network) -> tuple[nn.Module, int]:
    """Return what is read from the network's file, and the bytes of the file."""
    data = write_huffman(network).data
    return read_network(data), len(data)


def instead(network: Network, count: Callable[[Tensor], int]) -> int:
    """Return the bytes of the network's file with other ones for each weight tensor."""
    weights = [weight.detach() for weight in prunable_weights(network).values()]
    more = (count(weight) - size(write_shared(weight.ravel())) for weight in weights)
    return len(write_huffman(network).data) + sum(more)


def size(parts: list[tuple[str, bytes]], *names: str) -> int:
    """Return the bytes of these parts, or of all."""
    return sum(len(data) for name, data in parts if name in names or not names)


def relative(weight: Tensor, value_bits: int) -> tuple[int, int]:
    """Return the bytes of relative indices and values of fixed lengths, and the best index bits."""
    ways = []
    for index_bits in range(1, 9):
        entries = len(relative_indices(weight.ravel() != 0, index_bits)[0])
        n_bytes = math.ceil(entries * (index_bits + value_bits) / 8)
        ways.append((2 + len(number_bytes(entries)) + n_bytes, index_bits))
    return min(ways)


def pruned_bytes(weight: Tensor) -> int:
    """Return the bytes of relative indices of fixed length and weights in float32."""
    return relative(weight, 32)[0]


def fixed_bytes(weight: Tensor) -> int:
    """Return the bytes of a codebook, and of indices and codes of fixed lengths."""
    return int(layer(weight)["fixed_bytes"])


def layer(weight: Tensor) -> dict[str, Any]:
    """Return a row of the paper's tables; Huffman's bits are those of an entry, fillers too."""
    parts = write_shared(weight.detach().ravel())
    n_values, index_bits = parts[0][1][:2]
    entries = len(relative_indices(weight.ravel() != 0, index_bits)[0])
    code_bits = math.ceil(math.log2(n_values + 1))  # one code is that of fillers
    fixed, fixed_index_bits = relative(weight, code_bits)
    return {
        "weights": weight.numel(),
        "kept": int((weight != 0).sum()),
        "index_bits": fixed_index_bits,
        "code_bits": code_bits,
        "fixed_bytes": fixed + size(parts, "codebooks"),
        "huffman_entries": entries,
        "huffman_index_bits": 8 * size(parts, "indices") / entries,
        "huffman_code_bits": 8 * size(parts, "weights") / entries,
        "huffman_bytes": size(parts),
    }
