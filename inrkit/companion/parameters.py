"""Values of parameters, checked: their kinds are those of the values that a notebook itself gives.

A value given as text (``-p``, a profile's file) is read as the kind that is asked for, so that
``1e3`` is a whole number where one is expected, and a date or a word stays text elsewhere:

- a whole number: 1 or more if the notebook gives only such, 0 or more if it gives 0, too;
- a number: 0 or more if the notebook gives only such; whole numbers stay whole;
- true or false; text;
- a list, or pairs ``name: value``, whose parts are read likewise; brackets may be left out;
- null, where the notebook gives it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any

import yaml

from inrkit.companion.errors import brief

NULLS = ("null", "none", "~")
TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


class Wrong(ValueError):
    """A value, or a part of one, that is not of the kind asked for."""


class Texts(yaml.BaseLoader):
    """YAML whose values are all text; a name that stands twice is an error."""

    def construct_mapping(self, node, deep=False):
        names = [self.construct_object(name, deep=True) for name, _ in node.value]
        if len({str(name) for name in names}) < len(names):
            raise yaml.constructor.ConstructorError(
                None, None, "a name stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep=True)


def typed(value: Any, samples: Sequence[Any]) -> Any:
    """A value as the kind of thing that ``samples`` are; free where these do not say.

    Raises:
        Wrong: it is not of that kind, or empty.
    """
    if isinstance(value, PurePath):
        value = str(value)
    if isinstance(value, str) and not value.strip():
        raise Wrong("nothing")
    if None in samples and (value is None or _word(value) in NULLS):
        return None
    kinds = {type(one) for one in samples if one is not None}
    if not kinds:
        return free(value)
    for kind in (list, dict):
        if kind in kinds and (kinds == {kind} or _is(kind, value)):
            return _many(value, kind, parts(samples, kind))
    for read in (_truth if bool in kinds else _number, _text):
        with suppress(Wrong):
            return read(value, samples)
    raise Wrong(_shown(value))


def _word(value: Any) -> str:
    return value.strip().lower() if isinstance(value, str) else ""


def _is(kind: type, value: Any) -> bool:
    """Whether a value is a list (or pairs), or text in its brackets."""
    if isinstance(value, str):
        return value.strip()[:1] == {list: "[", dict: "{"}[kind]
    return isinstance(value, (list, tuple) if kind is list else Mapping)


def _many(value: Any, kind: type, inner: Sequence[Any]) -> list | dict:
    """A list or pairs, from text, from what is one, or (a list) from a single part."""
    if isinstance(value, str):
        opening, closing = "[]" if kind is list else "{}"
        value = structure(value if _is(kind, value) else f"{opening}{value}{closing}")
    if kind is list and isinstance(value, (list, tuple)):
        nested = any(isinstance(one, list) for one in inner)
        for one in value if nested else ():
            if not _is(list, one):  # here brackets say which is which
                raise Wrong(_shown(one))
        return [typed(one, inner) for one in value]
    if kind is dict and isinstance(value, Mapping):
        return {name: typed(one, inner) for name, one in value.items()}
    if kind is list and not isinstance(value, Mapping) and value is not None:
        return [typed(value, inner)]
    raise Wrong(_shown(value))


def structure(text: str) -> Any:
    """What a piece of YAML holds, each value in it as text."""
    try:
        return yaml.load(text, Texts)
    except yaml.YAMLError as error:
        raise Wrong(f"{_shown(text)} ({said(error)})") from error
    except RecursionError as error:
        raise Wrong(f"{_shown(text)} (nested too deeply)") from error


def said(error: yaml.YAMLError) -> str:
    """What is wrong with a piece of YAML, and where, on one line."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    return brief(f"line {mark.line + 1}: {what}" if mark else what)


def _truth(value: Any, samples: Sequence[Any]) -> bool:
    if isinstance(value, bool):
        return value
    if _word(value) in TRUTHS:
        return TRUTHS[_word(value)]
    raise Wrong(_shown(value))


