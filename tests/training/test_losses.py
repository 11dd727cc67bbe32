"""Losses against closed forms, and against the same equation in nested autograd."""

import pytest
import torch
from torch import nn

from inrkit import training
from inrkit.calculus import nested_autograd, total_degree
from inrkit.calculus.truncation import traced
from inrkit.fields import SIREN, Completed, FixedPointCache, FourierMFN, ImplicitField, stack
from inrkit.signals import Samples
from inrkit.signals.cameras import Rays
from inrkit.training import (
    Blurred,
    Classification,
    Completion,
    Helmholtz,
    Inversion,
    Minibatch,
    Occupancy,
    Pointwise,
    Pretraining,
    Radiance,
    Ramp,
    Regression,
    Reusing,
    Scheduled,
    SignedDistance,
    Sum,
    TwoScales,
    Wave,
    fit,
    gradient_regression,
    hessian_frobenius,
    laplacian_regression,
    mean,
    total_variation,
)
from inrkit.training.protocol import count, cut, named, passes

FIRST = ((0, 0), (1, 0), (0, 1))
SECOND = (*FIRST, (2, 0), (1, 1), (0, 2))
STEP = torch.tensor(0)


def network(seed=0, d=2, c=1, width=12):
    torch.manual_seed(seed)
    return SIREN(d, c, width=width, hidden_layers=2, omega_0=5.0).double()


def points(n=40, d=2):
    torch.manual_seed(1)
    return 2 * torch.rand(n, d, dtype=torch.float64) - 1


def terms(loss, model, batch, size):
    """Errors of a batch in slices, put together: by name, ``(*signals, n)``."""
    slices = [cut(batch, slice(i, i + size)) for i in range(0, count(batch), size)]
    found = [named(loss.error(model, *part)) for part in slices]
    return {name: torch.cat([part[name] for part in found], dim=-1) for name in found[0]}


def complete(values, mask, coords):
    """A network that says the mean of what it knows."""
    known = (values * mask[..., None]).sum(-2, keepdim=True) / mask.sum(-1)[:, None, None]
    return Completed(known.expand_as(values), known[:, 0], mask.double().mean(-1))


def implicit(size):
    torch.manual_seed(0)
    model = ImplicitField(FourierMFN(2, 1, width=6, scale=4.0), tolerance=1e-12).double()
    model.cache = FixedPointCache(size, 6).double()
    return model


class Scene:
    """Rays that are drawn from those towards the origin."""

    def sample(self, n):
        origins = 2 * nn.functional.normalize(torch.rand(n, 3, dtype=torch.float64), dim=-1)
        return Rays(origins, -origins / 2), origins.abs()


def examples():
    """A loss of each class, a network, and how many points a step of it has."""
    x, v = points(30), points(30, 3)
    pool, settings = Samples(x, x[:, :1]), {"size": 30, "near": 10, "variance": 1e-2}
    waves = Helmholtz(6.0, torch.zeros(1, 2, dtype=torch.float64), source_weight=3.0, **settings)
    wave = Wave(lambda x: x[:, :1].square(), size=30, at_rest=12, horizon=0.3)
    data = torch.ones(1, 7, dtype=torch.complex128)
    every = [
        (Regression(x, x[:, :1]), network(), 30),
        (Minibatch(pool, 10), network(), 10),
        (Blurred(x, x, torch.tensor([0.1, 0.2], dtype=torch.float64)), network(c=2), 30),
        (hessian_frobenius(20, 2), network().float(), 20),
        (Pointwise(lambda model, x: {"square": model(x).square().sum(-1)}, (x,)), network(), 30),
        (SignedDistance(v, nn.functional.normalize(v, dim=-1), 10), network(d=3), 20),
        (waves, network(c=2), 30),
        (Pretraining(waves, 4.0), network(c=3), 30),
        (Inversion(waves, x[:7], data, data_weight=2.0), network(c=3), 30),
        (wave, network(d=3).float(), 30),
        (Scheduled(wave, {"horizon": Ramp((0, 6), (0.1, 0.5))}), network(d=3).float(), 30),
        (Classification(x, x[:, 0].gt(0).long(), 12), network(c=2), 12),
        (Completion(x, v.expand(4, 30, 3), 5, 2, 30), complete, 5),
        (Occupancy(x, x[:, 0] > 0, 20), network(), 20),
        (Radiance(Scene(), 10, coarse=6, fine=0), network(d=3, c=4), 10),
        (Reusing(Regression(x, x[:, :1]), 20), implicit(30), 20),
        (TwoScales(pool, pool, 20), network(), 20),
    ]
    return {type(loss): (loss, model, n) for loss, model, n in every}


