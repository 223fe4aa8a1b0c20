"""The bias of an omitted class against every candidate tried."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from two_networks import drawn

from reference_impl.distillation import best_class_bias


def right(logits, labels, index, bias):
    moved = logits.clone()
    moved[:, index] += bias
    return int((moved.argmax(dim=1) == labels).sum())


@pytest.mark.equation("eq-student-bias")
@given(seed=st.integers(0, 10_000), n=st.integers(1, 40), classes=st.integers(2, 5))
def test_no_other_bias_is_better(seed, n, classes):
    """Oracle: all biases of a fine grid, and those just beside each gap."""
    logits, _, labels = drawn(seed, n, classes, spread=1)
    index = seed % classes
    best = right(logits, labels, index, best_class_bias(logits, labels, index))
    others = logits.clone()
    others[:, index] = -torch.inf
    gaps = others.amax(dim=1) - logits[:, index]
    tried = torch.cat([torch.linspace(-6, 6, 241), gaps - 1e-9, gaps + 1e-9])
    assert best >= max(right(logits, labels, index, b) for b in tried.tolist())
    assert best >= right(logits, labels, index, 0.0)


def test_by_hand():
    """Oracle: gaps 3 and 1 of the two of class 0, 2 of one that is right already: b in (1, 2).

    Where all answers are right already b is 0; the logits are left as they are.
    """
    logits = torch.tensor([[0.0, 3.0], [1.0, 2.0], [0.0, 2.0]])
    before = logits.clone()
    assert best_class_bias(logits, torch.tensor([0, 0, 1]), 0) == pytest.approx(1.5)
    assert torch.equal(logits, before)
    assert best_class_bias(torch.eye(4), torch.arange(4), 2) == 0


def of_gaps(*gaps, labels):
    """Return the bias of class 0 of two, of examples with these gaps."""
    logits = torch.tensor([[0.0, gap] for gap in gaps], dtype=torch.float64)
    return best_class_bias(logits, torch.tensor(labels), 0)


def test_of_the_best_intervals_the_widest_is_taken_unless_zero_is_in_one():
    """Oracle: counted by hand: 3 of 4 are right for b in (1, 1.1) and in (3, 9); then (−½, ½)."""
    assert of_gaps(1, 1.1, 3, 9, labels=[0, 1, 0, 1]) == pytest.approx(6)
    assert of_gaps(-0.5, 0.5, 1, 9, labels=[0, 1, 0, 1]) == 0


@pytest.mark.parametrize("labels", [[0, 1], [1, 0]])
def test_nothing_lies_between_two_equal_gaps(labels):
    """Oracle: b = 2 answers both with the class or neither; one is right for every b, so 0."""
    assert of_gaps(2, 2, labels=labels) == 0


@pytest.mark.parametrize("index", [0, 1])
def test_a_tie_is_not_left_to_argmax(index):
    """Oracle: two equal logits; with b = 0 the answer would be the first, whatever the label."""
    logits = torch.zeros(1, 2)
    for label in (0, 1):
        bias = best_class_bias(logits, torch.tensor([label]), index)
        assert right(logits, torch.tensor([label]), index, bias) == 1
