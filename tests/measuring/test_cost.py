"""reference_impl.measuring.cost against hand counts and torch's own FLOP counter."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune
from torch.utils.flop_counter import FlopCounterMode

from reference_impl.compress import CsrLinear
from reference_impl.measuring import Layer, ModelCost, model_cost
from reference_impl.measuring.roofline import batch_latency
from reference_impl.models import ConvStudent, ConvTeacher, LeNet5, LeNet300, SeparableStudent

SHAPE = (1, 28, 28)
NETWORKS = {
    cls.__name__: cls for cls in (LeNet300, LeNet5, ConvTeacher, ConvStudent, SeparableStudent)
}


def counted_by_torch(model, shape, batch=1):
    """Return torch's count: two operations per multiply–accumulate."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(batch, *shape))
    return counter.get_total_flops()


def test_the_lenets_cost_what_their_shapes_say_by_hand():
    """Oracle: 784·300 + 300·100 + 100·10; in Caffe's LeNet 24²·20·25, 8²·50·500, 800·500, 5,000."""
    for model, macs, parameters in (
        (LeNet300(), [235_200, 30_000, 1_000], [235_500, 30_100, 1_010]),
        (LeNet5(), [288_000, 1_600_000, 400_000, 5_000], [520, 25_050, 400_500, 5_010]),
    ):
        cost = model_cost(model, SHAPE)
        assert [layer.macs for layer in cost.layers] == macs
        assert [layer.parameters for layer in cost.layers] == parameters
        assert cost.macs == sum(macs)


@pytest.mark.equation("eq-cost-macs", "eq-student-cost")
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("batch", [1, 5])
def test_twice_the_macs_is_torchs_flop_count(name, batch):
    """Oracle: torch.utils.flop_counter, which counts while the model runs."""
    model = NETWORKS[name]().eval()
    assert 2 * batch * model_cost(model, SHAPE).macs == counted_by_torch(model, SHAPE, batch)


STRIDES = st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2))


@pytest.mark.equation("eq-cost-output-size")
@settings(max_examples=25)
@given(STRIDES, st.sampled_from([1, 2, 4]), st.booleans(), st.integers(9, 14))
def test_any_convolution_is_counted_as_torch_counts_it(strides, groups, bias, size):
    """Oracle: torch.utils.flop_counter, over kernels, strides, paddings, dilations and groups."""
    conv = nn.Conv2d(4, 8, *strides, groups, bias)
    cost = model_cost(conv, (4, size, size + 1))
    assert 2 * cost.macs == counted_by_torch(conv, (4, size, size + 1))
    assert cost.layers[0].biases == 8 * bias


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


LINEAR = nn.Linear(4, 4)
TIED = nn.Sequential(LINEAR, nn.Linear(4, 4))
TIED[1].weight = LINEAR.weight


class By(nn.Module):
    """A module whose forward is a function of it and of its input."""

    def __init__(self, forward, **parts):
        super().__init__()
        self.function = forward
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


@torch.no_grad
def frozen(model, x):
    return model.a(x)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (By(lambda m, x: m.a(m.a(x)), a=LINEAR), [("a", 16), ("a", 16)]),
        (By(lambda m, x: m.b(frozen(m, x)), a=LINEAR, b=nn.Linear(4, 2)), [("a", 16), ("b", 8)]),
        (TIED, [("0", 16), ("1", 16)]),
        (nn.Linear(4, 4).half(), [("linear", 16)]),
        (nn.Linear(4, 4).double(), [("linear", 16)]),
        (torch.inference_mode()(lambda: nn.Linear(4, 4))(), [("linear", 16)]),
    ],
    ids=["used-twice", "without-gradient", "shared-weight", "half", "double", "inference"],
)
def test_each_layer_that_runs_is_counted_by_its_own_name(model, expected):
    """Oracle: by hand, and the names that the modules have."""
    assert [(layer.name, layer.macs) for layer in model_cost(model, (4,)).layers] == expected


def beside(product, *shape):
    """Return a layer, and a product of another kind beside it."""
    parts = {"fc": nn.Linear(3, 2), "w": nn.Parameter(torch.ones(*shape))}
    return By(lambda m, x: m.fc(x) + product(x, m.w).sum(), **parts)


def test_a_layer_in_a_branch_is_refused():
    """Oracle: by hand 2 · 3 · 2 operations of the head, 2 · 3 · 3 in the branch, kept apart."""

    def forward(m, x):
        return m.head(torch.cond(x.sum() > 0, m.inner, lambda x: 2 * m.inner(x), (x,)))

    model = By(forward, inner=nn.Linear(3, 3), head=nn.Linear(3, 2))
    with pytest.raises(ValueError, match=r"layers only, got 30 operations where .* have 12"):
        model_cost(model, (3,))


