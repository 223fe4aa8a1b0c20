"""Every checker of chapter 07 accepts right answers, and names wrong ones."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize_scalar

from exercises.qat import BEST, CLIPPED_FIRST, SETTLED
from reference_impl.quantization import IntegerGrid, learned_fake_quantize
from tests.exercises.claims import judged


def by_where(x, scale, q_min, q_max):
    u = x / scale
    q = torch.round(u)
    inner = x + scale * (q - u).detach()
    return torch.where((q < q_min) | (q > q_max), scale * q.detach().clamp(q_min, q_max), inner)


def by_reference(x, scale, q_min, q_max):
    signed = q_min < 0
    grid = IntegerGrid((q_max - q_min).bit_length(), signed=signed, narrow=q_min == -q_max)
    return learned_fake_quantize(x, scale, torch.zeros_like(scale), grid)


def by_torch(x, scale, q_min, q_max):
    flat = torch._fake_quantize_learnable_per_tensor_affine(
        x.float(), scale.float().view(1), torch.zeros(1), q_min, q_max, 1.0
    )
    return flat.double()


RIGHT = {
    "qat-slopes": [[-4, 0.2, 0.3, -0.4]],
    "qat-trainable": [by_where, by_reference, by_torch],
    "qat-settles": [2 - 2**0.5, 0.586, 0.585],
}


def through(u):
    """Return the rounded u with the gradient of u."""
    return u + (torch.round(u) - u).detach()


def through_everything(x, scale, *ends):
    return x + scale * (torch.round(x / scale).clamp(*ends) - x / scale).detach()


def codes_constant(x, scale, q_min, q_max):
    q = torch.round(x / scale).detach()
    inner = (x - x.detach()) + scale * q
    return torch.where((q < q_min) | (q > q_max), scale * q.clamp(q_min, q_max), inner)


def outside_constant(x, scale, q_min, q_max):
    x_hat = by_where(x, scale, q_min, q_max)
    q = torch.round(x / scale)
    return torch.where((q < q_min) | (q > q_max), x_hat.detach(), x_hat)


WRONG = {
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
        (through_everything, "even where it is clipped"),
        (codes_constant, "s gets the code as its gradient"),
        (outside_constant, "no gradient where x is clipped"),
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
}

test_right_answers_pass, test_wrong_answers_are_named = judged(RIGHT, WRONG)

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
    """Oracle: SciPy's minimiser on the same grid."""

    def error(s: float) -> float:
        return float(np.mean((s * codes(s) - X) ** 2))

    found = minimize_scalar(error, bounds=(0.4, 0.9), method="bounded", options={"xatol": 1e-6})
    assert found.x == pytest.approx(BEST, abs=1e-3)


def test_torchs_own_step_settles_where_the_exercise_says():
    """Oracle: gradient descent on the learned step itself."""
    x = torch.from_numpy(X[::40].copy())
    s = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)
    zero = torch.zeros((), dtype=torch.float64)
    grid = IntegerGrid(2, signed=True, narrow=True)
    for _ in range(300):
        loss = (learned_fake_quantize(x, s, zero, grid) - x).square().mean()
        (gradient,) = torch.autograd.grad(loss, s)
        s = (s - 0.3 * gradient).detach().requires_grad_()
    assert s.item() == pytest.approx(SETTLED, abs=1e-3)