def _number(value: Any, samples: Sequence[Any]) -> float:
    numbers = [one for one in samples if isinstance(one, int | float)]
    whole = all(isinstance(one, int) for one in numbers)
    number = as_number(value)
    if whole and number is not None and float(number).is_integer() and abs(number) < 2**53:
        number = int(number)
    elif whole or number is None:
        number = None
    low = least(numbers)
    if not numbers or number is None or (low is not None and number < low):
        raise Wrong(_shown(value))
    return number


def as_number(value: Any) -> int | float | None:
    """A finite number, given as one or as text; None if it is none, or too near to 0."""
    if isinstance(value, bool) or not isinstance(value, str | Real):
        return None
    for kind in (int, float):
        with suppress(ValueError, OverflowError):
            number = kind(value)
            if kind is int and isinstance(value, Real) and not isinstance(value, Integral):
                continue
            lost = number == 0 and set(str(value).lower().partition("e")[0]) & set("123456789")
            return number if math.isfinite(number) and not lost else None
    return None


def least(numbers: Sequence[float]) -> int | None:
    """What a number must not fall below, if those given are all positive, or all at least zero."""
    low = min(numbers, default=-1)
    if low < 0:
        return None
    return 1 if low >= 1 and all(isinstance(one, int) for one in numbers) else 0


def _text(value: Any, samples: Sequence[Any]) -> str:
    if not isinstance(value, str) or not any(isinstance(one, str) for one in samples):
        raise Wrong(_shown(value))
    return _unquoted(value)


def _unquoted(value: str) -> str:
    if value.strip()[:1] in ("'", '"'):
        with suppress(Wrong):
            quoted = structure(value)
            return quoted if isinstance(quoted, str) and quoted.strip() else value
    return value


def free(value: Any) -> Any:
    """A value whose kind nobody says: text is read as what it looks like."""
    if isinstance(value, Mapping):
        return {name: free(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [free(one) for one in value]
    if not isinstance(value, str):
        if value is None or isinstance(value, bool) or as_number(value) is not None:
            return value
        raise Wrong(_shown(value))
    word, number = _word(value), as_number(value)
    if word in NULLS:
        return None
    if word in ("true", "false"):
        return word == "true"
    if word[:1] in ("[", "{"):
        return free(structure(value))
    return _unquoted(value) if number is None else number


def single(text: Any, default: Any) -> list[Any]:
    """What a profile's value adds to the kinds that a default has: itself, or nothing."""
    with suppress(Wrong):
        if default in (None, [], {}):
            return [free(text)]
        if isinstance(default, list | dict) and not _is(type(default), text):
            inner = parts([default], type(default))
            if isinstance(default, dict) or isinstance(inner[0], str):
                return [typed(text, inner)]
    return []


def parts(samples: Iterable[Any], kind: type) -> list[Any]:
    """What stands in the lists (or pairs) among the samples."""
    found = [one for one in samples if isinstance(one, kind)]
    return [part for one in found for part in (one.values() if kind is dict else one)]


def accepted(samples: Sequence[Any]) -> str:
    """In words, what :func:`typed` takes."""
    kinds = {type(one) for one in samples}
    words = []
    if list in kinds:
        words.append(f"a list, each of it {accepted(parts(samples, list))}")
    if dict in kinds:
        words.append(f"pairs name: value, each value {accepted(parts(samples, dict))}")
    if bool in kinds:
        words.append("true or false")
    elif kinds & {int, float}:
        numbers = [one for one in samples if isinstance(one, int | float)]
        low = least(numbers)
        words.append(("a number" if float in kinds else "a whole number")
                     + ("" if low is None else f", {low} or more"))  # fmt: skip
    words += ["text"] * (str in kinds)
    return " or ".join(words + ["null"] * (type(None) in kinds and bool(words))) or "some value"


def _shown(value: Any) -> str:
    return brief(repr(value), 80)
