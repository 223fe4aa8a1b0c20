"""Products of matrices of codes, in integers: the arithmetic of a quantized layer.

With x̂ = s_a (q_a − z_a) and ŵ = s_b (q_b − z_b), a sum of J products is s_a s_b times an integer:

    Σ (q_a − z_a)(q_b − z_b) = Σ q_a q_b − z_b Σ q_a − z_a Σ q_b + J z_a z_b.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product
from typing import Annotated

import torch
from jaxtyping import Int, Int32, Integer, UInt8
from torch import Tensor

from reference_impl.checked import Count, Finite, FromZero, Within, checked
from reference_impl.quantization.affine import Scale
from reference_impl.quantization.grid import IntegerGrid

INT32_MAX = 2**31 - 1
Rows = UInt8[Tensor, "n k"] | Int[Tensor, "n k"]
Columns = UInt8[Tensor, "k m"] | Int[Tensor, "k m"]
ZeroPoint = Annotated[int, Within(-INT32_MAX, INT32_MAX)]


@checked
def accumulator_bound(
    depth: Count, largest_a: FromZero, largest_b: FromZero, largest_bias: FromZero = 0
) -> int:
    """Return J · max|q_a − z_a| · max|q_b − z_b| + max|bias|, which no sum of J products exceeds.

    >>> accumulator_bound(784, 255, 127)
    25389840

    Equation: eq-integer-bound, chapter 04.
    """
    return depth * largest_a * largest_b + largest_bias


@checked
def largest_depth(
    largest_a: Count, largest_b: Count, largest_bias: Annotated[int, Within(0, INT32_MAX)] = 0
) -> int:
    """Return ⌊(2^31 − 1 − max|bias|) / (max|q_a − z_a| max|q_b − z_b|)⌋: the longest safe sum.

    >>> largest_depth(255, 127)
    66311

    Equation: eq-integer-depth, chapter 04.
    """
    return (INT32_MAX - largest_bias) // (largest_a * largest_b)


@checked
def integer_matmul(
    a: Rows, b: Columns, *, zero_a: ZeroPoint = 0, zero_b: ZeroPoint = 0
) -> Int32[Tensor, "n m"]:
    """Return Σ q_a q_b − z_b Σ q_a − z_a Σ q_b + J z_a z_b, which is Σ (q_a − z_a)(q_b − z_b).

    J max|q_a − z_a| max|q_b − z_b| must fit int32.

    >>> a = torch.tensor([[3, 0, 5]], dtype=torch.uint8)
    >>> b = torch.tensor([[2], [-1], [4]], dtype=torch.int8)
    >>> integer_matmul(a, b, zero_a=1).item()
    21

    References: Jacob et al. 2018, equations 4 and 7.
    Equation: eq-integer-terms, chapter 04.
    """
    depth = a.shape[1]
    _refuse_overflow(depth, _farthest(a, zero_a), _farthest(b, zero_b))
    row_sums = a.sum(dim=1, keepdim=True, dtype=torch.int64)
    column_sums = b.sum(dim=0, keepdim=True, dtype=torch.int64)
    rest = zero_b * row_sums + (zero_a * column_sums - depth * zero_a * zero_b)
    return (exact_products(a, b) - rest).to(torch.int32)  # modulo 2^32: what wrapped comes back


def _farthest(codes: Integer[Tensor, "*shape"], zero: int) -> int:
    """Return max|q − z|."""
    return max(abs(int(end) - zero) for end in torch.aminmax(codes))


def _refuse_overflow(depth: int, largest_a: int, largest_b: int, largest_bias: int = 0) -> None:
    bound = accumulator_bound(depth, largest_a, largest_b, largest_bias)
    if bound > INT32_MAX:
        raise ValueError(
            f"depth must be small enough for int32: {depth} products of up to {largest_a} · "
            f"{largest_b} and a bias of up to {largest_bias} could reach {bound} > {INT32_MAX}"
        )


@checked
def exact_products(a: Integer[Tensor, "n k"], b: Integer[Tensor, "k m"]) -> Int32[Tensor, "n m"]:
    """Return Σ q_a q_b modulo 2^32, by the fastest way of this processor that is exact.

    ``torch._int_mm`` multiplies 8-bit codes. Where it is not exact (`int8_products_are_exact`),
    for wider codes and for J = 1, the product is computed in int64.
    """
    eight_bits = a.dtype in (torch.int8, torch.uint8) and b.dtype == torch.int8
    one = a.shape[1] == 1  # torch 2.14 misreads a (1, m) that is a transposed column
    if eight_bits and not one and int8_products_are_exact():
        return torch._int_mm(_plain(a), _plain(b))
    return (a.long() @ b.long()).to(torch.int32)


def _plain(matrix: Integer[Tensor, "n m"]) -> Integer[Tensor, "n m"]:
    """Return the matrix with plain strides: torch 2.14 misreads a row that was a column."""
    if matrix.t().is_contiguous() and not matrix.is_contiguous():
        return matrix
    return matrix.flatten().view(matrix.shape)  # a view where nothing has to be moved


@cache
def int8_products_are_exact() -> bool:
    """Return whether ``torch._int_mm`` sums the largest products right on this processor.

    Processors without an instruction for it add pairs of products in 16 bits, saturating: of
    2 · 255 · 127 = 64,770 only 32,767 is left. Tried once on the largest codes of both signs.
    """
    exact, ends = True, ((torch.uint8, 255), (torch.int8, 127), (torch.int8, -128))
    for (kind, code), weight, rows in product(ends, (127, -128), (1, 64)):  # one row may differ
        a = torch.full((rows, 256), code, dtype=kind)
        b = torch.full((64, 256), weight, dtype=torch.int8)
        exact &= bool((torch._int_mm(a, b.t()) == 256 * code * weight).all())
    return exact


@checked
def round_bias(bias: Finite[Tensor, " m"], scale: Scale) -> Int32[Tensor, " m"]:
    """Return round(bias / (s_a s_b)): the bias in units of the products, off by half of one.

    ``scale`` is s_a s_b, one number, or one for each of the m outputs. The result must fit int32.

    >>> round_bias(torch.tensor([0.1, -0.25]), torch.tensor(0.01)).tolist()
    [10, -25]

    Equation: eq-integer-bias, chapter 04.
    """
    if scale.numel() not in (1, len(bias)):
        raise ValueError(f"scale must be 1 or {len(bias)} numbers, got {tuple(scale.shape)}")
    rounded = torch.round(bias.detach().double() / scale.detach().double().flatten())
    if (largest := rounded.abs().max().item()) > INT32_MAX:
        raise ValueError(f"bias must be below 2^31 units of scale, got {largest:.0f} units")
    return rounded.to(torch.int32)


@checked
@dataclass(frozen=True, eq=False)
class IntegerLinear:
    """The map q ↦ Σ q_b (q − z_a) + q_bias: a linear layer's accumulators from codes.

    The weights are symmetric, z_b = 0, so the only term that depends on the input is the matrix
    product; the rest is one integer for each output. No accumulator may exceed int32.

    >>> weight, bias = torch.tensor([[2, -1, 4]]).char(), torch.tensor([100]).int()
    >>> layer = IntegerLinear(weight, bias, IntegerGrid(8), input_zero=1)
    >>> layer.accumulate(torch.tensor([[3, 0, 5]], dtype=torch.uint8)).item()
    121
    """

    weight: UInt8[Tensor, "m k"] | Int[Tensor, "m k"]  #: q_b
    bias: Int32[Tensor, " m"]  #: q_bias, in units of s_a s_b, see `round_bias`
    input_grid: IntegerGrid
    input_zero: int  #: z_a, a code of that grid

    def __post_init__(self) -> None:
        """Keep copies, so that later changes to the arguments have no effect."""
        zero, grid = self.input_zero, self.input_grid
        grid.require_code("input_zero", zero)
        largest_input = max(grid.q_max - zero, zero - grid.q_min)
        weight, bias = _farthest(self.weight, 0), _farthest(self.bias.long(), 0)
        _refuse_overflow(self.weight.shape[1], largest_input, weight, bias)
        object.__setattr__(self, "weight", self.weight.clone())
        object.__setattr__(self, "bias", self.bias.clone())

    @cached_property
    def offset(self) -> Int32[Tensor, " m"]:
        """Return q_bias − z_a Σ q_b for each output, modulo 2^32."""
        sums = self.weight.sum(dim=1, dtype=torch.int64)
        return (self.bias - self.input_zero * sums).to(torch.int32)

    @checked
    def accumulate(self, codes: Integer[Tensor, "n k"]) -> Int32[Tensor, "n m"]:
        """Return Σ q_b q_a + (q_bias − z_a Σ q_b) = Σ q_b (q_a − z_a) + q_bias, exact.

        A part of the sum may wrap around; the whole is right modulo 2^32 and fits int32.

        Raises:
            TypeError: if ``codes`` are not of the grid's dtype.
            ValueError: if they have another depth than the weight, or one lies outside the grid.

        Equation: eq-integer-accumulator, chapter 04.
        """
        grid = self.input_grid
        if codes.dtype != grid.dtype:
            raise TypeError(f"codes must hold {grid.dtype}, got dtype {codes.dtype}")
        if codes.shape[1] != self.weight.shape[1]:
            raise ValueError(f"codes must be (n, {self.weight.shape[1]}), got {tuple(codes.shape)}")
        if grid.steps + 1 < 256**codes.itemsize:  # else every number is a code
            grid.require_codes("codes", codes)
        return exact_products.__wrapped__(codes, self.weight.t()).add_(self.offset)
