"""Networks in integers against int64 NumPy, their simulation in float64, and ONNX Runtime."""

import copy
from collections.abc import Iterator
from functools import cache

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from reference_impl.compress import (
    QuantizedLayer,
    Requantizer,
    integer_network,
    layer_inputs,
    quantize_layers,
    simulation,
    weight_layers,
)
from reference_impl.compress.integer import MaxPool, Window
from reference_impl.data import load_dataset
from reference_impl.quantization import (
    AffineQuantizer,
    IntegerGrid,
    affine_from_range,
    fixed_point,
    min_max_range,
    requantize,
    symmetric_from_range,
)
from reference_impl.training import load_checkpoint

WEIGHT_GRID = IntegerGrid(8, signed=True, narrow=True)
BYTES = IntegerGrid(8)


def quantized(
    chain: nn.Sequential,
    images: torch.Tensor,
    *,
    axes: int | tuple[()] = (),
    grid: IntegerGrid = BYTES,
) -> nn.Sequential:
    """Return the chain with min–max quantizers, all computed in float64."""
    chain = copy.deepcopy(chain).double()
    weights = {
        name: symmetric_from_range(*min_max_range(layer.weight.detach(), axes), WEIGHT_GRID)
        for name, layer in weight_layers(chain).items()
    }
    inputs = {
        name: affine_from_range(x.min(), x.max(), grid)
        for name, x in layer_inputs(chain, images.double())
    }
    return quantize_layers(chain, weights, inputs)


@cache
def images() -> torch.Tensor:
    return load_dataset().test.images


@cache
def lenet(name: str, axes: int | tuple[()]) -> nn.Sequential:
    calibration = load_dataset().train.images[:200]
    return quantized(load_checkpoint(name).chain(), calibration, axes=axes)


class DtypesSeen(TorchDispatchMode):
    """Collects the dtypes of every tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[torch.dtype] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, tuple | list) else [result]:
            if isinstance(one, torch.Tensor):
                self.seen.add(one.dtype)
        return result


def reference(chain: nn.Sequential, images: torch.Tensor) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, input codes) of each layer and the last accumulators, in int64 NumPy.

    Written from the equations of Jacob et al. 2018, with nothing of the package but the scales
    and zero points of the chain.
    """
    layers = [(n, m) for n, m in chain.named_children() if isinstance(m, QuantizedLayer)]
    modules = list(chain.named_children())
    first = layers[0][1].input_quantizer
    q = np.round(images.double().numpy() / float(first.scale)).astype(np.int64)
    q = np.clip(q + int(first.zero_point), first.grid.q_min, first.grid.q_max)
    for place, (name, module) in enumerate(modules):
        if isinstance(module, nn.Flatten):
            q = q.reshape(len(q), -1)
        elif isinstance(module, nn.MaxPool2d):
            size = module.kernel_size
            q = sliding_window_view(q, (size, size), axis=(2, 3))[:, :, ::size, ::size].max((4, 5))
        elif isinstance(module, QuantizedLayer):
            yield name, q
            inputs, weights = module.input_quantizer, module.weight_quantizer
            s_w = weights.scale.numpy().reshape(-1)
            w = module.layer.weight.detach().numpy()
            w = np.round(w.reshape(len(w), -1) / s_w[:, None]).astype(np.int64)
            s = float(inputs.scale) * s_w
            bias = np.round(module.layer.bias.detach().numpy() / s).astype(np.int64)
            x = q - int(inputs.zero_point)
            if isinstance(module.layer, nn.Conv2d):
                x = sliding_window_view(x, module.layer.kernel_size, axis=(2, 3))
                w = w.reshape(module.layer.weight.shape)
                a = np.einsum("nchwij,mcij->nmhw", x, w)
                a += bias[:, None, None]
            else:
                a = np.einsum("nk,mk->nm", x, w) + bias
            rest = [m for _, m in modules[place + 1 :]]
            if not any(isinstance(m, QuantizedLayer) for m in rest):
                yield "accumulators", a
                return
            after = next(m for m in rest if isinstance(m, QuantizedLayer)).input_quantizer
            upto = rest[: [isinstance(m, QuantizedLayer) for m in rest].index(True)]
            fraction, exponent = np.frexp(s / float(after.scale))
            m0 = np.round(fraction * 2.0**31).astype(np.int64)
            shape = (1, -1) + (1,) * (a.ndim - 2)
            power = (np.int64(1) << (31 - exponent.astype(np.int64))).reshape(shape)
            product = a * m0.reshape(shape)
            whole, rest_ = np.divmod(product, power)
            up = (2 * rest_ > power) | ((2 * rest_ == power) & (whole % 2 == 1))
            z = int(after.zero_point)
            low = z if any(isinstance(m, nn.ReLU) for m in upto) else after.grid.q_min
            q = np.clip(whole + up + z, low, after.grid.q_max)


