"""Every checker of chapter 07 accepts right answers, and names wrong ones."""

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize_scalar

from exercises.qat import BEST, CLIPPED_FIRST, SETTLED
from reference_impl.quantization import IntegerGrid, learned_fake_quantize
from tests.exercises.claims import advised, passing


def by_where(x, scale, q_min, q_max):
    u = x / scale
    q = torch.round(u)
    inner = x + scale * (q - u).detach()
    return torch.where((q < q_min) | (q > q_max), scale * q.detach().clamp(q_min, q_max), inner)


def by_reference(x, scale, q_min, q_max):  # noqa: ARG001 — the grid is found by q_max
    grid = {3: IntegerGrid(3, signed=True), 15: IntegerGrid(4)}.get(q_max)
    grid = grid or IntegerGrid(2, signed=True, narrow=True)
    return learned_fake_quantize(x, scale, torch.zeros_like(scale), grid)


def by_torch(x, scale, q_min, q_max):
    flat = torch._fake_quantize_learnable_per_tensor_affine(
        x.float(), scale.float().view(1), torch.zeros(1), q_min, q_max, 1.0
    )
    return flat.double()


def with_max_min(x, scale, q_min, q_max):
    """Clip with a mask of numbers instead of a choice."""
    u = x / scale
    code = u + (torch.round(u) - u).detach()
    mask = ((code >= q_min) & (code <= q_max)).to(x.dtype)
    return scale * (code * mask + (1 - mask) * code.detach().clamp(q_min, q_max))


RIGHT = [
    ("qat-slopes", [-4, 0.2, 0.3, -0.4]),
    ("qat-slopes", (-4.0, 0.2, 0.3, -0.4)),
    ("qat-slopes", np.array([[-4.0, 0.2], [0.3, -0.4]])),
    ("qat-slopes", torch.tensor([-4.0, 0.2, 0.3, -0.4])),
    ("qat-trainable", by_where),
    ("qat-trainable", by_reference),
    ("qat-trainable", by_torch),
    ("qat-trainable", with_max_min),
    ("qat-settles", 2 - 2**0.5),
    ("qat-settles", 0.586),
    ("qat-settles", torch.tensor(0.5858)),
    ("qat-settles", np.float32(0.585)),
]


test_right_answers_pass = passing(RIGHT)


def no_estimator(x, scale, q_min, q_max):
    return scale * torch.round(x / scale).clamp(q_min, q_max)


def only_x(x, scale, q_min, q_max):
    return by_where(x, scale.detach(), q_min, q_max)


def by_clamp(x, scale, q_min, q_max):
    u = x / scale
    return scale * (u + (torch.round(u) - u).detach()).clamp(q_min, q_max)


def papers_order(x, scale, q_min, q_max):
    clipped = (x / scale).clamp(q_min, q_max)
    return scale * (clipped + (torch.round(clipped) - clipped).detach())


def through_everything(x, scale, q_min, q_max):
    u = x / scale
    return x + scale * (torch.round(u).clamp(q_min, q_max) - u).detach()


def codes_constant(x, scale, q_min, q_max):
    q = torch.round(x / scale).detach()
    inner = (x - x.detach()) + scale * q
    return torch.where((q < q_min) | (q > q_max), scale * q.clamp(q_min, q_max), inner)


def outside_constant(x, scale, q_min, q_max):
    x_hat = by_where(x, scale, q_min, q_max)
    q = torch.round(x / scale)
    return torch.where((q < q_min) | (q > q_max), x_hat.detach(), x_hat)


def all_detached(x, scale, q_min, q_max):
    return by_where(x, scale, q_min, q_max).detach()


def not_clipped(x, scale, q_min, q_max):  # noqa: ARG001 — the mistake
    u = x / scale
    return x + scale * (torch.round(u) - u).detach()


def flat(x, scale, q_min, q_max):
    return by_where(x.flatten(), scale, q_min, q_max)


