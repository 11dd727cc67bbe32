"""Compiled gradients against eager ones, and what cannot be compiled runs as it is written."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from inrkit.calculus import laplacian
from inrkit.fields import FINER, SIREN, FourierMFN, ImplicitField, stack
from inrkit.training import Pointwise, Regression, SignedDistance, fit, gradients
from inrkit.training.gradients import Gradients, pays

X = torch.linspace(-1, 1, 80).reshape(40, 2)
Y = torch.sin(3 * X.sum(-1, keepdim=True))


def once(model, loss, compiled):
    """Terms of a loss, and the gradients that are left behind."""
    model.zero_grad()
    torch.manual_seed(0)
    batch = loss.sample(torch.tensor(0))
    torch.manual_seed(1)
    found = Gradients(model, compiled)
    terms = found(loss, batch, 0.5)
    return found, terms, [p.grad for p in model.parameters()]


def agree(model, loss):
    """Whether it is compiled, after a check that nothing depends on that."""
    _, terms, expected = once(model, loss, compiled=False)
    expected = [g if g is None else g.clone() for g in expected]
    found, ours, theirs = once(model, loss, compiled=True)
    torch.testing.assert_close(ours, terms, rtol=1e-5, atol=1e-6)
    for a, b in zip(theirs, expected, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5 * b.abs().max().item())
    (graph,) = found.graphs.values()
    return graph is not None


def network(out=1, inputs=2, kind=SIREN, **settings):
    torch.manual_seed(0)
    return kind(inputs, out, width=8, hidden_layers=1, **settings)


class Random(Regression):
    """Draws in its error."""

    def error(self, model, coords, values):
        return super().error(model, coords + 0.1 * torch.rand_like(coords), values)


CASES = {
    "a stack, and draws": lambda: (stack([network(), network()]), Random(X, Y)),
    "a Laplacian": lambda: (network(kind=FINER), Regression(X, Y, laplacian)),
    "spectral norms": lambda: (FourierMFN(2, 1, width=8), Regression(X, Y)),
    "gradients by coordinates": lambda: (
        network(inputs=3),
        SignedDistance(torch.rand(9, 3), functional.normalize(torch.rand(9, 3), dim=-1), 10),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_compiled_gradients_are_the_eager_ones(case):
    torch.manual_seed(0)
    assert agree(*CASES[case]())


def test_many_steps_agree_and_unused_parameters_stay():
    def model():
        found = network()
        found.spare = nn.Parameter(torch.ones(3))
        return found

    settings = {"steps": 20, "lr": 1e-3, "chunk": 20, "progress": False}
    settings |= {"optimizer": lambda p, lr: torch.optim.AdamW(p, lr=lr, weight_decay=0.5)}
    ours, theirs = (
        fit(model(), Regression(X, Y), compiled=compiled, **settings) for compiled in (True, False)
    )
    torch.testing.assert_close(ours.losses, theirs.losses, rtol=1e-4, atol=0)
    assert torch.equal(ours.model.spare.detach(), torch.ones(3))


class InTurn:
    """The error of two networks, one at even steps and one at odd ones."""

    passes = 1

    def sample(self, step):
        return X, Y, step % 2 * torch.ones(len(X), 1)

    def error(self, models, x, y, odd):
        return (models[int(odd[0])](x) - y).square().sum(-1)


def test_what_a_step_does_not_depend_on_stays_as_in_a_plain_loop():
    def models():
        torch.manual_seed(0)
        return nn.ModuleList([network(), network()])

    ours, theirs = models(), models()
    fit(ours, InTurn(), steps=6, lr=1e-2, chunk=len(X), progress=False)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-2, fused=True)
    for step in range(6):
        optimizer.zero_grad()
        (theirs[step % 2](X) - Y).square().sum(-1).mean().backward()
        optimizer.step()
    for p, q in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7)


class Counts(nn.Module):
    """A network that is another one at every call."""

    def __init__(self):
        super().__init__()
        self.inner, self.calls = network(), 0

    def forward(self, x):
        self.calls += 1
        return self.calls * self.inner(x)


class Branches(nn.Module):
    """A network that looks at numbers."""

    def __init__(self):
        super().__init__()
        self.inner = network()

    def forward(self, x):
        y = self.inner(x)
        return y if y.sum() > 0 else 2 * y


def test_what_changes_or_looks_at_numbers_is_not_compiled():
    for model in (Branches(), ImplicitField(FourierMFN(2, 1, width=8))):
        assert not agree(model, Regression(X, Y))
    found, _, _ = once(Counts(), Regression(X, Y), compiled=True)
    assert list(found.graphs.values()) == [None]


class Twice(nn.Module):
    """A layer that is used at two places."""

    def __init__(self, inner):
        super().__init__()
        self.inner, layer = inner, nn.Linear(2, 2)
        self.first, self.second = layer, nn.Sequential(nn.Tanh(), layer)

    def forward(self, x):
        return self.inner(self.second(self.first(x)))


class Follows(nn.Module):
    """A network that takes another tensor for its buffer at every call."""

    def __init__(self):
        super().__init__()
        self.inner = network()
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, x):
        y = self.inner(x)
        self.mean = 0.9 * self.mean + 0.1 * y.detach().mean()
        return y


def test_shared_layers_and_parameters_from_outside_train_as_in_eager_steps():
    model = Twice(network())
    before = list(model.parameters())
    assert agree(model, Regression(X, Y))
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    weights = list(model.parameters())

    def error(model, x, y):
        return (model(x) - y).square().mean(-1) + sum(w.square().sum() for w in weights)

    assert not agree(model, Pointwise(error, (X, Y)))
    assert not agree(Follows(), Regression(X, Y))


def test_without_a_compiler_one_warning_and_eager_steps(monkeypatch):
    def fails(*args, **kwargs):
        raise RuntimeError("no C++ compiler\nand a long story")

    monkeypatch.setattr(torch, "compile", lambda *_, **__: fails)
    with pytest.warns(UserWarning, match="steps are not compiled, and slower: no C.. compiler$"):
        assert not agree(network(), Regression(X, Y))


def test_running_means_follow_as_often_as_in_eager_steps():
    found, loss = {}, Regression(X, Y)
    for compiled in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        gradients_of = Gradients(model, compiled)
        for _ in range(3):
            gradients_of(loss, (X, Y), 1.0)
        found[compiled] = model.state_dict()
    for ours, theirs in zip(found[True].values(), found[False].values(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_batches_of_changing_sizes_are_compiled_a_few_times_only(monkeypatch):
    made = []
    monkeypatch.setattr(gradients, "compiled_gradient", lambda *_: made.append(1))
    found, loss = Gradients(network(), True), Regression(X, Y)
    for size in (*range(2, 12), 2):
        found(loss, (X[:size], Y[:size]), 1.0)
    assert len(made) == gradients.SHAPES


def test_long_fits_of_large_networks_are_worth_it():
    assert pays(SIREN(2, 1), 256**2, 2000, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not pays(network(), 40, 100, 1)