CASES = [(name, axes) for name in ("lenet300", "lenet5") for axes in ((), 0)]


@pytest.mark.parametrize(("name", "axes"), CASES)
def test_every_code_and_sum_is_int64_numpys(name: str, axes: int | tuple[()]) -> None:
    """Oracle: the equations in int64 NumPy, on trained networks and test images."""
    chain, part = lenet(name, axes), images()[: 2000 if name == "lenet300" else 100]
    network = integer_network(chain)
    found = dict(network.trace(network.quantize(part.double())))
    expected = dict(reference(chain, part))
    assert list(found) == list(expected)
    for layer, codes in expected.items():
        assert np.array_equal(found[layer].numpy(), codes), layer


@pytest.mark.parametrize(("name", "axes"), CASES)
def test_every_code_and_sum_is_its_simulations(name: str, axes: int | tuple[()]) -> None:
    """Oracle: the float64 network of restored values; all 10,000 images where that is quick.

    Equation: eq-integer-sum.
    """
    chain = lenet(name, axes)
    network, simulated = integer_network(chain), simulation(chain)
    unit = list(network.layers.values())[-1].unit
    for part in images()[: 10_000 if name == "lenet300" else 500].double().split(500):
        found = dict(network.trace(network.quantize(part)))
        for layer, x in layer_inputs(simulated, part):
            codes = simulated.get_submodule(layer).input_quantizer.quantize(x)
            assert torch.equal(found[layer], codes), layer
        with torch.no_grad():
            sums = simulated(part) / unit
        assert torch.equal(found["accumulators"], sums.round().int())
        assert (sums - sums.round()).abs().max() < 1e-4


@pytest.mark.parametrize(("name", "axes"), CASES)
def test_no_tensor_between_codes_and_logits_is_floating_point(
    name: str, axes: int | tuple[()]
) -> None:
    """Oracle: the dtypes of all results of all operations, by torch's own dispatcher."""
    network = integer_network(lenet(name, axes))
    codes = network.quantize(images()[:50].double())
    assert codes.dtype == torch.uint8
    with DtypesSeen() as dtypes:
        logits = network.logits(codes)
    assert logits.dtype == torch.int32
    assert logits.shape == (50, 10)
    assert torch.uint8 in dtypes.seen
    assert torch.int32 in dtypes.seen
    assert not any(dtype.is_floating_point for dtype in dtypes.seen)


@pytest.mark.parametrize(("name", "axes"), CASES)
def test_the_simulation_is_the_network_of_restored_values(name: str, axes: int | tuple[()]) -> None:
    """Oracle: the chain itself; weights within 2^−31, biases within half a unit."""
    chain = lenet(name, axes)
    simulated, layers = simulation(chain), integer_network(chain).layers
    for layer in layers:
        mine, given_ = simulated.get_submodule(layer), chain.get_submodule(layer)
        torch.testing.assert_close(
            mine.layer.weight, given_.layer.weight, rtol=2.0**-30, atol=1e-15
        )
        half = layers[layer].unit / 2
        error = (mine.layer.bias - given_.layer.bias).abs()
        assert (error <= half * (1 + 1e-6)).all()
        assert error.max() > half.min() / 100


@pytest.mark.parametrize("axes", [(), 0])
def test_logits_share_one_scale(axes: int | tuple[()]) -> None:
    """Oracle: the simulation's logits, within half a unit; so the largest is the largest."""
    chain = lenet("lenet300", axes)
    network, part = integer_network(chain), images()[:1000].double()
    logits = network.logits(network.quantize(part))
    with torch.no_grad():
        real = simulation(chain)(part)
    error = (logits.double() * network.logit_scale - real).abs().max().item()
    assert error <= network.logit_scale * 0.5001
    assert (network.logit_multiplier is None) == (axes == ())
    assert network.logit_scale == list(network.layers.values())[-1].unit.max()  # no M above 1


