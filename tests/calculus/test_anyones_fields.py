"""Fields as people write them, against autograd at each point alone, in double precision."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from inrkit.calculus import (
    Jet,
    gradient,
    guard,
    hessian,
    hessian_trace,
    laplacian,
    partials,
    second_order,
)
from inrkit.calculus.jet import RULES
from inrkit.fields import MLP, SPDER, log_abs, sqrt_abs, sqrt_relu, stack

torch.manual_seed(0)
W = torch.randn(2, 6, dtype=torch.float64)
V = torch.randn(6, 3, dtype=torch.float64)
B = torch.randn(6, dtype=torch.float64)


def dense(*widths, between=nn.Tanh):
    torch.manual_seed(len(widths))
    layers = []
    for i, o in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(i, o), between()]
    return nn.Sequential(*layers[:-1]).double()


class Net(nn.Module):
    """A hidden layer, something, a second one."""

    def __init__(self, between, width=6):
        super().__init__()
        torch.manual_seed(1)
        self.first, self.last = nn.Linear(2, width).double(), nn.Linear(width, 2).double()
        self.between = between.double() if isinstance(between, nn.Module) else between

    def forward(self, x):
        return self.last(self.between(self.first(x)))


class Cube(torch.autograd.Function):
    """x^3 with half of its slope."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 1.5 * x**2 * grad


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, grad):
        return -grad


def inplace(name, *args, **kwargs):
    """A hidden layer changed in place, as a statement."""

    def change(h):
        h = torch.sin(h)
        getattr(h, name)(*args, **kwargs)
        return h

    return change


def statement(change):
    def between(h):
        h = torch.sin(h)
        change(h)
        return h

    return between


def residual(h):
    """A rectifier in place below a residual."""
    g = h * 2
    y = nn.ReLU(inplace=True)(g)
    return y + torch.sin(g)


def safe_sinc(x):
    zero = x == 0
    return torch.where(zero, torch.ones_like(x), torch.sin(x) / torch.where(zero, 1.0, x))


def item_assignment(h):
    out = torch.sin(h)
    out[..., 0] = h[..., 1] ** 2
    return out


def into_a_buffer(x):
    out = torch.zeros(*x.shape[:-1], 3, dtype=x.dtype)
    out[..., 0] = torch.sin(x[..., 0])
    out[..., 1:] = x**2
    return out


def of_a_view(h):
    h = torch.sin(h)
    view = h[..., :3]
    view *= 2
    return h


def constant_scale(x):
    with torch.no_grad():
        scale = x.abs() + 1
    return torch.sin(scale * x)


def partly_frozen(h):
    with torch.no_grad():
        gate = torch.sigmoid(h)
    return gate * torch.sin(h) + h.detach() * h


def branches(h):
    if isinstance(h, torch.Tensor) and torch.is_tensor(h) and h.requires_grad:
        return torch.sin(h)
    return h * 0


def loops(x):
    return torch.stack([torch.stack([row[0] * row[1], row.sum()]) for row in x])


def by_columns(x):
    a, b = x.unbind(-1)
    return torch.stack((a * b, a - b**2), dim=-1)


def advanced(x):
    h = (x.unsqueeze(-1) * torch.arange(1, 4, dtype=x.dtype)).unsqueeze(-2)  # (n, 2, 1, 3)
    return torch.sin(h)[:, [0, 1, 1], :, [0, 2, 1]].movedim(0, 1).flatten(1)  # separated indices


def attention(h):
    q = h.unflatten(-1, (3, 2))
    return functional.scaled_dot_product_attention(torch.sin(q), q, q).flatten(-2)


def quarter_turns(h):
    return torch.fft.fft(torch.sin(h)).abs()


def wavelet(x):
    z = torch.exp(1j * 3 * x - (x * 2) ** 2)
    return torch.cat([z.real, z.imag, (z * z.conj()).real], -1)


def spherical(x):
    r = x.norm(dim=-1, keepdim=True)
    return torch.cat([r, x / r, torch.atan2(x[..., 1:], x[..., :1])], -1)


def blob(x):
    return torch.maximum(1 - x.norm(dim=-1, keepdim=True), 0.3 * x[..., :1])


def scan(h):
    return torch.cumsum(torch.sin(h), dim=-1)


def hashed(x):
    cell = (x * 4).floor().long()
    table = torch.linspace(-1, 1, 64, dtype=x.dtype)
    t = x * 4 - torch.floor(x * 4)
    corner = lambda dx, dy: table[(cell[..., 0] + dx + 5 * (cell[..., 1] + dy)) % 64]  # noqa: E731
    u, v = t[..., 0], t[..., 1]
    value = corner(0, 0) * (1 - u) * (1 - v) + corner(1, 0) * u * (1 - v)
    return (value + corner(0, 1) * (1 - u) * v + corner(1, 1) * u * v).unsqueeze(-1)


