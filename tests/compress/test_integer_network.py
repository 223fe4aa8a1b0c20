"""Networks in integers against their simulation in float64, torch, and ONNX Runtime."""

import copy
from functools import cache, partial
from itertools import pairwise

import numpy as np
import onnx.parser
import onnxruntime
import pytest
import torch
from chains import BYTES, inputs_of, refused, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from reference_impl import compress
from reference_impl.compress.integer import MaxPool, Window
from reference_impl.data import load_dataset
from reference_impl.quantization import (
    AffineQuantizer,
    IntegerGrid,
    affine_from_range,
    fixed_point,
)
from reference_impl.training import load_checkpoint

WEIGHT_GRID = IntegerGrid(8, signed=True, narrow=True)


def quantized(chain, x, *, axes=(), grid=BYTES) -> nn.Sequential:
    """Return the chain with min–max quantizers, all computed in float64."""
    chain = copy.deepcopy(chain).double()
    inputs = inputs_of(chain, x.double(), grid)
    return compress.quantize_layers(chain, weights_of(chain, WEIGHT_GRID, axes), inputs)


@cache
def images() -> torch.Tensor:
    return load_dataset().test.images


@cache
def lenet(name, axes) -> nn.Sequential:
    calibration = load_dataset().train.images[:200]
    return quantized(load_checkpoint(name), calibration, axes=axes)


class Dtypes(TorchDispatchMode):
    """Collects the dtype of every tensor that an operation returns."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.seen |= {one.dtype for one in tree_leaves(result) if isinstance(one, torch.Tensor)}
        return result


each_case = pytest.mark.parametrize(
    ("name", "axes"), [(name, axes) for name in ("lenet300", "lenet5") for axes in ((), 0)]
)


def assert_simulated(chain: nn.Sequential, x: torch.Tensor) -> None:
    """Assert that every code and sum is that of the float64 network of restored values."""
    network, simulated = compress.integer_network(chain), compress.simulation(chain)
    found = dict(network.trace(network.quantize(x)))
    for layer, seen in compress.layer_inputs(simulated, x):
        codes = simulated.get_submodule(layer).input_quantizer.quantize(seen)
        assert torch.equal(found[layer], codes), layer
    with torch.no_grad():
        sums = simulated(x) / list(network.layers.values())[-1].unit
    assert torch.equal(found["accumulators"], sums.round().int())
    assert (sums - sums.round()).abs().max() < 1e-4


@pytest.mark.equation("eq-integer-sum")
@each_case
def test_every_code_and_sum_is_its_simulations(name, axes) -> None:
    """Oracle: the float64 network of restored values; more images where that is quick."""
    for part in images()[: 10_000 if name == "lenet300" else 250].double().split(500):
        assert_simulated(lenet(name, axes), part)


@each_case
def test_no_tensor_between_codes_and_logits_is_floating_point(name, axes) -> None:
    """Oracle: the dtypes of all results of all operations, by torch's own dispatcher."""
    network = compress.integer_network(lenet(name, axes))
    codes = network.quantize(images()[:50].double())
    with Dtypes() as dtypes:
        dtypes.seen = set()
        logits = network.logits(codes)
    assert (codes.dtype, logits.dtype, logits.shape) == (torch.uint8, torch.int32, (50, 10))
    assert {torch.uint8, torch.int32} <= dtypes.seen
    assert not any(dtype.is_floating_point for dtype in dtypes.seen)
    for size in (1, 7):
        assert torch.equal(network.logits(codes, batch_size=size), logits)


@each_case
def test_the_simulation_is_the_network_of_restored_values(name, axes) -> None:
    """Oracle: the chain itself; weights within 2^−31, biases within half a unit."""
    chain = lenet(name, axes)
    simulated, layers = compress.simulation(chain), compress.integer_network(chain).layers
    for layer in layers:
        mine, given_ = simulated.get_submodule(layer).layer, chain.get_submodule(layer).layer
        torch.testing.assert_close(mine.weight, given_.weight, rtol=2.0**-30, atol=1e-15)
        half = layers[layer].unit / 2
        error = (mine.bias - given_.bias).abs()
        assert (error <= half * (1 + 1e-6)).all()
        assert error.max() > half.min() / 100
    scales = {key: simulated.get_submodule(key).input_quantizer.scale.item() for key in layers}
    for key, following in pairwise(layers):  # M is s_a s_w / s_y to the last digits of float64
        scale = scales[key] * simulated.get_submodule(key).weight_quantizer.scale.flatten()
        multiplier = layers[key].output.multiplier.value
        np.testing.assert_allclose(scale / scales[following], multiplier, rtol=1e-15)
        np.testing.assert_allclose(layers[key].unit, scale, rtol=2.0**-30)


