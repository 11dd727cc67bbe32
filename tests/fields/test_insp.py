"""Fields of derivatives against autograd, closed forms, and the groups' definitions."""

import os
import subprocess
import sys
from itertools import pairwise
from math import comb, factorial

import numpy as np
import pytest
import torch
from torch import nn

from inrkit import paths
from inrkit.calculus import laplacian, nested_autograd, partials, total_degree
from inrkit.fields import (
    SIREN,
    INSPNet,
    LinearFusion,
    MLPFusion,
    NormFusion,
    Transformed,
    gaussian_terms,
    heat_step,
    multiplicities,
    order_scales,
    polynomial,
    stack,
)


class Wave(nn.Module):
    """sin(w x + p), whose derivatives are known."""

    def __init__(self, w, p=0.3):
        super().__init__()
        self.register_buffer("w", torch.tensor(w, dtype=torch.float64))
        self.p = p

    def forward(self, x):
        return torch.sin((x * self.w).sum(-1, keepdim=True) + self.p)


def siren(inputs=2, outputs=1, seed=0, omega_0=5.0):
    torch.manual_seed(seed)
    return SIREN(inputs, outputs, width=12, hidden_layers=2, omega_0=omega_0).double()


def points(n=40, d=2, seed=1):
    torch.manual_seed(seed)
    return 2 * torch.rand(n, d, dtype=torch.float64) - 1


def nonlinear(features):
    return torch.sin(features.sum(-1)) + features[..., 0] * features[..., -1]


CASES = [(1, 4), (2, 3), (3, 2)]


@pytest.mark.parametrize(("d", "order"), CASES)
def test_features_are_the_distinct_partials(d, order):
    field, x = siren(d, 2), points(d=d)
    net = INSPNet(field, nonlinear, order=order, dimensions=d).double()
    found = net.features(x)
    indices = total_degree(d, order).indices
    known = nested_autograd(field, x.clone(), indices).movedim(0, -1)
    assert found.shape == (40, 2, comb(d + order, order))
    assert torch.allclose(found, known, rtol=1e-10, atol=1e-9)


@pytest.mark.parametrize(("d", "order"), CASES)
def test_a_processed_field_is_differentiated_like_any_other(d, order):
    net = INSPNet(siren(d), nonlinear, order=order, dimensions=d).double()
    x, indices = points(d=d), total_degree(d, 2).indices
    ours = partials(net, x, 2).values
    known = nested_autograd(net, x.clone(), indices)
    assert torch.allclose(ours, known, rtol=1e-9, atol=1e-8 * float(known.detach().abs().max()))
    assert torch.allclose(laplacian(net, x).detach(), known[[i for i, a in enumerate(indices)
                          if max(a) == 2]].sum(0), rtol=1e-8)  # fmt: skip


def test_a_processed_field_behind_another_map():
    A = torch.tensor([[0.8, -0.7], [0.4, 1.1]], dtype=torch.float64)
    moved = Transformed(INSPNet(siren(), nonlinear, order=2).double(), matrix=A, shift=A[0])
    x = points()
    ours, known = (
        partials(moved, x, 3).values,
        nested_autograd(moved, x.clone(), total_degree(2, 3).indices),
    )
    assert torch.allclose(ours, known, rtol=1e-9, atol=1e-9 * float(known.detach().abs().max()))


def test_processing_twice_is_the_product_of_polynomials():
    w, x = [2.0, -1.5], points()
    slope = polynomial(Wave(w), {(1, 0): 2.0, (0, 0): 1.0}).double()
    twice = polynomial(slope, {(0, 2): 1.0, (1, 0): -3.0}).double()
    phase = (x * torch.tensor(w)).sum(-1, keepdim=True) + 0.3
    i = 1j
    symbol = (1 + 2 * i * w[0]) * ((i * w[1]) ** 2 - 3 * i * w[0])
    known = (symbol * torch.exp(i * phase)).imag
    assert torch.allclose(twice(x), known, atol=1e-12)


def test_laplacian_and_heat_of_a_wave():
    w, x = [3.0, 4.0], points()
    field = Wave(w)
    bend = polynomial(field, {(2, 0): 1.0, (0, 2): 1.0}).double()
    assert torch.allclose(bend(x), -25 * field(x), atol=1e-12)
    assert torch.allclose(heat_step(field, 0.01).double()(x), 0.75 * field(x), atol=1e-12)
    three = field
    for _ in range(3):
        three = heat_step(three, 0.01).double()
    assert torch.allclose(three(x), 0.75**3 * field(x), atol=1e-12)


