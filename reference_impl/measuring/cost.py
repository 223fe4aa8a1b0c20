"""What a model costs when it runs: multiply–accumulates, bytes moved, arithmetic intensity.

Everything here is counted from shapes. ``torch.export`` traces the model once and reports the
shapes; the formulas are applied to them here.
"""

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from reference_impl.checks import require_int
from reference_impl.measuring.size import require_module

#: They multiply too, but not in the way that `Layer.macs` counts: a model with one is refused.
UNCOUNTED = frozenset(
    {
        *("addbmm", "addmm", "addmv", "baddbmm", "bmm", "chain_matmul", "inner", "matmul", "mm"),
        *("mv", "outer", "tensordot", "einsum", "bilinear", "cdist", "linalg_multi_dot"),
        *("dot", "vdot", "linalg_vecdot", "ger", "addr", "kron"),
        *("linalg_matmul", "linalg_matrix_power", "matrix_power"),
        *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "conv_tbc"),
        *("scaled_dot_product_attention", "gru", "lstm", "rnn_relu", "rnn_tanh"),
        *("_native_multi_head_attention", "_transformer_encoder_layer_fwd"),
        *("gru_cell", "lstm_cell", "rnn_relu_cell", "rnn_tanh_cell"),
    }
)
COUNTED = frozenset({"linear", "conv1d", "conv2d", "conv3d"})
BIAS_BITS = 32


@dataclass(frozen=True)
class Layer:
    """A linear or convolutional layer: its shapes for one example, without the batch axis.

    Args:
        name: of the layer in the model, such as ``fc1``.
        input_shape: (in,) or (C_in, H, W).
        output_shape: (out,) or (C_out, H_out, W_out).
        weight_shape: (out, in) or (C_out, C_in / groups, K_h, K_w).
        biases: how many.

    Raises:
        TypeError: if a shape is no tuple of integers or ``biases`` no integer.
        ValueError: if one is empty or out of range.
    """

    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    weight_shape: tuple[int, ...]
    biases: int

    def __post_init__(self) -> None:
        """Refuse shapes that no layer has."""
        _checked_shape("input_shape", self.input_shape)
        _checked_shape("output_shape", self.output_shape)
        _checked_shape("weight_shape", self.weight_shape)
        require_int("biases", self.biases, 0)

    @property
    def weights(self) -> int:
        """Return the number of weights, zeros included."""
        return math.prod(self.weight_shape)

    @property
    def parameters(self) -> int:
        """Return weights + biases."""
        return self.weights + self.biases

    @property
    def macs(self) -> int:
        """Return MACs = output values × products per output value, for one example.

        For a linear layer that is out · in; for a convolution
        (H_out W_out C_out) · (C_in/groups · K_h K_w). Adding the bias is not counted.

        Equation: eq-cost-macs, chapter 01.
        """
        return math.prod(self.output_shape) * math.prod(self.weight_shape[1:])

    def bytes_moved(
        self, batch: int = 1, *, weight_bits: int = 32, activation_bits: int = 32
    ) -> float:
        """Return B = (b_w N_w + 32 N_b + n b_a (N_in + N_out)) / 8, the traffic of one layer.

        Weights, biases and input are read once and the whole output is written once. Activation
        functions, normalisation and pooling between layers add nothing; a runtime that pools
        before it writes moves less than this.

        Args:
            batch: n, the number of examples.
            weight_bits: b_w.
            activation_bits: b_a.

        Raises:
            TypeError: if an argument is no integer.
            ValueError: if it is out of range.

        Equation: eq-cost-traffic, chapter 01.
        """
        require_int("batch", batch, 1)
        require_int("weight_bits", weight_bits, 1, 64)
        require_int("activation_bits", activation_bits, 1, 64)
        activations = math.prod(self.input_shape) + math.prod(self.output_shape)
        stored = weight_bits * self.weights + BIAS_BITS * self.biases
        return (stored + batch * activation_bits * activations) / 8