def last_convolution(size: int) -> tuple[nn.Sequential, torch.Tensor]:
    """Return a network of as many classes as its images are wide, and images."""
    torch.manual_seed(0)
    x = torch.randn(9, 1, size, size)
    chain = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, size, 1))
    return quantized(chain, x, axes=0), x


@pytest.mark.parametrize(
    "made",
    [
        lambda: (lenet("lenet300", ()), images()[:1000]),
        lambda: (lenet("lenet300", 0), images()[:1000]),
        *(partial(last_convolution, size) for size in (3, 5, 8)),
    ],
)
def test_logits_share_one_scale(made) -> None:
    """Oracle: the simulation's logits, within half a unit; so the largest is the largest."""
    chain, x = made()
    network, weights = compress.integer_network(chain), chain[-1].weight_quantizer
    with torch.no_grad():
        real = compress.simulation(chain)(x.double())
    error = network.logits(network.quantize(x.double())).double() * network.logit_scale - real
    assert error.abs().max() <= network.logit_scale * 0.5001
    assert (network.logit_multiplier is None) == (weights.scale.numel() == 1)
    assert network.logit_scale == list(network.layers.values())[-1].unit.max()  # no M above 1


@st.composite
def chains(draw: st.DrawFn) -> nn.Sequential:
    """Draw a small network of convolutions with any geometry, pooling and linear layers."""
    torch.manual_seed(draw(st.integers(0, 2**31)))
    pair = st.tuples(st.integers(1, 2), st.integers(1, 2))
    conv = nn.Conv2d(
        1,
        draw(st.integers(1, 4)),
        draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        stride=draw(pair),
        padding=draw(st.tuples(st.integers(0, 2), st.integers(0, 2))),
        dilation=draw(pair),
        bias=draw(st.booleans()),
    )
    between = [nn.ReLU(), nn.MaxPool2d(2, padding=draw(st.integers(0, 1)), ceil_mode=True)]
    middle = draw(st.permutations([*between, nn.MaxPool2d(1)]))[: draw(st.integers(0, 3))]
    parts = [conv, *middle, nn.Conv2d(conv.out_channels, 3, 2, padding=1), nn.Flatten()]
    features = nn.Sequential(*parts)(torch.zeros(1, 1, 9, 8)).shape[1]
    return nn.Sequential(
        *parts, nn.Dropout(), nn.Linear(features, 5), nn.ReLU(), nn.Identity(), nn.Linear(5, 4)
    ).train(draw(st.booleans()))


@settings(max_examples=40)
@given(
    chain=chains(),
    axes=st.sampled_from([(), 0]),
    grid=st.builds(IntegerGrid, st.integers(3, 8), signed=st.booleans()),
)
def test_any_geometry_and_grid_is_its_simulation(chain, axes, grid) -> None:
    """Oracle: the float64 network of restored values, whose convolutions are torch's.

    In training mode too, in which nothing is dropped out of the simulation.
    """
    x = torch.randn(6, 1, 9, 8, generator=torch.Generator().manual_seed(0)).double()
    assert_simulated(quantized(chain, x[:3], axes=axes, grid=grid), x)


def test_images_get_the_same_codes_if_the_network_is_in_float32() -> None:
    """Oracle: the float64 simulation; 1 / s in float32 would move a few codes of a million."""
    x = 0.7 * torch.rand(1000, 1000, generator=torch.Generator().manual_seed(0))
    chain = nn.Sequential(nn.Linear(1000, 2))
    chain = compress.quantize_layers(chain, weights_of(chain, WEIGHT_GRID), inputs_of(chain, x))
    assert_simulated(chain, x.double())