def test_the_heat_semigroup():
    w, x, deviation = [3.0, 4.0], points(), 0.2
    exact = torch.exp(torch.tensor(-(deviation**2) * 25 / 2))
    errors = []
    for order in (2, 6, 10):
        blurred = polynomial(Wave(w), gaussian_terms(deviation, order)).double()
        errors.append((blurred(x) - exact * Wave(w)(x)).detach().abs().max().item())
    assert errors[0] > 10 * errors[1] > 100 * errors[2]
    assert errors[2] < 1e-4


def box_terms(centre, sides, order):
    """Taylor's polynomial of a box filter: its moments, times the signs and 1 / alpha! of it."""

    def moment(axis, k):
        ends = [centre[axis] + sign * sides[axis] / 2 for sign in (-1, 1)]
        return (ends[1] ** (k + 1) - ends[0] ** (k + 1)) / ((k + 1) * sides[axis])

    return {
        (a, b): (-1) ** (a + b) * moment(0, a) * moment(1, b) / (factorial(a) * factorial(b))
        for a, b in total_degree(2, order).indices
    }


def test_filters_are_approximated_within_the_theorems_bound():
    """Theorem 2 for a Gaussian and an off-centre box, against the convolution in closed form."""
    centre, sides, deviation = (0.2, -0.1), (0.5, 0.8), 0.3
    waves = [Wave([3.0, 4.0], 0.3), Wave([-1.0, 2.5], 1.1), Wave([4.5, -0.5], 0.0)]
    frequencies, x = np.array([wave.w.tolist() for wave in waves]), points()
    flat = [np.sinc(w * s / (2 * np.pi)) for w, s in zip(frequencies.T, sides, strict=True)]
    flat = np.prod(flat, 0)
    gains = {
        "Gaussian": np.exp(-(deviation**2) * np.square(frequencies).sum(-1) / 2) + 0j,
        "box": flat * np.exp(-1j * frequencies @ centre),
    }
    for name, gain in gains.items():
        errors = []
        for order in (2, 6, 10, 14):
            terms = (
                gaussian_terms(deviation, order)
                if name == "Gaussian"
                else box_terms(centre, sides, order)
            )
            found = sum(polynomial(wave, terms).double()(x) for wave in waves)
            phases = x.numpy() @ frequencies.T + [wave.p for wave in waves]
            known = (gain * np.exp(1j * phases)).imag.sum(-1)
            # a field without parameters is taken for one in single precision
            rounded = {a: float(np.float32(c)) for a, c in terms.items()}
            symbol = sum(c * np.prod((1j * frequencies) ** a, -1) for a, c in rounded.items())
            bound = len(waves) * np.abs(gain - symbol).max()  # times the sum of amplitudes
            errors.append(np.abs(found[:, 0].detach().numpy() - known).max())
            assert errors[-1] <= bound + 1e-12
        assert all(b < 0.5 * a for a, b in pairwise(errors))
        assert errors[-1] < 1e-3


def test_every_processed_field_is_shift_invariant():
    torch.manual_seed(3)
    field, x, v = siren(), points(), torch.tensor([0.3, -0.8], dtype=torch.float64)
    for fusion in (nonlinear, MLPFusion(1, 10, width=8, hidden_layers=2).double()):
        net = INSPNet(field, fusion, order=3).double()
        moved = INSPNet(Transformed(field, shift=v), fusion, order=3).double()
        assert torch.allclose(moved(x), net(x + v), rtol=1e-11)


def rotation(angle):
    angle = torch.tensor(angle, dtype=torch.float64)
    return torch.stack([torch.stack([angle.cos(), -angle.sin()]),
                        torch.stack([angle.sin(), angle.cos()])])  # fmt: skip


@pytest.mark.parametrize("counted", [True, False])
def test_rotation_invariance_needs_multiplicities(counted):
    field, x, R = siren(), points(), rotation(0.7)
    scales = torch.tensor([1.0, 0.2, 0.05, 0.01])
    fusion = NormFusion(2, 3)
    if not counted:
        fusion.weights = [1.0] * 10
    net = INSPNet(field, fusion, order=3, scales=scales).double()
    rotated = INSPNet(Transformed(field, matrix=R), fusion, order=3, scales=scales).double()
    error = (rotated(x) - net(x @ R.mT)).abs().max() / net(x).abs().max()
    assert (error < 1e-10) == counted


@pytest.mark.parametrize("lowest", [0, 1, 2, 3])
def test_a_length_is_that_of_all_derivatives_from_the_lowest_order_on(lowest):
    r"""Of sin(w x + p): :math:`|\nabla^k \Phi| = |w|^k` times the size of a sine or cosine."""
    w, x = [3.0, 4.0], points()
    phase = (x * torch.tensor(w)).sum(-1, keepdim=True) + 0.3
    waves = [phase.sin(), phase.cos(), phase.sin()]
    squares = [(5**k * wave) ** 2 for k, wave in enumerate(waves)][lowest:]
    length = sum(squares, torch.zeros_like(phase)).sqrt()
    for function, known in ((None, length), (torch.tanh, length.tanh())):
        fusion = NormFusion(2, 2, function, lowest=lowest)
        net = INSPNet(Wave(w), fusion, order=2).double()
        assert torch.allclose(net(x), known, atol=1e-12)


