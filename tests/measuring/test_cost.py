"""reference_impl.measuring.cost against hand counts and torch's own FLOP counter."""

import copy
from dataclasses import FrozenInstanceError

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from reference_impl.measuring import Layer, ModelCost, model_cost
from reference_impl.models import ConvStudent, ConvTeacher, LeNet5, LeNet300, SeparableStudent

SHAPE = (1, 28, 28)
NETWORKS = {
    cls.__name__: cls for cls in (LeNet300, LeNet5, ConvTeacher, ConvStudent, SeparableStudent)
}


def counted_by_torch(model: nn.Module, shape: tuple[int, ...], batch: int = 1) -> int:
    """Return torch's count: two operations per multiply–accumulate."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(batch, *shape))
    return counter.get_total_flops()


def test_lenet300_costs_what_its_shapes_say_by_hand():
    """Oracle: 784·300 + 300·100 + 100·10, written out."""
    cost = model_cost(LeNet300(), SHAPE)
    assert [layer.macs for layer in cost.layers] == [235_200, 30_000, 1_000]
    assert cost.macs == 266_200
    assert sum(layer.parameters for layer in cost.layers) == 266_610


def test_lenet5_costs_what_its_shapes_say_by_hand():
    """Oracle: Caffe's LeNet by hand, 24²·20·25 + 8²·50·500 + 800·500 + 500·10."""
    cost = model_cost(LeNet5(), SHAPE)
    assert [layer.macs for layer in cost.layers] == [288_000, 1_600_000, 400_000, 5_000]
    assert [layer.parameters for layer in cost.layers] == [520, 25_050, 400_500, 5_010]
    assert cost.macs == 2_293_000


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch", [1, 5])
def test_twice_the_macs_is_torchs_flop_count(name, batch):
    """Oracle: torch.utils.flop_counter, which counts while the model runs.

    Equation: eq-cost-macs, eq-student-cost.
    """
    model = NETWORKS[name]().eval()
    assert 2 * batch * model_cost(model, SHAPE).macs == counted_by_torch(model, SHAPE, batch)


@settings(max_examples=25, deadline=None)
@given(
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.sampled_from([1, 2, 3, 5]),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    bias=st.booleans(),
    size=st.integers(9, 14),
)
def test_any_convolution_is_counted_as_torch_counts_it(
    *, groups, kernel, stride, padding, dilation, bias, size
):
    """Oracle: torch.utils.flop_counter, over strides, paddings, dilations and groups.

    Equation: eq-cost-output-size.
    """
    conv = nn.Conv2d(
        4, 8, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias
    )
    cost = model_cost(conv, (4, size, size + 1))
    assert 2 * cost.macs == counted_by_torch(conv, (4, size, size + 1))
    assert cost.layers[0].biases == (8 if bias else 0)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Conv1d(3, 5, 3), (3, 11)),
        (nn.Conv3d(2, 3, 2), (2, 4, 5, 6)),
        (nn.Linear(7, 2), (4, 7)),
        (nn.Sequential(nn.Flatten(0, 1), nn.Linear(7, 2)), (4, 7)),
    ],
    ids=["conv1d", "conv3d", "linear-per-token", "batch-axis-merged"],
)
def test_other_layers_are_counted_as_torch_counts_them(layer, shape):
    """Oracle: torch.utils.flop_counter."""
    assert 2 * model_cost(layer, shape).macs == counted_by_torch(layer, shape)


