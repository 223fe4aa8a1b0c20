"""Quantization-aware training: it repeats, it learns, and it keeps to its recipe."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl import training
from reference_impl.compress import LearnedLayer, deploy, learned_quantizers
from reference_impl.data import batches, load_dataset
from reference_impl.models import ConvStudent, LeNet300
from reference_impl.training.augmentation import epoch_seeds

TINY = training.QatRecipe(bits=4, epochs=1, batch_size=32)


def chain_of(kind: type = LeNet300) -> nn.Sequential:
    torch.manual_seed(0)
    chain: nn.Sequential = kind().eval()
    return chain


def test_two_bits_recover_what_rounding_lost():
    """Oracle: the accuracy before the training, on a network of the course."""
    dataset = load_dataset()
    few = dataset.train.subset(6000)
    recipe = replace(TINY, bits=2)
    chain = training.prepare(training.load_checkpoint("lenet300"), recipe, few)
    before = training.accuracy(chain, dataset.validation)
    losses = list(training.fine_tune(chain, recipe, few))
    after = training.accuracy(chain, dataset.validation)
    assert before < 85
    assert after > 87
    images = dataset.validation.images
    torch.testing.assert_close(
        training.predict(deploy(chain), images), training.predict(chain, images)
    )
    assert len(losses) == math.ceil(6000 / 32)


def test_full_precision_is_plain_training_of_all_examples(few):
    """Oracle: SGD and torch's own cosine, on batches in the order of the seed."""
    recipe = training.QatRecipe(bits=None, epochs=2, batch_size=32, seed=3)
    ours, theirs = training.prepare(chain_of(), recipe, few), chain_of()
    assert not list(learned_quantizers(ours))
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 40)
    seen = [b for epoch in range(2) for b in batches(few, 32, seed=epoch_seeds(3, epoch)[0])]
    expected = []
    for loss in training.train_steps(theirs, seen, F.cross_entropy, optimizer):
        expected.append(loss)
        schedule.step()
    assert list(training.fine_tune(ours, recipe, few)) == pytest.approx(expected, rel=1e-5)


def test_batch_norm_is_trained_on_or_folded_before(few):
    """Oracle: the modules of the chain; a chain in training mode cannot be folded."""
    folding = replace(TINY, fold=True)
    kept, folded = (
        training.prepare(chain_of(ConvStudent), recipe, few) for recipe in (TINY, folding)
    )
    assert sum(isinstance(module, nn.BatchNorm2d) for module in kept) == 3
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded)
    mean = kept.get_submodule("norm1").running_mean
    before = mean.clone()
    list(training.fine_tune(kept, TINY, few))
    assert not torch.equal(mean, before)
    assert not kept.training
    with pytest.raises(ValueError, match="evaluation mode"):
        training.prepare(chain_of(ConvStudent).train(), folding, few)


@pytest.mark.parametrize("rate", [0.0, 1.0, 300.0])
def test_steps_move_with_a_rate_above_zero_and_stay_positive_even_with_an_absurd_one(few, rate):
    """Oracle: a copy made before; without the guard steps become negative, which is refused.

    The first and the last layer have their own bits.
    """
    recipe = replace(TINY, bits=2, edges=3, scale_rate=rate)
    chain = training.prepare(chain_of(), recipe, few)
    bits = [one.weight_quantizer.grid.bits for one in chain if isinstance(one, LearnedLayer)]
    assert bits == [3, 2, 3]
    before = [q.scale.detach().clone() for q in learned_quantizers(chain)]
    list(training.fine_tune(chain, recipe, few))
    for old, quantizer in zip(before, learned_quantizers(chain), strict=True):
        assert torch.equal(old, quantizer.scale) == (rate == 0)
        assert (quantizer.scale > 0).all()
