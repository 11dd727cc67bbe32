"""Code as a fit runs it: what it does, which names it reads, and whose it is."""

import dis
import functools
import hashlib
import site
import sys
import sysconfig
import types
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[1]
LAYERS = ("calculus", "solvers", "fields", "signals", "training")  # what a fit runs through
LOADED = {path: path.stat().st_mtime_ns for path in PACKAGE.rglob("*.py")}
SPECS: dict[str, Any] = {}  # how each module of the package was imported
INSTALLED = (
    *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
    *site.getsitepackages(),
    site.getusersitepackages(),
)
KEEPING = ("checkpoint", "code", "digest", "journal", "progress")  # and compute nothing of a fit
OTHERS = ("torch", "torch.nn.functional", "torch.linalg", "torch.special", "torch.fft", "numpy",
          "math")  # fmt: skip
READING = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
ASKING = ("LOAD_ATTR", "LOAD_METHOD")
HIDDEN = {"__globals__", "__doc__", "__annotations__", "__code__", "f_globals", "f_locals"}


class Unhashable(ValueError):
    """Something whose effect on a result cannot be told."""


def joined(*parts: Any) -> bytes:
    """SHA-256 of parts with their lengths, so that no two sequences look alike."""
    total = hashlib.sha256()
    for part in parts:
        part = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        total.update(b"%d:" % len(part))
        total.update(part)
    return total.digest()


@cache
def compiled(code: types.CodeType) -> bytes:
    """Hash of compiled code, without its name, place, lines and docstrings."""
    used = {step.arg for step in dis.get_instructions(code) if step.opcode in dis.hasconst}
    constants = [_constant(x) for i, x in enumerate(code.co_consts) if i in used]
    names = [*code.co_names, "", *code.co_varnames, "", *code.co_freevars, "", *code.co_cellvars]
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    about = joined(*names, repr(counts), code.co_code, code.co_exceptiontable)
    return joined(about, *constants)


def _constant(x: Any) -> bytes:
    if isinstance(x, types.CodeType):
        return compiled(x)
    if isinstance(x, (tuple, frozenset)):
        parts = map(_constant, x)
        return joined(type(x).__name__, *(parts if isinstance(x, tuple) else sorted(parts)))
    return joined(type(x).__name__, repr(x))


@cache
def reads(code: types.CodeType) -> tuple[tuple[str, ...], ...]:
    """Global names that code reads, with the attributes asked of each, and what it imports.

    Attributes that lead around what is followed, such as ``__globals__``, stand for themselves.
    """
    found, steps = [], list(dis.get_instructions(code))
    for i, step in enumerate(steps):
        if step.opname in READING and step.argval != "__name__":
            found.append((step.argval, *_asked(steps[i + 1 :])))
        elif step.opname == "IMPORT_NAME":
            name = "import " + "." * steps[i - 2].argval + step.argval
            found += [(name, wanted) for wanted in steps[i - 1].argval or ()] or [(name,)]
        elif step.opname in ASKING and step.argval in HIDDEN:
            found.append((step.argval,))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            found += reads(constant)
    return tuple(dict.fromkeys(found))


def _asked(steps: Sequence[dis.Instruction]) -> Iterator[str]:
    for step in steps:
        if step.opname not in ASKING:
            return
        yield step.argval


def is_own(module: str | None) -> bool:
    """Whether a module is the user's: neither the package's, nor Python's, nor installed."""
    top = (module or "").partition(".")[0]
    return top == "__main__" or (top != PACKAGE.name and not _is_installed(top))


@cache
def _is_installed(top: str) -> bool:
    if top in sys.stdlib_module_names:
        return True
    module = sys.modules.get(top)
    places = [getattr(module, "__file__", None), *getattr(module, "__path__", [])]
    return any(Path(p).is_relative_to(folder) for p in places if p for folder in INSTALLED)


def is_found(x: Any) -> bool:
    """Whether a function or class is what its module has under its name."""
    names = x.__qualname__.split(".")
    return functools.reduce(lambda at, n: getattr(at, n, None), names, _home(x)) is x


def _home(x: Any) -> types.ModuleType | None:
    return sys.modules.get(x.__module__)


def is_foreign(value: Any) -> bool:
    """Whether this, found in a class of a package, is a function of the user."""
    value = getattr(value, "__func__", getattr(value, "fget", value))
    home = value.__globals__.get("__name__") if isinstance(value, types.FunctionType) else None
    return home in sys.modules and is_own(home)


def replaced() -> dict[str, Any]:
    """Functions of the user in the place of the package's, PyTorch's, NumPy's and Python's own."""
    found: dict[str, Any] = {}
    for home, module in list(sys.modules.items()):
        top, layer, name = [*home.split(".", 2), "", ""][:3]
        ours = top == PACKAGE.name and layer in LAYERS and name not in KEEPING
        for key, value in list(vars(module).items()) if ours or home in OTHERS else ():
            if (ours and isinstance(value, type) and value.__module__ == home) or key == "Tensor":
                inner = {f"{home}.{key}.{name}": part for name, part in vars(value).items()}
                found |= {name: part for name, part in inner.items() if is_foreign(part)}
            elif isinstance(value, types.FunctionType) and is_foreign(value):
                found[f"{home}.{key}"] = value
    return found


def version(module: str) -> str:
    """Of an installed package; of a module of this one, the hash of its layer's source."""
    top, _, rest = module.partition(".")
    if top == PACKAGE.name:
        return source(rest.partition(".")[0])
    if top in sys.stdlib_module_names:
        return sys.version
    return str(getattr(sys.modules.get(top), "__version__", ""))


def package() -> str:
    """Hash of all the package's code that a fit runs through, as it was imported.

    Raises:
        Unhashable: it is not known any more what was imported.
    """
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        own = name.partition(".")[0] == PACKAGE.name
        if own and SPECS.setdefault(name, spec) is not spec:
            raise Unhashable(f"{name} was imported a second time; restart the program")
    return " ".join(map(source, LAYERS))


@cache
def source(layer: str) -> str:
    """Hash of the code of one of the package's layers: its files, as they are when first asked."""
    total, files = [], sorted(path for path in LOADED if path.is_relative_to(PACKAGE / layer))
    for path in files:
        name = path.relative_to(PACKAGE).as_posix()
        if not path.exists() or path.stat().st_mtime_ns != LOADED[path]:
            raise Unhashable(f"{name} has changed since it was imported; restart the program")
        code = compile(path.read_bytes(), name, "exec", dont_inherit=True, optimize=2)
        total += [name, compiled(code)]
    return joined(*total).hex()
