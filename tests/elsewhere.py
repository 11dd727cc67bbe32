"""A device without having one: CPU tensors that say they are elsewhere, and refuse to mix.

``python tests/elsewhere.py siren/wave`` runs the cells of a notebook in the smoke profile with its
device set to this one. Whatever forgets to move a tensor, or hands one to NumPy, fails as on a GPU.
"""

import os
import sys
import tempfile
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._pytree import tree_leaves, tree_map

NAME = "elsewhere"
# these alone take tensors of both devices: copies, and indices that lie on the CPU
BETWEEN = {"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_"}
# these are made of nothing, and then resized, which what says to be elsewhere cannot be
RESIZED = ("arange", "arange.start", "arange.start_step", "randperm", "eye", "eye.m", "linspace")


class Elsewhere(Tensor):
    """A tensor that is computed on a CPU and says that it is not there."""

    def __new__(cls, held: Tensor) -> "Elsewhere":
        self = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(),
            dtype=held.dtype, device=torch.device(NAME, 0),
        )  # fmt: skip
        self.held = held
        return self

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        return computed(function, *args, **(kwargs or {}))

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.held.untyped_storage()

    def __getitem__(self, index):
        listed = isinstance(index, list)  # of which PyTorch makes a tensor where this one lies
        return super().__getitem__(torch.tensor(index) if listed else index)

    def new_tensor(self, data, **kwargs) -> Tensor:
        return torch.tensor(data, dtype=self.dtype, device=self.device, **kwargs)

    def tolist(self) -> list:
        return self.held.tolist()

    def __repr__(self, **_) -> str:
        return repr(self.held)

    def __format__(self, spec: str) -> str:
        return format(self.item() if self.ndim == 0 else repr(self), spec)


def _held(x):
    return x.held if isinstance(x, Elsewhere) else x


def computed(function, *args, **kwargs):
    """An operation, where its operands or its ``device`` say."""
    leaves = tree_leaves((args, kwargs))
    away = any(isinstance(x, Elsewhere) for x in leaves)
    here = any(isinstance(x, Tensor) and not isinstance(x, Elsewhere) and x.ndim for x in leaves)
    name = function.name().removeprefix("aten::").partition(".")[0]
    if away and here and name not in BETWEEN:
        raise RuntimeError(f"{name}: expected all tensors to be on the same device")
    if name == "copy_":
        away = isinstance(args[0], Elsewhere)
    if kwargs.get("device") is not None:
        away = torch.device(kwargs["device"]).type == NAME
    own = {id(x.held): x for x in leaves if isinstance(x, Elsewhere)}

    def inside(x):
        return torch.device("cpu") if isinstance(x, torch.device) else _held(x)

    def outside(x):
        return own.get(id(x), Elsewhere(x) if away else x) if isinstance(x, Tensor) else x

    args, kwargs = tree_map(inside, (args, kwargs))
    return tree_map(outside, function(*args, **kwargs))


class Backend(backend_registration._DummyBackendModule):
    """What PyTorch asks of a device; its random numbers are the CPU's."""

    def get_rng_state(self, device=None) -> Tensor:
        return torch.random.get_rng_state()

    def set_rng_state(self, state: Tensor, device=None) -> None:
        torch.random.set_rng_state(state)


def register() -> list[torch.library.Library]:
    """Make the device known; it lives as long as what is returned."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, Backend())
    libraries = [torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")]
    libraries[0].fallback(computed, "PrivateUse1")  # tensors that are made there
    for name in RESIZED:
        packet, _, overload = name.partition(".")
        operation = getattr(getattr(torch.ops.aten, packet), overload or "default")
        libraries[1].impl(name, partial(computed, operation), "PrivateUse1")
    make, tensor = Tensor._make_subclass, torch.tensor

    def subclass(cls, data: Tensor, requires_grad: bool = False, **kwargs):
        return make(cls, _held(data), requires_grad, **kwargs)  # of a jet

    def from_data(data, *, device=None, requires_grad=False, **kwargs):
        return tensor(data, **kwargs).to(device).requires_grad_(requires_grad)

    Tensor._make_subclass, torch.tensor = staticmethod(subclass), from_data
    torch.__future__.set_overwrite_module_params_on_conversion(True)  # .double() of a module
    return libraries


def run(notebook_id: str) -> None:
    """The cells of a notebook, one after the other."""
    from inrkit.companion import notebooks

    (notebook,) = notebooks.select([notebook_id])
    names = {"__name__": "__main__", "display": lambda *shown, **_: None}
    os.chdir(notebook.path.parent)
    for index, cell in enumerate(c for c in notebook.content.cells if c.cell_type == "code"):
        exec(compile(cell.source, f"{notebook_id}, code cell {index + 1}", "exec"), names)
        if "parameters" in cell.metadata.get("tags", ()):
            names.update(notebook.changes("smoke", {"device": NAME}))


if __name__ == "__main__":
    library = register()
    from inrkit import paths

    with tempfile.TemporaryDirectory() as folder:
        paths.RESULTS = Path(folder)
        for name in sys.argv[1:]:
            run(name)
