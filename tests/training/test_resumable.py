"""training.resumable: killed and resumed, to the same bits; chosen on the validation set."""

import math
import signal
import subprocess
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

import reference_impl.training.resumable as fitting
from reference_impl.data import Dataset, Examples
from reference_impl.training import Recipe, accuracy, fit, trained

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = Recipe(
    "student", epochs=4, batch_size=32, learning_rate=1e-2, augment=True, erase=True, seed=5
)

KILLED_IN_EPOCH_3 = """
import os, signal, sys
from pathlib import Path
import torch
from test_resumable import RECIPE, small_dataset
from reference_impl.training.resumable import fit

def kill_in_the_middle(epoch, plan):
    for step, batch in enumerate(plan):
        if epoch == 3 and step == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch

torch.set_num_threads(1)
list(fit(RECIPE, small_dataset(), Path(sys.argv[1]), progress=kill_in_the_middle))
"""


def small_dataset() -> Dataset:
    """Return ten classes that can be learnt: a bright bar whose place is the label, and noise."""
    chance = torch.Generator().manual_seed(0)

    def draw(n: int) -> Examples:
        labels = torch.arange(n) % 10
        images = torch.rand(n, 1, 28, 28, generator=chance).mul(0.3)
        for image, label in zip(images, labels.tolist(), strict=True):
            image[:, 4 + 2 * label : 6 + 2 * label, 4:24] = 1
        return Examples(images, labels)

    return Dataset(train=draw(200), validation=draw(100), test=draw(50))


def assert_same(first, second) -> None:
    """Require equal structures, tensors bit by bit; the seconds may differ."""
    assert type(first) is type(second)
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first.keys() - {"seconds"}:
            assert_same(first[key], second[key])
    elif isinstance(first, list | tuple):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    else:
        assert first == second


def test_killed_in_the_middle_of_an_epoch_and_resumed_it_ends_with_the_same_bits(tmp_path):
    """Oracle: a run that nobody disturbed; weights, averages and losses, bit by bit."""
    straight, resumed = tmp_path / "straight.pt", tmp_path / "resumed.pt"
    command = [sys.executable, "-c", KILLED_IN_EPOCH_3, str(resumed)]
    killed = subprocess.run(command, cwd=Path(__file__).parent, check=False)
    assert killed.returncode == -signal.SIGKILL
    undisturbed = list(fit(RECIPE, small_dataset(), straight))
    rest = list(fit(RECIPE, small_dataset(), resumed))
    assert [epoch.loss for epoch in rest] == [epoch.loss for epoch in undisturbed[2:]]
    assert_same(torch.load(straight), torch.load(resumed))
    assert {path.name for path in tmp_path.iterdir()} == {"straight.pt", "resumed.pt"}


def test_it_learns_and_the_test_set_is_not_touched(tmp_path):
    """Oracle: chance, ln 10 nats and 10 %; a data set without a test set."""
    blind = small_dataset()
    object.__setattr__(blind, "test", None)
    recipe = replace(RECIPE, epochs=8, augment=False, erase=False)
    epochs = list(fit(recipe, blind, tmp_path / "s.pt"))
    assert epochs[-1].loss < math.log(10) - 0.5
    assert max(epoch.validation_accuracy for epoch in epochs) > 50


def test_the_first_of_the_best_epochs_on_the_validation_set_is_kept(tmp_path):
    """Oracle: the highest accuracy in the history; the weights measured in training's layout."""
    dataset = small_dataset()
    scores = [epoch.validation_accuracy for epoch in fit(RECIPE, dataset, tmp_path / "s.pt")]
    state = torch.get_rng_state()
    result = trained(RECIPE, str(tmp_path / "s.pt"))
    assert torch.equal(torch.get_rng_state(), state)
    assert result.best_epoch == scores.index(max(scores)) + 1
    assert [epoch.validation_accuracy for epoch in result.history] == scores
    assert not result.model.training
    same = result.model.to(memory_format=torch.channels_last)  # so it rounds as it did
    assert accuracy(same, dataset.validation) == max(scores)


