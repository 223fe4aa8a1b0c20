"""Is a network right as often as it says? Confidence against accuracy, bin by bin."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from reference_impl.checks import require_float_tensor, require_int, require_integer_tensor


@dataclass(frozen=True, eq=False)
class Reliability:
    """Of the examples whose confidence falls into each bin; see `reliability`.

    Args:
        confidence: mean largest probability; nan in an empty bin.
        accuracy: share of right answers; nan in an empty bin.
        share: of all examples; sums to 1.
    """

    confidence: Float[Tensor, " bins"]
    accuracy: Float[Tensor, " bins"]
    share: Float[Tensor, " bins"]

    @property
    def expected_error(self) -> float:
        """ECE = Σ_b share_b |accuracy_b − confidence_b|, between 0 and 1; empty bins add 0.

        Equation: eq-student-ece, chapter 09.
        """
        gaps = (self.accuracy - self.confidence).abs()
        return float((self.share * gaps).nansum())


def reliability(
    logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"], *, n_bins: int = 15
) -> Reliability:
    """Return confidence, accuracy and share of the bins ((b − 1)/B, b/B], b = 1 … B.

    The confidence of an example is its largest probability, softmax(z) at T = 1.

    Args:
        logits: z.
        labels: the right class of each example.
        n_bins: B.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if ``logits`` is no matrix or not finite, the labels do not fit, or B < 1.

    References:
        Guo, Pleiss, Sun & Weinberger 2017, "On calibration of modern neural networks", section 2.
    """
    require_float_tensor("logits", logits)
    require_integer_tensor("labels", labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            "logits must be (n, classes) and labels (n,), "
            f"got {tuple(logits.shape)} and {tuple(labels.shape)}"
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(
            f"labels must be in 0 … {logits.shape[1] - 1}, "
            f"got {labels.min().item()} to {labels.max().item()}"
        )
    n_bins = require_int("n_bins", n_bins, 1)
    confidence, answers = logits.detach().double().softmax(dim=1).max(dim=1)
    right = (answers == labels).double()
    place = ((confidence * n_bins).ceil() - 1).clamp(0, n_bins - 1).long()
    count = torch.bincount(place, minlength=n_bins).double()
    return Reliability(
        confidence=torch.bincount(place, confidence, n_bins) / count,
        accuracy=torch.bincount(place, right, n_bins) / count,
        share=count / len(labels),
    )
