"""Networks that people bring, by bits: what is made of them, and what is refused by its path."""

import copy
import warnings
from collections.abc import Callable
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from chains import assert_same_function, brought, left_alone, refused, settle
from torch import Tensor, nn
from torch.ao.nn import qat
from torch.ao.quantization import FakeQuantize, MinMaxObserver, PerChannelMinMaxObserver, QConfig
from torch.fx.experimental.optimization import fuse
from torch.nn.utils import parametrizations, prune

from reference_impl import compress
from reference_impl.compress.layers import kind_of
from reference_impl.compress.trace import trace
from reference_impl.measuring import sqnr
from reference_impl.models import ResidualNetwork

X = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
NAMES = ("resnet18", "mobilenet_v2", "vgg11_bn", "squeezenet1_1", "densenet121")
on_networks = pytest.mark.parametrize("name", NAMES)


@on_networks
def test_folding_leaves_the_function_unchanged(name):
    """Oracle: the network; a BatchNorm that stays comes after a pooling or a concatenation."""
    network = brought(name)
    with left_alone(network):
        folded = compress.fold_batch_norms(network)
    assert type(folded) is type(network)
    assert_same_function(folded, network, X)
    traced = trace(folded)
    for node in traced.calls(nn.BatchNorm2d).values():
        assert traced.operation(node.args[0]) in ("cat", "maxpool2d", "avgpool2d")


def test_folding_is_torchs_fusion():
    """Oracle: torch.fx.experimental.optimization.fuse, which looks for the same pairs."""
    network = brought("resnet18")
    ours, theirs = compress.fold_batch_norms(network), fuse(network)
    for path, layer in compress.weight_layers(ours).items():
        other = theirs.get_submodule(path)
        torch.testing.assert_close(layer.weight, other.weight)
        torch.testing.assert_close(layer.bias, other.bias)


@on_networks
def test_equalizing_leaves_the_function_unchanged(name):
    """Oracle: the network, of which some weights have changed."""
    network = compress.fold_batch_norms(brought(name))
    equalized = compress.equalize(network)
    assert_same_function(equalized, network, X)
    pairs = zip(network.parameters(), equalized.parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)


def by_torch(network: nn.Module, x: Tensor) -> nn.Module:
    """Return torch's simulation: observers and fake-quantize of torch.ao, 8 bits."""
    signed = {"quant_min": -127, "quant_max": 127, "dtype": torch.qint8}
    by_row = FakeQuantize.with_args(
        observer=PerChannelMinMaxObserver, qscheme=torch.per_channel_symmetric, **signed
    )
    whole = FakeQuantize.with_args(
        observer=MinMaxObserver, quant_min=0, quant_max=255, dtype=torch.quint8
    )
    result = copy.deepcopy(network)
    for path, layer in compress.weight_layers(network).items():
        one, kind = copy.deepcopy(layer), qat.Linear if isinstance(layer, nn.Linear) else qat.Conv2d
        one.qconfig = QConfig(activation=whole, weight=by_row)
        result.set_submodule(path, nn.Sequential(whole(), kind.from_float(one)))
    result.eval().apply(torch.ao.quantization.disable_fake_quant)
    result(x)
    result.apply(torch.ao.quantization.enable_fake_quant)
    return result.apply(torch.ao.quantization.disable_observer)


@on_networks
@pytest.mark.filterwarnings("ignore:.*torch.ao.quantization is deprecated")
def test_eight_bits_are_as_good_as_torchs(name):
    """Oracle: the SQNR of torch.ao's fake-quantize with the same ranges, within 1 dB."""
    network = compress.fold_batch_norms(brought(name))
    with torch.no_grad():
        y, theirs = network(X), by_torch(network, X)(X)
        ours = compress.PostTraining(bits=8)(network, X)(X)
    assert sqnr(y, ours) > 15
    assert abs(sqnr(y, ours) - sqnr(y, theirs)) < 1