def test_of_equal_epochs_the_first_is_kept(tmp_path, monkeypatch):
    """Oracle: scripted accuracies."""
    scores = iter([50.0, 80.0, 80.0, 60.0])
    monkeypatch.setattr(fitting, "accuracy", lambda *_: next(scores))
    list(fit(RECIPE, small_dataset(), tmp_path / "s.pt"))
    assert trained(RECIPE, tmp_path / "s.pt").best_epoch == 2


def test_a_finished_run_is_not_repeated(tmp_path):
    """Oracle: the number of epochs yielded by a second call."""
    state_file = tmp_path / "s.pt"
    assert len(list(fit(RECIPE, small_dataset(), state_file))) == 4
    assert list(fit(RECIPE, small_dataset(), state_file)) == []


def test_the_seed_decides_the_result_and_the_global_generator_does_not(tmp_path):
    """Oracle: runs with the same and another seed, from different global states."""
    losses = []
    for run, seed in enumerate((5, 5, 6)):
        torch.manual_seed(run)
        state = torch.get_rng_state()
        epoch = next(fit(replace(RECIPE, seed=seed), small_dataset(), tmp_path / f"{run}.pt"))
        assert torch.equal(torch.get_rng_state(), state)
        losses.append(epoch.loss)
    assert losses[0] == losses[1] != losses[2]


def test_every_epoch_has_its_own_order_and_its_own_augmentation(tmp_path):
    """Oracle: the batches that reach the progress wrapper, and what is wrapped around them."""
    first_labels = []

    def spy(epoch, plan):
        first_labels.append((epoch, next(iter(plan))[1].tolist()))
        return plan

    list(fit(RECIPE, small_dataset(), tmp_path / "s.pt", progress=spy))
    assert [epoch for epoch, _ in first_labels] == [1, 2, 3, 4]
    assert len({tuple(labels) for _, labels in first_labels}) == 4


def test_the_result_of_an_unfinished_run_is_refused(tmp_path):
    """Oracle: one epoch of four done."""
    list(islice(fit(RECIPE, small_dataset(), tmp_path / "s.pt"), 1))
    with pytest.raises(ValueError, match=r"s\.pt: 1 of 4 epochs done"):
        trained(RECIPE, tmp_path / "s.pt")


def test_a_result_that_was_never_begun_is_refused(tmp_path):
    """Oracle: no file."""
    with pytest.raises(ValueError, match=r"s\.pt: 0 of 4 epochs done"):
        trained(RECIPE, tmp_path / "s.pt")
    assert not (tmp_path / "s.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("recipe", small_dataset(), "s.pt"), "recipe"),
        ((RECIPE, small_dataset(), 3), "state_file"),
    ],
)
def test_arguments_of_another_type_are_refused(arguments, name):
    """Oracle: the words of the message."""
    with pytest.raises(TypeError, match=f"{name} must be"):
        fit(*arguments)


def test_the_state_of_another_recipe_is_refused_and_kept(tmp_path):
    """Oracle: a recipe with another seed; the bytes of the file."""
    state_file = tmp_path / "s.pt"
    next(fit(RECIPE, small_dataset(), state_file))
    before = state_file.read_bytes()
    with pytest.raises(ValueError, match=r"s\.pt: belongs to another recipe.*delete the file"):
        next(fit(replace(RECIPE, seed=6), small_dataset(), state_file))
    assert state_file.read_bytes() == before


@pytest.mark.parametrize("damage", ["empty", "cut", "foreign", "other object"])
def test_a_state_that_cannot_be_read_is_named(tmp_path, damage):
    """Oracle: four files that do not hold a state."""
    state_file = tmp_path / "s.pt"
    next(fit(RECIPE, small_dataset(), state_file))
    whole = state_file.read_bytes()
    if damage == "other object":
        torch.save([1, 2], state_file)
    else:
        content = {"empty": b"", "cut": whole[: len(whole) // 2], "foreign": b"hello"}
        state_file.write_bytes(content[damage])
    with pytest.raises(ValueError, match=r"s\.pt: .*training state.*; delete it"):
        next(fit(RECIPE, small_dataset(), state_file))
