"""A network as an ONNX file: in floating point, or quantized as runtimes expect it.

Where a layer is quantized, its input passes a pair QuantizeLinear → DequantizeLinear, and its
weight is stored in integers before a DequantizeLinear. Such a graph computes what `QuantizedLayer`
computes, and a runtime may replace each layer between two pairs by one in integers.
"""

from collections.abc import Callable
from copy import deepcopy
from importlib import import_module
from typing import Any

import numpy as np
from torch import Tensor, fx, nn

from reference_impl.checked import checked
from reference_impl.compress.fold import fold_batch_norms, folding_pairs
from reference_impl.compress.graph import Example, example_of
from reference_impl.compress.integer import input_quantizer, pair, weight_scale
from reference_impl.compress.layers import window_attributes
from reference_impl.compress.quantized import QuantizedLayer, zero_padding
from reference_impl.compress.trace import trace
from reference_impl.quantization import AffineQuantizer, round_bias

OPSET, IR_VERSION = 21, 10  #: the first that have numbers of 4 bits
_NOTHING = ("identity", "twoaxes", "dropout")
_SAME_CODES = (*_NOTHING, "relu", "maxpool2d", "flatten")
"""Operations that may take place before the rounding or after it."""


@checked
def to_onnx(network: nn.Module, example: Example = None) -> bytes:
    """Return the ONNX file of a network in evaluation mode, for any number of inputs at a time.

    Its input is called x, with the axes of the ``example``. BatchNorm is folded; weights of up to 4
    bits take 4 bits; biases after quantized inputs are multiples of s_a s_w, as in
    `integer_network`. Without VNNI, ONNX Runtime on x86 saturates sums of 8-bit weights: use 7.

    Raises:
        ImportError: if the package onnx is not installed.
        ValueError: if the network has an operation, or a quantizer, without a counterpart here.
    """
    if network.training:
        raise ValueError("network must be in evaluation mode, call network.eval()")
    plain = fold_batch_norms(network) if folding_pairs(trace(network)) else network
    return _Writer(deepcopy(plain).cpu(), example_of(network, example).cpu()).content()