def test_relu_holds_where_the_next_range_has_negative_values() -> None:
    """Oracle: the float64 simulation; z_y is not the smallest code here."""
    torch.manual_seed(0)
    x = torch.randn(50, 8).double()
    inputs = affine_from_range(torch.tensor(-3.0), torch.tensor(3.0), BYTES)
    chain = quantized(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), x)
    chain[0].input_quantizer = chain[2].input_quantizer = inputs
    codes = []
    for one in (chain, nn.Sequential(chain[0], chain[2])):
        assert_simulated(one, x)
        network = compress.integer_network(one)
        codes.append(list(network.trace(network.quantize(x)))[1][1])
    zero = int(inputs.zero_point)
    assert torch.equal(codes[0], codes[1].clamp(min=zero))
    assert not torch.equal(*codes)


@pytest.mark.parametrize("kind", [torch.uint8, torch.int8, torch.int16])
def test_pooling_codes_is_pooling_values(kind: torch.dtype) -> None:
    """Oracle: torch's max-pooling in float64, images larger than a byte can count."""
    generator = torch.Generator().manual_seed(0)
    codes = torch.randint(0, 100, (3, 40, 24, 30), generator=generator).to(kind)
    last = codes.to(memory_format=torch.channels_last)
    one = codes[:, 0].contiguous().unsqueeze(-1).movedim(-1, 1)  # one channel, last in memory
    for laid_out in (codes, codes.permute(0, 1, 3, 2), last, one):
        for pool in (
            nn.MaxPool2d(2),
            nn.MaxPool2d(3, 2, 1),
            nn.MaxPool2d(2, dilation=2),
            nn.MaxPool2d((2, 5), (3, 1), dilation=(1, 3)),
            nn.MaxPool2d(5, ceil_mode=True),
            nn.MaxPool2d(1),
        ):
            found = MaxPool(pool)(laid_out)
            assert found.dtype == kind
            assert torch.equal(found.double(), pool(laid_out.double()))


def onnx_run(operator: str, kind: str, *tensors) -> torch.Tensor:
    """Return the result of one operator of ONNX Runtime."""
    arrays = {f"x{place}": np.atleast_1d(tensor) for place, tensor in enumerate(tensors)}
    kinds = {name: x.dtype.name.replace("float32", "float") for name, x in arrays.items()}
    inputs = ", ".join(f"{kinds[name]}{list(x.shape)} {name}" for name, x in arrays.items())
    result = f"{kind}[{', '.join('nchw'[: tensors[0].ndim])}] y"
    graph = f"g ({inputs}) => ({result}) {{ y = {operator}({', '.join(arrays)}) }}"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["": 21]> {graph}')
    onnx.checker.check_model(model)
    cpu = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=cpu)
    return torch.from_numpy(session.run(None, arrays)[0])


def test_a_convolutions_sums_are_onnx_runtimes_and_its_codes_but_near_ties() -> None:
    """Oracle: ONNX Runtime's ConvInteger, exact, and QLinearConv, which has a float32 M."""
    chain = lenet("lenet5", ())
    network, module = compress.integer_network(chain), chain.conv2
    codes = dict(network.trace(network.quantize(images()[:20].double())))["conv2"].contiguous()
    layer, weight = network.layers["conv2"], module.weight_quantizer
    q_w = (weight.quantize(module.layer.weight.detach()).int() + 128).to(torch.uint8)
    z_x, z_w = np.uint8(layer.product.input_zero), np.uint8(128)  # u8 · u8 saturates nowhere
    sums, bias = layer.accumulate(codes), layer.product.bias
    theirs = onnx_run("ConvInteger", "int32", codes, q_w, z_x, z_w)
    assert torch.equal(sums, theirs + bias[:, None, None])
    s_x, s_w = (np.float32(one.scale.item()) for one in (module.input_quantizer, weight))
    multiplier, z_y = layer.output.multiplier.value, np.uint8(layer.output.zero_point)
    s_y = np.float32(layer.unit / multiplier)
    theirs = onnx_run("QLinearConv", "uint8", codes, s_x, z_x, q_w, s_w, z_w, s_y, z_y, bias)
    ours = layer.output(sums)  # one scale, so any axis may be the last
    difference = ours.int() - theirs.int()
    assert difference.abs().max() <= 1
    assert torch.equal(layer(codes).double(), nn.functional.max_pool2d(ours.double(), 2))
    scaled = sums.double() * multiplier
    to_tie = (scaled - scaled.floor() - 0.5).abs()
    assert (to_tie[difference != 0] < 255 * 2.0**-22).all()
    assert (difference != 0).double().mean() < 1e-4