@pytest.mark.parametrize("out_features", [None, 2, 1])
def test_a_learnt_fusion_adds_to_the_value_where_channels_are_as_many(out_features):
    torch.manual_seed(4)
    fusion = MLPFusion(2, 6, out_features=out_features, width=8).double()
    features = torch.randn(7, 2, 6, dtype=torch.float64)
    values = features[..., 0] if out_features != 1 else torch.zeros(7, 1, dtype=torch.float64)
    started = torch.equal(fusion(features), values)
    assert started == (out_features != 1)  # as the field, or as a network of its own
    for parameter in fusion.parameters():
        nn.init.normal_(parameter)
    change = fusion(features) - values
    assert change.shape == values.shape and (change.abs() > 1e-3).all()
    assert torch.allclose(change, fusion.network(features.reshape(7, 12)))


def test_multiplicities_count_the_full_tensor():
    for d, order in CASES:
        degrees = torch.tensor([sum(a) for a in total_degree(d, order).indices])
        for k in range(order + 1):
            assert multiplicities(d, order)[degrees == k].sum() == d**k


def test_scales_follow_the_frequency():
    torch.manual_seed(0)
    x = 100 * points(20_000)
    for size in (1.0, 5.0):
        s = order_scales([Wave([0.6 * size, 0.8 * size])], x, 3)
        known = torch.tensor([2 ** (k / 2) * size**-k for k in range(4)])
        assert torch.allclose(s, known.double(), rtol=0.05)
    field = siren()
    net = INSPNet(field, nonlinear, order=3, scales=order_scales([field], x, 3)).double()
    full = net.features(x).square() * multiplicities(2, 3)
    degrees = torch.tensor([sum(a) for a in total_degree(2, 3).indices])
    means = [full[..., degrees == k].sum(-1).mean() / 2**k for k in range(4)]
    assert torch.allclose(torch.stack(means), means[0].expand(4), rtol=1e-6)


def test_a_stack_is_its_nets_one_by_one_and_a_stack_of_fields_shares_a_fusion():
    fields = [siren(seed=i) for i in range(3)]
    nets = [INSPNet(f, LinearFusion(torch.rand(6)), order=2).double() for f in fields]
    x = points()
    together = torch.stack([net(x) for net in nets])
    assert torch.allclose(stack(nets)(x), together, atol=1e-10)
    shared = INSPNet(stack(fields), nets[0].fusion, order=2).double()
    alone = [INSPNet(f, nets[0].fusion, order=2).double()(x) for f in fields]
    assert torch.allclose(shared(x), torch.stack(alone), atol=1e-10)


def test_only_the_fusion_is_trained_and_the_field_is_left_alone():
    field = siren(outputs=3)
    net = INSPNet(field, MLPFusion(3, 6, width=8), order=2).double()
    torch.testing.assert_close(net(points()), field(points()))  # starts as the field
    net(points()).sum().backward()
    assert all(p.requires_grad and p.grad is None for p in field.parameters())
    trained = {name for name, p in net.named_parameters() if p.requires_grad}
    assert trained == {name for name, _ in net.named_parameters() if name.startswith("fusion.")}


def test_saved_and_loaded(tmp_path):
    net = INSPNet(siren(), MLPFusion(1, 6, width=8), order=2).double()
    for parameter in net.fusion.parameters():
        nn.init.normal_(parameter)  # no longer the field alone
    torch.save(net, tmp_path / "net.pt")
    again = torch.load(tmp_path / "net.pt", weights_only=False)
    torch.testing.assert_close(again(points()), net(points()))


def test_what_is_refused():
    with pytest.raises(ValueError, match="one scale an order"):
        INSPNet(siren(), nonlinear, order=2, scales=torch.ones(2))
    with pytest.raises(ValueError, match="at least 0"):
        INSPNet(siren(), nonlinear, order=-1)
    with pytest.raises(ValueError, match="one length"):
        polynomial(siren(), {(1, 0): 1.0, (1,): 1.0})
    with pytest.raises(ValueError, match="order 1 vanish"):
        order_scales([lambda x: torch.ones_like(x[..., :1]) + 0 * x[..., :1]], points(), 2)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the kernel's count of memory")
def test_fourth_order_features_need_little_memory():
    script = paths.ROOT / "benchmarks" / "partials_memory.py"
    command = [sys.executable, str(script), "4096", "4", "processed"]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # each has working memory of its own
    done = subprocess.run(command, capture_output=True, text=True, cwd=paths.ROOT, env=one_thread)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 64
