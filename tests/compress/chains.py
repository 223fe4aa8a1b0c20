"""Random chains for the tests of surgery: folding, equalization, correction."""

import copy
from collections import OrderedDict

import torch
from torch import nn

from reference_impl.models import MODELS, Network

FLAT_MODELS = {name: kind for name, kind in MODELS.items() if name != "residual"}
"""Those whose chains hold each weight layer as a module of its own."""


def settle(chain: nn.Sequential, seed: int) -> nn.Sequential:
    """Give every BatchNorm statistics and parameters far from 0 and 1; evaluation mode."""
    draws = torch.Generator().manual_seed(seed)
    for module in chain.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            shape = module.running_mean.shape
            module.running_mean.copy_(torch.randn(shape, generator=draws))
            module.running_var.copy_(torch.rand(shape, generator=draws) + 0.05)
            if module.affine:
                module.weight.data.copy_(2 * torch.randn(shape, generator=draws))
                module.bias.data.copy_(torch.randn(shape, generator=draws))
    return chain.eval()


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


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(seed))


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


def settled(network: Network, seed: int) -> nn.Sequential:
    return settle(network.chain(), seed)


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Return max |ours − theirs| / max |theirs|."""
    return float(((ours - theirs).abs().max() / theirs.abs().max()).detach())
