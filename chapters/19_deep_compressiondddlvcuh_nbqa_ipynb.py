# %%NBQA-CELL-SEPceeeb8
import sys
from importlib.util import find_spec
from pathlib import Path

here = Path.cwd()
folders = [here, *here.parents, *(f.parent for f in here.glob("*/reference_impl"))]
sys.path[:0] = [str(f) for f in folders if (f / "reference_impl/data.py").is_file()][:1]
if not find_spec("reference_impl"):
    raise ModuleNotFoundError("First move this notebook into the folder of the course.")
needed = ("torch", "torchvision", "matplotlib", "jaxtyping", "safetensors", "scipy")
if missing := [name for name in needed if not find_spec(name)]:
    raise ModuleNotFoundError(f"First type: %pip install {' '.join(missing)}")


# %%NBQA-CELL-SEPceeeb8
DATA = "FashionMNIST"  # or the name of your folder in data/
SEED = 16


# %%NBQA-CELL-SEPceeeb8
from reference_impl.notebook import begin

begin(seed=SEED, data=DATA)


# %%NBQA-CELL-SEPceeeb8
import matplotlib.pyplot as plt
import torch

from reference_impl import plots
from reference_impl.coding import canonical_codes, code_lengths, relative_indices

weights = torch.zeros(20)
weights[[2, 6, 7, 12, 13, 18]] = torch.tensor([0.7, -0.4, 0.7, 0.7, 0.2, -0.4])
gaps, _ = relative_indices(weights != 0, bits=3)
values, codes = weights[weights != 0].unique(return_inverse=True)
lengths = [code_lengths(x.bincount()) for x in (gaps, codes)]
bits = [
    [format(int(canonical_codes(size)[i]), f"0{int(size[i])}b") for i in x]
    for x, size in zip((gaps, codes), lengths, strict=True)
]
colours = {v: plots.COLOURS[k] for k, v in enumerate(values.tolist())}
figure, axes = plt.subplots(figsize=(5.2, 3.4))


def cell(x, y, text, colour="white", *, ink="black", width=1.0):
    box = plt.Rectangle((x, y), width, 0.8, facecolor=colour, edgecolor="grey")
    axes.add_patch(box)
    axes.text(x + width / 2, y + 0.4, text, ha="center", va="center", color=ink)


for i, w in enumerate(weights.tolist()):
    colour, ink = colours.get(w, "white"), "white" if w else "grey"
    cell(i, 4.5, f"{w:.1f}".replace("0.", ".") if w else "0", colour, ink=ink)
for i, (gap, code) in enumerate(zip(gaps.tolist(), codes.tolist(), strict=True)):
    colour = colours[values[code].item()]
    cell(3.1 * i, 2.6, f"skip {gap}", width=1.9)
    cell(3.1 * i + 1.9, 2.6, "ABC"[code], colour, ink="white")
    cell(3.1 * i, 0.7, bits[0][i], width=1.9)
    cell(3.1 * i + 1.9, 0.7, bits[1][i], colour, ink="white")
total = sum(map(len, bits[0] + bits[1]))
for y, text in (
    (5.5, "20 weights of 32 bits: 640 bits"),
    (3.6, "zeros are skipped, three values get names"),
    (1.7, f"frequent names are short: {total} bits, and a table of names"),
):
    axes.text(0, y, text)
axes.set(xlim=(-0.2, 20.2), ylim=(0.4, 6.3))
axes.axis("off")


# %%NBQA-CELL-SEPceeeb8
import torch

from reference_impl.compress import apply_masks, read_network, write_huffman
from reference_impl.measuring import deflated_bytes, file_bytes
from reference_impl.training import load_checkpoint, magnitude_masks

lenet = load_checkpoint("lenet300", DATA)
dense = file_bytes(lenet)
apply_masks(lenet, magnitude_masks(lenet, 0.92))
print(f"float32: {dense:,} bytes")
print(f"92 % zeros: {file_bytes(lenet):,} bytes, {deflated_bytes(lenet):,} deflated")


# %%NBQA-CELL-SEPceeeb8
from reference_impl.coding import (
    canonical_codes,
    code_lengths,
    decode,
    encode,
    entropy,
    mean_length,
)

