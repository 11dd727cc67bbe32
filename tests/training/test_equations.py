"""Losses of equations: zero on exact solutions, and against nested autograd on a network."""

from dataclasses import fields
from inspect import signature

import pytest
import torch
from torch import nn

from inrkit.calculus import nested_autograd
from inrkit.fields import SIREN, stack
from inrkit.training import Helmholtz, Inversion, Pretraining, Wave, fit, perturbed
from inrkit.training.protocol import count, cut, named

K, STRENGTH, WIDTH = 6.0, 5.0, 0.5
STEP = torch.tensor(0)


class PlaneWaves(nn.Module):
    r"""Exact solutions, layer included: :math:`e^{-j k d \cdot \tilde x}` of stretched coordinates.

    :math:`\tilde x_i = \int e_i` has the imaginary part :math:`-a_0 L b^3 / 3`, b the part of the
    layer that is behind.
    """

    def __init__(self, *angles, slowness=None):
        super().__init__()
        self.angles, self.slowness = torch.tensor(angles, dtype=torch.float64), slowness
        self.scale = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x):
        outputs = []
        for angle in self.angles:
            d = torch.stack([torch.cos(angle), torch.sin(angle)])
            beyond = torch.relu(torch.abs(x) + (WIDTH - 1)) / WIDTH
            sign = torch.where(x > 0, 1.0, -1.0) if isinstance(x, torch.Tensor) else _sign(x)
            delay = (beyond * beyond * beyond) * (STRENGTH * WIDTH / 3) * sign
            phase, decay = (x * d).sum(-1) * K, torch.exp((delay * d).sum(-1) * -K)
            outputs += [decay * torch.cos(phase), -(decay * torch.sin(phase))]
        if self.slowness is not None:
            outputs.append(x[..., 0] * 0.0 + self.slowness)
        return torch.cat([self.scale * o.unsqueeze(-1) for o in outputs], dim=-1)


def _sign(jet):
    return torch.where(jet.value > 0, 1.0, -1.0).double()


def network(c=2, d=2, seed=0):
    torch.manual_seed(seed)
    return SIREN(d, c, width=12, hidden_layers=2, omega_0=5.0).double()


def helmholtz(centres=((0.0, 0.0),), **settings):
    centres = torch.tensor(centres, dtype=torch.float64)
    defaults = {"size": 60, "source_weight": 3.0, "near": 10, "variance": 1e-3}
    return Helmholtz(K, centres, **defaults | settings)


def inversion(c=2, **settings):
    torch.manual_seed(5)
    receivers = torch.rand(7, 2, dtype=torch.float64) - 0.5
    centres = [(0.1 * i, -0.2) for i in range(c)]
    data = torch.randn(c, 7, dtype=torch.complex128)
    return Inversion(helmholtz(centres), receivers, data, **{"data_weight": 2.0} | settings)


def terms(loss, model, batch, size=100):
    """Each term of a batch that is taken in slices, ``(*signals)`` by name."""
    slices = [cut(batch, slice(i, i + size)) for i in range(0, count(batch), size)]
    found = [named(loss.error(model, *part)) for part in slices]
    return {name: torch.cat([part[name] for part in found], -1).mean(-1) for name in found[0]}


def total(loss, model, batch, size=100):
    return sum(terms(loss, model, batch, size).values())


def by_autograd(equation, model, x, s, m):
    """R of source s: the divergence as it is printed, each part by repeated back-propagation."""
    x = x.clone().requires_grad_()

    def slope(y, axis):
        parts = [
            torch.autograd.grad(part.sum(), x, create_graph=True)[0][:, axis]
            for part in (y.real, y.imag)
        ]
        return torch.complex(*parts)

    beyond = torch.relu(x.abs() - 1 + WIDTH) / WIDTH
    e1, e2 = torch.complex(torch.ones_like(x), -STRENGTH * beyond**2).unbind(-1)
    value = model(x)
    u = torch.complex(value[:, 2 * s], value[:, 2 * s + 1])
    flux1, flux2 = e2 / e1 * slope(u, 0), e1 / e2 * slope(u, 1)
    r2 = (x - equation.centres[s]).square().sum(-1)
    v = equation.variance
    f = torch.exp(-r2 / (2 * v)) / (2 * torch.pi * v)
    f = torch.where(f > 1e-5, f, 0.0)
    residual = slope(flux1, 0) + slope(flux2, 1) + e1 * e2 * K**2 * m * u - (1 + 1j) * f
    return (residual.real.abs() + residual.imag.abs()) * torch.where(f > 0, 3.0, 1.0)


