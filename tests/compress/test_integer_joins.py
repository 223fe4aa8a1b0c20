"""Sums, averages and concatenations in integers, in networks with branches."""

import copy
import math
import pickle

import pytest
import torch
import torch.nn.functional as F
from chains import brought, drawn, images, inputs_of, refused, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from reference_impl import compress
from reference_impl.compress.integer_joins import JOINED_BITS, Form, average, form_of_codes, join
from reference_impl.data import load_dataset
from reference_impl.quantization import AffineQuantizer, IntegerGrid
from reference_impl.training import load_checkpoint

WEIGHTS = IntegerGrid(8, signed=True, narrow=True)


def quantized(network: nn.Module, x: torch.Tensor) -> nn.Module:
    """Return the network folded, with min–max quantizers of all layers, in float64."""
    network, x = compress.fold_batch_norms(copy.deepcopy(network).double().eval()), x.double()
    return compress.quantize_layers(network, weights_of(network, WEIGHTS), inputs_of(network, x))


def assert_simulated(network: nn.Module, x: torch.Tensor) -> compress.IntegerNetwork:
    """Assert that each layer's codes are the simulation's, and the logits within half a unit.

    The network in integers can be pickled.
    """
    x = x.double()
    integers, exact = compress.integer_network(network, x), compress.simulation(network, x)
    found = dict(integers.trace(integers.quantize(x)))
    for path, seen in compress.layer_inputs(exact, x):
        assert torch.equal(found[path], exact.get_submodule(path).input_quantizer.quantize(seen))
    with torch.no_grad():
        error = integers.logits(integers.quantize(x)).double() * integers.logit_scale - exact(x)
    assert error.abs().max() <= integers.logit_scale * 0.5001
    pickle.dumps(integers)
    return integers


@pytest.mark.parametrize("name", ["teacher", "student", "separable", "residual"])
def test_networks_of_the_course_are_their_simulations(name) -> None:
    """Oracle: the float64 network of restored values; its answers, and the ones before rounding."""
    x = load_dataset().test.images[:100]
    network = quantized(load_checkpoint(name), load_dataset().train.images[:100])
    integers = assert_simulated(network, x)
    with torch.no_grad():
        answers = network(x.double()).argmax(dim=1)
    same = integers.logits(integers.quantize(x.double())).argmax(dim=1) == answers
    assert same.double().mean() > 0.9


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "squeezenet1_1", "vgg11_bn"])
def test_networks_of_torchvision_are_their_simulations(name) -> None:
    """Oracle: the float64 network of restored values."""
    x = torch.rand(3, 3, 48, 48, generator=torch.Generator().manual_seed(1))
    assert_simulated(quantized(brought(name), x), x)


