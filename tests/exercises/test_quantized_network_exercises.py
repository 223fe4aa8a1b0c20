"""The checkers of chapters 04, 07 and 09 accept right answers, and name wrong ones."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.optimize import brentq, minimize_scalar
from torch.nn.utils.fusion import fuse_conv_bn_weights

from exercises.chapters.integer import pair_fits
from exercises.chapters.ptq import clipping_error, exponential_signal
from exercises.chapters.qat import BEST, CLIPPED_FIRST, SETTLED
from tests.exercises.claims import judged, spoiling


def difference_product(qa, qb, za, zb):
    return (qa.long() - za) @ (qb.long() - zb)


def four_terms(qa, qb, za, zb):
    a, b = qa.int(), qb.int()
    rows, columns = a.sum(dim=1, keepdim=True), b.sum(dim=0, keepdim=True)
    return a @ b - zb * rows - za * columns + a.shape[1] * za * zb


def colleagues_product(qa, qb, za, zb):
    return (qa - za).int() @ qb.int() - zb * qa.sum(dim=1, keepdim=True)


def banker_shift(a, m, t):
    p = a * m
    return (p + 2 ** (t - 1) - 1 + ((p >> t) & 1)) >> t


def by_fractions(a, m, t):
    return np.array([round(Fraction(int(x) * m, 2**t)) for x in a])


def fold(weight, bias, norm):
    a = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = a * (bias - norm.running_mean) + norm.bias
    return weight * a.view(-1, *[1] * (weight.ndim - 1)), shift


def fold_by_torch(weight, bias, norm):
    statistics = (norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    return [part.detach().numpy() for part in fuse_conv_bn_weights(weight, bias, *statistics)]


def by_mean_inputs(weight, rounded, bias, x, x_hat):
    axes = [axis for axis in range(x.ndim) if axis != 1]
    return bias + weight @ x.mean(dim=axes) - rounded @ x_hat.mean(dim=axes)


def by_outputs(weight, rounded, bias, x, x_hat):
    y = np.einsum("oi,ni...->no...", weight.numpy(), x.numpy())
    y_hat = np.einsum("oi,ni...->no...", rounded.numpy(), x_hat.numpy())
    channels = range(len(bias))
    return bias.numpy() + np.array([(y[:, o] - y_hat[:, o]).mean() for o in channels])


def by_where(x, s, q_min, q_max):
    u = x / s
    q = torch.round(u)
    inside = x + s * (q - u).detach()
    outside = s * q.detach().clamp(q_min, q_max)
    return torch.where((q < q_min) | (q > q_max), outside, inside)


def learned_by_torch(x, scale, q_min, q_max):
    flat = torch._fake_quantize_learnable_per_tensor_affine(
        x.float(), scale.float().view(1), torch.zeros(1), q_min, q_max, 1.0
    )
    return flat.double()


def through(u):
    """Return the rounded u with the gradient of u."""
    return u + (torch.round(u) - u).detach()


def kept_and_masked(w, s, q_max, gradient_of, rate):
    codes = torch.round(w / s)
    w_hat = s * codes.clamp(-q_max, q_max)
    return w - rate * gradient_of(w_hat) * (codes.abs() <= q_max)


def by_autograd(w, s, q_max, gradient_of, rate):
    w = w.detach().clone().requires_grad_()
    w_hat = by_where(w, torch.tensor(s, dtype=w.dtype), -q_max, q_max)
    (gradient,) = torch.autograd.grad(w_hat, w, gradient_of(w_hat.detach()))
    return (w - rate * gradient).detach()


RIGHT = {
    "integer-hand": [[36, 1, 18]],
    "integer-product": [four_terms, difference_product, lambda *a: difference_product(*a).numpy()],
    "integer-rescale": [banker_shift, by_fractions],
    "integer-pair": [7],
    "integer-leaky": [[7, 10, 49, 17]],
    "ptq-equalize": [[3, 0.25]],
    "ptq-fold": [fold, fold_by_torch],
    "ptq-correct": [by_mean_inputs, by_outputs],
    "ptq-clip": [4.9, 4.83, 4.8],
    "ptq-residual": [[1.5, 6, 10 / 3, 1.5, 6], [1.5, 6, 3.33, 1.5, 6]],
    "qat-slopes": [[-4, 0.2, 0.3, -0.4]],
    "qat-trainable": [by_where, learned_by_torch],
    "qat-settles": [2 - 2**0.5, 0.586, 0.585],
    "qat-update": [kept_and_masked, by_autograd],
    "qat-gate": [[-0.94, 0.44, 0], [-0.9400148, 0.4400148, 0.0]],
}

WRONG = {
    "integer-hand": [
        ([46, 1, 18], "left the zero point of the input out"),
        ([56, 1, 18], "added z_a"),
        ([24, 1, 18], "left the bias out"),
        ([34, 1, 18], "left out the zero point of the input and the bias"),
        ([35, 1, 18], "Subtract z_a from each code"),
        ([36, -1, 18], "the shift is positive"),
        ([36, 2, 18], "one doubling too many"),
        ([36, 0, 18], "Double M until"),
        ([36, 1, 13], "zero point of the output"),
        ([36, 1, 17], "cut the fraction off"),
        ([36, 1, 14], "before multiplying by M"),
        ([36, 1, 99], "Multiply the accumulator by M"),
    ],
    "integer-product": [
        ({" + a.shape[1] * za * zb": ""}, "J z_a z_b is missing"),
        ({"+ a.shape": "- a.shape"}, "sign of J z_a z_b"),
        ({"- zb": "+ zb", "- za": "+ za"}, "You added the zero points"),
        (lambda a, b, *_: difference_product(a, b, 0, 0), "left the zero points out"),
        (lambda a, b, za, zb: (a - za).long() @ (b - zb).long(), "2 − 3 is 255 in a uint8"),
        (lambda a, b, za, zb: (a - za).long() @ (b.long() - zb), "2 − 3 is 255 in a uint8"),
        (colleagues_product, "as it stands"),
        (lambda a, b, *_: a.to(torch.int8) @ b, "Widen the codes before multiplying"),
        (lambda a, b, _, zb: difference_product(a, b, 0, zb), "Subtract z_a times the sum of each"),
        (lambda a, b, za, _: difference_product(a, b, za, 0), "Subtract z_b times the sum of each"),
        ({"za * zb": "za * zb + (za > 0) * (zb > 0)"}, "The fourth term"),
        (spoiling(difference_product), "Work on copies"),
        (spoiling(difference_product, 1), "Work on copies"),
        (lambda *a: difference_product(*a).double(), "must hold integers; it holds torch.float64"),
    ],
    "integer-rescale": [
        (lambda a, m, t: (a * m) >> t, "the floor"),
        (lambda a, m, t: a.sign() * ((a * m).abs() >> t), "cut the fraction off, towards zero"),
        (lambda a, m, t: (a * m + 2 ** (t - 1)) >> t, "adding a half lifts"),
        (lambda a, m, t: a.sign() * (((a * m).abs() + 2 ** (t - 1)) >> t), "away from zero"),
        (lambda a, m, t: torch.round(a.double() * m / 2**t).long(), "a float64: it has 53 bits"),
        (lambda a, m, t: (a.int() * m).long() >> t, "Add half of 2"),
    ],
    "integer-pair": [
        (8, "but two are added"),
        (9, "largest pair is 2"),
        (6, "Try one bit more"),
        (6.5, "whole number of bits"),
    ],
    "integer-leaky": [
        ([7, 7, 49, 17], "the same shift"),
        ([7, 3, 49, 17], "slope alone"),
        ([-7, 10, 49, 17], "shifts are positive"),
        ([7, -10, 49, 17], "shifts are positive"),
        ([7, 10, 29, 17], "zero point of the output"),
        ([7, 10, 49, -3], "zero point of the output"),
        ([7, 10, 49, 20], "That is a ReLU"),
        ([7, 10, 49, 0], "and clipped it"),
        ([7, 10, 49, 18], "cut the fraction off"),
        ([8, 10, 49, 17], "Double 0.006"),
        ([7, 11, 49, 17], "double this number"),
        ([7, 10, 50, 17], "Multiply 4,900"),
        ([7, 10, 49, 16], "Multiply −4,900"),
    ],
    "ptq-equalize": [
        ([1 / 3, 4], "upside down"),
        ([9, 1 / 16], "left out the square root"),
        ([3, 2], "ranges that come out"),
        ([-3, -0.25], "only positive factors"),
        ([1, 1], "solve for c"),
    ],
    "ptq-fold": [
        ({" + norm.eps": ""}, "left ε, norm.eps, out"),
        ({"torch.sqrt(norm.running_var +": "(torch.sqrt(norm.running_var) +"}, "under it"),
        ({"torch.sqrt": ""}, "divided by the variance"),
        ({"norm.weight": "1"}, "forgot γ"),
        ({"(bias - ": "(-"}, "layer's own bias"),
        ({"running_mean) + norm.bias": "running_mean + norm.bias)"}, "scaled β_norm"),
        ({"(bias - norm.running_mean)": "bias - norm.running_mean"}, "without its"),
        ({" - norm.running_mean": ""}, "forgot the mean"),
        ({"bias - norm": "bias + norm"}, "collect what has"),
        (spoiling(fold), "changed one of its arguments"),
        (lambda *_: (1.0, 2.0), "must return two tensors"),
        (lambda *a: (a[0].flatten(), a[1]), "the shape of the weight"),
    ],
    "ptq-correct": [
        ({"bias + weight": "weight"}, "the shift alone"),
        ({"bias + weight": "bias - weight", "- rounded": "+ rounded"}, "Your sign is wrong"),
        ({"x_hat.mean(dim=axes)": "x.mean(dim=axes)"}, "do not read the same"),
        ({" @ x.mean(dim=axes)": " @ x_hat.mean(dim=axes)"}, "without the errors of earlier"),
        ({"- rounded @": "- weight @"}, "errors of the inputs only"),
        (lambda w, r, b, *x: b + (by_mean_inputs(w, r, b, *x) - b).mean(), "one mean over all"),
        ({"bias + weight": "2 * bias + weight"}, "one mean for each input channel"),
        (lambda w, r, b, x, h: b + w @ x.mean(0) - r @ h.mean(0), "It raised RuntimeError"),
        (lambda *a: by_mean_inputs(*a).sum(), "the shape of the bias, (4,)"),
        (spoiling(by_mean_inputs, 2), "changed one of its arguments"),
    ],
    "ptq-clip": [
        (float(exponential_signal().max()), "clips nothing"),
        (4.9 / 7, "You gave the step"),
        (2.0, "clips too much"),
        (6.5, "clips too little"),
        (50.0, "a range beyond the largest value"),
        (-1.0, "beyond the largest value wastes"),
    ],
    "ptq-residual": [
        ([2 / 3, 13.5, 7.5, 2 / 3, 8 / 3], "upside down"),
        ([9 / 4, 4, 20 / 9, 9 / 4, 9], "left out the square root"),
        ([(14 / 5) ** 0.5, 5.38, 2.99, 1.67, 6.69], "sums of the ranges"),
        ([3, 3, 5 / 3, 3, 12], "the first writer and the first reader"),
        ([1.5, 6, 5, 1.5, 6], "only if both of its terms are"),
        ([1.5, 6, 10 / 3, 1, 6], "each reader must make up"),
        ([2, 4.5, 2.5, 2, 8], "solve for c"),
    ],
    "qat-slopes": [
        ([-4, -1, 1, 3], "You gave the codes"),
        ([-4, -0.2, -0.3, 0.4], "wrong way round"),
        ([0, 0.2, 0.3, -0.4], "You gave clipped values no slope"),
        ([-4, 0.2, 0.3, 3], "You clipped first, as the paper does"),
        ([0.2, 0.2, 0.3, -0.4], "You used the residual outside too"),
        ([-2, 0.1, 0.15, -0.2], "You multiplied by s"),
        ([-3, 0.2, 0.3, -0.4], "not narrow"),
        ([-2, -0.5, 0.5, 1.5], "You gave x̂"),
        ([-5, -1, 1, 3], "You gave round(x/s)"),
        ([-4, 0.7, 0.3, -0.4], "here x/s = −1.2"),
        ([-4, 0.2, 0.9, -0.4], "here x/s = 0.7"),
        ([-4, 0.2, 0.3, 0.9], "nothing is clipped"),
        ([7, 0.2, 0.3, -0.4], "clipped to s q_min"),
    ],
    "qat-trainable": [
        (lambda x, s, *ends: s * torch.round(x / s).clamp(*ends), "detach the residual"),
        (lambda *a: by_where(*a).detach(), "derivative is 0: detach the residual"),
        (lambda x, s, *ends: by_where(x, s.detach(), *ends), "s gets no gradient at all"),
        (lambda x, s, *ends: s * through(x / s).clamp(*ends), "that is torch.clamp"),
        (lambda x, s, *ends: s * through((x / s).clamp(*ends)), "You clipped first and rounded"),
        (
            {"(q - u)": "(q.clamp(q_min, q_max) - u)", "outside, inside": "inside, inside"},
            "even where it is clipped",
        ),
        (
            {"x + s * (q - u).detach()": "x - x.detach() + s * q.detach()"},
            "s gets the code as its gradient",
        ),
        ({"outside, inside": "outside.detach(), inside"}, "no gradient where x is clipped"),
        (lambda x, *rest: by_where(x.flatten(), *rest), "must have the shape of x, (3, 4)"),
    ],
    "qat-settles": [
        (2 / 3, "That is the best step, 2/3"),
        (0.71, "You clipped first, as the paper does"),
        (1.0, "where LSQ starts"),
        (3.414, "the other root"),
        (0.5, "Balance the two"),
        (-2.0, "The values lie in [−1, 1]"),
    ],
    "qat-update": [
        ({"return w -": "return w_hat -"}, "still starts from the rounded weight"),
        ({" * (codes.abs() <= q_max)": ""}, "a clipped weight still gets a gradient"),
        (
            {"return w -": "return w_hat -", " * (codes.abs() <= q_max)": ""},
            "the colleague's function",
        ),
        ({"gradient_of(w_hat)": "gradient_of(w)"}, "at the float weight"),
        ({"<= q_max": "< q_max"}, "where |round(w/s)| ≤ q_max"),
        ({"return w - rate": "return w - 0 * rate"}, "must start from the float weight"),
        (spoiling(kept_and_masked), "do not write into w"),
    ],
    "qat-gate": [
        ([0, -0.5, 0], "the true derivative"),
        ([-0.585, 0.085, 0], "let the forward pass use the sigmoid"),
        ([-4, 3.5, 0], "took the slope 1"),
        ([-0.47, -0.03, 0], "left out the factor 2"),
        ([0.94, -1.44, 0], "Your sign is wrong"),
        ([-0.94, -1.44, 0], "minus the derivative"),
        ([-0.94, 0.44, 0.95], "gate · 2 − 2 = 0"),
        ([-1.5, 1.0, 0], "By the chain rule"),
    ],
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)


def test_seven_bits_are_what_a_pair_bears():
    """Oracle: by hand: 2 · 127 · 127 = 32,258 and 2 · 255 · 127 = 64,770, against 32,767."""
    assert [bits for bits in range(1, 17) if pair_fits(bits)] == list(range(1, 8))


def test_clipping_error_is_that_of_numpy():
    """Oracle: NumPy's clip and round."""
    x = exponential_signal().numpy()
    step = 4.8 / 7
    expected = ((np.round(np.clip(x, 0, 4.8) / step) * step - x) ** 2).mean()
    assert clipping_error(4.8) == pytest.approx(expected)


