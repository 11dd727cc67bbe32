"""Settings that follow the step, and resume with it."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from inrkit.fields import SIREN
from inrkit.training import (
    Helmholtz,
    Pretraining,
    Ramp,
    Regression,
    Scheduled,
    Sum,
    Wave,
    fit,
    mean,
)
from inrkit.training.protocol import count, passes

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
GROWTH = Ramp((2, 6, 10), (0.1, 0.1, 0.5))


def start(x):
    return torch.exp(-x.square().sum(-1, keepdim=True) / 0.02)


def ones(x):
    return torch.ones_like(x[:, :1])


def growing():
    return Scheduled(Wave(start, size=32, at_rest=8, horizon=0.0), {"horizon": GROWTH})


def network():
    torch.manual_seed(0)
    return SIREN(3, 1, width=8, hidden_layers=1, omega_0=5.0)


def test_a_ramp_is_numpys_interpolation():
    steps = torch.arange(-1, 14)
    expected = np.interp(steps.numpy(), GROWTH.steps, GROWTH.values)
    np.testing.assert_allclose(GROWTH(steps).numpy(), expected, rtol=1e-6)
    assert (Ramp((3,), (2.0,))(steps) == 2).all()


@pytest.mark.parametrize("knots", [((1, 1), (0, 1)), ((1, 2), (0,)), ((2, 1), (0, 1))])
def test_a_ramp_without_order_is_named(knots):
    with pytest.raises(ValueError, match="rising steps"):
        Ramp(*knots)


def test_the_horizon_grows_with_the_steps_of_a_fit():
    """What the loop draws: each step's latest time lies below that step's horizon, and near it."""
    seen = []

    @dataclass(frozen=True)
    class Watched(Wave):
        def sample(self, step):
            points, at_rest = super().sample(step)
            seen.append((float(self.horizon), float(points[:, 0].max())))
            return points, at_rest

    loss = Watched(start, size=400, at_rest=8, horizon=0.0)
    fit(network(), Scheduled(loss, {"horizon": GROWTH}), steps=12, progress=False)
    horizons, latest = np.array(seen[1:]).T  # the first is the one by which the loop learns shapes
    np.testing.assert_allclose(horizons, np.interp(range(12), GROWTH.steps, GROWTH.values))
    assert (latest <= horizons).all() and (latest > 0.95 * horizons).all()


CUDA = [pytest.param("cuda", c, marks=[pytest.mark.gpu, gpu]) for c in (False, True)]


@pytest.mark.parametrize(("device", "compiled"), [("cpu", False), *CUDA])
def test_every_step_has_its_own_setting_compiled_or_not(device, compiled):
    """A field of zeros misses a start of ones by the weight itself, which counts the steps."""
    model = network().to(device)
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    loss = Wave(ones, size=16, at_rest=8, horizon=0.1, device=device)
    counting = Scheduled(loss, {"value_weight": Ramp((0, 9), (0.0, 9.0))})
    found = fit(model, counting, steps=10, lr=0.0, compiled=compiled, progress=False)
    torch.testing.assert_close(found.losses, torch.arange(10.0), rtol=1e-5, atol=1e-6)


def test_a_fit_resumes_in_the_middle_of_a_ramp(tmp_path, saves):
    settings = {"steps": 12, "lr": 1e-3, "progress": False}
    whole = fit(network(), growing(), **settings)
    settings |= {"checkpoint": tmp_path / "fit.pt", "checkpoint_seconds": 0.0}
    saves.last = 7  # between the knots
    with pytest.raises(KeyboardInterrupt):
        fit(network(), growing(), **settings)
    resumed = fit(network(), growing(), **settings)
    assert saves.steps == list(range(1, 13))
    torch.testing.assert_close(resumed.losses, whole.losses, rtol=1e-4, atol=0)


def test_another_ramp_is_another_fit(tmp_path):
    path = tmp_path / "fit.pt"
    other = Scheduled(growing().loss, {"horizon": Ramp((0, 12), (0.1, 0.5))})
    for loss in (growing(), other):
        fit(network(), loss, steps=2, checkpoint=path, progress=False)
    assert len(list(tmp_path.glob("fit.*.pt"))) == 2


def test_a_setting_of_a_part_follows_the_step():
    part = Helmholtz(3.0, torch.zeros(1, 2), size=8, source_weight=1.0, near=2)
    loss = Scheduled(Pretraining(part, 1.0), {"equation.variance": Ramp((0, 4), (1.0, 3.0))})
    *batch, variance = loss.sample(torch.tensor(1))
    later = loss.at([variance])
    assert later.equation.variance == 1.5 and later.slowness_weight == 1.0
    assert part.variance == 1e-4 and count((*batch, variance)) == 8
    model = SIREN(2, 3, width=8, hidden_layers=1)
    found, expected = loss.error(model, *batch, variance), later.error(model, *batch)
    assert all(torch.equal(found[name], expected[name]) for name in ("equation", "slowness"))


def test_a_sum_hands_the_step_on():
    data, model = Regression(torch.zeros(4, 3), torch.zeros(4, 1)), network()
    both = Sum((data, growing()), (1.0, 2.0))
    assert passes(both) == 5
    torch.manual_seed(1)
    found = mean(both, model, step=8)
    torch.manual_seed(1)
    later = mean(replace(growing().loss, horizon=0.3), model)
    assert torch.allclose(found, mean(data, model) + 2 * later)
