"""experiments.distillation: short runs on some of the data, against the same made by hand."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from experiments import distillation as recorder
from experiments.distillation import Run
from reference_impl import training
from reference_impl.data import Dataset, Examples
from reference_impl.distillation import distillation_objective

QUICK = Run("main", "lenet300", "lenet5", temperature=2.0, n_images=256, epochs=2)
OMITTED = replace(QUICK, purpose="omitted", omitted=3, epochs=1)


CASES = [  # a run, and what it is by hand
    (QUICK.alone(), {"alpha": 0}),
    (QUICK, {}),
    (OMITTED, {"omitted": 3, "epochs": 1}),
    (replace(QUICK, augment=True, epochs=1), {"seed": 100, "epochs": 1}),
]


def by_hand(small, *, alpha=0.9, omitted=-1, seed=None, epochs=2):
    """Return a student trained without the command, and its losses.

    The teacher answers in the command's order of memory and in its batches, so that it rounds as
    there, and accuracies may be compared exactly.
    """

    def objective(student, to):
        if not alpha:
            return F.cross_entropy(student, to.labels)
        return distillation_objective(student, to.logits, to.labels, temperature=2.0, alpha=alpha)

    teacher = training.load_checkpoint("lenet5").to(memory_format=torch.channels_last)
    whole = training.view(teacher, small.train, seed=seed)
    chosen = torch.arange(256)[whole.labels[:256] != omitted]
    part = training.View(whole.images[chosen], whole.labels[chosen], whole.logits[chosen])
    recipe = training.Recipe("lenet300", epochs=epochs, learning_rate=1e-2)
    student = training.new_student(recipe)
    return student, list(training.student_steps(student, [part], objective, recipe))


@pytest.mark.parametrize(("run", "how"), CASES)
def test_a_student_is_measured_as_when_it_is_trained_by_hand(run, how, small, monkeypatch):
    """Oracle: the same training and measurements by hand; means of the calibration's bins.

    Augmented runs pass over views that the teacher has seen: this one over the first of two.
    """
    monkeypatch.setattr(recorder, "N_VIEWS", 2)
    seen, answered = [], recorder.answered
    monkeypatch.setattr(recorder, "answered", lambda *how: seen.append(how) or answered(*how))
    found = run.measured(small)
    if run.augment:
        assert seen == [("lenet5", small.train, 10_000, seed) for seed in (100, 101)]
    student, losses = by_hand(small, **how)
    assert found["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-4)
    assert found["validation"] == training.accuracy(student, small.validation)
    assert found["test"] == training.accuracy(student, small.test)
    logits, labels = training.predict(student, small.test.images), small.test.labels
    sure, answers = logits.softmax(dim=1).max(dim=1)
    assert found["nll"] == pytest.approx(F.cross_entropy(logits, labels).item())
    assert sum(found["share"]) == pytest.approx(1, abs=1e-3)
    for name, mean in (("confidence", sure), ("accuracy", (answers == labels).float())):
        expected = mean.mean().item()
        assert np.dot(found["share"], found[name]) == pytest.approx(expected, abs=1e-3)
    if run.omitted is not None:  # it is measured with a bias too
        own = labels == 3
        assert found["recall"] == recorder.percent_right(logits[own], labels[own])
        logits[:, 3] += found["bias"]
        assert found["corrected_test"] == recorder.percent_right(logits, labels)
        assert found["corrected_recall"] == recorder.percent_right(logits[own], labels[own])


def test_the_curve_counts_right_answers_with_each_bias(monkeypatch, small):
    """Oracle: the record's student trained by hand; argmax with the logit moved."""
    monkeypatch.setattr(recorder, "OMITTED", replace(OMITTED, omitted=None))
    curve = recorder.Curve("teacher").measured(small)
    student, _ = by_hand(small, omitted=0, epochs=1)
    logits, labels = training.predict(student, small.validation.images), small.validation.labels
    for i in (0, 16, 40, 64):
        moved = logits + curve["bias"][i] * F.one_hot(torch.tensor(0), 10)
        right = (moved.argmax(dim=1) == labels).double()
        for name, mean in (("all_right", right.mean()), ("own_right", right[labels == 0].mean())):
            assert curve[name][i] == pytest.approx(100 * mean.item(), abs=0.01)
    assert (curve["bias"][0], curve["bias"][16], curve["bias"][-1]) == (-4, 0, 12)
    assert (curve["teacher"], curve["own_right"][-1] >= curve["own_right"][0]) == ("lenet5", True)


