"""The loop against plain PyTorch, against itself interrupted, and one signal at a time."""

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
import torch

from inrkit.fields import MLP, SIREN, stack
from inrkit.training import (
    CheckpointError,
    NonFiniteLoss,
    Pointwise,
    Regression,
    Sum,
    chunk_rows,
    fit,
    journal,
    stepper,
)


def problem(seed=0, n=200, dtype=torch.float32):
    torch.manual_seed(seed)
    coords = 2 * torch.rand(n, 2, dtype=dtype) - 1
    return Regression(coords, torch.sin(5 * coords.sum(-1, keepdim=True)))


def model(seed=0, **kwargs):
    torch.manual_seed(seed)
    return SIREN(2, 1, width=16, hidden_layers=2, **kwargs)


def plain_loop(network, loss, steps, lr):
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = torch.nn.functional.mse_loss(network(loss.coords), loss.values)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return torch.tensor(losses, dtype=loss.values.dtype)


@pytest.mark.parametrize("chunk", [None, 7, 64, 1000])
def test_chunked_steps_are_full_batch_steps(chunk):
    loss = problem(dtype=torch.float64)
    ours = fit(model().double(), loss, steps=30, lr=1e-3, chunk=chunk, progress=False).losses
    assert torch.allclose(ours, plain_loop(model().double(), loss, 30, 1e-3), rtol=1e-9)


def test_plain_functions_are_losses():
    """Of points, in chunks, or of the model as a whole."""
    loss = problem(dtype=torch.float64)

    def error(network, coords, values):
        return (network(coords) - values).square().mean(-1)

    def whole(network):
        return torch.nn.functional.mse_loss(network(loss.coords), loss.values)

    settings = {"steps": 5, "lr": 1e-3, "chunk": 33, "progress": False}
    expected = plain_loop(model().double(), loss, 5, 1e-3)
    for given in ((loss,), (error, loss.coords, loss.values), (whole,)):
        found = fit(model().double(), *given, **settings)
        assert torch.allclose(found.losses, expected, rtol=1e-9)
        assert list(found.terms) == ["loss"] and torch.equal(found.terms["loss"], found.losses)


def test_terms_of_a_loss_are_told_apart():
    x = problem().coords

    def error(network, coords):
        value = network(coords)[..., 0]
        return {"size": value.abs(), "square": 2 * value.square()}

    found = fit(model(), error, x, steps=3, chunk=7, progress=False)
    first = error(model(), x)
    assert list(found.terms) == ["size", "square"]
    for name, values in found.terms.items():
        assert torch.allclose(values[0], first[name].mean())
    assert torch.allclose(sum(found.terms.values()), found.losses)
    both = fit(model(), Sum((problem(), Pointwise(error, (x,))), (1.0, 0.5)), steps=1,
               progress=False)  # fmt: skip
    assert list(both.terms) == ["1", "2 size", "2 square"]
    assert torch.allclose(both.terms["2 size"][0], 0.5 * first["size"].mean())


@pytest.mark.parametrize(
    "reduced", [lambda e: e.mean(), lambda e: e, lambda e: e.sum(0), lambda e: e @ e.mT]
)
def test_an_error_is_one_number_a_point(reduced):
    loss = problem()

    def error(network, coords, values):
        return reduced((network(coords) - values).expand(-1, 3))

    with pytest.raises(ValueError, match="an error is one number for each point"):
        fit(model(), error, loss.coords, loss.values, steps=1, progress=False)


@pytest.mark.parametrize(
    ("error", "batch", "message"),
    [
        (lambda m: {"a": m.first, "b": None}, (), "loss.model. is one number for each signal"),
        (lambda m: m(torch.ones(7, 2))[..., 0], (), r"got \(7,\): average over points"),
        (lambda m, x: 1j * m(x)[..., 0], (torch.ones(7, 2),), "an error is a real number"),
        (lambda m, x: {}, (torch.ones(7, 2),), "at least one term"),
        (lambda m, x, y: m(x) - y, (torch.ones(7, 2), torch.ones(7)), r"\(7,\) has none"),
    ],
)
def test_errors_that_are_none_are_refused_in_a_sentence(error, batch, message):
    network = model()
    network.first = torch.nn.Parameter(torch.ones(()))
    with pytest.raises(ValueError, match=message):
        fit(network, error, *batch, steps=1, progress=False)


def test_a_batch_is_made_of_tensors():
    with pytest.raises(TypeError, match="a batch is made of tensors, got list"):
        fit(model(), lambda network, x: network(x), [[1.0, 2.0]], steps=1, progress=False)