counts = torch.tensor([5, 1, 1, 1])
lengths = code_lengths(counts)
codes = canonical_codes(lengths)
for symbol, code, length in zip("ABCD", codes, lengths, strict=True):
    print(symbol, format(code, f"0{length}b"))
print(f"entropy {entropy(counts):.3f} bits,", end=" ")
print(f"mean length {mean_length(counts, lengths):.3f} bits")
word = torch.tensor([0, 0, 1, 0, 3, 0, 2, 0])
data = encode(word, lengths)
print("AABADACA:", data.hex(), "→", decode(data, 8, lengths).tolist())


# %%NBQA-CELL-SEPceeeb8
import math

from reference_impl.coding import (
    Encoder,
    Probability,
    density_class,
    positions,
    relative_indices,
)

kept = torch.zeros(10, dtype=torch.bool)
kept[[1, 8, 9]] = True
gaps, weights = relative_indices(kept, bits=2)
print("gaps", gaps.tolist(), "at", positions(gaps).tolist())
print("holds a weight:", weights.int().tolist())

p = Probability()
for bit in [0] * 98 + [1]:
    p.see(bit)
share = p.of_zero() / 2**16
print(f"p = {share:.3f}: a 0 takes {-math.log2(share):.2f} bits,", end=" ")
print(f"a 1 {-math.log2(1 - share):.2f}")
print("nothing in 30 and 20 places:", density_class(0, 30, 0, 20))
print("2 in 30 and 3 in 20 places:", density_class(2, 30, 3, 20))


# %%NBQA-CELL-SEPceeeb8
import heapq


def huffman(counts):
    groups = [(n, i, [i]) for i, n in enumerate(counts) if n]
    lengths = [0] * len(counts)
    heapq.heapify(groups)
    while len(groups) > 1:
        (a, _, one), (b, i, other) = heapq.heappop(groups), heapq.heappop(groups)
        for symbol in one + other:
            lengths[symbol] += 1
        heapq.heappush(groups, (a + b, i, one + other))
    return lengths


drawn = torch.randint(0, 1000, (200,)).tolist()
assert huffman(drawn) == code_lengths(torch.tensor(drawn)).tolist()
print("200 codes of", sorted(set(huffman(drawn))), "bits")


# %%NBQA-CELL-SEPceeeb8
from fractions import Fraction


def interval(bits):
    low, width, seen = Fraction(0), Fraction(1), [0, 0]
    for bit in bits:
        p = Fraction(2 * seen[0] + 1, 2 * sum(seen) + 2)
        low, width = (low + width * p, width * (1 - p)) if bit else (low, width * p)
        seen[bit] += 1
    return width


bits = (torch.rand(400) < 0.05).int().tolist()
encoder, p = Encoder(), Probability()
for bit in bits:
    encoder.code(p, bit)
exact = -math.log2(interval(bits))
ones = torch.tensor([400 - sum(bits), sum(bits)])
print(f"400 bits with {sum(bits)} ones")
print(f"entropy {400 * entropy(ones):.1f} bits, learning {exact:.1f} bits,")
print(f"with 32-bit integers {encoder.bits:.1f}, file {len(encoder.finish())} bytes")
assert abs(exact - encoder.bits) < 1


# %%NBQA-CELL-SEPceeeb8
from exercises.predictions import guess

guess("coding-times", ...)


# %%NBQA-CELL-SEPceeeb8
from reference_impl.compress import prunable_weights
from reference_impl.data import load_dataset
from reference_impl.quantization import optimal_codebook
from reference_impl.training import accuracy

with torch.no_grad():
    for weight in prunable_weights(lenet).values():
        kept = weight != 0
        weight[kept] = optimal_codebook(weight[kept], size=32).round_trip(weight[kept])
file = write_huffman(lenet)
for what, n_bits in sorted(file.items.items(), key=lambda item: -item[1]):
    print(f"{what:22} {n_bits / 8:8,.0f} bytes")
print(f"{'together':22} {len(file.data):8,} bytes")
print(f"{dense / len(file.data):.1f}× smaller")
right = accuracy(lenet, load_dataset(DATA).test)
print(f"{right:.1f} % of the test images right")
read = read_network(file.data)
assert all(map(torch.equal, read.parameters(), lenet.parameters()))


# %%NBQA-CELL-SEPceeeb8
from reference_impl import plots
from reference_impl.coding import write_shared

