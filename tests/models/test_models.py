"""reference_impl.models and reference_impl.models.base: sizes, functions, axes, bad input."""

import copy
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from contracts import Contracts
from torch import nn

from reference_impl import models
from reference_impl.compress import weight_layers

EVERY_MODEL = pytest.mark.parametrize("kind", models.MODELS.values(), ids=models.MODELS)
WIDTHS = [(kind, label) for kind in models.MODELS.values() for label in kind().widths]
EVERY_WIDTH = pytest.mark.parametrize(("kind", "label"), WIDTHS)


def random_network(kind):
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


@pytest.mark.parametrize(
    ("model", "parts", "total"),
    [
        (models.LeNet300(), [785 * 300, 301 * 100, 101 * 10], 266_610),
        (models.LeNet5(), [26 * 20, 501 * 50, 801 * 500, 501 * 10], 431_080),
        (models.ConvTeacher(), [11 * 32, 290 * 64, 578 * 128, 1_154 * 256, 257 * 10], 390_890),
        (models.ConvStudent(), [11 * 8, 74 * 16, 146 * 32, 33 * 10], 6_274),
        (models.SeparableStudent(), [11 * 160, 52 * 32 + 34 * 64 + 66 * 128, 129 * 10], 15_338),
        (models.ResidualNetwork(), [11 * 24, 6 * (9 * 24 + 2) * 24, 25 * 10], 31_906),
        (models.LeNet300(hidden=(7, 5)), [785 * 7, 8 * 5, 6 * 10], 5_595),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_network_has_the_counted_parameters(model, parts, total):
    """Oracle: Han et al. (2016), Deep Compression, tables 2 and 3; by hand, a unit's parameters.

    A kernel has 9 weights for each channel below, BatchNorm 2 for each channel, the head a bias.
    """
    assert sum(p.numel() for p in model.parameters()) == sum(parts) == total


def test_a_residual_block_adds_to_the_stream_that_it_reads():
    """Oracle: the layers one by one; a silent body leaves ReLU of the stream."""
    model = random_network(models.ResidualNetwork)
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


FLATTEN, POOL, RELU = nn.Flatten(), nn.MaxPool2d(2), nn.ReLU()


def stacked(model):
    """Return the layers of a convolutional network: pooled between blocks, averaged at the end."""
    layers = []
    for conv, norm in zip(model.convs, model.norms, strict=True):
        layers += [conv, norm, RELU, POOL]
    return [*layers[:-1], nn.AdaptiveAvgPool2d(1), FLATTEN, model.head]


@pytest.mark.parametrize(
    ("kind", "layers"),
    [
        (models.LeNet300, lambda m: [FLATTEN, m.fc1, RELU, m.fc2, RELU, m.fc3]),
        (models.LeNet5, lambda m: [m.conv1, POOL, m.conv2, POOL, FLATTEN, m.fc1, RELU, m.fc2]),
        (models.ConvTeacher, stacked),
        (models.ConvStudent, stacked),
    ],
)
def test_a_network_is_its_stack_of_layers(kind, layers):
    """Oracle: nn.Sequential with the same weights, LeNet-5's in the order of Caffe's prototxt."""
    model, images = random_network(kind), torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(model(images), nn.Sequential(*layers(model))(images))


def test_the_separable_student_is_a_stem_and_four_blocks_pooled_twice():
    """Oracle: each channel convolved by itself, then a matrix product over the channels."""
    model = random_network(models.SeparableStudent)
    images = torch.rand(5, 1, 28, 28)
    h = model.stem_norm(model.stem(images)).relu()
    for i in range(4):
        if i in (0, 2):  # 28 → 14 before the first block, 14 → 7 before the third
            h = nn.MaxPool2d(2)(h)
        pairs = zip(h.split(1, dim=1), model.depthwise[i].weight, strict=True)
        alone = [F.conv2d(channel, taps[None], padding=1) for channel, taps in pairs]
        h = model.depthwise_norms[i](torch.cat(alone, dim=1)).relu()
        mixed = torch.einsum("oi,nihw->nohw", model.pointwise[i].weight[:, :, 0, 0], h)
        h = model.pointwise_norms[i](mixed).relu()
    assert h.shape == (5, 128, 7, 7)
    torch.testing.assert_close(model(images), model.head(h.flatten(2).mean(dim=2)))


@EVERY_MODEL
@pytest.mark.parametrize("narrow", [False, True], ids=["default", "narrow"])
def test_the_chain_computes_the_network_bit_by_bit_and_leaves_it_alone(kind, narrow):
    """Oracle: forward, in both orders of memory, for several batch sizes; layers taken out."""
    model = random_network(kind)
    if narrow:
        model = kind.from_widths(dict.fromkeys(model.widths, 1)).eval()
    for memory_format in (torch.contiguous_format, torch.channels_last):
        model.to(memory_format=memory_format)
        for n in (1, 7, 100):
            images = torch.rand(n, 1, 28, 28)
            assert torch.equal(model.chain()(images), model(images))
    before, chain = model(images), model.chain()
    assert before.shape == (100, 10)
    for i in range(len(chain)):
        chain[i] = nn.Identity()
    assert torch.equal(model(images), before)
    assert torch.equal(chain(images), images)


@EVERY_MODEL
def test_the_chain_is_flat_of_simple_layers_and_holds_the_networks_own_tensors_once(kind):
    """Oracle: identity of the tensors; the kinds of layers that a transformation has to know.

    What walks over single layers refuses the blocks of the residual network by name.
    """
    model = kind()
    chain = model.chain()
    for pick in (nn.Module.parameters, nn.Module.buffers):
        assert {id(entry) for entry in pick(chain)} == {id(entry) for entry in pick(model)}
        assert len(list(pick(chain))) == len(list(pick(model)))
    others = {type(layer) for layer in chain} - {nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.Linear}
    others -= {nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten}
    assert type(chain) is nn.Sequential
    assert type(chain[-1]) is nn.Linear
    if kind is models.ResidualNetwork:
        assert {kind.__name__ for kind in others} == {"ResidualBlock", "PositionMean"}
        with pytest.raises(ValueError, match="block1"):
            weight_layers(chain)
    else:
        assert not others
        assert [*chain.modules()] == [chain, *chain]


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


TWICE = "conv1 norm1 relu1 pool1 conv2 norm2 relu2 pool2"
BLOCK = "depthwise# depthwise_norm# depthwise_relu# pointwise# pointwise_norm# pointwise_relu#"
ONE, TWO, THREE, FOUR = (BLOCK.replace("#", number) for number in "1234")
NAMES = {
    models.LeNet300: "flatten fc1 relu1 fc2 relu2 fc3",
    models.LeNet5: "conv1 pool1 conv2 pool2 flatten fc1 relu1 fc2",
    models.ConvStudent: f"{TWICE} conv3 norm3 relu3 mean flatten head",
    models.ConvTeacher: f"{TWICE} conv3 norm3 relu3 pool3 conv4 norm4 relu4 mean flatten head",
    models.SeparableStudent: f"stem stem_norm stem_relu pool1 {ONE} {TWO} pool3 {THREE} {FOUR} "
    "mean flatten head",
}


@pytest.mark.parametrize(("kind", "names"), NAMES.items())
def test_the_modules_of_the_chain_are_named_by_kind_and_place(kind, names):
    """Oracle: hand-written lists."""
    assert [name for name, _ in kind().chain().named_children()] == names.split()


@EVERY_MODEL
def test_axes_are_of_every_entry_of_the_state_and_cannot_be_changed(kind):
    """Oracle: the names in state_dict()."""
    assert kind.axes.keys() == kind().state_dict().keys()
    with pytest.raises(TypeError):
        kind.axes["fc1.weight"] = ()


def test_axes_by_hand():
    """Oracle: a channel before LeNet-5's flatten owns 4 · 4 columns; MobileNet: one filter each."""
    columns = models.Axis("conv2", repeat=16)
    assert models.LeNet5.axes["fc1.weight"] == (models.Axis("hidden"), columns)
    for i, below in enumerate(["stem", "block1", "block2", "block3"]):
        assert models.SeparableStudent.axes[f"depthwise.{i}.weight"][0] == models.Axis(below)
        assert models.SeparableStudent.axes[f"pointwise.{i}.weight"][1] == models.Axis(below)


@EVERY_WIDTH
def test_changing_a_width_changes_exactly_the_axes_with_its_label(kind, label):
    """Oracle: the shapes of the network built with one unit less."""
    model = kind()
    smaller = kind.from_widths(model.widths | {label: model.widths[label] - 1})
    state = model.state_dict()
    for name, new in smaller.state_dict().items():
        lost = [a - b for a, b in zip(state[name].shape, new.shape, strict=True)]
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


@EVERY_MODEL
def test_widths_are_the_arguments_of_the_constructor_and_a_seed_draws_the_weights(kind):
    """Oracle: hand-written widths; torch.equal on every entry of two networks of one seed."""
    assert models.LeNet300(hidden=(7, 5)).widths == {"hidden1": 7, "hidden2": 5}
    assert models.LeNet5(conv=(3, 4), hidden=6).widths == {"conv1": 3, "conv2": 4, "hidden": 6}
    assert models.ConvStudent((1, 2, 3)).widths == {"conv1": 1, "conv2": 2, "conv3": 3}
    torch.manual_seed(3)
    first = kind().state_dict()
    torch.manual_seed(3)
    assert all(torch.equal(first[entry], value) for entry, value in kind().state_dict().items())


CALLS = [
    partial(models.LeNet300, hidden=(3, 2)),
    partial(models.LeNet5, conv=(2, 3), hidden=4),
    partial(models.ConvTeacher, channels=(1, 2, 3, 4)),
    partial(models.ConvStudent, channels=(1, 2, 3)),
    partial(models.SeparableStudent, channels=(1, 2, 3, 4, 5)),
    partial(models.ResidualBlock, stream=2, inner=3),
    partial(models.ResidualNetwork, stream=2),
    partial(models.Axis, label="hidden", repeat=1),
    *[partial(kind().forward, images=torch.ones(2, 1, 28, 28)) for kind in models.MODELS.values()],
]

REFUSED = [
    (lambda: models.SeparableStudent((8, 8)), r"channels must be five widths, got \(8, 8"),
    (lambda: models.LeNet300.from_widths({"hidden1": 3}), r"labels \['hidden1', 'hidden2"),
    (lambda: models.LeNet300.from_widths({"hidden1": 3, "hidden2": 0}), "got 0"),
    (lambda: models.LeNet5()(torch.ones(2, 1, 32, 32)), r"images must be \(n, 1, 28, 28\), got"),
]


class TestContracts(Contracts):
    face, calls, refused = models, CALLS, REFUSED
