"""Layers that compute with the weights that are left only: compressed sparse rows."""

import copy
import warnings
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checked import checked
from reference_impl.compress.layers import Net, at, outside_inference_mode, replaced
from reference_impl.compress.trace import trace


@checked
class CsrLinear(nn.Module):
    """y = x Wᵀ + b with W in compressed sparse rows: values, their columns, where rows begin.

    For answering only: nothing is trained. torch's own product of a sparse and a dense matrix does
    the work. The layer's weights are copied; what is 0 is left out. Values and indices of 32 bits
    are its state; that of another sparsity can be loaded.

    Raises:
        TypeError: if the weights have 16 bits: torch has no sparse product for them on a processor.
    """

    def __init__(self, layer: nn.Linear) -> None:
        """Copy what is not 0."""
        super().__init__()
        _require_product(layer.weight.dtype)
        with warnings.catch_warnings():  # torch calls its sparse rows a beta version
            warnings.simplefilter("ignore", UserWarning)
            rows = layer.weight.detach().to_sparse_csr()
        self.shape = (layer.out_features, layer.in_features)
        self.starts = nn.Buffer(rows.crow_indices().int())
        self.columns = nn.Buffer(rows.col_indices().int())
        self.nonzero = nn.Buffer(rows.values().clone())
        self.bias = copy.deepcopy(layer.bias)

    @property
    def values(self) -> int:
        """How many weights are stored."""
        return self.nonzero.numel()

    @property
    def weight(self) -> Tensor:
        """Return W, a sparse tensor of these rows."""
        return self._rows(checked=False)

    def _rows(self, *, checked: bool) -> Tensor:
        parts = self.starts, self.columns, self.nonzero
        return torch.sparse_csr_tensor(*parts, self.shape, check_invariants=checked)

    def _load_from_state_dict(self, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
        for name in ("columns", "nonzero"):
            if (given := state.get(prefix + name)) is not None:
                setattr(self, name, nn.Buffer(getattr(self, name).new_empty(given.shape)))
        super()._load_from_state_dict(state, prefix, *rest)
        self._rows(checked=True)

    def forward(self, x: Float[Tensor, "n in"]) -> Float[Tensor, "n out"]:
        """Return (W xᵀ)ᵀ + b."""
        if x.ndim != 2 or x.shape[1] != self.shape[1]:
            raise ValueError(f"x must be (n, {self.shape[1]}), got {tuple(x.shape)}")
        _require_product(dtype := self.nonzero.dtype)
        if x.dtype != dtype:
            raise TypeError(f"x must be {dtype} as the weights, got {x.dtype}")
        y: Tensor = (self.weight @ x.T).T
        return y if self.bias is None else y + self.bias


def _require_product(dtype: torch.dtype) -> None:
    if dtype not in (torch.float32, torch.float64):
        raise TypeError(f"sparse weights must be float32 or float64, got {dtype}")


@checked
@outside_inference_mode
def with_sparse_layers(network: Net) -> Net:
    """Return a copy in which every linear layer is a `CsrLinear`; torch has no sparse convolution.

    Raises:
        ValueError: if there is no linear layer, or one that cannot be followed, see `trace`.
    """
    traced = trace(network)
    if not (linear := traced.calls(nn.Linear)):
        raise ValueError("network must have a linear layer, got none")
    return replaced(network, {path: CsrLinear(at(network, path)) for path in linear}).eval()
