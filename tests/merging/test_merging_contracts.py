"""Every public function of the family refuses what its signature forbids."""

from functools import partial

import torch
from contracts import Contracts, unrefused

from reference_impl import merging as m

ROWS = torch.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 0.0]])
EYE = torch.eye(3)
UNITS, ONES, KEEP = torch.arange(3), torch.ones(3), torch.tensor([True, True, True])
NORM = {"gamma": ONES, "variance": ONES, "eps": 0.1}
relation = partial(
    m.normalised_relation, factor=ONES, pairs=(UNITS, UNITS), beta=ONES, mean=ONES, **NORM
)

CALLS = [
    partial(m.cosine_similarity, rows=ROWS),
    partial(m.connected_components, similarity=EYE, threshold=0.5),
    partial(m.complete_linkage, similarity=EYE, threshold=0.5),
    partial(m.nearest_kept, similarity=EYE, keep=KEEP),
    partial(m.projection_scale, kept=ROWS, gone=ROWS),
    partial(m.norm_ratio_scale, kept=ROWS, gone=ROWS),
    partial(m.gaussian_scale, kept=ROWS, gone=ROWS),
    partial(m.kappa, cosine=torch.tensor([0.5, -1.0])),
    partial(m.relative_error, cosine=torch.tensor([0.5]), ratio=torch.tensor([2.0])),
    partial(m.error_bound, kept=ROWS, gone=ROWS, scale=ONES),
    partial(m.batch_norm_factor, **NORM),
    relation,
    partial(m.WidthMap, merge=EYE, unmerge=EYE),
    partial(m.selection, keep=KEEP),
    partial(m.standing_in, keep=KEEP, stands_for=UNITS, scale=ONES),
    partial(m.map_axis, x=ROWS, axis=0, matrix=EYE, repeat=1),
    partial(m.pair_saliency, rows=ROWS, outgoing=EYE),
    partial(m.least_pair, saliency=EYE),
    partial(m.merge_by_saliency, rows=ROWS, outgoing=EYE, n_gone=1, normalised=True),
    partial(m.Reproduction, unmerge=EYE, offset=ONES),
    partial(m.reproduce, targets=ROWS, regressors=ROWS, towards=torch.eye(2), ridge=0.1),
    partial(m.greedy_keep, values=EYE, outgoing=ROWS, n_kept=2, ridge=0.1),
]

TWO_KEPT, ZERO = torch.tensor([True, False, True]), torch.zeros(3, 2)

REFUSED = [
    (lambda: m.cosine_similarity(ROWS * 0), "rows must not be zero, .* got row 0 of 0"),
    (lambda: m.complete_linkage(EYE + EYE.roll(1, 0), 0.5), "similarity must be symmetric, got"),
    (lambda: m.nearest_kept(EYE, ~KEEP), "keep must be true for one unit or more, got"),
    (lambda: m.projection_scale(ZERO, ROWS), "kept must be without a zero row, got"),
    (lambda: relation(gamma=torch.tensor([1.0, 0, 1])), "gamma must not be 0 for a kept unit"),
    (lambda: relation(pairs=(UNITS, UNITS + 1)), "pairs must be of units 0 to 2, got"),
    (lambda: m.selection(~KEEP), "keep must leave a unit or more, got none"),
    (lambda: m.standing_in(TWO_KEPT, torch.tensor([0, 1, 2]), ONES), "must name kept units, got"),
    (lambda: m.standing_in(TWO_KEPT, torch.tensor([0, -1, 2]), ONES), "must name kept units, got"),
    (lambda: m.standing_in(TWO_KEPT, torch.tensor([0, 0, 0]), ONES), "be the unit itself and 1"),
    (lambda: m.standing_in(TWO_KEPT, torch.tensor([0, 0, 2]), ONES / 2), "must be the unit itself"),
    (lambda: m.map_axis(ROWS, 1, EYE), "x must have 3 · 1 entries along axis 1, got"),
    (lambda: m.map_axis(ROWS, 2, EYE), "x must have 3 · 1 entries along axis 2, got"),
    (lambda: m.least_pair(ONES[:1, None]), "saliency must cover two units or more, got 1"),
    (lambda: m.merge_by_saliency(ROWS, EYE, 3), r"n_gone must be in \[0, 2\], got 3"),
    (
        lambda: m.merge_by_saliency(ZERO, EYE, 1, normalised=True),
        "rows must not be zero, got row 0",
    ),
    (lambda: m.greedy_keep(EYE, ROWS, 4, ridge=0), r"n_kept must be in \[1, 3\], got 4"),
]


class TestContracts(Contracts):
    face, calls, refused = m, CALLS, REFUSED


def test_a_formula_without_its_contract_accepts_wrong_arguments():
    """Oracle: the body of κ, which any number can be given to; so `contracts` can fail."""
    found = unrefused(partial(m.kappa.__wrapped__, cosine=torch.tensor([0.5])))
    assert any(line.startswith("cosine with nan: tensor") for line in found)
