"""What all functions of the package leave as it is: networks, chains, images, modes, chance."""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from chains import (
    apart,
    conv_chain,
    drawn,
    examples,
    images,
    inputs_of,
    learnable,
    left_alone,
    same_state,
    twice_used_chain,
    weights_of,
)
from contracts import name
from test_compress_contracts import CALLS, NETWORK
from torch import Tensor, nn

from reference_impl import compress
from reference_impl.quantization import AdaRoundSettings, IntegerGrid

EIGHT = IntegerGrid(8, signed=True, narrow=True)
FEW = AdaRoundSettings(steps=60, learning_rate=0.1)
SEEN = examples(4)
IN_PLACE = ("apply_masks", "absorb_offset")
IN_EVALUATION = ("to_onnx",)  # refuses a network in training mode

ON_NETWORKS = [
    *(
        one
        for one in CALLS
        if one.keywords.get("network") is NETWORK and name(one) not in IN_PLACE + IN_EVALUATION
    ),
    *(partial(c, keep={}) for c in (compress.remove_units, compress.merge_nearest)),
    lambda network: compress.outputs_at(network, ["relu1"], SEEN.images),
]


@pytest.mark.parametrize("call", ON_NETWORKS)
def test_a_network_is_left_alone_and_shares_nothing_with_what_is_made(call):
    """Oracle: copies of state, modes and generator; what was made is overwritten with zeros."""
    network = drawn("student").train()
    network.norm2.eval()
    network.conv1.weight.requires_grad_(False)
    with left_alone(network):
        made = call(network=network)
        if isinstance(made, nn.Module):
            modes = [module.training for module in made.modules()]
            assert modes == [module.training for module in network.modules()]
            frozen = [name for name, p in made.named_parameters() if not p.requires_grad]
            assert frozen == ["conv1.weight"]
            for value in made.state_dict().values():
                value.zero_()


def rounded(chain: nn.Sequential, x: Tensor) -> nn.Sequential:
    return compress.quantize_layers(chain, weights_of(chain), inputs_of(chain, x))


ON_CHAINS: dict[str, Callable[[nn.Sequential, Tensor], nn.Sequential]] = {
    "equalize": lambda c, _: compress.equalize(c),
    "quantize_layers": rounded,
    "correct_biases": lambda c, x: compress.correct_biases(rounded(c, x), c, x),
    "adaround": lambda c, x: compress.adaround(c, weights_of(c), inputs_of(c, x), x, FEW),
    "PostTraining": compress.PostTraining(bits=3, clipped=True, corrected=True),
    "learn_layers": learnable,
    "deploy": lambda c, x: compress.deploy(learnable(c, x)),
    "with_sparse_layers": lambda c, _: compress.with_sparse_layers(c),
    "fold_batch_norms": lambda c, _: compress.fold_batch_norms(c),
}
OF_EVALUATED = ("fold_batch_norms", "deploy", "with_sparse_layers")
on_chains = pytest.mark.parametrize(("name", "call"), ON_CHAINS.items(), ids=ON_CHAINS)


@on_chains
def test_a_chain_is_left_alone_and_shares_nothing_with_what_is_made(name, call):
    """Oracle: copies of state, modes and generator; what was made is overwritten with zeros."""
    chain, x = conv_chain(1, norms=name == "fold_batch_norms"), images(8)
    if name not in OF_EVALUATED:
        chain.train().conv1.eval()
    with left_alone(chain):
        made = call(chain, x)
        assert [m.training for m in made] == [
            m.training for m in chain if not isinstance(m, nn.BatchNorm2d)
        ]
        assert made.training == chain.training
        assert same_state(made, call(chain, x))
        for value in made.state_dict().values():
            value.zero_()


@on_chains
def test_tensors_of_inference_mode_and_their_layouts_serve(name, call):
    """Oracle: the same call outside of inference mode; the strides of the chain's filters."""

    def given() -> tuple[nn.Sequential, Tensor]:
        chain = conv_chain(1, norms=name == "fold_batch_norms")
        return chain.to(memory_format=torch.channels_last), images(8)

    with torch.inference_mode():
        unusual = given()
    made, usual = call(*unusual), call(*given())
    assert same_state(made, usual)
    strides = [
        [m.weight.stride() for m in net.modules() if isinstance(m, nn.Conv2d)]
        for net in (made, unusual[0])
    ]
    assert strides[0] == strides[1]


@on_chains
def test_a_layer_in_two_places_is_refused(name, call):
    """Oracle: its path."""
    chain, x = twice_used_chain(norms=name == "fold_batch_norms"), images(8)
    with left_alone(chain), pytest.raises(ValueError, match="calls '1' twice"):
        call(chain, x)


@on_chains
def test_what_is_made_in_inference_mode_can_be_trained_unless_it_was_frozen(name, call):
    """Oracle: torch: a tensor made in inference mode takes no part in a gradient."""
    chain, x = conv_chain(1, norms=name == "fold_batch_norms"), images(8)
    with torch.inference_mode():
        made, frozen = call(chain, x), call(chain.requires_grad_(requires_grad=False), x)
    assert not any(parameter.is_inference() for parameter in made.parameters())
    asking = {key.rpartition(".")[2] for key, p in frozen.named_parameters() if p.requires_grad}
    assert asking <= ({"scale", "zero_point"} if name == "learn_layers" else set())


@pytest.mark.parametrize("training", [True, False])
def test_integers_are_made_of_a_chain_that_stays(training):
    """Oracle: the state before; codes that stay when the chain changes; copies in each place."""
    relu, pool = nn.ReLU(), nn.MaxPool2d(2)
    middle = [nn.Conv2d(1, 2, 3), relu, pool, nn.Conv2d(2, 2, 3), relu, pool, nn.Flatten()]
    chain = nn.Sequential(*middle, nn.Dropout(), nn.Linear(50, 5), relu, nn.Linear(5, 3)).double()
    x = images(5).double()
    made = compress.quantize_layers(chain, weights_of(chain, EIGHT), inputs_of(chain, x))
    with left_alone(made.train(training)):
        network, simulated = compress.integer_network(made), compress.simulation(made)
        codes = network.quantize(x)
        logits = network.logits(codes)
        assert torch.equal(compress.integer_network(apart(made)).logits(codes), logits)
        assert torch.equal(compress.simulation(apart(made))(x), simulated(x))
    for parameter in [*made.parameters(), *simulated.parameters()]:
        parameter.data.zero_()
    assert torch.equal(network.logits(codes), logits)


@pytest.mark.parametrize("name", [name for name in ON_CHAINS if name != "fold_batch_norms"])
def test_a_module_in_place_does_not_change_the_images(name):
    """Oracle: the images before, some of them negative, and a ReLU that overwrites its input."""
    layers = [nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(784, 3), nn.ReLU(), nn.Linear(3, 2)]
    chain = nn.Sequential(*layers).eval()
    x = (images(4) - 0.5).requires_grad_()
    before = x.detach().clone()
    ON_CHAINS[name](chain, x)
    seen = dict(compress.layer_inputs(chain, x))
    assert torch.equal(seen["2"], before.clamp(min=0).flatten(1))
    assert not any(value.requires_grad for value in seen.values())
    assert torch.equal(x, before)