def sampled(x):
    picture = torch.linspace(-1, 1, 25, dtype=x.dtype).reshape(1, 1, 5, 5) ** 2
    return functional.grid_sample(picture, x.view(1, 1, -1, 2), align_corners=True)[0, 0].mT


def gru(x):
    torch.manual_seed(3)
    cell = nn.GRU(1, 3, batch_first=True).double()
    return cell(x.unsqueeze(-1))[0].flatten(-2)


def attentive(x):
    torch.manual_seed(3)
    layer = nn.MultiheadAttention(4, 2, batch_first=True).double()
    h = x.unsqueeze(-1) * torch.arange(1, 5, dtype=x.dtype)
    return layer(h, h, h)[0].flatten(-2)


def encoder(x):
    torch.manual_seed(3)
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True).double()
    h = x.unsqueeze(-1) * torch.arange(1, 5, dtype=x.dtype)
    return layer(h).flatten(-2)


def convolved(h):
    kernel = torch.tensor([[[1.0, -2.0, 0.5]]], dtype=h.dtype)
    return functional.conv1d(torch.sin(h).unsqueeze(1), kernel, padding=1).squeeze(1)


def kinds_of_maximum(h):
    return h * torch.cat([h.max(-1, keepdim=True).values, h.min(dim=-1)[0].unsqueeze(-1)] * 3, -1)


