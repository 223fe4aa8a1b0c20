"""The checkers of chapters 10 to 12 accept right answers, and name wrong ones."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.optimize import brentq, minimize_scalar
from scipy.special import softmax as scipy_softmax
from scipy.stats import entropy, ttest_ind

from exercises import report
from exercises.chapters import student
from exercises.chapters.distill import RIGHT as BY_HAND
from exercises.chapters.relation_numbers import CLIPS, INFORMATION, OTHERS, SMALLEST, TARGET, WHOLE
from exercises.chapters.student_views import DEVIATIONS, DIFFERENCE, ERROR, NEEDED, T_8, VARIANCES
from reference_impl.data import load_dataset
from reference_impl.distillation import (
    best_class_bias,
    distance_relation_loss,
    distillation_objective,
    similarity_preserving_loss,
)
from reference_impl.measuring import mean_interval, paired_gain, reliability, student_quantile
from reference_impl.training import load_checkpoint, predict
from tests.exercises.claims import judged, spoiling

pytestmark = pytest.mark.filterwarnings("ignore:reduction")  # torch's, about kl_div's mean


def by_torch(z, v, labels, t, alpha):
    q = F.log_softmax(z / t, 1)
    p = F.softmax(v.detach() / t, 1)
    soft = F.kl_div(q, p, reduction="batchmean")
    return (1 - alpha) * F.cross_entropy(z, labels) + alpha * t**2 * soft


def by_reference(student, teacher, labels, temperature, alpha):
    return distillation_objective(student, teacher, labels, temperature=temperature, alpha=alpha)


def by_pixel(z, v, t):
    z, v = (x.permute(0, 2, 3, 1).reshape(-1, x.shape[1]) for x in (z, v.detach()))
    return t**2 * F.kl_div(F.log_softmax(z / t, 1), F.softmax(v / t, 1), reduction="batchmean")


HAND = [0.8, 0.7710, 0.7632, -0.59]
MEAN, SUM = 'reduction="batchmean")', 'reduction="none").sum(1)'


def count(logits, labels, k, bias):
    moved = logits.clone()
    moved[:, k] += bias
    return int((moved.argmax(dim=1) == labels).sum())


def on_grid(low):
    """Return the best of a grid of biases up to 15."""
    return lambda logits, labels, k: max(
        np.linspace(low, 15, 601), key=lambda b: count(logits, labels, k, b)
    )


by_grid = on_grid(-15)


def most_recall(logits, labels, k):
    own = labels == k
    return max(range(30), key=lambda b: count(logits[own], labels[own], k, b))


def relations(student, teacher):
    d, e = map(F.pdist, (student, teacher))
    return F.smooth_l1_loss(d / d.mean(), e / e.mean())


def ordered_pairs(x):
    return torch.cdist(x, x)[~torch.eye(len(x), dtype=torch.bool)]


def roots(x):
    return (x[:, None] - x).square().sum(-1).sqrt()[~torch.eye(len(x), dtype=torch.bool)]


def hints(student, teacher):
    return F.mse_loss(student.mean(1), teacher.mean(1))


def stored_views(teacher, images, change, seeds):
    teacher.eval()
    found = []
    for seed in seeds:
        changed = change(images, torch.Generator().manual_seed(seed))
        with torch.no_grad():
            found.append((changed, teacher(changed)))
    return found


def similarities(student, teacher):
    g, h = (F.normalize(x.flatten(1) @ x.flatten(1).T) for x in (student, teacher.detach()))
    return F.mse_loss(g, h)


ALL_PAIRS = {"F.pdist": "lambda x: torch.cdist(x, x)"}
WITHOUT_ZEROS = {"d.mean()": "d[d > 0].mean()", "e.mean()": "e[e > 0].mean()"}
SUMMED = {"e.mean())": 'e.mean(), reduction="sum")'}

HALF = {"teacher": 5.7153, "student": 3.7877}
"""The temperatures at which the largest probability is 0.5 on average, by `halves`."""

RIGHT = {
    "distill-temperature": [5.7, HALF["teacher"]],
    "distill-hand": [HAND, [0.8, 0.77, 0.76, -0.59]],
    "distill-objective": [by_torch, by_reference, lambda *a: by_torch(*a)[None]],
    "distill-alpha": [0.0220049, 0.022],
    "distill-pixels": [by_pixel, lambda *a: by_pixel(*a)[None]],
    "student-gain": [[0.6, 0.43], [0.6, 0.4303]],
    "student-bias": [best_class_bias, by_grid, lambda *a: torch.tensor(by_grid(*a))],
    "student-scaling": [1.66, 1.7, 1.65],
    "student-views": [stored_views, lambda *a: [list(pair) for pair in stored_views(*a)]],
    "student-paper": [[0.2864, 0.6603, 12], [0.286, 0.66, 12]],
    "relation-parts": [[TARGET, OTHERS, WHOLE], [0.0915, 0.549, 0.201]],
    "relation-distances": [relations, {"F.pdist": "ordered_pairs"}, distance_relation_loss],
    "relation-similarities": [similarities, similarity_preserving_loss],
    "relation-clips": [CLIPS],
    "relation-batch": [SMALLEST, 1 + math.ceil(math.exp(INFORMATION))],
}

WRONG = {
    "distill-temperature": [
        (1 / HALF["teacher"], "T divides them"),
        (HALF["student"], "student's"),
        (1, "the teacher's largest probability is 0.95"),
        (8, "change T until that is 0.5", "the teacher's largest"),
    ],
    "distill-hand": [
        ({0: 16 / 17}, "divide the logits by T first", "p1 is right"),
        ({1: 0.1927}, "left out T²", "T² D is right"),
        ({1: 0.3855}, "not by T", "T² D is right"),
        ({1: 0.8926}, "swapped the two", "T² D is right"),
        ({1: 1.1123}, "base 2", "T² D is right"),
        ({1: 4 * math.log(2)}, "cross-entropy", "T² D is right"),
        ({2: 0.7009}, "swapped the weights", "the objective is right"),
        ({3: -0.51}, "swapped the weights", "the slope is right"),
        ({3: 0.59}, "wrong sign", "the slope is right"),
        ({3: -1.13}, "one T goes", "the slope is right"),
        ({3: -0.32}, "one T goes", "the slope is right"),
        ({3: -0.185}, "less one", "the slope is right"),
    ],
    "distill-objective": [
        ({" * t**2": ""}, "left out T²"),
        ({"t**2": "t"}, "multiplied by T, not by T²"),
        ({"(q, p,": "(p.log(), q.exp(),"}, "swapped student and"),
        ({"batchmean": "mean"}, "number of classes"),
        ({"batchmean": "sum"}, "number of images"),
        ({"(1 - alpha)": "alpha", "+ alpha": "+ (1 - alpha)"}, "swapped the weights"),
        ({"(z, labels)": "(z / t, labels)"}, "softened the hard term"),
        ({"(1 - alpha)": "t**2 * (1 - alpha)"}, "hard term by T² too"),
        ({"z / t": "z", "() / t": "()"}, "the factor T² alone"),
        (lambda z, v, labels, _, alpha: by_torch(z, v, labels, 1, alpha), "left out T altogether"),
        ({"z / t": "z"}, "teacher alone"),
        ({"log_softmax": "softmax"}, "logarithm"),
        ({"z / t, 1": "z / t, 0", "() / t, 1": "() / t, 0"}, "dim 0"),
        ({"z / t": "z * t", "() / t": "() * t"}, "instead of dividing"),
        ({f"F.kl_div(q, p, {MEAN}": "-(p * q).sum(1).mean()"}, "entropy is still in it"),
        ({"F.kl_div": "-F.kl_div"}, "wrong sign"),
        ({MEAN: SUM}, "must be one number"),
        (lambda z, *rest: by_torch(z.detach(), *rest), "must not be detached"),
        ({".detach()": ""}, "Detach the teacher", "no gradient reaches the teacher"),
        ({"return": "v *= 2\n    return"}, "in-place operation", "no gradient reaches"),
        ({"log_softmax(z / t, 1)": "softmax(z / t, 1).log()"}, "Use log_softmax", "large l"),
    ],
    "distill-alpha": [
        (0.0825688, "the mean over the 100 classes"),
        (0.6923, "factor T in the place of T²"),
        (0.005594, "T² is missing only once"),
        (0.00225, "divide it by the sum"),
        (0.0225, "ratio of the two weights"),
        (0.99972, "made the soft part larger"),
        (0.9, "times too small", "the ratio"),
    ],
    "distill-pixels": [
        ({"t**2 *": "z.shape[0] / 3 * t**2 *"}, "along axis 1", "the values"),
        (lambda z, v, t: z[0, 0].numel() * by_pixel(z, v, t), "number of images only"),
        ({"batchmean": "mean"}, "mean over the classes"),
        ({"t**2 *": ""}, "left out T²"),
        ({"batchmean": "sum"}, "sum over images and pixels"),
        ({"0, 2, 3, 1": "0, 1, 2, 3", "-1, x.shape[1]": "-1, x.shape[3]"}, "columns"),
        ({"0, 2, 3, 1": "1, 2, 3, 0", "-1, x.shape[1]": "-1, x.shape[0]"}, "over the images"),
        ({"F.kl_div": "2 * F.kl_div"}, "along axis 1", "the values"),
        (lambda z, v, t: by_pixel(v, z, t), "swapped student and teacher"),
        (lambda z, v, t: t**2 * F.cross_entropy(z / t, F.softmax(v / t, 1)), "entropy"),
        ({".detach()": ""}, "Detach the teacher", "no gradient reaches"),
        (lambda z, *rest: by_pixel(z.detach(), *rest), "must not be detached", "the student"),
        (lambda z, v, t: z - v, "must be one number"),
    ],
    "student-gain": [
        ([-0.6, 0.43], "wrong way round"),
        ([0.5, 0.43], "difference distilled − alone of each seed"),
        ([0.6, 0.9], "divided by 2"),
        ([0.6, 0.196], "1.96, the normal quantile"),
        ([0.6, 0.1], "standard error"),
        ([0.6, 0.173], "standard deviation of the gains"),
        ([0.6, 0.351], "You divided the squares by 3"),
        ([0.6, 0.745], "You did not divide by √3"),
        ([0.6, 0.318], "three degrees of freedom"),
        ([0.6, 0.292], "one-sided"),
        ([0.6, 0.703], "unpaired"),
        ([0.6, 0.453], "unpaired"),
    ],
    "student-bias": [
        (lambda *a: -best_class_bias(*a), "sign is the wrong way round"),
        (most_recall, "You count only the examples of class k"),
        (lambda *_: 0.0, "corrects nothing"),
        (lambda *_: 1.0, "Try many biases"),
        (on_grid(0), "Try numbers below 0 too"),
        (spoiling(best_class_bias), "Add to a copy"),
    ],
    "student-scaling": [
        (0.6, "You multiplied the logits"),
        (0.78, "You fitted it on the training images"),
        (1.57, "You minimized the ECE"),
        (1.0, "too confident"),
        (2.5, "take the least"),
        (-1.0, "T > 0"),
    ],
    "student-views": [
        ({"teacher(changed)": "teacher(images)"}, "must see the changed", "the answers are those"),
        ({"teacher.eval()": "teacher.train()"}, "teacher.eval()", "the teacher answers in"),
        (
            {"teacher(changed)": "teacher(changed).softmax(1)"},
            "Store the logits",
            "the answers are l",
        ),
        ({"torch.no_grad()": "torch.enable_grad()"}, "torch.no_grad()", "the answers carry"),
        ({"manual_seed(seed)": "manual_seed(0)"}, "one call for each seed"),
        (lambda *_: [], "one pair for each seed"),
    ],
    "student-paper": [
        ({0: 0.640}, "did not divide", "the standard error"),
        ({0: 0.402}, "add their squares", "the standard error"),
        ({1: 0.561}, "eight degrees", "the half width"),
        ({2: 10}, "1.96", "the number of runs"),
        ({2: 9.84}, "1.96", "the number of runs"),
        ({2: 11}, "eleven", "the number of runs"),
        ({2: 5}, "smallest n", "the number of runs"),
    ],
    "relation-parts": [
        ([0.1046, 0.5493, 0.3243], "swapped"),
        ([x / math.log(2) for x in (TARGET, OTHERS, WHOLE)], "nat"),
        ([TARGET, -0.0288, WHOLE], "did not divide"),
        ([0.2301, OTHERS, 0.34], "second term"),
        ([TARGET, OTHERS, TARGET + OTHERS], "without the weight"),
        ([TARGET, OTHERS, TARGET + 0.8 * OTHERS], "the *less*"),
        ([TARGET, OTHERS, TARGET + 0.4 * OTHERS], "student's"),
        ([0.5, OTHERS, WHOLE], "two numbers with two", "the target part"),
        ([TARGET, 0.3, WHOLE], "divide the rest"),
        ([TARGET, OTHERS, 0.9], "times the others' part"),
        ([0.5, 0.5, 0.5], "two numbers with two", "the target", "the others'", "the whole"),
    ],
    "relation-distances": [
        (ALL_PAIRS, "n² pairs. The distance"),
        (ALL_PAIRS | WITHOUT_ZEROS, "last mean"),
        ({"d.mean()": "e.mean()"}, "same mean", "scaling", "the loss is"),
        ({"smooth_l1": "mse"}, "squared error", "the loss is"),
        ({"F.smooth_l1": "0.5 * F.mse"}, "halves"),
        ({"F.pdist": "lambda x: F.pdist(x) ** 2"}, "squared distances"),
        (SUMMED, "summed"),
        (SUMMED | {"return": "return 2 *"}, "ordered"),
        ({"F.pdist": "roots"}, "slope 1/0", "two equal"),
        (hints, "differences of examples", "moving", "scaling", "the loss is"),
    ],
    "relation-batch": [
        (math.exp(INFORMATION / 5) + 1, "five adds up"),
        (math.exp(2 * INFORMATION), "factor ½"),
        (2**INFORMATION, "2 to the power"),
        (INFORMATION, "itself, in nats"),
        (1000, "ceiling of the bound", "with a batch of that size"),
        (1e7, "e to the power of MI", "with one example fewer"),
        (SMALLEST - 1, "ceiling of the bound", "with a batch of that size"),
        (SMALLEST + 1, "e to the power of MI", "with one example fewer"),
        (SMALLEST - 0.5, "whole number", "the answer is a whole", "with a batch of that size"),
    ],
    "relation-similarities": [
        ({"x.flatten(1).T)": "x.flatten(1).T, 1)"}, "power", "matrices", "feature maps"),
        (
            {
                "x.flatten(1).T)": "x.flatten(1).T, 1)",
                "F.mse_loss(g, h)": "len(g) * F.mse_loss(g, h)",
            },
            "power",
        ),
        ({"F.mse_loss(g, h)": "len(g) * F.mse_loss(g, h)"}, "n² entries"),
        ({"F.mse_loss(g, h)": "F.l1_loss(g, h)"}, "length 1", "matrices", "feature maps"),
        ({".detach()": ""}, "Detach", "no gradient"),
    ],
    "relation-clips": [
        ({0: 64 * 512}, "biases", "the parameters"),
        ({0: 3_328_000}, "one moment"),
        ({1: 4032}, "twice", "the number of distances"),
        ({1: 4096}, "to itself"),
        ({2: 64 * 63}, "A corner", "the number of angles"),
        ({2: 249_984}, "angle twice", "the number of angles"),
        ({3: 204.8}, "two bytes", "the kilobytes"),
        ({3: 1024}, "100 moments"),
        ({0: 3}, "64 weights"),
        ({1: 3}, "Each pair once"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def halves(name: str) -> float:
    """Return the temperature by SciPy's softmax and root."""
    images = load_dataset().validation.images[:500]
    logits = predict(load_checkpoint(name), images).double().numpy()
    return brentq(lambda t: scipy_softmax(logits / t, axis=1).max(axis=1).mean() - 0.5, 1, 100)


