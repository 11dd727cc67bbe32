"""Fields of many signals: as one by one, kept whole, and refused where damaged."""

import pytest
import torch

from inrkit.fields import SIREN, unstack
from inrkit.signals import grid
from inrkit.training import CheckpointError, Regression, fit, fit_collection

COORDS = grid((5, 5))
VALUES = torch.rand(5, 25, 1, generator=torch.Generator().manual_seed(0)) - 0.5


def build():
    return SIREN(2, 1, width=6, hidden_layers=1)


def collection(**settings):
    options = {"steps": 8, "lr": 1e-3, "group": 2, "progress": False, **settings}
    return fit_collection(build, COORDS, VALUES, **options)


def test_each_field_is_as_if_fitted_alone():
    together = collection(seed=3)
    for i, values in enumerate(VALUES):
        torch.manual_seed(3 + i)
        alone = fit(build(), Regression(COORDS, values), steps=8, lr=1e-3, progress=False).model
        assert torch.allclose(unstack(together, i)(COORDS), alone(COORDS), atol=1e-6)


def test_shared_weights_start_alike():
    weights = collection(shared=True, steps=1, lr=1e-9).layers[0].weight
    assert torch.allclose(weights, weights[:1].expand_as(weights), atol=1e-6)
    own = collection(steps=1, lr=1e-9).layers[0].weight
    assert not torch.allclose(own[0], own[1], atol=1e-2)


def test_kept_in_one_file_and_not_fitted_again(tmp_path):
    first = collection(file=tmp_path / "fields.pt")
    files = list(tmp_path.iterdir())
    assert len(files) == 1
    written = files[0].stat().st_mtime_ns
    again = collection(file=tmp_path / "fields.pt")
    assert torch.equal(first(COORDS), again(COORDS)) and len(again(COORDS)) == 5
    assert files[0].stat().st_mtime_ns == written
    collection(file=tmp_path / "fields.pt", seed=9)
    assert len(list(tmp_path.iterdir())) == 2  # other fields have a file of their own


def test_a_stopped_run_goes_on(tmp_path, monkeypatch):
    import inrkit.training.collection as module

    calls = []

    def failing(*args, **settings):
        calls.append(settings["checkpoint"])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return fit(*args, **settings)

    monkeypatch.setattr(module, "fit", failing)
    with pytest.raises(KeyboardInterrupt):
        collection(file=tmp_path / "fields.pt")
    assert len(list(tmp_path.glob("*group*"))) == 2
    monkeypatch.undo()
    assert torch.equal(collection(file=tmp_path / "fields.pt")(COORDS), collection()(COORDS))
    assert not list(tmp_path.glob("*group*"))


def test_a_damaged_file_is_refused(tmp_path):
    collection(file=tmp_path / "fields.pt")
    (file,) = tmp_path.iterdir()
    state = torch.load(file)
    state["state"]["layers.0.bias"][0, 0] += 1
    torch.save(state, file)
    with pytest.raises(CheckpointError, match="checksum"):
        collection(file=tmp_path / "fields.pt")


def test_no_signals_are_refused():
    with pytest.raises(ValueError, match="at least one signal"):
        fit_collection(build, COORDS, VALUES[:0], steps=1, lr=1e-3)
