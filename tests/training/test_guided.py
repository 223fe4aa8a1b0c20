"""Methods of distillation: what each adds to the cross-entropy, of which places."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from reference_impl.compress import outputs_at
from reference_impl.data import load_dataset
from reference_impl.distillation import decoupled_parts
from reference_impl.models import MODELS
from reference_impl.training import (
    METHODS,
    Guided,
    Recipe,
    load_checkpoint,
    new_student,
    student_steps,
    view_with_features,
)
from reference_impl.training.distil import Targets

pytestmark = pytest.mark.usefixtures("one_thread")
N = 40
"""More images than the 32 between which angles are taken."""


@pytest.fixture(scope="module")
def images():
    return load_dataset().train[:N]


@pytest.fixture(scope="module")
def seen(images):
    """Return place → features of the student and of the teacher, by another walk."""
    return tuple(
        outputs_at(load_checkpoint(name), ["relu3", "flatten"], images.images)
        for name in ("student", "teacher")
    )


def rows_of_length_1(x):
    return F.normalize(x.flatten(1) @ x.flatten(1).T)


def maps(x):
    return F.normalize(x.square().sum(1).flatten(1))


def cosines(x):
    arrows = F.normalize(x[None] - x[:, None], dim=2)
    return arrows @ arrows.mT


def relative(x):
    return F.pdist(x) / F.pdist(x).mean()


def of_logits(name, z, v, labels):
    if name == "soft targets":
        return F.kl_div(z.log_softmax(1), v.softmax(1), reduction="batchmean")
    if name == "decoupled":
        parts = decoupled_parts(z, v, labels, temperature=1)
        return (parts.target + parts.others).mean()
    q, p = z.softmax(1), v.softmax(1)
    rows = F.cosine_similarity(q - q.mean(1, keepdim=True), p - p.mean(1, keepdim=True), 1)
    columns = F.cosine_similarity(q - q.mean(0), p - p.mean(0), 0)
    return 2 - rows.mean() - columns.mean()


def expected(name, mine, theirs, labels, adapters):
    """Return the loss, written out."""
    (f, m, z), (g, k, v) = ((x["relu3"], x["flatten"], x["head"]) for x in (mine, theirs))
    if name in ("soft targets", "decoupled", "correlations"):
        return of_logits(name, z, v, labels)
    if name == "hint":
        kernel, shift = adapters["student"].weight.view(128, 32), adapters["student"].bias
        adapted = torch.einsum("nchw,dc->ndhw", f, kernel) + shift[:, None, None]
        return (adapted - g).square().mean()
    if name == "attention":
        return (maps(f) - maps(g)).square().sum(1).mean()
    if name == "similarities":
        return (rows_of_length_1(f) - rows_of_length_1(g)).square().mean()
    if name == "distances, angles":
        angles = F.huber_loss(cosines(m[:32]), cosines(k[:32]), reduction="sum") / (32 * 31 * 30)
        return F.huber_loss(relative(m), relative(k)) + 2 * angles
    a, b = adapters["student"](m), adapters["teacher"](k)
    odds = F.normalize(a) @ F.normalize(b).T / 0.1 - torch.tensor(N - 1.0).log()
    pairs = F.binary_cross_entropy_with_logits(odds, torch.eye(N), reduction="sum")
    return pairs / N


@pytest.mark.parametrize("name", sorted(METHODS))
def test_each_objective_is_cross_entropy_and_a_weight_times_its_loss(name, images, seen):
    """Oracle: the losses written out in torch, of features by another walk over the chain."""
    method = METHODS[name]
    guided = method.guide(load_checkpoint("student"), seed=5).eval()
    view = view_with_features(load_checkpoint("teacher"), images, method.places)
    assert {features.dtype for features in view.features.values()} <= {torch.float16}
    targets = Targets(view.labels, view.logits, view.features)
    outputs = guided(images.images)
    found = method.objective(guided, 3.0)(outputs, targets)
    loss = expected(name, *seen, images.labels, guided.adapters)
    hard = F.cross_entropy(seen[0]["head"], images.labels)
    torch.testing.assert_close(found, hard + 3 * loss, rtol=2e-3, atol=1e-5)
    assert loss > 0.001
    none = method.objective(guided, 0)(outputs, targets)
    torch.testing.assert_close(none, hard)
    found.backward()
    assert all(weight.grad.any() for weight in guided.adapters.parameters())


@pytest.mark.usefixtures("unmoved")
@pytest.mark.parametrize("name", ["hint", "contrast"])
def test_a_seed_draws_the_adapters_and_nothing_else(name):
    """Oracle: the same seed again, and another one."""
    student = load_checkpoint("student")
    first, again, other = (
        list(METHODS[name].guide(student, seed=seed).adapters.parameters()) for seed in (1, 1, 2)
    )
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_last_batch_without_relations_is_a_step_on_the_labels(name, n):
    """Oracle: two steps for 32 + n images; cross-entropy alone, where n have no relations."""
    few, method = load_dataset().train[: 32 + n], METHODS[name]
    recipe = Recipe("student", epochs=1, batch_size=32)
    guided = method.guide(new_student(recipe), seed=0)
    view = view_with_features(load_checkpoint("teacher"), few, method.places)
    objective = method.objective(guided, 1.0)
    assert len(list(student_steps(guided, [view], objective, recipe))) == 2
    images, targets = view.batch(torch.arange(n))
    outputs = guided(images)
    alone = objective(outputs, targets) == F.cross_entropy(outputs["logits"], targets.labels)
    needs = {"correlations": 2, "similarities": 2, "contrast": 2, "distances, angles": 3}
    assert alone == (n < needs.get(name, 1))


def test_to_train_what_is_guided_is_to_train_the_student():
    """Oracle: the parameters themselves: the student's own and the adapters', each once."""
    student, adapter = MODELS["student"](), nn.Conv2d(32, 128, 1)
    guided = Guided(student, {"student": adapter}, ("relu3",))
    mine = {id(p) for p in guided.parameters()}
    assert mine == {id(p) for p in (*student.parameters(), *adapter.parameters())}


def test_features_too_large_for_half_precision_are_kept_as_they_are(images):
    """Oracle: what the teacher computes; 65,504 is float16's largest number."""
    teacher = load_checkpoint("teacher")
    with torch.no_grad():
        teacher.get_parameter("norm3.weight").mul_(1e6)
    features = view_with_features(teacher, images, ("relu3", "flatten")).features
    expected = outputs_at(teacher, ["relu3"], images.images)["relu3"]
    assert expected.max() > 65_504
    assert torch.equal(features["relu3"], expected)
