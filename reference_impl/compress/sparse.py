"""Layers that compute with the weights that are left only: compressed sparse rows."""

import copy
import warnings

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checked import checked
from reference_impl.compress.layers import Net


@checked
class CsrLinear(nn.Module):
    """y = x Wᵀ + b with W in compressed sparse rows: values, their columns, where rows begin.

    For answering only: nothing is trained. torch's own product of a sparse and a dense matrix does
    the work. The layer's weights are copied; what is 0 is left out.

    Raises:
        TypeError: if the weights have 16 bits: torch has no sparse product for them on a processor.
    """

    def __init__(self, layer: nn.Linear) -> None:
        """Copy what is not 0."""
        super().__init__()
        if layer.weight.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"layer.weight must be float32 or float64, got {layer.weight.dtype}")
        with warnings.catch_warnings():  # torch calls its sparse rows a beta version
            warnings.simplefilter("ignore", UserWarning)
            self.register_buffer("weight", layer.weight.detach().to_sparse_csr())
        self.bias = None if layer.bias is None else nn.Parameter(layer.bias.detach().clone())

    @property
    def values(self) -> int:
        """How many weights are stored."""
        return int(self.get_buffer("weight").values().numel())

    def forward(self, x: Float[Tensor, "n in"]) -> Float[Tensor, "n out"]:
        """Return (W xᵀ)ᵀ + b."""
        inputs = self.get_buffer("weight").shape[1]
        if x.ndim != 2 or x.shape[1] != inputs:
            raise ValueError(f"x must be (n, {inputs}), got {tuple(x.shape)}")
        y: Tensor = (self.get_buffer("weight") @ x.T).T
        return y if self.bias is None else y + self.bias


@checked
def with_sparse_layers(network: Net) -> Net:
    """Return a copy in which every linear layer is a `CsrLinear`; torch has no sparse convolution.

    Raises:
        ValueError: if there is no linear layer.
    """
    found = copy.deepcopy(network)
    linear = {name: layer for name, layer in found.named_modules() if isinstance(layer, nn.Linear)}
    if not linear:
        raise ValueError("network must have a linear layer, got none")
    for name, layer in linear.items():
        found.set_submodule(name, CsrLinear(layer))
    return found.eval()
