"""Is a network right as often as it is confident? Confidence against accuracy, bin by bin."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from reference_impl.checked import Count, checked
from reference_impl.distillation.soft_targets import Labels, Logits, require_labels


@dataclass(frozen=True, eq=False)
class Reliability:
    """The examples whose confidence falls into each bin; see `reliability`.

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
        """ECE = Σ_j share_j |accuracy_j − confidence_j|, between 0 and 1; empty bins add 0.

        Equation: eq-student-ece, chapter 11.
        """
        gaps = (self.accuracy - self.confidence).abs()
        return float((self.share * gaps).nansum())


@checked
def reliability(logits: Logits, labels: Labels, *, n_bins: Count = 15) -> Reliability:
    """Return confidence, accuracy and share of ``n_bins`` equal bins of confidence.

    Bin j holds the confidences above (j − 1) / n_bins and up to j / n_bins.

    The confidence of an example is its largest probability, softmax(z) at T = 1.

    References: Guo et al. 2017, "On calibration of modern neural networks", section 2.
    """
    require_labels(labels, logits.shape[1])
    confidence, answers = logits.detach().double().softmax(dim=1).max(dim=1)
    right = (answers == labels).double()
    place = ((confidence * n_bins).ceil() - 1).clamp(0, n_bins - 1).long()
    count = torch.bincount(place, minlength=n_bins).double()
    return Reliability(
        confidence=torch.bincount(place, confidence, n_bins) / count,
        accuracy=torch.bincount(place, right, n_bins) / count,
        share=count / len(labels),
    )
