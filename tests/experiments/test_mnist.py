"""experiments.mnist: a digit that a student never sees, on a folder in MNIST's form."""

from dataclasses import replace

import pytest
import torch.nn.functional as F
from idx_files import write_folder, write_idx

from experiments import mnist as recorder
from experiments import sparsity, workers
from reference_impl.data import load_dataset
from reference_impl.training import accuracy, new_student, predict, student_steps, view


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Write the first images of the shipped data set in the four files of MNIST."""
    whole = load_dataset()
    root = tmp_path_factory.mktemp("data") / "MNIST"
    write_folder(root, n_train=1, n_test=1)
    for split, examples in (("train", whole.train[:360]), ("t10k", whole.test[:400])):
        pixels = (examples.images[:, 0] * 255).round().byte().numpy()
        write_idx(root / f"{split}-images-idx3-ubyte.gz", pixels)
        write_idx(root / f"{split}-labels-idx1-ubyte.gz", examples.labels.numpy())
    return root


@pytest.fixture
def folder(written, monkeypatch):
    """Let MNIST be in the folder that is written."""
    monkeypatch.setattr(workers, "MNIST", written)
    return written


def hard(z, to):
    return F.cross_entropy(z, to.labels)


def soft(z, to):
    log_q, log_p = (z / 4).log_softmax(1), (to.logits / 4).log_softmax(1)
    return 16 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def test_rows_are_those_of_students_trained_by_hand(folder, monkeypatch):
    """Oracle: the same two trainings, the loss in torch's own words, the digit left out."""
    student = replace(recorder.STUDENT, model="lenet300", epochs=2, learning_rate=2e-3)
    recipe = replace(recorder.TEACHER, model="lenet300")
    for name, value in (("TEACHER", recipe), ("STUDENT", student), ("TEMPERATURES", (4.0,))):
        monkeypatch.setattr(recorder, name, value)
    found = recorder.Run(omitted=8).measured(None)
    assert found["omitted"] == 8
    assert [row["temperature"] for row in found["rows"]] == [None, 4.0]
    dataset = load_dataset(folder)
    assert len(dataset.train) == 300
    teacher = new_student(recipe)
    list(student_steps(teacher, [view(new_student(recipe), dataset.train)], hard, recipe))
    assert found["teacher"] == accuracy(teacher, dataset.test)
    said = view(teacher, dataset.train)
    keep = said.labels != 8
    mass = said.logits[keep].softmax(dim=1)[:, 8].mean().item()
    assert found["teacher_mass"] == pytest.approx(mass, rel=1e-4)
    others = recorder.View(said.images[keep], said.labels[keep], said.logits[keep])
    for row, objective in zip(found["rows"], (hard, soft), strict=True):
        network = new_student(student)
        list(student_steps(network, [others], objective, student))
        assert row["test"] == pytest.approx(accuracy(network, dataset.test), abs=0.6)
        logits = predict(network, dataset.test.images)
        logits[:, 8] += row["bias"]
        own = dataset.test.labels == 8
        recall = 100 * (logits[own].argmax(1) == 8).double().mean().item()
        assert row["corrected_recall"] == pytest.approx(recall, abs=5)


def test_mnist_is_planned_only_where_it_is(folder, monkeypatch):
    """Oracle: the plans with the folder and without it."""
    targets = [run for run in sparsity.planned([]) if run.data == "MNIST"]
    assert len(list(recorder.planned([]))) == 1
    networks = {(run.part, run.network) for run in targets}
    assert networks == {("target", "lenet300"), ("target", "lenet5")}
    monkeypatch.setattr(workers, "MNIST", folder / "elsewhere")
    assert list(recorder.planned([])) == []
    assert {run.data for run in sparsity.planned([])} == {"FashionMNIST"}