def test_the_steps_of_a_recipe_help_behind_a_residual_sum():
    """Oracle: the SQNR of the logits on the images that the recipe has seen, at 3 bits."""
    torch.manual_seed(0)
    network, x = settle(ResidualNetwork(8, (6, 6, 6))), X[:, :1, :28, :28]
    network = compress.fold_batch_norms(network)
    with torch.no_grad():
        y = network(x)
        recipes = {"plain": {}, "corrected": {"corrected": True}, "adaptive": {"adaptive": True}}
        found = {
            name: sqnr(y, compress.PostTraining(bits=3, **settings)(network, x)(x))
            for name, settings in recipes.items()
        }
    assert found["plain"] < found["corrected"] < found["adaptive"]


class Block(nn.Module):
    """A pre-norm transformer block whose attention is written with linear layers."""

    def __init__(self, width: int = 16, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 32), nn.GELU(), nn.Linear(32, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).chunk(3, dim=-1)
        split = [t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v)]
        said = F.scaled_dot_product_attention(*split)
        x = x + self.out(said.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


def test_a_transformer_block_is_quantized():
    """Oracle: with 16 bits it is nearly itself; corrected, the mean of its output stays."""
    torch.manual_seed(0)
    block, x = Block().eval(), torch.randn(64, 5, 16)
    assert list(compress.weight_layers(block)) == ["qkv", "out", "mlp.0", "mlp.2"]
    fine = compress.PostTraining(bits=16, input_bits=16)(block, x)
    coarse = compress.PostTraining(bits=3, corrected=True)(block, x)
    with torch.no_grad():
        y = block(x)
        assert sqnr(y, fine(x)) > 60
        means = (coarse(x).mean((0, 1)), y.mean((0, 1)))
    torch.testing.assert_close(*means, rtol=1e-4, atol=1e-4)


def trained(network: nn.Module, x: Tensor) -> nn.Module:
    """Return the network with quantizers of 4 bits, after three steps."""
    bits = compress.edge_bits(network, compress.LayerBits(4, 4))
    learned = compress.learn_layers(network, x, bits).train()
    optimizer = torch.optim.SGD(learned.parameters(), lr=1e-3)
    for _ in range(3):
        optimizer.zero_grad()
        learned(x).square().mean().backward()
        optimizer.step()
        compress.keep_scales_positive(learned)
    return learned.eval()


@pytest.mark.parametrize("name", ["resnet18", "the course's"])
def test_what_was_learned_is_deployed_with_its_batch_norm_folded(name):
    """Oracle: the trained network, in float64 to keep codes from flipping at ties."""
    ours = name == "the course's"
    network = settle(ResidualNetwork(8, (6, 6, 6))) if ours else brought(name)
    x = X[:, :1, :28, :28] if ours else X
    learned = trained(network, x).double()
    deployed = compress.deploy(learned)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in deployed.modules())
    with torch.no_grad():
        torch.testing.assert_close(deployed(x.double()), learned(x.double()), rtol=1e-7, atol=1e-7)


def test_a_norm_behind_a_linear_layer_is_folded_where_both_mean_one_axis():
    """Oracle: the network; with three axes the norm scales another one than the layer writes."""
    for layers in ([nn.Linear(6, 5)], [nn.Flatten(), nn.Linear(6, 5)]):
        chain, x = settle(nn.Sequential(*layers, nn.BatchNorm1d(5))), torch.rand(4, 6)
        folded = compress.fold_batch_norms(chain)
        assert_same_function(folded, chain, x)
    chain = settle(nn.Sequential(nn.Conv1d(2, 5, 3), nn.BatchNorm1d(5)))
    assert_same_function(compress.fold_batch_norms(chain), chain, torch.rand(4, 2, 6))
    chain = settle(nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5)))
    assert chain(torch.rand(4, 5, 3)).shape == (4, 5, 5)
    with pytest.raises(ValueError, match=r"x must be \(n, c\) after a folded BatchNorm1d"):
        compress.fold_batch_norms(chain)(torch.rand(4, 5, 3))