weight_normed = partial(nn.utils.parametrizations.weight_norm, nn.Linear(6, 6).double())
BETWEEN = {  # what stands between two layers
    "tanh": nn.Tanh(),
    "gelu": nn.GELU(),
    "gelu, tanh": nn.GELU("tanh"),
    "silu": nn.SiLU(),
    "mish": nn.Mish(),
    "elu in place": nn.ELU(inplace=True),
    "celu": nn.CELU(),
    "softplus": nn.Softplus(3.0),
    "softsign": nn.Softsign(),
    "leaky": nn.LeakyReLU(0.1),
    "relu in place": nn.ReLU(inplace=True),
    "relu6": nn.ReLU6(),
    "hardtanh": nn.Hardtanh(-0.5, 0.4),
    "prelu": nn.PReLU(),
    "logsigmoid": nn.LogSigmoid(),
    "tanhshrink": nn.Tanhshrink(),
    "softmax": nn.Softmax(-1),
    "log softmax": nn.LogSoftmax(-1),
    "layer norm": nn.LayerNorm(6),
    "rms norm": nn.RMSNorm(6),
    "group norm": nn.GroupNorm(2, 6),
    "batch norm in eval": nn.BatchNorm1d(6).eval(),
    "dropout in eval": nn.Dropout(0.5).eval(),
    "identity": nn.Identity(),
    "glu": lambda h: functional.glu(torch.cat([h, torch.sin(h)], -1)),
    "normalized": lambda h: functional.normalize(h, dim=-1),
    "cosine similarity": lambda h: functional.cosine_similarity(h, B, dim=-1)[..., None] * h,
    "relu_": statement(torch.relu_),
    "F.relu in place": statement(partial(functional.relu, inplace=True)),
    "F.relu in place, by position": statement(lambda h: functional.relu(h, True)),
    "F.silu in place": statement(partial(functional.silu, inplace=True)),
    "sin_": inplace("sin_"),
    "mul_": inplace("mul_", 3.0),
    "add_ a tensor": inplace("add_", B),
    "clamp_": inplace("clamp_", -0.3, 0.3),
    "pow_": inplace("pow_", 2),
    "neg_": inplace("neg_"),
    "exp_": inplace("exp_"),
    "masked_fill_": lambda h: torch.sin(h).masked_fill_(h > 0, 2.0),
    "zero_": lambda h: h + torch.sin(h).zero_(),
    "copy_": lambda h: torch.sin(h).copy_(h**2),
    "t_": lambda h: torch.sin(h).t_().t(),
    "unsqueeze_": lambda h: torch.sin(h).unsqueeze_(0)[0],
    "residual in place": residual,
    "assignment": item_assignment,
    "a view in place": of_a_view,
    "partly frozen": partly_frozen,
    "isinstance": branches,
    "attention's kernel": attention,
    "conv1d": convolved,
    "cumsum": scan,
    "max, min": kinds_of_maximum,
    "fft": quarter_turns,
    "einsum": lambda h: torch.einsum("ni,ij->nj", torch.sin(h), V @ V.T),
    "einsum of two": lambda h: torch.einsum("ni,nj->nij", h, torch.sin(h))[:, :2, :3].flatten(1),
    "bilinear": lambda h: functional.bilinear(h, torch.sin(h), torch.ones(6, 6, 6).double()),
    "chunks": lambda h: torch.cat([h.chunk(2, -1)[1], torch.sin(h).split(3, dim=-1)[0]], -1),
    "sorted": lambda h: torch.sort(h, -1).values * h,
    "top": lambda h: h * torch.topk(h, 2, dim=-1).values.sum(-1, keepdim=True),
    "gather": lambda h: torch.gather(torch.sin(h), -1, torch.zeros(len(h), 6, dtype=torch.int64)),
    "logsumexp": lambda h: h + torch.logsumexp(h, -1, keepdim=True),
    "std": lambda h: h / h.std(-1, keepdim=True),
    "var": lambda h: h * h.var(-1, keepdim=True),
    "conv1d with a bias": nn.Sequential(nn.Unflatten(-1, (1, 6)), nn.Conv1d(1, 1, 1), nn.Flatten()),
    "checkpoint": lambda h: checkpoint(torch.sin, h, use_reentrant=False),
    "own function": Cube.apply,
    "own function, identity": lambda h: Reversed.apply(torch.sin(h)) + h**2,
    "hypot": lambda h: torch.hypot(h, 1 + h**2),
    "erf": lambda h: torch.erf(h) + torch.special.expit(h) + torch.tan(0.3 * h),
    "sinh": lambda h: torch.sinh(h) / torch.cosh(h) + torch.asinh(h) + torch.special.i0(h),
    "rsqrt": lambda h: torch.rsqrt(1 + h**2) + (1 + h**2).log2() + torch.expm1(h),
    "lerp": lambda h: torch.lerp(h, torch.sin(h), 0.3) + torch.addcmul(h, h, B, value=2),
    "autocast off": lambda h: torch.sin(h).type(torch.float64),
    "weight norm": weight_normed(),
    "spectral norm": nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6).double()).eval(),
    "sequential": nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 6)),
    "nested lambda": lambda h: (lambda g: g * h)(torch.sin(h)),
    "vmap": lambda h: torch.vmap(lambda row: torch.sin(row) * row.sum())(h),
}
METHODS = {  # what people do with coordinates
    "x.clamp": lambda x: x.clamp(-0.4, 0.4) ** 2,
    "x.clamp(min)": lambda x: x.clamp(min=0.1) ** 2,
    "x.to": lambda x: torch.sin(x.to(torch.float64)),
    "x.to a device": lambda x: torch.sin(x.to("cpu")),
    "x.float": lambda x: torch.sin(x.double()) * x,
    "x.clone": lambda x: x.clone() * x,
    "x.T": lambda x: (x.T * torch.arange(1, 3, dtype=x.dtype)[:, None]).T ** 2,
    "x.mT": lambda x: torch.sin(x.mT).mT,
    "x.t": lambda x: torch.sin(x.t()).t(),
    "x.permute": lambda x: torch.sin(x.permute(1, 0)).permute(1, 0),
    "x.chunk": lambda x: torch.cat(x.chunk(2, dim=-1)[::-1], -1) * x,
    "x.split": lambda x: x.split(1, dim=-1)[0] * x,
    "x.norm": lambda x: x.norm(dim=-1, keepdim=True),
    "x.norm of one": lambda x: x.norm(p=1, dim=-1, keepdim=True) * x,
    "x.max": lambda x: x.max(dim=-1, keepdim=True)[0] * x,
    "x.repeat": lambda x: torch.sin(x.repeat(1, 3) * W[0]),
    "x.dim": lambda x: x ** x.dim(),
    "x.size": lambda x: x.reshape(x.size(0), x.size(-1)) ** 3 / x.shape[1] / len(x.shape),
    "W @ x": lambda x: (W.T @ x.T).T ** 2,
    "W @ x, by point": lambda x: (W.T @ x.unsqueeze(-1)).squeeze(-1) ** 2,
    "x @ v": lambda x: torch.sin(x @ W[:, 0]).unsqueeze(-1),
    "mv": lambda x: torch.mv(torch.sin(x), W[:, 1]).unsqueeze(-1),
    "outer products": lambda x: (x.unsqueeze(-1) @ x.unsqueeze(-2)).flatten(1),
    "2**x": lambda x: 2**x,
    "tensor**x": lambda x: torch.tensor([2.0, 3.0]).double() ** x,
    "x**x": lambda x: (x + 2) ** x,
    "x**tensor": lambda x: x ** torch.tensor([2.0, 3.0]).double(),
    "x**0.5": lambda x: (x + 2) ** 0.5 * (x + 2).pow(-1.5),
    "x % 1": lambda x: (x % 0.7) ** 2 + torch.fmod(x, 0.3) + torch.remainder(x, 0.9),
    "x % y": lambda x: (x + 2) % torch.tensor([0.3, 0.7]).double(),
    "x == 0": lambda x: torch.where(x == 0, 1.0, x**3),
    "x != 0": lambda x: (x != 0) * x**2,
    "safe sinc": safe_sinc,
    "torch.sinc": lambda x: torch.sinc(x),
    "x > y": lambda x: torch.where(x[..., :1] > x[..., 1:], x**2, torch.sin(x)),
    "assignment into a buffer": into_a_buffer,
    "+=": lambda x: exec_statement(x),
    "NumPy scalars": lambda x: np.float64(2.0) * torch.sin(x * np.float32(3)) / np.float64(3),
    "NumPy pi": lambda x: np.pi * x + np.sin(0.3) * x**2,
    "NumPy array": lambda x: torch.sin(x) * torch.as_tensor(np.array([1.0, 2.0])),
    "constant scale": constant_scale,
    "loops": loops,
    "unbind": by_columns,
    "stack": lambda x: torch.stack([x, x**2, torch.sin(x)], dim=1).flatten(1),
    "stack with a constant": lambda x: torch.stack([x, torch.ones_like(x)], -1).prod(-1) * x,
    "hstack": lambda x: torch.hstack([x, x**2]),
    "column_stack": lambda x: torch.column_stack([x, x[:, 0] ** 2]),
    "advanced indices": advanced,
    "masks": lambda x: torch.where(x > 0, x, 0.1 * x) * (x > 0).double() + x.sign() * x,
    "complex": wavelet,
    "polar": lambda x: torch.view_as_real(torch.polar(x[..., 0] + 3, x[..., 1])),
    "radius, angle": spherical,
    "union": blob,
    "multilinear cells": hashed,
    "grid_sample": sampled,
    "GRU": gru,
    "attention": attentive,
    "encoder layer": encoder,
    "constant": lambda x: torch.full((len(x), 2), 3.0, dtype=x.dtype),
    "constant, expanded": lambda x: torch.zeros(1, 1, dtype=x.dtype).expand(len(x), 1),
    "one coordinate": lambda x: torch.sin(x[:, :1]),
    "bare": torch.sin,
    "identity": lambda x: x,
    "polynomial": lambda x: x[..., :1] ** 3 * x[..., 1:] - 2 * x[..., 1:] ** 2,
    "pieces": lambda x: torch.cat([torch.sin(x), torch.zeros_like(x), x.new_ones(len(x), 1)], -1),
    "floor": lambda x: torch.sin(x - x.floor()) + x.round() * x,
    "masked_fill": lambda x: (x**2).masked_fill(x > 0.3, 0.0),
    "sum of all axes but points": lambda x: (x[:, :, None] * x[:, None]).sum((1, 2))[:, None],
    "item": lambda x: x * x.detach().abs().max().clamp(min=1, max=1).item(),
    "cross": lambda x: (
        torch.linalg.cross(
            functional.pad(x, (0, 1)), torch.tensor([1.0, 2.0, 3.0]).double().expand(len(x), 3)
        )
        ** 2
    ),
    "pad": lambda x: functional.pad(torch.sin(x), (1, 1), value=2.0) ** 2,
    "roll, flip": lambda x: x.roll(1, -1) * x.flip(-1) * x,
    "nan_to_num": lambda x: torch.nan_to_num(torch.sin(x)),
    "squares": lambda x: torch.square(x).sqrt() * torch.reciprocal(x + 3),
    "log": lambda x: torch.log(x + 2) + torch.log1p(x + 1) + torch.logaddexp(x, 2 * x),
    "inverse sines": lambda x: torch.asin(0.5 * x) + torch.acos(0.3 * x) + torch.arctan(x),
    "matrix exponential": lambda x: torch.linalg.matrix_exp(
        x[:, None, :] * torch.ones(2, 2).double()
    ).flatten(1),
    "solve": lambda x: torch.linalg.solve(
        torch.eye(2).double() + 0.1 * x[:, :, None] * x[:, None], x
    ),
    "addmm": lambda x: torch.addmm(B, torch.sin(x), W),
    "linear in both": lambda x: functional.linear(torch.sin(x), W.T, B) ** 2,
    "interpolated": lambda x: torch.nn.functional.interpolate(x[:, None], size=4)[:, 0] ** 2,
    "dict inside": lambda x: {"y": torch.sin(x)}["y"],
}


