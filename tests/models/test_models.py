"""reference_impl.models and reference_impl.models.base: sizes, functions, axes, bad input."""

import copy
from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl.compress import weight_layers
from reference_impl.models import (
    MODELS,
    Axis,
    ConvStudent,
    ConvTeacher,
    LeNet5,
    LeNet300,
    Network,
    ResidualNetwork,
    SeparableStudent,
)

EVERY_MODEL = pytest.mark.parametrize("kind", MODELS.values(), ids=MODELS.keys())
EVERY_WIDTH = pytest.mark.parametrize(
    ("kind", "label"), [(kind, label) for kind in MODELS.values() for label in kind().widths]
)


def random_network(kind: type[Network]) -> Network:
    """Return a network in evaluation mode whose BatchNorm statistics are not trivial."""
    torch.manual_seed(0)
    model = kind()
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.uniform_(-0.1, 0.1)
            norm.running_var.uniform_(0.5, 2)
            nn.init.uniform_(norm.weight, 0.5, 2)
            nn.init.uniform_(norm.bias, -0.5, 0.5)
    return model.eval()


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_lenet300_has_the_published_number_of_parameters():
    """Oracle: Han et al. (2016), Deep Compression, table 2: 235 K + 30 K + 1 K; hand count."""
    assert count(LeNet300()) == 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10 == 266_610


def test_lenet5_has_the_published_number_of_parameters():
    """Oracle: Han et al. (2016), table 3: 0.5 K + 25 K + 400 K + 5 K weights; hand count."""
    weights = 20 * 25 + 50 * 20 * 25 + 500 * 800 + 10 * 500
    assert count(LeNet5()) == weights + 20 + 50 + 500 + 10 == 431_080


def test_the_convolutional_networks_have_the_counted_parameters():
    """Oracle: hand count; 9 per kernel, 2 per BatchNorm channel, the head with its bias."""
    kernels = 9 * (32 + 32 * 64 + 64 * 128 + 128 * 256)
    assert count(ConvTeacher()) == kernels + 2 * (32 + 64 + 128 + 256) + 256 * 10 + 10
    assert count(ConvStudent()) == 9 * (8 + 8 * 16 + 16 * 32) + 2 * (8 + 16 + 32) + 32 * 10 + 10


def test_the_separable_student_has_the_counted_parameters():
    """Oracle: hand count; 9 per depthwise filter, in · out per pointwise, the norms, the head."""
    stem = 9 * 16 + 2 * 16
    depthwise = (9 + 2) * (16 + 32 + 32 + 64)
    pointwise = 16 * 32 + 32 * 32 + 32 * 64 + 64 * 128 + 2 * (32 + 32 + 64 + 128)
    assert count(SeparableStudent()) == stem + depthwise + pointwise + 128 * 10 + 10 == 15_338


def test_the_residual_network_has_the_counted_parameters():
    """Oracle: hand count; the stem, two convolutions a block, their norms, the head."""
    stem = 9 * 24 + 2 * 24
    blocks = 3 * (2 * 9 * 24 * 24 + 4 * 24)
    assert count(ResidualNetwork()) == stem + blocks + 24 * 10 + 10 == 31_906


def test_a_residual_block_adds_to_the_stream_that_it_reads():
    """Oracle: the layers one by one; a silent body leaves ReLU of the stream."""
    model = random_network(ResidualNetwork)
    images = torch.rand(5, 1, 28, 28)
    stream = model.norm(model.conv(images)).relu()
    for i, block in enumerate(model.blocks):
        x = nn.MaxPool2d(2)(stream) if i < 2 else stream
        inner = block.body.norm1(block.body.conv1(x)).relu()
        stream = (x + block.body.norm2(block.body.conv2(inner))).relu()
    assert stream.shape == (5, 24, 7, 7)
    torch.testing.assert_close(model(images), model.head(stream.flatten(2).mean(dim=2)))
    for block in model.blocks:
        nn.init.zeros_(block.body.norm2.weight)
        nn.init.zeros_(block.body.norm2.bias)
    only = nn.MaxPool2d(4)(model.norm(model.conv(images)).relu())
    torch.testing.assert_close(model(images), model.head(only.flatten(2).mean(dim=2)))