@dataclass(frozen=True)
class ModelCost:
    """The layers that multiply, in the order in which they run.

    Raises:
        TypeError: if one is no `Layer`.
        ValueError: if there is none.
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        """Refuse a model in which nothing is multiplied."""
        for layer in self.layers:
            if not isinstance(layer, Layer):
                raise TypeError(f"layers must hold Layer only, got {type(layer).__name__}")
        if not self.layers:
            raise ValueError("layers must hold a linear or convolutional layer, got none")

    @property
    def macs(self) -> int:
        """Return Σ MACs over the layers, for one example."""
        return sum(layer.macs for layer in self.layers)

    def bytes_moved(
        self, batch: int = 1, *, weight_bits: int = 32, activation_bits: int = 32
    ) -> float:
        """Return Σ B over the layers; see `Layer.bytes_moved`."""
        return sum(
            layer.bytes_moved(batch, weight_bits=weight_bits, activation_bits=activation_bits)
            for layer in self.layers
        )

    def intensity(
        self, batch: int = 1, *, weight_bits: int = 32, activation_bits: int = 32
    ) -> float:
        """Return I = 2 n MACs / B, in operations per byte (FLOP/byte for 32 bits).

        A multiply–accumulate is two operations: one product and one sum.

        References:
            Williams, Waterman & Patterson (2009), "Roofline", who call it operational intensity.

        Equation: eq-cost-intensity, chapter 01.
        """
        moved = self.bytes_moved(batch, weight_bits=weight_bits, activation_bits=activation_bits)
        return 2 * batch * self.macs / moved


def model_cost(model: nn.Module, example_shape: Sequence[int]) -> ModelCost:
    """Return the cost of each layer of ``model`` for one example.

    Args:
        model: left as it is; it is traced in eval mode.
        example_shape: of one input without the batch axis, such as (1, 28, 28). Its type and
            device are those of the model's first floating-point parameter.

    Raises:
        TypeError: if ``model`` is no module or the shape holds no integers.
        ValueError: if the model refuses that shape, multiplies in a way that is not counted
            here (attention, transposed convolution, recurrence, layers in a branch), or has no
            layer at all.

    >>> model_cost(nn.Linear(784, 300), (784,)).macs
    235200

    Equation: eq-cost-output-size, chapter 01.
    Equation: eq-student-cost, chapter 09.
    """
    require_module(model)
    shape = _checked_shape("example_shape", example_shape)
    traced = copy.deepcopy(model).eval()
    like = next((p for p in traced.parameters() if p.is_floating_point()), torch.empty(0))
    example = torch.zeros(1, *shape, dtype=like.dtype, device=like.device)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            traced(example)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"example_shape must suit the model, got {shape}: {error}") from error
    with torch.no_grad():  # else a part that the model itself runs so is hidden in a subgraph
        program = torch.export.export(traced, (example,))
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    if foreign := sorted({_operation(node) for node in calls} & UNCOUNTED):
        raise ValueError(f"model must multiply in linear and convolutional layers, got {foreign}")
    layers = tuple(_layer(node) for node in calls if _operation(node) in COUNTED)
    _require_all_counted(layers, counter.get_total_flops())
    return ModelCost(layers)


def _require_all_counted(layers: Sequence[Layer], flops: int) -> None:
    """Refuse a model of which torch counts other operations than the layers have.

    This is a guard only: it sees that something was left out, such as the layers in a branch of
    ``torch.cond``. The costs themselves come from the formulas, and the tests compare them with
    hand counts as well as with this counter.
    """
    macs = sum(layer.macs for layer in layers)
    if flops != 2 * macs:
        raise ValueError(
            "model must multiply in linear and convolutional layers only, "
            f"got {flops} operations where these layers have {2 * macs}"
        )


def _layer(node: Any) -> Layer:
    """Return the layer of one traced call; the trace tells each tensor's shape."""
    source, weight, *rest = node.args
    bias = rest[0] if rest else None
    modules = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    return Layer(
        name=(modules[-1] if modules else "") or node.name,
        input_shape=_without_batch(source),
        output_shape=_without_batch(node),
        weight_shape=tuple(weight.meta["val"].shape),
        biases=0 if bias is None else bias.meta["val"].numel(),
    )


def _without_batch(node: Any) -> tuple[int, ...]:
    """Return the shape of one example's part; the trace was made with a batch of one."""
    batch, *shape = node.meta["val"].shape
    return tuple(shape) if batch == 1 else (batch, *shape)


def _operation(node: Any) -> str:
    """Return ``conv2d`` for ``aten.conv2d.default``."""
    return str(node.target).split(".")[1] if "." in str(node.target) else str(node.target)


def _checked_shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    if not isinstance(shape, Sequence) or isinstance(shape, str):
        raise TypeError(f"{name} must be a sequence of integers, got {shape!r}")
    if not shape:
        raise ValueError(f"{name} must not be empty, got ()")
    for axis, length in enumerate(shape):
        require_int(f"{name}[{axis}]", length, 1)
    return tuple(int(length) for length in shape)