def test_exponential_signal_has_its_density():
    """Oracle: mean 1 and variance 1, within 6 standard errors; and SciPy's distribution test."""
    x = exponential_signal().numpy()
    assert len(x) == 10_000
    assert stats.kstest(x, "expon").pvalue > 0.001


X = (np.arange(400_000) + 0.5) / 200_000 - 1


def codes(s: float) -> np.ndarray:
    return np.clip(np.round(X / s), -1, 1)


def estimated(s: float, *, clip_first: bool) -> float:
    u, q = X / s, codes(s)
    inside = np.abs(u) < 1 if clip_first else np.abs(np.round(u)) <= 1
    return float(np.mean((s * q - X) * np.where(inside, q - u, q)))


def test_the_settled_steps_are_the_roots_of_the_estimated_gradient():
    """Oracle: NumPy on a fine grid of the uniform distribution, and SciPy's root finder."""
    found = brentq(lambda s: estimated(s, clip_first=False), 0.3, 0.66)
    assert found == pytest.approx(SETTLED, abs=1e-4)
    found = brentq(lambda s: estimated(s, clip_first=True), 0.4, 0.95)
    assert found == pytest.approx(CLIPPED_FIRST, abs=1e-4)


def test_the_best_step_is_the_minimum_of_the_error():
    """Oracle: SciPy's minimizer on the same grid."""

    def error(s: float) -> float:
        return float(np.mean((s * codes(s) - X) ** 2))

    found = minimize_scalar(error, bounds=(0.4, 0.9), method="bounded", options={"xatol": 1e-6})
    assert found.x == pytest.approx(BEST, abs=1e-3)
