"""Random networks and chains for the tests of compression, and what these tests assert."""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models import vgg
from torchvision.models.resnet import Bottleneck

from reference_impl import models
from reference_impl.compress import LayerBits, edge_bits, layer_inputs, learn_layers, weight_layers
from reference_impl.data import Examples
from reference_impl.quantization import (
    AffineQuantizer,
    IntegerGrid,
    affine_from_range,
    min_max_range,
    symmetric_from_range,
)

FLAT_MODELS = {name: kind for name, kind in models.MODELS.items() if name != "residual"}
"""Those whose chains hold each weight layer as a module of its own."""

SMALL: dict[str, Callable[[], models.Network]] = {
    "lenet300": partial(models.LeNet300, (12, 10)),
    "lenet5": partial(models.LeNet5, (6, 8), 12),
    "teacher": partial(models.ConvTeacher, (4, 6, 6, 8)),
    "student": partial(models.ConvStudent, (6, 8, 10)),
    "separable": partial(models.SeparableStudent, (6, 8, 8, 10, 10)),
    "residual": partial(models.ResidualNetwork, 8, (6, 6, 6)),
}
"""Every kind of network, a few units wide."""

WIDTHS = [(name, label) for name, make in SMALL.items() for label in make().widths]
NARROW = IntegerGrid(3, signed=True, narrow=True)
BYTES = IntegerGrid(8)
Quantizers = dict[str, AffineQuantizer]


def settle(network: nn.Module, seed: int = 0) -> Any:
    """Give every BatchNorm statistics and parameters far from 0 and 1; evaluation mode."""
    draws = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            shape = module.running_mean.shape
            module.running_mean.copy_(torch.randn(shape, generator=draws))
            module.running_var.copy_(torch.rand(shape, generator=draws) + 0.05)
            if module.affine:
                module.weight.data.copy_(2 * torch.randn(shape, generator=draws))
                module.bias.data.copy_(torch.randn(shape, generator=draws))
    return network.eval()


def drawn(name: str) -> Any:
    """Return a small network with random weights and statistics, in evaluation mode."""
    torch.manual_seed(0)
    return settle(SMALL[name]())


def few_vgg() -> nn.Module:
    """Return VGG with BatchNorm, the many numbers of its linear layers never made."""
    with torch.device("meta"):
        network = torchvision.models.vgg11_bn()
    network.features = vgg.make_layers([16, "M", 24, "M", 32, 32], batch_norm=True)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Sequential(nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 10))
    return network


BROUGHT: dict[str, Callable[[], nn.Module]] = {
    **{
        name: partial(getattr(torchvision.models, name), num_classes=10)
        for name in ("resnet18", "mobilenet_v2", "squeezenet1_1", "mobilenet_v3_small")
    },
    "googlenet": partial(torchvision.models.googlenet, num_classes=10, init_weights=False),
    "vgg11_bn": few_vgg,
    "densenet121": partial(torchvision.models.DenseNet, 8, (2, 3, 2, 2), 16, num_classes=10),
    "resnext50_32x4d": partial(
        torchvision.models.ResNet, Bottleneck, [2, 1, 1, 1], 10, groups=32, width_per_group=4
    ),
}
"""Networks of torchvision; of the last three all kinds of blocks, and few of each."""


def brought(name: str) -> nn.Module:
    """Return a network of torchvision with random weights and statistics."""
    torch.manual_seed(0)
    network = BROUGHT[name]()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.data.uniform_(0.5, 1.5)
    return network.eval()


def images(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(seed))


def examples(n: int, seed: int = 0) -> Examples:
    draws = torch.Generator().manual_seed(seed + 1)
    return Examples(images(n, seed), torch.randint(10, (n,), generator=draws))


def mask(n: int) -> Tensor:
    """Return a mask of about half of n units, the first among them."""
    keep = torch.rand(n, generator=torch.Generator().manual_seed(1)) < 0.6
    keep[0] = True
    return keep