class Branches(nn.Module):
    """A network of every way in which values meet, chosen by names."""

    def __init__(self, chosen: dict[str, str | bool]) -> None:
        super().__init__()
        self.chosen = chosen
        self.stem, self.left = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.right, self.after = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 6, 3, groups=2)
        wide = 12 if chosen["join"] == "cat" else 6
        self.body, self.head = nn.Conv2d(6, 6, 1), nn.Linear(wide, 5)
        self.average = nn.AvgPool2d(2) if chosen["windows"] else nn.Identity()
        self.act = nn.ReLU6() if chosen["six"] else nn.ReLU()
        if chosen["dead"]:  # a sum of nothing
            for parameter in (*self.left.parameters(), *self.right.parameters()):
                nn.init.zeros_(parameter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        act, chosen = self.act, self.chosen
        x = self.stem(x)
        if chosen["early"]:
            x = act(x)
        skip = self.right(x) if chosen["project"] else x
        skip = F.adaptive_avg_pool2d(skip, 1) if chosen["broad"] else skip
        y = self.left(act(x)).add_(skip)  # the skip is not rectified unless it was before
        y = self.average(act(y) if chosen["late"] else y)
        y = self.after(y)
        z = torch.cat((self.body(y), F.relu(y)), dim=1) if chosen["join"] == "cat" else y
        z = z + z if chosen["join"] == "twice" else z
        if chosen["end"] == "flat":
            return y.flatten(1) + act(y).flatten(1)
        z = F.adaptive_avg_pool2d(z, 1).flatten(1) if chosen["pool"] else z.mean((2, 3))
        return F.relu(self.head(z)) if chosen["end"] == "relu" else self.head(z)


CHOICES: dict[str, list[str]] = {"join": ["cat", "twice", "none"], "end": ["head", "relu", "flat"]}
KEYS = ("early", "project", "broad", "late", "windows", "six", "pool", "dead")


@settings(max_examples=40)
@given(
    chosen=st.fixed_dictionaries(
        {key: st.booleans() for key in KEYS}
        | {key: st.sampled_from(values) for key, values in CHOICES.items()}
    ),
    seed=st.integers(0, 2**31),
)
def test_any_meeting_of_branches_is_its_simulation(chosen, seed) -> None:
    """Oracle: the float64 network of restored values, run by torch."""
    torch.manual_seed(seed)
    x = 3 * torch.randn(4, 2, 10, 9)
    assert_simulated(quantized(Branches(chosen), x), x)


def test_a_layer_with_a_grid_of_its_own_gets_codes_of_it() -> None:
    """Oracle: the float64 network of restored values."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.one, self.other = (nn.Linear(6, 6) for _ in range(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.first(x).relu()
            return self.one(x) + self.other(x)

    torch.manual_seed(0)
    x = torch.randn(50, 6)
    network = quantized(Two(), x)
    network.other.input_quantizer = AffineQuantizer(
        torch.tensor(0.07), torch.tensor(9), IntegerGrid(6)
    )
    integers = assert_simulated(network, x)
    codes = dict(integers.trace(integers.quantize(x.double())))
    assert (codes["one"].max() > 63, codes["other"].max() <= 63) == (True, True)


BYTE = form_of_codes(AffineQuantizer(torch.tensor(0.5), torch.tensor(10), IntegerGrid(8)))
SUMS = Form(torch.tensor([0.25, 0.125]), torch.tensor([600, 1000]))


@pytest.mark.equation("eq-integer-join")
def test_a_sum_of_branches_by_hand() -> None:
    """Oracle: values computed by hand; the largest possible sum has 24 bits."""
    joined, form = join([BYTE, SUMS], concatenated=False)
    assert joined.unit == (0.5 * 245 + 0.25 * 600) / 2**24
    codes, sums = torch.tensor([[12, 8]], dtype=torch.uint8), torch.tensor([[100, -7]]).int()
    values = torch.tensor([[0.5 * 2 + 0.25 * 100, 0.5 * -2 + 0.125 * -7]])
    found = joined(codes, sums)
    assert (found.dtype, form.unit) == (torch.int32, joined.unit)
    assert ((found * joined.unit - values).abs() <= joined.unit).all()  # two roundings
    most = joined(torch.full((1, 2), 255, dtype=torch.uint8), SUMS.bound.unsqueeze(0).int())
    assert 2**JOINED_BITS - 2 <= most[0, 0] <= form.bound
    beside, form = join([BYTE, SUMS], concatenated=True)
    assert beside.unit == 0.25 * 600 / 2**24
    values = torch.tensor([[1.0, -1, 25, -0.875]])
    assert ((beside(codes, sums) * form.unit - values).abs() <= form.unit / 2).all()


@pytest.mark.equation("eq-integer-average")
@pytest.mark.parametrize(("kernel", "stride"), [((2, 3), (2, 3)), ((3, 2), (1, 2))])
def test_an_average_is_a_sum_of_a_smaller_unit(kernel, stride) -> None:
    """Oracle: torch's average in float64 of the values."""
    codes = torch.randint(0, 256, (2, 3, 6, 9), dtype=torch.uint8)
    summed, form = average(BYTE, kernel, stride, flat=False)
    values = F.avg_pool2d(0.5 * (codes.double() - 10), kernel, stride)
    torch.testing.assert_close(summed(codes) * form.unit, values, rtol=1e-12, atol=1e-12)
    assert form.bound == 245 * math.prod(kernel)
    torch.testing.assert_close(form.unit * math.prod(kernel), BYTE.unit)


def test_a_rounded_branch_costs_little() -> None:
    """Oracle: the network of restored values, whose skips are not rounded, in decibels."""
    x = images(50)
    network = quantized(drawn("residual"), x)
    integers = compress.integer_network(network)
    with torch.no_grad():
        expected = network(x.double())
    found = integers.logits(integers.quantize(x.double())).double() * integers.logit_scale
    error = found - expected
    assert 10 * torch.log10(expected.square().sum() / error.square().sum()) > 35


class Strange(nn.Module):
    """A convolution, an operation, a linear layer."""

    def __init__(self, operation) -> None:
        super().__init__()
        self.conv, self.operation, self.head = nn.Conv2d(1, 4, 1), operation, nn.LazyLinear(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.operation(self.conv(x)).flatten(1))


def strange(operation, example: bool = True, size: int = 6):
    """Return the attempt to bring a network with this operation into integers, and to run it."""
    x = torch.rand(2, 1, 6, 6)
    network = Strange(operation)
    network(x)
    network = quantized(network, x)

    def run() -> None:
        integers = compress.integer_network(network, x if example else None)
        integers.logits(integers.quantize(torch.rand(1, 1, size, size).double()))

    return run


WHOLE = nn.AdaptiveAvgPool2d(1)
DEEP = Form(torch.tensor(1.0), torch.tensor(2**25))


class Overwriting(nn.Module):
    def __init__(self, *before: nn.Module) -> None:
        super().__init__()
        self.before = nn.Sequential(*before)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.before(x), inplace=True) + x


test_what_no_branch_of_integers_is_gets_refused_by_name = refused(
    (ValueError, "got add in", strange(lambda x: x + 1)),
    (ValueError, "got add in", strange(lambda x: torch.add(x, x, alpha=2))),
    (ValueError, "got mul in", strange(lambda x: x * x)),
    (ValueError, "got cat in", strange(lambda x: torch.cat((x, x), dim=2))),
    (ValueError, "got dropout in", strange(F.dropout)),
    (ValueError, "got split in", strange(lambda x: torch.cat(x.split(2, 1), dim=1))),
    (ValueError, "AvgPool2d 'operation'", strange(nn.AvgPool2d(2, padding=1))),
    (ValueError, "AdaptiveAvgPool2d 'operation'", strange(nn.AdaptiveAvgPool2d(4))),
    (ValueError, "example must be an input", strange(nn.AdaptiveAvgPool2d(1), example=False)),
    (ValueError, "GELU 'operation'", strange(nn.GELU())),
    (ValueError, "must not overwrite Conv2d 'conv'|overwrite Quantized", strange(Overwriting())),
    (ValueError, "must not overwrite Quantized.* 'conv'", strange(Overwriting(nn.Dropout()))),
    (ValueError, r"images \(1, 6, 6\), got \(1, 7, 7\)", strange(WHOLE, size=7)),
    (ValueError, r"head: codes must be \(n, 144\)", strange(nn.ReLU(), size=7)),
    (ValueError, "64 sums could reach", lambda: average(DEEP, (8, 8), (8, 8), flat=True)),
)
