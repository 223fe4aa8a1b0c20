"""experiments.mnist: a digit that a student never sees, on a folder in MNIST's form."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from idx_files import write_folder, write_idx

from experiments import mnist as omit_class
from experiments import sparsity, workers
from reference_impl.data import load_dataset
from reference_impl.training import accuracy, new_student, predict, student_steps, view

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Let MNIST be the first images of the shipped data set, in its four files."""
    whole = load_dataset()
    root = tmp_path / "MNIST"
    write_folder(root, n_train=1, n_test=1)
    for split, examples in (("train", whole.train[:5300]), ("t10k", whole.test[:400])):
        pixels = (examples.images[:, 0] * 255).round().byte().numpy()
        write_idx(root / f"{split}-images-idx3-ubyte.gz", pixels)
        write_idx(root / f"{split}-labels-idx1-ubyte.gz", examples.labels.numpy())
    monkeypatch.setattr(workers, "MNIST", root)
    workers.mnist.cache_clear()
    yield root
    workers.mnist.cache_clear()


@pytest.fixture
def quick(monkeypatch):
    """Let the command train small networks for an epoch, at one temperature."""
    monkeypatch.setattr(omit_class, "TEACHER", replace(omit_class.TEACHER, model="lenet300"))
    student = replace(omit_class.STUDENT, model="lenet300", epochs=2, learning_rate=2e-3)
    monkeypatch.setattr(omit_class, "STUDENT", student)
    monkeypatch.setattr(omit_class, "TEMPERATURES", (4.0,))


@pytest.mark.usefixtures("quick")
def test_rows_are_those_of_students_trained_by_hand(folder):
    """Oracle: the same two trainings, the loss in torch's own words, the digit left out."""
    found = omit_class.measured(omit_class.Run(omitted=8), None)
    hard, soft = found["rows"]
    assert (found["omitted"], hard["temperature"], soft["temperature"]) == (8, None, 4.0)
    dataset = load_dataset(folder)
    assert len(dataset.train) == 300
    blank = view(new_student(omit_class.TEACHER), dataset.train)
    teacher = new_student(omit_class.TEACHER)
    plain = lambda z, to: F.cross_entropy(z, to.labels)  # noqa: E731 — one line beside the other
    list(student_steps(teacher, [blank], plain, omit_class.TEACHER))
    assert found["teacher"] == accuracy(teacher, dataset.test)
    said = view(teacher, dataset.train)
    keep = said.labels != 8
    mass = said.logits[keep].softmax(dim=1)[:, 8].mean().item()
    assert found["teacher_mass"] == pytest.approx(mass, rel=1e-4)
    others = omit_class.View(said.images[keep], said.labels[keep], said.logits[keep])

    def kl(z, to):
        log_q, log_p = (z / 4).log_softmax(1), (to.logits / 4).log_softmax(1)
        return 16 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)

    for row, objective in ((hard, plain), (soft, kl)):
        student = new_student(omit_class.STUDENT)
        list(student_steps(student, [others], objective, omit_class.STUDENT))
        assert row["test"] == pytest.approx(accuracy(student, dataset.test), abs=0.6)
        logits = predict(student, dataset.test.images)
        logits[:, 8] += row["bias"]
        own = dataset.test.labels == 8
        recall = 100 * (logits[own].argmax(1) == 8).double().mean().item()
        assert row["corrected_recall"] == pytest.approx(recall, abs=5)


def test_temperatures_are_bound_to_their_objectives():
    """Oracle: the losses of one pair of logits, which differ from each other."""
    z, v = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]])
    targets = omit_class.Targets(torch.tensor([0]), v)
    losses = [objective(z, targets).item() for _, objective in omit_class.objectives()]
    assert len(set(losses)) == 1 + len(omit_class.TEMPERATURES)
    t = omit_class.TEMPERATURES[-1]
    p, q = (v / t).softmax(1), (z / t).softmax(1)
    assert losses[-1] == pytest.approx(t**2 * (p * (p / q).log()).sum().item(), rel=1e-3)


def test_mnist_is_planned_only_where_it_is(folder):
    """Oracle: the plans with the folder and without it."""
    targets = [run for run in sparsity.planned([]) if run.data == "MNIST"]
    assert len(list(omit_class.planned([]))) == 1
    assert {(run.part, run.network) for run in targets} == {
        ("target", "lenet300"),
        ("target", "lenet5"),
    }
    folder.rename(folder.with_name("elsewhere"))
    assert list(omit_class.planned([])) == []
    assert {run.data for run in sparsity.planned([])} == {"FashionMNIST"}