def test_a_layer_is_named_after_its_weight_and_used_twice_counts_twice():
    """Oracle: by hand; one 4·4 layer that runs twice has 32 MACs."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, x):
            return self.inner(self.inner(x))

    cost = model_cost(Twice(), (4,))
    assert [layer.name for layer in cost.layers] == ["inner", "inner"]
    assert cost.macs == 32


class Frozen(nn.Module):
    """A backbone that is run without gradients, and a head that learns."""

    def __init__(self):
        super().__init__()
        self.backbone, self.head = nn.Linear(100, 100), nn.Linear(100, 2)

    def forward(self, x):
        with torch.no_grad():
            found = self.backbone(x)
        return self.head(found)


def test_a_frozen_part_is_counted_too():
    """Oracle: by hand, 100 · 100 and 100 · 2."""
    layers = model_cost(Frozen(), (100,)).layers
    assert [(layer.name, layer.macs) for layer in layers] == [("backbone", 10_000), ("head", 200)]


def test_layers_that_share_a_weight_keep_their_own_names():
    """Oracle: the names that torch.nn.Sequential gives."""
    tied = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    tied[1].weight = tied[0].weight
    assert [layer.name for layer in model_cost(tied, (4,)).layers] == ["0", "1"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_of_the_parameters_does_not_change_the_cost(dtype):
    """Oracle: by hand, 6 · 6 · 2 outputs of 9 products each."""
    assert model_cost(nn.Conv2d(1, 2, 3).to(dtype), (1, 8, 8)).macs == 6 * 6 * 2 * 9


class Also(nn.Module):
    """A layer, and a product of another kind beside it."""

    def __init__(self, product, *shape):
        super().__init__()
        self.fc, self.product = nn.Linear(3, 2), product
        self.w = nn.Parameter(torch.ones(*shape))

    def forward(self, x):
        return self.fc(x) + self.product(x, self.w).sum()


@pytest.mark.parametrize(
    ("name", "product", "shape"),
    [
        ("dot", lambda x, w: torch.dot(x[0], w), (3,)),
        ("vdot", lambda x, w: torch.vdot(x[0], w), (3,)),
        ("linalg_vecdot", torch.linalg.vecdot, (3,)),
        ("ger", lambda x, w: torch.ger(x[0], w), (3,)),
        ("addr", lambda x, w: torch.addr(torch.zeros(3, 3), x[0], w), (3,)),
        ("kron", lambda x, w: torch.kron(x[0], w), (3,)),
        ("linalg_matmul", torch.linalg.matmul, (3, 3)),
        ("linalg_matrix_power", lambda x, w: torch.linalg.matrix_power(w, 4), (3, 3)),
        ("matrix_power", lambda x, w: torch.matrix_power(w, 4), (3, 3)),
    ],
)
def test_a_product_of_another_kind_is_refused_by_its_name(name, product, shape):
    """Oracle: the name of the operation that the model calls."""
    with pytest.raises(ValueError, match=rf"convolutional layers, got \['{name}'\]"):
        model_cost(Also(product, *shape), (3,))


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        (nn.LSTMCell(3, 3), "lstm_cell"),
        (nn.GRUCell(3, 3), "gru_cell"),
        (nn.RNNCell(3, 3), "rnn_tanh_cell"),
        (nn.RNNCell(3, 3, nonlinearity="relu"), "rnn_relu_cell"),
    ],
)
def test_a_recurrent_cell_is_refused_by_its_name(cell, name):
    """Oracle: the name of the operation that the cell calls."""
    with pytest.raises(ValueError, match=rf"convolutional layers, got \['{name}'\]"):
        model_cost(cell, (3,))


class Branch(nn.Module):
    """A layer in both branches, which the trace keeps apart from the others."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(3, 3), nn.Linear(3, 2)

    def forward(self, x):
        branches = (self.inner, lambda x: 2 * self.inner(x))
        return self.head(torch.cond(x.sum() > 0, *branches, (x,)))


def test_layers_in_a_branch_are_refused_rather_than_left_out():
    """Oracle: by hand; the head has 2 · 3 · 2 operations, the layer that ran 2 · 3 · 3 more."""
    with pytest.raises(ValueError, match=r"layers only, got 30 operations where .* have 12"):
        model_cost(Branch(), (3,))


