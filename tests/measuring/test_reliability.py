"""Calibration against scikit-learn, by hand, and against a network that is calibrated."""

import numpy as np
import pytest
import torch
from draws import generator, integers, normal
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from reference_impl.measuring import reliability


def test_half_precision_is_computed_in_double():
    """Oracle: the same numbers in double precision, bit by bit."""
    logits = normal(50, 4).half()
    found, expected = (reliability(z, torch.arange(50) % 4) for z in (logits, logits.double()))
    assert found.expected_error == expected.expected_error


@pytest.mark.equation("eq-student-ece")
@given(seed=st.integers(0, 10_000), n_bins=st.integers(1, 20))
def test_bins_are_scikit_learns(seed, n_bins):
    """Oracle: scikit-learn's calibration_curve; the ECE as a sum over each bin's examples."""
    logits, labels = 3 * normal(200, 4, seed=seed).double(), integers(0, 3, 200, seed=seed)
    confidence, answers = logits.softmax(1).max(1)
    is_right = (answers == labels).double().numpy()
    accuracy, mean = calibration_curve(is_right, confidence.numpy(), n_bins=n_bins)
    found = reliability(logits, labels, n_bins=n_bins)
    full = found.share > 0
    np.testing.assert_allclose(found.accuracy[full], accuracy)
    np.testing.assert_allclose(found.confidence[full], mean)
    assert torch.cat([found.accuracy[~full], found.confidence[~full]]).isnan().all()
    bins, gap = np.ceil(confidence.numpy() * n_bins), is_right - confidence.numpy()
    sums, counts = (np.bincount(bins.astype(int) - 1, w, n_bins) for w in (gap, None))
    assert found.share.tolist() == pytest.approx(counts / 200)
    assert found.expected_error == pytest.approx(np.abs(sums).sum() / 200)


def test_labels_drawn_from_the_probabilities_are_calibrated_and_sharper_ones_are_not():
    """Oracle: by construction the confidence is the chance to be right; 5 standard errors."""
    logits = 2 * normal(40_000, 5)
    labels = torch.multinomial(logits.softmax(1), 1, generator=generator())[:, 0]
    assert reliability(logits, labels).expected_error < 0.02
    assert reliability(3 * logits, labels).expected_error > 0.1


def test_equal_confidences_at_the_end_of_a_bin_belong_to_it():
    """Oracle: a confidence of exactly ½, in the first of two bins, and 1, in the last."""
    logits = torch.tensor([[0.0, 0.0], [1000.0, 0.0]])
    assert reliability(logits, torch.tensor([0, 0]), n_bins=2).share.tolist() == [0.5, 0.5]
