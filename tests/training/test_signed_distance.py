"""The loss of signed distances: closed form on a sphere, and nested autograd in float64."""

import pytest
import torch
from scipy import stats
from scipy.integrate import quad

from inrkit.fields import SIREN, evaluate
from inrkit.measure import eikonal_error, gradient_norms, iou
from inrkit.signals import Sphere, Torus
from inrkit.training import SignedDistance, fit, mean
from inrkit.training.protocol import cut

RADIUS = 0.5
NONE = {"eikonal": 0.0, "surface": 0.0, "normal": 0.0, "off_surface": 0.0}
STEP = torch.tensor(0)


@pytest.fixture(autouse=True)
def same_points_every_time():
    torch.manual_seed(0)


def loss(size=500, **weights):
    cloud = Sphere(RADIUS).surface_points(5000)
    points = RADIUS * torch.nn.functional.normalize(cloud.points.double(), dim=-1)
    return SignedDistance(points, points / RADIUS, size, **weights)


def sphere(x):
    return x.square().sum(-1, keepdim=True).sqrt() - RADIUS


def whole(loss, field):
    with torch.no_grad():
        return mean(loss, field)


@pytest.mark.parametrize("term", ["eikonal", "surface", "normal"])
def test_an_exact_distance_satisfies_every_constraint(term):
    assert whole(loss(**{**NONE, term: 1.0}), sphere).abs() < 1e-12


def test_terms_of_fields_that_are_wrong_in_one_way():
    eikonal, surface, normal = (
        loss(**{**NONE, term: 2.0}) for term in ("eikonal", "surface", "normal")
    )
    assert whole(eikonal, lambda x: 3 * sphere(x)) == pytest.approx(4)
    assert whole(surface, lambda x: sphere(x) + 0.3) == pytest.approx(0.3)  # half lie on it
    assert whole(normal, lambda x: -sphere(x)) == pytest.approx(2)


def test_off_surface_term_is_the_integral_of_its_exponential():
    """Within the ball of radius 1; the cube's corners are too far off to count."""
    found = whole(loss(400_000, **{**NONE, "off_surface": 1.0}), sphere).item()

    def shell(s):
        return 4 * torch.pi * s**2 * 2.718281828459045 ** (-100 * abs(s - RADIUS))

    integral = quad(shell, 0, 1, points=[RADIUS])[0] / 8
    assert found == pytest.approx(integral / 2, rel=0.05)  # half the points are off the surface


def test_equals_nested_autograd_in_slices_of_any_size():
    given = loss(60)
    batch = given.sample(STEP)
    network = SIREN(3, 1, width=16, hidden_layers=2).double()
    x, normals = batch[0].clone().requires_grad_(), batch[1][:60]
    value = network(x)[:, 0]
    (slope,) = torch.autograd.grad(value.sum(), x, create_graph=True)
    length = slope.norm(dim=-1)
    cosine = (slope[:60] * normals).sum(-1) / length[:60]
    expected = {
        "eikonal": 50 * (length - 1).abs().sum() / 120,
        "surface": 3000 * value[:60].abs().sum() / 120,
        "normal": 100 * (1 - cosine).sum() / 120,
        "off surface": 100 * torch.exp(-100 * value[60:].abs()).sum() / 120,
    }
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(sum(expected.values()), parameters)
    for size in (120, 60, 37, 7):
        parts = [cut(batch, slice(i, i + size)) for i in range(0, 120, size)]
        errors = [given.error(network, *part) for part in parts]
        found = {name: torch.cat([e[name] for e in errors]).mean() for name in expected}
        torch.testing.assert_close(found, expected)
        ours = torch.autograd.grad(sum(found.values()), parameters)
        torch.testing.assert_close(ours, gradients)


def test_draws_are_uniform_over_the_cube_and_over_the_cloud():
    given = loss(20_000)
    points, normals, on_surface = given.sample(STEP)
    assert torch.equal(on_surface, torch.arange(40_000)[:, None] < 20_000)
    for axis in range(3):
        assert stats.kstest(points[20_000:, axis], stats.uniform(-1, 2).cdf).pvalue > 1e-3
    on = points[:20_000]
    torch.testing.assert_close(on, RADIUS * normals[:20_000])
    match = torch.cdist(on[:2000], given.points).argmin(-1)
    torch.testing.assert_close(given.points[match], on[:2000])
    counts = torch.bincount(match // 500, minlength=10)
    assert stats.chisquare(counts).pvalue > 1e-3
    assert not torch.equal(given.sample(STEP)[0], points)


def test_a_sine_network_becomes_the_distance_of_a_torus():
    torch.manual_seed(0)
    shape, model = Torus(), SIREN(3, 1, width=64, hidden_layers=3, omega_0=8.0)
    cloud = shape.surface_points(20_000)
    weights = {"eikonal": 500.0, "off_surface": 500.0, "alpha": 10.0}
    fit(
        model,
        SignedDistance(cloud.points, cloud.normals, 300, **weights),
        steps=1000,
        lr=3e-3,
        clip=1.0,
        schedule=lambda step: 0.01 ** (step / 1000),
        progress=False,
    )
    cube = 2 * torch.rand(10_000, 3) - 1
    assert eikonal_error(gradient_norms(model, cube)) < 0.02
    assert iou(evaluate(model, cube)[:, 0] < 0, shape.inside(cube)) > 0.98
