"""Layers without some of their weights, against the outputs themselves, lstsq and a slow solver."""

import itertools
from functools import partial

import draws
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl import pruning

SEEDS = st.integers(0, 1000)
normal = partial(draws.normal, dtype=torch.float64)


def layer(seed, out=4, width=8):
    """Return weights, and correlated inputs of unequal size."""
    x = normal(40, width, seed=seed) + 0.7 * normal(40, 1, seed=seed + 1)
    return normal(out, width, seed=seed + 2), x * torch.linspace(0.3, 2, width).double()


def slow_sparse_gpt(w, h, sparsity, block):
    """Return the same by an explicit inverse of what is left, for every column."""
    w = w.clone()
    d = w.shape[1]
    inverses = [torch.linalg.inv(h[j:, j:]) for j in range(d)]
    for start in range(0, d, block):
        columns = range(start, min(start + block, d))
        score = torch.stack([w[:, j] ** 2 / inverses[j][0, 0] for j in columns], dim=1)
        keep = pruning.keep_highest(score, share=1 - sparsity)
        for i, j in itertools.product(range(len(w)), columns):
            if not keep[i, j - start]:
                w[i, j:] -= w[i, j] / inverses[j][0, 0] * inverses[j][0]
                w[i, j] = 0
    return w


@given(SEEDS)
def test_error_is_that_of_the_outputs(seed):
    """Oracle: the layer's outputs for all inputs, with another weight."""
    w, x = layer(seed)
    other = normal(*w.shape, seed=seed + 9)
    moved = (x @ (w - other).T).square().sum(dim=0)
    assert torch.allclose(pruning.reconstruction_error(w, other, pruning.input_hessian(x)), moved)


@given(SEEDS, st.floats(0, 0.9))
def test_refit_is_least_squares(seed, sparsity):
    """Oracle: torch.linalg.lstsq on the inputs that are kept, row by row."""
    w, x = layer(seed)
    keep = pruning.keep_highest(w.abs(), share=1 - sparsity)
    keep[0] = False  # all of a row may be dropped
    found = pruning.refit(w, pruning.input_hessian(x), keep)
    assert not found[~keep].any()
    for i in range(1, len(w)):
        if keep[i].any():
            best = torch.linalg.lstsq(x[:, keep[i]], (x @ w[i])[:, None]).solution[:, 0]
            assert torch.allclose(found[i, keep[i]], best, rtol=1e-6, atol=1e-9)


@pytest.mark.equation("eq-importance-row")
@given(SEEDS, st.sampled_from([0.0, 0.25, 0.5, 0.75]), st.sampled_from([1, 3, 8, 128]))
def test_sparse_gpt_is_the_slow_solver(seed, sparsity, block):
    """Oracle: an explicit inverse for every column, weight by weight; the count of zeros."""
    w, x = layer(seed)
    h = pruning.input_hessian(x)
    found = pruning.sparse_gpt(w, h, sparsity, block=block)
    assert torch.allclose(found, slow_sparse_gpt(w, h, sparsity, block))
    if block != 3:  # whose shares of 12 and 8 weights are rounded
        assert int((found == 0).sum()) == sparsity * w.numel()


def test_sparse_gpt_beats_wanda_and_wanda_magnitude():
    """Oracle: the outputs, mean over twenty layers."""
    errors = torch.zeros(3, dtype=torch.float64)
    for seed in range(20):
        w, x = layer(50 * seed, out=16)
        h = pruning.input_hessian(x)
        norm = torch.linalg.vector_norm(x, dim=0)
        by_row = torch.stack(
            [pruning.keep_highest(row, share=0.5) for row in pruning.wanda(w, norm)]
        )
        by_size = pruning.keep_highest(pruning.magnitude(w), share=0.5)
        for i, pruned in enumerate((pruning.sparse_gpt(w, h, 0.5), w * by_row, w * by_size)):
            errors[i] += pruning.reconstruction_error(w, pruned, h).sum() / 20
    assert errors[0] < 0.8 * errors[1]
    assert errors[1] < 0.8 * errors[2]


def test_wandas_square_is_the_error_with_a_diagonal_hessian():
    """Oracle: the error of one zero; the Hessian off its diagonal plays no part."""
    w, x = layer(0)
    h = torch.diag(pruning.input_hessian(x).diagonal())
    score = pruning.wanda(w, torch.linalg.vector_norm(x, dim=0))
    for j in range(w.shape[1]):
        without = w.clone()
        without[:, j] = 0
        assert torch.allclose(score[:, j].square(), pruning.reconstruction_error(w, without, h))
        assert torch.equal(pruning.refit(w, h, without != 0), without)
