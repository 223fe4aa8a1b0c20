"""experiments.distillation: short runs on some of the data, one interrupted, the record."""

from dataclasses import asdict, replace
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from experiments import distillation as recorder
from experiments.distillation import Run
from reference_impl import training
from reference_impl.data import Dataset, Examples, load_dataset
from reference_impl.distillation import distillation_objective

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = Run("main", "lenet300", "lenet5", temperature=2.0, n_images=256, epochs=2)
OMITTED = replace(QUICK, purpose="omitted", omitted=3, epochs=1)
AUGMENTED = replace(QUICK, purpose="augmented", augment=True, epochs=1)


@pytest.fixture(scope="module")
def small():
    whole = load_dataset()
    return Dataset(whole.train[:300], whole.validation[:200], whole.test[:200])


@pytest.fixture(autouse=True)
def few_views(monkeypatch):
    """Let there be two augmented views, of the images of each test."""
    monkeypatch.setattr(recorder, "N_VIEWS", 2)
    monkeypatch.setattr(recorder, "_all_views", cache(recorder._all_views.__wrapped__))


def by_hand(small, objective, *, keep=None, seed=None, epochs=2):
    """Return a student trained without the command.

    The teacher answers in the command's order of memory and in its batches, so that it rounds as
    there, and accuracies may be compared exactly.
    """
    teacher = training.load_checkpoint("lenet5").to(memory_format=torch.channels_last)
    whole = training.view(teacher, small.train, seed=seed)
    chosen = torch.arange(256) if keep is None else torch.arange(256)[keep]
    part = recorder.View(whole.images[chosen], whole.labels[chosen], whole.logits[chosen])
    recipe = training.Recipe("lenet300", epochs=epochs, learning_rate=1e-2)
    student = training.new_student(recipe)
    return student, list(training.student_steps(student, [part], objective, recipe))


def taught(student, targets):
    return distillation_objective(
        student, targets.logits, targets.labels, temperature=2.0, alpha=0.9
    )


def test_runs_are_measured_as_they_are_when_made_by_hand(small):
    """Oracle: the same trainings and measurements by hand."""
    runs = (QUICK.alone(), QUICK, OMITTED)
    alone, distilled, omitted = (recorder.measured(run, small) for run in runs)
    student, losses = by_hand(small, lambda z, to: F.cross_entropy(z, to.labels))
    assert alone["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert alone["validation"] == training.accuracy(student, small.validation)
    student, losses = by_hand(small, taught)
    assert distilled["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert distilled["test"] == training.accuracy(student, small.test)
    logits = training.predict(student, small.test.images)
    sure, answers = logits.softmax(dim=1).max(dim=1)
    assert distilled["nll"] == pytest.approx(F.cross_entropy(logits, small.test.labels).item())
    assert sum(distilled["share"]) == pytest.approx(1, abs=1e-3)
    in_bins = np.dot(distilled["share"], distilled["confidence"])
    assert in_bins == pytest.approx(sure.mean().item(), abs=1e-3)
    right = np.dot(distilled["share"], distilled["accuracy"])
    assert right == pytest.approx((answers == small.test.labels).float().mean().item(), abs=1e-3)
    keep = small.train.labels[:256] != 3
    student, _ = by_hand(small, taught, keep=keep, epochs=1)
    logits = training.predict(student, small.test.images)
    own = small.test.labels == 3
    assert omitted["recall"] == recorder.percent_right(logits[own], small.test.labels[own])
    logits[:, 3] += omitted["bias"]
    assert omitted["corrected_test"] == recorder.percent_right(logits, small.test.labels)
    assert omitted["corrected_recall"] == recorder.percent_right(
        logits[own], small.test.labels[own]
    )


def test_augmented_runs_pass_over_views_that_the_teacher_has_seen(small):
    """Oracle: a student trained by hand on the first of the augmented views."""
    student, _ = by_hand(small, taught, seed=100, epochs=1)
    assert recorder.measured(AUGMENTED, small)["test"] == training.accuracy(student, small.test)


def test_each_augmented_view_has_a_seed_of_its_own(small):
    """Oracle: views made by hand."""
    made = recorder._all_views("lenet5", small.train, augmented=True)
    for number, one in enumerate(made):
        expected = training.view(training.load_checkpoint("lenet5"), small.train, seed=100 + number)
        assert torch.equal(one.images, expected.images)


def test_the_curve_counts_right_answers_with_each_bias(monkeypatch, small):
    """Oracle: the record's student trained by hand; argmax with the logit moved."""
    monkeypatch.setattr(recorder, "OMITTED", replace(OMITTED, omitted=None))
    curve = recorder.measured(recorder.Curve("teacher"), small)
    keep = small.train[:256].labels != 0
    student, _ = by_hand(small, taught, keep=keep, epochs=1)
    logits = training.predict(student, small.validation.images)
    for i in (0, 16, 40, 64):
        moved = logits + curve["bias"][i] * F.one_hot(torch.tensor(0), 10)
        right = moved.argmax(dim=1) == small.validation.labels
        assert curve["all_right"][i] == pytest.approx(100 * right.double().mean().item(), abs=0.01)
        own = right[small.validation.labels == 0]
        assert curve["own_right"][i] == pytest.approx(100 * own.double().mean().item(), abs=0.01)
    assert (curve["bias"][0], curve["bias"][16], curve["bias"][-1]) == (-4, 0, 12)
    assert (curve["teacher"], curve["own_right"][-1] >= curve["own_right"][0]) == ("lenet5", True)


def test_a_student_alone_differs_from_its_pair_in_the_teacher_only():
    """Oracle: the fields of both; pairs, seed by seed."""
    alone = {"teacher": None, "temperature": 1.0, "alpha": 0.0}
    for run in recorder.planned([]):
        if isinstance(run, Run):
            assert asdict(run.alone()) == asdict(run) | alone
    pairs = list(recorder.paired(QUICK, (3, 4)))
    assert [(run.teacher, run.seed) for run in pairs] == [
        (teacher, seed) for seed in (3, 4) for teacher in (None, "lenet5")
    ]


def test_calibration_by_hand():
    """Oracle: two examples of confidence 3/4, one of them right."""
    logits = torch.tensor([[3.0, 1.0], [3.0, 1.0]]).log()
    found = recorder.calibration(logits, torch.tensor([0, 1]))
    assert found["ece"] == pytest.approx(0.25)
    assert found["nll"] == pytest.approx(-np.log([0.75, 0.25]).mean())
    assert max(found["share"]) == 1
    assert sum(found["accuracy"]) == 0.5


def test_the_bias_is_fitted_on_validation_images_alone():
    """Oracle: gaps of 1 on validation and of 5 on test images, of class 0 held back in both.

    The validation images want b in (1, 2), which is 1.5: too little for the test images.
    """
    images = torch.zeros(2, 1, 28, 28)
    labels = torch.tensor([0, 1])
    part = Examples(images, labels)
    logits = {
        "validation": torch.tensor([[0.0, 1.0], [0.0, 2.0]]),
        "test": torch.tensor([[0.0, 5.0], [0.0, 6.0]]),
    }
    found = recorder.recovered(0, logits, Dataset(part, part, part))
    assert found == {"bias": 1.5, "recall": 0, "corrected_recall": 0, "corrected_test": 50}
