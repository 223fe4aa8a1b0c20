"""Stages in any order: what they leave in force, and the training of each, by hand."""

import copy
import itertools
import re

import pytest
import torch
import torch.nn.functional as F

from reference_impl import compress, training
from reference_impl.models import ConvStudent, LeNet300
from reference_impl.training import Distil, Merge, Prune, QatRecipe, Quantize, Stage, View, pipeline
from reference_impl.training.pipeline import index_batches

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = QatRecipe(bits=None, epochs=1, batch_size=64, learning_rate=0.03, seed=3)
STAGES = {"prune": Prune(0.6), "merge": Merge(0.5), "distil": Distil(), "quantize": Quantize(3)}
ORDERS = [
    ("prune", "merge", "distil", "quantize"),
    ("quantize", "merge", "prune", "distil"),
    ("distil", "quantize", "prune", "merge"),
]


def small():
    torch.manual_seed(0)
    return LeNet300((20, 10)).eval()


@pytest.fixture(scope="module")
def view(few):
    return training.view(training.load_checkpoint("lenet300"), few)


@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
@pytest.mark.parametrize("network", [small(), ConvStudent((4, 6, 8)).eval()], ids=["lenet", "conv"])
def test_what_a_stage_did_is_in_force_to_the_end(view, order, network):
    """Oracle: zeros, widths and codes, counted after each stage; the caller's network as it was."""
    before = copy.deepcopy(network.state_dict())
    done, zeros = set(), {}
    stages = [STAGES[name] for name in order]
    for name, now in zip(order, pipeline(network, stages, view, RECIPE, 12), strict=True):
        done.add(name)
        masks = {n.replace(".layer.", "."): m for n, m in compress.masks_of(now).items()}
        if "prune" in done:
            assert compress.density(now) < 0.8
            if name != "merge":
                assert all((masks[n] <= kept).all() for n, kept in zeros.items())
            zeros = masks
        for label, n in network.widths.items():
            layer = now.get_submodule(
                next(p for p, at in network.width_names.items() if at == label)
            )
            units = len(getattr(layer, "layer", layer).weight)
            assert units == (n // 2 if "merge" in done else n)
        learned = compress.learned_layers(now)
        assert bool(learned) == ("quantize" in done)
        assert not now.training
    for layer in compress.deploy(now).modules():
        if isinstance(layer, compress.QuantizedLayer):
            codes = layer.layer.weight / layer.weight_quantizer.scale
            torch.testing.assert_close(codes, codes.round(), atol=1e-4, rtol=0)
            assert codes.abs().max() <= 3.001
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    "stage", [Stage(), Prune(0.5), Distil(2.0, 0.7)], ids=["plain", "prune", "distil"]
)
def test_a_stage_is_trained_as_by_hand(view, stage):
    """Oracle: torch's SGD on the two batches of the stream, with the loss written out; masks."""
    start, both = small(), []
    found = training.after_stage(start, stage, view, RECIPE, 2, begin=1)
    for batch in itertools.islice(index_batches(view, RECIPE), 1, 3):
        both.append(view.batch(batch))
    ours = stage.changed(start, both[0][0])
    masks = compress.masks_of(ours)
    optimizer = torch.optim.SGD(ours.parameters(), momentum=0.9)
    for step, (images, to) in enumerate(both):
        optimizer.param_groups[0]["lr"] = RECIPE.rate(step / 2)
        optimizer.zero_grad()
        z = ours(images)
        loss = F.cross_entropy(z, to.labels)
        if isinstance(stage, Distil):
            p, log_q = (to.logits / 2).softmax(1), (z / 2).log_softmax(1)
            loss = 0.3 * loss + 0.7 * 4 * (p * (p.log() - log_q)).sum(1).mean()
        loss.backward()
        optimizer.step()
        compress.apply_masks(ours, masks)
    torch.testing.assert_close(found.state_dict(), ours.state_dict(), rtol=1e-4, atol=1e-5)


def test_stages_see_one_stream_of_batches(view):
    """Oracle: the stream itself, which the seed alone decides; its epochs differ in their order."""
    seen = []

    class Watched(Stage):
        def loss(self, logits, targets):
            seen.append(targets.labels.tolist())
            return super().loss(logits, targets)

    list(pipeline(small(), [Watched(), Watched(), Watched()], view, RECIPE, 12))
    stream = itertools.islice(index_batches(view, RECIPE), 12)
    assert seen == [view.labels[chosen].tolist() for chosen in stream]
    assert seen[0] != seen[10]


def test_a_merge_keeps_the_zeros_of_the_kept_and_is_least_squares_elsewhere(few):
    """Oracle: `merge_least_squares` with the same units; the zeros of the narrowed network."""
    network, images = small(), few.images[:64]
    pruned = Prune(0.5).changed(network, images)
    for one in (network, pruned):
        merged = Merge(0.5).changed(one, images)
        norms = {"hidden1": one.fc1, "hidden2": one.fc2}
        keep = {}
        for label, layer in norms.items():
            norm = torch.cat([layer.weight, layer.bias[:, None]], dim=1).norm(dim=1)
            keep[label] = norm > norm.sort().values[len(norm) // 2 - 1]
        expected = compress.merge_least_squares(one, keep, images, ridge=0.03)
        narrowed = compress.remove_units(one, keep)
        for path in ("fc1", "fc2", "fc3"):
            w, kept = (net.get_submodule(path).weight for net in (expected, narrowed))
            torch.testing.assert_close(merged.get_submodule(path).weight, w * (kept != 0))


def test_pruning_counts_the_zeros_that_there_are():
    """Oracle: counts; what was dropped is dropped again, and no more."""
    images = torch.zeros(1, 1, 28, 28)
    once = Prune(0.5).changed(small(), images)
    again = Prune(0.6).changed(once, images)
    assert compress.density(once) == pytest.approx(0.5, abs=1e-4)
    assert compress.density(again) == pytest.approx(0.4, abs=1e-4)
    after = compress.masks_of(again).items()
    assert all((mask <= compress.masks_of(once)[name]).all() for name, mask in after)


VIEW = View(torch.zeros(4, 1, 28, 28, dtype=torch.uint8), torch.arange(4), torch.zeros(4, 10))
REFUSED = [
    (lambda: Prune(1.0), "sparsity must be in [0, 1), got 1.0"),
    (lambda: Merge(-0.1), "share must be in [0, 1), got -0.1"),
    (lambda: Quantize(1), "bits must be in [2, 8], got 1"),
    (lambda: Distil(0.0), "temperature must be in (0, 100]"),
    (lambda: next(pipeline(small(), [], VIEW, RECIPE, 4)), "stages must be one stage or more"),
    (lambda: next(pipeline(small(), [Prune(0.5)] * 2, VIEW, RECIPE, 3)), "of 2 stages, got 3"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_bad_input_is_named(call, message):
    """Oracle: the message names argument, value and expectation."""
    with pytest.raises(ValueError, match=re.escape(message)):
        call()
