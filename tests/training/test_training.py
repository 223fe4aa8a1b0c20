"""reference_impl.training: the steps against hand-made gradients, the questions against counts."""

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl.data import Examples, batches
from reference_impl.models import ConvStudent
from reference_impl.training import accuracy, augment, erase, predict, train_steps


class Constant(nn.Module):
    """Answers every image with the same logits."""

    def __init__(self, label: int):
        super().__init__()
        self.logits = nn.Parameter(F.one_hot(torch.tensor(label), 10).float())

    def forward(self, images):
        return self.logits.expand(len(images), 10)


def squared_error(outputs, targets):
    return (outputs - targets).square().mean()


def labelled(labels: list[int]) -> Examples:
    return Examples(torch.rand(len(labels), 1, 28, 28), torch.tensor(labels))


def student() -> ConvStudent:
    torch.manual_seed(0)
    return ConvStudent((2, 2, 2))


def line(weight: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, weight)
    return model


def test_each_step_is_gradient_descent_on_its_batch():
    """Oracle: w ← w − η · 2 x (w x − y), by hand; the loss is the one before the step."""
    model, w, rate = line(0.0), 0.0, 0.1
    pairs = [(1.0, 2.0), (2.0, 1.0), (-1.0, 3.0)]
    steps = train_steps(
        model,
        [(torch.tensor([[x]]), torch.tensor([[y]])) for x, y in pairs],
        squared_error,
        torch.optim.SGD(model.parameters(), lr=rate),
    )
    for (x, y), loss in zip(pairs, steps, strict=True):
        assert loss == pytest.approx((w * x - y) ** 2)
        w -= rate * 2 * x * (w * x - y)
        assert model.weight.item() == pytest.approx(w)


def test_the_callers_loop_body_runs_between_two_steps():
    """Oracle: a weight set to zero after each step starts each step there, as a mask would."""
    model = line(0.0)
    plan = [(torch.ones(1, 1), torch.ones(1, 1))] * 3
    losses = []
    for loss in train_steps(model, plan, squared_error, torch.optim.SGD(model.parameters(), 0.1)):
        nn.init.zeros_(model.weight)
        losses.append(loss)
    assert losses == [1.0, 1.0, 1.0]


def test_targets_may_be_a_teachers_logits():
    """Oracle: the teacher's weight, which the student must reach."""
    teacher, model = line(3.0), line(0.0)
    inputs = torch.linspace(-1, 1, 8).unsqueeze(1)
    plan = [(inputs, teacher(inputs).detach())] * 200
    list(train_steps(model, plan, squared_error, torch.optim.SGD(model.parameters(), 0.3)))
    assert model.weight.item() == pytest.approx(3.0, abs=1e-4)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_the_training_before_the_step(bad):
    """Oracle: the weight after the last good step."""
    model = line(1.0)
    plan = [(torch.ones(1, 1), torch.zeros(1, 1)), (torch.ones(1, 1), torch.full((1, 1), bad))]
    steps = train_steps(model, plan, squared_error, torch.optim.SGD(model.parameters(), 0.25))
    next(steps)
    with pytest.raises(ValueError, match=r"loss must be finite, got (nan|inf) at step 1"):
        next(steps)
    assert model.weight.item() == 0.5


def test_a_loss_per_example_is_refused():
    """Oracle: the words of the message."""
    model = line(1.0)
    plan = [(torch.ones(3, 1), torch.zeros(3, 1))]
    steps = train_steps(model, plan, torch.sub, torch.optim.SGD(model.parameters(), 0.1))
    with pytest.raises(ValueError, match=r"objective must return a scalar, got shape \(3, 1\)"):
        next(steps)


def test_training_puts_the_model_in_training_mode():
    """Oracle: BatchNorm's running mean, which only training moves."""
    model = student().eval()
    before = model.norms[0].running_mean.clone()
    plan = batches(labelled([0, 1, 2, 3]), 4)
    list(train_steps(model, plan, F.cross_entropy, torch.optim.SGD(model.parameters(), 0.1)))
    assert model.training
    assert not torch.equal(model.norms[0].running_mean, before)


@pytest.mark.parametrize("mode", [True, False])
def test_predicting_changes_nothing_in_the_model(mode):
    """Oracle: every entry of the state, the mode, and the absence of a gradient."""
    model = student().train(mode)
    before = {name: entry.clone() for name, entry in model.state_dict().items()}
    outputs = predict(model, torch.rand(6, 1, 28, 28))
    assert model.training is mode
    assert not outputs.requires_grad
    assert all(torch.equal(entry, before[name]) for name, entry in model.state_dict().items())


def test_predictions_do_not_depend_on_the_batch_size():
    """Oracle: one pass over all images in evaluation mode."""
    model, images = student(), torch.rand(7, 1, 28, 28)
    expected = model.eval()(images)
    for batch_size in (1, 3, 7, 1000):
        torch.testing.assert_close(predict(model, images, batch_size=batch_size), expected)


def test_the_mode_is_restored_when_the_model_fails():
    """Oracle: images that the model refuses."""
    model = student().train()
    with pytest.raises(ValueError, match="images must be"):
        predict(model, torch.zeros(2, 1, 5, 5))
    assert model.training


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ("images", TypeError, "images must be a torch.Tensor"),
        (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), TypeError, "floating-point"),
        (torch.zeros(0, 1, 28, 28), ValueError, "images must not be empty"),
        (torch.full((2, 1, 28, 28), torch.nan), ValueError, "images must be finite"),
        (torch.full((2, 1, 28, 28), torch.inf), ValueError, "images must be finite"),
    ],
)
def test_bad_images_are_refused(images, error, message):
    """Oracle: the words of the message."""
    with pytest.raises(error, match=message):
        predict(student(), images)