def test_terms_of_a_loss_as_a_whole_are_told_apart():
    x = problem().coords
    found = fit(model(), lambda m: {1: m(x).mean(), 2: m(x).square().mean()}, steps=1,
                progress=False)  # fmt: skip
    assert list(found.terms) == ["1", "2"]
    assert torch.allclose(found.terms["2"][0], model()(x).square().mean())


def relative(network, x, y):
    off = (network(x) - y).abs().mean(-1)
    return off / off.mean().detach().sqrt()


def squared(network, x, y):
    return (network(x) - y).square().mean(-1)


@pytest.mark.parametrize(("batchnorm", "error"), [(False, relative), (True, squared)])
def test_errors_that_depend_on_other_points_are_taken_at_all_of_them(batchnorm, error, monkeypatch):
    monkeypatch.setattr(sys.modules["inrkit.training.fit"], "chunk_rows", lambda *_: 64)
    loss = problem(dtype=torch.float64)
    torch.manual_seed(0)
    middle = torch.nn.BatchNorm1d(8) if batchnorm else torch.nn.Tanh()
    network = torch.nn.Sequential(torch.nn.Linear(2, 8), middle, torch.nn.Linear(8, 1)).double()
    expected = error(network, loss.coords, loss.values).mean()
    batch = error, loss.coords, loss.values
    assert torch.allclose(fit(network, *batch, steps=1, progress=False).losses[0], expected)
    with pytest.warns(UserWarning, match="errors depend on other points"):
        fit(network, *batch, steps=1, chunk=50, progress=False)


class Remembers(torch.nn.Module):
    """Takes another tensor for its buffer, and counts, at every call."""

    def __init__(self):
        super().__init__()
        self.inner, self.calls = model(), 0
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, x):
        y = self.inner(x)
        self.calls, self.mean = self.calls + 1, 0.9 * self.mean + 0.1 * y.detach().mean()
        return y


def test_a_model_is_called_as_often_as_a_plain_loop_calls_it():
    loss, ours, theirs = problem(), Remembers(), Remembers()
    fit(ours, loss, steps=3, lr=1e-3, progress=False)
    plain_loop(theirs, loss, 3, 1e-3)
    assert ours.calls == theirs.calls == 3
    assert torch.allclose(ours.mean, theirs.mean)


def test_points_of_a_batch_are_as_many():
    x = problem().coords
    for batch in ((x, x[:-1]), (x[:0],), (x[:, 0],)):
        with pytest.raises(ValueError, match="as many points, at least one"):
            fit(model(), lambda network, x, *y: network(x), *batch, steps=1, progress=False)
    with pytest.raises(TypeError, match="samples its own points"):
        fit(model(), problem(), x, steps=1, progress=False)
    with pytest.raises(TypeError, match="a loss is an object with sample"):
        fit(model(), 3.0, steps=1, progress=False)


def test_a_stack_trains_each_signal_as_alone():
    losses = [problem(seed, dtype=torch.float64) for seed in range(3)]
    alone = [
        fit(model(i).double(), loss, steps=20, lr=1e-3, progress=False)
        for i, loss in enumerate(losses)
    ]
    together = fit(
        stack([model(i).double() for i in range(3)]),
        Regression(
            torch.stack([loss.coords for loss in losses]),
            torch.stack([loss.values for loss in losses]),
        ),
        steps=20,
        lr=1e-3,
        progress=False,
    )
    expected = torch.stack([result.losses for result in alone], dim=-1)
    assert torch.allclose(together.losses, expected, rtol=1e-8)


def test_snapshots_are_the_model_after_so_many_steps():
    result = fit(model(), problem(), steps=12, lr=1e-3, snapshots=[4, 12], progress=False)
    shorter = fit(model(), problem(), steps=4, lr=1e-3, progress=False)
    x = torch.rand(9, 2)
    expected = shorter.model(x)
    assert torch.equal(result.at(4)(x), expected)
    assert not torch.equal(result.at(12)(x), expected)


def test_the_snapshot_of_the_lowest_loss_has_that_loss(tmp_path):
    loss, path = problem(), tmp_path / "fit.pt"
    arguments = {"lr": 0.03, "snapshots": [40, "lowest"], "checkpoint": path, "progress": False}
    result = fit(model(), loss, steps=40, **arguments)
    kept = torch.nn.functional.mse_loss(result.at("lowest")(loss.coords), loss.values)
    assert result.losses.argmin() < 39  # or any copy of the latest would do
    assert torch.allclose(kept, result.losses.min(), rtol=1e-5)
    again = fit(model(), loss, steps=40, **arguments)
    assert torch.equal(again.at("lowest")(loss.coords), result.at("lowest")(loss.coords))
    with pytest.raises(ValueError, match="stack"):
        fit(stack([model(), model(1)]), loss, steps=2, snapshots=["lowest"], progress=False)