ONE = AffineQuantizer(torch.tensor(0.1), torch.tensor(0), WEIGHT_GRID)
FINE = AffineQuantizer(torch.tensor(1e-6), torch.tensor(0), IntegerGrid(16, signed=True))
INPUT = AffineQuantizer(torch.tensor(0.1), torch.tensor(3), BYTES)
IMAGES = torch.zeros(1, 2, 4, 5, dtype=torch.uint8)


def linear(
    inputs: AffineQuantizer | None = INPUT, weight: AffineQuantizer = ONE, k: int = 4
) -> compress.QuantizedLayer:
    return compress.QuantizedLayer(nn.Linear(k, 4), weight, inputs)


def conv(**options) -> compress.QuantizedLayer:
    return compress.QuantizedLayer(nn.Conv2d(2, 2, 3, **options), ONE, INPUT)


def of_lines() -> compress.QuantizedLayer:
    return compress.QuantizedLayer(nn.Conv1d(2, 2, 3), ONE, INPUT)


def per(*shape: int, grid: IntegerGrid = WEIGHT_GRID, zero: int = 0) -> AffineQuantizer:
    return AffineQuantizer(torch.full(shape, 0.1), torch.full(shape, zero), grid)


def make(*modules: nn.Module) -> compress.IntegerNetwork:
    return compress.integer_network(nn.Sequential(*modules))


INDEXED, SAME = nn.MaxPool2d(2, return_indices=True), conv(padding="same")
STRANGE = "network must consist of quantized layers.* got "
ONE_SCALE = "inputs must have a quantizer with one scale"
SCALES = "layer 0: weight must have .* one scale.* got scales of shape "
DEEP = linear(per(grid=IntegerGrid(16)), FINE, k=999)
HALF, BYTE_ROW = fixed_point(torch.tensor(0.5)), per(1, 4, grid=BYTES)
WIDE = Window((3, 3), (1, 1), (0, 0), (2, 1))

test_what_has_no_counterpart_in_integers_is_refused_by_name = refused(
    (ValueError, "read by a quantized layer", lambda: compress.simulation(nn.Sequential())),
    (ValueError, STRANGE + "Linear '1'", lambda: make(linear(), nn.Linear(4, 4))),
    (ValueError, STRANGE + "Tanh '1'", lambda: make(linear(), nn.Tanh(), linear())),
    (ValueError, STRANGE + "MaxPool2d '0'", lambda: make(INDEXED, linear())),
    (ValueError, f"layer 1: {ONE_SCALE}, got none", lambda: make(linear(), linear(None))),
    (ValueError, f"layer 1: {ONE_SCALE}.*1, 4", lambda: make(linear(), linear(BYTE_ROW))),
    (ValueError, "layer 0: weight must have zero points", lambda: make(linear(weight=per(zero=1)))),
    (ValueError, SCALES + r"\(1, 4\)", lambda: make(linear(weight=per(1, 4)))),
    (ValueError, "layer 0: .* convolution of images", lambda: make(of_lines())),
    (ValueError, "layer 0: .*number of zeros", lambda: make(SAME)),
    (ValueError, "layer 0: depth must be small enough for int32: 999 products", lambda: make(DEEP)),
    (ValueError, "must be in .* 256", lambda: compress.Requantizer(HALF, BYTES, 256, relu=False)),
    (ValueError, "≥5 along axis 2", lambda: WIDE.patches(IMAGES, 0)),
    (ValueError, "≥6 along axis 3", lambda: MaxPool(nn.MaxPool2d((2, 6)))(IMAGES)),
)