def test_the_batch_size_changes_nothing() -> None:
    """Oracle: all images at once."""
    network = integer_network(lenet("lenet5", 0))
    codes = network.quantize(images()[:50].double())
    whole = network.logits(codes, batch_size=50)
    for size in (1, 7, 100):
        assert torch.equal(network.logits(codes, batch_size=size), whole)


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
    ).eval()


@settings(max_examples=40)
@given(
    chain=chains(),
    axes=st.sampled_from([(), 0]),
    grid=st.builds(IntegerGrid, st.integers(3, 8), signed=st.booleans()),
)
def test_any_geometry_and_grid_is_its_simulation(
    chain: nn.Sequential, axes: int | tuple[()], grid: IntegerGrid
) -> None:
    """Oracle: the float64 network of restored values, whose convolutions are torch's."""
    x = torch.randn(6, 1, 9, 8, generator=torch.Generator().manual_seed(0)).double()
    restored = quantized(chain, x[:3], axes=axes, grid=grid)
    network, simulated = integer_network(restored), simulation(restored)
    found = dict(network.trace(network.quantize(x)))
    for name, layer_input in layer_inputs(simulated, x):
        codes = simulated.get_submodule(name).input_quantizer.quantize(layer_input)
        assert torch.equal(found[name], codes), name
    with torch.no_grad():
        sums = simulated(x) / list(network.layers.values())[-1].unit
    assert torch.equal(found["accumulators"], sums.round().int())


def test_relu_holds_where_the_next_range_has_negative_values() -> None:
    """Oracle: the float64 simulation; z_y is not the smallest code here."""
    torch.manual_seed(0)
    x = torch.randn(50, 8).double()
    inputs = affine_from_range(torch.tensor(-3.0), torch.tensor(3.0), BYTES)
    layers = [nn.Linear(8, 16).double(), nn.Linear(16, 4).double()]
    weights = [
        symmetric_from_range(*min_max_range(layer.weight.detach()), WEIGHT_GRID) for layer in layers
    ]
    first, last = (QuantizedLayer(*pair, inputs) for pair in zip(layers, weights, strict=True))
    codes = {}
    for name, chain in (
        ("with", nn.Sequential(first, nn.ReLU(), last)),
        ("without", nn.Sequential(first, last)),
    ):
        network, simulated = integer_network(chain), simulation(chain)
        found = list(network.trace(network.quantize(x)))
        codes[name] = found[1][1]
        (_, _), (_, hidden) = layer_inputs(simulated, x)
        assert torch.equal(codes[name], simulated[-1].input_quantizer.quantize(hidden))
    zero = int(inputs.zero_point)
    assert torch.equal(codes["with"], codes["without"].clamp(min=zero))
    assert not torch.equal(codes["with"], codes["without"])


def test_a_module_may_stand_in_several_places() -> None:
    """Oracle: the same chain with copies; torch's named_children would skip the second ReLU."""
    torch.manual_seed(0)
    x = torch.randn(40, 1, 8, 8)
    relu, pool = nn.ReLU(), nn.MaxPool2d(2)
    convs = [nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)]
    middle = [module for conv in convs for module in (conv, relu, pool)]
    shared = nn.Sequential(*middle, nn.Flatten(), nn.Linear(16, 16), relu, nn.Linear(16, 5))
    restored = quantized(shared, x, grid=IntegerGrid(8, signed=True))
    separate = nn.Sequential(*(copy.deepcopy(module) for module in restored))
    network, theirs = integer_network(restored), integer_network(separate)
    codes = network.quantize(x.double())
    assert torch.equal(network.logits(codes), theirs.logits(codes))
    assert torch.equal(simulation(restored)(x.double()), simulation(separate)(x.double()))


@pytest.mark.parametrize("size", [3, 5, 8])
def test_a_last_convolution_has_logits_at_each_position(size: int) -> None:
    """Oracle: the simulation, with a scale for each of as many channels as an image is wide."""
    torch.manual_seed(0)
    x = torch.randn(9, 1, size, size).double()
    chain = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, size, 1))
    restored = quantized(chain, x, axes=0)
    network = integer_network(restored)
    with torch.no_grad():
        real = simulation(restored)(x)
    error = network.logits(network.quantize(x)).double() * network.logit_scale - real
    assert error.abs().max() <= network.logit_scale * 0.5001


