"""Calibration against scikit-learn, by hand, and against a network that is calibrated."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from reference_impl.measuring import reliability


def test_by_hand():
    """Oracle: confidences 0.9 (right), 0.9 (wrong), 0.6 (right): ECE = ⅔ · 0.4 + ⅓ · 0.4."""
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 1])
    assert reliability(p.log(), labels, n_bins=2).share.tolist() == [0, 1]
    found = reliability(p.log(), labels, n_bins=4)
    assert found.share.tolist() == pytest.approx([0, 0, 1 / 3, 2 / 3])
    assert found.accuracy[2:].tolist() == [1, 0.5]
    assert found.confidence[2:].tolist() == pytest.approx([0.6, 0.9])
    assert found.accuracy[:2].isnan().all()
    assert found.expected_error == pytest.approx(0.4)


def test_half_precision_is_computed_in_double():
    """Oracle: the same numbers in double precision, bit by bit."""
    logits = torch.randn(50, 4, generator=torch.Generator().manual_seed(0)).half()
    found, expected = (reliability(z, torch.arange(50) % 4) for z in (logits, logits.double()))
    assert found.expected_error == expected.expected_error


@pytest.mark.equation("eq-student-ece")
@given(seed=st.integers(0, 10_000), n_bins=st.integers(1, 20))
def test_bins_are_scikit_learns(seed, n_bins):
    """Oracle: scikit-learn's calibration_curve; the ECE as a sum over each bin's examples."""
    draws = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(200, 4, generator=draws, dtype=torch.float64)
    labels = torch.randint(4, (200,), generator=draws)
    confidence, answers = logits.softmax(1).max(1)
    accuracy, mean = calibration_curve(
        (answers == labels).numpy(), confidence.numpy(), n_bins=n_bins, strategy="uniform"
    )
    found = reliability(logits, labels, n_bins=n_bins)
    full = found.share > 0
    np.testing.assert_allclose(found.accuracy[full], accuracy)
    np.testing.assert_allclose(found.confidence[full], mean)
    assert found.share.sum().item() == pytest.approx(1)
    surplus = (answers == labels).double() - confidence
    bins = np.ceil(confidence.numpy() * n_bins)
    gaps = [abs(surplus[bins == b].sum().item()) for b in range(1, n_bins + 1)]
    assert found.expected_error == pytest.approx(sum(gaps) / 200)


def test_labels_drawn_from_the_probabilities_are_calibrated_and_sharper_ones_are_not():
    """Oracle: by construction the confidence is the chance to be right; 5 standard errors."""
    draws = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(40_000, 5, generator=draws)
    labels = torch.multinomial(logits.softmax(1), 1, generator=draws)[:, 0]
    assert reliability(logits, labels).expected_error < 0.02
    assert reliability(3 * logits, labels).expected_error > 0.1


def test_equal_confidences_at_the_end_of_a_bin_belong_to_it():
    """Oracle: a confidence of exactly ½, in the first of two bins, and 1, in the last."""
    logits = torch.tensor([[0.0, 0.0], [1000.0, 0.0]])
    assert reliability(logits, torch.tensor([0, 0]), n_bins=2).share.tolist() == [0.5, 0.5]
