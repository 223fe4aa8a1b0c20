"""Answers and accuracy against a count; what a model must be after it was asked."""

import pytest
import torch
from torch import nn

from reference_impl.compress import outputs_at
from reference_impl.data import Examples
from reference_impl.models import ConvStudent
from reference_impl.training import accuracy, predict


def student() -> ConvStudent:
    torch.manual_seed(0)
    return ConvStudent((2, 2, 2))


@pytest.mark.parametrize("mode", [True, False])
def test_predicting_changes_nothing_in_the_model_and_a_frozen_batch_norm_stays_frozen(mode):
    """Oracle: every entry of the state, all modes, no gradient; a model that fails keeps them."""
    model = student().train(mode)
    model.norm1.eval()
    modes = [module.training for module in model.modules()]
    before = {name: entry.clone() for name, entry in model.state_dict().items()}
    assert not predict(model, torch.rand(6, 1, 28, 28)).requires_grad
    accuracy(model, Examples(torch.rand(2, 1, 28, 28), torch.tensor([1, 2])))
    with pytest.raises(ValueError, match="images must be"):
        predict(model, torch.zeros(2, 1, 5, 5))
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(entry, before[name]) for name, entry in model.state_dict().items())


def test_predictions_do_not_depend_on_the_batch_size():
    """Oracle: one pass over all images in evaluation mode."""
    model, images = student(), torch.rand(7, 1, 28, 28)
    expected = model.eval()(images)
    for batch_size in (1, 3, 7, 1000):
        torch.testing.assert_close(predict(model, images, batch_size=batch_size), expected)


@pytest.mark.parametrize("part", [nn.Linear(783, 10), nn.Flatten(3)])
def test_images_that_do_not_suit_are_refused_where_they_stop(part):
    """Oracle: the module that cannot read what comes."""
    network = nn.Sequential(nn.Flatten(), part)
    with pytest.raises(ValueError, match=f"images must suit .* in {type(part).__name__} '1': "):
        predict(network, torch.rand(2, 1, 28, 28))


def test_an_accuracy_needs_a_logit_for_each_label():
    """Oracle: labels 0 … 3, of which a network of three outputs cannot be right about the last."""
    some = Examples(torch.rand(4, 1, 28, 28), torch.arange(4))
    with pytest.raises(ValueError, match="labels must be"):
        accuracy(nn.Sequential(nn.Flatten(), nn.Linear(784, 3)), some)
    with pytest.raises(ValueError, match=r"logits \(n, classes\), got \(4, 1, 28, 3\)"):
        accuracy(nn.Linear(28, 3), some)


def test_accuracy_is_the_share_of_right_answers():
    """Oracle: images whose first ten pixels are logits; 31 of 50 have their label's highest."""
    answers = torch.arange(50) % 10
    images = torch.rand(50, 1, 28, 28) / 2
    images[torch.arange(50), 0, 0, answers] = 1  # above all others, which are below a half
    wrong = torch.arange(50) >= 31
    reader = nn.Sequential(nn.Flatten(), nn.Linear(784, 10, bias=False))
    nn.init.eye_(reader[1].weight)
    right = accuracy(reader, Examples(images, (answers + wrong) % 10), batch_size=7)
    assert right == pytest.approx(62)


def test_a_module_in_place_does_not_change_the_callers_images():
    """Oracle: the images before, some of them negative."""
    network = nn.Sequential(nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(4, 2))
    images = torch.randn(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    predict(network, images)
    outputs_at(network, ["0"], images)
    assert torch.equal(images, before)