parts = {what: torch.zeros(4) for what in ("indices", "weights", "the rest")}
places = {"fc1.weight": 0, "fc2.weight": 1, "fc3.weight": 2}
for name, p in lenet.named_parameters():
    for what, data in write_shared(p.detach().ravel()):
        kind = what if what in parts else "the rest"
        parts[kind][places.get(name, 3)] += len(data)
parts["the rest"][3] += file.items["header and check sum"] / 8
assert sum(parts.values()).sum() == len(file.data)
share = parts["indices"].sum() / (parts["indices"] + parts["weights"]).sum()
assert 0.47 < share < 0.49, "Positions take nearly as many bytes as values."
figure, axes = plt.subplots(figsize=(5.2, 2.2))
left = torch.zeros(4)
told = "positions", "values", "tables, biases, header"
for (_, n_bytes), label, k in zip(parts.items(), told, (0, 4, 3), strict=True):
    axes.barh(range(4), n_bytes, left=left, label=label, color=plots.COLOURS[k])
    left = left + n_bytes
axes.set_yticks(range(4), ["fc1", "fc2", "fc3", "biases, header"])
axes.set(xlabel="bytes")
axes.invert_yaxis()
axes.grid(visible=False, axis="y")
axes.set_axisbelow(True)
axes.legend()


# %%NBQA-CELL-SEPceeeb8
from reference_impl.coding import from_integers, price, price_by_density, rate
from reference_impl.training import steer

cost = price(torch.tensor([0] * 20 + [1, -1, 1, 2, -1]))
print(f"0: {cost.zero:.2f} bits, ±1: {cost.first:.2f},", end=" ")
print(f"each unit more: {cost.further:.2f}")
print(f"p₀ = {2**-cost.zero:.2f}, ϱ = {2**-cost.further:.2f}")
rare = price(torch.tensor([0] + [1, -1] * 50))
unlimited = -math.log2(1.5 / 102)
assert (round(unlimited, 1), round(rare.first.item(), 1)) == (6.1, 1.0), "rare zeros"
assert rare.zero == rare.first - 1, "The price of a zero is at most b₁ − 1."
assert interval([0, 0, 1]) == Fraction(1, 16), "Its width is 1/16."
u = torch.tensor([0.4, -2.5], requires_grad=True)
total = rate(u, cost)
total.backward()
print(f"0.4 and −2.5 cost {total:.2f} bits, slopes {u.grad[0]:.2f} and {u.grad[1]:.2f}")

restored = from_integers(torch.tensor([[1, -2]]), torch.tensor([2]))
expected = 2**0.5 * torch.tensor([[1.0, -2.0]])
assert torch.allclose(restored, expected), "The exponent 2 is the step 2^(2/4)."
table = torch.zeros(4, 6, dtype=torch.int64)
table[0] = 1
d = 1 / 4 + 1 / 24
in_row, in_column = 2 * d / 8, (1 + 2 * d) / 6
likely = in_row * in_column / d
found = price_by_density(table).zero[1, 0].item()
assert abs(found + math.log2(1 - likely)) < 1e-4, "A zero of an empty row is cheap."
assert steer(1e-4, rate=200.0, path=100.0) > 1e-4, "λ grows while the rate is too high."


# %%NBQA-CELL-SEPceeeb8
guess("coding-huffman", ...)


# %%NBQA-CELL-SEPceeeb8
import json

from reference_impl.files import ROOT
from reference_impl.notebook import Table

folder = ROOT / "data/results"
path = folder / "deep_compression.json"
paper = json.loads(path.read_text("utf-8"))["runs"]


def runs_of(data, network):
    wanted = {"data": data, "network": network}.items()
    return [run for run in paper if wanted <= run.items()]


STEPS = {
    "float32": "float32",
    "pruned": "most weights dropped",
    "shared": "32 values a layer",
    "trained": "values trained",
    "Huffman": "Huffman codes",
    "biases": "shared biases",
}


def steps_of(data, network):
    runs = runs_of(data, network)
    dense = runs[0]["steps"][0]["bytes"]
    for step in zip(*(run["steps"] for run in runs), strict=True):
        size = sum(one["bytes"] for one in step) / len(step)
        error = 100 - sum(one["test"] for one in step) / len(step)
        cells = f"{size:,.0f}", f"{dense / size:.1f}", f"{error:.2f}"
        yield [STEPS[step[0]["step"]], *cells]


