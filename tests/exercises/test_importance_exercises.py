"""The checkers of chapter 12 accept right answers in several forms and name typical mistakes."""

import numpy as np
import pytest
import torch

from exercises.importance import BY_HAND, channels_to_spare
from reference_impl.pruning import inverse_hessian, optimal_brain_surgeon, surgeon_update
from tests.exercises.claims import advised, assert_failed, crossed, passing


def right(w, g):
    return (g * w).sum(dim=2).square().mean(dim=0)


def by_einsum(w, g):
    return torch.einsum("nuw,uw->nu", g, w).pow(2).mean(0)


def one_by_one(w, g):
    n = len(g)
    return torch.stack(
        [sum(torch.dot(g[k, i], w[i]) ** 2 for k in range(n)) / n for i in range(len(w))]
    )


def mean_first(w, g):
    return (g.mean(dim=0) * w).sum(dim=1).square()


def square_of_each(w, g):
    return (g * w).square().sum(dim=2).mean(dim=0)


def without_weight(w, g):  # noqa: ARG001 — the mistake
    return g.sum(dim=2).square().mean(dim=0)


def summed(w, g):
    return (g * w).sum(dim=2).square().sum(dim=0)


def absolute(w, g):
    return (g * w).sum(dim=2).abs().mean(dim=0)


def in_place(w, g):
    return g.mul_(w).sum(dim=2).square().mean(dim=0)


def slightly_off(w, g):
    return right(w, g) * (1 + 0.01 * (len(w) > 1))


def as_a_column(w, g):
    return right(w, g)[:, None]


RIGHT = [
    ("importance-surgeon", [1.25, 10 / 3, 0, -1.5]),
    ("importance-surgeon", (1.25, 3.33, 0, -1.5)),
    ("importance-surgeon", np.array([1.25, 3.333, 0.0, -1.5])),
    ("importance-surgeon", torch.tensor([[1.25, 3.3333], [0.0, -1.5]])),
    ("importance-unit", right),
    ("importance-unit", by_einsum),
    ("importance-unit", one_by_one),
    ("importance-unit", lambda w, g: right(w, g).float()),
    ("importance-spare", 9),
    ("importance-spare", torch.tensor(9)),
]


test_right_answers_pass = passing(RIGHT)


WRONG = [
    ("importance-surgeon", [1.5, 4, 0, -2], "optimal brain damage"),
    ("importance-surgeon", [2.5, 6.667, 0, -1.5], "factor ½"),
    ("importance-surgeon", [1.25, 3.333, 0, -2], "where it was"),
    ("importance-surgeon", [1.25, 3.333, 0, -2.5], "wrong sign"),
    ("importance-surgeon", [1.25, 3.333, -1, 0.5], "the step δw"),
    ("importance-surgeon", [1.25, 3.333, 0.333, 0], "the dearer weight"),
    ("importance-unit", mean_first, "mean over images before"),
    ("importance-unit", lambda w, g: right(w, g) / 2, "half of what is asked"),
    ("importance-unit", square_of_each, "each weight's product"),
    ("importance-unit", without_weight, "left the weight out"),
    ("importance-unit", summed, "grow with their number"),
    ("importance-unit", absolute, "absolute value"),
    ("importance-spare", 10, "broke the limit"),
    ("importance-spare", 23, "that stay"),
    ("importance-spare", 8, "norms"),
    ("importance-spare", 6, "mean over images"),
    ("importance-spare", 11, "next layer's output"),
]


test_wrong_answers_are_named = advised(WRONG)


CLAIMS = [
    ("importance-surgeon", [1.2, 3.333, 0, -1.5], ["both costs"]),
    ("importance-surgeon", [1.25, 3.333, 1, -1.5], ["the cheaper"]),
    ("importance-surgeon", [1.25, 3.333, 0, -2], ["the other weight"]),
    ("importance-unit", as_a_column, ["one score", "the scores"]),
    ("importance-unit", square_of_each, ["a unit's weights", "the scores"]),
    ("importance-unit", mean_first, ["images do not", "the scores"]),
    ("importance-unit", slightly_off, ["the scores"]),
    ("importance-unit", in_place, ["the arguments"]),
    ("importance-spare", 2.5, ["the answer counts", "with one more"]),
]

test_each_claim_can_fail = crossed(CLAIMS)


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
