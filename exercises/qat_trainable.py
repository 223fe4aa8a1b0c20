"""Exercise of chapter 07: to implement a quantizer that can be trained."""

from collections.abc import Callable

import torch
from torch import Tensor

from exercises.framework import Claim, Exercise, Mistake, WrongResultError, a_function, a_tensor
from reference_impl.quantization import IntegerGrid, learned_fake_quantize

Quantizer = Callable[[Tensor, Tensor, int, int], Tensor]
_GRIDS = (IntegerGrid(3, signed=True), IntegerGrid(4), IntegerGrid(2, signed=True, narrow=True))


def _cases() -> list[tuple[Tensor, Tensor, IntegerGrid]]:
    """Return values inside, on the end codes and outside, a step, and the grid."""
    cases = []
    for grid in _GRIDS:
        codes = torch.arange(grid.q_min - 3, grid.q_max + 4, dtype=torch.float64)
        u = torch.cat([codes, codes + 0.3, codes - 0.2])
        cases.append((0.7 * u, torch.tensor(0.7, dtype=torch.float64), grid))
    return cases


def _run(answer: Quantizer, x: Tensor, s: Tensor, grid: IntegerGrid) -> Tensor:
    x_hat = a_tensor(answer(x, s, grid.q_min, grid.q_max))
    if x_hat.shape != x.shape:
        raise WrongResultError(
            f"The result must have the shape of x, {tuple(x.shape)}; it has {tuple(x_hat.shape)}."
        )
    return x_hat


def _reference(x: Tensor, s: Tensor, grid: IntegerGrid) -> Tensor:
    return learned_fake_quantize(x, s, torch.zeros_like(s), grid)


def _gradients(answer: Quantizer, case: tuple[Tensor, Tensor, IntegerGrid]) -> list[Tensor]:
    """Return ∂x̂/∂x and, element by element, ∂x̂/∂s; zero where nothing depends on it."""
    x, s, grid = case[0].clone().requires_grad_(), case[1].clone().requires_grad_(), case[2]
    x_hat = _run(answer, x, s, grid)
    if not x_hat.requires_grad:
        return [torch.zeros_like(x), torch.zeros_like(x)]
    (to_x,) = torch.autograd.grad(x_hat.sum(), x, retain_graph=True, allow_unused=True)
    slopes = [
        torch.autograd.grad(part, s, retain_graph=True, allow_unused=True)[0] for part in x_hat
    ]
    zero = torch.zeros(())
    return [
        torch.zeros_like(x) if to_x is None else to_x,
        torch.stack([zero.to(x) if slope is None else slope for slope in slopes]),
    ]


def _values_match(answer: Quantizer) -> bool:
    return all(torch.allclose(_run(answer, *case).double(), _reference(*case)) for case in _cases())


def _slopes_match(index: int, formula: Callable[..., Tensor]) -> Callable[[Quantizer], bool]:
    """Return the test whether the gradient of x (0) or s (1) is ``formula(u, grid)``."""

    def holds(answer: Quantizer) -> bool:
        for case in _cases():
            expected = formula(case[0] / case[1], case[2])
            if not torch.allclose(_gradients(answer, case)[index].double(), expected, atol=1e-6):
                return False
        return True

    return holds


def _mask(u: Tensor, grid: IntegerGrid) -> Tensor:
    q = torch.round(u)
    return ((q >= grid.q_min) & (q <= grid.q_max)).double()


def _slope(u: Tensor, grid: IntegerGrid) -> Tensor:
    return torch.round(u).clamp(grid.q_min, grid.q_max) - u * _mask(u, grid)


def _open_mask(u: Tensor, grid: IntegerGrid) -> Tensor:
    q = torch.round(u)
    return ((q > grid.q_min) & (q < grid.q_max)).double()


def _takes_two_axes(answer: Quantizer) -> bool:
    x = torch.linspace(-3, 3, 12).view(3, 4)
    return _run(answer, x, torch.tensor(0.5), _GRIDS[0]).shape == (3, 4)


def _papers_mask(u: Tensor, grid: IntegerGrid) -> Tensor:
    return ((u > grid.q_min) & (u < grid.q_max)).double()


_TRAINABLE = Exercise(
    kind=a_function("trainable(x, scale, q_min, q_max)"),
    claims=(
        Claim(
            "the values are s · clip(round(x/s), q_min, q_max)",
            _values_match,
            "Forward, nothing is estimated: round(x/s), clip, times s.",
        ),
        Claim(
            "x has the gradient 1 inside, end codes included, and 0 outside",
            _slopes_match(0, _mask),
            "Inside means that round(x/s) is a code: q_min ≤ round(x/s) ≤ q_max.",
        ),
        Claim(
            "s has the gradient round(x/s) − x/s inside, and q_min or q_max outside",
            _slopes_match(1, _slope),
            "Let x̂ = x + s · (round(x/s) − x/s) inside with the bracket detached, and "
            "s · q_min or s · q_max outside.",
        ),
        Claim(
            "a tensor with two axes keeps its shape",
            _takes_two_axes,
            "Work element by element.",
        ),
    ),
    mistakes=(
        Mistake(
            "autograd went through torch.round, whose derivative is 0: detach the residual.",
            lambda f: _slopes_match(0, lambda u, _: torch.zeros_like(u))(f) and _values_match(f),
        ),
        Mistake(
            "The end codes get no gradient: that is torch.clamp, whose derivative on its bounds "
            "is 0. Choose with torch.where instead.",
            _slopes_match(0, _open_mask),
        ),
        Mistake(
            "You clipped first and rounded then, as the paper does: inside ends at x/s = q_min and "
            "q_max, half a step too early.",
            _slopes_match(0, _papers_mask),
        ),
        Mistake(
            "x gets a gradient even where it is clipped.",
            _slopes_match(0, lambda u, _: torch.ones_like(u)),
        ),
        Mistake(
            "s gets the code as its gradient: hold round(x/s) − x/s constant, not round(x/s).",
            _slopes_match(1, lambda u, grid: torch.round(u).clamp(grid.q_min, grid.q_max)),
        ),
        Mistake(
            "s gets no gradient where x is clipped: there x̂ = s q_min or s q_max.",
            _slopes_match(1, lambda u, grid: (torch.round(u) - u) * _mask(u, grid)),
        ),
        Mistake(
            "s gets no gradient at all: do not detach it.",
            _slopes_match(1, lambda u, _: torch.zeros_like(u)),
        ),
    ),
)

EXERCISES = {"qat-trainable": _TRAINABLE}
