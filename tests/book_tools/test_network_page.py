"""The network in the page: its scripts in Chromium, against the package in Python."""

import json
import re
import zlib
from base64 import b64decode
from collections.abc import Mapping
from functools import partial

import pytest
import torch
from torch import nn

from book_tools.site import network_page
from reference_impl.coding import write_tables
from reference_impl.compress import read_network, write_arithmetic, write_huffman
from reference_impl.data import load_dataset
from reference_impl.files import ROOT
from reference_impl.models import LeNet5

FILES = {name: path.read_bytes() for name, path in network_page.FILES.items()}
NETWORKS = {name: read_network(data) for name, data in FILES.items()}
named = pytest.mark.parametrize("name", FILES)

#: A function of the page, called with a file; what it refuses becomes the reason.
TRIED = """
const tried = (file) => {
  try { return readNetwork(Uint8Array.from(file)).tables.map(({values}) => values); }
  catch (error) { return error.message; }
};
"""


@pytest.fixture(scope="module")
def scripts(chromium):
    """A page that has the decoder and the networks, without the canvas."""
    page = chromium.new_page()
    decoder, network, _ = (path.read_text("utf-8") for path in network_page.SCRIPTS)
    page.add_script_tag(content=decoder + network + TRIED)
    return page


@pytest.fixture(scope="module")
def examples():
    return load_dataset().test


def test_the_files_are_those_of_the_record():
    """Oracle: `results/smallest.json`, which has the errors of these files."""
    runs = json.loads((ROOT / "data/results/smallest.json").read_text("utf-8"))["runs"]
    wanted = {"network": "kilobyte", "bits": 7600, "seed": 0}.items()
    found = {run["data"]: b64decode(run["file"]) for run in runs if wanted <= run.items()}
    assert found == {"Fashion-MNIST": FILES["clothes"], "MNIST": FILES["digits"]}


def summed(data: bytes) -> list[int]:
    """Return the bytes with a checksum that fits them."""
    return list(data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little"))


def parameters(network: nn.Module) -> list[list[float]]:
    return [p.detach().ravel().tolist() for p in network.parameters()]


@named
def test_the_pages_logits_are_pytorchs(scripts, examples, name):
    """Oracle: PyTorch, on the network that `read_network` makes of the file; 100 test images."""
    call = """([file, images]) => {
      const network = readNetwork(Uint8Array.from(file));
      return images.map((image) => [...logits(network, image.map((v) => v / 255))]);
    }"""
    images = examples.images[:100]
    pixels = (images.flatten(1) * 255).round().int().tolist()
    found = torch.tensor(scripts.evaluate(call, [list(FILES[name]), pixels]))
    with torch.no_grad():
        torch.testing.assert_close(found, NETWORKS[name](images), rtol=0, atol=1e-4)


@named
def test_the_page_reads_each_weight_exactly(scripts, name):
    """Oracle: `read_network`, bit by bit."""
    read = scripts.evaluate("tried", list(FILES[name]))
    assert read == parameters(NETWORKS[name])


SIZES = (10, 80), (80, 300)


def test_each_kind_of_table_is_read(scripts):
    """Oracle: what was written.

    Large and negative integers, empty rows and columns, zeros counted by density, and more of them
    than a probability remembers.
    """
    generator = torch.Generator().manual_seed(0)
    dense, wide = (torch.randint(-9, 10, size, generator=generator) / 1.0 for size in SIZES)
    dense[3], dense[:, 5] = 0, 0
    shares = torch.rand(80, 1, generator=generator) * torch.rand(1, 300, generator=generator) ** 2
    large = torch.tensor([[2.0**20 + 1, -1, *range(8)], [2.0**-9] * 10]) * 2.0**-40
    tables = [dense, wide * (shares > 0.3), dense.T.contiguous() * 1.1892071, large, 0 * large]
    asked = [{"rows": table.shape[0], "columns": table.shape[1]} for table in tables]
    call = """([bytes, asked]) =>
      readTables(new Decoder(Uint8Array.from(bytes), 0), asked).map(({values}) => values)"""
    found = scripts.evaluate(call, [list(write_tables(tables)[0]), asked])
    assert found == [table.ravel().tolist() for table in tables]


CONVOLUTIONS: Mapping[str, tuple[nn.Conv2d, int]] = {
    "valid": (nn.Conv2d(3, 4, 3), 7),
    "padded": (nn.Conv2d(3, 4, 5, padding=2), 6),
    "strided": (nn.Conv2d(2, 4, 5, stride=2, padding=1, bias=False), 9),
    "grouped": (nn.Conv2d(6, 4, 3, groups=2, padding=1), 5),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4), 5),
}


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_a_convolution_is_pytorchs(scripts, kind):
    """Oracle: torch.nn.Conv2d."""
    layer, size = CONVOLUTIONS[kind]
    x = torch.randn(1, layer.in_channels, size, size)
    options = {"shapes": [list(layer.weight.shape)], "groups": layer.groups}
    options |= {"pad": layer.padding[0], "stride": layer.stride[0]}
    image = {"channels": layer.in_channels, "size": size, "values": x.ravel().tolist()}
    call = "([x, options, weights]) => [...OPERATIONS.convolve(x, options, ...weights).values]"
    found = scripts.evaluate(call, [image, options, parameters(layer)])
    torch.testing.assert_close(torch.tensor(found), layer(x).detach().ravel())


