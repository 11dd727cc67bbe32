"""Training steps of every model against a plain loop, other code, and matrix products alone."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from inrkit.fields import (
    FINER,
    MLP,
    RBF,
    SIREN,
    SPDER,
    WIRE,
    FourierFeatures,
    FourierMFN,
    GaborMFN,
    Gauss,
    HashGrid,
    Layer,
    PositionalEncoding,
    encoded,
    log_abs,
)
from inrkit.fields.activations import identity
from inrkit.measure import StepTimes, peak_memory, step_times
from inrkit.signals import image
from inrkit.training import Regression, chunk_rows, fit, stepper
from inrkit.training.protocol import cut

MODELS: dict[str, Callable[[], nn.Module]] = {
    "SIREN": lambda: SIREN(2, 1),
    "SPDER": lambda: SPDER(2, 1, hidden_layers=4),
    "SPDER, log": lambda: SPDER(2, 1, hidden_layers=4, damping=log_abs),
    "SPDER, arctan": lambda: SPDER(2, 1, hidden_layers=4, damping=torch.atan),
    "FINER": lambda: FINER(2, 1),
    "Gauss": lambda: Gauss(2, 1),
    "ReLU": lambda: MLP(2, 1),
    "tanh": lambda: MLP(2, 1, activation=torch.tanh),
    "Softplus": lambda: MLP(2, 1, activation=nn.functional.softplus),
    "ReLU + P.E.": lambda: encoded(PositionalEncoding(2, bands=7), MLP),
    "ReLU + FFN": lambda: encoded(FourierFeatures(2, features=128), MLP),
    "ReLU + RBF": lambda: encoded(RBF(2, features=256), MLP),
    "WIRE": lambda: WIRE(2, 1),
    "Fourier MFN": lambda: FourierMFN(2, 1, width=256),
    "Gabor MFN": lambda: GaborMFN(2, 1, width=256),
    "Hash grid": lambda: encoded(HashGrid(2), lambda n, m: MLP(n, m, width=64, hidden_layers=2)),
}
CEILING = dict.fromkeys(("SIREN", "SPDER", "FINER"), 1.15)  # times the floor
CEILING |= dict.fromkeys(("Gauss", "WIRE", "ReLU", "tanh", "Fourier MFN", "Gabor MFN"), 1.25)
AGAINST_PLAIN = {"SIREN": 1.8}
PROFILED = ("SIREN", "SPDER")
SECONDS_500 = {"SIREN": 0.5, "SPDER, 7 layers": 0.9}  # of 500 steps, on an H200


class Plain(nn.Module):
    """The same network as most code writes it: ``nn.Linear``, and ``phi(omega * linear(x))``."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.encoding = model[0] if isinstance(model, nn.Sequential) else nn.Identity()
        layers = [m for m in model.modules() if isinstance(m, Layer)]
        self.linear = nn.ModuleList(nn.Linear(*reversed(layer.weight.shape)) for layer in layers)
        self.settings = [(layer.omega, layer.activation) for layer in layers]
        for linear, layer in zip(self.linear, layers, strict=True):
            linear.load_state_dict(layer.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoding(x)
        for linear, (omega, activation) in zip(self.linear, self.settings, strict=True):
            x = linear(x) if activation is identity else activation(omega * linear(x))
        return x


def plain(model: nn.Module) -> nn.Module:
    """The network in that form; itself, where it is more than linear maps and activations."""
    return model if isinstance(model, WIRE | FourierMFN | GaborMFN) else Plain(model)


def plain_step(model: nn.Module, loss: Regression, lr: float = 1e-4) -> Callable[[], float]:
    """One step of the usual loop, which reads the loss after every step; returns it."""
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)

    def step() -> float:
        optimizer.zero_grad()
        value = ((model(loss.coords) - loss.values) ** 2).mean()
        value.backward()
        optimizer.step()
        return value.item()

    return step


