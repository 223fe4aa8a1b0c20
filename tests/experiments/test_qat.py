"""experiments.qat: whole runs on some of the data, one interrupted, the shipped record."""

import json
from dataclasses import replace

import pytest

from experiments import qat as record_qat
from experiments.qat import Run, measured
from reference_impl.compress import deploy
from reference_impl.data import Dataset, load_dataset
from reference_impl.files import ROOT
from reference_impl.training import QatRecipe, accuracy, fine_tune, load_checkpoint, prepare

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = QatRecipe(bits=4, epochs=1)


@pytest.fixture(scope="module")
def small():
    whole = load_dataset()
    return Dataset(whole.train[:640], whole.validation[:200], whole.test[:200])


def test_a_run_is_measured_as_when_it_is_made_by_hand(small):
    """Oracle: the same training, deployed and measured by hand."""
    found = measured(Run("lenet300", QUICK), small)
    chain = prepare(load_checkpoint("lenet300").chain(), QUICK, small.train)
    assert found["start_validation"] == accuracy(chain, small.validation)
    losses = list(fine_tune(chain, QUICK, small.train))
    assert found["loss"] == pytest.approx(sum(losses) / len(losses))
    final = deploy(chain)
    assert found["test"] == accuracy(final, small.test)
    assert found["validation"] == accuracy(final, small.validation)
    control = measured(Run("lenet300", replace(QUICK, bits=None)), small)
    assert control["start_validation"] == accuracy(load_checkpoint("lenet300"), small.validation)


def test_densities_and_changed_codes_are_watched(small):
    """Oracle: nearly all weights within the bins, which are 0.04 wide; every 20th of 15 steps."""
    watched = measured(record_qat.Watched(), small)
    for density in (watched["before"], watched["after"]):
        assert len(density) == 100
        assert 0.9 < sum(density) * 0.04 <= 1.0001
    assert len(watched["changed"]) == 3 * 5 // 20


def test_networks_of_four_bits_keep_most_answers_by_rounding(small):
    """Oracle: the network in full precision answers 90 % right."""
    rounded = measured(record_qat.Rounding("lenet300", 4), small)
    assert set(rounded) == {"nearest", "adaround"}
    assert all(80 < right <= 100 for right in rounded.values())


def test_the_shipped_record_reaches_what_the_chapter_promises():
    """Oracle: the accuracy of the network in full precision, from its own record."""
    found = json.loads((ROOT / "data" / "results" / "qat.json").read_text(encoding="utf-8"))
    for name in ("lenet300", "teacher"):
        full = accuracy_of_checkpoint(name)
        for bits, allowed in ((4, 0.5), (2, 3.0)):
            tests = [
                run["test"]
                for run in found["runs"]
                if run["network"] == name
                and (run["recipe"]["bits"], run["recipe"]["edges"]) == (bits, 8)
            ]
            assert tests
            assert sum(tests) / len(tests) >= full - allowed


def accuracy_of_checkpoint(name: str) -> float:
    text = (ROOT / "data" / "checkpoints" / f"{name}.json").read_text(encoding="utf-8")
    return float(json.loads(text)["test_accuracy"])