def test_the_student_is_20_to_100_times_smaller_than_the_teacher():
    """Oracle: the bounds set for the course."""
    assert 20 <= count(ConvTeacher()) / count(ConvStudent()) <= 100


def test_lenet300_is_three_linear_layers_with_relu_between():
    """Oracle: nn.Sequential with the same weights."""
    model = random_network(LeNet300)
    oracle = nn.Sequential(nn.Flatten(), model.fc1, nn.ReLU(), model.fc2, nn.ReLU(), model.fc3)
    images = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(model(images), oracle(images))


def test_lenet5_is_caffes_stack_of_layers():
    """Oracle: nn.Sequential in the order of Caffe's lenet.prototxt, with the same weights."""
    model = random_network(LeNet5)
    convolutions = [model.conv1, nn.MaxPool2d(2), model.conv2, nn.MaxPool2d(2), nn.Flatten()]
    oracle = nn.Sequential(*convolutions, model.fc1, nn.ReLU(), model.fc2)
    images = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(model(images), oracle(images))


@pytest.mark.parametrize("kind", [ConvTeacher, ConvStudent])
def test_the_convolutional_networks_pool_between_blocks_and_average_at_the_end(kind):
    """Oracle: nn.Sequential with the same weights."""
    model = random_network(kind)
    layers = []
    for conv, norm in zip(model.convs, model.norms, strict=True):
        layers += [conv, norm, nn.ReLU(), nn.MaxPool2d(2)]
    oracle = nn.Sequential(*layers[:-1], nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.head)
    images = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(model(images), oracle(images))


def test_the_separable_student_is_a_stem_and_four_blocks_pooled_twice():
    """Oracle: each channel convolved by itself, then a matrix product over the channels."""
    model = random_network(SeparableStudent)
    images = torch.rand(5, 1, 28, 28)
    h = model.stem_norm(model.stem(images)).relu()
    for i in range(4):
        if i in (0, 2):  # 28 → 14 before the first block, 14 → 7 before the third
            h = nn.MaxPool2d(2)(h)
        filters = model.depthwise[i].weight
        alone = [
            F.conv2d(channel, taps[None], padding=1)
            for channel, taps in zip(h.split(1, dim=1), filters, strict=True)
        ]
        h = model.depthwise_norms[i](torch.cat(alone, dim=1)).relu()
        mixed = torch.einsum("oi,nihw->nohw", model.pointwise[i].weight[:, :, 0, 0], h)
        h = model.pointwise_norms[i](mixed).relu()
    assert h.shape == (5, 128, 7, 7)
    torch.testing.assert_close(model(images), model.head(h.flatten(2).mean(dim=2)))


def test_a_depthwise_filter_belongs_to_the_channels_below_it():
    """Oracle: MobileNet; a depthwise convolution has one filter for each channel of its input."""
    for i, below in enumerate(["stem", "block1", "block2", "block3"]):
        assert SeparableStudent.axes[f"depthwise.{i}.weight"][0] == Axis(below)
        assert SeparableStudent.axes[f"pointwise.{i}.weight"][1] == Axis(below)


@EVERY_MODEL
@pytest.mark.parametrize("narrow", [False, True], ids=["default", "narrow"])
def test_the_chain_computes_the_network_bit_by_bit(kind, narrow):
    """Oracle: forward, in evaluation mode, in both orders of memory, for several batch sizes."""
    model = random_network(kind)
    if narrow:
        model = kind.from_widths(dict.fromkeys(model.widths, 2)).eval()
    for memory_format in (torch.contiguous_format, torch.channels_last):
        model.to(memory_format=memory_format)
        for n in (1, 7, 100):
            images = torch.rand(n, 1, 28, 28)
            assert torch.equal(model.chain()(images), model(images))


@EVERY_MODEL
def test_the_chain_holds_the_networks_own_parameters_and_buffers_once(kind):
    """Oracle: identity of the tensors."""
    model = kind()
    chain = model.chain()
    for pick in (nn.Module.parameters, nn.Module.buffers):
        assert {id(entry) for entry in pick(chain)} == {id(entry) for entry in pick(model)}
        assert len(list(pick(chain))) == len(list(pick(model)))