def exec_statement(x):
    y = x * 2
    y += x**2
    y -= 1
    y *= 3
    y /= 3
    return y


FIELDS = {**METHODS, **{f"between: {k}": Net(v) for k, v in BETWEEN.items()}}
FIELDS["traced"] = torch.jit.trace(dense(2, 6, 2), torch.rand(3, 2).double(), check_trace=False)
FIELDS["scripted"] = torch.jit.script(dense(2, 6, 2))
FIELDS["traced inside"] = Net(torch.jit.trace(dense(6, 5, 6), torch.rand(3, 6).double()))
FIELDS["bound method"] = Net(torch.sin).forward
FIELDS["partial"] = partial(functional.linear, weight=W.T)


@sdpa_kernel(SDPBackend.MATH)  # the others have no second derivatives
def at_each_point(field, x):
    """Values, gradients and Hessians, one point, one channel at a time."""
    values, slopes, bends = [], [], []
    for point in x:
        p = point.clone().requires_grad_()
        value = field((p * 1.0)[None])[0]
        rows, blocks = [], []
        for v in value:
            first = grad(v, p)
            rows.append(first)
            blocks.append(torch.stack([grad(s, p) for s in first]))
        values.append(value.detach())
        slopes.append(torch.stack(rows).detach())
        bends.append(torch.stack(blocks).detach())
    return tuple(map(torch.stack, (values, slopes, bends)))


