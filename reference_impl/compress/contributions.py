"""What a unit does to the loss of each image, to first order: activation × gradient."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from reference_impl.checks import require_instance, require_int
from reference_impl.compress.activations import Tapped
from reference_impl.data import Examples
from reference_impl.models import Network


def unit_contributions(
    network: Network, places: Mapping[str, str], examples: Examples, *, batch_size: int = 1000
) -> dict[str, Float[Tensor, "n units"]]:
    """Return t_ij = Σ a_ij ∂ℓ_i/∂a_ij for each image i and unit j, summed over a map's positions.

    ℓ_i is the cross-entropy of image i. To first order, removing unit j changes it by −t_ij. The
    network answers in evaluation mode and is left as it is.

    Args:
        network: its chain has the places.
        places: label of a width → the place of the chain where its units' values are read, such
            as ``{"hidden1": "relu1"}``.
        examples: n images with labels.
        batch_size: images that pass at a time.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if there is no such width or place, or the place has another number of units.

    References:
        Molchanov, Tyree, Karras, Aila & Kautz (2017), Pruning convolutional neural networks for
        resource efficient inference, equation 7.
    """
    require_instance("network", network, Network)
    require_instance("places", places, Mapping)
    require_instance("examples", examples, Examples)
    require_int("batch_size", batch_size, 1)
    unknown = sorted(set(places) - set(network.widths))
    if unknown or not places:
        raise ValueError(f"places must name some of {sorted(network.widths)}, got {unknown}")
    tapped = Tapped(network.chain(), list(places.values()))
    modes = [(module, module.training) for module in network.modules()]
    tapped.eval()
    parts: dict[str, list[Tensor]] = {label: [] for label in places}
    try:
        for images, labels in zip(
            examples.images.split(batch_size), examples.labels.split(batch_size), strict=True
        ):
            with torch.enable_grad():
                outputs = tapped(images.detach().requires_grad_())  # as no parameter may ask for it
                loss = F.cross_entropy(outputs[tapped.last], labels, reduction="sum")
            taps = [outputs[place] for place in places.values()]
            for label, a, g in zip(places, taps, torch.autograd.grad(loss, taps), strict=True):
                parts[label].append(_per_unit(label, a.detach() * g, network.widths[label]))
    finally:
        for module, mode in modes:
            module.training = mode
    return {label: torch.cat(found) for label, found in parts.items()}


def _per_unit(label: str, products: Tensor, units: int) -> Float[Tensor, "n units"]:
    if products.ndim < 2 or products.shape[1] != units:
        raise ValueError(
            f"places[{label!r}] must have {units} units, got shape {tuple(products.shape)}"
        )
    return products.flatten(2).sum(dim=2) if products.ndim > 2 else products