def conv_chain(seed: int, *, norms: bool = True, groups: int = 2) -> nn.Sequential:
    """Return convolution, grouped and depthwise convolution, pooling, mean, flatten, linear."""
    torch.manual_seed(seed)
    norm = nn.BatchNorm2d if norms else lambda _: nn.Identity()
    parts = OrderedDict(
        conv1=nn.Conv2d(1, 4, 3, padding=1, bias=not norms),
        norm1=norm(4),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(2),
        grouped=nn.Conv2d(4, 6, 3, padding=1, groups=groups),
        norm2=norm(6),
        relu2=nn.ReLU(),
        depthwise=nn.Conv2d(6, 6, 3, stride=2, groups=6, bias=not norms),
        norm3=norm(6),
        relu3=nn.LeakyReLU(0.1),
        mean=nn.AdaptiveAvgPool2d(2),
        flatten=nn.Flatten(),
        fc1=nn.Linear(24, 5),
        relu4=nn.ReLU(),
        fc2=nn.Linear(5, 3),
    )
    return settle(nn.Sequential(parts), seed)


def twice_used_chain(*, norms: bool = True) -> nn.Sequential:
    """Return a chain whose convolution, norm and ReLU each stand in two places."""
    torch.manual_seed(0)
    parts = [nn.Conv2d(2, 2, 3, padding=1), *([nn.BatchNorm2d(2)] if norms else []), nn.ReLU()]
    first = nn.Conv2d(1, 2, 3, padding=1)
    last = [nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(8, 3)]
    return settle(nn.Sequential(first, *parts, *parts, *last), 1)


def apart(chain: nn.Sequential) -> nn.Sequential:
    """Return the same function with a module of its own in each place."""
    return nn.Sequential(*(copy.deepcopy(module) for module in chain)).train(chain.training)


def weights_of(chain: nn.Sequential, grid: IntegerGrid = NARROW, axes: Any = 0) -> Quantizers:
    """Return a symmetric quantizer, per output channel unless ``axes`` is (), for each weight."""
    return {
        name: symmetric_from_range(*min_max_range(layer.weight.detach(), axes), grid)
        for name, layer in weight_layers(chain).items()
    }


def inputs_of(chain: nn.Sequential, x: Tensor, grid: IntegerGrid = BYTES) -> Quantizers:
    """Return a quantizer per tensor for the input of each weight layer."""
    return {n: affine_from_range(*min_max_range(seen), grid) for n, seen in layer_inputs(chain, x)}


def learnable(chain: nn.Sequential, x: Tensor, bits: int = 3) -> nn.Sequential:
    return learn_layers(chain, x, edge_bits(chain, LayerBits(bits, bits)))


def assert_same_function(ours: nn.Module, theirs: nn.Module, x: Tensor) -> None:
    """Assert that max |ours − theirs| / max |theirs| is at most 1e-5."""
    with torch.no_grad():
        expected = theirs(x)
        assert (ours(x) - expected).abs().max() <= 1e-5 * expected.abs().max()


def same_state(ours: nn.Module, theirs: nn.Module) -> bool:
    """Return whether two modules have the same tensors under the same names."""
    left, right = ours.state_dict(), theirs.state_dict()
    return left.keys() == right.keys() and all(
        torch.equal(left[key].to_dense(), right[key].to_dense()) for key in left
    )


@contextmanager
def left_alone(*modules: nn.Module) -> Iterator[None]:
    """Assert that modules, their modes and torch's generator are afterwards as they were."""
    before = [copy.deepcopy(module) for module in modules]
    state = torch.get_rng_state()
    yield
    assert torch.equal(state, torch.get_rng_state())
    assert torch.is_grad_enabled()
    for module, old in zip(modules, before, strict=True):
        assert same_state(module, old)
        assert [part.training for part in module.modules()] == [m.training for m in old.modules()]
        assert not any(part._forward_hooks for part in module.modules())
        for p, q in zip(module.parameters(), old.parameters(), strict=True):
            assert (p.requires_grad, p.grad, p.dtype) == (q.requires_grad, None, q.dtype)


def refused(*cases: tuple[type[Exception], str, Callable[[], Any]]) -> Callable[..., None]:
    """Return the test that each of these calls raises its error, and says why."""

    @pytest.mark.parametrize(("error", "message", "call"), cases)
    def test(error, message, call) -> None:
        """Oracle: the module or the argument, its value and what was expected."""
        with pytest.raises(error, match=message):
            call()

    return test