def test_the_model_is_left_as_it_was():
    """Oracle: its mode and state before; tracing BatchNorm in training mode would change both."""
    model = ConvStudent().train()
    before = copy.deepcopy(model.state_dict())
    model_cost(model, SHAPE)
    assert all(part.training for part in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


LAYER = Layer("conv", (2, 6, 6), (4, 4, 4), (4, 2, 3, 3), 4)


def test_bytes_moved_by_hand():
    """Oracle: 72 weights, 4 biases, 72 + 64 activations, at four bytes and mixed widths.

    Equation: eq-cost-traffic.
    """
    assert LAYER.macs == 64 * 18
    assert LAYER.bytes_moved() == 4 * (72 + 4 + 136)
    assert LAYER.bytes_moved(3) == 4 * (72 + 4 + 3 * 136)
    assert LAYER.bytes_moved(3, weight_bits=8, activation_bits=16) == 72 + 16 + 3 * 136 * 2


def test_bytes_and_intensity_of_unequal_layers_by_hand():
    """Oracle: 136 and 23 activations, 72 and 60 weights, 4 and 3 biases, written out."""
    cost = ModelCost((LAYER, Layer("fc", (20,), (3,), (3, 20), 3)))
    moved = (72 + 4 * 4 + 3 * 2 * 136) + (60 + 4 * 3 + 3 * 2 * 23)
    assert cost.macs == 64 * 18 + 60
    assert cost.bytes_moved() == cost.bytes_moved(1) == 4 * (72 + 4 + 136 + 60 + 3 + 23)
    assert cost.bytes_moved(3, weight_bits=8, activation_bits=16) == moved
    found = cost.intensity(3, weight_bits=8, activation_bits=16)
    assert found == pytest.approx(2 * 3 * (64 * 18 + 60) / moved)
    assert cost.intensity() == cost.intensity(1)


def test_a_cost_cannot_be_changed():
    """Oracle: the error of Python's frozen dataclasses."""
    with pytest.raises(FrozenInstanceError):
        LAYER.biases = 0
    with pytest.raises(FrozenInstanceError):
        ModelCost((LAYER,)).layers = ()


@settings(deadline=None)
@given(batch=st.integers(1, 10**6))
def test_intensity_grows_with_the_batch_towards_its_limit(batch):
    """Oracle: the limit, 2 MACs over the bytes of activations alone.

    Equation: eq-cost-intensity.
    """
    cost = ModelCost((LAYER,))
    limit = 2 * cost.macs / (4 * 136)
    assert cost.intensity(batch) < cost.intensity(batch + 1) < limit
    assert cost.intensity(10**9) == pytest.approx(limit, rel=1e-6)


class Gram(nn.Module):
    """Two activations multiplied with each other, as in attention."""

    def forward(self, x):
        return torch.matmul(x, x.transpose(-1, -2))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: model_cost("net", SHAPE), TypeError, "model must be Module, got str"),
        (lambda: model_cost(nn.Linear(3, 2), 3), TypeError, "example_shape must be Sequence"),
        (lambda: model_cost(nn.Linear(3, 2), "3"), TypeError, r"example_shape\[0\] must be an int"),
        (lambda: model_cost(nn.Linear(3, 2), ()), ValueError, "example_shape must suit"),
        (lambda: model_cost(nn.Linear(3, 2), (4,)), ValueError, r"must suit the model, got \(4,\)"),
        (lambda: model_cost(LeNet5(), (1, 5, 5)), ValueError, "example_shape must suit the model"),
        (lambda: model_cost(nn.ReLU(), (3,)), ValueError, "layers must be a linear or"),
        (lambda: model_cost(nn.ConvTranspose2d(1, 1, 2), SHAPE), ValueError, "conv_transpose2d"),
        (lambda: model_cost(Gram(), (5, 3)), ValueError, r"layers, got \['matmul'\]"),
        (lambda: ModelCost((LAYER, "fc")), TypeError, r"layers\[1\] must be Layer, got str"),
        (lambda: Layer("fc", (3,), (2,), (2, 0), 2), ValueError, r"weight_shape\[1\] must be at"),
        (lambda: Layer("fc", (3,), (2,), (2, 3), -1), ValueError, "biases must be at least 0"),
        (lambda: LAYER.bytes_moved(0), ValueError, "batch must be at least 1, got 0"),
        (lambda: LAYER.bytes_moved(activation_bits=65), ValueError, "activation_bits must be in"),
    ],
)
def test_bad_input_is_named(call, error, message):
    """Oracle: the rule that an error names argument, value and expectation."""
    with pytest.raises(error, match=message):
        call()
