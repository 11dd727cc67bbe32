"""Chains of layers against the same layers one by one, compiled and with Triton's kernels too."""

import shutil
from functools import partial
from importlib.util import find_spec, module_from_spec
from os import environ

import pytest
import torch
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.backends import cuda, mkldnn
from torch.func import functional_call
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from inrkit.calculus import nested_autograd, partials
from inrkit.fields import (
    FINER,
    MLP,
    SIREN,
    SPDER,
    DampedSine,
    Gauss,
    Gaussian,
    Layer,
    finer,
    fused,
    log_abs,
    one,
    sqrt_abs,
    sqrt_relu,
    stack,
)
from inrkit.fields.arithmetic import Arithmetic, computing
from inrkit.fields.fused import chain

SIZE = {"width": 7, "hidden_layers": 2}
DAMPINGS = (sqrt_abs, log_abs, sqrt_relu, one, torch.atan)
ORDINARY = (torch.relu, torch.tanh, functional.softplus, functional.elu, functional.selu)
MODELS = {
    "SIREN": partial(SIREN, 2, 3, **SIZE),
    "FINER": partial(FINER, 2, 3, omega_0=3.0, **SIZE),
    "Gauss": partial(Gauss, 2, 3, scale=2.0, **SIZE),
    **{f"SPDER {d.__name__}": partial(SPDER, 2, 3, damping=d, **SIZE) for d in DAMPINGS},
    **{f"MLP {a.__name__}": partial(MLP, 2, 3, activation=a, **SIZE) for a in ORDINARY},
}
CASES = {  # signals of the weights, shape of the coordinates
    "single": ((), (11, 2)),
    "single, batched": ((), (4, 11, 2)),
    "shared": ((3,), (11, 2)),
    "own": ((3,), (3, 11, 2)),
    "twice stacked": ((2, 3), (2, 3, 11, 2)),
}
compiler = pytest.mark.skipif(
    not any(name and shutil.which(name) for name in (environ.get("CXX"), "g++", "clang++")),
    reason="no C++ compiler",
)


@pytest.fixture(autouse=True)
def fused_unless_told_otherwise():
    with computing(Arithmetic()):
        yield


def one_by_one():
    return computing(Arithmetic(fused=False))


def problem(name, case="single", dtype=torch.float64):
    torch.manual_seed(0)
    signals, shape = CASES[case]
    models = [MODELS[name]() for _ in range(6)]
    for size in reversed(signals):
        models = [stack(models[i : i + size]) for i in range(0, len(models), size)]
    return models[0].to(dtype), 2 * torch.rand(shape, dtype=dtype) - 1


def is_chain(y):
    return "Chain" in y.grad_fn.name()


def first(model, x, create_graph=False):
    """Values, and gradients by the input and the parameters."""
    x = x.detach().requires_grad_()
    y, tensors = model(x), [x, *model.parameters()]
    return [y, *torch.autograd.grad(y.sin().sum(), tensors, create_graph=create_graph)]


def second(model, x):
    """Gradients of all first gradients together."""
    gradients = first(model, x, create_graph=True)[1:]
    total = sum(g.square().sum() for g in gradients)
    return torch.autograd.grad(total, list(model.parameters()))


def assert_close(results, expected, tolerance=1e-12):
    """Relative to the largest entry of each."""
    for ours, theirs in zip(results, expected, strict=True):
        assert ours.shape == theirs.shape
        error, scale = (float(t.detach().abs().max()) for t in (ours - theirs, theirs))
        assert error <= tolerance * scale


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", MODELS)
def test_values_and_gradients(name, case):
    model, x = problem(name, case)
    assert is_chain(model(x))
    with one_by_one():
        assert not is_chain(model(x))
        expected = first(model, x)
    assert_close(first(model, x), expected)


@pytest.mark.parametrize("case", ["single", "shared"])
@pytest.mark.parametrize("name", MODELS)
def test_second_derivatives(name, case):
    model, x = problem(name, case)
    with one_by_one():
        expected = second(model, x)
    assert_close(second(model, x), expected, 1e-11)


@pytest.mark.parametrize("network", [SIREN, SPDER, FINER])
def test_derivatives_by_finite_differences(network):
    torch.manual_seed(0)
    model = network(2, 1, width=3, hidden_layers=2, omega_0=2.0).double()
    x, (names, tensors) = torch.rand(2, 2).double(), zip(*model.named_parameters(), strict=True)

    def values(x, *tensors):
        return functional_call(model, dict(zip(names, tensors, strict=True)), x)

    inputs = x.requires_grad_(), *tensors
    assert is_chain(values(*inputs))
    assert gradcheck(values, inputs) and gradgradcheck(values, inputs)


