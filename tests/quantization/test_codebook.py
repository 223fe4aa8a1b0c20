"""Codebooks against brute force, torch's min–max rounding and torchao's NF4."""

import logging
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reference_impl.quantization import (
    BlockQuantizer,
    CodebookQuantizer,
    MinMaxQuantizer,
    normal_float_codebook,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def codebooks() -> st.SearchStrategy[CodebookQuantizer]:
    numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
    return st.lists(numbers, min_size=1, max_size=20, unique=True).map(
        lambda values: CodebookQuantizer(tuple(sorted(values)))
    )


@given(quantizer=codebooks(), seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e6))
def test_codes_are_the_nearest_values(quantizer, seed, scale) -> None:
    """Oracle: brute force, |x − c| for every c in float64; argmin takes the first of equals.

    Equation: eq-codebook-quantize.
    """
    x = (torch.randn(50, generator=generator(seed)) * scale).double()
    distances = (x[:, None] - torch.tensor(quantizer.values, dtype=torch.float64)).abs()
    found = distances.gather(1, quantizer.quantize(x).long()[:, None])[:, 0]
    slack = 1e-12 * (1 + distances.amin(dim=1))  # a threshold is rounded
    assert bool((found <= distances.amin(dim=1) + slack).all())


def test_a_value_half_way_takes_the_lower_code() -> None:
    """Oracle: by hand, on ties that are exact in binary; argmin takes the first too."""
    quantizer = CodebookQuantizer((-2.0, -1.0, 0.0, 4.0))
    ties = torch.tensor([-1.5, -0.5, 2.0])
    assert quantizer.quantize(ties).tolist() == [0, 1, 2]
    above = torch.nextafter(ties, torch.tensor(9.0))
    assert quantizer.quantize(above).tolist() == [1, 2, 3]


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_an_even_codebook_rounds_as_min_max(bits: int) -> None:
    """Oracle: MinMaxQuantizer with the same values, away from ties."""
    even = MinMaxQuantizer(0.0, float(2**bits - 1), bits)
    quantizer = CodebookQuantizer(tuple(float(k) for k in range(2**bits)))
    x = torch.rand(1000, generator=generator()) * 1.2 * 2**bits - 0.1
    assert torch.equal(quantizer.quantize(x), even.quantize(x))
    assert torch.equal(quantizer.round_trip(x), even.round_trip(x))
    assert quantizer.bits == bits


def test_values_in_any_order_of_memory_are_quantized_without_a_warning() -> None:
    """Oracle: a contiguous copy; a warning of torch's would be an error here."""
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0)).t()[::2]
    assert not x.is_contiguous()
    quantizer = CodebookQuantizer((-1.0, 0.0, 0.5))
    assert torch.equal(quantizer.quantize(x), quantizer.quantize(x.contiguous()))


def test_codes_of_any_integer_type_are_looked_up() -> None:
    """Oracle: the values; torch has no minimum of unsigned types above 8 bits."""
    quantizer = CodebookQuantizer((-1.0, 0.0, 0.5))
    for dtype in (torch.uint8, torch.int8, torch.uint16, torch.int64):
        q = torch.tensor([2, 0], dtype=dtype)
        assert quantizer.dequantize(q).tolist() == [0.5, -1.0]


@given(quantizer=codebooks())
def test_every_value_is_its_own_image(quantizer: CodebookQuantizer) -> None:
    """Oracle: the codes 0, 1, 2, …; the round trip repeated changes nothing."""
    values = torch.tensor(quantizer.values, dtype=torch.float64)
    assert quantizer.quantize(values).tolist() == list(range(len(values)))
    assert torch.equal(quantizer.round_trip(values), values)


@pytest.mark.parametrize(("size", "bits"), [(1, 0), (2, 1), (3, 2), (16, 4), (17, 5), (65536, 16)])
def test_a_code_has_as_many_bits_as_the_values_need(size: int, bits: int) -> None:
    """Oracle: by hand, the least b with 2^b ≥ K."""
    assert CodebookQuantizer(tuple(float(k) for k in range(size))).bits == bits


