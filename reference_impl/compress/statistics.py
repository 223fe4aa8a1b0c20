"""What scores need to know of a network: gradients, their squares, curvature, contributions.

The loss is the cross-entropy; the network answers in evaluation mode, in the precision of its own
parameters, and is left as it is. ``batch_size`` images or their gradients are in memory at a time.
"""

from collections.abc import Iterable, Mapping
from typing import Annotated

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from reference_impl.checked import Count, Finite, Where, checked
from reference_impl.compress.activations import Tapped
from reference_impl.compress.graph import dependency_graph
from reference_impl.compress.layers import outside_inference_mode
from reference_impl.compress.trace import trace
from reference_impl.data import Examples, batches
from reference_impl.distillation.soft_targets import require_labels
from reference_impl.models import evaluating, refusing

State = dict[str, Float[Tensor, "..."]]
"""Name of a parameter → its values, or as many statistics."""

Places = Annotated[Mapping[str, str], Where("one or more", bool)]
"""Label of a width → the path of the module where its units' values are read: hidden1 → relu1."""


@checked
def mean_gradients(network: nn.Module, examples: Examples, *, batch_size: Count = 1000) -> State:
    """Return name → ∂L/∂w of every parameter, with L the mean cross-entropy of all examples.

    The parameters' own ``grad`` stay as they are.
    """

    def loss(w: State, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(_logits(network, w, images), labels, reduction="sum")

    w = _parameters(network)
    with evaluating(network):
        require_labels(examples.labels, _logits(network, w, examples.images[:1]).shape[1])
        parts = (grad(loss)(w, *batch) for batch in batches(examples, batch_size))
        return _mean(parts, len(examples))


@checked
def mean_square_gradients(
    network: nn.Module, examples: Examples, *, batch_size: Count = 50
) -> State:
    """Return name → mean_n (∂L_n/∂w)² of every parameter, with L_n the loss of example n alone.

    The empirical Fisher information's diagonal: the classes are the labels.
    """

    def loss(w: State, image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(_logits(network, w, image[None]), label[None])

    w, each = _parameters(network), vmap(grad(loss), in_dims=(None, 0, 0))
    with evaluating(network):
        require_labels(examples.labels, _logits(network, w, examples.images[:1]).shape[1])
        parts = (_squares(each(w, *batch)) for batch in batches(examples, batch_size))
        return _mean(parts, len(examples))


@checked
def curvature_diagonal(
    network: nn.Module, images: Finite[Tensor, "n ..."], *, batch_size: Count = 50
) -> State:
    """Return name → ∂²L/∂w² of every parameter: h = mean_n Σ_k p_nk (∂ ln p_nk/∂w)².

    The Fisher information's diagonal, the mean over the classes as the network itself expects
    them; no label is needed. It *is* the Hessian's diagonal where the logits are linear in each
    single parameter, so in networks of ReLU and max-pooling wherever these have no kink.

    References: Martens 2020, "New insights and perspectives on the natural gradient", section 9.2.
    Equation: eq-importance-curvature, chapter 14.
    """

    def weighted(w: State, image: Tensor, k: int) -> Tensor:
        log_p = _logits(network, w, image[None]).log_softmax(dim=1)[0, k]
        return (log_p.detach() / 2).exp() * log_p  # its gradient is √p_k ∂ ln p_k/∂w

    w, each = _parameters(network), vmap(grad(weighted), in_dims=(None, 0, None))
    with evaluating(network):
        n_classes = _logits(network, w, images[:1]).shape[1]
        parts = (
            _squares(each(w, part, k))
            for part in images.split(batch_size)
            for k in range(n_classes)
        )
        return _mean(parts, len(images))


@checked
@outside_inference_mode
def unit_contributions(
    network: nn.Module, places: Places, examples: Examples, *, batch_size: Count = 1000
) -> dict[str, Float[Tensor, "n units"]]:
    """Return t_ij = Σ a_ij ∂ℓ_i/∂a_ij for each image i and unit j, summed over a map's positions.

    ℓ_i is the cross-entropy of image i. To first order, removing unit j changes it by −t_ij.

    Raises:
        ValueError: if a place has another number of units than its width.

    References: Molchanov et al. (2017), Pruning convolutional neural networks for resource
    efficient inference, equation 7.
    """
    found = dependency_graph(network, examples.images[:1])
    units = {label: found.units(label) for label in places}
    tapped, traced = Tapped(network, list(places.values())), trace(network)
    axes = {str(node.target): traced.channel_axis(node) for node in traced.graph.nodes}
    parts: dict[str, list[Tensor]] = {label: [] for label in places}
    with evaluating(tapped), torch.enable_grad():
        for images, labels in batches(examples, batch_size):
            x = images.clone().requires_grad_()  # as no parameter may ask for it
            outputs = tapped(x.clone())
            require_labels(labels, outputs[tapped.last].shape[1])
            loss = F.cross_entropy(outputs[tapped.last], labels, reduction="sum")  # each image's
            values = [outputs[place] for place in places.values()]
            gradients = torch.autograd.grad(loss, values)
            for label, value, gradient in zip(places, values, gradients, strict=True):
                axis = axes[places[label]]
                a, g = (x.movedim(axis, 1) for x in (value, gradient))
                if a.shape[1] != (n := units[label]):
                    raise ValueError(f"places[{label!r}] must have {n} units, got {a.shape[1]}")
                parts[label].append((a.detach() * g).reshape(len(a), n, -1).sum(dim=2))
    return {label: torch.cat(found) for label, found in parts.items()}


def _parameters(network: nn.Module) -> State:
    if not (found := {name: value.detach() for name, value in network.named_parameters()}):
        raise ValueError("network must have parameters, got none")
    return found


def _logits(network: nn.Module, w: State, images: Tensor) -> Tensor:
    """Return the logits with other parameters than the network's own."""
    precision = next(iter(w.values())).dtype
    with refusing(network):
        logits: Tensor = functional_call(network, w, (images.to(precision).clone(),))
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise ValueError(
            f"network must return logits (n, classes), got {getattr(logits, 'shape', type(logits))}"
        )
    return logits


def _squares(gradients: State) -> State:
    return {name: value.square().sum(dim=0) for name, value in gradients.items()}


def _mean(parts: Iterable[State], n: int) -> State:
    """Return the sum of the parts, by name, divided by n."""
    total: State = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value
    return {name: value / n for name, value in total.items()}