class Products(TorchDispatchMode):
    """Notes every matrix product that is computed."""

    def __init__(self):
        super().__init__()
        self.found: list[Callable[[], Tensor]] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function.overloadpacket in FACTORS:
            factors, product = FACTORS[function.overloadpacket]
            a, b = (_like(x) for x in args[factors])
            self.found.append(partial(product, a, b, out=torch.empty_like(result)))
        return result


FACTORS = {
    torch.ops.aten.mm: (slice(0, 2), torch.mm),
    torch.ops.aten.addmm: (slice(1, 3), torch.mm),
    torch.ops.aten.bmm: (slice(0, 2), torch.bmm),
    torch.ops.aten.baddbmm: (slice(1, 3), torch.bmm),
}


def _like(x: Tensor) -> Tensor:
    """Another operand of this shape and layout."""
    free = [size if stride else 1 for size, stride in zip(x.shape, x.stride(), strict=True)]
    return torch.empty_strided(free, x.stride(), device=x.device).normal_().expand(x.shape)


def floor_step(model: nn.Module, loss: Regression, rows: int) -> Callable[[], None]:
    """The matrix products of one step alone, with operands of their own, into buffers."""
    batch = cut(loss.sample(torch.tensor(0)), slice(0, rows))
    with Products() as products:
        loss.error(model, *batch).sum().backward()

    def step() -> None:
        for _ in range(0, len(loss.coords), rows):
            for product in products.found:
                product()

    return step