def test_a_student_alone_differs_from_its_pair_in_the_teacher_only():
    """Oracle: the fields of both; pairs, seed by seed."""
    alone = {"teacher": None, "temperature": 1.0, "alpha": 0.0}
    runs = [run for run in recorder.planned([]) if isinstance(run, Run)]
    assert all(asdict(run.alone()) == asdict(run) | alone for run in runs)
    pairs = [(run.teacher, run.seed) for run in recorder.paired(QUICK, (3, 4))]
    assert pairs == [(teacher, seed) for seed in (3, 4) for teacher in (None, "lenet5")]


def test_calibration_by_hand():
    """Oracle: two examples of confidence 3/4, one of them right."""
    logits = torch.tensor([[3.0, 1.0], [3.0, 1.0]]).log()
    found = recorder.calibration(logits, torch.tensor([0, 1]))
    assert found["ece"] == pytest.approx(0.25)
    assert found["nll"] == pytest.approx(-np.log([0.75, 0.25]).mean())
    assert (max(found["share"]), sum(found["accuracy"])) == (1, 0.5)


def test_the_bias_is_fitted_on_validation_images_alone():
    """Oracle: gaps of 1 on validation and of 5 on test images, of class 0 held back in both.

    The validation images want b in (1, 2), which is 1.5: too little for the test images.
    """
    part = Examples(torch.zeros(2, 1, 28, 28), torch.tensor([0, 1]))
    validation, test = (torch.tensor([[0.0, gap], [0.0, gap + 1]]) for gap in (1.0, 5.0))
    logits = {"validation": validation, "test": test}
    found = recorder.recovered(0, logits, Dataset(part, part, part))
    assert found == {"bias": 1.5, "recall": 0, "corrected_recall": 0, "corrected_test": 50}


def test_a_student_of_the_same_images_has_a_teacher_that_saw_no_others(monkeypatch, small):
    """Oracle: that teacher trained by hand; the student's pair, with its answers."""
    recipe = training.Recipe("lenet300", epochs=2)
    monkeypatch.setattr(recorder, "RECIPES", {"teacher": recipe})
    monkeypatch.setattr(recorder, "FEW", 256)
    few = small.train[:256]
    *_, last = training.fit(recipe, Dataset(few, small.validation, small.test))
    found = recorder.Teacher().measured(small)
    assert (found["best_epoch"], found["n_images"]) == (last.best_epoch, 256)
    for part, examples in (("train", few), ("test", small.test)):
        assert found[part] == training.accuracy(last.best, examples)
        logits = training.predict(last.best, examples.images)
        expected = F.cross_entropy(logits, examples.labels).item()
        assert found[f"{part}_nll"] == pytest.approx(expected, rel=1e-5)
    run = replace(QUICK, teacher=recorder.OWN)
    student, _ = recorder.taught(run, small)
    by_hand = training.new_student(training.Recipe("lenet300", epochs=2, learning_rate=1e-2))
    steps = training.student_steps(
        by_hand,
        [training.view(last.best, few)],
        recorder.told(2.0, 0.9),
        training.Recipe("lenet300", epochs=2, learning_rate=1e-2),
    )
    list(steps)
    assert all(map(torch.equal, student.state_dict().values(), by_hand.state_dict().values()))


def test_each_temperature_has_the_alpha_of_the_best_mean_validation_accuracy():
    """Oracle: by hand; the choice, and with it the leading runs, wait for the whole sweep."""
    runs = [run for run in recorder.planned([]) if isinstance(run, Run) and run.purpose == "sweep"]
    rows = [asdict(run) | {"validation": 80 + run.seed - abs(run.alpha - 0.3)} for run in runs]
    chosen = {t: recorder.chosen_alpha(rows, t) for t in recorder.MORE}
    assert chosen == {0.25: 0.9, 0.5: 0.9, 1.0: 0.3, 2.0: 0.3, 4.0: 0.3, 20.0: 0.1}
    assert recorder.chosen_alpha(rows[:-1], 20.0) is None
    leading = [run for run in recorder.planned(rows) if getattr(run, "purpose", "") == "leading"]
    assert len(leading) == 3 * len(recorder.MORE)
    assert {run.seed for run in leading} == {2, 3, 4}
    rows = [row | {"validation": row["alpha"]} for row in rows]
    assert recorder.chosen_alpha(rows, 1.0) == 1.0