@pytest.mark.parametrize("shape", [(64, 784), (64, 1, 784), (64, 10, 784), (64, 7, 784)])
def test_the_last_axis_of_a_linear_layer_is_corrected(shape):
    """Oracle: the mean of each output channel of the full network, whatever axes are before."""
    torch.manual_seed(0)
    chain, x = nn.Sequential(nn.Linear(784, 10)).eval(), torch.rand(shape)
    corrected = compress.PostTraining(bits=3, corrected=True)(chain, x)
    with torch.no_grad():
        error = (corrected(x) - chain(x)).flatten(0, -2).mean(0)
    assert error.abs().max() < 1e-4


class Settings(nn.Conv2d):
    """A convolution with a setting of its own, which computes as its base does."""

    def __init__(self) -> None:
        super().__init__(1, 2, 3)
        self.note = "kept"


class Standardized(nn.Conv2d):
    """A convolution that normalizes its weight each time that it is called."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight / self.weight.std((1, 2, 3), keepdim=True), self.bias)


class Doubling(nn.BatchNorm2d):
    """A BatchNorm with a forward pass of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


class Gate(nn.Module):
    """A branch that depends on the data."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Borrowed(nn.Module):
    """A layer whose weight another operation reads too, as in torchvision's Swin transformers."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.layer.weight


def test_a_subclass_is_what_its_forward_pass_is():
    """Oracle: the class by hand; the setting of the subclass is still there."""
    network = nn.Sequential(Settings(), nn.BatchNorm2d(2), nn.ReLU()).eval()
    assert kind_of(network[0]) is nn.Conv2d
    assert compress.fold_batch_norms(network)[0].note == "kept"
    pair, x = nn.Sequential(Settings(), nn.ReLU(), nn.Conv2d(2, 3, 3)).eval(), X[:, :1]
    assert_same_function(compress.equalize(pair), pair, x)
    assert kind_of(Standardized(1, 2, 3)) is Standardized