KINDS = [kind for kind in map(vars(training).get, training.__all__) if hasattr(kind, "sample")]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind is not training.Loss])
def test_a_loss_is_the_mean_over_its_points_of_its_terms(kind):
    """Whatever points are asked for together; and each tensor of a batch has all of them."""
    loss, model, n = examples()[kind]
    torch.manual_seed(2)
    batch = loss.sample(torch.tensor(3))
    assert {x.shape[-2] for x in batch if x.ndim > 1} == {count(batch)} == {n}
    found, state = {}, torch.get_rng_state()
    for size in (n, 7, 1):
        torch.set_rng_state(state)  # rays in order draw the same distances
        with torch.no_grad():
            found[size] = terms(loss, model, batch, size)
        for name, errors in found[size].items():
            assert errors.shape == (n,)
            torch.testing.assert_close(errors, found[n][name])
    torch.manual_seed(2)
    with torch.no_grad():
        whole = mean(loss, model, step=3)
    torch.testing.assert_close(whole, sum(errors.mean() for errors in found[n].values()))


def test_gradient_and_laplacian_regression_are_zero_on_the_field_itself():
    model, x = network(c=3), points()
    exact = nested_autograd(model, x, SECOND).detach()
    slopes = exact[1:3].permute(1, 2, 0)
    assert mean(gradient_regression(x, slopes), model) < 1e-20
    assert mean(laplacian_regression(x, exact[3] + exact[5]), model) < 1e-18


def test_gradient_regression_is_the_mean_square():
    model, x = network(c=3), points()
    target = torch.randn(40, 3, 2, dtype=torch.float64)
    slopes = nested_autograd(model, x, FIRST)[1:].permute(1, 2, 0)
    expected = (slopes - target).square().mean()
    assert torch.allclose(mean(gradient_regression(x, target), model), expected)


@pytest.mark.parametrize("size", [1, 9, 100])
def test_priors_are_their_equations(size):
    model, batch = network(c=2), (points(30),)
    d = nested_autograd(model, *batch, SECOND)
    found = terms(total_variation(30, 2), model, batch, size)
    assert torch.allclose(found[""], d[1:3].abs().sum((0, 2)))
    found = terms(hessian_frobenius(30, 2), model, batch, size)
    squares = d[3] ** 2 + 2 * d[4] ** 2 + d[5] ** 2
    assert torch.allclose(found[""], squares.sum(-1).sqrt())


def test_random_points_fill_the_domain_anew():
    prior = total_variation(20_000, 3)
    (first,), (second,) = prior.sample(STEP), prior.sample(STEP)
    assert first.min() >= -1 and first.max() <= 1 and not torch.equal(first, second)
    assert first.mean(0).abs().max() < 0.02  # four standard deviations
    assert (first.var(0) - 1 / 3).abs().max() < 0.02


def test_a_sum_is_the_weighted_sum_for_any_chunks():
    model = network()
    data = Regression(points(10), torch.zeros(10, 1, dtype=torch.float64))
    curvature = laplacian_regression(points(30), torch.ones(30, 1, dtype=torch.float64))
    both = Sum((data, curvature), (2, 0.5))
    expected = 2 * mean(data, model) + 0.5 * mean(curvature, model)
    assert passes(both) == 4
    assert torch.allclose(mean(both, model), expected)
    assert torch.allclose(mean(Sum((both, data), (3, 1)), model), 3 * expected + mean(data, model))
    for chunk in (1, 7, 10, 100):
        found = fit(network(), both, steps=1, chunk=chunk, progress=False).losses
        assert torch.allclose(found, expected)


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
    pixels, values = torch.zeros(100_000, 2), torch.rand(100_000, 1)
    coords, same = Blurred(pixels, values, spacing=torch.tensor([0.5, 2.0])).sample(STEP)
    offsets = coords / torch.tensor([0.5, 2.0])
    assert same is values and offsets.abs().max() <= 1
    assert torch.allclose(offsets.var(0), torch.tensor(1 / 6), atol=0.005)
    near = (offsets.abs() < 0.5).all(-1).float().mean()  # each axis: 3/4 of a tent of integral one
    assert abs(near - 0.75**2) < 0.01


def test_minibatches_come_from_the_signal():
    class Ramp:
        def sample(self, n):
            x = torch.rand(n, 1)
            return x, 2 * x

    loss = Minibatch(Ramp(), 32)
    (coords, values), (others, _) = loss.sample(STEP), loss.sample(STEP)
    assert len(coords) == 32 and torch.equal(values, 2 * coords)
    assert not torch.equal(coords, others)


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
