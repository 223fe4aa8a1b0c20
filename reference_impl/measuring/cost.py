"""What a model costs when it runs: multiply–accumulates, bytes moved, arithmetic intensity.

Everything here is counted from shapes. ``torch.export`` traces the model once and reports the
shapes; the formulas are applied to them here.
"""

import copy
import math
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from typing import Annotated, Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from reference_impl.checked import Count, FromZero, Where, checked
from reference_impl.measuring.size import Bits
from reference_impl.models import refusing, zeros_for

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

Shape = Annotated[tuple[Count, ...], Where("of one axis or more", bool)]


@checked
@dataclass(frozen=True)
class Layer:
    """A linear or convolutional layer: its shapes for one example, and how many biases it has."""

    name: str  # in the model, such as ``fc1``
    input_shape: Shape  # (in,) or (C_in, H, W)
    output_shape: Shape  # (out,) or (C_out, H_out, W_out)
    weight_shape: Shape  # (out, in) or (C_out, C_in / groups, K_h, K_w)
    biases: FromZero

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

        For a linear layer that is out · in; for a convolution (positions · C_out) · (C_in/groups ·
        window), with the pixels of the output and of the window. Adding the bias is not counted.

        Equation: eq-cost-macs, chapter 01.
        """
        return math.prod(self.output_shape) * math.prod(self.weight_shape[1:])

    @checked
    def bytes_moved(
        self, batch: Count = 1, *, weight_bits: Bits = 32, activation_bits: Bits = 32
    ) -> float:
        """Return moved = (b_w N_w + 32 N_b + n b_a (N_in + N_out)) / 8, the traffic of one layer.

        Weights, biases and input of n examples are read once, the whole output is written once.
        Activation functions, normalization and pooling between layers add nothing; a runtime that
        pools before it writes moves less than this.

        Equation: eq-cost-traffic, chapter 01.
        """
        activations = math.prod(self.input_shape) + math.prod(self.output_shape)
        stored = weight_bits * self.weights + BIAS_BITS * self.biases
        return (stored + batch * activation_bits * activations) / 8


@checked
@dataclass(frozen=True)
class ModelCost:
    """The layers that multiply, in the order in which they run."""

    layers: Annotated[tuple[Layer, ...], Where("a linear or convolutional layer at least", bool)]

    @property
    def macs(self) -> int:
        """Return Σ MACs over the layers, for one example."""
        return sum(layer.macs for layer in self.layers)

    @checked
    def bytes_moved(
        self, batch: Count = 1, *, weight_bits: Bits = 32, activation_bits: Bits = 32
    ) -> float:
        """Return Σ moved over the layers; see `Layer.bytes_moved`."""
        return sum(
            layer.bytes_moved(batch, weight_bits=weight_bits, activation_bits=activation_bits)
            for layer in self.layers
        )

    @checked
    def intensity(
        self, batch: Count = 1, *, weight_bits: Bits = 32, activation_bits: Bits = 32
    ) -> float:
        """Return intensity = 2 n MACs / moved, in operations per byte (FLOP/byte for 32 bits).

        A multiply–accumulate is two operations: one product and one sum. Williams, Waterman &
        Patterson (2009), "Roofline", call it operational intensity.

        Equation: eq-cost-intensity, chapter 01.
        """
        moved = self.bytes_moved(batch, weight_bits=weight_bits, activation_bits=activation_bits)
        return 2 * batch * self.macs / moved


@checked
def model_cost(model: nn.Module, example_shape: Sequence[Count]) -> ModelCost:
    """Return the cost of each layer of ``model`` for one example, traced in evaluation mode.

    The shape has no batch axis, as (1, 28, 28). The example's type and device are those of the
    model's first floating-point parameter.

    Raises:
        ValueError: if the model refuses that shape, branches on its data, or multiplies in a way
            that is not counted here (attention, transposed convolution, recurrence, layers in a
            branch).

    >>> model_cost(nn.Linear(784, 300), (784,)).macs
    235200

    Equation: eq-cost-output-size, chapter 01.
    Equation: eq-student-cost, chapter 11.
    """
    flops, calls = _traced(model, tuple(example_shape))
    if foreign := sorted({_operation(node) for node in calls} & UNCOUNTED):
        raise ValueError(f"model must multiply in linear and convolutional layers, got {foreign}")
    cost = ModelCost(tuple(_layer(node) for node in calls if _operation(node) in COUNTED))
    if flops != 2 * cost.macs:  # such as those of a layer in a branch of ``torch.cond``
        raise ValueError(
            "model must multiply in linear and convolutional layers only, "
            f"got {flops} operations where these layers have {2 * cost.macs}"
        )
    return cost


def _traced(model: nn.Module, shape: tuple[int, ...]) -> tuple[int, list[Any]]:
    """Return how many operations torch counts in a run, a guard, and the nodes of the calls."""
    example = zeros_for(model, 1, *shape)
    unsuited = f"example_shape must suit the model, got {shape},"
    stopped = "model must not branch on its data nor leave torch, torch.export stops"
    with refusing(
        model, "model must be one that can be copied, after prune.remove if torch pruned it,"
    ):
        own = copy.deepcopy(model).eval()  # a lazy layer is made as it runs
    with torch.no_grad():  # no_grad inside the model would make a subgraph
        with refusing(own, unsuited), FlopCounterMode(display=False) as counter:
            own(example)
        with refusing(own, stopped), redirect_stderr(StringIO()):  # torch prints what it has
            graph = torch.export.export(own, (example,)).graph
    calls = [node for node in graph.nodes if node.op == "call_function"]
    return int(counter.get_total_flops()), calls


def _layer(node: Any) -> Layer:
    """Return the layer of one traced call, with the shapes in the trace."""
    source, weight, *rest = node.args
    bias = rest[0] if rest else None
    modules = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    name = (modules[-1] if modules else "") or node.name
    if not all(isinstance(size, int) for size in source.meta["val"].shape):
        raise ValueError(f"model must not choose by its data how many values {name!r} reads")
    return Layer(
        name=name,
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
    return str(node.target).removeprefix("aten.").split(".")[0]