def test_temperatures_of_doubt_are_told_from_others():
    """Oracle: the root by brentq, and numbers beside it."""
    assert {name: halves(name) for name in HALF} == pytest.approx(HALF, abs=1e-4)
    for answer in (HALF["teacher"] + 0.5, HALF["teacher"] - 0.5, 0, -3, 100):
        assert not report("distill-temperature", answer).passed


def test_the_hand_answer_is_the_packages():
    """Oracle: the objective and autograd."""
    z = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    v = torch.tensor([[2 * math.log(4), 0.0]], dtype=torch.float64)
    soft, loss = (by_reference(z, v, torch.tensor([0]), 2, alpha) for alpha in (1, 0.9))
    (slope,) = torch.autograd.grad(loss, z)
    found = [(v / 2).softmax(1)[0, 0], soft, loss, slope[0, 0]]
    assert [one.item() for one in found] == pytest.approx(list(BY_HAND))
    assert list(BY_HAND) == pytest.approx(HAND, abs=5e-4)


def test_the_gain_is_the_packages_and_the_interval_of_the_differences():
    """Oracle: `paired_gain`, itself compared with SciPy's paired test."""
    alone, distilled = (87.2, 87.6, 87.1), (87.9, 88.0, 87.8)
    found = paired_gain(distilled, alone)
    assert (found.mean, found.half_width) == pytest.approx(
        (student.GAIN, student.HALF_WIDTH), abs=1e-6
    )
    gains = [b - a for a, b in zip(alone, distilled, strict=True)]
    assert found.half_width == pytest.approx(mean_interval(gains).half_width)