assert (dense - 4 * 266_610, 1_066_458 - 4 * 266_610) == (456, 18), "headers"
kept = {round(100 - 100 * run["way"]["sparsity"], 1) for run in paper}
assert kept == {7, 7.5, 8}, "7 to 8 % of the weights are kept"
head = ["LeNet-300-100 on Fashion-MNIST", "bytes", "times smaller", "error, %"]
Table(head, list(steps_of("FashionMNIST", "lenet300")))


# %%NBQA-CELL-SEPceeeb8
PAPER = {
    "lenet300": ("LeNet-300-100", "40", "1.58"),
    "lenet5": ("LeNet-5", "39", "0.74"),
}


def finals(data, network):
    runs = runs_of(data, network)
    first, last = ([run["steps"][i] for run in runs] for i in (0, -1))
    rises = [a["test"] - b["test"] for a, b in zip(first, last, strict=True)]
    name, *published = PAPER[network]
    smaller = first[0]["bytes"] / max(one["bytes"] for one in last)
    dense, mean = (100 - sum(one["test"] for one in x) / len(x) for x in (first, last))
    cells = [f"{dense:.2f}", f"{mean:.2f}", f"{max(rises):+.2f}", f"{smaller:.1f}"]
    published = published if data == "MNIST" else ["–", "–"]
    return [f"{name}, {data.replace('nM', 'n-M')}", *cells, *published]


head = ["three seeds", "dense, error %", "compressed, error %", "largest rise, points"]
head += ["times smaller (largest file)", "paper: times", "paper: error %"]
both = "MNIST", "FashionMNIST"
Table(head, [finals(data, name) for data in both for name in PAPER])


# %%NBQA-CELL-SEPceeeb8
guess("coding-smallest", ...)


# %%NBQA-CELL-SEPceeeb8
from reference_impl.measuring import count_parameters
from reference_impl.models import Kilobyte, LeNet5, LeNet300

path = folder / "smallest.json"
smallest = json.loads(path.read_text("utf-8"))["runs"]
KINDS: dict = {
    "lenet300": ("LeNet-300-100", LeNet300),
    "lenet5": ("LeNet-5", LeNet5),
    "kilobyte": ("Kilobyte", Kilobyte),
}


def groups(data, learns="views"):
    """Runs that differ in the seed only, from the largest files to the smallest."""
    found = {}
    for row in smallest:
        if (row["data"], row["learns"]) == (data, learns):
            key = row["network"], tuple(row["widths"]), row["bits"]
            found.setdefault(key, []).append(row)
    order = [*KINDS]
    return sorted(found.items(), key=lambda x: (order.index(x[0][0]), -x[0][2]))


def mean(rows, what):
    return sum(row[what] for row in rows) / len(rows)


def summary(data):
    for (network, widths, _), rows in groups(data):
        name, kind = KINDS[network]
        start = kind.from_widths(
            dict(zip(kind.width_names.values(), widths, strict=True))
        )
        whole = 4 * count_parameters(LeNet5() if network == "lenet5" else start)
        if network != "lenet300":
            name += " " + "-".join(map(str, widths))
        largest = max(row["bytes"] for row in rows)
        numbers = mean(rows, "bytes"), largest, whole / largest
        worst = max(row["test_error"] for row in rows)
        errors = f"{mean(rows, 'test_error'):.2f}", f"{worst:.2f}"
        sizes = (f"{number:,.0f}" for number in numbers)
        yield [name, *sizes, *errors, str(len(rows))]


below = {
    rows[0]["bytes"]: round(rows[0]["test_error"], 2)
    for (network, *_), rows in groups("MNIST")
    if network == "kilobyte" and rows[0]["bytes"] < 700
}
assert below == {628: 1.09, 581: 1.40, 547: 1.37}, "Kilobyte below 700 bytes"
own = count_parameters(LeNet5.from_widths({"conv1": 9, "conv2": 18, "hidden": 32}))
assert (own, round(4 * own / 2279)) == (13_880, 24), "9-18-32's own parameters"
head = ["bytes", "largest", "times smaller (largest)", "error, %", "worst", "seeds"]
Table(["MNIST", *head], list(summary("MNIST")))


