"""Files of networks: read as they were written, everything counted, everything wrong refused."""

import math
import random
import re
import struct
import zlib

import pytest
import torch
from draws import generator
from torch import nn

from reference_impl import coding, compress
from reference_impl.files import ROOT
from reference_impl.models import LeNet5, LeNet300
from reference_impl.training import load_checkpoint


def rounded(network: nn.Module, keep: float = 0.3, seed: int = 0) -> nn.Module:
    """Make weights few integers times a step, most of them zero."""
    g = generator(seed)
    with torch.no_grad():
        for p in network.parameters():
            integers = torch.randint(-4, 5, p.shape, generator=g)
            p.copy_(integers * (torch.rand(p.shape, generator=g) < keep) * 2.0**-3)
    return network


NETWORKS = [
    LeNet5(conv=(3, 4), hidden=7),
    LeNet300(hidden=(12, 5)),
    nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2, bias=False)),
    nn.Sequential(nn.Conv1d(2, 3, 2), nn.LayerNorm(4), nn.PReLU()),
]
WRITERS = [compress.write_huffman, compress.write_arithmetic]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("network", NETWORKS)
def test_networks_are_read_exactly(network, write):
    """Oracle: the parameters; the kinds of content add up to the bytes."""
    file = write(rounded(network))
    given = None if isinstance(network, LeNet5 | LeNet300) else rounded(network, seed=1)
    read = compress.read_network(file.data, given)
    assert type(read) is type(network)
    for (name, one), other in zip(
        read.named_parameters(), rounded(network).parameters(), strict=True
    ):
        assert torch.equal(one, other), name
    assert sum(file.items.values()) == pytest.approx(8 * len(file.data))


def test_dense_float32_weights_take_four_bytes_each_and_a_header():
    """Oracle: 266,610 parameters of LeNet-300-100, six tensors, 4 + 3 + 4 bytes around them."""
    network = load_checkpoint("lenet300")
    file = compress.write_huffman(network)
    assert len(file.data) == 4 * 266_610 + 6 + 8 + 1 + 3
    read = compress.read_network(file.data)
    image = torch.rand(2, 1, 28, 28, generator=generator())
    with torch.no_grad():
        assert torch.equal(read(image), network(image))


@pytest.mark.parametrize("write", WRITERS)
def test_no_changed_file_is_read(write):
    """Oracle: 5,000 files with bytes changed, cut off, put in or exchanged, for each writer."""
    data, chance = write(rounded(LeNet300(hidden=(5, 4)))).data, random.Random(1)
    for bit in range(8 * len(data)):
        wrong = bytearray(data)
        wrong[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="data must"):
            compress.read_network(bytes(wrong))
        if bit >= 2000:
            break
    for _ in range(5000):
        with pytest.raises(ValueError, match="data must"):
            compress.read_network(changed(data, chance))


def changed(data: bytes, chance: random.Random) -> bytes:
    wrong = bytearray(data)
    while bytes(wrong) == data:
        at, kind = chance.randrange(len(data)), chance.randrange(4)
        if kind == 0:
            wrong[at : at + chance.randrange(1, 9)] = chance.randbytes(chance.randrange(9))
        elif kind == 1:
            del wrong[at:]
        elif kind == 2:
            wrong[at], wrong[-1 - at] = wrong[-1 - at], wrong[at]
        else:
            wrong = bytearray(chance.randbytes(at))
    return bytes(wrong)


@pytest.mark.parametrize("write", WRITERS)
def test_changed_bytes_with_a_true_check_sum_give_a_network_or_one_line(write):
    """Oracle: the shapes; whatever else is raised would be a crash."""
    data, chance = write(rounded(LeNet300(hidden=(3, 2)), keep=0.02)).data, random.Random(2)
    refused = 0
    for _ in range(400):
        wrong = bytearray(data[:-4])
        for _ in range(chance.randrange(1, 4)):
            wrong[chance.randrange(3, len(wrong))] = chance.randrange(256)
        said = ""
        try:
            read = compress.read_network(bytes(wrong) + zlib.crc32(wrong).to_bytes(4, "little"))
        except ValueError as error:
            said = str(error)
            refused += 1
        assert "\n" not in said
        assert said or sum(p.numel() for p in read.parameters()) <= 10**7
    assert refused > 20


def made(body: bytes, *, way: int = 0) -> bytes:
    return coding.pack(way, body)


