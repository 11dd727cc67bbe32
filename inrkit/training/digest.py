"""What is computed, as one hash: the same in every process, another where a result may differ.

Of the user's functions and classes, those of a notebook's cells above all, the compiled code counts
(not comments, docstrings and place), with defaults, closures, and whatever global names it reads,
followed to the end. The package's own count by the source of the layers that a fit runs through,
those of other packages by name and version, and all other objects by what they hold.
"""

import builtins
import copyreg
import enum
import functools
import importlib
import os
import pickle
import random
import sys
import types
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from inrkit.training.code import (
    HIDDEN,
    Unhashable,
    compiled,
    is_foreign,
    is_found,
    is_own,
    joined,
    package,
    reads,
    version,
)  # fmt: skip

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
NAMED = (
    types.BuiltinFunctionType, types.MethodWrapperType, types.WrapperDescriptorType,
    types.MethodDescriptorType, types.ClassMethodDescriptorType, types.GetSetDescriptorType,
    types.MemberDescriptorType,
)  # fmt: skip
CHANCE = (random.Random, np.random.Generator, np.random.RandomState, np.random.BitGenerator)
REACHES = {"eval", "exec", "compile", "globals", "locals", "open", "input", "__import__"}
OUTSIDE = (os.environ, os.getenv, importlib.import_module, sys.modules)
SPARSE = ("indices", "values", "crow_indices", "col_indices", "ccol_indices", "row_indices")
HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")  # of a tensor
ASIDE = {  # of a class: what says nothing about what it computes
    "__dict__", "__weakref__", "__doc__", "__module__", "__qualname__", "__annotations__",
    "__annotate__", "__annotate_func__", "__annotations_cache__", "__firstlineno__",
    "__static_attributes__", "__slotnames__", "__orig_bases__", "__parameters__",
    "__abstractmethods__", "_abc_impl", "__dataclass_fields__", "__dataclass_params__",
    "__match_args__",
}  # fmt: skip


def digest(*values: Any) -> str:
    """Twelve hexadecimal digits of values and of all that they compute.

    Raises:
        Unhashable: naming what it is, and what to do.
    """
    return joined(package(), Hasher().of(values)).hex()[:12]