# %%NBQA-CELL-SEPceeeb8
steps = steps_of("MNIST", "lenet300")
rows = [[name, size, error] for name, size, _, error in steps]
NAMED = {
    ("lenet300", 60_000): "rate in the loss,\narithmetic code",
    ("lenet300", 39_000): "the same, fewer bits",
    ("kilobyte", 7600): "smaller network:\nKilobyte",
}
for (network, _, bits), found in groups("MNIST"):
    if (network, bits) in NAMED:
        error = f"{mean(found, 'test_error'):.2f}"
        rows.append([NAMED[network, bits], f"{mean(found, 'bytes'):,.0f}", error])
figure, axes = plt.subplots(figsize=(3.9, 3.4))
sizes = [int(size.replace(",", "")) for _, size, _ in rows]
y = range(len(rows))
axes.hlines(y, 500, sizes, color="lightgrey", linewidth=1)
axes.plot(sizes, y, "o", zorder=5)
column = {"transform": axes.get_yaxis_transform(), "va": "center"}
told = [["bytes", "error, %"], *(row[1:] for row in rows)]
for place, line in enumerate(told, start=-1):
    for x, text in zip((1.36, 1.7), line, strict=True):
        axes.text(x, place, text, size=9, ha="right", **column)
axes.set(xscale="log", xlim=(500, 2e6), xlabel="bytes of the file")
axes.set_yticks(y, [name for name, *_ in rows], fontsize=9)
axes.invert_yaxis()
axes.grid(visible=False, axis="y")


# %%NBQA-CELL-SEPceeeb8
rows = []
for learns, name in (
    ("labels", "labels of the training images"),
    ("answers", "the teacher's answers as well"),
    ("views", "the same for distorted copies"),
):
    for (network, _, bits), found in groups("MNIST", learns):
        if (network, bits) == ("lenet300", 39_000):
            worst = max(row["test_error"] for row in found)
            numbers = f"{mean(found, 'bytes'):,.0f}", f"{mean(found, 'test_error'):.2f}"
            rows.append([name, *numbers, f"{worst:.2f}", str(len(found))])
Table(["LeNet-300-100 learns from", "bytes", "error, %", "worst", "seeds"], rows)


# %%NBQA-CELL-SEPceeeb8
Table(["Fashion-MNIST", *head], list(summary("Fashion-MNIST")))


# %%NBQA-CELL-SEPceeeb8
figure, axes = plt.subplots(figsize=(5.2, 3.2))
for number, (_, found) in enumerate(groups("Fashion-MNIST")):
    label = "Kilobyte of six sizes, rate in the loss" if number == 0 else None
    axes.plot(
        mean(found, "bytes"), mean(found, "test_error"), "o", color="C0", label=label
    )
for (network, name), marker in zip(
    (("lenet300", "LeNet-300-100"), ("lenet5", "LeNet-5")), "s^", strict=True
):
    last = [run["steps"][-1] for run in runs_of("FashionMNIST", network)]
    place = mean(last, "bytes"), 100 - mean(last, "test")
    axes.plot(*place, marker, color="C1", label=f"{name}, Deep Compression")
axes.set(xscale="log", xlabel="bytes of the file", ylabel="error on the test images, %")
axes.set_xticks(TICKS := [500, 1000, 2000, 5000, 10_000, 40_000], map(str, TICKS))
axes.minorticks_off()
axes.legend()


# %%NBQA-CELL-SEPceeeb8
from reference_impl.coding import code_table


def bits_of(table, *, by_density):
    code_table(coder := Encoder(), table.clone(), by_density=by_density)
    return coder.bits


wanted = {("lenet300", 39_000): "LeNet-300-100", ("kilobyte", 7600): "Kilobyte"}
shown = {
    wanted[run["network"], run["bits"]]: run
    for run in smallest
    if (run["network"], run["bits"]) in wanted
    and (run["data"], run["learns"], run["seed"]) == ("MNIST", "views", 0)
}
for network, run in shown.items():
    sizes = ", ".join(f"{what} {n:,.1f}" for what, n in run["items"].items())
    print(f"{network}, seed 0: {run['bytes']:,} bytes ({sizes})")


# %%NBQA-CELL-SEPceeeb8
from base64 import b64decode