def test_schedule_multiplies_the_learning_rate():
    loss = problem()
    frozen = fit(model(), loss, steps=9, lr=1e-3, schedule=lambda k: float(k < 3), progress=False)
    for moved, kept in zip(
        frozen.model.parameters(),
        fit(model(), loss, steps=3, lr=1e-3, progress=False).model.parameters(),
        strict=True,
    ):
        assert torch.allclose(moved, kept)


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_fit import model, problem
import inrkit.training
from inrkit.training import checkpoint
save = checkpoint.save
def killed(path, state):
    if state["step"] == 22: os.kill(os.getpid(), signal.SIGKILL)
    save(path, state)
checkpoint.save = killed
inrkit.training.fit(model(), problem(), steps=40, lr=1e-3, checkpoint=Path({path!r}),
                    checkpoint_seconds=0, snapshots=[5, 40], progress=False)
"""


def test_a_killed_fit_resumes_to_the_same_bits(tmp_path):
    path = tmp_path / "fit.pt"
    tests = os.path.dirname(__file__)
    code = INTERRUPTED.format(tests=tests, path=str(path))
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    (written,) = tmp_path.glob("fit.*.pt")
    assert torch.load(written)["step"] == 21
    arguments = {"steps": 40, "lr": 1e-3, "snapshots": [5, 40], "progress": False}
    resumed = fit(model(), problem(), checkpoint=path, **arguments)
    whole = fit(model(), problem(), **arguments)
    assert torch.equal(resumed.losses, whole.losses)
    for step in (5, 40):
        for name, tensor in whole.snapshots[step].items():
            assert torch.equal(resumed.snapshots[step][name], tensor)
    assert [written] == list(tmp_path.iterdir())  # the same one


def test_the_seconds_of_all_parts_count(tmp_path, stop_after, monkeypatch):
    settings = {"steps": 9, "checkpoint": tmp_path / "fit.pt", "progress": False}
    settings |= {"checkpoint_seconds": 0}
    stop_after(4)
    monkeypatch.setenv(
        "INRKIT_ORIGIN", json.dumps({"commit": "a", "clean": True, "versions": {"a": "1"}})
    )
    with pytest.raises(KeyboardInterrupt):
        fit(model(), problem(), **settings)
    (written,) = tmp_path.iterdir()
    state = torch.load(written)
    assert 0 < state["parts"][0]["seconds"] < 100
    state["parts"][0]["seconds"] = 1000.0
    torch.save(state, written)
    monkeypatch.setenv(
        "INRKIT_ORIGIN", json.dumps({"commit": "b", "clean": False, "versions": {"a": "2"}})
    )
    second = fit(model(), problem(), **settings)
    assert 1000 < second.seconds < 1100
    for seconds_here in (second.seconds - 1000, 0):
        (entry,) = [entry for entry in journal.fits() if entry["steps"] == 9]
        assert entry["seconds"] == pytest.approx(second.seconds, abs=0.01)
        assert entry["seconds_here"] == pytest.approx(seconds_here, abs=0.01)
        told = {"name": "fit", "steps": 9, "commit": "a, b", "clean": False, "versions": {"a": "2"}}
        assert entry | told == entry
        monkeypatch.delenv("INRKIT_ORIGIN", raising=False)
        assert fit(model(), problem(), **settings).seconds == second.seconds  # taken up


def test_seconds_are_counted_once_however_often_they_are_saved(tmp_path):
    settings = {"steps": 30, "checkpoint": tmp_path / "fit.pt", "progress": False}
    begin = time.perf_counter()
    found = fit(model(), problem(), checkpoint_seconds=0, **settings)
    assert 0 < found.seconds < time.perf_counter() - begin


def test_a_fit_of_which_nobody_told_the_origin(monkeypatch):
    monkeypatch.delenv("INRKIT_ORIGIN", raising=False)
    fit(model(), problem(), steps=2, progress=False, name="alone")
    (entry,) = [entry for entry in journal.fits() if entry["name"] == "alone"]
    assert entry["seconds"] == entry["seconds_here"]
    assert entry["commit"] is entry["clean"] is entry["versions"] is None


def test_a_finished_fit_is_not_repeated_and_another_is_not_mistaken_for_it(tmp_path):
    path = tmp_path / "fit.pt"
    first = fit(model(), problem(), steps=50, lr=1e-3, checkpoint=path, progress=False)
    (file,) = tmp_path.iterdir()
    written = file.read_bytes()
    again = fit(model(), problem(), steps=50, lr=1e-3, checkpoint=path, progress=False)
    assert torch.equal(first.losses, again.losses) and again.seconds == first.seconds
    assert file.read_bytes() == written
    others = [
        (model(1), problem(), 1e-3),
        (model(), problem(1), 1e-3),
        (model(), problem(), 2e-3),
        (model(omega_0=29.0), problem(), 1e-3),
    ]
    for network, loss, lr in others:
        found = fit(network, loss, steps=50, lr=lr, checkpoint=path, progress=False)
        assert not torch.equal(found.losses, first.losses)
    assert len(list(tmp_path.glob("fit.*.pt"))) == 1 + len(others)


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "fit.pt"
    fit(model(), problem(), steps=3, checkpoint=path, progress=False)
    (written,) = tmp_path.glob("fit.*.pt")
    written.write_bytes(written.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="is damaged; delete it"):
        fit(model(), problem(), steps=3, checkpoint=path, progress=False)


def test_a_loss_that_is_not_finite_stops_the_fit(tmp_path):
    network = MLP(2, 1, width=8, hidden_layers=1, activation=torch.exp)
    calls = []
    network.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(NonFiniteLoss, match=r"at step \d+ with learning rate 1e\+10") as caught:
        fit(network, problem(), steps=50, lr=1e10, chunk=1000, progress=False)
    step = int(re.search(r"at step (\d+)", str(caught.value)).group(1))
    assert len(calls) == step + 3  # no step after it, and a few points before all


def test_no_checkpoint_holds_a_loss_that_is_not_finite(tmp_path):
    def network():
        torch.manual_seed(0)
        return MLP(2, 1, width=8, hidden_layers=1, activation=torch.exp)

    settings = {"lr": 1e10, "checkpoint": tmp_path / "fit.pt", "progress": False}
    with pytest.raises(NonFiniteLoss, match="the last good checkpoint is .*fit.*pt"):
        fit(network(), problem(), steps=50, checkpoint_seconds=0, **settings)
    (written,) = tmp_path.iterdir()
    state = torch.load(written)
    assert torch.isfinite(state["terms"]).all() and state["step"] < 50


def test_values_must_be_finite_and_as_many_as_coordinates():
    with pytest.raises(ValueError, match="not finite"):
        Regression(torch.zeros(2, 2), torch.tensor([[1.0], [float("nan")]]))
    with pytest.raises(ValueError, match=r"as many values .* got shapes .2, 2. and .3, 1."):
        Regression(torch.zeros(2, 2), torch.zeros(3, 1))


def test_chunks_follow_the_width_and_the_number_of_signals():
    wide, narrow = SIREN(2, 1, width=512), SIREN(2, 1, width=64)
    assert chunk_rows(wide) < chunk_rows(narrow)
    assert chunk_rows(stack([narrow] * 16)) < chunk_rows(narrow)


def test_chunks_are_smaller_for_a_loss_with_derivatives_and_leave_no_small_rest():
    asked = []

    class Several(Regression):
        def error(self, network, coords, values):
            asked.append(len(coords))
            return super().error(network, coords, values)

    loss = problem()
    for passes, sizes in ((1, [200]), (10**9, [67, 67, 66])):  # 64 points at least
        several = Several(loss.coords, loss.values)
        object.__setattr__(several, "passes", passes)
        fit(model(), several, steps=1, compiled=False, progress=False)
        assert asked == [2, 3, *sizes]  # a few points beforehand
        asked.clear()


def test_the_stepper_takes_the_steps_of_fit():
    loss, network = problem(), model()
    step = stepper(network, loss, lr=1e-3)
    for _ in range(5):
        step()
    expected = fit(model(), loss, steps=5, lr=1e-3, progress=False).model
    for ours, theirs in zip(network.parameters(), expected.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_progress_goes_to_a_file_where_one_is_asked_for(tmp_path, monkeypatch):
    path = tmp_path / "progress.json"
    monkeypatch.setenv("INRKIT_PROGRESS", str(path))
    fit(model(), problem(), steps=4, name="a fit")
    assert json.loads(path.read_text()) == {"name": "a fit", "step": 4, "steps": 4}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_follows_the_cpu():
    loss = problem()
    cuda = Regression(loss.coords.cuda(), loss.values.cuda())
    ours = fit(model().cuda(), cuda, steps=20, lr=1e-3, progress=False).losses
    assert torch.allclose(
        ours, fit(model(), loss, steps=20, lr=1e-3, progress=False).losses, rtol=1e-3
    )
