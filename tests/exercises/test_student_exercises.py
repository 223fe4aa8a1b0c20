"""Every checker of chapter 09 accepts right answers, and names wrong ones."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import minimize_scalar

from exercises.student import (
    ALONE,
    CALIBRATED,
    DISTILLED,
    GAIN,
    HALF_WIDTH,
    LEAST_ECE,
    ON_TRAINING_IMAGES,
)
from reference_impl.data import load_dataset
from reference_impl.distillation import best_class_bias
from reference_impl.measuring import mean_interval, paired_gain, reliability
from reference_impl.training import load_checkpoint, predict
from tests.exercises.claims import advised, passing


def count(logits, labels, k, bias):
    moved = logits.clone()
    moved[:, k] += bias
    return int((moved.argmax(dim=1) == labels).sum())


def by_grid(logits, labels, k):
    return max(np.linspace(-15, 15, 601), key=lambda b: count(logits, labels, k, b))


def by_tensor(logits, labels, k):
    return torch.tensor(by_grid(logits, labels, k))


def at_the_gaps(logits, labels, k):
    rest = logits.clone()
    rest[:, k] = -torch.inf
    gaps = (rest.amax(dim=1) - logits[:, k]).tolist()
    return max((gap + 1e-4 for gap in gaps), key=lambda b: count(logits, labels, k, b))


RIGHT = [
    ("student-gain", [0.6, 0.43]),
    ("student-gain", (0.6, 0.4303)),
    ("student-gain", np.array([0.6, 0.43])),
    ("student-gain", torch.tensor([0.6, 0.43])),
    ("student-bias", best_class_bias),
    ("student-bias", by_grid),
    ("student-bias", by_tensor),
    ("student-bias", at_the_gaps),
    ("student-scaling", 1.66),
    ("student-scaling", 1.7),
    ("student-scaling", 1.65),
    ("student-scaling", torch.tensor(1.661)),
    ("student-scaling", np.float32(1.67)),
]


test_right_answers_pass = passing(RIGHT)


def negated(logits, labels, k):
    return -best_class_bias(logits, labels, k)


def most_recall(logits, labels, k):
    own = labels == k
    return max(range(30), key=lambda b: count(logits[own], labels[own], k, b))


def in_place(logits, labels, k):
    bias = best_class_bias(logits, labels, k)
    logits[:, k] += bias
    return bias


def positive(logits, labels, k):
    return max(np.linspace(0, 15, 601), key=lambda b: count(logits, labels, k, b))


WRONG = [
    ("student-gain", [-0.6, 0.43], "wrong way round"),
    ("student-gain", [0.5, 0.43], "difference distilled − alone of each seed"),
    ("student-gain", [0.6, 0.9], "divided by 2"),
    ("student-gain", [0.6, 0.196], "1.96, the normal quantile"),
    ("student-gain", [0.6, 0.1], "standard error"),
    ("student-gain", [0.6, 0.173], "standard deviation of the gains"),
    ("student-gain", [0.6, 0.351], "You divided the squares by 3"),
    ("student-gain", [0.6, 0.745], "You did not divide by √3"),
    ("student-gain", [0.6, 0.318], "three degrees of freedom"),
    ("student-gain", [0.6, 0.292], "one-sided"),
    ("student-gain", [0.6, 0.703], "unpaired"),
    ("student-gain", [0.6, 0.453], "unpaired"),
    ("student-gain", [0.6], "has 2 numbers; this has 1"),
    ("student-gain", ..., "No answer yet"),
    ("student-bias", negated, "sign is the wrong way round"),
    ("student-bias", most_recall, "You count only the examples of class k"),
    ("student-bias", lambda logits, labels, k: 0.0, "no correction"),
    ("student-bias", lambda logits, labels, k: 1.0, "Try many b"),
    ("student-bias", positive, "Try numbers below 0 too"),
    ("student-bias", in_place, "Add to a copy"),
    ("student-bias", lambda logits, labels, k: logits, "must return a number"),
    ("student-bias", lambda logits, labels, k: None, "must return a number"),
    ("student-bias", lambda logits: 1.0, "It raised TypeError"),
    ("student-bias", 3.0, "The answer is the function itself"),
    ("student-scaling", 0.6, "You multiplied the logits"),
    ("student-scaling", 0.78, "You fitted it on the training images"),
    ("student-scaling", 1.57, "You minimised the ECE"),
    ("student-scaling", 1.0, "surer than it is right"),
    ("student-scaling", 2.5, "take the least"),
    ("student-scaling", -1.0, "T > 0"),
    ("student-scaling", "2", "The answer is a number"),
]


test_wrong_answers_are_named = advised(WRONG)


def test_the_gain_is_the_packages_and_the_interval_of_the_differences():
    """Oracle: `paired_gain`, itself compared with SciPy's paired test."""
    found = paired_gain(DISTILLED, ALONE)
    assert (found.mean, found.half_width) == pytest.approx((GAIN, HALF_WIDTH), abs=1e-6)
    gains = [b - a for a, b in zip(ALONE, DISTILLED, strict=True)]
    assert found.half_width == pytest.approx(mean_interval(gains).half_width)


def test_the_temperatures_are_the_minima():
    """Oracle: SciPy's minimiser on the logits of the shipped network; a scan for the ECE."""
    dataset, model = load_dataset(), load_checkpoint("lenet300")
    for examples, expected in (
        (dataset.validation, CALIBRATED),
        (dataset.train, ON_TRAINING_IMAGES),
    ):
        logits = predict(model, examples.images).double()

        def nll(t, logits=logits, labels=examples.labels):
            return F.cross_entropy(logits / t, labels).item()

        found = minimize_scalar(nll, bounds=(0.3, 4), method="bounded")
        assert found.x == pytest.approx(expected, abs=0.005)
    logits, labels = predict(model, dataset.validation.images), dataset.validation.labels
    tried = [1 + step / 100 for step in range(100)]
    best = min(tried, key=lambda t: reliability(logits / t, labels).expected_error)
    assert best == pytest.approx(LEAST_ECE, abs=0.02)