@named
def test_a_flipped_bit_is_refused_wherever_it_is_and_so_is_a_file_cut_off(scripts, name):
    """Oracle: each bit of the file, and each length below its own."""
    call = """(file) => [
      ...file.flatMap((byte, i) => times(8, (bit) => tried(file.with(i, byte ^ (1 << bit))))),
      ...file.map((_, n) => tried(file.slice(0, n))),
    ].map((answer) => typeof answer)"""
    answers = scripts.evaluate(call, list(FILES[name]))
    assert answers == ["string"] * (9 * len(FILES[name]))


CLOTHES = FILES["clothes"]
ZEROS = LeNet5((1, 1), 1)
for zero in ZEROS.parameters():
    nn.init.zeros_(zero)
REFUSED = {
    "newer": (summed(CLOTHES[:2] + b"\2" + CLOTHES[3:]), "version 2"),
    "Huffman's": (list(write_huffman(NETWORKS["clothes"]).data), "way 0"),
    "foreign": (list(b"PK" + CLOTHES[2:]), "does not begin with the letters MC"),
    "another network's": (list(write_arithmetic(ZEROS).data), "architecture 2"),
    "too wide": (summed(CLOTHES[:5] + b"\xff\xff\xff\x7f" + CLOTHES[9:]), "widths must be"),
    "without a unit": (summed(CLOTHES[:6] + b"\0" + CLOTHES[7:]), "widths must be"),
    "longer": (summed(CLOTHES[:-4] + bytes(9)), "bytes are left"),
    "empty": ([], "does not begin"),
    "letters only": (list(b"MC"), "at least 8 bytes"),
    "header only": (summed(CLOTHES[:7] + bytes(4)), "widths must be"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_another_file_is_refused_by_name(scripts, what):
    """Oracle: files that are whole, with a checksum that fits, but not such a network's."""
    file, reason = REFUSED[what]
    assert reason in scripts.evaluate("tried", file)


def test_a_forged_file_is_read_as_the_package_reads_it(scripts):
    """Oracle: `read_network`, on bodies that were changed and given a new checksum."""
    generator = torch.Generator().manual_seed(0)
    for place in torch.randint(9, len(CLOTHES) - 4, (12,), generator=generator).tolist():
        forged = bytearray(CLOTHES)
        forged[place] ^= 1 + place % 255
        data = summed(bytes(forged))
        found = scripts.evaluate("tried", data)
        try:
            assert found == parameters(read_network(bytes(data)))
        except ValueError:
            assert isinstance(found, str)


@pytest.fixture
def opened(chromium, tmp_path):
    """The whole page, opened as a file, with nothing fetched and no error."""
    file, errors, asked = tmp_path / "page.html", [], []
    head = '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>A page</title>'
    file.write_text(head + network_page.page(), "utf-8")
    page = chromium.new_page()
    page.on("pageerror", partial(list.append, errors))
    page.on("request", partial(list.append, asked))
    page.goto(file.as_uri())
    yield page
    assert errors == []
    assert [request.url for request in asked] == [file.as_uri()]
    page.close()


def answer(page) -> str:
    return page.inner_text("#net-said").rpartition(",")[0]


def test_an_example_is_answered_as_pytorch_answers_it(opened, examples):
    """Oracle: PyTorch on the first test image of each class; its softmax, in per cent."""
    for i in range(10):
        opened.click(f"#net-examples button:nth-child({i + 1})")
        with torch.no_grad():
            z = NETWORKS["clothes"](examples.images[examples.labels == i][:1])[0]
        shown = opened.locator("#net-answer td:last-child").all_inner_texts()
        assert shown == [f"{100 * p:.1f} %" for p in z.softmax(0).tolist()]


def test_drawn_digits_are_read(opened):
    """Oracle: what the strokes were meant to be."""
    opened.check("input[value=digits]")
    for digit in "0123456789":
        opened.click(f"#net-examples button[aria-label='Example: {digit}']")
        assert answer(opened) == digit


def test_the_pen_draws_with_mouse_and_keyboard(opened):
    """Oracle: a one is a vertical line, however it was drawn and wherever."""
    opened.check("input[value=digits]")
    assert opened.inner_text("#net-said") == "nothing yet"
    box = opened.locator("#net-canvas").bounding_box()
    opened.mouse.move(box["x"] + 60, box["y"] + 30)
    opened.mouse.down()
    opened.mouse.move(box["x"] + 60, box["y"] + 150, steps=5)
    opened.mouse.up()
    opened.mouse.move(box["x"] + 200, box["y"] + 150)
    assert answer(opened) == "1"
    opened.click("#net-clear")
    assert opened.inner_text("#net-said") == "nothing yet"
    opened.focus("#net-canvas")
    for key in ["ArrowRight"] * 3 + ["Space"] + ["ArrowUp"] * 12 + ["Space", "ArrowLeft"]:
        opened.keyboard.press(key)
    assert answer(opened) == "1"
    assert opened.inner_text("#net-pen").startswith("up")
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.id") == "net-clear"


def test_a_damaged_file_is_shown_refused_and_repaired(opened):
    """Oracle: the words of the decoder; without a network there is no answer."""
    opened.click("#net-examples button:nth-child(2)")
    before, filters = answer(opened), len(NETWORKS["clothes"].get_parameter("conv1.weight"))
    opened.click("#net-flip")
    assert "refuses" in opened.inner_text("#net-read")
    assert opened.inner_text("#net-said") == "no network"
    assert opened.locator("#net-filters canvas").count() == 0
    opened.click("#net-repair")
    assert answer(opened) == before
    assert opened.locator("#net-filters canvas").count() == filters


def test_every_byte_is_shown(opened):
    """Oracle: the file in hexadecimal digits."""
    for name, data in FILES.items():
        opened.check(f"input[value={name}]")
        shown = " ".join(opened.locator("#net-bytes code").all_inner_texts())
        assert bytes.fromhex(shown) == data


def test_without_scripts_and_in_print_a_text_stands_there(chromium):
    """Oracle: what the browser shows."""
    with chromium.browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        page.set_content(network_page.page())
        assert page.is_visible("#net-fallback")
        assert not page.is_visible("#net-reader")
    page = chromium.new_page()
    page.set_content(network_page.page())
    assert not page.is_visible("#net-fallback")
    page.emulate_media(media="print")
    assert page.is_visible("#net-fallback")
    assert not page.is_visible("#net-reader")
    page.close()


def test_the_scripts_have_fewer_than_300_lines_of_code():
    """Oracle: what is left without comments, by a regular expression."""
    n = 0
    for path in network_page.SCRIPTS:
        text = re.sub(r"/\*.*?\*/|^\s*//.*?$", "", path.read_text("utf-8"), flags=re.S | re.M)
        lines = [line for line in text.splitlines() if line.strip()]
        assert len(lines) == network_page.code_lines(path)
        n += len(lines)
    assert n < 300