@pytest.mark.parametrize(
    ("model", "got"),
    [
        (beside(lambda x, w: torch.dot(x[0], w), 3), "dot"),
        (beside(lambda x, w: torch.vdot(x[0], w), 3), "vdot"),
        (beside(torch.linalg.vecdot, 3), "linalg_vecdot"),
        (beside(lambda x, w: torch.ger(x[0], w), 3), "ger"),
        (beside(lambda x, w: torch.addr(torch.zeros(3, 3), x[0], w), 3), "addr"),
        (beside(lambda x, w: torch.kron(x[0], w), 3), "kron"),
        (beside(torch.linalg.matmul, 3, 3), "linalg_matmul"),
        (beside(lambda x, w: torch.linalg.matrix_power(w, 4), 3, 3), "linalg_matrix_power"),
        (beside(lambda x, w: torch.matrix_power(w, 4), 3, 3), "matrix_power"),
        (beside(lambda x, _: x @ x.mT, 3), "matmul"),
        (nn.LSTMCell(3, 3), "lstm_cell"),
        (nn.GRUCell(3, 3), "gru_cell"),
        (nn.RNNCell(3, 3), "rnn_tanh_cell"),
        (nn.RNNCell(3, 3, nonlinearity="relu"), "rnn_relu_cell"),
        (nn.ConvTranspose1d(3, 2, 1), "conv_transpose1d"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_product_of_another_kind_is_refused_by_its_name(model, got):
    """Oracle: the name of the operation that the model calls, beside a layer or alone."""
    shape = (3, 5) if "conv" in got else (3,)
    with pytest.raises(ValueError, match=rf"convolutional layers, got \['{got}'\]"):
        model_cost(model, shape)


def branching(m, x):
    return m.a(x) if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (By(branching, a=LINEAR), "branch on its data .* stops in By '1': Guard"),
        (By(lambda m, x: m.a(x) * float(x.max()), a=LINEAR), "stops in By '1': Guard"),
        (By(lambda m, x: m.a(x[x[:, 0] > -9]), a=LINEAR), "how many values '1.a' reads"),
        (By(lambda m, x: torch.from_numpy(x.numpy())), "leave torch, .* stops in By '1'"),
        (nn.Flatten(2), r"got \(4,\), in Flatten '1': IndexError: Dimension out of range"),
        (nn.Bilinear(4, 3, 2), r"in Bilinear '1': TypeError: Bilinear.forward\(\) missing 1"),
        (CsrLinear(nn.Linear(4, 2)), "stops in CsrLinear '1'"),
        (By(lambda m, x: {}[x]), r"in By '1': KeyError: tensor"),
        (prune.l1_unstructured(nn.Linear(4, 2), "weight", 0.5), "copied, after prune.remove if"),
    ],
)
def test_a_model_without_one_trace_is_refused_where_it_stops(part, message, capsys):
    """Oracle: the path of the module; one line, and nothing of torch's on stderr."""
    with pytest.raises(ValueError, match=message) as refusal:
        model_cost(nn.Sequential(nn.Linear(4, 4), part), (4,))
    assert "\n" not in str(refusal.value)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "look", [lambda m: model_cost(m, SHAPE), lambda m: batch_latency(m, 2, min_run_time=0.01)]
)
def test_the_model_is_left_as_it_was(look):
    """Oracle: its mode and state before; BatchNorm in training mode would change both."""
    model = ConvStudent().train()
    before = copy.deepcopy(model.state_dict())
    look(model)
    assert all(part.training for part in model.modules())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_lazy_layer_remains_lazy():
    """Oracle: its class, which torch changes when it runs."""
    lazy = nn.LazyLinear(5)
    assert model_cost(lazy, (4,)).macs == 20
    assert isinstance(lazy, nn.LazyLinear)


LAYER = Layer("conv", (2, 6, 6), (4, 4, 4), (4, 2, 3, 3), 4)


@pytest.mark.equation("eq-cost-traffic")
def test_bytes_and_intensity_of_unequal_layers_by_hand():
    """Oracle: 72 and 60 weights, 4 and 3 biases, 136 and 23 activations, written out."""
    widths = {"weight_bits": 8, "activation_bits": 16}
    assert LAYER.macs == 64 * 18
    assert LAYER.bytes_moved() == 4 * (72 + 4 + 136)
    assert LAYER.bytes_moved(3) == 4 * (72 + 4 + 3 * 136)
    assert LAYER.bytes_moved(3, **widths) == 72 + 16 + 3 * 136 * 2
    cost = ModelCost((LAYER, Layer("fc", (20,), (3,), (3, 20), 3)))
    moved = (72 + 4 * 4 + 3 * 2 * 136) + (60 + 4 * 3 + 3 * 2 * 23)
    assert cost.macs == 64 * 18 + 60
    assert cost.bytes_moved() == cost.bytes_moved(1) == 4 * (72 + 4 + 136 + 60 + 3 + 23)
    assert cost.bytes_moved(3, **widths) == moved
    assert cost.intensity(3, **widths) == pytest.approx(2 * 3 * (64 * 18 + 60) / moved)
    assert cost.intensity() == cost.intensity(1)


@pytest.mark.equation("eq-cost-intensity")
@given(batch=st.integers(1, 10**6))
def test_intensity_grows_with_the_batch_towards_its_limit(batch):
    """Oracle: the limit, 2 MACs over the bytes of activations alone."""
    cost = ModelCost((LAYER,))
    limit = 2 * cost.macs / (4 * 136)
    assert cost.intensity(batch) < cost.intensity(batch + 1) < limit
    assert cost.intensity(10**9) == pytest.approx(limit, rel=1e-6)
