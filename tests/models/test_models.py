"""reference_impl.models and reference_impl.models.base: sizes, functions, axes, bad input."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from contracts import Contracts
from torch import nn

from reference_impl import models

EVERY_MODEL = pytest.mark.parametrize("kind", models.MODELS.values(), ids=models.MODELS)


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
    blocks = (model.block1, model.block2, model.block3)
    for i, block in enumerate(blocks):
        x = nn.MaxPool2d(2)(stream) if i < 2 else stream
        inner = block.body.norm1(block.body.conv1(x)).relu()
        stream = (x + block.body.norm2(block.body.conv2(inner))).relu()
    assert stream.shape == (5, 24, 7, 7)
    torch.testing.assert_close(model(images), model.head(stream.flatten(2).mean(dim=2)))
    for block in blocks:
        nn.init.zeros_(block.body.norm2.weight)
        nn.init.zeros_(block.body.norm2.bias)
    only = nn.MaxPool2d(4)(model.norm(model.conv(images)).relu())
    torch.testing.assert_close(model(images), model.head(only.flatten(2).mean(dim=2)))


FLATTEN, POOL, RELU = nn.Flatten(), nn.MaxPool2d(2), nn.ReLU()


def stacked(model):
    """Return the layers of a convolutional network: pooled between blocks, averaged at the end."""
    layers = []
    for i in range(1, len(model.widths) + 1):
        layers += [model.get_submodule(f"{kind}{i}") for kind in ("conv", "norm")]
        layers += [RELU, POOL]
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
    for i in (1, 2, 3, 4):
        if i in (1, 3):  # 28 → 14 before the first block, 14 → 7 before the third
            h = nn.MaxPool2d(2)(h)
        of = {name.removesuffix(str(i)): layer for name, layer in model.named_children()}
        pairs = zip(h.split(1, dim=1), of["depthwise"].weight, strict=True)
        alone = [F.conv2d(channel, taps[None], padding=1) for channel, taps in pairs]
        h = of["depthwise_norm"](torch.cat(alone, dim=1)).relu()
        mixed = torch.einsum("oi,nihw->nohw", of["pointwise"].weight[:, :, 0, 0], h)
        h = of["pointwise_norm"](mixed).relu()
    assert h.shape == (5, 128, 7, 7)
    torch.testing.assert_close(model(images), model.head(h.flatten(2).mean(dim=2)))


@EVERY_MODEL
def test_a_network_runs_its_children_in_order(kind):
    """Oracle: nn.Sequential of them, bit by bit, in both orders of memory, of one unit a width."""
    for model in (random_network(kind), kind.from_widths(dict.fromkeys(kind().widths, 1)).eval()):
        for memory_format in (torch.contiguous_format, torch.channels_last):
            model.to(memory_format=memory_format)
            for n in (1, 7):
                images = torch.rand(n, 1, 28, 28)
                assert torch.equal(nn.Sequential(*model.children())(images), model(images))


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
def test_the_modules_are_named_by_kind_and_place(kind, names):
    """Oracle: hand-written lists."""
    assert [name for name, _ in kind().named_children()] == names.split()


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
    partial(models.Kilobyte, channels=(1, 2, 3, 4)),
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
