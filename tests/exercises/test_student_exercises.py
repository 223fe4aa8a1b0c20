"""Every checker of chapter 09 accepts right answers, and names wrong ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar

from exercises import student
from reference_impl.data import load_dataset
from reference_impl.distillation import best_class_bias
from reference_impl.measuring import mean_interval, paired_gain, reliability
from reference_impl.training import load_checkpoint, predict
from tests.exercises.claims import judged, spoiling


def count(logits, labels, k, bias):
    moved = logits.clone()
    moved[:, k] += bias
    return int((moved.argmax(dim=1) == labels).sum())


def on_grid(low):
    """Return the best of a grid of biases up to 15."""
    return lambda logits, labels, k: max(
        np.linspace(low, 15, 601), key=lambda b: count(logits, labels, k, b)
    )


by_grid = on_grid(-15)


RIGHT = {
    "student-gain": [[0.6, 0.43], [0.6, 0.4303]],
    "student-bias": [best_class_bias, by_grid, lambda *a: torch.tensor(by_grid(*a))],
    "student-scaling": [1.66, 1.7, 1.65],
}


def most_recall(logits, labels, k):
    own = labels == k
    return max(range(30), key=lambda b: count(logits[own], labels[own], k, b))


WRONG = {
    "student-gain": [
        ([-0.6, 0.43], "wrong way round"),
        ([0.5, 0.43], "difference distilled − alone of each seed"),
        ([0.6, 0.9], "divided by 2"),
        ([0.6, 0.196], "1.96, the normal quantile"),
        ([0.6, 0.1], "standard error"),
        ([0.6, 0.173], "standard deviation of the gains"),
        ([0.6, 0.351], "You divided the squares by 3"),
        ([0.6, 0.745], "You did not divide by √3"),
        ([0.6, 0.318], "three degrees of freedom"),
        ([0.6, 0.292], "one-sided"),
        ([0.6, 0.703], "unpaired"),
        ([0.6, 0.453], "unpaired"),
    ],
    "student-bias": [
        (lambda *a: -best_class_bias(*a), "sign is the wrong way round"),
        (most_recall, "You count only the examples of class k"),
        (lambda *_: 0.0, "no correction"),
        (lambda *_: 1.0, "Try many b"),
        (on_grid(0), "Try numbers below 0 too"),
        (spoiling(best_class_bias), "Add to a copy"),
    ],
    "student-scaling": [
        (0.6, "You multiplied the logits"),
        (0.78, "You fitted it on the training images"),
        (1.57, "You minimised the ECE"),
        (1.0, "surer than it is right"),
        (2.5, "take the least"),
        (-1.0, "T > 0"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_the_gain_is_the_packages_and_the_interval_of_the_differences():
    """Oracle: `paired_gain`, itself compared with SciPy's paired test."""
    found = paired_gain(student.DISTILLED, student.ALONE)
    assert (found.mean, found.half_width) == pytest.approx(
        (student.GAIN, student.HALF_WIDTH), abs=1e-6
    )
    gains = [b - a for a, b in zip(student.ALONE, student.DISTILLED, strict=True)]
    assert found.half_width == pytest.approx(mean_interval(gains).half_width)


def test_the_temperatures_are_the_minima():
    """Oracle: SciPy's minimiser on the logits of the shipped network; a scan for the ECE."""
    dataset, model = load_dataset(), load_checkpoint("lenet300")
    for examples, expected in (
        (dataset.validation, student.CALIBRATED),
        (dataset.train, student.ON_TRAINING_IMAGES),
    ):
        logits = predict(model, examples.images).double()

        def nll(t, logits=logits, labels=examples.labels):
            return F.cross_entropy(logits / t, labels).item()

        found = minimize_scalar(nll, bounds=(0.3, 4), method="bounded")
        assert found.x == pytest.approx(expected, abs=0.005)
    logits, labels = predict(model, dataset.validation.images), dataset.validation.labels
    tried = [1 + step / 100 for step in range(100)]
    best = min(tried, key=lambda t: reliability(logits / t, labels).expected_error)
    assert best == pytest.approx(student.LEAST_ECE, abs=0.02)
