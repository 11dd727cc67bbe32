"""The notebooks: which there are, what they are called, which parameters they take."""

import ast
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
import yaml

from inrkit import paths
from inrkit.companion.errors import CompanionError
from inrkit.companion.verdicts import Deviation

PROFILES = ("quick", "paper", "smoke")
SAME_FOR_ALL = ("device", "seed", "n_items")  # change where, from what start, and on how many
ABSENT = "not a parameter of that run"


@dataclass(frozen=True)
class Notebook:
    """``notebooks/<paper>/<topic>.ipynb``, known as ``<paper>/<topic>``."""

    id: str
    path: Path

    @cached_property
    def content(self) -> nbformat.NotebookNode:
        """The notebook as stored."""
        try:
            return nbformat.read(self.path, as_version=4)
        except Exception as error:  # nbformat raises its own and JSON's errors
            raise CompanionError(f"{self.path} cannot be read as a notebook: {error}") from error

    @cached_property
    def title(self) -> str:
        """The first heading."""
        prose = "\n".join(c.source for c in self.content.cells if c.cell_type == "markdown")
        heading = re.search(r"^#+\s+(.+?)\s*$", prose, re.MULTILINE)
        return heading.group(1) if heading else self.id

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The declared parameters: names and values of the cell tagged ``parameters``."""
        return assignments(tagged(self.content, "parameters"))

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """What the notebook's metadata declare under ``inrkit``.

        - ``reads``: "records" where it reads those of other notebooks.
        - ``cost``: parameters that change nothing but time and memory.
        - ``counts``: parameters that say how much of the data is used.
        - ``touches``: for a parameter, the models whose numbers it changes.
        - ``deviations``: what stands in for the paper's data or programs, whatever the profile:
          ``what``, ``paper``, ``here``, and, if they hold for some only, ``models``, and
          ``when`` or ``unless``, a parameter's values.
        - ``tries``: what each "Try this" changes, in their order.
        """
        return self.content.metadata.get("inrkit", {})

    @property
    def reads_records(self) -> bool:
        """Whether it reads other notebooks' records, and so runs after them."""
        return self.about.get("reads") == "records"

    def deviations(self, parameters: Mapping[str, Any]) -> tuple[Deviation, ...]:
        """In what a run with these parameters differs from the paper's own settings.

        The paper's are those of the profile "paper"; what it cannot have stands in the metadata.
        """
        about, own = self.about, {**self.defaults, **self.changes("paper", {})}
        same = {*SAME_FOR_ALL, *about.get("cost", ()), *about.get("counts", ())}
        touches = about.get("touches", {})
        found = [
            Deviation(name, own[name], here, tuple(touches.get(name, ())))
            for name in own
            if name not in same
            and _plain(here := parameters.get(name, ABSENT)) != _plain(own[name])
        ]
        for entry in about.get("deviations", ()):
            if _applies(entry, {**own, **parameters}):
                models = tuple(entry.get("models", ()))
                found.append(Deviation(entry["what"], entry["paper"], entry["here"], models))
        return tuple(found)

    def changes(self, profile: str, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """What a profile's file and the overrides change of the defaults, checked.

        Raises:
            CompanionError: the profile is unknown, a parameter is not declared, or text stands
                where a number is expected (YAML reads ``1e-4`` as text).
        """
        if profile not in PROFILES:
            raise CompanionError(
                f"there is no profile {profile!r}; known are {', '.join(PROFILES)}"
            )
        file = self.path.with_name(f"{self.path.stem}.{profile}.yml")
        given = {**_yaml(file), **overrides} if profile != "quick" else dict(overrides)
        for name, value in given.items():
            self._check(name, value)
        return given

    def _check(self, name: str, value: Any) -> None:
        if name not in self.defaults:
            hint = suggestion(name, self.defaults)
            raise CompanionError(
                f"{self.id} has no parameter {name!r}{hint}; it takes {', '.join(self.defaults)}"
            )
        default = self.defaults[name]
        if isinstance(default, int | float) and not isinstance(default, bool):
            accepted = isinstance(value, int | float) and not isinstance(value, bool)
            if not accepted and value is not None:
                raise CompanionError(
                    f"{self.id}: parameter {name} is a number, got {value!r} "
                    f"(in YAML write 1.0e-4, not 1e-4)"
                )


def discover() -> list[Notebook]:
    """Every notebook, by id."""
    found = sorted(paths.NOTEBOOKS.glob("*/*.ipynb"))
    return [Notebook(f"{path.parent.name}/{path.stem}", path) for path in found]


def select(ids: Iterable[str]) -> list[Notebook]:
    """The notebooks of these ids, all where none is given; ``spder`` stands for the whole part."""
    known = {notebook.id: notebook for notebook in discover()}
    chosen = {}
    for id in ids:
        part = {key: value for key, value in known.items() if key.startswith(f"{id}/")}
        if not part and id not in known:
            listed = ", ".join(known) or "none"
            raise CompanionError(f"there is no notebook {id!r}{suggestion(id, known)}; "
                                 f"known are {listed}")  # fmt: skip
        chosen |= part or {id: known[id]}
    return list((chosen or known).values())


def suggestion(word: str, known: Iterable[str]) -> str:
    """``, did you mean 'that'?`` for the closest known word, if one is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def tagged(content: nbformat.NotebookNode, tag: str) -> str:
    """Source of the first cell with this tag, or an empty string."""
    cells = (c for c in content.cells if tag in c.metadata.get("tags", []))
    return next((c.source for c in cells), "")


def assignments(source: str) -> dict[str, Any]:
    """Names and literal values that a cell of plain assignments binds (None if not a literal)."""
    bound = {}
    for node in ast.parse(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name):
                bound[target.id] = _literal(node.value)
    return bound


def _plain(value: Any) -> Any:
    """A value as JSON has it, which knows no tuples."""
    return json.loads(json.dumps(value, default=str))


def _applies(entry: Mapping[str, Any], parameters: Mapping[str, Any]) -> bool:
    """Whether a declared deviation holds for these parameters."""

    def match(name: str, values: Any) -> bool:
        values = values if isinstance(values, list) else [values]
        return _plain(parameters.get(name)) in values

    when, unless = entry.get("when", {}), entry.get("unless", {})
    excepted = bool(unless) and all(match(*item) for item in unless.items())
    return all(match(*item) for item in when.items()) and not excepted


def _literal(node: ast.expr | None) -> Any:
    try:
        return ast.literal_eval(node) if node is not None else None
    except ValueError:
        return None


def _yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) if file.exists() else {}
    except yaml.YAMLError as error:
        raise CompanionError(f"{file.name} is not valid YAML: {error}") from error
    if not isinstance(content or {}, dict):
        raise CompanionError(f"{file.name} has one `name: value` a line, got {content!r}")
    return content or {}
