"""The widths that a trace finds: in the course's networks by hand, in torchvision's by use."""

import copy
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from chains import BROUGHT, SMALL, WIDTHS, brought, drawn, images, refused
from torch import Tensor, nn

from reference_impl.compress import (
    dependency_graph,
    incoming_rows,
    mac_formula,
    remove_units,
    silence_units,
)
from reference_impl.measuring import model_cost
from reference_impl.models import MODELS

X = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
every_width = pytest.mark.parametrize(("name", "label"), WIDTHS)


def single(name: str) -> dict[str, tuple[tuple[str | None, int], ...]]:
    """Return entry of the state → (label, repeat) of each axis; in our networks one piece each."""
    found = dependency_graph(drawn(name)).axes
    return {key: tuple((p.label, p.repeat) for (p,) in axes) for key, axes in found.items()}


Rows = dict[str, tuple[tuple[str | None, int], ...]]


def conv(name: str, above: str, *below: str | None) -> Rows:
    """Return the axes of a convolution and its BatchNorm, whose name has norm in conv's place."""
    norm = name.replace("conv", "norm") if "conv" in name else name.replace("wise", "wise_norm")
    norm = norm.replace("stem", "stem_norm")
    each = ("weight", "bias", "running_mean", "running_var")
    rows: Rows = {
        f"{name}.weight": ((above, 1), *((label, 1) for label in below), (None, 1), (None, 1))
    }
    rows |= {f"{norm}.{entry}": ((above, 1),) for entry in each}
    return rows | {f"{norm}.num_batches_tracked": ()}


def linear(name: str, above: str | None, below: str | None, repeat: int = 1) -> Rows:
    return {f"{name}.weight": ((above, 1), (below, repeat)), f"{name}.bias": ((above, 1),)}


def blocks(*labels: str) -> Rows:
    rows: Rows = {}
    for i, (below, above) in enumerate(pairwise(labels), start=1):
        rows |= conv(f"depthwise{i}", below, None) | conv(f"pointwise{i}", above, below)
    return rows


RESIDUAL = conv("conv", "stream", None) | linear("head", None, "stream")
for i in (1, 2, 3):
    RESIDUAL |= conv(f"block{i}.body.conv1", f"inner{i}", "stream")
    RESIDUAL |= conv(f"block{i}.body.conv2", "stream", f"inner{i}")
BY_HAND = {
    "lenet300": linear("fc1", "hidden1", None)
    | linear("fc2", "hidden2", "hidden1")
    | linear("fc3", None, "hidden2"),
    "student": conv("conv1", "conv1", None)
    | conv("conv2", "conv2", "conv1")
    | conv("conv3", "conv3", "conv2")
    | linear("head", None, "conv3"),
    "separable": conv("stem", "stem", None)
    | blocks("stem", "block1", "block2", "block3", "block4")
    | linear("head", None, "block4"),
    "residual": RESIDUAL,
}


@pytest.mark.parametrize("name", BY_HAND)
def test_axes_by_hand(name):
    """Oracle: which width each axis runs over, written down; the names in state_dict()."""
    assert single(name) == BY_HAND[name]
    assert single(name).keys() == drawn(name).state_dict().keys()


def test_a_channel_before_a_flatten_owns_its_positions():
    """Oracle: LeNet-5's second pooling leaves 4 · 4 positions."""
    assert single("lenet5")["fc1.weight"] == (("hidden", 1), ("conv2", 16))


@pytest.mark.parametrize("name", MODELS)
def test_the_widths_are_those_that_a_network_names(name):
    """Oracle: its own names, in order."""
    network = drawn(name)
    assert list(dependency_graph(network).widths.items()) == list(network.widths.items())


@every_width
def test_changing_a_width_changes_exactly_the_axes_with_its_label(name, label):
    """Oracle: the shapes of the network built with one unit less."""
    network = SMALL[name]()
    smaller = type(network).from_widths(network.widths | {label: network.widths[label] - 1})
    state, axes = network.state_dict(), single(name)
    for key, new in smaller.state_dict().items():
        lost = [a - b for a, b in zip(state[key].shape, new.shape, strict=True)]
        assert lost == [repeat * (of == label) for of, repeat in axes[key]], key


