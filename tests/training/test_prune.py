"""Training under masks: dropped weights, twins trained by hand, tickets, bad input."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl.compress import density, masks_of, prunable_weights
from reference_impl.models import LeNet300
from reference_impl.pruning import cubic_sparsity, keep_highest_of_each
from reference_impl.training import Growth, Recipe, magnitude_masks, pruned_steps, tickets
from reference_impl.training.augmentation import epoch_batches

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = Recipe("lenet300", epochs=2, batch_size=64, learning_rate=1e-2, weight_decay=0.1)


def small() -> LeNet300:
    torch.manual_seed(0)
    return LeNet300((20, 10))


def test_training_under_masks_is_training_the_product(few):
    """Oracle: torch's AdamW on w ⊙ m by nn.utils.parametrize, whose w is never masked.

    Its averages and its decay would move a dropped weight, which is 0 after every step.
    """
    ours = small()
    masks = magnitude_masks(ours, 0.5)
    theirs = copy.deepcopy(ours)

    class Masked(nn.Module):
        def __init__(self, mask):
            super().__init__()
            self.mask = mask

        def forward(self, weight):
            return weight * self.mask

    for name, mask in masks.items():
        layer = theirs.get_submodule(name.removesuffix(".weight"))
        nn.utils.parametrize.register_parametrization(layer, "weight", Masked(mask))
    for _ in pruned_steps(ours, few, RECIPE, masks=masks):
        assert all(torch.equal(masks[name], left) for name, left in masks_of(ours).items())
    optimizer = torch.optim.AdamW(theirs.parameters(), weight_decay=0.1)
    both = [batch for epoch in range(2) for batch in epoch_batches(few, RECIPE, epoch)]
    for step, (images, labels) in enumerate(both):
        optimizer.param_groups[0]["lr"] = RECIPE.rate((step + 0.5) / 20)
        optimizer.zero_grad()
        F.cross_entropy(theirs(images), labels).backward()
        optimizer.step()
    torch.testing.assert_close(ours.fc1.weight, theirs.fc1.weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ours.fc3.bias, theirs.fc3.bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("first", "last", "every"), [(4, 16, 3), (10, 10, 1), (10, 10, 3), (10, 10, 50)]
)
def test_sparsity_grows_by_the_schedule_and_never_returns(few, first, last, every):
    """Oracle: cubic_sparsity of the steps between, all at once if there are none; masks before."""
    network = small()
    n = sum(w.numel() for w in prunable_weights(network).values())
    growth = Growth(0.9, begin=first / 20, end=last / 20, every=every)
    before = masks_of(network)
    for step, _ in enumerate(pruned_steps(network, few, RECIPE, growth=growth), start=1):
        now = masks_of(network)
        assert all(not (now[name] & ~before[name]).any() for name in now)
        chosen = step - step % every
        grown = cubic_sparsity(max(0, chosen - first), last - first or 1, final=0.9)
        s = grown if step < last else 0.9
        assert density(network) == pytest.approx((n - round(s * n)) / n)
        assert network.fc1.bias.all()  # a bias is never masked
        before = now
    assert not network.training


@pytest.mark.parametrize(
    ("share", "how"),
    [
        (0.7, {"growth": Growth(0.7, begin=0, end=0.0, choose=keep_highest_of_each)}),
        (0.7, {"growth": Growth(0.7, begin=0, end=0.01, choose=keep_highest_of_each)}),
        (0.0, {}),
    ],
)
def test_a_growth_that_ends_before_the_first_step_is_masks_from_the_start(few, share, how):
    """Oracle: the same training under the masks of the first weights; plain, if all are kept."""
    ours, theirs = small(), small()
    masks = magnitude_masks(theirs, share, keep_highest_of_each)
    found = list(pruned_steps(ours, few, RECIPE, **how))
    assert found == list(pruned_steps(theirs, few, RECIPE, masks=masks))
    assert all(torch.equal(masks[n], left) for n, left in masks_of(ours).items())
    assert found[-1] < found[0]


def test_tickets_are_initial_weights_of_the_largest_trained_ones():
    """Oracle: by hand, with a training that turns the order of magnitudes round."""
    network = small()
    weights = list(prunable_weights(network).values())
    n = sum(w.numel() for w in weights)  # as many values, of which no two have one magnitude
    nn.utils.vector_to_parameters((torch.randperm(n) - n / 2 + 0.25) / n, weights)
    start = copy.deepcopy(network.state_dict())
    seen = []

    def train(trained, masks):
        seen.append({name: mask.clone() for name, mask in masks.items()})
        with torch.no_grad():
            for weight in prunable_weights(trained).values():
                weight.copy_(torch.where(weight != 0, 1 / weight, weight))

    every = {name: w.clone() for name, w in prunable_weights(network).items()}
    flat = torch.cat([w.abs().flatten() for w in every.values()])
    for r, masks in enumerate(tickets(network, train, share=0.2, rounds=3), start=1):
        n_left = n - round((1 - 0.8**r) * n)
        largest_left = flat.sort().values[n_left - 1]
        for name, weight in prunable_weights(network).items():
            assert torch.equal(masks[name], every[name].abs() <= largest_left)
            assert torch.equal(weight, torch.where(masks[name], start[name], 0))
    assert torch.equal(network.fc1.bias, start["fc1.bias"])
    assert all(bool(mask.all()) for mask in seen[0].values())
    assert len(seen) == 3


def test_a_training_that_revives_weights_does_not_bring_them_back():
    """Oracle: the masks before, with a training that makes the dropped the largest; counts."""
    before = {name: torch.ones_like(m) for name, m in masks_of(small()).items()}

    def revive(trained, masks):
        for name, weight in prunable_weights(trained).items():
            weight.data[~masks[name]] = 9.0

    each = tickets(small(), revive, share=0.3, rounds=3, choose=keep_highest_of_each)
    for r, masks in enumerate(each, start=1):
        assert all(not (masks[name] & ~before[name]).any() for name in masks)
        assert all(
            int(m.sum()) == m.numel() - round((1 - 0.7**r) * m.numel()) for m in masks.values()
        )
        before = masks