def test_plane_waves_leave_nothing_not_even_in_the_layer():
    loss = helmholtz([(0.0, 0.0)] * 3, amplitude=0.0, size=400)
    (x,) = loss.sample(STEP)
    assert (x.abs().amax(-1) > 0.5).sum() > 200
    assert loss.error(PlaneWaves(0.0, 0.7, 4.0), x).mean() < 1e-10
    denser = helmholtz(amplitude=0.0, slowness_squared=lambda x: torch.full_like(x[:, 0], 1.1))
    inside = denser.sample(STEP)[0] / 2  # where e = 1, the rest is 0.1 k^2 |u|_1
    expected = 0.1 * K**2 * PlaneWaves(0.7)(inside).abs().sum(-1)
    squares = inside.square().sum(-1)
    on = torch.exp(-squares / 2e-3) / (2 * torch.pi * 1e-3) > 1e-5
    expected = expected * torch.where(on, 3.0, 1.0)
    assert torch.allclose(denser.error(PlaneWaves(0.7), inside), expected)


@pytest.mark.parametrize("size", [1, 9, 100])
def test_helmholtz_is_its_equation(size):
    model, medium = network(4), lambda x: 1 + 0.3 * x[:, 0]
    equation = helmholtz([(0.0, 0.0), (-0.2, 0.3)], slowness_squared=medium)
    (x,) = equation.sample(STEP)
    expected = sum(by_autograd(equation, model, x, s, medium(x)).sum() for s in (0, 1)) / 60
    assert torch.allclose(total(equation, model, (x,), size), expected)


def test_a_source_outweighs_its_equation():
    """A network of zeros leaves the source itself: (|Re a| + |Im a|) times f, weighted."""
    model = network()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    loss = helmholtz(near=20_000, size=20_000, radius=0.3, variance=torch.tensor(1e-3))
    mean = (torch.pi / 2 * 1e-3) ** 0.5 / (2 * torch.pi * 1e-3) / 0.3  # over uniform distances
    found = loss.error(model, *loss.sample(STEP)).mean()
    assert abs(found / (3.0 * 2 * mean) - 1) < 0.1


def test_points_fill_the_discs_and_the_square():
    equation = helmholtz([(0.3, 0.3), (-0.5, 0.0)], near=5000, size=30_000, radius=0.2)
    (points,) = equation.sample(STEP)
    for s, centre in enumerate(equation.centres):
        r = (points[5000 * s : 5000 * (s + 1)] - centre).norm(dim=-1)
        assert r.max() <= 0.2
        assert abs((r < 0.1).double().mean() - 0.5) < 0.03  # distances are uniform
    rest = points[10_000:]
    assert rest.abs().max() <= 1 and (rest.var(0) - 1 / 3).abs().max() < 0.02
    assert not torch.equal(points, equation.sample(STEP)[0])
    (corner,) = helmholtz([(0.95, -0.95)], near=500, size=500, radius=0.3).sample(STEP)
    assert corner.abs().max() == 1  # what lies beyond the square comes to its border


def test_exact_fields_and_their_data_leave_no_inversion():
    loss = inversion()
    equation = helmholtz(loss.equation.centres.tolist(), amplitude=0.0)
    model = PlaneWaves(0.3, 2.0, slowness=0.0)
    heard = torch.view_as_complex(model(loss.receivers)[:, :4].unflatten(-1, (2, 2)).contiguous())
    exact = Inversion(equation, loss.receivers, heard.mT.detach(), data_weight=5.0)
    assert total(exact, model, exact.sample(STEP)) < 1e-10
    other = Inversion(equation, loss.receivers, heard.mT.detach() + 0.3 - 0.1j, data_weight=5.0)
    found = terms(other, model, other.sample(STEP), 4)
    assert found["equation"] < 1e-10
    assert torch.allclose(found["data"], torch.tensor(5.0 * 2 * 0.4, dtype=torch.float64))