class _Writer:
    """Follows a traced network, and makes ONNX's nodes and constants."""

    def __init__(self, network: nn.Module, example: Tensor) -> None:
        try:
            self.onnx: Any = import_module("onnx")
        except ImportError:
            raise ImportError("to_onnx needs the package onnx: pip install onnx") from None
        self.traced, self.example = trace(network), example
        self.shapes = self.traced.shapes(example)
        self.nodes: list[Any] = []
        self.constants: dict[Any, Any] = {}
        self.names: dict[fx.Node, str] = {}
        self.restored: dict[tuple[str, ...], str] = {}  #: (x, s, z) → x̂
        followers: dict[str, Callable[[fx.Node], str]] = {
            "placeholder": lambda _: "x",
            **dict.fromkeys(("conv1d", "conv2d", "conv3d", "linear"), self._layer),
            "quantizedlayer": self._layer,
            "relu": self._relu,
            "relu6": self._relu6,
            "maxpool2d": self._max_pool,
            **dict.fromkeys(("adaptiveavgpool2d", "mean"), self._average),
            "flatten": self._flatten,
            **dict.fromkeys(_NOTHING, self._source),
            **dict.fromkeys(("add", "iadd"), lambda node: self._join("Add", node)),
            "cat": lambda node: self._join("Concat", node, axis=1),
        }
        for node in self.traced.graph.nodes:
            operation = self.traced.operation(node) if node.op.startswith("call_") else node.op
            if operation == "output":
                self.result = node.args[0]
                if not isinstance(self.result, fx.Node):
                    raise ValueError(f"network must return one tensor, got {self.result}")
            elif operation in followers and not node.kwargs.get("training"):
                self.traced.require_only_reader(node)
                self.names[node] = followers[operation](node)
                self._round_early(node)
            else:
                raise self._refusal(node)

    def content(self) -> bytes:
        """Return the file's bytes."""
        helper, kind = self.onnx.helper, self.onnx.TensorProto.FLOAT
        ends = (("x", self.example.shape), (self.names[self.result], self.shapes[self.result]))
        x, y = (helper.make_tensor_value_info(end, kind, ["n", *shape[1:]]) for end, shape in ends)
        graph = helper.make_graph(self.nodes, "g", [x], [y], list(self.constants.values()))
        opsets = [helper.make_opsetid("", OPSET)]
        model: Any = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        self.onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    def _refusal(self, node: fx.Node) -> ValueError:
        return ValueError(
            "network must consist of linear and convolutional layers, ReLU, max-pooling without "
            "ceil_mode, means of all positions, flatten(1) instead of view, sums and "
            f"concatenations, got {self.traced.name(node)}"
        )

    def _node(self, kind: str, *reads: str, **attributes: Any) -> str:
        """Add a node and return the name of its result, which is short: names are bytes too."""
        name = self._new_name()
        self.nodes.append(self.onnx.helper.make_node(kind, reads, [name], **attributes))
        return name

    def _new_name(self) -> str:
        return f"{len(self.nodes) + len(self.constants):x}"

    def _one(self, kind: str, node: fx.Node, *others: str, **attributes: Any) -> str:
        return self._node(kind, self._source(node), *others, **attributes)

    def _source(self, node: fx.Node) -> str:
        return self.names[node.all_input_nodes[0]]

    def _constant(self, array: Any, *, four_bits: bool = False) -> str:
        """Return the name of a constant; equal ones are stored once."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        content = array.tobytes()
        if four_bits:  # two codes a byte, the first in its lower half
            kind = self.onnx.TensorProto.INT4
            codes = np.pad(array.ravel(), (0, array.size % 2)).view(np.uint8)
            content = (codes[::2] & 15 | codes[1::2] << 4).tobytes()
        key = kind, array.shape, content
        if key not in self.constants:
            self.constants[key] = self.onnx.helper.make_tensor(self._new_name(), *key, raw=True)
        return str(self.constants[key].name)

    def _quantizer(self, node: fx.Node) -> AffineQuantizer | None:
        """Return the quantizer with which a node reads its input, if it has one."""
        module = self.traced.module(node)
        if not isinstance(module, QuantizedLayer) or module.of_input is None:
            return None
        found = input_quantizer(module)
        if found.grid.bits != 8 or found.grid.narrow:  # a runtime clips to the whole byte
            raise ValueError(f"{node.target!r} must read a grid of all 8 bits, got {found.grid}")
        return found

    def _wanted(self, node: fx.Node) -> AffineQuantizer | None:
        """Return the quantizer with which a value, or what is made of it, is read and rounded."""
        if len(node.users) != 1:
            return None
        (user,) = node.users
        in_between = self.traced.operation(user) in _SAME_CODES
        return self._wanted(user) if in_between else self._quantizer(user)

    def _round_early(self, node: fx.Node) -> None:
        """Round a value before it is pooled or flattened, which then takes place in codes."""
        quantizer = self._wanted(node)
        if quantizer is not None and self.traced.operation(next(iter(node.users))) != "relu":
            self.names[node] = self._restored(self.names[node], quantizer)

    def _restored(self, value: str, quantizer: AffineQuantizer) -> str:
        """Return the name of x̂, made of a value by QuantizeLinear and DequantizeLinear."""
        kind = np.int8 if quantizer.grid.signed else np.uint8
        ends = tuple(map(self._constant, (np.float32(quantizer.scale), kind(quantizer.zero_point))))
        if (value, *ends) not in self.restored:
            codes = self._node("QuantizeLinear", value, *ends)
            name = self._node("DequantizeLinear", codes, *ends)
            self.restored |= {(value, *ends): name, (name, *ends): name}
        return self.restored[(value, *ends)]

    def _layer(self, node: fx.Node) -> str:
        """Write a weight layer, which may be quantized."""
        module, quantizer, x = self.traced.module(node), self._quantizer(node), self._source(node)
        layer = module.layer if isinstance(module, QuantizedLayer) else module
        if len(self.shapes[node]) != layer.weight.ndim:
            raise ValueError(f"{node.target!r} must read rows or images, got other axes")
        reads = [x if quantizer is None else self._restored(x, quantizer)]
        if isinstance(module, QuantizedLayer):
            reads.append(self._weight(module, in_integers=quantizer is not None))
        else:
            reads.append(self._constant(layer.weight.detach().float().numpy()))
        if layer.bias is not None and quantizer is not None:
            unit = quantizer.scale * weight_scale(module)
            codes = self._constant(round_bias(layer.bias, unit).numpy())
            reads.append(self._dequantized(codes, unit.float()))
        elif layer.bias is not None:
            reads.append(self._constant(layer.bias.detach().float().numpy()))
        if isinstance(layer, nn.Linear):
            return self._node("Gemm", *reads, transB=1)
        window = window_attributes(layer, zero_padding(layer, f"layer {node.target}"))
        return self._node("Conv", *reads, **window)

    def _weight(self, module: QuantizedLayer, *, in_integers: bool) -> str:
        """Write Ŵ = s_w q; a layer not computed in integers reads a product made on loading."""
        weight, grid = module.layer.weight, module.weight_quantizer.grid
        scale = weight_scale(module).float()
        if grid.bits > 8 or not grid.signed:
            raise ValueError(f"weight must be on a signed grid of at most 8 bits, got {grid}")
        codes = module.weight_quantizer.quantize(weight.detach()).numpy()
        stored = self._constant(codes, four_bits=grid.bits <= 4)
        if not in_integers:
            restored = self._node("Cast", stored, to=self.onnx.TensorProto.FLOAT)
            per_output = scale.numpy().reshape(-1, *[1] * (weight.ndim - 1))
            return self._node("Mul", restored, self._constant(per_output))
        if grid.bits <= 4:  # kernels take bytes
            stored = self._node("Cast", stored, to=self.onnx.TensorProto.INT8)
        linear = isinstance(module.layer, nn.Linear)  # ORT needs z of a Gemm, though it is 0
        return self._dequantized(stored, scale, *[np.zeros(len(scale), np.int8)] * linear)

    def _dequantized(self, codes: str, scale: Tensor, *zeros: Any) -> str:
        """Write s (q − z), with one s for all or one for each entry of the first axis."""
        ends, axis = [scale.numpy(), *zeros], {"axis": 0}
        if len(scale) == 1:
            ends, axis = [end.reshape(()) for end in ends], {}
        return self._node("DequantizeLinear", codes, *map(self._constant, ends), **axis)

    def _relu(self, node: fx.Node) -> str:
        quantizer = self._wanted(node)  # if its codes begin at z, rounding clips at 0 anyway
        if quantizer is not None and quantizer.zero_point == quantizer.grid.q_min:
            return self._source(node)
        return self._one("Relu", node)

    def _relu6(self, node: fx.Node) -> str:
        return self._one("Clip", node, *(self._constant(np.float32(end)) for end in (0, 6)))

    def _max_pool(self, node: fx.Node) -> str:
        module = self.traced.pool(node)
        if module is None or module.ceil_mode or module.return_indices:
            raise self._refusal(node)
        size = {"kernel_shape": pair(module.kernel_size)}
        return self._one("MaxPool", node, **size, **window_attributes(module, pair(module.padding)))

    def _average(self, node: fx.Node) -> str:
        if self.traced.averages(node) and len(self.shapes[node.all_input_nodes[0]]) == 4:
            return self._one("ReduceMean", node, self._constant(np.array([2, 3])), keepdims=0)
        if self.traced.operation(node) == "mean" or any(n > 1 for n in self.shapes[node][2:]):
            raise self._refusal(node)
        return self._one("GlobalAveragePool", node)

    def _flatten(self, node: fx.Node) -> str:
        if not self.traced.flattens(node):
            raise self._refusal(node)
        return self._one("Flatten", node)

    def _join(self, kind: str, node: fx.Node, **attributes: Any) -> str:
        given: Any = node.args
        joined, rest = (given[:1] and given[0], given[1:]) if kind == "Concat" else (given, ())
        plain = isinstance(joined, list | tuple) and all(isinstance(x, fx.Node) for x in joined)
        axis = (1,) if kind == "Concat" else ()
        if not (joined and plain and (*rest, *node.kwargs.values()) == axis):
            raise self._refusal(node)
        return self._node(kind, *(self.names[one] for one in joined), **attributes)