LINEAR = nn.Linear(2, 1)
REFUSED = [
    (b"\x89PNG\r\n", None, "begin with b'MC', got b.*another kind of file"),
    (b"MC\1", None, "at least 8 bytes, got 3: cut off"),
    (made(b"\0\3") + b"x", None, "checksum .* damaged or cut off"),
    (made(b"\0\3", way=2), LINEAR, "written in way 0 or 1, got 2"),
    (made(b"\x09"), None, "architecture 0 to 3, got 9"),
    (made(b"\0\3"), None, "network must be given only if .* no known architecture"),
    (made(b"\1\3\3"), LINEAR, "network must be given only if .* which is a LeNet300"),
    (made(b"\0\4"), LINEAR, "network must have the file's 4 parameters, got 3"),
    (made(b"\1" + coding.number_bytes(10**12) + b"\3"), None, "at most 500000 parameters"),
    (made(b"\1" + coding.number_bytes(9000) + coding.number_bytes(9000)), None, "at most 500000"),
    (made(b"\1" + bytes([255] * 12)), None, "number must be at most"),
    (made(b"\1\0\3"), None, "must"),
    (made(b"\0\3" + bytes(3 * 4 + 2 + 1)), LINEAR, "end after the parameters, got 1 bytes more"),
]


@pytest.mark.parametrize(("data", "network", "said"), REFUSED)
def test_files_that_are_not_such_files_are_refused_by_name(data, network, said):
    """Oracle: the format's table; nothing is allocated for what a header claims."""
    with pytest.raises(ValueError, match=said):
        compress.read_network(data, network)


def test_files_of_a_newer_version_are_refused():
    """Oracle: the version's byte."""
    data = b"MC\2" + compress.write_huffman(LINEAR).data[3:-4]
    with pytest.raises(ValueError, match="version 1, got 2"):
        compress.read_network(data + zlib.crc32(data).to_bytes(4, "little"), LINEAR)


def test_the_example_of_the_page_is_what_is_written():
    """Oracle: the bytes of `chapters/file_format.md`."""
    network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1, bias=False))
    values = torch.tensor([0.5, 0, -1, 0, 0, 0.25, 0.125, -0.25, 1, -2])
    nn.utils.vector_to_parameters(values, network.parameters())
    page = (ROOT / "chapters" / "file_format.md").read_text("utf-8")
    blocks = re.findall(r"```text\n((?:[0-9a-f]{2}\s)+)```", page)
    assert [bytes.fromhex(block) for block in blocks] == [w(network).data for w in WRITERS]
    (lines,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    shown = {"network": LeNet300().eval()}
    exec(lines, shown)
    assert torch.equal(shown["again"].fc1.weight, shown["network"].fc1.weight)


def test_networks_that_a_file_cannot_hold_are_refused():
    """Oracle: a network of each kind."""
    computed = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    infinite = nn.Linear(2, 2)
    nn.init.constant_(infinite.bias, torch.inf)
    for network, said in (
        (nn.BatchNorm2d(3), "not have buffers: fold BatchNorm, .* before quantize_layers, got"),
        (computed, "not compute parameters, got"),
        (nn.Linear(2, 2).double(), r"finite float32 parameters, \['weight', 'bias'\] are not"),
        (nn.LazyLinear(2), r"hold values, those of \['weight', 'bias'\] are not made yet"),
        (infinite, r"finite float32 parameters, \['bias'\] are not"),
    ):
        for write in WRITERS:
            with pytest.raises(ValueError, match=said):
                write(network)
    with pytest.raises(ValueError, match=r"integers times steps .*\['weight', 'bias'\] are not"):
        compress.write_arithmetic(nn.Linear(2, 2))


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("values", [[0, 0.5, 0], [0, 0, 0], [1, 1, 1]])
def test_a_row_with_one_value_or_none_is_read_exactly(write, values):
    """Oracle: the weights."""
    network = nn.Linear(3, 1, bias=False)
    nn.utils.vector_to_parameters(torch.tensor(values).float(), network.parameters())
    read = compress.read_network(write(network).data, network)
    assert torch.equal(read.weight, network.weight)


@pytest.mark.parametrize("write", WRITERS)
def test_a_network_that_is_not_as_its_class_builds_it_is_read_into_its_own_kind(write):
    """Oracle: its answers; its class and widths alone would build another network."""
    network = LeNet300((4, 4)).requires_grad_(requires_grad=False)
    for parameter in network.parameters():
        parameter.copy_(parameter.sign())
    network.relu2 = nn.Sigmoid()
    read = compress.read_network(write(network).data, network)
    x = torch.rand(3, 1, 28, 28)
    assert torch.equal(read(x), network.eval()(x))
    with torch.inference_mode():
        again = compress.read_network(write(network).data, network)
    assert torch.equal(again(x), read(x))


def test_values_that_are_not_finite_are_refused_in_a_file_whose_sum_is_right():
    """Oracle: the bits of infinity, written where the file has 0.75."""
    network = nn.Linear(2, 1, bias=False)
    nn.init.constant_(network.weight, 0.75)
    data = compress.write_huffman(network).data[:-4]
    one, other = (struct.pack("<f", x) for x in (0.75, math.inf))
    assert one in data
    data = data.replace(one, other)
    with pytest.raises(ValueError, match="finite weights, got nan or inf"):
        compress.read_network(data + zlib.crc32(data).to_bytes(4, "little"), network)
