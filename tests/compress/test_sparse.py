"""Sparse layers against the dense ones and SciPy."""

import pytest
import scipy.sparse
import torch
from chains import drawn, images, refused
from torch import nn

from reference_impl.compress import CsrLinear, with_sparse_layers


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_a_sparse_layer_answers_as_the_dense_one(bias, density):
    """Oracle: nn.Linear with the zeros, and SciPy's product of sparse rows; a copy of both."""
    torch.manual_seed(0)
    layer = nn.Linear(30, 20, bias=bias)
    layer.weight.data *= torch.rand(20, 30) < density
    sparse, x = CsrLinear(layer), torch.randn(7, 30)
    assert sparse.values == int(layer.weight.count_nonzero())
    assert torch.equal(sparse.get_buffer("weight").to_dense(), layer.weight)
    found = sparse(x)
    torch.testing.assert_close(found, layer(x), atol=1e-5, rtol=1e-5)
    product = scipy.sparse.csr_array(layer.weight.detach().numpy()) @ x.numpy().T
    by_scipy = torch.from_numpy(product.T) + (layer.bias if bias else 0)
    torch.testing.assert_close(found, by_scipy, atol=1e-5, rtol=1e-5)
    for parameter in layer.parameters():
        parameter.data.zero_()
    assert torch.equal(sparse(x), found)
    assert sparse(x[:0]).shape == (0, 20)


@pytest.mark.parametrize("name", ["lenet300", "student", "nested"])
def test_a_chain_answers_as_before(name):
    """Oracle: the chain, which may hold layers inside other modules; its linear layers counted."""
    chain = drawn("lenet300" if name == "nested" else name).chain()
    if name == "nested":
        chain = nn.Sequential(chain[:3], chain[3:])
    sparse = with_sparse_layers(chain)
    linear = [name for name, module in chain.named_modules() if isinstance(module, nn.Linear)]
    assert all(isinstance(sparse.get_submodule(name), CsrLinear) for name in linear)
    torch.testing.assert_close(sparse(images(5)), chain(images(5)), atol=1e-5, rtol=1e-5)


LAYER = CsrLinear(nn.Linear(4, 3))
HALF, BRAIN = (nn.Linear(4, 3).to(dtype) for dtype in (torch.float16, torch.bfloat16))

test_what_the_sparse_product_cannot_multiply_is_refused = refused(
    (ValueError, r"x must be \(n, 4\), got \(4,\)", lambda: LAYER(torch.rand(4))),
    (ValueError, r"x must be \(n, 4\), got \(2, 5\)", lambda: LAYER(torch.rand(2, 5))),
    (ValueError, r"x must be \(n, 4\), got \(2, 5, 4\)", lambda: LAYER(torch.rand(2, 5, 4))),
    (TypeError, "must be float32 or float64, got", lambda: CsrLinear(HALF)),
    (TypeError, "must be float32 or float64, got", lambda: CsrLinear(BRAIN)),
    (ValueError, "a linear layer, got none", lambda: with_sparse_layers(nn.Sequential(nn.ReLU()))),
)