import matplotlib.pyplot as plt

from reference_impl import plots
from reference_impl.coding import as_integers


def parts(network):
    """Bytes of places, values and biases of each layer, encoded by themselves."""
    for name, p in network.named_parameters():
        table, _ = as_integers(p.detach().reshape(len(p) if p.ndim > 1 else 1, -1))
        by = p.numel() > 5000
        total = bits_of(table, by_density=by) / 8
        places = bits_of((table != 0).long(), by_density=by) / 8
        yield name, (places, total - places) if p.ndim > 1 else (0, total)


for run in smallest:
    if run["network"] == "lenet300":
        weight = next(read_network(b64decode(run["file"])).parameters())
        used = weight.any(0).view(28, 28)
        used[1:-1, 1:-1] = False
        assert not used.any(), "no neuron uses a pixel at the rim"
figure, axes = plt.subplots(len(shown), 1, figsize=(5.2, 2 * len(shown)))
for ax, (title, row) in zip(axes, shown.items(), strict=True):
    network = read_network(b64decode(row["file"]))
    found = [x for x in parts(network) if "weight" in x[0]]
    of_places = [round(first / (first + second), 2) for _, (first, second) in found]
    expected = [0.76, 0.71, 0.46] if "300" in title else [0.21, 0.5, 0.52, 0.48, 0.24]
    assert of_places == expected, "the share of positions"
    biases = sum(sum(x[1]) for x in parts(network) if "bias" in x[0])
    names = [name.removesuffix(".weight") for name, _ in found]
    names += ["biases", "steps, header"]
    rest = row["bytes"] - sum(sum(x[1]) for x in found) - biases
    first = [x[1][0] for x in found] + [biases, rest]
    second = [x[1][1] for x in found] + [0, 0]
    y = range(len(names))
    ax.barh(y, first, color=plots.COLOURS[0], label="positions")
    ax.barh(y, second, left=first, color=plots.COLOURS[4], label="values")
    ax.barh(y[-2:], first[-2:], color=plots.COLOURS[3], label="biases and the rest")
    ax.set(yticks=y, yticklabels=names, xlabel="bytes")
    ax.set_title(f"{title}: {row['bytes']:,} bytes")
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_axisbelow(True)
    ax.margins(x=0.08)
handles = axes[0].get_legend_handles_labels()
figure.legend(*handles, loc="outside lower center", ncols=3)


# %%NBQA-CELL-SEPceeeb8
peers = json.loads((folder / "peers.json").read_text("utf-8"))["rows"]
NAMES = {"ours": "ours", "nncodec": "NNCodec", "nncf": "NNCF"}
NAMES["torch_pruning"] = "Torch-Pruning, torchao"
DROPPED = "-28", "-24", "225-75", "75-25 hidden units, 3 epochs, int8"
counted = {row["setting"]: row["counted"] for row in peers}
assert sum("deflated" in text for text in counted.values()) == 11, "NNCF and torchao"
assert sum("; 2036 bytes of float32" in text for text in counted.values()) == 1
epochs = {
    sum(run["way"][k] for k in ("pruned", "shared"))
    for run in runs_of("FashionMNIST", "lenet300")
}
assert epochs == {10}, "ours had ten epochs"
rows = [
    [
        f"{NAMES[row['peer']]}: {row['setting']}",
        f"{row['bytes']:,}",
        f"{row['test']:.1f}",
    ]
    for row in peers
    if not any(name in row["setting"] for name in DROPPED)
]
Table(["tool and setting", "bytes", "right, %"], rows)