@pytest.mark.parametrize("kind", [kind for kind in MODELS.values() if kind is not ResidualNetwork])
def test_the_chain_is_flat_and_of_simple_layers(kind):
    """Oracle: the kinds of layers that a transformation has to know."""
    kinds = {"Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "AdaptiveAvgPool2d", "Flatten", "Linear"}
    chain = kind().chain()
    assert type(chain) is nn.Sequential
    assert {type(layer).__name__ for layer in chain} <= kinds
    assert [*chain.modules()] == [chain, *chain]
    assert type(chain[-1]) is nn.Linear


def test_the_chain_of_the_residual_network_has_blocks_and_simple_layers():
    """Oracle: the kinds of layers; what walks over single layers refuses the blocks by name."""
    chain = ResidualNetwork().chain()
    kinds = {"Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d", "PositionMean", "Linear"}
    assert {type(layer).__name__ for layer in chain} - kinds == {"ResidualBlock"}
    with pytest.raises(ValueError, match="block1"):
        weight_layers(chain)


@EVERY_MODEL
@pytest.mark.parametrize("training", [False, True])
def test_the_chain_is_in_the_networks_mode_and_leaves_it_alone(kind, training):
    """Oracle: the flags; one layer of the network is frozen in the other mode."""
    model = kind().train(training)
    frozen = next(m for m in model.modules() if next(m.children(), None) is None)
    frozen.training = not training
    chain = model.chain()
    assert frozen.training is not training
    assert all(layer.training is training for layer in (chain, *chain) if layer is not frozen)


@EVERY_MODEL
def test_replacing_a_module_of_the_chain_leaves_the_network_as_it_is(kind):
    """Oracle: the logits of before."""
    model = random_network(kind)
    images = torch.rand(3, 1, 28, 28)
    before = model(images)
    chain = model.chain()
    for i in range(len(chain)):
        chain[i] = nn.Identity()
    assert torch.equal(model(images), before)
    assert torch.equal(chain(images), images)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (LeNet300, "flatten fc1 relu1 fc2 relu2 fc3"),
        (LeNet5, "conv1 pool1 conv2 pool2 flatten fc1 relu1 fc2"),
        (
            ConvTeacher,
            "conv1 norm1 relu1 pool1 conv2 norm2 relu2 pool2 "
            "conv3 norm3 relu3 pool3 conv4 norm4 relu4 mean flatten head",
        ),
        (
            ConvStudent,
            "conv1 norm1 relu1 pool1 conv2 norm2 relu2 pool2 conv3 norm3 relu3 mean flatten head",
        ),
        (
            SeparableStudent,
            "stem stem_norm stem_relu pool1 "
            "depthwise1 depthwise_norm1 depthwise_relu1 pointwise1 pointwise_norm1 pointwise_relu1 "
            "depthwise2 depthwise_norm2 depthwise_relu2 pointwise2 pointwise_norm2 pointwise_relu2 "
            "pool3 "
            "depthwise3 depthwise_norm3 depthwise_relu3 pointwise3 pointwise_norm3 pointwise_relu3 "
            "depthwise4 depthwise_norm4 depthwise_relu4 pointwise4 pointwise_norm4 pointwise_relu4 "
            "mean flatten head",
        ),
    ],
)
def test_the_modules_of_the_chain_are_named_by_kind_and_place(kind, names):
    """Oracle: hand-written lists."""
    assert [name for name, _ in kind().chain().named_children()] == names.split()


@EVERY_MODEL
def test_axes_name_every_entry_of_the_state_with_one_label_per_axis(kind):
    """Oracle: state_dict()."""
    state = kind().state_dict()
    assert kind.axes.keys() == state.keys()
    for name, axes in kind.axes.items():
        assert len(axes) == state[name].ndim, name


@EVERY_MODEL
def test_an_axis_is_as_long_as_its_width_times_its_repeat(kind):
    """Oracle: the shapes in state_dict()."""
    model = kind()
    for name, entry in model.state_dict().items():
        for axis, size in zip(kind.axes[name], entry.shape, strict=True):
            if axis.label is not None:
                assert size == model.widths[axis.label] * axis.repeat, name


@EVERY_WIDTH
def test_changing_a_width_changes_exactly_the_axes_with_its_label(kind, label):
    """Oracle: the shapes of the network built with one unit less."""
    model = kind()
    smaller = kind.from_widths(model.widths | {label: model.widths[label] - 1})
    for (name, old), new in zip(
        model.state_dict().items(), smaller.state_dict().values(), strict=True
    ):
        lost = [a - b for a, b in zip(old.shape, new.shape, strict=True)]
        assert lost == [axis.repeat * (axis.label == label) for axis in kind.axes[name]], name


