"""Make torchvision's mobilenet_v2 smaller: python chapters/your_own_network.py."""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.datasets.folder import default_loader, is_image_file
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from reference_impl import compress
from reference_impl.measuring import (
    compare_latencies,
    device_name,
    model_cost,
    model_size,
    sqnr,
)
from reference_impl.pruning import keep_highest, row_norm


def images_of(folder: Path | None, size: int) -> Tensor:
    """Return the images of a folder as the network expects them, or 32 random ones."""
    if folder is None:
        coarse = torch.randn(32, 3, 8, 8, generator=torch.Generator().manual_seed(1))
        return nn.functional.interpolate(coarse, (size, size), mode="bicubic")
    files = sorted(path for path in folder.glob("*") if is_image_file(path.name))
    if len(files) < 2:
        raise SystemExit(
            f"--images must have two images or more, {folder} has {len(files)}"
        )
    prepare = MobileNet_V2_Weights.DEFAULT.transforms(crop_size=size, resize_size=size)
    return torch.stack([prepare(default_loader(path)) for path in files])


def network_of(weights: Path | None, images: Tensor) -> nn.Module:
    """Return the network with weights from a file, or with random ones."""
    if weights is not None:
        state = torch.load(weights, weights_only=True)
        if "classifier.1.bias" not in state:
            got = f"{weights} has {sorted(map(str, state))[:3]}"
            raise SystemExit(
                f"--weights must be mobilenet_v2's state_dict alone, {got}"
            )
        network = mobilenet_v2(num_classes=len(state["classifier.1.bias"]))
        network.load_state_dict(state)
        return network.eval()
    torch.manual_seed(0)
    network = mobilenet_v2()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the running statistics are those of all passes
    with torch.no_grad():
        network.train()(images)  # without a pass they are 0 and 1, and fit nothing
    return network.eval()


def without_half(network: nn.Module, image: Tensor) -> nn.Module:
    """Return the network without the half of each width whose weights are smallest."""
    graph = compress.dependency_graph(network, image)
    keep = {}
    for label in graph.widths:
        rows = compress.incoming_rows(network, label, graph)
        keep[label] = keep_highest(row_norm(rows), share=0.5)
    return compress.remove_units(network, keep, graph)


def variants(network: nn.Module, seen: Tensor) -> Iterator[tuple[str, int, nn.Module]]:
    """Yield what becomes of the network: a name, the bits of a weight, the network."""
    yield "as it came", 32, network
    folded = compress.fold_batch_norms(network)
    yield "BatchNorm folded", 32, folded
    equalized = compress.equalize(folded)
    yield "folded, equalized", 32, equalized
    eight = compress.PostTraining(bits=8)
    yield "equalized, 8 bits", 8, eight(equalized, seen)
    four = compress.PostTraining(bits=4, clipped=True, corrected=True)
    yield "equalized, 4 bits", 4, four(equalized, seen)
    half = compress.fold_batch_norms(without_half(network, seen[:1]))
    yield "half of the units", 32, half
    yield "half of the units, 8 bits", 8, eight(half, seen)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table, and export the last network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, help="a state_dict, by torch.save")
    parser.add_argument("--images", type=Path, help="a folder of images")
    parser.add_argument("--size", type=int, default=96, help="rows of an image")
    parser.add_argument(
        "--export", type=Path, default=Path("mobilenet_v2.pt2"), help="or .onnx"
    )
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    seen, unseen = images_of(given.images, given.size).chunk(2)
    network = network_of(given.weights, seen)
    made = {name: (bits, one) for name, bits, one in variants(network, seen)}
    calls = {name: partial(one, unseen[:1]) for name, (_, one) in made.items()}
    print(f"{'network':<26}{'MB':>7}{'10⁶ MACs':>10}{'SQNR, dB':>10}{'ms':>7}")
    with torch.no_grad():
        logits, seconds = network(unseen), compare_latencies(calls)
        for name, (bits, one) in made.items():
            megabytes = model_size(one, weight_bits=bits).bytes / 1e6
            macs = model_cost(one, seen.shape[1:]).macs / 1e6
            error, ms = sqnr(logits, one(unseen)), 1000 * seconds[name]
            print(f"{name:<26}{megabytes:7.2f}{macs:10.1f}{error:10.1f}{ms:7.1f}")
    if given.export.suffix == ".onnx":
        given.export.write_bytes(compress.to_onnx(one, seen[:1]))
    else:
        torch.export.save(torch.export.export(one, (seen[:1],)), given.export)
    print(f"one image, one thread of {device_name()}; the last is in {given.export}")


if __name__ == "__main__":
    main()
