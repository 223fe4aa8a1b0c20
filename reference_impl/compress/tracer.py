"""How torch.fx looks through a network: what becomes a node, and in-place operations as such."""

import operator
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from reference_impl.compress.layers import kind_of

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


class _Proxy(fx.Proxy):
    """Traces ``y += x`` as it is: torch's own proxy would make ``y = y + x`` of it."""

    def _overwritten(self, how: Callable[[Any, Any], Any], other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", how, (self, other), {})

    def __iadd__(self, other: Any) -> fx.Proxy:
        return self._overwritten(operator.iadd, other)

    def __isub__(self, other: Any) -> fx.Proxy:
        return self._overwritten(operator.isub, other)

    def __imul__(self, other: Any) -> fx.Proxy:
        return self._overwritten(operator.imul, other)


class Tracer(fx.Tracer):
    """Takes torch's modules, and those of this package, as single nodes.

    Attributes:
        place: path of the module whose forward pass is traced.
    """

    def __init__(self) -> None:
        """Begin at the network itself."""
        super().__init__()
        self.place = ""

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Return what stands for the value of a node."""
        return _Proxy(node, self)

    def is_leaf_module(self, module: nn.Module, _path: str) -> bool:
        """Return whether a module is one node."""
        kind = kind_of(module)
        own = kind.__module__.startswith(("torch.nn.", "reference_impl.compress."))
        return own and not isinstance(module, _CONTAINERS)

    def call_module(self, module: nn.Module, *rest: Any) -> Any:
        """Trace the call of a module, and remember which one it is."""
        before, self.place = self.place, self.path_of_module(module)
        value = super().call_module(module, *rest)
        self.place = before  # after an error it stays, to be named
        return value