# %%NBQA-CELL-SEPceeeb8
torch.manual_seed(16)
even = torch.randint(0, 16, (10_000,)).bincount()
one = torch.zeros(1, 10_000, dtype=torch.int64) + 1
print(f"16 values, equally often: {mean_length(even, code_lengths(even)):.2f} bits")
alone = bits_of(one, by_density=False)
print(f"one value, 10,000 times: 10,000 bits, arithmetic {alone:.0f}")
learned = math.lgamma(0.5) + math.lgamma(10_001) - math.lgamma(10_000.5)
assert round(4 * learned / math.log(2) + 1) == 31, (
    "four questions, and a bit for the row"
)
small = (torch.rand(12, 9) < 0.5).long()
large = (torch.rand(300, 784) < torch.rand(784) ** 8 / 9).long()
_, full = relative_indices(torch.rand(100_000) < 0.08, bits=5)
more = 0.92**32
per_weight = (~full).sum() / full.sum()
assert abs(per_weight - more / (1 - more)) < 0.01, "fillers for each kept weight"
wide, less = (
    next(run for run in smallest if run["widths"] == widths)
    for widths in ([20, 50, 500], [8, 14, 16])
)
assert (wide["bits"], round(8 * wide["bytes"] / 17_500, 2)) == (17_500, 0.67)
assert less["epochs"] == 2 * wide["epochs"], "twice as many epochs"
for name, table in (("108 weights", small), ("235,200 weights", large)):
    both = (bits_of(table, by_density=by) for by in (False, True))
    plain, apart = both
    print(f"{name}: {plain:,.0f} bits, by density {apart:,.0f}")


# %%NBQA-CELL-SEPceeeb8
from exercises import check


# %%NBQA-CELL-SEPceeeb8
by_hand = ...  # a list of four numbers
check("coding-hand", by_hand)


# %%NBQA-CELL-SEPceeeb8
lengths = code_lengths(torch.tensor([7, 4, 3, 1, 1]))
n_bits = int((lengths * torch.tensor([7, 4, 3, 1, 1])).sum())
kept = torch.zeros(40, dtype=torch.bool)
kept[[5, 6, 29]] = True
gaps, _ = relative_indices(kept, bits=3)
print("lengths", lengths.tolist(), "gaps", gaps.tolist())
check("coding-hand", [n_bits, canonical_codes(lengths)[2], len(gaps), gaps[-1]])


# %%NBQA-CELL-SEPceeeb8
from exercises.coding import index_bytes

factor = ...  # a number
check("coding-predict", factor)


# %%NBQA-CELL-SEPceeeb8
for share in (0.1, 0.01):
    measured = 8 * index_bytes(share) / (share * 100_000)
    least = -math.log2(share) - (1 - share) / share * math.log2(1 - share)
    print(f"{share:4.0%}: {measured:.2f} bits a weight, entropy/share = {least:.2f}")
factor = index_bytes(0.1) / index_bytes(0.01)
print(f"{factor:.2f} times smaller")
check("coding-predict", factor)


# %%NBQA-CELL-SEPceeeb8
totals = ...  # a list of four numbers
check("coding-tables", totals)


# %%NBQA-CELL-SEPceeeb8
lenet300 = [(235_200, 8, 4.4, 2.32), (30_000, 9, 4.4, 3.04), (1000, 26, 4.3, 12.70)]
lenet5 = [(500, 66, 7.2, 67.45), (25_000, 12, 7.2, 5.28)]
lenet5 += [(400_000, 8, 4.5, 2.45), (5000, 19, 5.2, 6.13)]
totals = []
for rows in (lenet300, lenet5):
    n, share, n_bits, size = torch.tensor(rows, dtype=torch.float64).T
    totals += [(n * share @ n_bits / (n @ share)).item(), (n @ size / n.sum()).item()]
    print(f"{totals[-2]:.2f} bits, {totals[-1]:.2f} %, {100 / totals[-1]:.1f}×")
check("coding-tables", [totals[0], totals[2], totals[3], 5])


# %%NBQA-CELL-SEPceeeb8
my_shared = ...  # a function of gradient, codes and size
check("coding-gradient", my_shared)


# %%NBQA-CELL-SEPceeeb8
def shared(gradient, codes, size):
    return torch.bincount(codes.flatten(), gradient.flatten(), minlength=size)


check("coding-gradient", shared)


# %%NBQA-CELL-SEPceeeb8
blocks = ...  # a list of three numbers
check("coding-blocks", blocks)


# %%NBQA-CELL-SEPceeeb8
shares = one = torch.tensor([5, 90, 5])
print(f"entropy: {entropy(one):.3f} bits")
blocks = []
for n in (1, 2, 3):
    blocks.append(mean_length(shares, code_lengths(shares)) / n)
    above = blocks[-1] - entropy(one)
    print(f"{n} weights a symbol: {blocks[-1]:.3f} bits a weight, {above:.3f} above")
    shares = torch.outer(shares, one).flatten()
check("coding-blocks", blocks)
