"""Sparse layers against the dense ones and SciPy."""

import pytest
import scipy.sparse
import torch
from torch import nn

from reference_impl.compress import CsrLinear, with_sparse_layers
from reference_impl.models import ConvStudent, LeNet300


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("density", [0.0, 0.2, 1.0])
def test_a_sparse_layer_answers_as_the_dense_one(bias, density):
    """Oracle: nn.Linear with the zeros, and SciPy's product of sparse rows."""
    torch.manual_seed(0)
    layer = nn.Linear(30, 20, bias=bias)
    layer.weight.data *= torch.rand(20, 30) < density
    sparse, x = CsrLinear(layer), torch.randn(7, 30)
    assert sparse.values == int(layer.weight.count_nonzero())
    assert torch.equal(sparse.get_buffer("weight").to_dense(), layer.weight)
    torch.testing.assert_close(sparse(x), layer(x), atol=1e-5, rtol=1e-5)
    product = scipy.sparse.csr_array(layer.weight.detach().numpy()) @ x.numpy().T
    by_scipy = torch.from_numpy(product.T) + (layer.bias if bias else 0)
    torch.testing.assert_close(sparse(x), by_scipy, atol=1e-5, rtol=1e-5)


def test_the_weights_are_copied():
    """Oracle: the answer before the layer was changed."""
    layer, x = nn.Linear(3, 2), torch.ones(1, 3)
    sparse = CsrLinear(layer)
    before = sparse(x)
    layer.weight.data.zero_()
    layer.bias.data.zero_()
    assert torch.equal(sparse(x), before)


def test_a_chain_answers_as_before():
    """Oracle: the network."""
    network, x = LeNet300((30, 20)).eval(), torch.rand(5, 1, 28, 28)
    chain = with_sparse_layers(network.chain())
    assert sum(isinstance(module, CsrLinear) for module in chain) == 3
    torch.testing.assert_close(chain(x), network(x), atol=1e-5, rtol=1e-5)
    assert isinstance(network.fc1, nn.Linear)
    assert isinstance(with_sparse_layers(ConvStudent().chain()).head, CsrLinear)


def test_layers_inside_modules_are_found():
    """Oracle: the chain; counted."""
    chain = nn.Sequential(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), nn.Linear(3, 2))
    sparse, x = with_sparse_layers(chain), torch.rand(5, 4)
    assert sum(isinstance(module, CsrLinear) for module in sparse.modules()) == 2
    torch.testing.assert_close(sparse(x), chain(x), atol=1e-6, rtol=1e-5)


def test_what_the_sparse_product_cannot_multiply_is_refused():
    """Oracle: the documented errors."""
    layer = CsrLinear(nn.Linear(4, 3))
    assert layer(torch.rand(0, 4)).shape == (0, 3)
    for x in (torch.rand(4), torch.rand(2, 5), torch.rand(2, 5, 4)):
        with pytest.raises(ValueError, match=r"x must be \(n, 4\), got \("):
            layer(x)
    for dtype in (torch.float16, torch.bfloat16):
        with pytest.raises(TypeError, match=r"layer\.weight must be float32 or float64, got"):
            CsrLinear(nn.Linear(4, 3).to(dtype))


def test_bad_arguments_are_refused():
    """Oracle: the documented errors."""
    with pytest.raises(TypeError, match="layer must be Linear, got Conv2d"):
        CsrLinear(nn.Conv2d(1, 1, 1))
    with pytest.raises(TypeError, match="chain must be Sequential"):
        with_sparse_layers(LeNet300())
    with pytest.raises(ValueError, match="chain must have a linear layer, got none"):
        with_sparse_layers(nn.Sequential(nn.ReLU()))
