"""ONNX files against ONNX Runtime, the networks that they were made of, and onnx's own reader."""

import sys
from collections import Counter
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from chains import SMALL, settle
from onnx import numpy_helper
from torch import nn

from reference_impl import compress
from reference_impl.data import load_dataset
from reference_impl.measuring import sqnr
from reference_impl.models import MODELS
from reference_impl.quantization import IntegerGrid
from reference_impl.training import load_checkpoint, predict

FULLY_FUSED = {
    "lenet300": ["QuantizeLinear", "Flatten", *["QGemm"] * 3],
    "lenet5": ["QuantizeLinear", *["QLinearConv", "NhwcMaxPool"] * 2, "Flatten", *["QGemm"] * 2],
}


@cache
def images() -> torch.Tensor:
    return load_dataset().test.images[:200]


@cache
def quantized(name, bits=8) -> nn.Module:
    calibration = load_dataset().train.images[:200]
    folded = compress.fold_batch_norms(load_checkpoint(name))
    return compress.PostTraining(bits=bits)(folded, calibration)


def session(content: bytes, *, optimized=True, path=None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if path is not None:
        options.optimized_model_filepath = str(path)
    if not optimized:
        off = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.graph_optimization_level = off
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(content, options, providers=providers)


def answers(network: nn.Module, x: torch.Tensor, *, optimized=True, example=None) -> torch.Tensor:
    run = session(compress.to_onnx(network, example), optimized=optimized)
    return torch.from_numpy(run.run(None, {"x": x.numpy()})[0])


@pytest.mark.parametrize("name", MODELS)
def test_a_network_in_float32_answers_as_torch_does(name):
    """Oracle: ONNX Runtime on the file, torch on the network, BatchNorm not folded."""
    network = load_checkpoint(name)
    torch.testing.assert_close(
        answers(network, images()), predict(network, images()), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("bits", [8, 4])
def test_the_graph_is_the_network_of_restored_values(name, bits):
    """Oracle: the simulation, which rounds biases as the file does; ORT executes node by node.

    A value next to the middle of two codes may be rounded to the other one, since one divides by s
    and the other multiplies by 1/s; that moves a logit by a few steps, and seldom.
    """
    torch.manual_seed(0)
    network = compress.fold_batch_norms(settle(SMALL[name]()))
    made = compress.PostTraining(bits=bits)(network, images())
    simulated = compress.simulation(made)
    with torch.no_grad():
        expected = simulated(images().double()).float()
    apart = (answers(made, images(), optimized=False) - expected).abs()
    size = expected.abs().max()
    assert apart.median() < 1e-4 * size
    assert apart.max() < 0.1 * size


@pytest.mark.parametrize("name", FULLY_FUSED)
def test_every_layer_of_a_plain_chain_becomes_one_in_integers(name, tmp_path):
    """Oracle: the graph that ONNX Runtime writes after its own fusions."""
    path = tmp_path / "fused.onnx"
    session(compress.to_onnx(quantized(name)), path=path)
    kinds = [node.op_type for node in onnx.load(path).graph.node]
    assert [kind for kind in kinds if kind != "Transpose"] == FULLY_FUSED[name]


@pytest.mark.parametrize("name", ["student", "residual"])
def test_what_is_averaged_or_added_before_it_is_rounded_stays_in_floating_point(name, tmp_path):
    """Oracle: the graph that ONNX Runtime writes: its kernels in integers end in codes."""
    path = tmp_path / "fused.onnx"
    session(compress.to_onnx(quantized(name)), path=path)
    kinds = Counter(node.op_type for node in onnx.load(path).graph.node)
    assert kinds["QLinearConv"] >= 2
    assert kinds["FusedConv"] + kinds["Conv"] == (1 if name == "student" else 4)


@pytest.mark.parametrize("name", ["lenet5", "separable"])
def test_fused_kernels_give_the_same_classes(name):
    """Oracle: the network itself, in torch; a near tie may be decided otherwise.

    Weights of 7 bits, since a kernel without VNNI adds two products in 16 bits: with an input of
    255, two weights of 7 bits give at most 255 · (63 + 63) = 32,130, two of 8 bits saturate.
    """
    made = quantized(name, 7)
    ours, theirs = predict(made, images()).argmax(1), answers(made, images()).argmax(1)
    assert (ours != theirs).sum() <= 4


@pytest.mark.parametrize("bits", [8, 4, 3])
def test_the_file_holds_the_codes_in_as_few_bytes_as_it_can(bits):
    """Oracle: onnx's own reader of constants of 8 and of 4 bits; the number of bytes."""
    made = quantized("lenet300", bits)
    model = onnx.load_from_string(compress.to_onnx(made))
    kind = onnx.TensorProto.INT4 if bits <= 4 else onnx.TensorProto.INT8
    stored = [one for one in model.graph.initializer if one.data_type == kind and len(one.dims) > 1]
    layers = [one for one in made.modules() if isinstance(one, compress.QuantizedLayer)]
    for constant, layer in zip(stored, layers, strict=True):
        codes = layer.weight_quantizer.quantize(layer.layer.weight)
        found = numpy_helper.to_array(constant).astype(np.int8)
        np.testing.assert_array_equal(found, codes.numpy())
        assert len(constant.raw_data) == codes.numel() // (2 if bits <= 4 else 1)


def test_weights_alone_in_few_bits_are_restored_when_the_file_is_loaded(tmp_path):
    """Oracle: torch; the graph that ONNX Runtime writes, in which nothing is left to restore."""
    folded = compress.fold_batch_norms(load_checkpoint("student"))
    grid = IntegerGrid(4, signed=True, narrow=True)
    made = compress.quantize_layers(folded, compress.weight_quantizers(folded, grid))
    torch.testing.assert_close(
        answers(made, images()), predict(made, images()), rtol=1e-4, atol=1e-4
    )
    session(compress.to_onnx(made), path=tmp_path / "fused.onnx")
    kinds = {node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node}
    assert not kinds & {"Mul", "Cast", "DequantizeLinear", "QuantizeLinear"}


class Joined(nn.Module):
    """Branches, a concatenation, ReLU6, a dilated and a grouped convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = (
            nn.Conv2d(2, 4, 3, padding=(1, 2), dilation=(1, 2)),
            nn.Conv2d(2, 4, 1),
        )
        self.last, self.six = nn.Conv2d(8, 6, 3, stride=(2, 1), groups=2), nn.ReLU6()
        self.pool = nn.MaxPool2d(3, stride=2, padding=1, dilation=1)

    def forward(self, x):
        left, right = self.left(x), self.six(self.right(x))
        return self.last(self.pool(torch.cat([left, left + right], 1))).mean((2, 3))


def test_windows_and_joins_are_those_of_torch():
    """Oracle: torch, on a network that has each of them."""
    torch.manual_seed(0)
    network, x = Joined().eval(), 9 * torch.randn(5, 2, 12, 12)
    with torch.no_grad():
        expected = network(x)
    found = answers(network, x, example=x[:1])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def narrowed_inputs() -> nn.Module:
    return compress.PostTraining(bits=8, input_bits=6)(load_checkpoint("lenet300"), images())


def training() -> nn.Module:
    return load_checkpoint("lenet300").train()


class Overwriting(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.flatten(x, 1).relu_() + torch.flatten(x, 1)


class AddingInPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.same = nn.Linear(784, 784), nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = torch.flatten(x, 1)
        sums = self.layer(rows)
        also = self.same(sums)
        sums += rows  # and so is what the second name reads
        return also


class Pooling(nn.Module):
    """A layer and a pooling that are functions, in one of the most usual styles."""

    def __init__(self, *sizes, **options) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(1, 4, 3), nn.Linear(4 * 13 * 13, 2)
        self.sizes, self.options = sizes, options
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.max_pool2d(F.relu(self.conv(x)), *self.sizes, **self.options)
        return self.last(y.flatten(1))


class Viewing(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.view(x.size(0), -1)


class Stacking(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, x])


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (training, r"evaluation mode, call network.eval\(\)"),
        (narrowed_inputs, "'fc1' must read a grid of all 8 bits, got .*bits=6"),
        (lambda: nn.Sequential(nn.Flatten(), nn.Sigmoid()).eval(), "got Sigmoid '1'"),
        (lambda: nn.Sequential(nn.Linear(28, 4)).eval(), r"'0' must read rows or images"),
        (lambda: nn.Sequential(nn.MaxPool2d(2, ceil_mode=True)).eval(), "got MaxPool2d '0'"),
        (lambda: nn.Sequential(nn.Flatten(2), nn.ReLU()).eval(), "got Flatten '0'"),
        (lambda: Pooling(2, ceil_mode=True), "without ceil_mode.* got maxpool2d in ''"),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding="same")).eval(),
            "layer 0 must be padded",
        ),
        (lambda: Viewing().eval(), r"flatten\(1\) instead of view.* got size in ''"),
        (lambda: nn.Sequential(nn.AdaptiveAvgPool2d(2)).eval(), "got AdaptiveAvgPool2d '0'"),
        (lambda: Overwriting().eval(), "must not overwrite x in '', read by others"),
        (lambda: AddingInPlace().eval(), "must not overwrite Linear 'layer', read by others"),
        (lambda: Stacking().eval(), "got cat in ''"),
        (
            lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.BatchNorm2d(2)).eval(),
            "got BatchNorm2d",
        ),
        (
            lambda: compress.PostTraining(bits=12)(load_checkpoint("lenet300"), images()),
            "of at most 8 bits",
        ),
    ],
)
def test_what_has_no_counterpart_is_refused_by_name(network, said):
    """Oracle: one line that names what cannot be written."""
    with pytest.raises(ValueError, match=said):
        compress.to_onnx(network(), images()[:1])


POOLINGS = [Pooling(2), Pooling(3, 2, 1), Pooling(kernel_size=(3, 3), stride=2, padding=(1, 1))]


@pytest.mark.parametrize("network", POOLINGS)
def test_pooling_by_a_function_is_pooling(network):
    """Oracle: ONNX Runtime, and the network in integers, against torch on the network."""
    small = compress.PostTraining(bits=7)(network, images())
    x = images()[:20]
    with torch.no_grad():
        torch.testing.assert_close(answers(network, x, example=x[:1]), network(x))
        assert sqnr(small(x), answers(small, x, example=x[:1])) > 40
        whole = compress.integer_network(small, x[:1])
        logits = whole.logits(whole.input_quantizer.quantize(x)) * whole.logit_scale
        assert sqnr(small(x), logits) > 40


def test_without_the_package_onnx_one_line_says_what_to_install(monkeypatch):
    """Oracle: an import that fails."""
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="to_onnx needs the package onnx: pip install onnx"):
        compress.to_onnx(load_checkpoint("lenet300"))
