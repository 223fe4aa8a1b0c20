"""Products of matrices of codes, in integers: the arithmetic of a quantized layer.

With x̂ = s_a (q_a − z_a) and ŵ = s_b (q_b − z_b), a sum of K products is s_a s_b times an integer:

    Σ (q_a − z_a)(q_b − z_b) = Σ q_a q_b − z_b Σ q_a − z_a Σ q_b + K z_a z_b.
"""

from functools import cache

import torch
from jaxtyping import Int32, Integer
from torch import Tensor

from reference_impl.checks import require_arithmetic, require_int, require_integer_tensor

INT32_MAX = 2**31 - 1


def accumulator_bound(depth: int, largest_a: int, largest_b: int, largest_bias: int = 0) -> int:
    """Return K · max|q_a − z_a| · max|q_b − z_b| + max|bias|, which no sum of K products exceeds.

    >>> accumulator_bound(784, 255, 127)
    25389840

    Args:
        depth: K, how many products are summed.
        largest_a: max|q_a − z_a|.
        largest_b: max|q_b − z_b|.
        largest_bias: max|bias|, in units of the products.

    Raises:
        TypeError: if an argument is no integer.
        ValueError: if ``depth`` is below 1 or another argument negative.

    Equation: eq-integer-bound, chapter 04.
    """
    depth = require_int("depth", depth, 1)
    largest_a = require_int("largest_a", largest_a, 0)
    largest_b = require_int("largest_b", largest_b, 0)
    return depth * largest_a * largest_b + require_int("largest_bias", largest_bias, 0)


def largest_depth(largest_a: int, largest_b: int, largest_bias: int = 0) -> int:
    """Return ⌊(2^31 − 1 − max|bias|) / (max|q_a − z_a| max|q_b − z_b|)⌋: the longest safe sum.

    >>> largest_depth(255, 127)
    66311

    Raises:
        TypeError: if an argument is no integer.
        ValueError: if ``largest_a`` or ``largest_b`` is below 1, or ``largest_bias`` no int32.

    Equation: eq-integer-depth, chapter 04.
    """
    largest_a = require_int("largest_a", largest_a, 1)
    largest_b = require_int("largest_b", largest_b, 1)
    largest_bias = require_int("largest_bias", largest_bias, 0, INT32_MAX)
    return (INT32_MAX - largest_bias) // (largest_a * largest_b)


def integer_matmul(
    a: Integer[Tensor, "n k"], b: Integer[Tensor, "k m"], *, zero_a: int = 0, zero_b: int = 0
) -> Int32[Tensor, "n m"]:
    """Return Σ q_a q_b − z_b Σ q_a − z_a Σ q_b + K z_a z_b, which is Σ (q_a − z_a)(q_b − z_b).

    >>> a = torch.tensor([[3, 0, 5]], dtype=torch.uint8)
    >>> b = torch.tensor([[2], [-1], [4]], dtype=torch.int8)
    >>> integer_matmul(a, b, zero_a=1).item()
    21

    Args:
        a: codes q_a, one row for each of n examples.
        b: codes q_b, one column for each of m outputs.
        zero_a: z_a.
        zero_b: z_b.

    Raises:
        TypeError: if ``a`` or ``b`` does not hold uint8 or signed integers, or a zero point is no
            integer.
        ValueError: if ``a`` and ``b`` are no matrices that can be multiplied, or if K codes as
            large as the largest ones could sum to more than int32 holds.

    References:
        Jacob et al. 2018, equations 4 and 7.

    Equation: eq-integer-terms, chapter 04.
    """
    largest_a, largest_b = largest_code("a", a, zero_a), largest_code("b", b, zero_b)
    zero_a, zero_b = int(zero_a), int(zero_b)  # NumPy's would wrap around
    _require_factors(a, b)
    depth = a.shape[1]
    require_accumulator(depth, largest_a, largest_b)
    products = exact_products(a, b).long()
    row_sums = a.sum(dim=1, keepdim=True, dtype=torch.int64)
    column_sums = b.sum(dim=0, keepdim=True, dtype=torch.int64)
    products -= zero_b * row_sums + zero_a * column_sums - depth * zero_a * zero_b
    return products.to(torch.int32)  # modulo 2^32: a product that wrapped comes back


def require_accumulator(depth: int, largest_a: int, largest_b: int, largest_bias: int = 0) -> None:
    """Refuse a sum that could exceed int32.

    Args:
        depth: K, how many products are summed.
        largest_a: max|q_a − z_a|.
        largest_b: max|q_b − z_b|.
        largest_bias: max|bias|, in units of the products.

    Raises:
        TypeError: if an argument is no integer.
        ValueError: if one is out of its range, or the bound above 2^31 − 1.
    """
    bound = accumulator_bound(depth, largest_a, largest_b, largest_bias)
    if bound > INT32_MAX:
        raise ValueError(
            f"depth must be small enough for int32: {depth} products of up to {largest_a} · "
            f"{largest_b} and a bias of up to {largest_bias} could reach {bound} > {INT32_MAX}"
        )


def exact_products(a: Integer[Tensor, "n k"], b: Integer[Tensor, "k m"]) -> Int32[Tensor, "n m"]:
    """Return Σ q_a q_b modulo 2^32, by the fastest way of this processor that is exact.

    ``torch._int_mm`` multiplies 8-bit codes; where `int8_products_are_exact` says no, for wider
    codes and for K = 1, the product is one of int64.

    Raises:
        TypeError: if ``a`` or ``b`` does not hold integers.
        ValueError: if they are no matrices that can be multiplied, or empty.
    """
    require_integer_tensor("a", a)
    require_integer_tensor("b", b)
    _require_factors(a, b)
    eight_bits = a.dtype in (torch.int8, torch.uint8) and b.dtype == torch.int8
    one = a.shape[1] == 1  # torch 2.14 misreads a (1, m) that is a transposed column
    if eight_bits and not one and int8_products_are_exact():
        return torch._int_mm(_plain(a), _plain(b))
    return (a.long() @ b.long()).to(torch.int32)


def _require_factors(a: Tensor, b: Tensor) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(
            f"a and b must be matrices (n, k) and (k, m), got {tuple(a.shape)}, {tuple(b.shape)}"
        )


def _plain(matrix: Tensor) -> Tensor:
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
    exact = True
    for kind, code in ((torch.uint8, 255), (torch.int8, 127), (torch.int8, -128)):
        a = torch.full((64, 256), code, dtype=kind)
        for weight in (127, -128):
            b = torch.full((64, 256), weight, dtype=torch.int8)
            for rows in (1, 64):  # one row may take another way than many
                exact &= bool((torch._int_mm(a[:rows], b.t()) == 256 * code * weight).all())
    return exact


def largest_code(name: str, codes: Integer[Tensor, "*shape"], zero: int) -> int:
    """Return max|q − z|.

    Args:
        name: of the codes, for messages.
        codes: q.
        zero: z.

    Raises:
        TypeError: if ``codes`` does not hold uint8 or signed integers or ``zero`` is no integer.
        ValueError: if ``codes`` is empty or ``zero`` beyond int32.
    """
    require_arithmetic(name, codes)
    zero = require_int(f"zero_{name}", zero, -INT32_MAX, INT32_MAX)
    smallest, largest = (int(end) for end in torch.aminmax(codes))
    return max(abs(smallest - zero), abs(largest - zero))