class Hasher:
    """Hashes one value after the other.

    Values are told apart by content alone, but tensors and modules also by identity, since what
    changes one of them changes it in all places.

    Attributes:
        generators: the torch generators that were met; their states are not part of a hash.
    """

    def __init__(self):
        self.known: dict[int, tuple[bytes, Any]] = {}  # by id; keeps what it knows alive
        self.path: list[int] = []  # ids of what is being hashed, outermost first
        self.trail: list[str] = []  # and how it is called
        self.places: dict[int, int] = {}  # memory of tensors, in the order met
        self.generators: list[torch.Generator] = []
        self.shared = 0  # tensors and modules met

    def copy(self) -> "Hasher":
        """Another one that has met the same values."""
        twin = copy(self)
        twin.known, twin.places = dict(self.known), dict(self.places)
        twin.generators = list(self.generators)
        return twin

    def named(self, name: str, value: Any) -> bytes:
        """The hash of a value with a name, which the message says where there is none."""
        self.trail.append(name)
        found = self.of(value)
        self.trail.pop()
        return found

    def of(self, value: Any) -> bytes:
        """The hash of a value."""
        if type(value) in PLAIN:
            text = hex(value) if type(value) is int else repr(value)
            return joined(type(value).__name__, text)
        key = id(value)
        if key in self.known:
            return self.known[key][0]
        if key in self.path:
            return joined("cycle", str(len(self.path) - self.path.index(key)))
        self.path.append(key)
        try:
            found = self._content(value)
        except Unhashable:
            raise
        except Exception as error:  # whatever objects do when they are asked
            raise self._refused(value, str(error).partition("\n")[0]) from error
        self.path.pop()
        self.known[key] = found, value
        if isinstance(value, (torch.Tensor, nn.Module)):
            self.shared += 1
            self.known[key] = joined("again", str(self.shared)), value
        return found

    def _refused(self, value: Any, why: str) -> Unhashable:
        return Unhashable(
            f"{'.'.join(self.trail) or 'it'} holds a {type(value).__name__} ({why}); hand over "
            "what is needed of it as numbers, tensors or functions"
        )

    def _content(self, x: Any) -> bytes:
        if any(x is one for one in OUTSIDE):
            raise self._refused(x, "what it leads to is not known before")
        match x:
            case torch.Tensor():
                return self._tensor(x)
            case nn.Module():
                return self._module(x)
            case np.ndarray() | np.generic():
                return self._array(x)
            case torch.Generator():
                self.generators.append(x)
                return joined("generator", str(len(self.generators)))
            case torch.device():
                return joined("device", x.type)
            case types.FunctionType():
                return self._function(x)
            case types.MethodType():
                return joined("method", self.of(x.__func__), self.of(x.__self__))
            case types.CellType():
                return joined("cell", *map(self.of, _held(x)))
            case torch._ops.OpOverload() | torch._ops.OpOverloadPacket():
                return self._operator(x, f"torch.ops.{x}")
            case types.ModuleType() if x.__name__.startswith("torch.ops."):
                return self._operator(x, x.__name__)
            case types.ModuleType():
                return self._namespace(x)
            case type():
                return self._class(x)
            case staticmethod() | classmethod():
                return joined(type(x).__name__, self.of(x.__func__))
            case property():
                return joined("property", *map(self.of, (x.fget, x.fset, x.fdel)))
            case functools.cached_property():
                return joined("property", self.of(x.func))
            case enum.Enum():
                return joined("member", self.of(type(x)), x.name, self.of(x.value))
            case types.MappingProxyType():
                return self.of(dict(x))
        return self._collection(x)

    def _collection(self, x: Any) -> bytes:
        kind = type(x)
        if kind in (tuple, list):
            return joined(kind.__name__, *map(self.of, x))
        if kind in (set, frozenset):
            return joined("set", *sorted(map(self.of, x)))
        if kind is dict:
            return joined("dict", *(self.of(part) for pair in x.items() for part in pair))
        if kind in NAMED:
            owner = getattr(x, "__self__", None)
            owner = getattr(x, "__objclass__", None) if owner is None else owner
            return joined("name", self.of(owner), x.__qualname__)
        if kind is functools._lru_cache_wrapper:
            return self.of(x.__wrapped__)
        return self._object(x)

    def _tensor(self, x: torch.Tensor) -> bytes:
        hooks = [list((getattr(x, name, None) or {}).values()) for name in HOOKS]
        about = (str(x.dtype), tuple(x.shape), x.device.type, x.requires_grad, type(x), hooks)
        start = joined(self.of(about), self._attributes(x))
        plain = x.detach()
        if x.layout is not torch.strided:
            plain = plain.coalesce() if x.layout is torch.sparse_coo else plain
            return joined("sparse", start, str(x.layout), *map(self.of, _parts(plain)))
        plain = plain.as_subclass(torch.Tensor)
        memory = plain.untyped_storage().data_ptr()
        place = self.places.setdefault(memory, len(self.places)) if x.numel() else None
        numbers = plain.resolve_conj().resolve_neg().cpu().contiguous().reshape(-1)
        at = repr((place, x.storage_offset(), x.stride()))
        return joined("tensor", start, at, numbers.view(torch.uint8).numpy())

    def _array(self, x: np.ndarray | np.generic) -> bytes:
        about = joined("array", str(x.dtype), self.of(x.shape), self.of(type(x)))
        if x.dtype.hasobject:
            return joined(about, self.of(x.tolist()))
        own = b"" if isinstance(x, np.memmap) else self._attributes(x)
        return joined(about, own, np.ascontiguousarray(x).tobytes())

    def _module(self, x: nn.Module) -> bytes:
        """A module by its attributes, among them parameters, parts and hooks.

        But without what one of the package's only tells of its last call, its ``transient`` names.
        """
        aside = () if is_own(type(x).__module__) else getattr(x, "transient", ())
        endings = ("_hooks", "_hooks_with_kwargs", "_hooks_always_called")
        hooks = {n: v for n, v in vars(x).items() if n.endswith(endings) and isinstance(v, dict)}
        keys = sorted({key for found in hooks.values() for key in found})  # counted by the process
        ranked = {
            name: [(keys.index(key), hook) for key, hook in found.items()]
            for name, found in hooks.items()
        }
        ranked |= dict.fromkeys(aside)
        return joined("module", self.of(type(x)), self._attributes(x, ranked))

    def _attributes(self, x: Any, instead: Mapping[str, Any] | None = None) -> bytes:
        """An object's attributes by name, without those that are derived from the others."""
        kind = type(x)
        own = {name: getattr(x, name) for name in copyreg._slotnames(kind) if hasattr(x, name)}
        own |= {**getattr(x, "__dict__", {}), **(instead or {})}
        names = [
            name
            for name in sorted(own)
            if not isinstance(getattr(kind, name, None), functools.cached_property)
        ]
        return joined(*names, "", *(self.named(name, own[name]) for name in names))

    def _function(self, x: types.FunctionType) -> bytes:
        home = x.__globals__.get("__name__") or ""
        if not is_own(home) and is_found(x):
            return self._reference(x)
        parts = [compiled(x.__code__), self.of(x.__defaults__), self.of(x.__kwdefaults__)]
        for name, cell in zip(x.__code__.co_freevars, x.__closure__ or (), strict=True):
            parts.append(self.named(name, cell))
        parts.append(self._attributes(x))
        if not is_own(home):
            return joined("function", *parts, version(home))
        for chain in reads(x.__code__):
            parts += [".".join(chain), self.named(chain[0], self._global(chain, x))]
        return joined("function", *parts)

    def _global(self, chain: Sequence[str], function: types.FunctionType) -> Any:
        """What a function reads under a name, and under names within modules."""
        (name, *rest), scope = chain, function.__globals__
        if name.startswith("import "):
            try:
                value = importlib.import_module(name[7:], scope.get("__package__"))
            except ImportError:
                return "missing"
        elif name in HIDDEN or (name in REACHES and name not in scope):
            raise Unhashable(
                f"{'.'.join(self.trail)} uses {name}, and what that reads is not known before; "
                "read it beforehand, and hand it over"
            )
        else:
            value = scope.get(name, getattr(builtins, name, "missing"))
        for attribute in rest:
            if not isinstance(value, types.ModuleType):
                break
            value = getattr(value, attribute, "missing")
        return value

    def _class(self, x: type) -> bytes:
        if not is_own(x.__module__) and is_found(x):
            kinds = (pair for kind in x.__mro__ for pair in vars(kind).items())
            changed = [  # by whoever has no right to; what begins with _ is its library's own
                (name, value)
                for name, value in kinds
                if is_foreign(value) or (type(value) in PLAIN and not name.startswith("_"))
            ]
            return joined(self._reference(x), *map(self.of, changed))
        own = {name: value for name, value in vars(x).items() if name not in ASIDE}
        parts = [self.named(name, own[name]) for name in sorted(own)]
        kinds = map(self.of, (*x.__bases__, type(x)))
        return joined("class", x.__qualname__, *kinds, *sorted(own), *parts)

    def _namespace(self, x: types.ModuleType) -> bytes:
        if not is_own(x.__name__):
            return joined("namespace", x.__name__, version(x.__name__))
        own = {name: value for name, value in vars(x).items() if not name.startswith("__")}
        parts = (self.named(name, own[name]) for name in sorted(own))
        return joined("namespace", *sorted(own), *parts)

    def _operator(self, x: Any, name: str) -> bytes:
        if name.split(".")[2] not in ("aten", "prims"):
            raise self._refused(x, "what an operator of one's own does is not known")
        return joined("operator", name, torch.__version__)

    def _reference(self, x: Any) -> bytes:
        return joined("reference", x.__module__, x.__qualname__, version(x.__module__))

    def _object(self, x: Any) -> bytes:
        """Any other object: its class, what it holds, and what it takes to make a copy of it."""
        kind = type(x)
        if isinstance(x, CHANCE):
            raise self._refused(x, "no checkpoint can repeat its draws; draw by torch")
        if hasattr(kind, "__next__") and not is_own(kind.__module__):
            raise self._refused(x, "it is used up as it is read")
        reduce = copyreg.dispatch_table.get(kind)
        made = reduce(x) if reduce else x.__reduce_ex__(4)
        if isinstance(made, str):
            home = pickle.whichmodule(x, made)
            if functools.reduce(getattr, made.split("."), sys.modules[home]) is not x:
                raise self._refused(x, "it has no name by which to find it")
            return joined("name", home, made, version(home))
        makers = ("__reduce_ex__", "__reduce__", "__getstate__")
        plain = all(getattr(kind, name) is getattr(object, name) for name in makers)
        make, arguments, state, items, pairs = (*made, None, None, None)[:5]
        contents = (kind, make, arguments, list(items or ()), list(pairs or ()))
        parts = [*map(self.of, contents), b"" if plain else self.of(state)]
        if plain or is_own(kind.__module__):
            parts.append(self._attributes(x))
        return joined("object", *parts)


def _held(cell: types.CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:
        return []


def _parts(x: torch.Tensor) -> list[torch.Tensor]:
    """What a sparse tensor consists of."""
    found = []
    for name in SPARSE:
        try:
            found.append(getattr(x, name)())
        except RuntimeError:  # another layout's
            continue
    return found