def grad(y, x):
    if not y.requires_grad:
        return torch.zeros_like(x)
    (slope,) = torch.autograd.grad(y, x, create_graph=True, allow_unused=True)
    return torch.zeros_like(x) if slope is None else slope


@pytest.mark.parametrize("graph", [True, False], ids=["gradients on", "off"])
@pytest.mark.parametrize("name", FIELDS)
def test_every_operator_is_autograd_at_each_point(name, graph):
    field = FIELDS[name]
    torch.manual_seed(7)
    x = 2 * torch.rand(5, 2, dtype=torch.float64) - 1
    values, slopes, bends = at_each_point(field, x)
    pure = bends.diagonal(dim1=-2, dim2=-1)
    with torch.set_grad_enabled(graph), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            "gradient": (gradient(field, x), (values, slopes)),
            "hessian": ((hessian(field, x),), (bends,)),
            "laplacian": ((laplacian(field, x),), (pure.sum(-1),)),
            "second order": (second_order(field, x), (values, slopes, pure)),
            "values": ((partials(field, x, 0).values[0],), (values,)),
        }
    for operator, (ours, theirs) in found.items():
        for a, b in zip(ours, theirs, strict=True):
            assert a.shape == b.shape, operator
            assert torch.allclose(a, b, rtol=1e-8, atol=1e-8), (operator, (a - b).abs().max())
            assert graph or not a.requires_grad


def test_no_rule_is_wrong_and_saved_by_the_check():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for field in FIELDS.values():
            laplacian(field, torch.rand(5, 2, dtype=torch.float64) - 0.5)
    assert not [w for w in caught if "disagree" in str(w.message)]


def test_a_wrong_rule_is_noticed_and_gone_around(monkeypatch):
    monkeypatch.setitem(RULES, torch.sin, lambda jet: Jet(jet.coefficients * 1.5, jet.truncation))
    monkeypatch.setattr(guard, "_verdicts", {})
    x = torch.rand(6, 2, dtype=torch.float64)
    for _ in range(2):  # the second time it is known
        with pytest.warns(UserWarning, match="disagree with autograd"):
            found = laplacian(lambda x: torch.sin(2 * x), x)
        assert torch.allclose(found, -4 * torch.sin(2 * x))


@pytest.mark.parametrize("operator", [gradient, laplacian, hessian, second_order])
@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        (lambda x: x.sum(-1), r"maps coordinates \(\*signals, n, d\) to values"),
        (lambda x: (torch.sin(x), x), "one tensor .* not <class 'tuple'>; take lambda"),
        (lambda x: {"y": x}, "one tensor .* not <class 'dict'>"),
        (lambda x: torch.sin(x).T, "maps coordinates"),
        (lambda x: torch.sin(x.detach()), "no gradient leads back"),
        (lambda x: torch.sin(x.clone().detach().requires_grad_()), "no gradient leads back"),
        (torch.no_grad()(lambda x: torch.sin(x)), "no gradient leads back"),
        (lambda x: x - x.mean(0), "mixes points"),
        (lambda x: torch.softmax(x, 0), "mixes points"),
        (nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)), "mixes points"),
    ],
)
def test_what_has_no_derivatives_is_refused(operator, graph, field, sentence):
    field = field.double() if isinstance(field, nn.Module) else field
    with (
        torch.set_grad_enabled(graph),
        warnings.catch_warnings(),
        pytest.raises((TypeError, ValueError), match=sentence),
    ):
        warnings.simplefilter("ignore")
        operator(field, torch.rand(9, 2, dtype=torch.float64))


def needs_nine(x):
    return (x.view(3, 3, 2).cumsum(0) ** 2).view(9, 2)


