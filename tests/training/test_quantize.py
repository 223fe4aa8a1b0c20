"""Quantization-aware training: it repeats, it learns, and it keeps to its recipe."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl.compress import LearnedLayer, deploy, learned_quantizers
from reference_impl.data import Examples, batches, load_dataset
from reference_impl.models import ConvStudent, LeNet300
from reference_impl.training import (
    QatRecipe,
    accuracy,
    fine_tune,
    load_checkpoint,
    predict,
    prepare,
    train_steps,
)

TINY = QatRecipe(bits=4, epochs=1, batch_size=32)


@pytest.fixture(scope="module")
def train() -> Examples:
    return load_dataset().train.subset(640)


def chain_of(kind: type = LeNet300) -> nn.Sequential:
    torch.manual_seed(0)
    chain: nn.Sequential = kind().chain().eval()
    return chain


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_two_bits_recover_what_rounding_lost() -> None:
    """Oracle: the accuracy before the training, on a network of the course."""
    dataset = load_dataset()
    train = dataset.train.subset(6000)
    recipe = replace(TINY, bits=2)
    chain = prepare(load_checkpoint("lenet300").chain(), recipe, train)
    before = accuracy(chain, dataset.validation)
    losses = list(fine_tune(chain, recipe, train))
    after = accuracy(chain, dataset.validation)
    assert before < 85
    assert after > 87
    images = dataset.validation.images
    torch.testing.assert_close(predict(deploy(chain), images), predict(chain, images))
    assert len(losses) == math.ceil(6000 / 32)


def test_a_recipe_repeats_to_the_same_bits_and_its_seed_matters(train: Examples) -> None:
    """Oracle: equality of two runs, whatever was drawn before; difference with another seed."""
    runs = []
    for seed in (1, 1, 2):
        recipe = replace(TINY, augment=True, erase=True, seed=seed)
        chain = prepare(chain_of(), recipe, train)
        torch.rand(3)
        runs.append((list(fine_tune(chain, recipe, train)), chain))
    assert runs[0][0] == runs[1][0]
    assert same(runs[0][1], runs[1][1])
    assert runs[0][0] != runs[2][0]


def test_full_precision_is_plain_training(train: Examples) -> None:
    """Oracle: train_steps with SGD and torch's own cosine, on the same order of images."""
    recipe = QatRecipe(bits=None, epochs=1, batch_size=32, seed=3)
    ours = prepare(chain_of(), recipe, train)
    assert not list(learned_quantizers(ours))
    order = [images for images, _ in _recorded(recipe, train)]
    found = list(fine_tune(ours, recipe, train))
    theirs = chain_of()
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    expected = []
    for loss in train_steps(theirs, _recorded(recipe, train), F.cross_entropy, optimizer):
        expected.append(loss)
        schedule.step()
    assert len(order) == 20
    assert found == pytest.approx(expected, rel=1e-5)


def _recorded(recipe: QatRecipe, train: Examples) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the batches that a training sees, caught on its way through an identity."""
    seen: list[torch.Tensor] = []

    class Spy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(10))

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images)
            return self.weight.expand(len(images), 10)

    list(fine_tune(nn.Sequential(Spy()), recipe, train))
    labels = {tuple(image.flatten()[::29].tolist()): label for image, label in _pairs(train)}
    return [
        (part, torch.tensor([labels[tuple(image.flatten()[::29].tolist())] for image in part]))
        for part in seen
    ]


def _pairs(train: Examples) -> list[tuple[torch.Tensor, int]]:
    return [
        (image, int(label))
        for images, labels in batches(train, 100)
        for image, label in zip(images, labels, strict=True)
    ]


def test_each_epoch_sees_each_image_once_in_an_order_of_its_own(train: Examples) -> None:
    """Oracle: counting."""
    seen = [images for images, _ in _recorded(replace(TINY, bits=None, epochs=2), train)]
    first, second = torch.cat(seen[:20]), torch.cat(seen[20:])
    assert not torch.equal(first, second)
    for epoch in (first, second):
        sums, own = epoch.flatten(1).sum(1).sort()[0], train.images.flatten(1).sum(1).sort()[0]
        torch.testing.assert_close(sums, own)


def test_batch_norm_is_trained_on_or_folded_before(train: Examples) -> None:
    """Oracle: the modules of the chain."""
    kept = prepare(chain_of(ConvStudent), TINY, train)
    folded = prepare(chain_of(ConvStudent), replace(TINY, fold=True), train)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in kept) == 3
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded)
    mean = kept.get_submodule("norm1").running_mean
    before = mean.clone()
    list(fine_tune(kept, TINY, train))
    assert not torch.equal(mean, before)
    assert not kept.training


def test_edges_have_their_own_bits(train: Examples) -> None:
    """Oracle: the grids by hand."""
    chain = prepare(chain_of(), replace(TINY, bits=2, edges=3), train)
    layers = [layer for layer in chain if isinstance(layer, LearnedLayer)]
    assert [layer.weight_quantizer.grid.bits for layer in layers] == [3, 2, 3]


def test_steps_stay_with_a_rate_of_zero_and_move_otherwise(train: Examples) -> None:
    """Oracle: a copy made before."""
    for rate, moves in ((0.0, False), (1.0, True)):
        recipe = replace(TINY, scale_rate=rate)
        chain = prepare(chain_of(), recipe, train)
        before = [copy.deepcopy(q.scale.detach()) for q in learned_quantizers(chain)]
        list(fine_tune(chain, recipe, train))
        pairs = zip(before, learned_quantizers(chain), strict=True)
        assert all(torch.equal(old, q.scale) != moves for old, q in pairs)


def test_steps_stay_positive_even_with_an_absurd_rate(train: Examples) -> None:
    """Oracle: the sign; without the guard the steps become negative and the quantizer refuses."""
    recipe = replace(TINY, bits=2, scale_rate=300.0)
    chain = prepare(chain_of(), recipe, train)
    list(fine_tune(chain, recipe, train))
    assert all((quantizer.scale > 0).all() for quantizer in learned_quantizers(chain))


def test_the_network_is_left_as_it_is(train: Examples) -> None:
    """Oracle: a copy made before."""
    for bits in (None, 4):
        chain = chain_of(ConvStudent)
        before = copy.deepcopy(chain)
        recipe = replace(TINY, bits=bits)
        list(fine_tune(prepare(chain, recipe, train), recipe, train))
        assert same(chain, before)


CHAIN, DATA = chain_of(), Examples(torch.rand(4, 1, 28, 28), torch.zeros(4, dtype=torch.int64))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: prepare(LeNet300(), TINY, DATA), TypeError, "chain must be Sequential"),
        (lambda: fine_tune(CHAIN, 4, DATA), TypeError, "recipe must be QatRecipe, got int 4"),
        (lambda: fine_tune(CHAIN, TINY, None), TypeError, "train must be Examples, got NoneType"),
        (
            lambda: prepare(chain_of(ConvStudent).train(), replace(TINY, fold=True), DATA),
            ValueError,
            "evaluation mode",
        ),
    ],
)
def test_bad_input_is_named(call, error, message) -> None:
    """Oracle: argument, value and expectation are named, at the call."""
    with pytest.raises(error, match=message):
        call()