@pytest.mark.parametrize("size", [1, 5, 8, 100])
def test_inversion_is_its_equation(size):
    model = network(5)
    loss = inversion()
    batch = loss.sample(STEP)
    x = batch[0]
    assert torch.equal(x[:7], loss.receivers)
    y = model(x)
    m = torch.where(x.abs().amax(-1) <= 0.75, 1 + y[:, 4], 1.0)
    equation = sum(by_autograd(loss.equation, model, x, s, m).sum() for s in (0, 1)) / 60
    u = torch.stack([torch.complex(y[:7, 0], y[:7, 1]), torch.complex(y[:7, 2], y[:7, 3])])
    error = u - loss.data
    found = terms(loss, model, batch, size)
    assert torch.allclose(found["equation"], equation)
    assert torch.allclose(found["data"], 2.0 / 7 * (error.real.abs() + error.imag.abs()).sum())


@pytest.mark.parametrize("size", [7, 100])
@pytest.mark.parametrize("medium", [None, lambda x: 1 + 0.3 * x[:, 0]])
def test_pretraining_is_its_equation(size, medium):
    model = network(5)
    equation = helmholtz([(0.0, 0.0), (-0.2, 0.3)], slowness_squared=medium)
    loss = Pretraining(equation, slowness_weight=4.0)
    (x,) = loss.sample(STEP)
    m = medium(x) if medium else torch.ones(60)
    expected = sum(by_autograd(equation, model, x, s, m).sum() for s in (0, 1)) / 60
    found = terms(loss, model, (x,), size)
    assert torch.allclose(found["equation"], expected)
    assert torch.allclose(found["slowness"], 4.0 * (1 + model(x)[:, 4] - m).abs().mean())


def test_slowness_stays_positive_and_is_known_near_the_border():
    x = torch.tensor([[0.0, 0.0], [0.7, -0.7], [0.0, 0.8], [0.9, 0.9]])
    found = perturbed(torch.tensor([-5.0, 0.5, 3.0, -5.0]), x)
    assert torch.allclose(found, torch.tensor([0.001, 1.5, 1.0, 1.0]))


class StandingWave(nn.Module):
    """cos(c |k| t) cos(k . x), which starts from rest."""

    def __init__(self, c):
        super().__init__()
        self.k = torch.tensor([2.0, -3.0], dtype=torch.float64)
        self.rate = c * 13**0.5

    def forward(self, x):
        t, space = x[..., :1], (x[..., 1:] * self.k).sum(-1).unsqueeze(-1)
        return torch.cos(t * self.rate) * torch.cos(space)


def start(x):
    return torch.cos(2.0 * x[:, :1] - 3.0 * x[:, 1:])


def exactly(loss):
    """What a step is computed at, in float64."""
    points, at_rest = loss.sample(STEP)
    return points.double(), at_rest


def test_a_standing_wave_leaves_nothing():
    settings = {"size": 200, "at_rest": 50, "horizon": 0.4, "front": 0.5}
    model, wave = StandingWave(1.7), Wave(start, c=1.7, **settings)
    assert total(wave, model, exactly(wave)) < 1e-10
    slower = Wave(start, c=1.0, **settings)
    batch = exactly(slower)
    expected = 13 * (1.7**2 - 1) * model(batch[0]).abs().mean()
    assert torch.allclose(total(slower, model, batch), expected)


@pytest.mark.parametrize("size", [1, 9, 16, 100])
def test_wave_is_its_equation(size):
    model = network(1, d=3)
    loss = Wave(start, size=40, at_rest=16, horizon=0.3, rate_weight=5.0, value_weight=7.0, c=1.3)
    batch = exactly(loss)
    x = batch[0]
    indices = ((0, 0, 0), (1, 0, 0), (2, 0, 0), (0, 1, 0), (0, 2, 0), (0, 0, 1), (0, 0, 2))
    d = nested_autograd(model, x, indices)[..., 0]
    f, found = start(x[:16, 1:])[:, 0], terms(loss, model, batch, size)
    assert torch.allclose(found["equation"], (d[2] - 1.3**2 * (d[4] + d[6])).abs().mean())
    assert torch.allclose(found["rate"], 5 * d[1, :16].abs().mean())
    assert torch.allclose(found["value"], 7 * (d[0, :16] - f).abs().mean())


