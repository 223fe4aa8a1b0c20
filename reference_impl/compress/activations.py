"""What a network computes on its way to the logits, at named places of its chain."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checked import Count, Finite, checked
from reference_impl.compress.graph import only_reader
from reference_impl.compress.quantized import places
from reference_impl.models import Images, Network, evaluating


@checked
class Tapped(nn.Module):
    """A chain that returns what it computes at some of its places, and at the last, ``last``.

    Its modules are shared, not copied. The places are those of
    `reference_impl.models.Network.chain`.

    >>> from reference_impl.models import LeNet300
    >>> outputs = Tapped(LeNet300().chain(), ["relu2"])(torch.zeros(5, 1, 28, 28))
    >>> {place: tuple(output.shape) for place, output in outputs.items()}
    {'relu2': (5, 100), 'fc3': (5, 10)}

    Raises:
        ValueError: if a name is not that of a place.
    """

    def __init__(self, chain: nn.Sequential, names: Sequence[str]) -> None:
        """Check the names."""
        super().__init__()
        known = [name for name, _ in places(chain)]
        unknown = [name for name in names if name not in known]
        if unknown or not known:
            raise ValueError(f"names must be of {known}, got {unknown}")
        self.chain = chain
        self.last = known[-1]
        self.names = frozenset(names) | {self.last}

    def forward(self, images: Float[Tensor, "n ..."]) -> dict[str, Tensor]:
        """Return place → output, in the order of the chain."""
        outputs: dict[str, Tensor] = {}
        x = images
        for name, module in places(self.chain):
            x = module(x)
            if name in self.names:
                outputs[name] = x
        return outputs


@checked
def outputs_at(
    chain: nn.Sequential,
    names: Sequence[str],
    images: Finite[Tensor, "n 1 28 28"],
    *,
    batch_size: Count = 100,
) -> dict[str, Float[Tensor, "n ..."]]:
    """Return what the chain computes at its named places and its last, of all images.

    It runs in evaluation mode, without gradients, on ``batch_size`` images at a time; its modules
    keep their modes.

    Raises:
        TypeError: if ``images`` are of another dtype than the chain's weights.
    """
    tapped = Tapped(chain, names)
    dtype = next((parameter.dtype for parameter in chain.parameters()), images.dtype)
    if images.dtype != dtype:
        raise TypeError(f"images must be {dtype} as the network's weights, got {images.dtype}")
    with evaluating(tapped), torch.no_grad():
        parts = [tapped(part) for part in images.split(batch_size)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@checked
def values_read(network: Network, label: str, images: Images) -> Float[Tensor, "rows units"]:
    """Return what the layer that reads a width reads: a row per image and position.

    The network answers in evaluation mode and is left as it is.
    """
    place, _ = only_reader(network, label)
    chain = network.chain()
    names = [name for name, _ in places(chain)]
    before = names[names.index(place) - 1]
    values = outputs_at(chain, [before], images)[before]
    by_unit = values.reshape(len(images), network.widths[label], -1)
    return by_unit.transpose(1, 2).flatten(0, 1)
