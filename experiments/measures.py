"""What several records measure of a network: accuracies, calibration, a class never seen."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from reference_impl.compress import prunable_weights
from reference_impl.data import Dataset, Examples
from reference_impl.distillation import best_class_bias
from reference_impl.measuring import reliability
from reference_impl.training import accuracy, predict

BIASES = [b / 4 for b in range(-16, 49)]
"""What `bias_curve` adds to the logit of the omitted class."""


def accuracies(network: nn.Module, dataset: Dataset) -> dict[str, float]:
    """Return validation and test accuracy in percent."""
    return {
        "validation": accuracy(network, dataset.validation),
        "test": accuracy(network, dataset.test),
    }


def hits(network: nn.Module, examples: Examples) -> Tensor:
    """Return for each example whether its highest logit is its label's."""
    return predict(network, examples.images).argmax(dim=1) == examples.labels


def kept(network: nn.Module) -> dict[str, int]:
    """Return name → number of weights that are not 0."""
    return {name: int((w != 0).sum()) for name, w in prunable_weights(network).items()}


def mean_of_last(losses: list[float]) -> float:
    """Return the mean loss of the last hundred steps."""
    return sum(losses[-100:]) / len(losses[-100:])


def logits_of(network: nn.Module, dataset: Dataset) -> dict[str, Tensor]:
    """Return the outputs for validation and test images."""
    return {
        "validation": predict(network, dataset.validation.images),
        "test": predict(network, dataset.test.images),
    }


def percent_right(logits: Tensor, labels: Tensor) -> float:
    """Return the accuracy in percent."""
    return 100 * (logits.argmax(dim=1) == labels).sum().item() / len(labels)


def calibration(logits: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return the mean negative log-likelihood in nats, the ECE and its bins."""
    bins = reliability(logits, labels)
    return {
        "nll": F.cross_entropy(logits, labels).item(),
        "ece": bins.expected_error,
        "confidence": [round(value, 4) for value in bins.confidence.nan_to_num().tolist()],
        "accuracy": [round(value, 4) for value in bins.accuracy.nan_to_num().tolist()],
        "share": [round(value, 4) for value in bins.share.tolist()],
    }


def recovered(index: int, logits: dict[str, Tensor], dataset: Dataset) -> dict[str, float]:
    """Return what a bias for the omitted class, fitted on validation images, does on the test set.

    Recalls are shares of the class's test images that are recognised, in percent.
    """
    bias = best_class_bias(logits["validation"], dataset.validation.labels, index)
    moved = logits["test"].clone()
    moved[:, index] += bias
    labels = dataset.test.labels
    own = labels == index
    return {
        "bias": bias,
        "recall": percent_right(logits["test"][own], labels[own]),
        "corrected_recall": percent_right(moved[own], labels[own]),
        "corrected_test": percent_right(moved, labels),
    }


def bias_curve(index: int, logits: Tensor, labels: Tensor) -> dict[str, list[float]]:
    """Return what is right with each of `BIASES` added to a class's logit, in percent.

    Args:
        index: of the class.
        logits: one row per example.
        labels: of the examples, some of them of the class.
    """
    own = labels == index
    shares: dict[str, list[float]] = {"bias": BIASES, "all_right": [], "own_right": []}
    for bias in BIASES:
        moved = logits.clone()
        moved[:, index] += bias
        shares["all_right"].append(round(percent_right(moved, labels), 2))
        shares["own_right"].append(round(percent_right(moved[own], labels[own]), 2))
    return shares
