"""The checkers of chapter 12 accept right answers in several forms and name typical mistakes."""

import pytest
import torch

from exercises.importance import BY_HAND, channels_to_spare
from reference_impl.pruning import inverse_hessian, optimal_brain_surgeon, surgeon_update
from tests.exercises.claims import assert_failed, judged, spoiling


def right(w, g):
    return (g * w).sum(dim=2).square().mean(dim=0)


RIGHT = {
    "importance-surgeon": [[1.25, 10 / 3, 0, -1.5], [1.25, 3.33, 0, -1.5]],
    "importance-unit": [
        right,
        lambda w, g: torch.einsum("nuw,uw->nu", g, w).pow(2).mean(0),
        lambda w, g: right(w, g).float(),
    ],
    "importance-spare": [9],
}


def mean_first(w, g):
    return right(w, g.mean(dim=0, keepdim=True))


def square_of_each(w, g):
    return (g * w).square().sum(dim=2).mean(dim=0)


WRONG = {
    "importance-surgeon": [
        ([1.5, 4, 0, -2], "optimal brain damage"),
        ([2.5, 6.667, 0, -1.5], "factor ½"),
        ([1.25, 3.333, 0, -2], "where it was", "the other weight"),
        ([1.25, 3.333, 0, -2.5], "wrong sign"),
        ([1.25, 3.333, -1, 0.5], "the step δw"),
        ([1.25, 3.333, 0.333, 0], "the dearer weight"),
        ([1.2, 3.333, 0, -1.5], "invert H first", "both costs"),
        ([1.25, 3.333, 1, -1.5], "its place is 0", "the cheaper"),
    ],
    "importance-unit": [
        (mean_first, "mean over images before", "images do not", "the scores"),
        (lambda w, g: right(w, g) / 2, "half of what is asked"),
        (square_of_each, "each weight's product", "a unit's weights", "the scores"),
        (lambda _, g: g.sum(dim=2).square().mean(dim=0), "left the weight out"),
        (lambda w, g: right(w, g) * len(g), "grow with their number"),
        (lambda w, g: (g * w).sum(dim=2).abs().mean(dim=0), "absolute value"),
        (lambda w, g: right(w, g)[:, None], "what is left is one axis", "one score", "the scores"),
        (lambda w, g: right(w, g) * (1 + 0.01 * (len(w) > 1)), "mean over images of", "the scores"),
        (spoiling(right, 1), "Do not work in place", "the arguments"),
    ],
    "importance-spare": [
        (10, "broke the limit"),
        (23, "that stay"),
        (8, "norms"),
        (6, "mean over images"),
        (11, "next layer's output"),
        (2.5, "Count the channels", "the answer counts", "with one more"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_the_surgeon_by_hand_is_the_packages() -> None:
    """Oracle: the package's costs and update."""
    w = torch.tensor([1.0, -2.0], dtype=torch.float64)
    inverse = inverse_hessian(torch.tensor([[3.0, 1.0], [1.0, 2.0]], dtype=torch.float64))
    costs = optimal_brain_surgeon(w, inverse)
    left = w + surgeon_update(w, inverse, 0)
    assert [*costs.tolist(), *left.tolist()] == pytest.approx(BY_HAND)


def test_the_channels_that_may_go() -> None:
    """Oracle: counted in the chapter's solution; no two counts are one."""
    counts = channels_to_spare()
    assert len({*counts.values(), counts["square first"] + 1}) == 5
    most = counts["square first"]
    assert most == 9
    assert_failed("importance-spare", most + 2, ["with so many"])
    assert_failed("importance-spare", most - 2, ["with one more"])