@pytest.mark.parametrize("operator", [gradient, laplacian, hessian, second_order])
@pytest.mark.parametrize(
    "mixing",
    [
        lambda x: torch.sin(x) + 0.02 * torch.sin(x - x.mean(0)),
        lambda x: torch.sin(x - x.mean(0)) * (1 + torch.rand(2).double()),
        needs_nine,
    ],
)
def test_mixing_is_refused_be_it_weak_random_or_at_all_points_alone(operator, mixing):
    with warnings.catch_warnings(), pytest.raises(ValueError, match="mixes points"):
        warnings.simplefilter("ignore")
        operator(mixing, torch.rand(9, 2, dtype=torch.float64))


@pytest.mark.parametrize("operator", [gradient, laplacian, hessian, second_order])
def test_one_point_settles_nothing(operator):
    def field(x):
        return (x - x.mean(0)) ** 2

    normal = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        operator(field, torch.rand(1, 2, dtype=torch.float64))
        with pytest.raises(ValueError, match="more than 1 value"):
            operator(normal, torch.rand(1, 2, dtype=torch.float64))
        for mixing in (field, normal):
            with pytest.raises(ValueError, match="mixes points"):
                operator(mixing, torch.rand(9, 2, dtype=torch.float64))


@pytest.mark.parametrize("graph", [True, False])
def test_no_points_have_no_derivatives(graph):
    with torch.set_grad_enabled(graph):
        value, slopes = gradient(Net(torch.sin), torch.zeros(0, 2, dtype=torch.float64))
        bends = hessian(Net(torch.sin), torch.zeros(0, 2, dtype=torch.float64))
    assert (value.shape, slopes.shape, bends.shape) == ((0, 2), (0, 2, 2), (0, 2, 2, 2))


def test_a_random_field_is_compared_as_well(monkeypatch):
    monkeypatch.setitem(RULES, torch.sin, lambda jet: Jet(jet.coefficients * 1.5, jet.truncation))
    monkeypatch.setattr(guard, "_verdicts", {})
    x = torch.rand(6, 2, dtype=torch.float64)
    with pytest.warns(UserWarning, match="disagree with autograd"):
        found = laplacian(lambda x: torch.sin(2 * x) + torch.rand(2).double(), x)
    assert torch.allclose(found, -4 * torch.sin(2 * x))


def test_a_check_leaves_graphs_that_hold_buffers_alone():
    field = Net(nn.Identity())
    field.register_buffer("frequencies", torch.rand(2, 2, dtype=torch.float64))
    field.first.register_forward_pre_hook(lambda layer, given: (given[0] @ field.frequencies,))
    x = torch.rand(5, 2, dtype=torch.float64, requires_grad=True)
    value = field(x)
    (laplacian(field, x).sum() + value.sum()).backward()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("operator", [gradient, laplacian, hessian, second_order])
@pytest.mark.parametrize("graph", [True, False])
def test_coordinates_are_not_changed_by_a_field_that_changes_its_own(operator, graph):
    def field(x):
        x *= 2
        return torch.sin(x)

    x = torch.rand(5, 2, dtype=torch.float64)
    before = x.clone()
    with torch.set_grad_enabled(graph):
        found = operator(field, x)
    expected = operator(lambda x: torch.sin(2 * x), x)
    found, expected = (r if isinstance(r, tuple) else (r,) for r in (found, expected))
    assert all(map(torch.allclose, found, expected))
    assert torch.equal(x, before)


@pytest.mark.parametrize("operator", [laplacian, second_order])
def test_training_through_checkpoints_and_autocast(operator):
    """Back-propagation recomputes what a checkpoint left out, and casts back what was cast."""
    x = torch.rand(6, 2)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer, last = nn.Linear(2, 8), nn.Linear(8, 1)

    def plain(x):
        return last(torch.sin(layer(x)))

    def saving(x):
        return last(checkpoint(lambda x: torch.sin(layer(x)), x, use_reentrant=False))

    def casting(x):
        with torch.autocast("cpu", torch.bfloat16):
            return plain(x).float()

    grads = [
        torch.autograd.grad(operator(field, x)[-1].square().sum(), layer.weight)[0]
        for field in (plain, saving, casting)
    ]
    assert torch.allclose(grads[0], grads[1])
    assert torch.allclose(grads[0], grads[2], rtol=0.1, atol=0.1 * float(grads[0].abs().max()))


@pytest.mark.parametrize("operator", [gradient, laplacian, hessian])
def test_compiled_modules_run_as_written(operator):
    """A compiled backward pass has no second derivatives."""
    field, x = Net(torch.sin), torch.rand(5, 2, dtype=torch.float64)
    expected, found = operator(field, x), operator(torch.compile(field, backend="aot_eager"), x)
    assert torch.allclose(expected[-1], found[-1])


