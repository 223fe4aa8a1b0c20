"""Codebooks against brute force, torch's min–max rounding and torchao's NF4."""

import logging

import pytest
import torch
from draws import generator, normal
from hypothesis import example, given
from hypothesis import strategies as st

from reference_impl.quantization import (
    BlockQuantizer,
    CodebookQuantizer,
    MinMaxQuantizer,
    normal_float_codebook,
)

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
CODEBOOKS = st.lists(numbers, min_size=1, max_size=20, unique=True).map(
    lambda values: CodebookQuantizer(tuple(sorted(values)))
)
SEEDS = st.integers(0, 2**31)
BINARY = CodebookQuantizer((-1.0, 1.0))


@pytest.mark.equation("eq-codebook-quantize")
@given(quantizer=CODEBOOKS, seed=SEEDS, scale=st.floats(1e-3, 1e6))
def test_codes_are_the_nearest_values(quantizer, seed, scale):
    """Oracle: brute force, |x − c| for every c in float64; argmin takes the first of equals."""
    x = (normal(50, seed=seed) * scale).double()
    distances = (x[:, None] - torch.tensor(quantizer.values, dtype=torch.float64)).abs()
    found = distances.gather(1, quantizer.quantize(x).long()[:, None])[:, 0]
    slack = 1e-12 * (1 + distances.amin(dim=1))  # a threshold is rounded
    assert bool((found <= distances.amin(dim=1) + slack).all())


@pytest.mark.equation("eq-codebook-threshold")
def test_thresholds_lie_half_way_where_a_value_takes_the_lower_code():
    """Oracle: by hand, on ties that are exact in binary; argmin takes the first too."""
    quantizer = CodebookQuantizer((-2.0, -1.0, 0.0, 4.0))
    assert quantizer.thresholds == (-1.5, -0.5, 2.0)
    ties = torch.tensor(quantizer.thresholds)
    assert quantizer.quantize(ties).tolist() == [0, 1, 2]
    above = torch.nextafter(ties, torch.tensor(9.0))
    assert quantizer.quantize(above).tolist() == [1, 2, 3]


@given(bits=st.integers(1, 8))
def test_an_even_codebook_rounds_as_min_max(bits):
    """Oracle: MinMaxQuantizer with the same values, away from ties."""
    even = MinMaxQuantizer(0.0, float(2**bits - 1), bits)
    quantizer = CodebookQuantizer(tuple(float(k) for k in range(2**bits)))
    x = torch.rand(1000, generator=generator()) * 1.2 * 2**bits - 0.1
    assert torch.equal(quantizer.quantize(x), even.quantize(x))
    assert torch.equal(quantizer.round_trip(x), even.round_trip(x))
    assert quantizer.bits == bits


def test_values_in_any_order_of_memory_and_parameters_are_quantized_without_a_warning():
    """Oracle: a contiguous copy, without a gradient; a warning of torch's would be an error."""
    x = torch.nn.Parameter(normal(4, 6)).t()[::2]
    assert not x.is_contiguous()
    for quantizer in (BINARY, BlockQuantizer(BINARY, 4)):
        expected = quantizer.round_trip(x.detach().contiguous())
        assert torch.equal(quantizer.round_trip(x), expected)


def test_codes_of_any_integer_type_are_looked_up():
    """Oracle: the values; torch has no minimum of unsigned types above 8 bits."""
    quantizer = CodebookQuantizer((-1.0, 0.0, 0.5))
    for dtype in (torch.uint8, torch.int8, torch.uint16, torch.int64):
        assert quantizer.dequantize(torch.tensor([2, 0], dtype=dtype)).tolist() == [0.5, -1.0]


@given(quantizer=CODEBOOKS)
@example(quantizer=CodebookQuantizer((999999.9999999999, 1e6)))  # neighbours in float64
def test_every_value_is_its_own_image(quantizer):
    """Oracle: the codes 0, 1, 2, …; the round trip repeated changes nothing."""
    values = torch.tensor(quantizer.values, dtype=torch.float64)
    assert quantizer.quantize(values).tolist() == list(range(len(values)))
    assert torch.equal(quantizer.round_trip(values), values)


