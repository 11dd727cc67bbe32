"""The notebooks: which there are, what they are called, which parameters they take."""

import ast
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
import yaml

from inrkit import paths, tables
from inrkit.companion import parameters
from inrkit.companion.errors import InputError, brief, suggestion
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
        return read(self.path)

    @cached_property
    def title(self) -> str:
        """The first heading."""
        prose = "\n".join(c.source for c in self.content.cells if c.cell_type == "markdown")
        heading = re.search(r"^#+\s+(.+?)\s*$", prose, re.MULTILINE)
        return heading.group(1) if heading else self.id

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The declared parameters: names and values of the cell tagged ``parameters``."""
        try:
            return assignments(tagged(self.content, "parameters"))
        except SyntaxError as error:
            raise InputError(
                f"{paths.shown(self.path)}: the cell of parameters has plain assignments, such as "
                f"steps = 3 ({error.msg}, line {error.lineno})"
            ) from error

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
        - ``tries``: what each "Try this" changes, in their order; ``{picture}`` and the like stand
          for files of the reader's own.
        """
        about = self.content.metadata.get("inrkit", {})
        if not isinstance(about, Mapping):
            raise InputError(f"{paths.shown(self.path)}: metadata.inrkit has names with values")
        return about

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
            InputError: the profile is unknown, a parameter is not declared, or a value is not of
                its kind (:mod:`inrkit.companion.parameters`).
        """
        if profile not in PROFILES:
            raise InputError(f"there is no profile {profile!r}; known are {', '.join(PROFILES)}")
        own = {name: self._typed(name, value) for name, value in self._profile(profile).items()}
        given = {name: self._typed(name, value) for name, value in overrides.items()}
        return {**own, **{name: self._placed(name, value) for name, value in given.items()}}

    def _profile(self, profile: str) -> dict[str, Any]:
        """What a profile's file holds, each value as text."""
        if profile == "quick":
            return {}
        return _yaml(self.path.with_name(f"{self.path.stem}.{profile}.yml"))

    def _typed(self, name: str, value: Any) -> Any:
        if name not in self.defaults:
            hint = suggestion(name, self.defaults)
            raise InputError(
                f"{self.id} has no parameter {name!r}{hint}; it takes {', '.join(self.defaults)}"
            )
        samples = self.samples[name]
        try:
            return parameters.typed(value, samples)
        except parameters.Wrong as wrong:
            raise InputError(
                f"{self.id}: parameter {name} is {parameters.accepted(samples)}; got {wrong}"
            ) from wrong

    @cached_property
    def samples(self) -> dict[str, list[Any]]:
        """For each parameter, values of the kinds that it takes.

        They are its default, None where its comment speaks of null, what the tries give it, and
        what the profiles do where the default alone does not say: None, nothing in it, or names or
        pairs in place of which a profile has a single value of their kind.
        """
        nulls = _nulls(tagged(self.content, "parameters"))
        found = {name: [value] + [None] * (name in nulls) for name, value in self.defaults.items()}
        for each in self.about.get("tries", ()):
            for name, value in each.get("parameters", {}).items():
                found.setdefault(name, []).append(value)
        for profile in PROFILES:
            for name, text in self._profile(profile).items():
                found.get(name, []).extend(parameters.single(text, self.defaults.get(name)))
        return found

    def _placed(self, name: str, value: Any) -> Any:
        """A path as seen from the user's folder (the notebook runs in its own).

        A parameter takes paths if its default or a try has an item of the data registry, or stands
        for a file of the reader's (``{picture}``). Items, and words that the notebook itself gives,
        are no paths.
        """
        if isinstance(value, list):
            return [self._placed(name, one) for one in value]
        if not isinstance(value, str) or name == "device":
            return value
        path, words = Path(os.path.expanduser(value)), set(_words(self.samples[name]))
        if value in words or not (os.path.isfile(path) or path.suffix or len(path.parts) > 1):
            return value
        known = registered()
        own = any(word[0] == "{" or word in known for word in words)
        return os.path.abspath(path) if own and value not in known else value


def read(path: Path) -> nbformat.NotebookNode:
    """A notebook's file.

    Raises:
        InputError: it is none.
    """
    try:
        content = nbformat.read(path, as_version=4)
        cells = [(cell.cell_type, cell.source, cell.metadata) for cell in content.cells]
    except OSError:
        raise
    except Exception as error:  # nbformat raises its own and JSON's errors
        name = paths.shown(path)
        raise InputError(f"{name} cannot be read as a notebook: {brief(error)}") from error
    if not all(isinstance(source, str) for _, source, _ in cells):
        raise InputError(f"{paths.shown(path)} cannot be read as a notebook: a cell has no text")
    return content


def discover() -> list[Notebook]:
    """Every notebook, by id."""
    found = sorted(paths.NOTEBOOKS.glob("*/*.ipynb"))
    if not found:
        raise InputError(f"there are no notebooks in {paths.NOTEBOOKS}: {paths.RESTORE}")
    return [Notebook(f"{path.parent.name}/{path.stem}", path) for path in found]


def select(ids: Iterable[str]) -> list[Notebook]:
    """The notebooks of these ids, all where none is given; ``spder`` stands for the whole part."""
    known = {notebook.id: notebook for notebook in discover()}
    chosen = {}
    for id in ids:
        part = {key: value for key, value in known.items() if key.startswith(f"{id}/")}
        if not part and id not in known:
            listed = ", ".join(known) or "none"
            raise InputError(f"there is no notebook {id!r}{suggestion(id, known)}; "
                                 f"known are {listed}")  # fmt: skip
        chosen |= part or {id: known[id]}
    return list((chosen or known).values())


def tagged(content: nbformat.NotebookNode, tag: str) -> str:
    """Source of the first cell with this tag, or an empty string."""
    cells = (c for c in content.cells if tag in c.metadata.get("tags", []))
    return next((c.source for c in cells), "")


def assignments(source: str) -> dict[str, Any]:
    """Names and literal values that a cell of plain assignments binds (None if not a literal)."""
    bound = {}
    for node in _bindings(source):
        bound |= dict.fromkeys(_targets(node), _literal(node.value))
    return bound


def _bindings(source: str) -> list[ast.Assign | ast.AnnAssign]:
    return [node for node in ast.parse(source).body if isinstance(node, ast.Assign | ast.AnnAssign)]


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _nulls(source: str) -> set[str]:
    """Names whose comment says what null stands for."""
    lines, found = source.splitlines(), set()
    for node in _bindings(source):
        comment = "".join(lines[node.end_lineno - 1].partition("#")[1:])
        found |= set(_targets(node)) if re.search(r"\bnull\b", comment) else set()
    return found


def _words(value: Any) -> Iterator[str]:
    """Every text within lists and pairs."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _words(one)


def registered() -> set[str]:
    """Names of the data registry's items and data sets."""
    columns = ("set", "name", "file", "url", "source", "licence", "sha256", "bytes")
    rows = tables.rows(paths.REGISTRY, dict.fromkeys(columns, str), key=("name",))
    return {row[column] for row in rows for column in ("set", "name")}


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
    """The pairs in a file, their values as text."""
    name = paths.shown(file)
    try:
        text = file.read_text(encoding="utf-8-sig") if file.exists() else ""
        content = yaml.load(text, parameters.Texts) or {}
    except UnicodeDecodeError as error:
        raise InputError(f"{name} is not text in UTF-8: {brief(error)}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{name} is not valid YAML: {parameters.said(error)}") from error
    if not isinstance(content, dict):
        raise InputError(f"{name} has one `name: value` a line, got {brief(repr(content), 80)}")
    return content