def test_gradients_within_function_transforms():
    field, x = Net(torch.sin), torch.rand(5, 2, dtype=torch.float64)
    found = torch.vmap(lambda point: gradient(field, point[None])[1][0])(x)
    assert torch.allclose(found, gradient(field, x)[1])


@pytest.mark.parametrize("order", [-1, 1.5, "2"])
def test_orders_are_whole_numbers(order):
    with pytest.raises(ValueError, match="whole number, 0 or more"):
        partials(torch.sin, torch.rand(3, 2), order)


def test_weights_that_would_lose_their_gradient_are_refused():
    speed = torch.tensor(2.0, requires_grad=True)
    with pytest.raises(ValueError, match="fixed numbers"):
        hessian_trace(torch.sin, torch.rand(3, 2), [1.0, -(speed**2)])


def test_a_check_leaves_buffers_and_random_numbers_alone():
    field = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).double()
    before = field[1].running_mean.clone(), field[1].num_batches_tracked.clone()
    state = torch.random.get_rng_state()
    with pytest.raises(ValueError, match="mixes points"):
        gradient(field, torch.rand(5, 2, dtype=torch.float64).fill_(0.5).cumsum(0))
    assert torch.equal(field[1].running_mean, before[0])
    assert torch.equal(field[1].num_batches_tracked, before[1])
    torch.random.set_rng_state(state)
    laplacian(lambda x: torch.sin(x) + torch.randn_like(x), torch.ones(5, 2))
    drawn = torch.rand(1)
    torch.random.set_rng_state(state)
    torch.randn(5, 2)
    assert torch.equal(drawn, torch.rand(1))


@pytest.mark.parametrize(
    "coords",
    [
        torch.arange(6).reshape(3, 2),
        torch.rand(3),
        [[0.0, 1.0]],
        torch.rand(3, 0),
        torch.eye(2).to_sparse(),
    ],
)
@pytest.mark.parametrize("operator", [gradient, laplacian, hessian, second_order])
def test_coordinates_are_real_numbers(operator, coords):
    with pytest.raises(TypeError, match="a tensor of real numbers"):
        operator(torch.sin, coords)


def test_complex_fields_keep_their_imaginary_part():
    x = torch.rand(5, 2, dtype=torch.float64)

    def field(x):
        return torch.exp(1j * 3 * x)

    for graph in (True, False):
        with torch.set_grad_enabled(graph):
            value, slope = gradient(field, x)
            bends = laplacian(field, x)
        assert torch.allclose(slope.diagonal(dim1=-2, dim2=-1), 3j * value)
        assert torch.allclose(bends, -9 * value)
    w = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    loss = laplacian(lambda x: field(w * x), x).imag.square().sum()
    (ours,) = torch.autograd.grad(loss, w)
    expected = (-9 * w**2 * torch.sin(3 * w * x)).square().sum()
    assert torch.allclose(ours, torch.autograd.grad(expected, w)[0])


class ReleasedFiner(nn.Module):
    """A layer as FINER's released code writes it: the scale is a constant to autograd."""

    def __init__(self, omega=10.0):
        super().__init__()
        torch.manual_seed(5)
        self.layers = nn.ModuleList([nn.Linear(2, 16), nn.Linear(16, 16)]).double()
        self.last, self.omega = nn.Linear(16, 1).double(), omega

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
            with torch.no_grad():
                scale = torch.abs(x) + 1
            x = torch.sin(self.omega * scale * x)
        return self.last(x)


@pytest.mark.parametrize("build", [ReleasedFiner, lambda: Net(Cube.apply), lambda: Net(residual)])
def test_training_on_a_laplacian_is_a_plain_loop_on_the_same_module(build):
    x = 2 * torch.rand(7, 2, dtype=torch.float64) - 1
    losses = []
    for second in (laplacian, plain_laplacian):
        model = build()
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(5):
                optimizer.zero_grad()
                loss = (second(model, x) - 1).square().mean()
                loss.backward()
                optimizer.step()
        losses.append(loss.detach())
    assert torch.allclose(*losses, rtol=1e-8)


def plain_laplacian(model, x):
    x = x.clone().requires_grad_()
    columns = []
    for channel in model(x).unbind(-1):
        (slope,) = torch.autograd.grad(channel.sum(), x, create_graph=True)
        bends = [torch.autograd.grad(slope[:, i].sum(), x, create_graph=True)[0] for i in (0, 1)]
        columns.append(bends[0][:, 0] + bends[1][:, 1])
    return torch.stack(columns, -1)


