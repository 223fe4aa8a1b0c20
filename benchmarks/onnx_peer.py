"""Networks of the course in ONNX Runtime, in float32: a peer for timings."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import torch
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import nn


def onnx_call(chain: nn.Module, x: torch.Tensor) -> Callable[[], np.ndarray[Any, Any]]:
    """Return a call of the chain on x in ONNX Runtime, one thread.

    Args:
        chain: linear and plain convolutional layers, ReLU, max-pooling and flattening.
        x: its input.

    Raises:
        ValueError: if the chain has another module.
    """
    nodes, kept, names = [], [], ["x"]
    for name, module in chain.named_children():
        weights = {f"{name}_{key}": value for key, value in module.named_parameters()}
        kept += [numpy_helper.from_array(v.detach().numpy(), k) for k, v in weights.items()]
        nodes.append(_node(module, [names[-1], *weights], name))
        names.append(name)
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", list(x.shape)), (names[-1], list(chain(x).shape)))
    ]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = {"x": x.numpy()}

    def run() -> np.ndarray[Any, Any]:
        (y,) = session.run(None, feed)
        return np.asarray(y)

    return run


def _node(module: nn.Module, inputs: list[str], output: str) -> NodeProto:
    """Return the operator of one module."""
    if isinstance(module, nn.Linear):
        return helper.make_node("Gemm", inputs, [output], transB=1)
    if isinstance(module, nn.Conv2d):
        return helper.make_node("Conv", inputs, [output], kernel_shape=module.kernel_size)
    if isinstance(module, nn.MaxPool2d):
        size = [module.kernel_size] * 2
        return helper.make_node("MaxPool", inputs, [output], kernel_shape=size, strides=size)
    if isinstance(module, (nn.ReLU, nn.Flatten)):
        return helper.make_node(type(module).__name__.capitalize(), inputs, [output])
    raise ValueError(f"chain must have an operator of ONNX for each module, got {module}")