WRONG = [
    ("qat-slopes", [-4, -1, 1, 3], "You gave the codes"),
    ("qat-slopes", [-4, -0.2, -0.3, 0.4], "wrong way round"),
    ("qat-slopes", [0, 0.2, 0.3, -0.4], "You gave clipped values no slope"),
    ("qat-slopes", [-4, 0.2, 0.3, 3], "You clipped first, as the paper does"),
    ("qat-slopes", [0.2, 0.2, 0.3, -0.4], "You used the residual outside too"),
    ("qat-slopes", [1.2, 0.2, 0.3, -0.4], "You used the residual outside too"),
    ("qat-slopes", [-2, 0.1, 0.15, -0.2], "You multiplied by s"),
    ("qat-slopes", [-3, 0.2, 0.3, -0.4], "not narrow"),
    ("qat-slopes", [-2, -0.5, 0.5, 1.5], "You gave x̂"),
    ("qat-slopes", [-5, -1, 1, 3], "You gave round(x/s)"),
    ("qat-slopes", [-4, 0.7, 0.3, -0.4], "here x/s = −1.2"),
    ("qat-slopes", [-4, 0.2, 0.9, -0.4], "here x/s = 0.7"),
    ("qat-slopes", [-4, 0.2, 0.3, 0.9], "nothing is clipped"),
    ("qat-slopes", [7, 0.2, 0.3, -0.4], "clipped to s q_min"),
    ("qat-slopes", [1, 2, 3], "has 4 numbers; this has 3"),
    ("qat-slopes", ..., "No answer yet"),
    ("qat-trainable", no_estimator, "derivative is 0: detach the residual"),
    ("qat-trainable", all_detached, "derivative is 0: detach the residual"),
    ("qat-trainable", only_x, "s gets no gradient at all"),
    ("qat-trainable", by_clamp, "that is torch.clamp"),
    ("qat-trainable", papers_order, "You clipped first and rounded then"),
    ("qat-trainable", through_everything, "even where it is clipped"),
    ("qat-trainable", codes_constant, "s gets the code as its gradient"),
    ("qat-trainable", outside_constant, "no gradient where x is clipped"),
    ("qat-trainable", flat, "must have the shape of x, (3, 4)"),
    ("qat-trainable", not_clipped, "even where it is clipped"),
    ("qat-trainable", lambda x, scale, q_min, q_max: x, "even where it is clipped"),
    ("qat-trainable", lambda x, scale, q_min, q_max: 3.0, "must return a tensor"),
    ("qat-trainable", lambda x: x, "It raised TypeError"),
    ("qat-trainable", torch.ones(3), "The answer is the function itself"),
    ("qat-settles", 2 / 3, "That is the best step, 2/3"),
    ("qat-settles", 0.71, "You clipped first, as the paper does"),
    ("qat-settles", 1.0, "where LSQ starts"),
    ("qat-settles", 3.414, "the other root"),
    ("qat-settles", 0.5, "Balance the two"),
    ("qat-settles", -2.0, "The values lie in [−1, 1]"),
    ("qat-settles", "0.5", "The answer is a number"),
]


test_wrong_answers_are_named = advised(WRONG)


def fraction(x: np.ndarray, s: float) -> tuple[np.ndarray, np.ndarray]:
    u = x / s
    return u, np.clip(np.round(u), -1, 1)


X = (np.arange(400_000) + 0.5) / 200_000 - 1


def estimated(s: float, *, clip_first: bool) -> float:
    u, q = fraction(X, s)
    inside = np.abs(u) < 1 if clip_first else np.abs(np.round(u)) <= 1
    return float(np.mean((s * q - X) * np.where(inside, q - u, q)))


def test_the_settled_steps_are_the_roots_of_the_estimated_gradient():
    """Oracle: NumPy on a fine grid of the uniform distribution, and SciPy's root finder."""
    assert brentq(lambda s: estimated(s, clip_first=False), 0.3, 0.66) == pytest.approx(
        SETTLED, abs=1e-4
    )
    assert brentq(lambda s: estimated(s, clip_first=True), 0.4, 0.95) == pytest.approx(
        CLIPPED_FIRST, abs=1e-4
    )


def test_the_best_step_is_the_minimum_of_the_error():
    """Oracle: SciPy's minimiser on the same grid."""

    def error(s: float) -> float:
        return float(np.mean((s * fraction(X, s)[1] - X) ** 2))

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