def test_thresholds_lie_half_way() -> None:
    """Oracle: by hand.

    Equation: eq-codebook-threshold.
    """
    assert CodebookQuantizer((1.0, 2.0, 5.0)).thresholds == (1.5, 3.5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_shape_and_dtype_come_back(dtype: torch.dtype) -> None:
    """Oracle: what went in; both ways back agree."""
    x = torch.randn(3, 4, generator=generator()).to(dtype)
    quantizer = CodebookQuantizer((-1.0, 0.25, 2.0))
    back = quantizer.round_trip(x)
    assert (back.shape, back.dtype) == (x.shape, dtype)
    assert torch.equal(back, quantizer.dequantize(quantizer.quantize(x), dtype))
    assert quantizer.quantize(x).dtype == torch.int32


def test_parameters_can_be_quantized_without_a_gradient() -> None:
    """Oracle: the same tensor detached."""
    weight = torch.nn.Parameter(torch.randn(8, generator=generator()))
    for quantizer in (BINARY, BlockQuantizer(BINARY, 4)):
        assert torch.equal(quantizer.round_trip(weight), quantizer.round_trip(weight.detach()))


BINARY = CodebookQuantizer((-1.0, 1.0))


def test_blocks_by_hand() -> None:
    """Oracle: by hand; three blocks, the last shorter, one of zeros."""
    quantizer = BlockQuantizer(CodebookQuantizer((-1.0, 0.0, 0.5, 1.0)), block=2)
    x = torch.tensor([[4.0, -1.0, 0.0], [0.0, -3.0, 0.0]])[:, :3].flatten()[:5]
    codes, scales = quantizer.quantize(x)
    assert scales.tolist() == [4.0, 0.0, 3.0]
    assert codes.tolist() == [3, 1, 1, 1, 0]
    assert quantizer.round_trip(x).tolist() == [4.0, 0.0, 0.0, 0.0, -3.0]


@given(seed=st.integers(0, 2**31), block=st.integers(1, 70), exponent=st.integers(-20, 20))
def test_a_blocks_largest_magnitude_comes_back(seed: int, block: int, exponent: int) -> None:
    """Oracle: symmetry; with ±1 in the codebook no block's extreme is changed."""
    x = torch.randn(5, 28, generator=generator(seed)) * 10.0**exponent
    back = BlockQuantizer(normal_float_codebook(), block).round_trip(x)
    for before, after in zip(x.flatten().split(block), back.flatten().split(block), strict=True):
        at = before.abs().argmax()
        assert before[at] == after[at]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_codes_of_half_precision_blocks_are_those_of_the_exact_quotients(dtype) -> None:
    """Oracle: quotients in float64; rounded to 16 bits, some would pass a threshold."""
    x = torch.randn(256, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    nf4 = normal_float_codebook()
    exact = x.double() / x.double().abs().amax(dim=1, keepdim=True)
    assert torch.equal(BlockQuantizer(nf4, 64).quantize(x)[0], nf4.quantize(exact))
    assert not torch.equal(nf4.quantize(exact.to(dtype)), nf4.quantize(exact))


def test_one_block_of_everything_is_the_codebook_times_the_largest_magnitude() -> None:
    """Oracle: the codebook alone on x / max |x|."""
    x = torch.randn(1000, generator=generator())
    largest = x.abs().max()
    expected = normal_float_codebook().round_trip(x / largest) * largest
    for block in (1000, 10**12):  # a block larger than the tensor needs no memory
        assert torch.equal(BlockQuantizer(normal_float_codebook(), block).round_trip(x), expected)


def torchaos_nf4(x: torch.Tensor):
    """Return torchao's NF4 tensor; its import logs a line on torch's pytree to stderr."""
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    from torchao.quantization.quantize_.workflows.nf4.nf4_tensor import NF4Tensor

    return NF4Tensor.from_tensor(x, 64, 256)


def test_nf4_codes_in_blocks_of_64_are_torchaos() -> None:
    """Oracle: torchao's NF4Tensor, two codes a byte; its table has four digits, so we take it.

    Equation: eq-codebook-block.
    """
    x = torch.randn(256, 256, generator=generator())
    theirs = torchaos_nf4(x)
    table = CodebookQuantizer(tuple(theirs.nf4.tolist()))
    packed = theirs.quantized_data.flatten()
    unpacked = torch.stack([packed >> 4, packed & 0b1111], dim=1).view(256, 256)
    codes, scales = BlockQuantizer(table, 64).quantize(x)
    assert torch.equal(codes, unpacked.int())
    back = BlockQuantizer(table, 64).dequantize(codes, scales)
    assert (back - theirs.get_original_weight()).abs().max() < 0.02  # it quantizes the scales too


def test_the_nf4_table_is_torchaos_to_its_four_digits() -> None:
    """Oracle: torchao's table, rounded from one in float32: −0.09105003 there, −0.09104998 here."""
    theirs = torchaos_nf4(torch.randn(256, 64, generator=generator())).nf4
    ours = torch.tensor(normal_float_codebook().values)
    assert (ours - theirs).abs().max() < 0.501e-4


GOOD = CodebookQuantizer((-1.0, 0.0, 1.0))
BLOCKS = BlockQuantizer(GOOD, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: CodebookQuantizer(()), ValueError, "values must be 1 to 65536 numbers, got"),
        (lambda: CodebookQuantizer("12"), TypeError, "values must be tuple, got str"),
        (lambda: CodebookQuantizer((1.0, "2")), TypeError, r"values\[1\] must be a real number"),
        (lambda: CodebookQuantizer((1.0, math.nan)), ValueError, r"values\[1\] must be finite"),
        (lambda: CodebookQuantizer((1.0, 1.0)), ValueError, "values must be ascending, got"),
        (lambda: GOOD.quantize(torch.tensor([1])), TypeError, "x must hold floating"),
        (lambda: GOOD.round_trip(torch.empty(0)), ValueError, "x must not be empty"),
        (lambda: GOOD.dequantize(torch.tensor([0.5])), TypeError, "q must hold integers"),
        (lambda: GOOD.dequantize(torch.tensor([3])), ValueError, r"q .* \[0, 2\], got 3 to 3"),
        (lambda: GOOD.dequantize(torch.tensor([-1])), ValueError, r"q .* \[0, 2\], got -1 to -1"),
        (lambda: GOOD.dequantize(torch.tensor([1]), torch.int8), ValueError, "dtype must be a fl"),
        (
            lambda: CodebookQuantizer((0.0, 1e5)).dequantize(torch.tensor([1]), torch.float16),
            ValueError,
            "dtype must hold magnitudes up to 100000.0, got torch.float16",
        ),
        (lambda: BlockQuantizer((-1.0, 1.0), 4), TypeError, "codebook must be CodebookQuantizer"),
        (lambda: BlockQuantizer(GOOD, 0), ValueError, "block must be at least 1, got 0"),
        (
            lambda: BlockQuantizer(CodebookQuantizer((0.0, 2.0)), 4),
            ValueError,
            r"codebook must be within \[-1, 1\], got CodebookQuantizer\(values=\(0.0, 2.0\)",
        ),
        (lambda: BLOCKS.quantize(torch.tensor([math.inf])), ValueError, "x must be finite"),
        (
            lambda: BLOCKS.dequantize(torch.tensor([0, 1, 2]), torch.ones(3)),
            ValueError,
            "scales must be 2, one for each block, got 3",
        ),
    ],
)
def test_bad_input_is_named(call, error, message) -> None:
    """Oracle: argument, value and expectation, by hand."""
    with pytest.raises(error, match=message):
        call()