@pytest.mark.parametrize(("size", "error"), [(0, ValueError), (2.0, TypeError)])
def test_an_impossible_batch_size_is_refused(size, error):
    """Oracle: the words of the message."""
    with pytest.raises(error, match="batch_size must be"):
        accuracy(student(), labelled([1]), batch_size=size)


def test_a_constant_answer_is_right_as_often_as_its_class_occurs():
    """Oracle: counting the labels."""
    examples = labelled([3, 3, 1, 0, 3, 2, 9])
    for label, expected in ((3, 300 / 7), (0, 100 / 7), (5, 0)):
        assert accuracy(Constant(label), examples, batch_size=2) == pytest.approx(expected)


def test_accuracy_is_the_share_of_right_answers():
    """Oracle: 31 of 50 labels set to the answer of the network, asked image by image."""
    model, images = student().eval(), torch.rand(50, 1, 28, 28)
    answers = torch.tensor([model(image[None]).argmax().item() for image in images])
    wrong = torch.arange(50) >= 31
    assert accuracy(model, Examples(images, (answers + wrong) % 10)) == 62.0


def test_accuracy_wants_examples():
    """Oracle: the words of the message."""
    with pytest.raises(TypeError, match="examples must be Examples, got Tensor"):
        accuracy(student(), torch.zeros(2, 1, 28, 28))


def test_a_model_and_an_optimizer_are_wanted():
    """Oracle: the words of the message."""
    model = line(1.0)
    with pytest.raises(TypeError, match="model must be Module, got str"):
        next(train_steps("model", [], squared_error, torch.optim.SGD(model.parameters(), 0.1)))
    with pytest.raises(TypeError, match="optimizer must be Optimizer, got float"):
        next(train_steps(model, [], squared_error, 0.1))
    with pytest.raises(TypeError, match="model must be Module, got function"):
        predict(squared_error, torch.zeros(2, 1, 28, 28))


def variants(image: torch.Tensor) -> dict[bytes, tuple[int, int, bool]]:
    """Return every image that augmentation may make of one, by rolling a padded copy."""
    found = {}
    for down, right, mirrored in product(range(-2, 3), range(-2, 3), (False, True)):
        padded = F.pad(image.flip(-1) if mirrored else image, (2, 2, 2, 2))
        moved = padded.roll((down, right), dims=(-2, -1))[..., 2:-2, 2:-2]
        found[moved.contiguous().numpy().tobytes()] = (down, right, mirrored)
    return found


def test_augmentation_makes_all_fifty_variants_equally_often_and_no_other():
    """Oracle: rolling and flipping one image by brute force; 6 deviations of a count."""
    image = torch.rand(1, 6, 5, generator=torch.Generator().manual_seed(0))
    possible = variants(image)
    n = 5000
    images = augment(image.expand(n, 1, 6, 5), torch.Generator().manual_seed(1))
    counts = dict.fromkeys(possible.values(), 0)
    for made in images:
        counts[possible[made.numpy().tobytes()]] += 1
    assert len(counts) == 50
    deviation = math.sqrt(n * (1 / 50) * (49 / 50))
    assert max(abs(count - n / 50) for count in counts.values()) < 6 * deviation


@pytest.mark.parametrize("change", [augment, erase])
def test_a_change_depends_on_the_generator_alone_and_leaves_the_images(change):
    """Oracle: the same seed twice, another seed, a copy made before."""
    images = torch.rand(9, 1, 28, 28)
    copy = images.clone()
    first, again, other = (change(images, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(images, copy)


def hole(image: torch.Tensor) -> tuple[int, int] | None:
    """Return the sides of the rectangle of an image of minus ones that was overwritten."""
    changed = (image != -1).nonzero()
    if len(changed) == 0:
        return None
    down, across = (changed.amax(dim=0) - changed.amin(dim=0) + 1).tolist()
    assert len(changed) == down * across  # one rectangle, without gaps
    return down, across


def test_erasing_fills_one_rectangle_of_half_of_the_images_with_noise():
    """Oracle: bounding boxes; uniform noise has mean ½; 6 deviations of a binomial count."""
    n = 2000
    images = erase(-torch.ones(n, 1, 28, 28), torch.Generator().manual_seed(0))
    holes = [found for image in images if (found := hole(image[0]))]
    assert abs(len(holes) - n / 2) < 6 * math.sqrt(n / 4)
    assert {side for sides in holes for side in sides} == set(range(4, 15))
    noise = images[images >= 0]
    assert noise.max() < 1
    assert noise.mean().item() == pytest.approx(0.5, abs=0.01)


def test_every_pixel_may_be_erased():
    """Oracle: the pixels that are changed in 2000 draws."""
    images = erase(-torch.ones(2000, 1, 28, 28), torch.Generator().manual_seed(0))
    assert (images != -1).any(dim=0).all()


def test_an_image_smaller_than_the_longest_side_can_be_erased():
    """Oracle: a rectangle that fits 5×3 pixels."""
    images = erase(-torch.ones(200, 1, 5, 3), torch.Generator().manual_seed(0))
    holes = {found for image in images if (found := hole(image[0]))}
    assert holes == {(4, 3), (5, 3)}


@pytest.mark.parametrize("change", [augment, erase])
@pytest.mark.parametrize(
    ("images", "error"),
    [
        (torch.zeros(3, 28, 28), ValueError),
        (torch.zeros(0, 1, 28, 28), ValueError),
        (torch.zeros(2, 3, 28, 28), ValueError),
        ("images", TypeError),
    ],
)
def test_only_batches_of_grey_images_are_changed(change, images, error):
    """Oracle: the words of the message."""
    with pytest.raises(error, match="images"):
        change(images, torch.Generator())
