"""The kinds of layers and operations that are known, by torch's names."""

import copy
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from reference_impl.arrays import all_finite

Net = TypeVar("Net", bound=nn.Module)
"""A network of any class; what is made of it is of the same."""

WEIGHT_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
OTHERS = (
    *(nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.LocalResponseNorm, nn.PReLU, nn.Embedding),
    *(nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d),
)
"""Layers with parameters that are not multiplied as matrices."""

outside_inference_mode = torch.inference_mode(mode=False)
"""Decorates what makes networks: a parameter that is made in inference mode is never trained."""

HOMOGENEOUS = frozenset(
    {
        *("relu", "leakyrelu", "prelu", "identity", "twoaxes", "dropout", "stochasticdepth"),
        *("maxpool2d", "avgpool2d", "adaptiveavgpool2d", "adaptivemaxpool2d"),
    }
)
"""Operations f with f(s x) = s f(x) for s > 0, channel by channel."""

ACTIVATIONS = frozenset(
    {
        *("relu", "leakyrelu", "prelu", "relu6", "gelu", "silu", "sigmoid", "tanh", "hardtanh"),
        *("hardswish", "hardsigmoid", "elu", "selu", "softplus", "mish"),
    }
)
"""Functions of single numbers."""

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_FORWARD = ("forward", "__call__", "_conv_forward")


def kind_of(module: nn.Module) -> type[nn.Module]:
    """Return torch's class whose forward pass the module has, or its own class if it has another.

    A subclass that only adds settings is what its base is; one that computes otherwise is not.
    """
    if "forward" not in vars(module):
        for kind in type(module).__mro__:
            if kind.__module__.startswith("torch.nn."):
                return kind
            if any(name in vars(kind) for name in _FORWARD):
                break
    return type(module)


class TwoAxes(nn.Module):
    """An identity for values of two axes, (n, c), where BatchNorm1d was folded."""

    def forward(self, x: Tensor) -> Tensor:
        """Return x."""
        if x.ndim != 2:
            raise ValueError(f"x must be (n, c) after a folded BatchNorm1d, got {tuple(x.shape)}")
        return x


def at(network: nn.Module, path: str) -> Any:
    """Return the module at a path, as what it is."""
    return network.get_submodule(path)


def replaced(network: Net, modules: Mapping[str, nn.Module]) -> Net:
    """Return a copy of a network with other modules at these paths."""
    return copy.deepcopy(network, {id(at(network, path)): new for path, new in modules.items()})


def require_plain(network: nn.Module) -> None:
    """Refuse modules whose parameters are not simply what they compute with."""
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        raise ValueError(f"network must not be in {type(network).__name__}, pass its .module")
    owner: dict[Tensor, str] = {}
    for path, module in network.named_modules():
        for name, value in module.named_parameters(recurse=False):
            if is_lazy(value) or value.is_meta:
                raise ValueError(f"network must hold values, those of {path!r} are not made yet")
            if not all_finite(value):
                raise ValueError(f"network must be finite, {name} of {path!r} has nan or inf")
            if (other := owner.setdefault(value, path)) != path:
                raise ValueError(f"network must not share {name}, {path!r} has that of {other!r}")
        if is_parametrized(module):
            raise ValueError(f"network must not compute its weights, {path!r} is parametrized")
        if "forward" in vars(module):
            raise ValueError(
                f"network must not replace a forward pass, {path!r} has another: "
                "pass it as it was before torch.compile or torch.jit.script"
            )
        if any(vars(module).get(hooks) for hooks in _HOOKS):
            raise ValueError(f"network must not have hooks, {path!r} has one")


def window_attributes(module: Any, padding: tuple[int, ...]) -> dict[str, Any]:
    """Return stride, padding and so on by ONNX's names; what is as ONNX assumes is left out."""
    found: dict[str, Any] = {}
    for key, size in (("strides", module.stride), ("dilations", module.dilation)):
        sizes = [size] * len(padding) if isinstance(size, int) else list(size)
        if set(sizes) != {1}:
            found[key] = sizes
    if any(padding):
        found["pads"] = [*padding, *padding]
    if getattr(module, "groups", 1) > 1:
        found["group"] = module.groups
    return found
