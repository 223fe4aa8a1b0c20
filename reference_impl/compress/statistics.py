"""What scores of weights need to know of a network: gradients, their squares, its curvature.

The loss is the cross-entropy; the network answers in evaluation mode, in the precision of its own
parameters, and is left as it is.
"""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from reference_impl.checks import require_float_tensor, require_instance, require_int
from reference_impl.data import Examples
from reference_impl.models import Network

State = dict[str, Tensor]


def mean_gradients(
    network: Network, examples: Examples, *, batch_size: int = 1000
) -> dict[str, Float[Tensor, "..."]]:
    """Return name → ∂L/∂w of every parameter, with L the mean cross-entropy of all examples.

    Args:
        network: its parameters' own ``grad`` stay as they are.
        examples: images with labels.
        batch_size: images that pass at a time.

    Raises:
        TypeError: if ``network`` or ``examples`` is none.
        ValueError: if ``batch_size`` is below 1.
    """
    require_instance("examples", examples, Examples)
    parameters, answer = _in_evaluation(network)
    require_int("batch_size", batch_size, 1)

    def loss(state: State, images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(answer(state, images), labels, reduction="sum")

    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for images, labels in zip(
        examples.images.split(batch_size), examples.labels.split(batch_size), strict=True
    ):
        for name, found in grad(loss)(parameters, images, labels).items():
            total[name] += found
    return {name: value / len(examples) for name, value in total.items()}


def mean_square_gradients(
    network: Network, examples: Examples, *, batch_size: int = 50
) -> dict[str, Float[Tensor, "..."]]:
    """Return name → mean_n (∂L_n/∂w)² of every parameter, with L_n the loss of example n alone.

    The empirical Fisher information's diagonal: the classes are the labels.

    Args:
        network: left as it is.
        examples: images with labels.
        batch_size: images whose gradients are in memory at a time.

    Raises:
        TypeError: if ``network`` or ``examples`` is none.
        ValueError: if ``batch_size`` is below 1.
    """
    require_instance("examples", examples, Examples)
    parameters, answer = _in_evaluation(network)
    require_int("batch_size", batch_size, 1)

    def loss(state: State, image: Tensor, label: Tensor) -> Tensor:
        return F.cross_entropy(answer(state, image[None]), label[None])

    each = vmap(grad(loss), in_dims=(None, 0, 0))
    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for images, labels in zip(
        examples.images.split(batch_size), examples.labels.split(batch_size), strict=True
    ):
        for name, found in each(parameters, images, labels).items():
            total[name] += found.square().sum(dim=0)
    return {name: value / len(examples) for name, value in total.items()}


def curvature_diagonal(
    network: Network, images: Float[Tensor, "n 1 28 28"], *, batch_size: int = 50
) -> dict[str, Float[Tensor, "..."]]:
    """Return name → ∂²L/∂w² of every parameter: h = mean_n Σ_k p_nk (∂ ln p_nk/∂w)².

    The Fisher information's diagonal, the mean over the classes as the network itself expects
    them; no label is needed. It *is* the Hessian's diagonal where the logits are linear in each
    single parameter, so in networks of ReLU and max-pooling wherever these have no kink.

    Args:
        network: left as it is.
        images: the mean is over them.
        batch_size: images whose gradients are in memory at a time.

    Raises:
        TypeError: if ``network`` is none or ``images`` no floating-point tensor.
        ValueError: if ``images`` is empty or not finite, or ``batch_size`` is below 1.

    References:
        Martens (2020), New insights and perspectives on the natural gradient method, section 9.2.

    Equation: eq-importance-curvature, chapter 12.
    """
    require_float_tensor("images", images)
    parameters, answer = _in_evaluation(network)
    require_int("batch_size", batch_size, 1)

    def weighted(state: State, image: Tensor, of_class: Tensor) -> Tensor:
        log_p = answer(state, image[None]).log_softmax(dim=1)[0]
        return (log_p * of_class).sum() * (log_p * of_class).sum().detach().mul(0.5).exp()

    by_class = vmap(grad(weighted), in_dims=(None, None, 0))
    each = vmap(by_class, in_dims=(None, 0, None))
    classes = torch.eye(len(answer(parameters, images[:1])[0]), dtype=images.dtype)
    total = {name: torch.zeros_like(value) for name, value in parameters.items()}
    for part in images.split(batch_size):
        for of_class in classes.split(1):
            for name, found in each(parameters, part, of_class).items():
                total[name] += found.square().sum(dim=(0, 1))
    return {name: value / len(images) for name, value in total.items()}


def _in_evaluation(network: Network) -> tuple[State, Callable[[State, Tensor], Tensor]]:
    """Return the parameters, and what answers for any other ones, BatchNorm in evaluation mode."""
    require_instance("network", network, Network)
    module: nn.Module = copy.deepcopy(network).eval()
    parameters = {name: value.detach() for name, value in network.named_parameters()}
    buffers = dict(module.named_buffers())
    precision = next(iter(parameters.values())).dtype

    def answer(state: State, images: Tensor) -> Tensor:
        logits: Tensor = functional_call(module, {**state, **buffers}, (images.to(precision),))
        return logits

    return parameters, answer