@pytest.mark.parametrize("name", ["SIREN", "SPDER sqrt_abs", "Gauss"])
def test_a_backward_pass_leaves_what_the_next_one_needs(name):
    model, x = problem(name)
    x.requires_grad_()
    y, tensors = model(x), [x, *model.parameters()]
    given = torch.rand_like(y)
    kept = given.clone()
    passes = [torch.autograd.grad(y, tensors, given, retain_graph=True) for _ in range(3)]
    again = torch.autograd.grad(y, tensors, given, create_graph=True)
    for other in (*passes[1:], again):
        assert_close(other, passes[0])
    assert torch.equal(given, kept)


@pytest.mark.parametrize("name", ["SIREN", "SPDER sqrt_abs", "Gauss"])
def test_a_chain_may_end_with_an_activation(name):
    model, x = problem(name)

    def hidden(x):
        return chain(x, model.layers[:-1])

    y, tensors = hidden(x), list(model.layers[:-1].parameters())
    given = torch.rand_like(y)
    kept = given.clone()
    for gradient in (given, kept[:1].expand_as(y)):  # as from a sum, whose rows are one
        with one_by_one():
            expected = torch.autograd.grad(hidden(x), tensors, gradient)
        assert_close(torch.autograd.grad(y, tensors, gradient, retain_graph=True), expected)
    assert is_chain(y) and torch.equal(given, kept)


def test_a_frozen_layer_has_no_gradient():
    model, x = problem("SIREN")
    model.layers[1].requires_grad_(False)
    learning = [p for p in model.parameters() if p.requires_grad]
    with one_by_one():
        expected = torch.autograd.grad(model(x).sin().sum(), learning)
    model(x).sin().sum().backward()
    assert_close([p.grad for p in learning], expected)
    assert model.layers[1].weight.grad is None


@pytest.mark.parametrize("name", ["SIREN", "SPDER sqrt_abs", "Gauss"])
def test_values_that_are_used_more_than_once(name):
    model, x = problem(name)

    def residual(x):
        h = chain(x, model.layers[:1])
        z = h * chain(h, model.layers[1:2]) + h
        return chain(z, model.layers[1:]) * z.sum(-1, keepdim=True)

    residual.parameters = model.parameters
    with one_by_one():
        expected = first(residual, x), second(residual, x)
    assert_close(first(residual, x), expected[0])
    assert_close(second(residual, x), expected[1], 1e-11)


# where the chain is not taken


def test_no_gradients_no_chain():
    model, x = problem("SIREN")
    expected = model(x)
    with torch.no_grad():
        y = model(x)
    assert y.grad_fn is None
    assert_close([y], [expected])
    assert not model.requires_grad_(False)(x).requires_grad


@pytest.mark.parametrize("name", MODELS)
def test_jets_pass(name):
    model, x = problem(name)
    found = partials(model, x, 2)
    with one_by_one():
        expected = nested_autograd(model, x, found.indices)
    assert_close(found.values.unbind(), expected.unbind(), 1e-11)


@pytest.mark.parametrize("name", ["SIREN", "FINER", "Gauss", "MLP tanh"])
def test_function_transforms(name):
    model, x = problem(name)
    with one_by_one():
        expected = torch.stack([torch.autograd.functional.jacobian(model, p) for p in x])
        one_value = torch.autograd.functional.hessian(lambda p: model(p).sum(), x[0])
    for jacobian in (torch.func.jacrev, torch.func.jacfwd):
        assert_close([torch.func.vmap(jacobian(model))(x)], [expected])
        whole = jacobian(model)(x).diagonal(dim1=0, dim2=2).movedim(-1, 0)
        assert_close([whole], [expected])
    gradient = torch.func.vmap(torch.func.grad(lambda p: model(p).sum()))(x)
    assert_close([gradient], [expected.sum(1)])
    assert_close([torch.func.hessian(lambda p: model(p).sum())(x[0])], [one_value], 1e-11)


@pytest.mark.parametrize("name", ["SIREN", "FINER", "Gauss", "MLP tanh"])
def test_forward_mode(name):
    model, x = problem(name)
    direction = torch.rand_like(x)
    with one_by_one():
        expected = torch.autograd.functional.jvp(model, x, direction)
    assert_close(torch.func.jvp(model, (x,), (direction,)), expected)
    with forward_ad.dual_level():
        dual = forward_ad.unpack_dual(model(forward_ad.make_dual(x, direction)))
    assert_close(dual, expected)