class Optional(nn.Module):
    """A network with flags that nobody gives, and with a constant of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 5, 1)

    def forward(self, x: Tensor, mask: Tensor | None = None, *, relu: bool = True) -> Tensor:
        y = self.one(x) if mask is None else self.one(x * mask)
        return self.two(y.relu() if relu else y) - torch.tensor([2.0])


def test_flags_have_the_values_that_they_have_by_default():
    """Oracle: the network, called without them; nothing is added to it."""
    network = Optional().eval()
    before = vars(network).copy()
    fine = compress.PostTraining(bits=16, input_bits=16)(network, X)
    with torch.no_grad():
        assert sqnr(network(X), fine(X)) > 60
        (y,) = compress.outputs_at(network, [], X).values()
        assert torch.equal(y, network(X))
        kept = compress.remove_units(network, {"one": torch.ones(4, dtype=torch.bool)}, X)
        assert torch.equal(kept(X), network(X))
    assert vars(network) == before


def around(*modules: nn.Module) -> Callable[[], object]:
    """Return a call that quantizes a network which holds these modules in a block."""
    network = nn.Sequential(nn.Sequential(*modules), nn.Flatten()).eval()
    return lambda: compress.weight_layers(network)


def pruned() -> nn.Module:
    return prune.l1_unstructured(nn.Conv2d(1, 2, 3), "weight", 0.5)


def hooked() -> nn.Module:
    relu = nn.ReLU()
    relu.register_forward_hook(lambda _module, _args, y: 2 * y)
    return relu


def replaced() -> nn.Module:
    layer = nn.Linear(4, 4)
    layer.forward = lambda x: F.linear(x, 2 * layer.weight, layer.bias)
    return layer


def tied() -> nn.Module:
    layers = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    layers[1].weight = layers[0].weight
    return layers


TWICE, META = nn.Linear(4, 4), nn.Conv2d(1, 2, 3, device="meta")
CONV, LINEAR = nn.Conv2d(1, 2, 3), nn.Linear(28, 4)
MULTIPLY = "must multiply by weights in linear and convolutional layers"
BROKEN = nn.Linear(2, 2)
nn.init.constant_(BROKEN.bias, torch.nan)
NORM = parametrizations.weight_norm(nn.Conv2d(1, 2, 3))
COMPILED = torch.compile(nn.Sequential(nn.Linear(4, 4)), backend="eager")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch.jit.script is deprecated, and still used
    SCRIPTED = torch.jit.script(nn.Sequential(nn.Linear(4, 4)))
PARALLEL = nn.DataParallel(nn.Sequential(nn.Linear(4, 4)))

test_what_cannot_be_followed_is_named = refused(
    (ValueError, "cannot be followed in '0.0': symbolically traced", around(Gate(), CONV)),
    (ValueError, "cannot be followed in '0.1'", around(CONV, Doubling(2))),
    (ValueError, MULTIPLY + ".*: '0.0' calls conv2d", around(Standardized(1, 2, 3))),
    (ValueError, MULTIPLY + ".*: '0.0' calls mul", around(Borrowed())),
    (ValueError, MULTIPLY + ", '0.1' is LSTM", around(CONV, nn.LSTM(4, 4))),
    (ValueError, MULTIPLY + ", '0.0' is ConvTranspose2d", around(nn.ConvTranspose2d(1, 2, 3))),
    (ValueError, "must not compute its weights, '0.0' is parametrized", around(NORM)),
    (ValueError, "must not have hooks, '0.0' has one", around(pruned(), CONV)),
    (ValueError, "must not have hooks, '0.1' has one", around(CONV, hooked())),
    (ValueError, "'0.1' has another: pass it as it was before", around(CONV, replaced())),
    (
        ValueError,
        "must not replace a forward pass, '' has",
        lambda: compress.weight_layers(COMPILED),
    ),
    (
        ValueError,
        "must not replace a forward pass, '' has",
        lambda: compress.weight_layers(SCRIPTED),
    ),
    (ValueError, "in DataParallel, pass its .module", lambda: compress.weight_layers(PARALLEL)),
    (ValueError, "one in nn.Sequential: '' calls linear", lambda: compress.weight_layers(LINEAR)),
    (ValueError, "must not share weight, '0.1' has that of '0.0'", around(*tied())),
    (ValueError, "call each layer once, it calls '0.0' twice", around(TWICE, TWICE)),
    (ValueError, "values, those of '0.0' are not made yet", around(nn.LazyLinear(4))),
    (ValueError, "values, those of '0.0' are not made yet", around(META)),
    (ValueError, "finite, bias of '0.0' has nan or inf", around(BROKEN)),
)


def test_attention_of_torch_is_refused_by_its_path():
    """Oracle: the path of nn.MultiheadAttention, whose in_proj_weight no layer holds."""
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    network = nn.Sequential(nn.Linear(4, 8), block)
    with pytest.raises(ValueError, match=MULTIPLY + ", '1' is TransformerEncoderLayer"):
        compress.weight_layers(network)


def test_an_input_that_overflows_is_named():
    """Oracle: by hand: 3e38 · 3 is above float32's largest number."""
    network = nn.Sequential(nn.Linear(3, 1), nn.Linear(1, 1))
    nn.init.constant_(network[0].weight, 3e38)
    with pytest.raises(ValueError, match="'1' must read finite values"):
        dict(compress.layer_inputs(network, torch.ones(1, 3)))


@pytest.mark.parametrize("make", [partial(torch.zeros, 2, 1, 8, 8), partial(torch.zeros, 2, 3, 9)])
def test_images_that_do_not_suit_are_refused_where_they_stop(make):
    """Oracle: the first module that cannot read them."""
    with pytest.raises(ValueError, match="images must suit Conv2d 'conv1'"):
        dict(compress.layer_inputs(brought("resnet18"), make()))
