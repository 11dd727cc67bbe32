"""Networks of differential layers against the literal composition, autograd and PyTorch's norm."""

import pytest
import torch
from scipy.ndimage import correlate

from inrkit.calculus import nested_autograd, partials, total_degree
from inrkit.fields import (
    SIREN,
    DepthwiseConvNet,
    INSPConvLayer,
    INSPConvNet,
    Transformed,
    cell_averages,
    stack,
)
from inrkit.signals import grid


def siren(seed=0, outputs=1):
    torch.manual_seed(seed)
    return SIREN(2, outputs, width=10, hidden_layers=2, omega_0=6.0).double()


COORDS = grid((9, 8), dtype=torch.float64)
CELLS = cell_averages(COORDS, 2)


def network(orders=(2, 1), channels=1):
    torch.manual_seed(5)
    net = INSPConvNet(channels, 3, averages=CELLS, orders=orders, width=5, unit=0.2)
    return net.double()


@pytest.mark.parametrize("orders", [(0, 0), (1,), (2, 1), (1, 1, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_short_way_is_algorithm_1_to_the_letter(orders, channels):
    net, phi = network(orders, channels), siren(outputs=channels)
    short = net.maps(net.derivatives(phi, COORDS))
    literal = net.field(phi, COORDS)
    assert torch.allclose(short, literal(COORDS), rtol=1e-9, atol=1e-10)


def test_a_layers_derivatives_are_those_of_its_continuous_output():
    net, phi = network((2, 2)), siren()
    first = net.layers[0](net.derivatives(phi, COORDS))
    literal = INSPConvNet.field(_only_first(net), phi, COORDS)
    indices = total_degree(2, 2).indices
    known = nested_autograd(literal, COORDS.clone(), indices)
    powers = [net.unit ** sum(a) for a in indices]
    unit = torch.tensor(powers, dtype=torch.float64).reshape(-1, 1, 1)
    assert torch.allclose(first, unit * known, rtol=1e-8, atol=1e-9)
    assert torch.allclose(partials(literal, COORDS, 2).values, known, rtol=1e-8, atol=1e-7)


def _only_first(net):
    only = INSPConvNet(1, 3, averages=CELLS, orders=(2,), width=5, unit=net.unit).double()
    only.layers[0].load_state_dict(net.layers[0].state_dict())
    return only


def test_normalization_is_instance_normalization():
    layer = INSPConvLayer(2, 4, order=0, multiplier=3).double()
    x = torch.rand(1, 6, 30, 2, dtype=torch.float64)  # 6 fields
    z = layer.responses(x)[0].mT
    known = torch.relu(torch.nn.InstanceNorm1d(4)(z)).mT
    assert torch.allclose(layer(x)[0], known, rtol=1e-10, atol=1e-12)


def test_scores_are_shift_invariant():
    net, phi = network(), siren()
    v = torch.tensor([0.37, -1.2], dtype=torch.float64)
    moved = Transformed(phi, shift=v)
    there = net(net.derivatives(phi, COORDS + v))
    assert torch.allclose(net(net.derivatives(moved, COORDS)), there, rtol=1e-10)


def test_many_fields_at_once_are_they_one_by_one():
    net, fields = network(), [siren(i) for i in range(3)]
    together = net(net.derivatives(stack(fields), COORDS))
    alone = [net(net.derivatives(phi, COORDS)) for phi in fields]
    assert torch.allclose(together, torch.stack(alone), atol=1e-10)


def test_cells_are_blocks_of_the_picture():
    coords = grid((8, 12), dtype=torch.float64)
    values = torch.rand(8, 12, dtype=torch.float64)
    blocks = values.reshape(2, 4, 2, 6).mean((1, 3)).reshape(-1)
    assert torch.allclose(cell_averages(coords, 2) @ values.reshape(-1), blocks)
    with pytest.raises(ValueError, match="hold no point"):
        cell_averages(coords, 20)


def test_gradients_reach_operators_and_mixing():
    net, phi = network(), siren()
    scores = net(net.derivatives(phi, COORDS))
    scores.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_too_few_derivatives_are_refused():
    layer = INSPConvLayer(1, 2, order=2)
    with pytest.raises(ValueError, match="layer of order 2"):
        layer(torch.rand(3, 10, 1))


def test_the_network_on_pixels_is_filters_by_hand():
    shape, width = (9, 8), 3
    torch.manual_seed(0)
    net = DepthwiseConvNet(
        2, 4, shape=shape, averages=CELLS, layers=1, width=width, multiplier=2
    ).double()
    values = torch.rand(5, 72, 2, dtype=torch.float64)
    filters = net.stages[0].weight.detach()[:, 0].numpy()  # two of each channel in turn
    mixing = net.stages[1].weight.detach()[:, :, 0, 0]
    for picture, scores in zip(values, net(values), strict=True):
        square = picture.reshape(*shape, 2).numpy()
        seen = [correlate(square[..., i // 2], f, mode="constant") for i, f in enumerate(filters)]
        z = torch.stack([torch.from_numpy(s).reshape(-1) for s in seen], -1) @ mixing.mT
        z = (z - z.mean(0)) / (z.var(0, correction=0) + 1e-5).sqrt()
        known = net.head((CELLS @ z.clamp(min=0)).reshape(-1))
        assert torch.allclose(scores, known, rtol=1e-8)
