"""What a network computes on its way to the logits, at named places."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, fx, nn

from reference_impl.checked import Count, Finite, checked
from reference_impl.compress.graph import Example, dependency_graph, only_reader
from reference_impl.compress.quantized import channel_axis
from reference_impl.compress.trace import trace
from reference_impl.models import evaluating, refusing


@checked
class Tapped(nn.Module):
    """A network that returns what some of its modules compute, and its own output, ``last``.

    The modules are shared, not copied. A place is the path of a module that is called once.

    >>> from reference_impl.models import LeNet300
    >>> outputs = Tapped(LeNet300(), ["relu2"])(torch.zeros(5, 1, 28, 28))
    >>> {place: tuple(output.shape) for place, output in outputs.items()}
    {'relu2': (5, 100), 'fc3': (5, 10)}

    Raises:
        ValueError: if a name is not that of a place.
    """

    def __init__(self, network: nn.Module, names: Sequence[str]) -> None:
        """Check the names."""
        super().__init__()
        traced = trace(network)
        (output,) = (node for node in traced.graph.nodes if node.op == "output")
        last: Any = output.args[0]
        if not isinstance(last, fx.Node):
            raise ValueError(f"network must return one tensor, got {last}")
        called = [node for node in traced.graph.nodes if node.op == "call_module"]
        known = {str(node.target): node for node in called} | {str(last.target): last}
        unknown = [name for name in names if name not in known]
        if unknown:
            raise ValueError(f"names must be of {list(known)}, got {unknown}")
        self.last = str(last.target)
        values = {name: node for name, node in known.items() if name in {*names, self.last}}
        with traced.graph.inserting_before(output):
            if any(map(traced.in_place, traced.graph.nodes)):
                for node in values.values():
                    _keep(traced.graph, node)
        output.args = (values,)
        self.network = fx.GraphModule(traced.network, traced.graph)

    def forward(self, images: Float[Tensor, "n ..."]) -> dict[str, Tensor]:
        """Return place → output, in the order in which they are computed."""
        outputs: dict[str, Tensor] = self.network(images)
        return outputs


def _keep(traced: fx.Graph, node: fx.Node) -> None:
    """Let all that reads a value read a copy, which may be overwritten."""
    with traced.inserting_after(node):
        read = traced.call_method("clone", (node,))
    node.replace_all_uses_with(read, delete_user_cb=lambda user: user is not read)


@checked
def outputs_at(
    network: nn.Module,
    names: Sequence[str],
    images: Finite[Tensor, "n ..."],
    *,
    batch_size: Count = 100,
) -> dict[str, Float[Tensor, "n ..."]]:
    """Return what a network computes at named places and at its end, of all images.

    It runs in evaluation mode, without gradients, on ``batch_size`` images at a time; its modules
    keep their modes.

    Raises:
        TypeError: if ``images`` are of another dtype than the network's weights.
    """
    tapped = Tapped(network, names)
    dtype = next((parameter.dtype for parameter in network.parameters()), images.dtype)
    if images.dtype != dtype:
        raise TypeError(f"images must be {dtype} as the network's weights, got {images.dtype}")
    with evaluating(tapped), torch.no_grad(), refusing(tapped.network):
        parts = [tapped(part.clone()) for part in images.split(batch_size)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


@checked
def values_read(
    network: nn.Module, label: str, images: Finite[Tensor, "n ..."], example: Example = None
) -> Float[Tensor, "rows units"]:
    """Return what the layer that reads a width reads: a row per image and position.

    The network answers in evaluation mode and is left as it is.
    """
    found = dependency_graph(network, images[:1] if example is None else example)
    (path, reader), traced = only_reader(network, label, found), found.traced
    (node,) = (node for node in traced.graph.nodes if node.target == path)
    parts: list[Tensor] = []
    with evaluating(network):
        for some in images.split(100):
            run = traced.run(network, some)
            for earlier in traced.graph.nodes:
                if earlier is node:
                    break
                run.step(earlier)
            parts.append(run.source(node))
    values = torch.cat(parts).movedim(channel_axis(reader), 1)
    mine = found.part(label, values, found.axes[f"{path}.weight"][1])
    return mine.transpose(1, 2).flatten(0, 1)
