"""One file for a network, every byte counted: written with Huffman codes or an arithmetic coder.

The file holds the parameters in the order in which the network names them, each as a tensor of
float32, exactly, except that −0 may become 0. What they are for lives in the reader: for a network
of `ARCHITECTURES` the file has its number there and its widths, for any other one the number 0 and
how many parameters it has, and who reads it brings a network of that kind.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from reference_impl.checked import checked
from reference_impl.coding import (
    Cursor,
    as_integers,
    number_bytes,
    pack,
    read_shared,
    read_tables,
    unpack,
    write_shared,
    write_tables,
)
from reference_impl.compress.layers import outside_inference_mode
from reference_impl.models import Kilobyte, LeNet5, LeNet300, Network

ARCHITECTURES: tuple[type[Network], ...] = (LeNet300, LeNet5, Kilobyte)
"""Number 1, 2, … of a file; new ones come last."""
MOST_PARAMETERS = 500_000
"""A file of a network of `ARCHITECTURES` that says that it has more is not read."""
HUFFMAN, ARITHMETIC = 0, 1


@dataclass(frozen=True, eq=False)
class NetworkFile:
    """The bytes, and for each kind of content how many bits of them it takes.

    Zeros that an arithmetic coder leaves out at the end are taken off the header.
    """

    data: bytes
    items: Mapping[str, float]


@checked
def write_huffman(network: nn.Module) -> NetworkFile:
    """Return the file as Deep Compression writes it, see `write_shared`; any float32 network fits.

    Raises:
        ValueError: if ``network`` has buffers (fold BatchNorm first), computes a parameter, or has
            parameters that are not finite float32.
    """
    parameters = _parameters(network)
    body, items = _header(network), dict[str, float]()
    for parameter in parameters.values():
        for what, data in write_shared(parameter.ravel()):
            body += data
            items[what] = items.get(what, 0.0) + 8 * len(data)
    return _file(HUFFMAN, body, items)


@checked
def write_arithmetic(network: nn.Module) -> NetworkFile:
    """Return the file that an arithmetic coder writes, see `write_tables`.

    Raises:
        ValueError: as `write_huffman`; and if a parameter does not consist of integers times steps.
    """
    named = _parameters(network).items()
    tables = {name: p.view(_rows_and_columns(p.shape)) for name, p in named}
    if odd := [name for name, table in tables.items() if as_integers(table) is None]:
        raise ValueError(f"network must have integers times steps 2^(k/4), {odd[:3]} are not")
    data, items = write_tables(list(tables.values()))
    return _file(ARITHMETIC, _header(network) + data, items)


@checked
@outside_inference_mode
def read_network(data: bytes, network: nn.Module | None = None) -> nn.Module:
    """Return the network of the file, in evaluation mode.

    Args:
        data: the file.
        network: what the file's parameters are for, if its architecture is not in the file. It
            stays as it is, a copy gets the parameters.

    Raises:
        ValueError: if the data are not such a file, or ``network`` is missing or does not fit.
    """
    way, body = unpack(data)
    empty = _architecture(body, network)
    parameters = [parameter for parameter in empty.parameters() if parameter.numel()]
    shapes = [parameter.shape for parameter in parameters]
    if way == HUFFMAN:
        read = [read_shared(body, shape.numel()) for shape in shapes]
        if body.data:
            raise ValueError(f"data must end after the parameters, got {len(body.data)} bytes more")
    elif way == ARITHMETIC:
        read = read_tables(body.data, [_rows_and_columns(shape) for shape in shapes])
    else:
        raise ValueError(f"data must have tensors written in way 0 or 1, got {way}")
    if not all(values.isfinite().all() for values in read):
        raise ValueError("data must hold finite weights, got nan or inf")
    with torch.no_grad():
        for parameter, values in zip(parameters, read, strict=True):
            parameter.copy_(values.view(parameter.shape))
    return empty.eval()


def _file(way: int, body: bytes, items: dict[str, float]) -> NetworkFile:
    data = pack(way, body)
    items["header and checksum"] = 8 * len(data) - sum(items.values())
    return NetworkFile(data, items)


def _header(network: nn.Module) -> bytes:
    if not isinstance(network, Network) or not _is_as_built(network):
        return b"\0" + number_bytes(sum(p.numel() for p in network.parameters()))
    number = 1 + ARCHITECTURES.index(type(network))
    return bytes([number]) + b"".join(map(number_bytes, network.widths.values()))


def _is_as_built(network: Network) -> bool:
    """Return whether its class and widths say all of a network: no other layers, nothing shared."""
    if type(network) not in ARCHITECTURES:
        return False
    try:
        with torch.device("meta"):
            twin = type(network).from_widths(network.widths)
    except (AttributeError, ValueError):  # it has other layers, or none of a width
        return False
    own, its = ({n: p.shape for n, p in one.named_parameters()} for one in (network, twin))
    small = sum(shape.numel() for shape in own.values()) <= MOST_PARAMETERS
    return small and own == its and str(network) == str(twin)


def _architecture(body: Cursor, network: nn.Module | None) -> nn.Module:
    """Return a network of the kind that the header names, its parameters yet to be read."""
    (number,) = body.take(1)
    if number > len(ARCHITECTURES):
        raise ValueError(f"data must be of architecture 0 to {len(ARCHITECTURES)}, got {number}")
    if (number == 0) != (network is not None):
        known = f"a {ARCHITECTURES[number - 1].__name__}" if number else "of no known architecture"
        raise ValueError(f"network must be given only if it is not in the file, which is {known}")
    if network is not None:
        _require_plain(network)
        n, own = body.number(), sum(p.numel() for p in network.parameters())
        if n != own:
            raise ValueError(f"network must have the file's {n} parameters, got {own}")
        try:
            return copy.deepcopy(network)
        except Exception as error:  # whatever its own classes raise
            said = str(error).partition("\n")[0]
            raise ValueError(f"network must be one that can be copied: {said}") from error
    kind = ARCHITECTURES[number - 1]
    widths = {label: body.number() for label in kind.width_names.values()}
    if max(widths.values()) <= MOST_PARAMETERS:
        with torch.device("meta"):
            empty = kind.from_widths(widths)
        if sum(p.numel() for p in empty.parameters()) <= MOST_PARAMETERS:
            return empty.to_empty(device="cpu")
    raise ValueError(f"data must have at most {MOST_PARAMETERS} parameters, got widths {widths}")


def _parameters(network: nn.Module) -> dict[str, Tensor]:
    """Return the parameters, as the file will hold them; refuse what it cannot hold."""
    _require_plain(network)
    named = {name: p.detach() for name, p in network.named_parameters()}
    if wrong := [name for name, p in named.items() if not p.isfinite().all()]:
        raise ValueError(f"network must have finite float32 parameters, {wrong[:3]} are not")
    return {name: p.cpu().contiguous() for name, p in named.items() if p.numel()}


def _require_plain(network: nn.Module) -> None:
    """Refuse a network that is more than its parameters, or has others than dense float32."""
    named = dict(network.named_parameters())
    if unmade := [name for name, p in named.items() if is_lazy(p) or p.is_meta]:
        raise ValueError(f"network must hold values, those of {unmade[:3]} are not made yet")
    own = {name for name, _ in network.named_parameters(remove_duplicate=False)}
    state = [*dict(network.named_buffers()), *network.state_dict()]
    if buffers := [name for name in dict.fromkeys(state) if name not in own]:
        raise ValueError(
            "network must not have buffers: fold BatchNorm, and write the network before "
            f"quantize_layers, got {buffers[:3]}"
        )
    modules = network.named_modules()
    if computed := [n for n, one in modules if is_parametrized(one) or one._forward_pre_hooks]:
        raise ValueError(f"network must not compute parameters, got {computed[:3]}")
    dense = torch.float32, torch.strided
    if wrong := [name for name, p in named.items() if (p.dtype, p.layout) != dense]:
        raise ValueError(f"network must have finite float32 parameters, {wrong[:3]} are not")


def _rows_and_columns(shape: torch.Size) -> tuple[int, int]:
    """Return the shape of a tensor's table: its first axis and all others, or one row."""
    return (shape[0], shape[1:].numel()) if len(shape) > 1 else (1, shape.numel())
