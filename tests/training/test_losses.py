"""Losses against closed forms, and against the same equation in nested autograd."""

import pytest
import torch

from inrkit.calculus import nested_autograd, total_degree
from inrkit.calculus.truncation import traced
from inrkit.fields import SIREN, stack
from inrkit.training import (
    Blurred,
    Minibatch,
    Ramp,
    Regression,
    Scheduled,
    Sum,
    fit,
    gradient_regression,
    hessian_frobenius,
    laplacian_regression,
    total_variation,
)
from inrkit.training.losses import drawn, passes

FIRST = ((0, 0), (1, 0), (0, 1))
SECOND = (*FIRST, (2, 0), (1, 1), (0, 2))


def network(seed=0, d=2, c=1, width=12):
    torch.manual_seed(seed)
    return SIREN(d, c, width=width, hidden_layers=2, omega_0=5.0).double()


def points(n=40, d=2):
    torch.manual_seed(1)
    return 2 * torch.rand(n, d, dtype=torch.float64) - 1


def shares(loss, model, size):
    return sum(loss(model, slice(i, min(i + size, len(loss)))) for i in range(0, len(loss), size))


def test_gradient_and_laplacian_regression_are_zero_on_the_field_itself():
    model, x = network(c=3), points()
    exact = nested_autograd(model, x, SECOND).detach()
    slopes = exact[1:3].permute(1, 2, 0)
    assert gradient_regression(x, slopes)(model, slice(0, 40)) < 1e-20
    assert laplacian_regression(x, exact[3] + exact[5])(model, slice(0, 40)) < 1e-18


def test_gradient_regression_is_the_mean_square():
    model, x = network(c=3), points()
    target = torch.randn(40, 3, 2, dtype=torch.float64)
    slopes = nested_autograd(model, x, FIRST)[1:].permute(1, 2, 0)
    expected = (slopes - target).square().mean()
    assert torch.allclose(shares(gradient_regression(x, target), model, 7), expected)


@pytest.mark.parametrize("size", [1, 9, 100])
def test_priors_are_their_equations(size):
    model = network(c=2)
    variation, bends = (drawn(prior(30, 2)) for prior in (total_variation, hessian_frobenius))
    for loss in (variation, bends):
        object.__setattr__(loss, "points", points(30))
    d = nested_autograd(model, points(30), SECOND)
    expected = d[1:3].abs().sum((0, 2)).mean()
    assert torch.allclose(shares(variation, model, size), expected)
    squares = d[3] ** 2 + 2 * d[4] ** 2 + d[5] ** 2
    assert torch.allclose(shares(bends, model, size), squares.sum(-1).sqrt().mean())


def test_random_points_fill_the_domain_anew():
    prior = total_variation(20_000, 3)
    first, second = prior.draw().points, prior.draw().points
    assert first.min() >= -1 and first.max() <= 1 and not torch.equal(first, second)
    assert first.mean(0).abs().max() < 0.02  # four standard deviations
    assert (first.var(0) - 1 / 3).abs().max() < 0.02


def test_a_sum_is_the_weighted_sum_for_any_chunks():
    model = network()
    data = Regression(points(10), torch.zeros(10, 1, dtype=torch.float64))
    curvature = laplacian_regression(points(30), torch.ones(30, 1, dtype=torch.float64))
    both = drawn(Sum((data, curvature), (2, 0.5)))
    expected = 2 * data(model, slice(0, 10)) + 0.5 * curvature(model, slice(0, 30))
    assert passes(both) == 4 and len(both) == 40
    for size in (1, 7, 10, 100):
        assert torch.allclose(shares(both, model, size), expected)


@pytest.mark.parametrize("d", [1, 2, 3])
def test_passes_are_evaluations_or_taylor_coefficients(d):
    """2 for a reverse pass, which gives a gradient; else the rows of a jet."""
    x, y = points(4, d), torch.zeros(4, 1, dtype=torch.float64)
    plain, variation, bends = Regression(x, y), total_variation(4, d), hessian_frobenius(4, d)
    assert passes(plain) == 1 and passes(variation) == 2
    assert passes(gradient_regression(x, torch.zeros(4, 1, d))) == 2
    assert passes(laplacian_regression(x, y)) == len(traced((1.0,) * d).indices)
    assert passes(bends) == len(total_degree(d, 2).indices)
    assert passes(Sum((plain, variation, bends), (1.0,) * 3)) == max(passes(bends), 2)
    assert passes(Scheduled(bends, {})) == passes(bends)