def test_stacks_fall_back_as_well():
    """Signals that share their coordinates have partials of their own."""
    torch.manual_seed(0)
    networks = [MLP(2, 2, width=5, hidden_layers=1, activation=nn.Mish()).double() for _ in "abc"]
    x = torch.rand(4, 2, dtype=torch.float64)
    with pytest.warns(UserWarning, match="mish"):
        together = laplacian(stack(networks), x)
        alone = torch.stack([laplacian(network, x) for network in networks])
    assert torch.allclose(together, alone)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients(mode):
    x = torch.rand(6, 2, dtype=torch.float64)
    with mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert torch.allclose(laplacian(torch.sin, x), -torch.sin(x))
        assert torch.allclose(laplacian(torch.special.i0, x), nested_i0(x))


def nested_i0(x):
    return torch.special.i0(x) - torch.special.i1(x) / x


@pytest.mark.parametrize("transform", ["jvp", "jacfwd", "hessian", "vmap of grad"])
@pytest.mark.parametrize("damping", [sqrt_abs, log_abs, sqrt_relu, torch.atan])
def test_spder_under_function_transforms(transform, damping):
    torch.manual_seed(0)
    field = SPDER(2, 1, width=6, hidden_layers=2, damping=damping).double()
    points = torch.rand(4, 2, dtype=torch.float64)
    with torch.no_grad():
        _, slopes = gradient(field, points)
        bends = hessian(field, points)

    def value(point):
        return field(point[None])[0, 0]

    for i, point in enumerate(points):
        if transform == "jvp":
            unit = torch.tensor([1.0, 0.0], dtype=torch.float64)
            found, expected = torch.func.jvp(value, (point,), (unit,))[1], slopes[i, 0, 0]
        elif transform == "jacfwd":
            found, expected = torch.func.jacfwd(value)(point), slopes[i, 0]
        elif transform == "hessian":
            found, expected = torch.func.hessian(value)(point), bends[i, 0]
        else:
            found = torch.vmap(torch.func.grad(value))(points)[i]
            expected = slopes[i, 0]
        assert torch.allclose(found, expected)


# --- random programs ---------------------------------------------------------------------------

UNARY = [
    torch.sin, torch.tanh, torch.exp, torch.square, torch.sigmoid, functional.gelu, torch.erf,
    lambda h: h.abs() + 0.1, lambda h: h.clamp(-1, 1), lambda h: h.flip(-1), lambda h: 2 - h,
    lambda h: 1 / (h * h + 1), lambda h: h.softmax(-1), lambda h: h @ (V @ V.T)[:3, :3],
    lambda h: torch.where(h > 0.3, h, h * h), lambda h: h[..., [2, 0, 1]], lambda h: h.sinc(),
    lambda h: h - h.mean(-1, keepdim=True), lambda h: torch.cat([h[..., 1:], h[..., :1] ** 2], -1),
    lambda h: h.clone().mul_(h), lambda h: h.detach() * h, lambda h: torch.cumsum(h, -1),
    lambda h: h.norm(dim=-1, keepdim=True) + h, lambda h: h.max(-1, keepdim=True)[0] * h,
    lambda h: torch.stack(h.unbind(-1)[::-1], -1), lambda h: h % 0.7, lambda h: h.T.cos().T,
]  # fmt: skip
BINARY = [
    torch.add, torch.mul, torch.sub, torch.maximum, torch.hypot, torch.atan2,
    lambda a, b: a / (b * b + 1), lambda a, b: torch.lerp(a, b, 0.3), lambda a, b: a.addcmul(a, b),
    lambda a, b: torch.einsum("ni,nj->nij", a, b).sum(-1), lambda a, b: (a * a + 1) ** b.tanh(),
    lambda a, b: torch.where(a > b, a, b.sin()),
    lambda a, b: (a.unsqueeze(1) @ b.unsqueeze(2))[:, 0] + b,
]  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.booleans()), max_size=6))
def test_random_programs(steps):
    """Chains of operations on a few registers, in float64, values and first two derivatives."""

    def field(x):
        registers = [torch.cat([x, x[..., :1] * x[..., 1:] + 0.2], -1)]
        for which, other, two in steps:
            last = registers[-1]
            if two:
                other = registers[other % len(registers)]
                registers.append(BINARY[which % len(BINARY)](last, other))
            else:
                registers.append(UNARY[which % len(UNARY)](last))
        return registers[-1]

    x = torch.tensor([[0.31, -0.42], [0.77, 0.13], [-0.58, 0.64]], dtype=torch.float64)
    values, slopes, bends = at_each_point(field, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = second_order(field, x)
    expected = (values, slopes, bends.diagonal(dim1=-2, dim2=-1))
    for ours, theirs in zip(found, expected, strict=True):
        known = theirs.isfinite()  # a length has no second derivative at zero
        scale = float(theirs[known].abs().max()) if known.any() else 0
        assert torch.allclose(ours[known], theirs[known], rtol=1e-8, atol=1e-8 * (scale + 1))
