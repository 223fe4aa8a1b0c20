"""What a network computes on its way to the logits, at named places of its chain."""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from reference_impl.checks import require_float_tensor, require_instance, require_int
from reference_impl.compress.quantized import places


class Tapped(nn.Module):
    """A chain that returns what it computes at some of its places, and at its last one.

    >>> from reference_impl.models import LeNet300
    >>> outputs = Tapped(LeNet300().chain(), ["relu2"])(torch.zeros(5, 1, 28, 28))
    >>> {place: tuple(output.shape) for place, output in outputs.items()}
    {'relu2': (5, 100), 'fc3': (5, 10)}

    Args:
        chain: its modules are shared, not copied: to train the one is to train the other.
        names: of places in the chain, see `reference_impl.models.base.Network.chain`.

    Attributes:
        last: the place of the logits.

    Raises:
        TypeError: if ``chain`` is no ``nn.Sequential``, or ``names`` is one name, a string.
        ValueError: if a name is none of its places.
    """

    def __init__(self, chain: nn.Sequential, names: Sequence[str]) -> None:
        """Check the names."""
        super().__init__()
        require_instance("chain", chain, nn.Sequential)
        if isinstance(names, str):
            raise TypeError(f"names must be a sequence of names, got the string {names!r}")
        known = [name for name, _ in places(chain)]
        unknown = [name for name in names if name not in known]
        if unknown or not known:
            raise ValueError(f"names must be of {known}, got {unknown}")
        self.chain = chain
        self.last = known[-1]
        self.names = frozenset(names) | {self.last}

    def forward(self, images: Float[Tensor, "n ..."]) -> dict[str, Tensor]:
        """Return place → output, in the order of the chain."""
        outputs: dict[str, Tensor] = OrderedDict()
        x = images
        for name, module in places(self.chain):
            x = module(x)
            if name in self.names:
                outputs[name] = x
        return outputs


def outputs_at(
    chain: nn.Sequential,
    names: Sequence[str],
    images: Float[Tensor, "n 1 28 28"],
    *,
    batch_size: int = 1000,
) -> dict[str, Float[Tensor, "n ..."]]:
    """Return what the chain computes at its named places and its last, of all images.

    It runs in evaluation mode, without gradients, and is left in the mode in which it was.

    Args:
        chain: as `Tapped` takes it.
        names: as `Tapped` takes them.
        images: any number; ``batch_size`` of them pass at a time.
        batch_size: bounds the memory, but for that of the result.

    Raises:
        TypeError: if ``images`` is no floating-point tensor, or as `Tapped`.
        ValueError: if it is empty or not finite, or as `Tapped`.
    """
    tapped = Tapped(chain, names)
    require_float_tensor("images", images)
    require_int("batch_size", batch_size, 1)
    modes = [(module, module.training) for module in chain.modules()]
    tapped.eval()
    try:
        with torch.no_grad():
            parts = [tapped(part) for part in images.split(batch_size)]
    finally:
        for module, mode in modes:
            module.training = mode
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