def test_the_simulation_has_the_integers_multipliers() -> None:
    """Oracle: s_a s_w / s_y is 2^−(31 + n) m to float64's last digits, not to its own 31."""
    chain = lenet("lenet300", 0)
    network, simulated = integer_network(chain), simulation(chain)
    for name, following in (("fc1", "fc2"), ("fc2", "fc3")):
        layer, target = simulated.get_submodule(name), simulated.get_submodule(following)
        scale = layer.input_quantizer.scale * layer.weight_quantizer.scale.flatten()
        found = scale / target.input_quantizer.scale
        expected = network.layers[name].output.multiplier.value
        np.testing.assert_allclose(found, expected, rtol=1e-15)
        np.testing.assert_allclose(network.layers[name].unit, scale, rtol=1e-15)


def test_the_simulation_drops_nothing_out() -> None:
    """Oracle: the integers; the chain was left in training mode."""
    torch.manual_seed(0)
    x = torch.randn(9, 8).double()
    chain = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 4))
    restored = quantized(chain, x).train()
    network = integer_network(restored)
    *_, (_, sums) = network.trace(network.quantize(x))
    real = simulation(restored)(x) / list(network.layers.values())[-1].unit
    assert torch.equal(real.round().int(), sums)


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


@pytest.mark.parametrize("padding", [(0, 0), (2, 1)])
def test_patches_are_torchs_unfold(padding: tuple[int, int]) -> None:
    """Oracle: torch.nn.functional.unfold in float64, of codes moved so that z is its 0."""
    codes = torch.randint(0, 256, (2, 3, 9, 11), generator=torch.Generator().manual_seed(1))
    window = Window(kernel=(3, 2), stride=(2, 1), padding=padding, dilation=(1, 3))
    unfolded = nn.functional.unfold(
        codes.double() - 7, (3, 2), dilation=(1, 3), padding=padding, stride=(2, 1)
    )
    patches = window.patches(codes.to(torch.uint8), fill=7)
    channels_first = patches.unflatten(3, (6, 3)).mT.flatten(3)
    assert torch.equal(channels_first.flatten(1, 2).mT.double() - 7, unfolded)


