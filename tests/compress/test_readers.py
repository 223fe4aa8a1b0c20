"""What reads a width, against forward passes by hand."""

import pytest
import torch
import torch.nn.functional as F

from reference_impl.compress import absorb_offset, values_read
from reference_impl.compress.readers import only_reader, takes_offset
from reference_impl.models import ConvStudent, LeNet5, LeNet300, ResidualNetwork, SeparableStudent

pytestmark = pytest.mark.usefixtures("one_thread")


def images(n: int = 4) -> torch.Tensor:
    return torch.rand(n, 1, 28, 28, generator=torch.Generator().manual_seed(2))


def test_the_values_are_those_that_the_next_layer_reads():
    """Oracle: LeNet-5's forward pass, behind the pooling; a row per image and position."""
    torch.manual_seed(0)
    network = LeNet5()
    h = F.max_pool2d(network.conv1(images()), 2).detach()
    ours = values_read(network, "conv1", images())
    assert ours.shape == (4 * 12 * 12, 20)
    torch.testing.assert_close(ours.view(4, 12, 12, 20), h.permute(0, 2, 3, 1))
    h = F.max_pool2d(network.conv2(h), 2).detach()
    behind_flatten = values_read(network, "conv2", images())
    torch.testing.assert_close(behind_flatten.view(4, 4, 4, 50), h.permute(0, 2, 3, 1))
    h = F.relu(network.fc1(h.flatten(1)))
    torch.testing.assert_close(values_read(network, "hidden", images()), h.detach())


def test_batch_norm_answers_in_evaluation_mode_and_keeps_its_mode():
    """Oracle: the same in evaluation mode."""
    torch.manual_seed(0)
    network = ConvStudent().train()
    training = values_read(network, "conv2", images())
    assert network.training
    assert torch.equal(training, values_read(network.eval(), "conv2", images()))


@pytest.mark.parametrize(
    ("kind", "label"), [(LeNet300, "hidden1"), (LeNet5, "conv1"), (LeNet5, "conv2")]
)
def test_a_constant_in_the_bias_is_a_constant_in_the_values(kind, label):
    """Oracle: the reading layer on values with the constant added."""
    torch.manual_seed(0)
    network = kind()
    _, layer = only_reader(network, label)
    offset = torch.randn(network.widths[label], dtype=torch.float64)
    x = torch.rand(
        3, *((layer.weight.shape[1], 7, 7) if label == "conv1" else layer.weight[0].shape)
    )
    repeat = layer.weight.shape[1] // len(offset)
    e = offset.float().repeat_interleave(repeat)
    expected = layer(x + (e[:, None, None] if label == "conv1" else e)).detach()
    assert takes_offset(network, label)
    absorb_offset(network, label, offset)
    torch.testing.assert_close(layer(x).detach(), expected, atol=1e-4, rtol=1e-4)


def test_padded_maps_and_layers_without_bias_take_no_constant():
    """Oracle: the documented error; an offset of 0 is no change."""
    network = ConvStudent()
    assert [takes_offset(network, label) for label in network.widths] == [False, False, True]
    before = network.head.bias.detach().clone()
    absorb_offset(network, "conv1", torch.zeros(8, dtype=torch.float64))
    with pytest.raises(ValueError, match="offset must be 0 for 'conv1'"):
        absorb_offset(network, "conv1", torch.ones(8, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"offset must be \(32,\)"):
        absorb_offset(network, "conv3", torch.ones(8, dtype=torch.float64))
    for dtype in (torch.float16, torch.float32):
        absorb_offset(network, "conv3", torch.ones(32, dtype=dtype))
    summed = network.head.weight.sum(dim=1).detach()
    torch.testing.assert_close(network.head.bias.detach(), before + 2 * summed)
    with pytest.raises(ValueError, match="offset must be finite"):
        absorb_offset(network, "conv3", torch.full((32,), torch.nan))
    with pytest.raises(TypeError, match="offset must hold floating"):
        absorb_offset(network, "conv3", torch.ones(32, dtype=torch.int64))
    assert not takes_offset(SeparableStudent(), "stem")  # 1×1: no padding, no bias


def test_what_is_not_read_by_one_layer_is_refused():
    """Oracle: the documented errors."""
    with pytest.raises(ValueError, match="label must be one of"):
        only_reader(LeNet300(), "pixels")
    with pytest.raises(TypeError, match="network must be Network"):
        only_reader(LeNet300().chain(), "hidden1")
    with pytest.raises(ValueError, match="several layers"):
        values_read(ResidualNetwork(), "stream", images())
    with pytest.raises(ValueError, match="inside a block"):
        values_read(ResidualNetwork(), "inner2", images())
    with pytest.raises(TypeError, match="floating"):
        values_read(LeNet300(), "hidden1", images().long())