@pytest.mark.parametrize(("size", "bits"), [(1, 0), (2, 1), (3, 2), (16, 4), (17, 5), (65536, 16)])
def test_a_code_has_as_many_bits_as_the_values_need(size, bits):
    """Oracle: by hand, the least b with 2^b ≥ K."""
    assert CodebookQuantizer(tuple(float(k) for k in range(size))).bits == bits


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_shape_and_dtype_come_back(dtype):
    """Oracle: what went in; both ways back agree."""
    x = normal(3, 4).to(dtype)
    quantizer = CodebookQuantizer((-1.0, 0.25, 2.0))
    back = quantizer.round_trip(x)
    assert (back.shape, back.dtype) == (x.shape, dtype)
    assert torch.equal(back, quantizer.dequantize(quantizer.quantize(x), dtype))
    assert quantizer.quantize(x).dtype == torch.int32


def test_blocks_by_hand():
    """Oracle: by hand; three blocks, the last shorter, one of zeros."""
    quantizer = BlockQuantizer(CodebookQuantizer((-1.0, 0.0, 0.5, 1.0)), block=2)
    x = torch.tensor([4.0, -1.0, 0.0, 0.0, -3.0])
    codes, scales = quantizer.quantize(x)
    assert scales.tolist() == [4.0, 0.0, 3.0]
    assert codes.tolist() == [3, 1, 1, 1, 0]
    assert quantizer.round_trip(x).tolist() == [4.0, 0.0, 0.0, 0.0, -3.0]
    one = BlockQuantizer(quantizer.codebook, block=10**12)  # which needs no memory
    assert one.round_trip(x).tolist() == [4.0, 0.0, 0.0, 0.0, -4.0]


@given(seed=SEEDS, block=st.integers(1, 70), exponent=st.integers(-20, 20))
def test_a_blocks_largest_magnitude_comes_back(seed, block, exponent):
    """Oracle: symmetry; with ±1 in the codebook no block's extreme is changed."""
    x = normal(5, 28, seed=seed) * 10.0**exponent
    back = BlockQuantizer(normal_float_codebook(), block).round_trip(x)
    for before, after in zip(x.flatten().split(block), back.flatten().split(block), strict=True):
        at = before.abs().argmax()
        assert before[at] == after[at]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_codes_of_half_precision_blocks_are_those_of_the_exact_quotients(dtype):
    """Oracle: quotients in float64; rounded to 16 bits, some would pass a threshold."""
    x = normal(256, 64).to(dtype)
    nf4 = normal_float_codebook()
    exact = x.double() / x.double().abs().amax(dim=1, keepdim=True)
    assert torch.equal(BlockQuantizer(nf4, 64).quantize(x)[0], nf4.quantize(exact))
    assert not torch.equal(nf4.quantize(exact.to(dtype)), nf4.quantize(exact))


@pytest.mark.equation("eq-codebook-block")
def test_nf4_codes_in_blocks_of_64_are_torchaos():
    """Oracle: torchao's NF4Tensor, two codes a byte; its table has four digits, so we take it."""
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)  # its import logs a line
    from torchao.quantization.quantize_.workflows.nf4.nf4_tensor import NF4Tensor

    x = normal(256, 256)
    theirs = NF4Tensor.from_tensor(x, 64, 256)
    ours = torch.tensor(normal_float_codebook().values)
    assert (ours - theirs.nf4).abs().max() < 0.501e-4  # −0.09105003 there, −0.09104998 here
    table = BlockQuantizer(CodebookQuantizer(tuple(theirs.nf4.tolist())), 64)
    packed = theirs.quantized_data.flatten()
    codes, scales = table.quantize(x)
    assert torch.equal(codes.view(-1, 2), torch.stack([packed >> 4, packed & 0b1111], dim=1).int())
    back = table.dequantize(codes, scales)
    assert (back - theirs.get_original_weight()).abs().max() < 0.02  # it quantizes the scales too