def test_the_papers_interval_is_scipys():
    """Oracle: ``scipy.stats.ttest_ind`` on five numbers with these means and deviations."""
    unit = np.array([-2, -1, 0, 1, 2]) / math.sqrt(2.5)  # standard deviation 1
    first, second = DEVIATIONS
    found = ttest_ind(DIFFERENCE + second * unit, first * unit).confidence_interval(0.95)
    assert found.high - found.low == pytest.approx(2 * T_8 * ERROR)
    for runs in (NEEDED - 1, NEEDED):
        half_width = student_quantile(0.95, 2 * runs - 2) * math.sqrt(VARIANCES / runs)
        assert (half_width <= DIFFERENCE) == (runs == NEEDED)


def test_the_temperatures_are_the_minima():
    """Oracle: SciPy's minimizer on the logits of the shipped network; a scan for the ECE."""
    dataset, model = load_dataset(), load_checkpoint("lenet300")
    for examples, expected in (
        (dataset.validation, student.CALIBRATED),
        (dataset.train, student.ON_TRAINING_IMAGES),
    ):
        logits = predict(model, examples.images).double()

        def nll(t, logits=logits, labels=examples.labels):
            return F.cross_entropy(logits / t, labels).item()

        found = minimize_scalar(nll, bounds=(0.3, 4), method="bounded")
        assert found.x == pytest.approx(expected, abs=0.005)
    logits, labels = predict(model, dataset.validation.images), dataset.validation.labels
    tried = [1 + step / 100 for step in range(100)]
    best = min(tried, key=lambda t: reliability(logits / t, labels).expected_error)
    assert best == pytest.approx(student.LEAST_ECE, abs=0.02)


def test_the_expected_parts_are_relative_entropies():
    """Oracle: ``scipy.stats.entropy``, which divides by the sums itself."""
    p, q = np.array([0.8, 0.15, 0.05]), np.array([0.6, 0.1, 0.3])
    assert entropy(p, q) == pytest.approx(WHOLE)
    assert entropy(p[1:], q[1:]) == pytest.approx(OTHERS)
    assert entropy([0.8, 0.2], [0.6, 0.4]) == pytest.approx(TARGET)


def test_the_expected_batch_is_the_smallest():
    """Oracle: its logarithm and that of one example less."""
    assert math.log(SMALLEST - 1) >= INFORMATION > math.log(SMALLEST - 2)