@EVERY_WIDTH
def test_permuting_a_width_along_its_axes_leaves_the_function_unchanged(kind, label):
    """Oracle: symmetry; the units of a layer have no order."""
    model = random_network(kind)
    permuted = copy.deepcopy(model)
    order = torch.randperm(model.widths[label])
    state = model.state_dict()
    for name, axes in kind.axes.items():
        for dim, axis in enumerate(axes):
            if axis.label == label:
                blocks = order[:, None] * axis.repeat + torch.arange(axis.repeat)
                state[name] = state[name].index_select(dim, blocks.flatten())
    permuted.load_state_dict(state)
    images = torch.rand(8, 1, 28, 28)
    assert any(not torch.equal(state[k], v) for k, v in model.state_dict().items())
    torch.testing.assert_close(permuted(images), model(images), rtol=1e-4, atol=1e-5)


def test_a_channel_before_the_flatten_owns_sixteen_columns():
    """Oracle: 28 → 24 → 12 → 8 → 4, 4 · 4 positions."""
    assert LeNet5.axes["fc1.weight"] == (Axis("hidden"), Axis("conv2", repeat=16))


@EVERY_MODEL
def test_axes_cannot_be_changed(kind):
    """Oracle: item assignment."""
    with pytest.raises(TypeError):
        kind.axes["fc1.weight"] = ()


@EVERY_MODEL
def test_the_same_seed_gives_the_same_network(kind):
    """Oracle: torch.equal on every entry."""
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(kind().state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_widths_are_the_arguments_of_the_constructor():
    """Oracle: hand-written widths."""
    assert LeNet300(hidden=(7, 5)).widths == {"hidden1": 7, "hidden2": 5}
    assert LeNet5(conv=(3, 4), hidden=6).widths == {"conv1": 3, "conv2": 4, "hidden": 6}
    assert ConvStudent((1, 2, 3)).widths == {"conv1": 1, "conv2": 2, "conv3": 3}
    assert count(LeNet300(hidden=(7, 5))) == 785 * 7 + 8 * 5 + 6 * 10


@EVERY_MODEL
def test_the_smallest_network_of_each_kind_works(kind):
    """Oracle: the shape of the logits."""
    model = kind.from_widths(Counter(kind().widths.keys()))
    assert model.eval()(torch.rand(3, 1, 28, 28)).shape == (3, 10)


@EVERY_MODEL
@pytest.mark.parametrize("shape", [(1, 28, 28), (2, 3, 28, 28), (2, 1, 32, 32), ()])
def test_images_of_another_shape_are_refused(kind, shape):
    """Oracle: the words of the message."""
    with pytest.raises(ValueError, match=r"images must be \(n, 1, 28, 28\), got shape"):
        kind()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: LeNet300((300,)), ValueError, r"hidden must have 2 entries, got \(300,\)"),
        (lambda: LeNet300(300), TypeError, "hidden must be tuple, got int 300"),
        (lambda: LeNet300((0, 100)), ValueError, r"hidden\[0\] must be at least 1, got 0"),
        (lambda: LeNet300((300, 9.5)), TypeError, r"hidden\[1\] must be an integer, got 9.5"),
        (lambda: LeNet5(hidden="500"), TypeError, "hidden must be an integer, got '500'"),
        (lambda: ConvTeacher((8, 16, 32)), ValueError, "channels must have 4 entries"),
        (lambda: SeparableStudent((8, 8)), ValueError, r"channels must be five widths, got \(8, 8"),
        (lambda: LeNet300.from_widths({"hidden1": 3}), ValueError, r"labels \['hidden1', 'hidden2"),
        (lambda: LeNet300.from_widths({"hidden1": 3, "hidden2": 0}), ValueError, "got 0"),
        (lambda: Axis("hidden", repeat=0), ValueError, "repeat must be at least 1, got 0"),
        (lambda: LeNet300()(torch.ones(1, 1, 28, 28).int()), TypeError, "images must hold float"),
    ],
)
def test_impossible_widths_and_images_are_refused(build, error, message):
    """Oracle: the words of the message."""
    with pytest.raises(error, match=message):
        build()
