"""What cannot be fitted says so in one sentence; what can is fitted."""

import functools
import zipfile

import pytest
import torch
from torch import nn

from inrkit.fields import MLP, SIREN, stack
from inrkit.training import CheckpointError, NonFiniteLoss, Regression, fit

X = torch.linspace(-1, 1, 20).reshape(10, 2)


def network(out=3):
    torch.manual_seed(0)
    return SIREN(2, out, width=8, hidden_layers=1)


@pytest.mark.parametrize(("out", "channels"), [(3, 1), (1, 3), (2, 3)])
@pytest.mark.parametrize("several", [False, True])
def test_values_and_signal_have_as_many_channels(out, channels, several):
    model = stack([network(out), network(out)]) if several else network(out)
    with pytest.raises(ValueError, match=rf"gives shape .*\b{out}\) where the signal has"):
        fit(model, Regression(X, torch.zeros(10, channels)), steps=2, progress=False)


@pytest.mark.parametrize("shape", [(10,), (9, 1), (1, 10), ()])
def test_a_signal_has_points_and_channels(shape):
    with pytest.raises(ValueError, match="as many values"):
        Regression(X, torch.zeros(shape))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ({"steps": -1}, "steps is a whole number"),
        ({"steps": 2.5}, "steps is a whole number"),
        ({"chunk": -3}, "chunk is a whole number of points"),
        ({"clip": -1.0}, "clip is the largest norm"),
        ({"clip": float("nan")}, "clip is the largest norm"),
        ({"snapshots": ["best"]}, "snapshots are numbers of steps"),
        ({"snapshots": [1, -1]}, "snapshots are numbers of steps"),
    ],
)
def test_settings_that_would_train_nothing_or_keep_nothing(setting, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit(network(), Regression(X, torch.zeros(10, 3)), **{"steps": 2, **setting}, progress=False)


def test_clipping_by_signal_needs_parameters_by_signal():
    values = torch.stack([torch.zeros(10, 3), torch.ones(10, 3)])
    with pytest.raises(ValueError, match="clip shortens gradients by signal"):
        fit(network(), Regression(X, values), steps=2, clip=0.1, progress=False)


@pytest.mark.parametrize("wrong", [X.numpy(), X.tolist(), X + 0j])
def test_signals_are_real_tensors(wrong):
    with pytest.raises(TypeError, match="tensors of real numbers"):
        Regression(X, wrong)


@pytest.mark.parametrize("output", [lambda y: (y, y), lambda y: y + 0j])
def test_networks_give_one_real_tensor(output):
    model = network()
    model.register_forward_hook(lambda module, given, y: output(y))
    with pytest.raises(TypeError, match="one tensor of real numbers"):
        fit(model, Regression(X, torch.zeros(10, 3)), steps=2, progress=False)


def test_no_points():
    with pytest.raises(ValueError, match="at least one, along"):
        fit(network(), Regression(X[:0], torch.zeros(0, 3)), steps=2, progress=False)


class Waves(nn.Module):
    """A network with complex weights, as WIRE's."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(2, 3, dtype=torch.complex64))

    def forward(self, x):
        return torch.exp(1j * (x + 0j) @ self.weight).real


@pytest.mark.parametrize("clip", [None, 1e-3])
def test_complex_weights_are_trained_as_in_a_plain_loop(clip):
    ours, theirs, values = Waves(), Waves(), torch.zeros(10, 3)
    fit(ours, Regression(X, values), steps=5, lr=1e-2, clip=clip, progress=False,
        optimizer=torch.optim.Adam if clip is None else torch.optim.SGD)  # fmt: skip
    optimizer = (torch.optim.Adam if clip is None else torch.optim.SGD)(theirs.parameters(), 1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        (theirs(X) - values).square().mean().backward()
        if clip:
            nn.utils.clip_grad_norm_(theirs.parameters(), clip)
        optimizer.step()
    assert torch.allclose(ours.weight, theirs.weight, atol=1e-6)


def test_nothing_to_train():
    with pytest.raises(ValueError, match="no parameter of the model requires_grad"):
        fit(network().requires_grad_(False), Regression(X, torch.zeros(10, 3)), steps=2)


def test_a_loss_beside_the_model():
    loss = Regression(X, torch.zeros(10, 3), lambda model, x: x.sum(-1, keepdim=True).expand(-1, 3))
    with pytest.raises(ValueError, match="does not depend on the parameters"):
        fit(network(), loss, steps=2, progress=False)


def test_parameters_that_are_not_used_are_left_alone_by_clipping():
    model = network()
    model.spare = nn.Parameter(torch.ones(3))
    fit(model, Regression(X, torch.ones(10, 3)), steps=3, clip=0.1, progress=False)
    assert torch.equal(model.spare.detach(), torch.ones(3))


@pytest.mark.parametrize("several", [False, True])
def test_an_optimizer_that_asks_again_is_pytorchs_own(several):
    """L-BFGS against a plain loop; losses are those before each step."""
    options = functools.partial(torch.optim.LBFGS, max_iter=4, line_search_fn="strong_wolfe")
    x = X.double()  # in single precision, searches along lines soon part
    values = torch.sin(3 * x).sum(-1, keepdim=True).expand(10, 3)
    build = (lambda: stack([network()]).double()) if several else lambda: network().double()
    ours, theirs = build(), build()
    found = fit(ours, Regression(x, values), steps=5, lr=1.0, optimizer=options, progress=False)
    optimizer, losses = options(theirs.parameters(), lr=1.0), []

    def closure():
        optimizer.zero_grad()
        loss = (theirs(x) - values).square().mean((-2, -1)).sum()
        loss.backward()
        return loss

    for _ in range(5):
        losses.append(float(optimizer.step(closure).detach()))
    assert torch.allclose(found.losses.flatten(), found.losses.new_tensor(losses), rtol=1e-6)
    assert found.losses[-1] < 0.3 * found.losses[0]


def test_a_last_step_into_nothing_is_no_result(tmp_path):
    """The loss before the last step is finite; the parameters after it are not."""

    class Broken(torch.optim.SGD):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.data.fill_(float("nan"))

    loss = Regression(X, torch.ones(10, 3))
    with pytest.raises(NonFiniteLoss, match="after the last step, 1"):
        fit(
            network(), loss, steps=1, optimizer=Broken, progress=False, checkpoint=tmp_path / "a.pt"
        )
    assert not list(tmp_path.glob("*.pt"))


def kept(folder, steps=4):
    loss = Regression(X, torch.ones(10, 3))
    fit(network(), loss, steps=steps, progress=False, checkpoint=folder / "a.pt")
    (path,) = folder.glob("*.pt")
    return path


def test_every_flipped_bit_is_noticed(tmp_path):
    path = kept(tmp_path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as file:
        parts = [i for i in file.infolist() if "/data/" in i.filename and i.file_size]
    for part in parts:
        at = whole.index(b"PK\x03\x04", part.header_offset)
        name, extra = (int.from_bytes(whole[at + k : at + k + 2], "little") for k in (26, 28))
        place = at + 30 + name + extra
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(CheckpointError, match="is damaged; delete it"):
            kept(tmp_path)
    path.write_bytes(whole)
    kept(tmp_path)


@pytest.mark.parametrize("lost", ["model", "terms", "names", "step", "parts", "random"])
def test_a_checkpoint_with_other_contents_is_damaged(tmp_path, lost):
    path = kept(tmp_path)
    state = torch.load(path, weights_only=True)
    del state[lost]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="is damaged; delete it"):
        kept(tmp_path)


def test_parameters_of_another_shape_are_damage(tmp_path):
    path = kept(tmp_path)
    state = torch.load(path, weights_only=True)
    state["model"] = MLP(2, 3, width=9, hidden_layers=1).state_dict()
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="is damaged; delete it"):
        kept(tmp_path)