def onnx_run(operator: str, tensors: dict[str, np.ndarray], kind: int, **options) -> np.ndarray:
    """Return the result of one operator of ONNX Runtime."""
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(t.dtype), t.shape)
        for n, t in tensors.items()
    ]
    axes = 4 if "Conv" in operator else 2
    output = helper.make_tensor_value_info("y", kind, [f"axis{i}" for i in range(axes)])
    graph = helper.make_graph(
        [helper.make_node(operator, list(tensors), ["y"], **options)], "g", inputs, [output]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (result,) = session.run(None, tensors)
    return result


def layer_and_codes(name: str, n: int):
    """Return LeNet-5's layer in integers, its input codes, and its codes as unsigned weights."""
    chain = lenet("lenet5", ())
    network = integer_network(chain)
    found = dict(network.trace(network.quantize(images()[:n].double())))
    layer = network.layers[name]
    module = chain.get_submodule(name)
    weight = module.weight_quantizer.quantize(module.layer.weight.detach())
    weight = (weight.int() + 128).to(torch.uint8)  # u8 · u8 saturates nowhere
    return module, layer, found[name], weight


def test_a_convolutions_sums_are_onnx_runtimes_convinteger() -> None:
    """Oracle: ONNX Runtime's ConvInteger, exact, on a trained layer; the bias added."""
    _, layer, codes, weight = layer_and_codes("conv2", 20)
    tensors = {
        "x": codes.contiguous().numpy(),
        "w": weight.numpy(),
        "zx": np.uint8(layer.product.input_zero),
        "zw": np.uint8(128),
    }
    sums = onnx_run(
        "ConvInteger", {k: np.asarray(v) for k, v in tensors.items()}, TensorProto.INT32
    )
    sums = sums + layer.product.bias.numpy()[:, None, None]
    assert np.array_equal(layer.accumulate(codes).numpy(), sums)


def test_a_convolutions_codes_are_onnx_runtimes_qlinearconv_but_near_ties() -> None:
    """Oracle: ONNX Runtime's QLinearConv, which rescales by a float32 M: off by one near ties."""
    module, layer, codes, weight = layer_and_codes("conv2", 20)
    target = layer.output
    s_y = float(layer.unit / target.multiplier.value)
    arrays = {
        "x": codes.contiguous().numpy(),
        "sx": np.float32(module.input_quantizer.scale),
        "zx": np.uint8(layer.product.input_zero),
        "w": weight.numpy(),
        "sw": np.float32(module.weight_quantizer.scale.item()),
        "zw": np.uint8(128),
        "sy": np.float32(s_y),
        "zy": np.uint8(target.zero_point),
        "b": layer.product.bias.numpy(),
    }
    theirs = onnx_run(
        "QLinearConv", {k: np.asarray(v) for k, v in arrays.items()}, TensorProto.UINT8
    )
    sums = layer.accumulate(codes)
    ours = target(sums)  # one scale, so any axis may be the last
    difference = ours.int() - torch.from_numpy(theirs).int()
    assert difference.abs().max() <= 1
    pooled = nn.functional.max_pool2d(ours.double(), 2)
    assert torch.equal(layer(codes).double(), pooled)
    scaled = sums.double() * target.multiplier.value
    to_tie = (scaled - scaled.floor() - 0.5).abs()
    assert (to_tie[difference != 0] < 255 * 2.0**-22).all()
    assert (difference != 0).double().mean() < 1e-4


def test_a_linear_layers_codes_are_onnx_runtimes_qlinearmatmul_but_near_ties() -> None:
    """Oracle: ONNX Runtime's QLinearMatMul, which has no bias and a float32 M."""
    module, layer, codes, weight = layer_and_codes("fc1", 200)
    target = layer.output
    arrays = {
        "a": codes.numpy(),
        "sa": np.float32(module.input_quantizer.scale),
        "za": np.uint8(layer.product.input_zero),
        "b": weight.t().contiguous().numpy(),
        "sb": np.float32(module.weight_quantizer.scale.item()),
        "zb": np.uint8(128),
        "sy": np.float32(layer.unit / target.multiplier.value),
        "zy": np.uint8(100),
    }
    arrays = {k: np.squeeze(v) if np.size(v) == 1 else v for k, v in arrays.items()}
    theirs = onnx_run(
        "QLinearMatMul", {k: np.asarray(v) for k, v in arrays.items()}, TensorProto.UINT8
    )
    sums = layer.product.accumulate(codes) - layer.product.bias
    ours = requantize(sums, target.multiplier, target.grid, 100)
    difference = ours.int() - torch.from_numpy(theirs).int()
    assert difference.abs().max() <= 1
    assert (difference != 0).double().mean() < 1e-4


def test_nothing_of_the_chain_is_changed_or_shared() -> None:
    """Oracle: the state before; and codes that stay when the chain changes."""
    chain = copy.deepcopy(lenet("lenet300", ()))
    before = copy.deepcopy(chain.state_dict())
    network, simulated = integer_network(chain), simulation(chain)
    codes = network.quantize(images()[:5].double())
    logits = network.logits(codes)
    assert all(torch.equal(chain.state_dict()[key], value) for key, value in before.items())
    for parameter in [*chain.parameters(), *simulated.parameters()]:
        parameter.data.zero_()
    assert torch.equal(network.logits(codes), logits)


GRID = BYTES
ONE = AffineQuantizer(torch.tensor(0.1), torch.tensor(0), WEIGHT_GRID)
FINE = AffineQuantizer(torch.tensor(1e-6), torch.tensor(0), IntegerGrid(16, signed=True))
INPUT = AffineQuantizer(torch.tensor(0.1), torch.tensor(3), GRID)


IMAGES = torch.zeros(1, 2, 4, 5, dtype=torch.uint8)


def linear(
    inputs: AffineQuantizer | None = INPUT, weight: AffineQuantizer = ONE, k: int = 4
) -> QuantizedLayer:
    return QuantizedLayer(nn.Linear(k, 4), weight, inputs)


def conv(**options) -> nn.Sequential:
    return nn.Sequential(QuantizedLayer(nn.Conv2d(2, 2, 3, **options), ONE, INPUT))


def per(shape: tuple[int, ...], grid: IntegerGrid, zero: int = 0) -> AffineQuantizer:
    return AffineQuantizer(torch.full(shape, 0.1), torch.full(shape, zero), grid)


SMALL = integer_network(nn.Sequential(linear()))
CODES = torch.zeros(2, 4, dtype=torch.uint8)
HALF = fixed_point(torch.tensor(0.5))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: integer_network([linear()]), TypeError, "chain must be Sequential, got list"),
        (lambda: simulation(nn.Sequential()), ValueError, "chain must have a quantized layer"),
        (
            lambda: integer_network(nn.Sequential(linear(), nn.Linear(4, 4))),
            ValueError,
            "chain must consist of quantized layers.* got 1: Linear",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(), nn.AvgPool2d(2), linear())),
            ValueError,
            "counterpart in integers, got 1: AvgPool2d",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(), nn.GELU(), linear())),
            ValueError,
            "got 1: GELU",
        ),
        (
            lambda: integer_network(nn.Sequential(nn.Flatten(2), linear())),
            ValueError,
            "got 0: Flatten",
        ),
        (
            lambda: integer_network(nn.Sequential(nn.MaxPool2d(2, return_indices=True), linear())),
            ValueError,
            "got 0: MaxPool2d",
        ),
        (
            lambda: integer_network(nn.Sequential(nn.ReLU(), linear())),
            ValueError,
            "chain must have a quantized layer, before any ReLU",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(), nn.ReLU())),
            ValueError,
            "layer 0: relu must have a quantized layer after it",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(), nn.Flatten())),
            ValueError,
            "chain must end with a quantized layer, got 1 after it",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(None))),
            ValueError,
            "layer 0: inputs must have a quantizer with one scale, got none",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(), linear(None))),
            ValueError,
            "layer 1: inputs must have a quantizer with one scale, got none",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(weight=per((), WEIGHT_GRID, 1)))),
            ValueError,
            "layer 0: weight must have zero points of 0",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(weight=per((1, 4), WEIGHT_GRID)))),
            ValueError,
            r"layer 0: weight must have .* one scale.* got scales of shape \(1, 4\)",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(weight=per((4,), WEIGHT_GRID)))),
            ValueError,
            r"layer 0: weight must have .* one scale.* got scales of shape \(4,\)",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(weight=per((4, 4), WEIGHT_GRID)))),
            ValueError,
            r"layer 0: weight must have .* one scale.* got scales of shape \(4, 4\)",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(per((1, 4), GRID)))),
            ValueError,
            r"layer 0: inputs must have a quantizer with one scale.* \(1, 4\)",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(), linear(per((1, 4), GRID)))),
            ValueError,
            r"layer 1: inputs must have a quantizer with one scale.* \(1, 4\)",
        ),
        (lambda: integer_network(conv(groups=2)), ValueError, "layer 0: .* without groups"),
        (lambda: integer_network(conv(padding="same")), ValueError, "layer 0: .*number of zeros"),
        (
            lambda: integer_network(conv(padding=1, padding_mode="reflect")),
            ValueError,
            "layer 0: layer must be padded by a number of zeros",
        ),
        (
            lambda: integer_network(nn.Sequential(linear(per((), IntegerGrid(16)), FINE, k=999))),
            ValueError,
            "layer 0: depth must be small enough for int32: 999 products",
        ),
        (lambda: SMALL.logits(CODES.float()), TypeError, "codes must hold integers"),
        (lambda: SMALL.logits(CODES.int()), TypeError, "codes must hold torch.uint8"),
        (lambda: SMALL.logits(CODES[:, :3]), ValueError, r"codes must be \(n, 4\)"),
        (lambda: SMALL.logits(CODES[:0]), ValueError, "codes must not be empty"),
        (lambda: SMALL.logits(CODES, batch_size=0), ValueError, "batch_size must be at least 1"),
        (lambda: Requantizer(0.5, GRID, 0, False), TypeError, "multiplier must be FixedPointM"),
        (lambda: Requantizer(HALF, GRID, 256, False), ValueError, "zero_point must be in .* 256"),
        (
            lambda: Window((3, 3), (1, 1), (1, 0), (1, 1)).patches(IMAGES[0], 0),
            ValueError,
            r"codes must be \(n, c, height, width\), got shape \(2, 4, 5\)",
        ),
        (
            lambda: Window((3, 3), (1, 1), (0, 0), (2, 1)).patches(IMAGES, 0),
            ValueError,
            r"codes must be ≥5 along axis 2, got \(1, 2, 4, 5\)",
        ),
        (
            lambda: MaxPool(nn.MaxPool2d((2, 6)))(IMAGES),
            ValueError,
            r"codes must be ≥6 along axis 3",
        ),
        (
            lambda: MaxPool(nn.MaxPool2d(2))(CODES),
            ValueError,
            r"codes must be \(n, c, height, width\)",
        ),
        (lambda: list(SMALL.trace([1])), TypeError, "codes must be a torch.Tensor"),
        (lambda: SMALL.quantize(CODES), TypeError, "x must hold floating-point numbers"),
    ],
)
def test_bad_input_is_refused_by_name(call, error: type[Exception], message: str) -> None:
    """Oracle: the message names the argument, its value and what was expected."""
    with pytest.raises(error, match=message):
        call()
