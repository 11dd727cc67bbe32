"""Every way to compute a step against the plainest, layer by layer."""

import shutil
from functools import partial
from os import environ

import pytest
import torch

from inrkit.fields import MLP, SIREN, SPDER, stack
from inrkit.training import (
    Regression,
    Sum,
    fit,
    gradient_regression,
    hessian_frobenius,
    laplacian_regression,
)
from inrkit.training.paths import WORTH_COMPILING, choose

HAS_COMPILER = any(n and shutil.which(n) for n in (environ.get("CXX"), "g++", "clang++"))
CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PATHS = [
    "auto",
    "fused",
    pytest.param("compiled", marks=pytest.mark.skipif(not HAS_COMPILER, reason="no C++ compiler")),
]
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def model(network=SIREN, seed=0):
    torch.manual_seed(seed)
    return network(2, 1, width=16, hidden_layers=2)


def problem(*signals, device=CPU):
    torch.manual_seed(0)
    coords = 2 * torch.rand(200, 2) - 1
    waves = torch.sin(5 * coords.sum(-1, keepdim=True) + torch.rand(*signals, 1, 1))
    return Regression(coords.to(device), waves.reshape(*signals, 200, 1).to(device))


def halving(step):
    return 0.5 ** (step // 10)


CASES = {  # number of signals, settings
    "plain": ((), {}),
    "stacked": ((3,), {}),
    "scheduled": ((), {"schedule": halving}),
}


def trained(path, case, network=SIREN, device=CPU, **settings):
    signals, others = CASES[case]
    start = stack([model(network, seed) for seed in range(3)]) if signals else model(network)
    settings = {"steps": 25, "lr": 1e-3, "chunk": 100, "progress": False} | others | settings
    return fit(start.to(device), problem(*signals, device=device), path=path, **settings)


def assert_same(result, expected):
    assert torch.allclose(result.losses, expected.losses, rtol=1e-4, atol=0)
    for ours, theirs in zip(result.model.parameters(), expected.model.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-5)  # of 25 steps of 1e-3


@pytest.mark.parametrize("network", [SIREN, SPDER])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("path", PATHS)
def test_every_path_leads_to_the_same_result(path, case, network):
    assert_same(trained(path, case, network), trained("eager", case, network))


LOSSES = {
    "gradient": lambda x: gradient_regression(x, x[:, None]),
    "laplacian": lambda x: laplacian_regression(x, x[:, :1]),
    "bends": lambda x: Sum((Regression(x, x[:, :1]), hessian_frobenius(60, 2)), (1.0, 1e-3)),
}


@pytest.mark.parametrize("network", [SIREN, partial(MLP, activation=torch.tanh)])
@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("path", PATHS[1:])
def test_every_path_leads_to_the_same_result_through_derivatives(path, kind, network):
    results = []
    for way in (path, "eager"):
        start, loss = model(network), LOSSES[kind](problem().coords)
        results.append(fit(start, loss, steps=15, lr=1e-3, path=way, progress=False))
    assert_same(*results)


def test_activations_of_jets_are_compiled_in_one_loop(monkeypatch):
    compilers(monkeypatch, "g++")
    assert choose("auto", model(), CPU, WORTH_COMPILING, adam=True, passes=5) == "compiled"
    assert choose("auto", model(), CPU, WORTH_COMPILING, adam=True, passes=2) == "eager"


WRONG = [
    ({"path": "fast"}, "no path 'fast'; there are auto, eager, fused, compiled, graph"),
    ({"path": "graph"}, "a graph takes CUDA and Adam or AdamW, not cpu"),
    ({"precision": "float16"}, "no precision 'float16'; there are float32, tf32, bf16"),
    ({"precision": "tf32"}, "tf32 needs a CUDA device, this is cpu; take float32 or bf16"),
]


@pytest.mark.parametrize("settings,sentence", WRONG)
def test_what_there_is_not_is_refused_in_a_sentence(settings, sentence):
    with pytest.raises(ValueError) as refusal:
        fit(model(), problem(), steps=1, progress=False, **settings)
    assert str(refusal.value) == sentence


def test_paths_that_do_not_fit_the_device():
    with pytest.raises(ValueError, match="compiled on a CPU only, not on cuda"):
        choose("compiled", model(), CUDA, 1, adam=True)
    with pytest.raises(ValueError, match="takes CUDA and Adam"):
        choose("graph", model(), CUDA, 1, adam=False)


SHORT, LONG = 1, 10**12


def compilers(monkeypatch, *found, CXX=None):
    """Let these alone be found."""
    monkeypatch.setattr(shutil, "which", lambda name: name if name in found else None)
    monkeypatch.delenv("CXX", raising=False)
    if CXX:
        monkeypatch.setenv("CXX", CXX)


@pytest.mark.parametrize("found", [{}, {"CXX": "other"}], ids=str)
def test_nothing_is_compiled_without_a_compiler(monkeypatch, found):
    compilers(monkeypatch, **found)
    assert choose("auto", model(SPDER), CPU, LONG, adam=True) == "eager"


@pytest.mark.parametrize("name", ["g++", "clang++", "icpx"])
def test_long_fits_are_compiled(monkeypatch, name):
    compilers(monkeypatch, name, CXX="icpx")
    assert choose("auto", model(SPDER), CPU, LONG, adam=False) == "compiled"
    assert choose("auto", model(SPDER), CPU, SHORT, adam=True) == "eager"
    assert choose("auto", model(SIREN), CPU, LONG, adam=True) == "eager"  # a sine is one loop


def test_a_fit_is_long_by_its_number_of_activations(monkeypatch):
    compilers(monkeypatch, "g++")
    evaluations = int(WORTH_COMPILING / (16 + 16) / 2)
    assert choose("auto", model(SPDER), CPU, evaluations, adam=True) == "eager"
    assert choose("auto", stack([model(SPDER)] * 3), CPU, evaluations, adam=True) == "compiled"


def test_the_choice_on_a_gpu():
    assert choose("auto", model(), CUDA, SHORT, adam=True) == "graph"
    assert choose("auto", model(), CUDA, LONG, adam=False) == "fused"
    for path in ("eager", "fused", "graph"):
        assert choose(path, model(), CUDA, LONG, adam=True) == path


def resumed(folder, saves, before, after, device=CPU, schedule=halving):
    """A fit of 25 steps of which the first 10 are taken on another path."""
    settings = {"device": device, "checkpoint": folder / "fit.pt", "checkpoint_seconds": 0}
    saves.last = 10
    with pytest.raises(KeyboardInterrupt):
        trained(before, "plain", schedule=schedule, **settings)
    result = trained(after, "plain", schedule=schedule, **settings)
    assert saves.steps == list(range(1, 26)) and len(list(folder.iterdir())) == 1
    return result


@pytest.mark.parametrize("before,after", [("eager", "fused"), ("fused", "eager")])
def test_a_fit_resumes_on_another_path(tmp_path, saves, before, after):
    assert_same(resumed(tmp_path, saves, before, after), trained(before, "scheduled"))


def test_the_precision_is_another_fit(tmp_path):
    for precision in ("float32", "bf16", "float32"):
        trained("fused", "plain", checkpoint=tmp_path / "fit.pt", precision=precision)
    assert len(list(tmp_path.iterdir())) == 2


def test_subnormal_numbers_are_left_as_they_are():
    """No setting of the processor outlives a fit."""
    trained("fused", "plain")
    assert (torch.full((100,), 1e-20) * 1e-20 > 0).all()


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("case", CASES)
def test_a_graph_takes_the_same_steps(tmp_path, case):
    results, names = {}, set()
    for path in ("eager", "fused", "graph", "auto"):
        folder = tmp_path / path
        settings = {"snapshots": [2, 10, 25], "checkpoint": folder / "fit.pt", "chunk": 70}
        results[path] = trained(path, case, device=CUDA, **settings)
        names |= {file.name for file in folder.iterdir()}
    assert len(names) == 1
    expected = results.pop("eager")
    for result in results.values():
        assert_same(result, expected)
        for step, parameters in expected.snapshots.items():
            for name, tensor in parameters.items():
                assert torch.allclose(result.snapshots[step][name], tensor, rtol=0, atol=1e-5)


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize(
    "before,after", [("graph", "graph"), ("graph", "fused"), ("fused", "graph")]
)
@pytest.mark.parametrize("schedule", [halving, lambda step: 1.0], ids=["scheduled", "plain"])
def test_a_graph_resumes(tmp_path, saves, before, after, schedule):
    result = resumed(tmp_path, saves, before, after, CUDA, schedule)
    assert_same(result, trained("eager", "plain", device=CUDA, schedule=schedule))


@pytest.mark.gpu
@gpu
def test_a_step_that_waits_for_the_device_cannot_be_captured():
    class Waiting(Regression):
        def __call__(self, network, rows):
            share = super().__call__(network, rows)
            return share * float(share.detach() > -1)

    loss = Waiting(*vars(problem(device=CUDA)).values())
    with pytest.raises(RuntimeError, match="take path='fused'"):
        fit(model().cuda(), loss, steps=25, path="graph", progress=False)
