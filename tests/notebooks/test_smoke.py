"""Every notebook runs in the smoke profile and writes every number that it and rules promise."""

import pytest

from inrkit import paths
from inrkit.companion import measured, notebooks, runner, statements, store, verify

OWN_DATA = {"insp-N6", "insp-N7", "siren-S12"}  # ask for data sets that only the paper profile has


@pytest.mark.parametrize("id", [notebook.id for notebook in notebooks.discover()])
def test_runs_and_records(id, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RESULTS", tmp_path)
    (outcome,) = runner.run([id], profile="smoke")
    assert outcome.status == "ran", outcome.error
    assert verify.problems(outcome.folder, id) == []
    promised = store.read_run(outcome.folder)["metrics"]
    assert promised and set(promised) == set(store.read_metrics(outcome.folder)["metric"])

    for statement in statements.statements():
        if statement.rule and statement.notebooks == [id] and statement.id not in OWN_DATA:
            found = statements.decide(statement, {id: measured.read(id, outcome.folder)})
            assert found.answer != statements.NOT_MEASURED, (statement.id, found.reason)
            assert "the record holds" not in found.reason, (statement.id, found.reason)


@pytest.mark.parametrize("notebook", notebooks.discover(), ids=lambda notebook: notebook.id)
def test_profiles_change_declared_parameters_and_say_why(notebook):
    for profile in ("paper", "smoke"):
        notebook.changes(profile, {})  # an undeclared name is an error
        text = notebook.path.with_suffix(f".{profile}.yml").read_text()
        assert "#" in text
        if profile == "paper":
            lines = [line for line in text.splitlines() if ":" in line.partition("#")[0]]
            assert all("#" in line for line in lines)
