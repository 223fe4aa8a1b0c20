"""A linear layer in integers: codes in, accumulators out, the bias among them.

Σ (q_a − z_a) q_b + q_bias = Σ q_a q_b + (q_bias − z_a Σ q_b),    q_bias = round(bias / (s_a s_b)).
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int32, Integer
from torch import Tensor

from reference_impl.checks import (
    require_float_tensor,
    require_instance,
    require_int,
    require_integer_tensor,
)
from reference_impl.quantization.grid import IntegerGrid
from reference_impl.quantization.integer import (
    INT32_MAX,
    exact_products,
    largest_code,
    require_accumulator,
)


def round_bias(
    bias: Float[Tensor, " m"], scale: Float[Tensor, "*granularity"]
) -> Int32[Tensor, " m"]:
    """Return round(bias / (s_a s_b)): the bias in units of the products, off by half of one.

    >>> round_bias(torch.tensor([0.1, -0.25]), torch.tensor(0.01)).tolist()
    [10, -25]

    Args:
        bias: one for each of m outputs.
        scale: s_a s_b, one, or one for each output.

    Raises:
        TypeError: if an argument is no floating-point tensor.
        ValueError: if a scale is not positive, the shapes do not fit, or the result is no int32.

    Equation: eq-integer-bias, chapter 04.
    """
    require_float_tensor("bias", bias)
    require_float_tensor("scale", scale)
    if (smallest := scale.min().item()) <= 0:
        raise ValueError(f"scale must be above 0, got {smallest}")
    if bias.ndim != 1 or scale.numel() not in (1, bias.numel()):
        raise ValueError(
            f"scale must be one, or one for each of the biases {tuple(bias.shape)}, "
            f"got shape {tuple(scale.shape)}"
        )
    rounded = torch.round(bias.detach().double() / scale.detach().double().flatten())
    if (largest := rounded.abs().max().item()) > INT32_MAX:
        raise ValueError(f"bias must be below 2^31 units of scale, got {largest:.0f} units")
    return rounded.to(torch.int32)


@dataclass(frozen=True, eq=False)
class IntegerLinear:
    """The map q ↦ Σ q_b q + (bias − z_a Σ q_b): a linear layer's accumulators from codes.

    The weights are symmetric, z_b = 0, so the only term that depends on the input is the matrix
    product; the rest is one integer for each output.

    >>> layer = IntegerLinear(
    ...     weight=torch.tensor([[2, -1, 4]], dtype=torch.int8),
    ...     bias=torch.tensor([100], dtype=torch.int32),
    ...     input_grid=IntegerGrid(8),
    ...     input_zero=1,
    ... )
    >>> layer.accumulate(torch.tensor([[3, 0, 5]], dtype=torch.uint8)).item()
    121

    Args:
        weight: codes q_b, one row for each of m outputs.
        bias: in units of s_a s_b, see `round_bias`.
        input_grid: of the input's codes.
        input_zero: z_a, a code of that grid.

    Attributes:
        offset: bias − z_a Σ q_b, for each output.

    Raises:
        TypeError: if an argument is of the wrong kind.
        ValueError: if the shapes do not fit, ``input_zero`` is no code, or if an accumulator
            could exceed int32.
    """

    weight: Integer[Tensor, "m k"]
    bias: Int32[Tensor, " m"]
    input_grid: IntegerGrid
    input_zero: int
    offset: Int32[Tensor, " m"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Validate the arguments, keep copies, and sum up what does not depend on the input."""
        grid = self.input_grid
        require_instance("input_grid", grid, IntegerGrid)
        zero = require_int("input_zero", self.input_zero, grid.q_min, grid.q_max)
        largest_weight = largest_code("weight", self.weight, 0)
        require_integer_tensor("bias", self.bias)
        if self.bias.dtype != torch.int32:
            raise TypeError(f"bias must hold int32, got dtype {self.bias.dtype}")
        if self.weight.ndim != 2 or self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                f"weight and bias must be (m, k) and (m,), "
                f"got {tuple(self.weight.shape)} and {tuple(self.bias.shape)}"
            )
        largest_input = max(grid.q_max - zero, zero - grid.q_min)
        largest_bias = int(self.bias.long().abs().max())
        require_accumulator(self.weight.shape[1], largest_input, largest_weight, largest_bias)
        offset = self.bias.long() - zero * self.weight.sum(dim=1, dtype=torch.int64)
        object.__setattr__(self, "input_zero", zero)
        object.__setattr__(self, "weight", self.weight.clone())
        object.__setattr__(self, "bias", self.bias.clone())
        object.__setattr__(self, "offset", offset.to(torch.int32))  # modulo 2^32, see below

    def accumulate(self, codes: Integer[Tensor, "n k"]) -> Int32[Tensor, "n m"]:
        """Return Σ q_b (q_a − z_a) + bias, exact, in units of s_a s_b.

        A part of the sum may wrap around on the way; the whole is right modulo 2^32, and inside
        the range of int32, hence right.

        Raises:
            TypeError: if ``codes`` are not of the grid's dtype.
            ValueError: if they have another depth than the weight, or one lies outside the grid.

        Equation: eq-integer-accumulator, chapter 04.
        """
        require_integer_tensor("codes", codes)
        grid = self.input_grid
        if codes.dtype != grid.dtype:
            raise TypeError(f"codes must hold {grid.dtype}, got dtype {codes.dtype}")
        if codes.ndim != 2 or codes.shape[1] != self.weight.shape[1]:
            raise ValueError(f"codes must be (n, {self.weight.shape[1]}), got {tuple(codes.shape)}")
        every = torch.iinfo(grid.dtype)
        if (grid.q_min, grid.q_max) != (every.min, every.max):  # else each number is a code
            smallest, largest = (int(end) for end in torch.aminmax(codes))
            if smallest < grid.q_min or largest > grid.q_max:
                raise ValueError(
                    f"codes must be in [{grid.q_min}, {grid.q_max}], got {smallest} to {largest}"
                )
        return exact_products(codes, self.weight.t()).add_(self.offset)
