"""Training towards a size: the path, the file at its end, and what the network has learned."""

import pytest
import torch
from draws import generator

from reference_impl import compress, training
from reference_impl.distillation import distillation_objective
from reference_impl.models import LeNet300
from reference_impl.training import CodedRecipe, View, coded_steps


def test_the_path_is_geometric_between_its_moments():
    """Oracle: half-way between the moments, the geometric mean of start and target."""
    recipe = CodedRecipe(epochs=1, bits=100, begin=0.2, end=0.6)
    assert recipe.path(0.0, 1600.0) == pytest.approx(1600)
    assert recipe.path(0.2, 1600.0) == pytest.approx(1600)
    assert recipe.path(0.4, 1600.0) == pytest.approx(400)
    assert recipe.path(0.9, 1600.0) == pytest.approx(100)


@pytest.mark.equation("eq-coding-lambda")
def test_the_price_grows_while_the_rate_is_too_high():
    """Oracle: the formula at three places, and the ends of the interval."""
    assert training.steer(1e-5, 3000.0, 1000.0) == pytest.approx(1.010050e-5, rel=1e-6)
    assert training.steer(1e-5, 1050.0, 1000.0) == pytest.approx(1e-5 * 1.05**0.05, rel=1e-9)
    assert training.steer(1e-5, 500.0, 1000.0) == pytest.approx(1e-5 / 1.010050, rel=1e-6)
    assert training.steer(2e-4, 3000.0, 1000.0) == 2e-4
    assert training.steer(1e-7, 10.0, 1000.0) == 1e-7


def test_a_training_ends_at_its_size_and_has_learned():
    """Oracle: the bytes of the file; images of two classes that one pixel row tells apart."""
    g = generator(1)
    labels = torch.randint(2, (600,), generator=g)
    images = torch.randint(0, 80, (600, 1, 28, 28), generator=g, dtype=torch.uint8)
    images[labels == 1, :, 9] += 120
    logits = 8.0 * torch.nn.functional.one_hot(labels, 10) - 4
    torch.manual_seed(0)
    network = compress.coded(LeNet300(hidden=(4, 3)))
    before = compress.network_rate(network).item()
    recipe = CodedRecipe(epochs=100, bits=1600, batch_size=40)

    def objective(z, to):
        return distillation_objective(z, to.logits, to.labels, temperature=2.0, alpha=0.5)

    losses = list(coded_steps(network, [View(images, labels, logits)], objective, recipe))
    plain = compress.plain(network)
    bits = 8 * len(compress.write_arithmetic(plain).data)
    assert len(losses) == 100 * 15
    assert before > 6000
    assert 400 < bits < 3200
    answers = training.predict(plain, images / 255).argmax(1)
    assert (answers == labels).float().mean() > 0.95
    assert not network.training