def test_as_many_values_as_coordinates():
    with pytest.raises(ValueError, match=r"as many values .* got shapes .4, 2. and .3, 1."):
        Regression(points(4), torch.zeros(3, 1))


def test_the_tent_has_integral_one_and_the_variance_of_its_closed_form():
    pixels = torch.zeros(100_000, 2)
    loss = Blurred(pixels, torch.zeros(100_000, 1), spacing=torch.tensor([0.5, 2.0])).draw()
    offsets = loss.coords / torch.tensor([0.5, 2.0])
    assert offsets.abs().max() <= 1
    assert torch.allclose(offsets.var(0), torch.tensor(1 / 6), atol=0.005)
    near = (offsets.abs() < 0.5).all(-1).float().mean()  # each axis: 3/4 of a tent of integral one
    assert abs(near - 0.75**2) < 0.01


def test_minibatches_come_from_the_signal():
    class Ramp:
        def sample(self, n):
            x = torch.rand(n, 1)
            return x, 2 * x

    loss = Minibatch(Ramp(), 32)
    first, second = loss.draw(), loss.draw()
    assert len(loss) == len(first) == 32
    assert torch.equal(first.values, 2 * first.coords)
    assert not torch.equal(first.coords, second.coords)


def test_a_fit_with_random_points_resumes_with_the_same_points(tmp_path, saves):
    def loss():
        data = Regression(points().float(), points()[:, :1].float())
        return Sum((data, total_variation(25, 2)), (1.0, 1e-2))

    settings = {"steps": 12, "progress": False}
    straight = fit(network().float(), loss(), **settings)
    settings |= {"checkpoint": tmp_path / "fit.pt", "checkpoint_seconds": 0.0}
    saves.last = 7
    with pytest.raises(KeyboardInterrupt):
        fit(network().float(), loss(), **settings)
    resumed = fit(network().float(), loss(), **settings)
    assert saves.steps == list(range(1, 13))
    torch.testing.assert_close(resumed.losses, straight.losses, rtol=1e-4, atol=0)


def test_clipping_is_by_signal():
    target = torch.stack([torch.full((20, 1), 100.0), torch.full((20, 1), 0.01)]).double()
    x = points(20)

    def train(model, values, clip):
        return fit(model, Regression(x.expand(*values.shape[:-2], 20, 2), values), steps=3,
                   optimizer=torch.optim.SGD, lr=0.1, clip=clip, progress=False).losses  # fmt: skip

    together = train(stack([network(0), network(1)]), target, 1.0)
    alone = [train(network(i), target[i], 1.0) for i in range(2)]
    assert torch.allclose(together, torch.stack(alone, dim=-1))
    assert not torch.allclose(train(network(0), target[0], None), alone[0])


@pytest.mark.parametrize("limit", [0.3, 1e6])
def test_clipping_is_pytorchs_and_lengthens_nothing(limit):
    from torch.nn.utils import clip_grad_norm_

    from inrkit.training.fit import _clip

    models = [network(3), network(3)]
    for model in models:
        model(points()).square().sum().backward()
    clip_grad_norm_(models[0].parameters(), limit)
    _clip(list(models[1].parameters()), limit, signals=0)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad)


def test_a_checkpoints_name_sees_all_that_a_loss_holds():
    from inrkit.training.digest import digest

    def sums(weight=1.0, end=5.0, size=10, value=0.0):
        data = Regression(points(4), torch.full((4, 1), value, dtype=torch.float64))
        prior = Scheduled(total_variation(size, 2), {"size": Ramp((0.0, 9.0), (1.0, end))})
        return Sum((data, prior), (1 + 1j, weight))

    model = network()
    variants = [sums(), sums(weight=2.0), sums(end=6.0), sums(size=11), sums(value=1.0)]
    assert len({digest(model, loss, (1,)) for loss in variants}) == 5
    assert digest(model, sums(), (1,)) == digest(model, sums(), (1,))
