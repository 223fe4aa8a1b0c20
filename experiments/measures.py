"""What several records measure of a network, and how they load and train one."""

from collections.abc import Iterable
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from reference_impl.compress import density, prunable_weights
from reference_impl.data import Dataset, Examples
from reference_impl.distillation import best_class_bias, distillation_objective
from reference_impl.models import Network
from reference_impl.training import View, accuracy, load_checkpoint, predict, view
from reference_impl.training.loop import Objective


def shipped(name: str) -> Network:
    """Return a trained network of the course, in the order of memory of a training."""
    return load_checkpoint(name).to(memory_format=torch.channels_last)


@cache
def answered(name: str, examples: Examples, n: int | None = None, seed: int | None = None) -> View:
    """Return a view of the first n images, made once, with the logits of a shipped network."""
    return view(shipped(name), examples[:n], seed=seed)


def accuracies(network: nn.Module, dataset: Dataset) -> dict[str, float]:
    """Return validation and test accuracy in percent."""
    return {part: accuracy(network, getattr(dataset, part)) for part in ("validation", "test")}


def hits(network: nn.Module, examples: Examples) -> Tensor:
    """Return for each example whether its highest logit is its label's."""
    return predict(network, examples.images).argmax(dim=1) == examples.labels


def told(temperature: float, alpha: float) -> Objective:
    """Return (1 − α) CE + α T² KL as an objective of a student; with α = 0 it is alone."""
    loss: Any = partial(distillation_objective, temperature=temperature, alpha=alpha)
    return lambda student, to: loss(student, to.logits, to.labels)


def mean_of_last(losses: Iterable[float]) -> float:
    """Return the mean loss of the last hundred steps of a training, which is made now."""
    last = [*losses][-100:]
    return sum(last) / len(last)


def logits_of(network: nn.Module, dataset: Dataset) -> dict[str, Tensor]:
    """Return the outputs for validation and test images."""
    parts = ("validation", "test")
    return {part: predict(network, getattr(dataset, part).images) for part in parts}


def percent_right(logits: Tensor, labels: Tensor) -> float:
    """Return the accuracy in percent."""
    return 100 * (logits.argmax(dim=1) == labels).sum().item() / len(labels)


def recovered(index: int, logits: dict[str, Tensor], dataset: Dataset) -> dict[str, float]:
    """Return what a bias for an omitted class, fitted on validation images, does on the test set.

    Recalls are shares of the class's test images that are recognized, in percent.
    """
    labels = dataset.test.labels
    own = labels == index
    bias = best_class_bias(logits["validation"], dataset.validation.labels, index)
    moved = logits["test"] + bias * F.one_hot(torch.tensor(index), logits["test"].shape[1])
    return {
        "bias": bias,
        "recall": percent_right(logits["test"][own], labels[own]),
        "corrected_recall": percent_right(moved[own], labels[own]),
        "corrected_test": percent_right(moved, labels),
    }


def left(network: nn.Module, dataset: Dataset) -> dict[str, Any]:
    """Return accuracies, density, and what `kept` returns."""
    return accuracies(network, dataset) | {"density": density(network), "kept": kept(network)}


def kept(network: nn.Module) -> dict[str, int]:
    """Return name → number of weights that are not 0."""
    return {name: int((w != 0).sum()) for name, w in prunable_weights(network).items()}
