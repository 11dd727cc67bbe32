"""Fits of implicit fields, against loops written out; fixed points handed on between steps."""

import copy

import pytest
import torch

from inrkit.fields import FixedPointCache, FourierMFN, ImplicitField, InjectedSIREN, stack
from inrkit.solvers import Implicit, solve
from inrkit.training import Regression, Reusing, fit
from inrkit.training.protocol import count, cut

N, WIDTH = 48, 12


def signal():
    x = torch.linspace(-1, 1, N).double().unsqueeze(-1)
    return Regression(x, torch.sin(4 * x) + 0.3 * torch.sign(x))


def field(network=FourierMFN, seed=0, limit=0, **rules):
    torch.manual_seed(seed)
    model = ImplicitField(network(1, 1, width=WIDTH, scale=6.0), **rules)
    model.cache = FixedPointCache(N, WIDTH, limit=limit)
    return model.double()


def test_a_fit_with_reuse_is_the_loop_written_out():
    """One solve, from there one application of F a step, from the state before."""
    loss, model = signal(), field(tolerance=1e-10)
    twin = copy.deepcopy(model)
    found = fit(model, Reusing(loss), steps=8, lr=1e-2, chunk=N, progress=False)
    optimizer = torch.optim.Adam(twin.parameters(), lr=1e-2)
    z = None
    for step in range(8):
        f = twin.cell.conditioned(loss.coords)
        if z is None:
            z = solve(f, torch.zeros(N, WIDTH).double(), tolerance=1e-10).value
        at = z.detach().requires_grad_()
        value = f(at)
        z = value.detach()
        error = (twin.output(value) - loss.values).square().mean()
        assert found.losses[step].item() == pytest.approx(error.item(), rel=1e-9)
        g = torch.autograd.grad(error, value, retain_graph=True)[0]
        v = g + torch.autograd.grad(value, at, g, retain_graph=True)[0]
        optimizer.zero_grad()
        error.backward(inputs=list(twin.output.parameters()), retain_graph=True)
        value.backward(v, inputs=list(twin.cell.parameters()))
        optimizer.step()
    assert torch.allclose(model.cache.values, z, rtol=1e-6)


@pytest.mark.parametrize("network", [FourierMFN, InjectedSIREN])
def test_chunks_make_no_difference(network):
    def losses(chunk, limit):
        model, settings = field(network, tolerance=1e-12, limit=limit), {"steps": 12, "lr": 1e-2}
        return fit(model, Reusing(signal()), chunk=chunk, progress=False, **settings).losses

    once, solved = losses(N, 0), losses(N, 200)
    assert torch.allclose(losses(7, 0), once, rtol=1e-7)
    assert torch.allclose(losses(7, 200), solved, rtol=1e-7)
    assert not torch.allclose(once, solved, rtol=1e-4)  # the two are different fits


def test_an_interrupted_fit_finds_its_fixed_points_again(tmp_path, saves):
    settings = {"steps": 20, "lr": 1e-2, "chunk": 20, "progress": False}
    straight = fit(field(), Reusing(signal()), **settings)
    settings |= {"checkpoint": tmp_path / "fit.pt", "checkpoint_seconds": 0}
    saves.last = 9
    with pytest.raises(KeyboardInterrupt):
        fit(field(), Reusing(signal()), **settings)
    resumed = fit(field(), Reusing(signal()), **settings)
    assert saves.steps == list(range(1, 21))
    torch.testing.assert_close(resumed.losses, straight.losses)
    torch.testing.assert_close(resumed.model.cache.values, straight.model.cache.values)


def average_steps(size, last=30):
    """Solver steps of mini-batches over the last training steps."""
    model, steps = field(limit=100), []
    model.register_forward_hook(lambda m, *_: steps.append(m.solution.steps.item()))
    fit(model, Reusing(signal(), size), steps=150, lr=3e-3, progress=False)
    return sum(steps[-last:]) / last, max(steps)


def test_known_points_save_steps_and_large_batches_more():
    (small, most), (large, _) = average_steps(2), average_steps(N)
    assert large < small < most


def test_minibatches_draw_without_repetition_and_carry_their_rows():
    loss = Reusing(signal(), 11)
    batch = coords, values, chosen = loss.sample(torch.tensor(0))
    assert count(batch) == len(chosen.unique()) == 11 and loss.passes == 1
    assert torch.equal(coords, signal().coords[chosen[:, 0]])
    assert torch.equal(values, signal().values[chosen[:, 0]])
    model = field()
    loss.error(model, *cut(batch, slice(3, 7)))
    assert set(model.cache.known.nonzero().flatten().tolist()) == set(chosen[3:7, 0].tolist())


def test_a_stack_trains_as_its_fields_do():
    models = [field(seed=i, tolerance=1e-6, gradient=Implicit(tolerance=1e-6)) for i in range(2)]
    together = stack(models)
    found = fit(together, Reusing(signal()), steps=10, lr=1e-2, progress=False)
    for i, model in enumerate(models):
        alone = fit(model, Reusing(signal()), steps=10, lr=1e-2, progress=False)
        assert torch.allclose(found.losses[:, i], alone.losses, rtol=1e-6)


def test_a_field_without_a_cache_is_named():
    model = ImplicitField(FourierMFN(1, 1, width=4)).double()
    with pytest.raises(ValueError, match="implicit field with a cache"):
        fit(model, Reusing(signal()), steps=1, progress=False)


def test_a_fit_that_cannot_be_compiled_is_the_same_fit():
    """A solver looks at numbers to know when to stop."""
    settings = {"steps": 5, "lr": 1e-2, "chunk": 20, "progress": False}
    plain, same = (fit(field(), Reusing(signal()), compiled=c, **settings) for c in (False, True))
    assert torch.equal(same.losses, plain.losses)
    assert torch.equal(same.model.cache.values, plain.model.cache.values)