@pytest.mark.parametrize("name", ["SIREN", "SPDER sqrt_abs", "MLP tanh"])
def test_batched_gradients(name):
    """Through the chain, whose backward pass is vectorized."""
    model, x = problem(name)
    x.requires_grad_()
    y = model(x)
    directions = torch.rand(4, *y.shape, dtype=y.dtype)
    (batched,) = torch.autograd.grad(y, x, directions, is_grads_batched=True)
    with one_by_one():
        expected = [torch.autograd.grad(model(x), x, g)[0] for g in directions]
    assert is_chain(y)
    assert_close([batched], [torch.stack(expected)])


HOOKS = ["forward_hook", "forward_pre_hook", "full_backward_hook", "full_backward_pre_hook"]


@pytest.mark.parametrize("kind", HOOKS)
def test_a_layers_hook_is_called(kind):
    model, x = problem("SIREN")
    expected, calls = first(model, x), []
    handle = getattr(model.layers[1], f"register_{kind}")(lambda *args: calls.append(args[0]))
    assert_close(first(model, x), expected)
    assert calls == [model.layers[1]]
    handle.remove()
    assert is_chain(model(x))


class Swish(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.beta = torch.nn.Parameter(torch.tensor(1.5))

    def forward(self, u):
        return u * torch.sigmoid(self.beta * u)


def test_a_learnable_activation_learns():
    torch.manual_seed(0)
    model = MLP(2, 1, activation=Swish(), **SIZE).double()
    x, beta = torch.rand(9, 2).double(), model.layers[0].activation.beta
    model(x).sin().sum().backward()
    step = 1e-6

    def at(value):
        return functional_call(model, {"layers.0.activation.beta": value}, x).sin().sum()

    with torch.no_grad():
        expected = (at(beta + step) - at(beta - step)) / (2 * step)
    assert abs(beta.grad - expected) < 1e-8 * max(1, abs(expected))


def test_a_function_with_a_parameter_inside_learns():
    torch.manual_seed(0)
    factor = torch.nn.Parameter(torch.tensor(1.5, dtype=torch.float64))
    model = MLP(2, 1, activation=lambda u: torch.sin(factor * u), **SIZE).double()
    x = torch.rand(9, 2).double()
    with one_by_one():
        expected = torch.autograd.grad(model(x).sum(), factor)
    found = torch.autograd.grad(model(x).sum(), factor, allow_unused=True)
    assert found[0] is not None
    assert_close(found, expected)


def test_a_hook_of_an_activation_sees_all_values():
    model, x = problem("SPDER sqrt_abs")
    expected, seen = first(model, x), []
    model.layers[0].activation.register_forward_hook(lambda _, inputs, y: seen.append(y.shape))
    assert_close(first(model, x), expected)
    assert (11, 7) in seen


WITHOUT_A_RULE = {"gelu": functional.gelu, "silu": torch.nn.SiLU(), "sinc": torch.sinc}


@pytest.mark.parametrize("name", WITHOUT_A_RULE)
def test_an_activation_without_a_taylor_rule_trains(name):
    torch.manual_seed(0)
    model = MLP(2, 1, activation=WITHOUT_A_RULE[name], **SIZE).double()
    x = torch.rand(9, 2).double()
    with one_by_one():
        expected = first(model, x)
    assert_close(first(model, x), expected)


class Shifted(Layer):
    def forward(self, x):
        return super().forward(x) + 1


FOREIGN = {
    "of a derived class": lambda: Shifted(7, 7, activation=torch.sin, omega=2.0),
    "of PyTorch": lambda: torch.nn.Sequential(torch.nn.Linear(7, 7), torch.nn.Tanh()),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_layer_of_another_kind(name):
    model, x = problem("SIREN")
    model.layers[1] = FOREIGN[name]().double()
    expected = x
    for layer in model.layers:
        expected = layer(expected)
    assert_close([model(x)], [expected])


def test_autocast():
    torch.manual_seed(0)
    model, x = SIREN(2, 1, width=64, hidden_layers=2), torch.rand(256, 2)
    exact = first(model, x)
    with torch.autocast("cpu", torch.bfloat16):
        y = model(x)
    rough = torch.autograd.grad(y.float().sin().sum(), list(model.parameters()))
    for a, b in zip(rough, exact[2:], strict=True):
        assert (a - b).norm() < 0.3 * b.norm()


@pytest.mark.parametrize("name", MODELS)
def test_a_single_point(name):
    model, x = problem(name)
    expected = first(model, x[:1])
    y, to_x, *gradients = first(model, x[0])
    assert_close([y[None], to_x[None], *gradients], expected)


# compiled activations


def at_zero_too(activation):
    """A layer and its output, with coordinates of which one makes all arguments zero."""
    torch.manual_seed(0)
    model = MLP(2, 1, width=16, hidden_layers=1, activation=activation)
    torch.nn.init.uniform_(model.layers[0].weight, -3, 3)
    torch.nn.init.zeros_(model.layers[0].bias)
    return model, torch.cat([torch.zeros(1, 2), 2 * torch.rand(32, 2) - 1])


COMPILED = {
    "SIREN": torch.sin,
    "SPDER": DampedSine(sqrt_abs),
    "SPDER log": DampedSine(log_abs),
    "FINER": finer,
    "Gauss": Gaussian(2.0),
    "MLP": torch.tanh,
    "MLP, no Taylor rule": functional.gelu,
    "own": lambda u: torch.where(u > 0, u, torch.sin(u) * u),
}


@compiler
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_activations(name):
    model, x = at_zero_too(COMPILED[name])
    with one_by_one():
        expected = first(model, x)
    arithmetic = Arithmetic(compiled=True)
    with computing(arithmetic):
        results = first(model, x)
    assert all(arithmetic.kernels.values())
    assert arithmetic.kernels or name == "SIREN"  # whose sine is as fast as it stands
    assert all(torch.isfinite(result).all() for result in results)
    assert_close(results, expected, 1e-6)


@compiler
@pytest.mark.parametrize("case", CASES)
def test_compiled_in_every_shape(case):
    model, x = problem("MLP tanh", case, torch.float32)
    with one_by_one():
        expected = first(model, x)
    arithmetic = Arithmetic(compiled=True)
    with computing(arithmetic):
        assert_close(first(model, x), expected, 1e-5)
    assert arithmetic.kernels and all(arithmetic.kernels.values())


@compiler
def test_each_activation_has_a_kernel_of_its_own():
    arithmetic = Arithmetic(compiled=True)
    for scale in (1.0, 3.0):
        model, x = at_zero_too(Gaussian(scale))
        with one_by_one():
            expected = first(model, x)
        with computing(arithmetic):
            assert_close(first(model, x), expected, 1e-6)
    assert len(arithmetic.kernels) == 2


def test_without_a_compiler_activations_stay_as_they_are(monkeypatch):
    from torch import _inductor

    def fail(*args, **kwargs):
        raise RuntimeError("no compiler here")

    monkeypatch.setattr(_inductor, "compile", fail)
    model, x = at_zero_too(torch.tanh)
    with one_by_one():
        expected = first(model, x)
    with computing(Arithmetic(compiled=True)):
        with pytest.warns(UserWarning, match="not compiled: no compiler here"):
            results = first(model, x)
        again = first(model, x)  # without another warning
    assert_close(results, expected, 1e-6)
    assert_close(again, expected, 1e-6)


# half precision


class Rounding(TorchDispatchMode):
    """A processor that rounds the factors of products where the flag says so; many ignore it.

    Keeps terms, columns and rounding of every matrix product that runs.
    """

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if operation._schema.name in ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm"):
            precision = mkldnn.matmul.fp32_precision
            self.found.add((*args[-1].shape[-2:], precision))
            if precision == "bf16":
                args = (*args[:-2], *(factor.bfloat16().float() for factor in args[-2:]))
        return operation(*args, **(kwargs or {}))


def test_products_with_coordinates_are_exempt_from_rounding():
    torch.manual_seed(0)
    model, x = SIREN(2, 1, width=64, hidden_layers=2), torch.rand(512, 2)
    with computing(Arithmetic(precision="bf16")), Rounding() as rounding:
        first(model, x)
    with_coordinates = {found for found in rounding.found if 2 in found}
    assert with_coordinates == {(2, 64, "ieee"), (64, 2, "ieee"), (512, 2, "ieee")}
    assert {(64, 64, "bf16"), (512, 64, "bf16")} <= rounding.found


@pytest.mark.parametrize("is_fused", [True, False])
def test_half_precision_rounds_a_little(is_fused):
    torch.manual_seed(0)
    model, x = SIREN(2, 8, width=64, hidden_layers=2), 2 * torch.rand(2000, 2) - 1
    exact = first(model, x)
    with computing(Arithmetic(is_fused, precision="bf16")):
        own = first(model, x)  # this processor may round, or not
        with Rounding():
            rough = first(model, x)
    for results in (own, rough):
        errors = [(a - b).norm() / b.norm() for a, b in zip(results, exact, strict=True)]
        assert max(errors) < 0.03
    assert errors[0] > 1e-4  # 1e-7 is all that single precision could do


def one_layer(is_fused):
    """Values and gradients with and without half precision of a layer that takes coordinates."""
    torch.manual_seed(0)
    model, x = SIREN(2, 64, hidden_layers=0), 2 * torch.rand(2000, 2) - 1
    exact = first(model, x)
    with computing(Arithmetic(is_fused, precision="bf16")), Rounding():
        return first(model, x), exact


@pytest.mark.parametrize("is_fused", [True, False])
def test_coordinates_are_not_rounded(is_fused):
    rough, exact = one_layer(is_fused)
    assert_close(rough[:1], exact[:1], 1e-6)


def test_coordinates_are_not_rounded_in_the_gradients():
    rough, exact = one_layer(is_fused=True)
    assert_close(rough[2:], exact[2:], 1e-5)


def flags():
    return cuda.matmul.fp32_precision, mkldnn.matmul.fp32_precision


@pytest.mark.parametrize(
    "outer,precision", [("bf16", "float32"), ("float32", "tf32"), ("float32", "bf16")]
)
def test_the_flags_of_the_backends_are_restored(outer, precision):
    model, x = problem("SIREN", dtype=torch.float32)
    with computing(Arithmetic(precision=outer)):
        before = flags()
        with computing(Arithmetic(precision=precision)):
            inside = flags()
            first(model, x)
            with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
                model(torch.zeros(5, 4))  # in the first product, which is exempt from rounding
            assert flags() == inside != before
        assert flags() == before
        with pytest.raises(ZeroDivisionError), computing(Arithmetic(precision=precision)):
            assert 1 / 0
        assert flags() == before and is_chain(model(x))


# Triton's kernels


@pytest.fixture
def triton(monkeypatch):
    """The chain with kernels: compiled on a CUDA device, elsewhere run by Triton's interpreter."""
    pytest.importorskip("triton", reason="Triton is not installed")
    if not torch.cuda.is_available():
        monkeypatch.setenv("TRITON_INTERPRET", "1")  # is read while kernels are defined
    spec = find_spec("inrkit.fields.kernels")
    kernels = module_from_spec(spec)
    spec.loader.exec_module(kernels)
    monkeypatch.setattr(fused, "kernels", kernels)
    return "cuda" if torch.cuda.is_available() else "cpu"


WITH_KERNELS = ["SIREN", "FINER", "SPDER sqrt_abs", "SPDER log_abs", "SPDER one"]


def on_the_kernels(monkeypatch, name, case, device):
    """A model in single precision, and a list of the kernels' calls."""
    model, x = problem(name, case, torch.float32)
    calls = []
    for way in ("forward", "backward"):
        function = getattr(fused.kernels, way)
        count = partial(lambda f, *args: calls.append(f.__name__) or f(*args), function)
        monkeypatch.setattr(fused.kernels, way, count)
    return model.to(device), x.to(device), calls


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", WITH_KERNELS)
def test_kernels(triton, monkeypatch, name, case):
    model, x, calls = on_the_kernels(monkeypatch, name, case, triton)
    results = first(model, x)
    assert calls == ["forward"] * 2 + ["backward"] * 2
    with one_by_one():
        expected = first(model.double(), x.double())
    assert_close(results, expected, 1e-4)


def test_second_derivatives_beside_kernels(triton, monkeypatch):
    model, x, calls = on_the_kernels(monkeypatch, "SIREN", "single", triton)
    results = second(model, x)
    assert calls[:2] == ["forward"] * 2
    with one_by_one():
        expected = second(model.double(), x.double())
    assert_close(results, expected, 1e-4)


def test_batched_gradients_through_kernels(triton, monkeypatch):
    model, x, calls = on_the_kernels(monkeypatch, "SIREN", "single", triton)
    x.requires_grad_()
    directions = torch.rand(4, 11, 3, device=triton)
    (batched,) = torch.autograd.grad(model(x), x, directions, is_grads_batched=True)
    assert calls[:2] == ["forward"] * 2
    with one_by_one():
        expected = [torch.autograd.grad(model(x), x, g)[0] for g in directions]
    assert_close([batched], [torch.stack(expected)], 1e-4)