def chunked_step(model: nn.Module, evaluate: Callable, loss: Regression, rows: int):
    """A plain loop over chunks with another way to evaluate the model."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    parts = list(zip(loss.coords.split(rows), loss.values.split(rows), strict=True))

    def step() -> None:
        optimizer.zero_grad(set_to_none=False)
        for x, y in parts:
            ((evaluate(x) - y).square().sum() / len(loss.values)).backward()
        optimizer.step()

    return step


def problem(size: int, device: torch.device) -> Regression:
    """The photograph that every step is taken on."""
    signal = image("camera", size=size)
    return Regression(signal.coords.to(device), signal.values.to(device))


def rows(device: torch.device, smoke: bool, models: list[str] | None = None) -> Iterator[dict]:
    loss = problem(16 if smoke else 256, device)
    chosen = {name: MODELS[name] for name in models or MODELS}
    if "SIREN" in chosen:
        yield same_curve(loss, device)
    for name, build in chosen.items():
        torch.manual_seed(0)
        model, other = build().to(device), build().to(device)
        points = len(loss.coords)
        chunk = min(chunk_rows(model), points) if device.type == "cpu" else points
        torch.compiler.reset()
        timed = {
            "fit": stepper(build().to(device), loss, compiled=not smoke),
            "floor": floor_step(model, loss, chunk),
            "plain loop": plain_step(plain(model).to(device), loss),
            "eager": stepper(build().to(device), loss, compiled=False),
        }
        if not smoke:
            compiled = torch.compile(other, dynamic=False)
            timed |= {"torch.compile": chunked_step(other, compiled, loss, chunk)}
            timed |= precisions(build, loss, device)
        timed |= others(name, loss, device)
        rounds = 1 if smoke else 10 if name in CEILING else 5
        yield from compared(name, step_times(timed, rounds=rounds, warmup=2))
        yield from memory(name, build, loss, device)
    if device.type == "cpu":
        for name in [name for name in PROFILED if name in chosen]:
            yield from profile(name, stepper(MODELS[name](), loss, compiled=not smoke))
    yield from whole_fits(loss, device, 2 if smoke else 500)


def same_curve(loss: Regression, device: torch.device) -> dict:
    """How far the losses of ten steps are from those of the plain loop."""
    torch.manual_seed(0)
    model = SIREN(2, 1).to(device)
    step = plain_step(plain(model).to(device), loss)
    theirs = torch.tensor([step() for _ in range(10)])
    ours = fit(model, loss, steps=10, progress=False).losses
    value = float(((ours - theirs) / theirs).abs().max())
    return {"case": "SIREN", "metric": "loss off a plain loop", "value": value, "unit": "relative"}


def precisions(build, loss: Regression, device: torch.device) -> dict:
    """The same step with rounded matrix products."""
    name = "tf32" if device.type == "cuda" else "bf16"
    return {name: stepper(build().to(device), loss, compiled=True, precision=name)}


def others(name: str, loss: Regression, device: torch.device) -> dict:
    """The public package siren-pytorch in its own shape of loop."""
    if name != "SIREN":
        return {}
    from siren_pytorch import SirenNet

    net = SirenNet(dim_in=2, dim_hidden=256, dim_out=1, num_layers=4, w0_initial=30.0)
    return {"siren-pytorch": plain_step(net.to(device), loss)}


def compared(name: str, times: StepTimes) -> Iterator[dict]:
    """Steps per second of ``fit``, the first of those timed, and its ratios to the others."""
    yield {"case": name, "metric": "steps", "value": 1 / times.median["fit"], "unit": "1/s"}
    for other in times.names[1:]:
        value, low, high = times.ratio(other)
        metric, bound = f"speed over {other}", AGAINST_PLAIN if other == "plain loop" else {}
        if other == "floor":
            value, low, high = 1 / value, 1 / high, 1 / low
            metric, bound = "time over the floor", CEILING
        yield {
            "case": name, "metric": metric, "value": value, "low": low, "high": high,
            "unit": "ratio", "bound": bound.get(name),
        }  # fmt: skip


def memory(name: str, build, loss: Regression, device: torch.device) -> Iterator[dict]:
    """Bytes held for the backward pass, and on CUDA all that was allocated."""
    for case, step in {
        "fit": stepper(build().to(device), loss),
        "plain loop": plain_step(plain(build()).to(device), loss),
    }.items():
        peak = peak_memory(step)
        held = peak.saved if peak.allocated is None else peak.allocated
        yield {"case": name, "metric": f"memory, {case}", "value": held / 2**20, "unit": "MiB"}


def profile(name: str, step: Callable[[], None], steps: int = 5) -> Iterator[dict]:
    """Where the time of a step goes, in shares of it."""
    step()
    with torch.profiler.profile() as profiler:
        for _ in range(steps):
            step()
    shares = dict.fromkeys(("matrix products", "activations", "other loops", "the rest"), 0.0)
    for event in profiler.key_averages():
        shares[_kind(event.key)] += event.self_cpu_time_total
    total = sum(shares.values())
    for kind, value in shares.items():
        yield {"case": name, "metric": f"share, {kind}", "value": value / total, "unit": "of 1"}


def _kind(operation: str) -> str:
    if operation in ("aten::mm", "aten::addmm", "aten::bmm"):
        return "matrix products"
    if operation in ("aten::sin", "aten::cos_", "aten::cos") or "CompiledFxGraph" in operation:
        return "activations"
    loops = ("mul", "mul_", "sum", "add", "add_", "copy_", "sub", "pow", "zero_", "fill_")
    return "other loops" if operation.removeprefix("aten::") in loops else "the rest"


def whole_fits(loss: Regression, device: torch.device, steps: int) -> Iterator[dict]:
    """Seconds of 500 steps after a warm-up, and on CUDA how many fields a card holds."""
    if device.type != "cuda":
        return
    for name, build in {"SIREN": MODELS["SIREN"], "SPDER, 7 layers": lambda: SPDER(2, 1)}.items():
        for precision in ("float32", "tf32"):
            step = stepper(build().to(device), loss, compiled=True, precision=precision)
            many = {"fit": lambda step=step: [step() for _ in range(steps)]}
            seconds = step_times(many, rounds=5, warmup=1).median["fit"]
            yield {
                "case": f"{name}, {precision}", "metric": "500 steps", "value": seconds,
                "unit": "s", "bound": SECONDS_500[name],
            }  # fmt: skip