def test_points_of_a_wave_follow_its_front():
    loss = Wave(
        start, size=9000, at_rest=3000, horizon=torch.tensor(0.4), radius=0.2, front=0.5, c=2
    )
    points, at_rest = loss.sample(STEP)
    t, x = points.split((1, 2), dim=-1)
    assert torch.equal(at_rest, torch.arange(9000)[:, None] < 3000)
    assert (t[:3000] == 0).all() and 0.39 < t.max() <= 0.4
    assert x[:1500].norm(dim=-1).max() <= 0.2
    r, rim = x[-3000:].norm(dim=-1), 0.2 + 2 * t[-3000:, 0]
    assert (r <= rim).all()
    assert abs((r < rim / 2).double().mean() - 0.5) < 0.04  # distances are uniform
    for uniform in (x[1500:3000], x[3000:-3000]):
        assert (uniform.var(0) - 1 / 3).abs().max() < 0.04


@pytest.mark.parametrize("kind", ["helmholtz", "inversion", "wave"])
def test_a_stack_is_one_by_one(kind):
    loss, c, d = {
        "helmholtz": (helmholtz(), 2, 2),
        "inversion": (inversion(), 5, 2),
        "wave": (Wave(start, size=30, at_rest=10, horizon=0.3), 1, 3),
    }[kind]
    models = [network(c, d, seed) for seed in (0, 1)]
    batch = exactly(loss) if kind == "wave" else loss.sample(STEP)
    together = terms(loss, stack(models), batch, 11)
    alone = [terms(loss, model, batch) for model in models]
    for name, found in together.items():
        assert torch.allclose(found, torch.stack([each[name] for each in alone]))


def test_a_few_steps_lower_the_loss_of_every_kind():
    torch.manual_seed(0)
    losses = [
        (helmholtz([(0.0, 0.0)], size=100), network(2)),
        (inversion(), network(5)),
        (Pretraining(helmholtz([(0.0, 0.0)]), 10.0), network(3)),
    ]
    for loss, model in losses:
        found = fit(model, loss, steps=40, lr=1e-3, progress=False).losses
        assert found[-10:].mean() < found[:10].mean()


def test_defaults_are_the_papers():
    """SIREN's; released code where its text prints none, from dataio.py and loss_functions.py."""
    sigma, points, at_rest = 1e-4, 100, 2 * 1000  # dataio.py: SingleHelmholtzSource, WaveSource
    found = {f.name: f.default for f in fields(Helmholtz)}
    assert found["variance"] == sigma and found["near"] == points
    assert found["radius"] == pytest.approx(5e2 * sigma)
    assert found["amplitude"] == 1 + 1j
    assert (found["width"], found["strength"]) == (0.5, 5.0)  # Suppl. 5.2
    # loss_functions.py: the slowness is sought where |x| <= 0.75
    assert {f.name: f.default for f in fields(Inversion)}["half_width"] == 0.75
    assert signature(perturbed).parameters["half_width"].default == 0.75
    found = {f.name: f.default for f in fields(Wave)}
    assert found["radius"] == pytest.approx(5e2 * 5e-4) and found["c"] == 1.0  # Suppl. 5.4
    assert found["front"] == 0  # all later points are uniform
    # Suppl. 5.4: n / 100 and n / 10 of sums over the points at rest
    assert found["rate_weight"] == at_rest / 100 and found["value_weight"] == at_rest / 10


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="cannot hold 100 in the disc"):
        Helmholtz(K, torch.zeros(2, 2), size=150, source_weight=1.0)
    with pytest.raises(ValueError, match="one row a source"):
        Inversion(helmholtz(), torch.zeros(4, 2), torch.zeros(4, 1), data_weight=1.0)
    with pytest.raises(ValueError, match="cannot lie at t = 0"):
        Wave(start, size=5, at_rest=6, horizon=1.0)
