"""experiments.qat: whole runs on some of the data, the shipped record."""

from dataclasses import replace
from functools import partial

import pytest
import shipped
import torch

from experiments import qat as recorder
from experiments.qat import Run
from experiments.qat_steps import clip_first
from reference_impl import training
from reference_impl.compress import LearnedQuantizer, deploy
from reference_impl.quantization import AdaRoundSettings, AffineQuantizer, IntegerGrid

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


def test_both_orders_restore_the_same_values_and_clip_first_has_the_papers_slopes():
    """Oracle: LSQ's equations 1 to 3 by hand, for s = 0.5 and the codes −1, 0, 1."""
    grid = IntegerGrid(2, signed=True, narrow=True)
    one = LearnedQuantizer(AffineQuantizer(torch.tensor(0.5), torch.tensor(0), grid), n=4)
    x = torch.tensor([0.2, 0.45, 0.55, -0.7], requires_grad=True)
    plain = one(x)
    one.register_forward_hook(clip_first)
    x_hat = one(x)
    assert torch.equal(x_hat, plain)
    by_x, by_s = torch.autograd.grad(x_hat, (x, one.scale), torch.tensor([1.0, 1, 10, 100]))
    assert by_x.tolist() == [1, 1, 0, 0]
    # u = 0.4, 0.9, 1.1, −1.4: the slopes are −0.4, 0.1, 1 and −1, times 1/√4
    assert by_s.item() == pytest.approx((-0.4 + 0.1 + 10 - 100) / 2)
    signed = LearnedQuantizer(AffineQuantizer(torch.tensor(0.5), torch.tensor(1), grid), n=4)
    with pytest.raises(ValueError, match="z = 0"):
        clip_first(signed, (x,), signed(x))


def test_orders_share_start_and_seed(small):
    """Oracle: the training made by hand, which is that of the first order."""
    ways = ("round", "clip")
    found = [recorder.Ordered("lenet300", 2, first, 0).measured(small) for first in ways]
    recipe = replace(recorder.RECIPES["lenet300"], bits=2, edges=2)
    chain = training.prepare(training.load_checkpoint("lenet300"), recipe, small.train)
    list(training.fine_tune(chain, recipe, small.train))
    assert found[0]["test"] == training.accuracy(deploy(chain), small.test)
    assert all(one["test"] > 50 for one in found)


def test_steps_without_the_factor_move_much_faster(small):
    """Oracle: the same training, whose steps' gradients are a hundred times as large."""
    with_factor, without = (
        recorder.FiftySteps(scaled=scaled, seed=0).measured(small) for scaled in (True, False)
    )
    assert 0 < 10 * with_factor["largest_change"] < without["largest_change"]


def test_relative_gradients_are_those_of_the_layers(small):
    """Oracle: by hand, a channel of conv1 has 9 weights of 8 bits, the largest code 127."""
    rows = recorder.Speeds().measured(small)["student"]
    layers = ("conv1", "conv2", "conv3", "head")
    assert [(r["layer"], r["of"]) for r in rows] == [
        (name, of) for name in layers for of in ("weight", "input")
    ]
    assert rows[0]["root"] == pytest.approx((9 * 127) ** 0.5)
    assert all(r["ratio"] > 0 for r in rows)


def test_a_start_that_is_too_large_silences_layers(small):
    """Oracle: all weights below half a step become 0, and no gradient passes."""
    silent = recorder.Misled(1.0, 30.0, 0).measured(small)
    assert silent["silent"]
    usual = recorder.Misled(1.0, 1.0, 0).measured(small)
    assert usual["silent"] == []
    assert usual["at_bound"] == 0
    assert usual["validation"] > silent["validation"]


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
