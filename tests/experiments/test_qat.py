"""experiments.qat: whole runs on some of the data, the shipped record."""

from dataclasses import replace
from functools import partial

import pytest
import shipped

from experiments import qat as recorder
from experiments.qat import Run
from reference_impl import training
from reference_impl.compress import deploy
from reference_impl.quantization import AdaRoundSettings

QUICK = training.QatRecipe(bits=4, epochs=1)


def test_a_run_is_measured_as_when_it_is_made_by_hand(small):
    """Oracle: the same training, deployed and measured by hand."""
    found = Run("lenet300", QUICK).measured(small)
    whole = training.load_checkpoint("lenet300")
    chain = training.prepare(whole, QUICK, small.train)
    assert found["start_validation"] == training.accuracy(chain, small.validation)
    losses = list(training.fine_tune(chain, QUICK, small.train))
    assert found["loss"] == pytest.approx(sum(losses) / len(losses))
    final = deploy(chain)
    assert found["test"] == training.accuracy(final, small.test)
    assert found["validation"] == training.accuracy(final, small.validation)
    control = Run("lenet300", replace(QUICK, bits=None)).measured(small)
    assert control["start_validation"] == training.accuracy(whole, small.validation)


def test_densities_and_changed_codes_are_watched(small):
    """Oracle: nearly all weights within the bins, which are 0.04 wide; every 20th of 15 steps."""
    watched = recorder.Watched().measured(small)
    for density in (watched["before"], watched["after"]):
        assert len(density) == 100
        assert 0.9 < sum(density) * 0.04 <= 1.0001
    assert len(watched["changed"]) == 3 * 5 // 20


def test_networks_of_four_bits_keep_most_answers_by_rounding(small, monkeypatch):
    """Oracle: the network in full precision answers 90 % right; AdaRound in fewer steps."""
    shorter = partial(recorder.compress.adaround, settings=AdaRoundSettings(steps=100))
    monkeypatch.setattr(recorder.compress, "adaround", shorter)
    rounded = recorder.Rounding("lenet300", 4).measured(small)
    assert set(rounded) == {"nearest", "adaround"}
    assert all(80 < right <= 100 for right in rounded.values())


def test_the_shipped_record_reaches_what_the_chapter_promises():
    """Oracle: the accuracy of the network in full precision, from its own record."""
    for name in ("lenet300", "teacher"):
        for bits, allowed in ((4, 0.5), (2, 3.0)):
            tests = [
                run["test"]
                for run in shipped.record("qat")["runs"]
                if (run["network"], run["recipe"]["bits"], run["recipe"]["edges"])
                == (name, bits, 8)
            ]
            full = training.provenance(name).test_accuracy
            assert sum(tests) / len(tests) >= full - allowed