@every_width
def test_permuting_a_width_along_its_axes_leaves_the_function_unchanged(name, label):
    """Oracle: symmetry; the units of a layer have no order."""
    network = drawn(name)
    permuted, state = copy.deepcopy(network), network.state_dict()
    order = torch.randperm(network.widths[label])
    for key, axes in single(name).items():
        for dim, (of, repeat) in enumerate(axes):
            if of == label:
                entries = order[:, None] * repeat + torch.arange(repeat)
                state[key] = state[key].index_select(dim, entries.flatten())
    permuted.load_state_dict(state)
    x = images(8)
    assert any(not torch.equal(state[k], v) for k, v in network.state_dict().items())
    torch.testing.assert_close(permuted(x), network(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BROUGHT)
def test_a_removed_unit_is_one_that_nothing_reads(name):
    """Oracle: the network of the old widths in which nothing reads it; MACs by torch.export."""
    network = brought(name)
    found = dependency_graph(network, X)
    labels = list(found.widths)
    for some in ([labels[0]], [labels[len(labels) // 2]], labels):
        keep = {label: torch.arange(found.widths[label]) % 3 != 1 for label in some}
        small, whole = (call(network, keep, found) for call in (remove_units, silence_units))
        with torch.no_grad():
            y = whole(X)
            scale = y.abs().max().item()
            torch.testing.assert_close(small(X), y, rtol=1e-3, atol=1e-4 * scale)
    left = {label: int(mask.sum()) for label, mask in keep.items()}
    assert dict(dependency_graph(small, X).widths) == left
    assert mac_formula(network, found)(left) == model_cost(small, tuple(X.shape[1:])).macs


class Sizes(nn.Module):
    """A network that asks for sizes, in one of several ways, and resizes what it has pooled."""

    def __init__(self, way: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.one, self.two, self.way = nn.Conv2d(3, 4, 3), nn.Linear(4 * 30 * 30, 2), way

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        return self.two(self.way(F.interpolate(F.max_pool2d(y, 2), size=y.shape[-2:])))


def unpacked(y: Tensor) -> Tensor:
    n, _, _, _ = y.size()
    return y.view(n, -1)


WAYS = {
    "an axis": (lambda y: y.view(y.size(0), -1), True),
    "an entry": (lambda y: y.reshape(y.shape[0], -1), True),
    "unpacked": (unpacked, True),
    "the units": (lambda y: (y / y.shape[1]).flatten(1), False),
    "some": (lambda y: (y / y.shape[:2][1]).flatten(1), False),
}


@pytest.mark.parametrize(("way", "cut"), WAYS.values(), ids=WAYS)
def test_sizes_may_be_read_except_the_number_of_units(way, cut):
    """Oracle: what the function computes without units, where their number does not matter."""
    network = Sizes(way).eval()
    found = dependency_graph(network, X)
    assert ("one" in found.widths) == cut
    if cut:
        keep = {"one": torch.arange(4) > 1}
        small, whole = (call(network, keep, found) for call in (remove_units, silence_units))
        torch.testing.assert_close(small(X), whole(X))


def test_a_printed_graph_fits_on_a_screen():
    """Oracle: what a reader needs: which widths may be cut, and why others may not."""
    found = dependency_graph(Sizes(WAYS["an axis"][0]).eval(), X)
    text = str(found)
    assert str(found.widths) in text
    assert str(found.fixed) in text
    assert len(text) < 500


class Fixed(nn.Module):
    """A network whose code repeats one of its widths."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Linear(4 * 30 * 30, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x).reshape(-1, 4 * 30 * 30))


MIXED = nn.Sequential(nn.Conv2d(3, 4, 1), nn.PixelShuffle(2), nn.Conv2d(1, 2, 1)).eval()
UNTRACKED = nn.Sequential(
    *(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False), nn.Conv2d(4, 2, 1))
)
FOUR = {"0": torch.arange(4) > 0}

test_what_cannot_be_cut_is_named = refused(
    (ValueError, "got '0': PixelShuffle '1' comes", lambda: remove_units(MIXED, FOUR, X)),
    (ValueError, "'1': norm must have", lambda: incoming_rows(UNTRACKED, "0", X)),
    (ValueError, r"an input .*, such as images\[:1\]", lambda: dependency_graph(MIXED)),
    (
        ValueError,
        "example must be the graph of this network",
        lambda: remove_units(MIXED, {}, dependency_graph(Fixed(), X)),
    ),
    (ValueError, "asks for the old widths", lambda: remove_units(Fixed(), {"one": FOUR["0"]}, X)),
)
