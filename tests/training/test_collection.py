"""Fields of many signals: as one by one, kept whole, and refused where damaged."""

import json

import pytest
import torch

from inrkit.calculus import nested_autograd, total_degree
from inrkit.fields import SIREN, Transformed, unstack
from inrkit.signals import grid
from inrkit.training import (
    CheckpointError,
    Regression,
    collection_partials,
    fit,
    fit_collection,
    journal,
)

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


def test_files_do_not_depend_on_the_random_numbers_of_the_process(tmp_path, stop_after):
    """A process that seeds nothing begins with numbers of its own; its caller's are left alone."""
    stop_after(1)
    with pytest.raises(KeyboardInterrupt):
        collection(file=tmp_path / "fields.pt")
    (group,) = tmp_path.iterdir()
    torch.seed()
    before = torch.get_rng_state()
    stop_after(1)
    with pytest.raises(KeyboardInterrupt):  # in the second group: the first is taken up
        collection(file=tmp_path / "fields.pt")
    assert group in tmp_path.iterdir() and len(list(tmp_path.iterdir())) == 2
    for _ in range(2):
        fields = collection(file=tmp_path / "fields.pt")
        collection_partials(fields, COORDS, 1, file=tmp_path / "partials.pt", progress=False)
        assert torch.equal(torch.get_rng_state(), before)
        torch.seed()
        before = torch.get_rng_state()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_stopped_run_goes_on(tmp_path, stop_after):
    stop_after(2)
    with pytest.raises(KeyboardInterrupt):
        collection(file=tmp_path / "fields.pt")
    assert len(list(tmp_path.glob("*group*"))) == 2
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


def test_derivatives_of_all_fields_are_those_of_each():
    fields = collection()
    found = collection_partials(fields, COORDS, 2, group=2, progress=False)
    indices = total_degree(2, 2).indices
    for i in range(len(VALUES)):
        known = nested_autograd(unstack(fields, i), COORDS.clone(), indices)
        assert torch.allclose(found[:, i], known, rtol=1e-4, atol=1e-4)
    halved = collection_partials(fields, COORDS, 2, unit=0.5, group=2, progress=False)
    powers = torch.tensor([0.5 ** sum(a) for a in indices]).reshape(-1, 1, 1, 1)
    assert torch.allclose(halved, powers * found, rtol=1e-5, atol=1e-6)


def test_derivatives_of_turned_fields_follow_the_chain_rule():
    fields = collection()
    maps = torch.rand(5, 2, 2, generator=torch.Generator().manual_seed(1)) - 0.5
    turned = Transformed(fields, matrix=maps)
    found = collection_partials(turned, COORDS, 1, group=2, progress=False)
    for i, A in enumerate(maps):
        rows = collection_partials(fields, COORDS @ A.mT, 1, group=5, progress=False)[1:, i]
        known = torch.einsum("knc,kj->jnc", rows, A)
        assert torch.allclose(found[1:, i], known, atol=1e-5)


def test_derivatives_are_kept_and_not_computed_again(tmp_path, monkeypatch):
    import inrkit.training.collection as module

    fields, file = collection(), tmp_path / "derivatives.pt"
    first = collection_partials(fields, COORDS, 2, file=file, progress=False)
    (kept,) = tmp_path.iterdir()
    monkeypatch.setattr(module, "partials", None)  # cannot be called
    again = collection_partials(fields, COORDS, 2, file=file, progress=False)
    assert torch.equal(first, again)
    monkeypatch.undo()
    collection_partials(collection(seed=9), COORDS, 2, file=file, progress=False)
    assert len(list(tmp_path.iterdir())) == 2  # other fields have a file of their own
    state = torch.load(kept)
    state["state"]["values"][0, 0, 0] += 1
    torch.save(state, kept)
    with pytest.raises(CheckpointError, match="checksum"):
        collection_partials(fields, COORDS, 2, file=file, progress=False)


def test_a_collection_is_one_entry_and_says_what_was_done_before(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_fits", {})
    for commit in ("a", "b"):
        told = {"commit": commit, "clean": True, "versions": {"torch": "2"}}
        monkeypatch.setenv(journal.ORIGIN, json.dumps(told))
        collection(file=tmp_path / "fields.pt")
        (entry,) = journal.fits()
        assert entry["name"] == "fields" and entry["steps"] == 8
        assert (entry["commit"], entry["clean"], entry["versions"]) == ("a", True, {"torch": "2"})
        assert entry["seconds"] > 0
        assert entry["seconds_here"] == (entry["seconds"] if commit == "a" else 0)


def test_random_numbers_of_the_caller_go_on_whether_a_collection_draws_or_is_taken_up(tmp_path):
    def dropping():
        return torch.nn.Sequential(build(), torch.nn.Dropout(0.5))

    def drawn():
        torch.manual_seed(5)
        options = {"steps": 3, "lr": 1e-3, "group": 1, "progress": False}
        fit_collection(dropping, COORDS, VALUES[:2], file=tmp_path / "fields.pt", **options)
        return torch.rand(3)

    torch.manual_seed(5)
    untouched = torch.rand(3)
    assert torch.equal(drawn(), untouched) and torch.equal(drawn(), untouched)
