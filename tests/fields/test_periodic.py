"""FINER's other baselines against complex arithmetic, formulas written out, and autograd."""

import numpy as np
import pytest
import torch

from inrkit.calculus import gradient, laplacian
from inrkit.fields import WIRE, ComposedMLP, MetaSin, MetaSinMLP, ModulatedSIREN, count_parameters

MODELS = [
    lambda: WIRE(2, 2, width=6, hidden_layers=3, omega=4.0, scale=1.5),
    lambda: ModulatedSIREN(2, 2, width=6, hidden_layers=3, omega_0=4.0, code=5),
    lambda: MetaSinMLP(2, 2, width=6, hidden_layers=3, components=3),
    lambda: ComposedMLP(2, 2, width=6, hidden_layers=3, highest=8.0),
]
NAMES = ["WIRE", "MPA", "MetaSin", "SC-MLP"]


def array(tensor):
    return tensor.detach().numpy()


def points(n):
    return 2 * torch.rand(n, 2, dtype=torch.float64) - 1


@pytest.mark.parametrize("build", MODELS, ids=NAMES)
def test_jets_are_nested_autograd(build):
    torch.manual_seed(0)
    model, x = build().double(), points(9).requires_grad_()
    slopes, bends = [], []
    for channel in model(x).unbind(-1):
        (slope,) = torch.autograd.grad(channel.sum(), x, create_graph=True)
        second = [torch.autograd.grad(s.sum(), x, retain_graph=True)[0][:, i]
                  for i, s in enumerate(slope.unbind(-1))]  # fmt: skip
        slopes.append(slope)
        bends.append(sum(second))
    with torch.no_grad():
        torch.testing.assert_close(gradient(model, x)[1], torch.stack(slopes, -2).detach())
        torch.testing.assert_close(laplacian(model, x), torch.stack(bends, -1))


def test_wire_is_complex_arithmetic():
    torch.manual_seed(1)
    model, x = WIRE(2, 3, width=5, hidden_layers=3, omega=3.0, scale=2.0).double(), points(20)
    y = x.numpy().astype(complex)
    for layer in model.layers[:-1]:
        weight, bias = array(layer.weight), array(layer.bias)
        if not layer.first:
            weight, bias = weight[:5] + 1j * weight[5:], bias[:5] + 1j * bias[5:]
        z = y @ weight.T + bias
        y = np.exp(3j * z - np.abs(2 * z) ** 2)
    last = model.layers[-1]
    weight = array(last.weight[:, :5]) - 1j * array(last.weight[:, 5:])
    expected = (y @ weight.T).real + array(last.bias)
    np.testing.assert_allclose(array(model(x)), expected, rtol=1e-10, atol=1e-14)


def test_wire_has_about_the_parameters_of_a_real_network():
    assert count_parameters(WIRE(2, 1)) == pytest.approx(198_401, rel=0.01)


def test_a_far_wavelet_is_next_to_nothing_and_no_subnormal_number():
    model = WIRE(1, 1, width=4, hidden_layers=1, scale=1e3)
    values = model.layers[0](torch.linspace(-1, 1, 50).unsqueeze(-1)).abs()
    tiny = torch.finfo(torch.float32).tiny
    assert not ((values > 0) & (values < tiny)).any() and values.median() < 1e-19


def test_modulated_sines_are_the_equations():
    torch.manual_seed(2)
    model, x = ModulatedSIREN(2, 1, width=6, hidden_layers=2, code=3).double(), points(10)
    z, alpha, h = array(model.code), np.zeros(0), x.numpy()
    for layer, modulator in zip(model.layers, model.modulators, strict=True):
        pre = np.concatenate([alpha, z]) @ array(modulator.weight).T + array(modulator.bias)
        alpha = np.maximum(pre, 0)
        h = alpha * np.sin(30 * (h @ array(layer.weight).T + array(layer.bias)))
    expected = h @ array(model.last.weight).T + array(model.last.bias)
    np.testing.assert_allclose(array(model(x)), expected, rtol=1e-10)


def test_metasin_is_its_sum_and_starts_with_variance_one():
    torch.manual_seed(3)
    phi = MetaSin(4, components=3).double()
    u = 2 * torch.pi * torch.rand(100_000, 4, dtype=torch.float64)
    assert phi(u).var().item() == pytest.approx(1, rel=0.02)
    for parameter in phi.parameters():
        torch.nn.init.normal_(parameter)
    a, f, p = (array(t)[:, None] for t in (phi.amplitude, phi.frequency, phi.phase))
    expected = (a * np.sin(f * u[:5].numpy() + p)).sum(0)
    np.testing.assert_allclose(array(phi(u[:5])), expected, rtol=1e-10)


def test_metasin_layers_neither_die_nor_explode():
    torch.manual_seed(4)
    model, x = MetaSinMLP(2, 1, width=400, hidden_layers=5).double(), 3 * points(200)
    for layer in model.layers[:-1]:
        x = layer(x)
        assert 0.5 < x.var().item() < 2


def test_sinusoidal_composition_is_the_equation():
    torch.manual_seed(5)
    model, x = ComposedMLP(2, 1, width=6, hidden_layers=2, lowest=0.5, highest=16.0), points(9)
    model = model.double()
    m = 2 ** np.linspace(-1, 4, 6)
    np.testing.assert_allclose(array(model.multipliers), m, rtol=1e-6)
    h = np.sin(array(model.multipliers) * (x.numpy() @ array(model.first.weight).T
                                           + array(model.first.bias)))  # fmt: skip
    h = np.maximum(h @ array(model.layers[0].weight).T + array(model.layers[0].bias), 0)
    expected = h @ array(model.layers[1].weight).T + array(model.layers[1].bias)
    np.testing.assert_allclose(array(model(x)), expected, rtol=1e-10)
