"""Thousands of fields, one a signal: fitted in groups, kept in one file, and so are derivatives."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from inrkit.calculus import partials, total_degree
from inrkit.fields import join, stack, unstack
from inrkit.training import journal
from inrkit.training.checkpoint import CheckpointError, Kept
from inrkit.training.fit import fit
from inrkit.training.journal import Parts
from inrkit.training.losses import Regression
from inrkit.training.progress import Progress


@contextmanager
def _own_chance() -> Iterator[None]:
    """Random numbers within are the same in every process; the caller's are left as they were."""
    with torch.random.fork_rng(range(torch.cuda.device_count())):
        torch.manual_seed(0)
        yield


@_own_chance()
def fit_collection(
    build: Callable[[], nn.Module],
    coords: Tensor,
    values: Tensor,
    *,
    steps: int,
    lr: float,
    group: int = 16,
    shared: bool = False,
    seed: int = 0,
    file: Path | None = None,
    progress: bool = True,
    name: str = "fields",
) -> nn.Module:
    """A field for each of many signals on the same coordinates, as one stack.

    Groups are fitted as stacks. A stopped run goes on within the group where it stopped; what is
    complete is kept in one file with a checksum, and not fitted again.

    Args:
        build: makes a network; called once a signal.
        coords: ``(n, d)``.
        values: ``(N, n, c)``.
        steps, lr: of each fit, by Adam.
        group: signals at a time; 16 small networks fit into a core's cache.
        shared: whether all start from the same weights, or each from its own.
        seed: of the first signal's weights; of the others, the numbers that follow.
        file: ``NAME.pt`` becomes ``NAME.<digest>.pt``, which names all that determines the fields.
        progress: whether to draw a progress bar.
        name: what the bar calls the fields.

    Returns:
        a module whose parameters have N as their first axis, on the device of the coordinates.

    Raises:
        ValueError: there is no signal.
        CheckpointError: the file is damaged.
    """
    if len(values) == 0:
        raise ValueError("a collection needs at least one signal")

    def group_of(first: int) -> nn.Module:
        indices = range(first, min(first + group, len(values)))
        models = [_seeded(build, seed if shared else seed + i) for i in indices]
        return stack(models).to(coords.device)

    settings = (build, values, steps, lr, group, shared, seed)
    kept = Kept(file, coords.device, group_of(0) if file else None, coords, settings)
    found = _load(kept)
    if found is not None:
        journal.note(file.stem, steps, Parts(found["parts"]))
        return _restored(group_of(0), found["state"], len(values))
    parts, firsts = [], range(0, len(values), group)
    bar = Progress(name, len(firsts), 0, progress)
    with journal.together() as done_in:
        for done, first in enumerate(firsts, start=1):
            loss = Regression(coords, values[first : first + group])
            unfinished = kept.path and kept.path.with_name(f"{kept.path.stem}-group{first}.pt")
            result = fit(group_of(first), loss, steps=steps, lr=lr, checkpoint=unfinished,
                         name=f"{name} {first}", progress=False)  # fmt: skip
            parts.append(result.model)
            bar.report(done, result.losses[-1].mean().item())
    bar.close()
    whole = join(parts)
    journal.note(file.stem if file else name, steps, done_in)
    _save(kept, whole.state_dict(), done_in)
    if kept.path:
        for unfinished in kept.path.parent.glob(f"{kept.path.stem}-group*.pt"):
            unfinished.unlink()
    return whole


def _seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build()


def _restored(example: nn.Module, state: dict[str, Tensor], count: int) -> nn.Module:
    repeats = -(-count // next(example.parameters()).shape[0])
    whole = unstack(join([example] * repeats), slice(count))
    whole.load_state_dict(state)
    return whole


@_own_chance()
def collection_partials(
    fields: nn.Module,
    coords: Tensor,
    order: int,
    *,
    unit: float = 1.0,
    group: int = 16,
    file: Path | None = None,
    progress: bool = True,
    name: str = "derivatives",
) -> Tensor:
    r"""All distinct partial derivatives of many fields, computed once.

    .. math:: \ell^{|\alpha|} D^\alpha \Phi_i(x_j), \qquad |\alpha| \le K

    Groups of fields stay in a core's cache. What is kept in a file, with a checksum, is read
    instead of computed again.

    Args:
        fields: stack of N, from :func:`fit_collection`; moved by stacked maps, too.
        coords: :math:`x_j`, ``(n, d)``, the same for all fields.
        order: K.
        unit: length :math:`\ell` in which derivatives are taken, as in
            :class:`~inrkit.fields.INSPConvNet`.
        group: fields at a time.
        file: ``NAME.pt`` becomes ``NAME.<digest>.pt``, which names all that determines the numbers.
        progress: whether to draw a progress bar.
        name: what the bar calls them.

    Returns:
        ``(rows, N, n, c)``, rows sorted as :func:`~inrkit.calculus.total_degree`.

    Raises:
        CheckpointError: the file is damaged.
    """
    kept = Kept(file, coords.device, fields, coords, (order, unit, group))
    before = _load(kept)
    if before is not None:
        return before["state"]["values"]
    count = len(next(fields.parameters()))
    powers = [unit ** sum(index) for index in total_degree(coords.shape[-1], order).indices]
    powers = coords.new_tensor(powers).reshape(-1, 1, 1, 1)
    firsts = range(0, count, group)
    bar, values = Progress(name, len(firsts), 0, progress), None
    for done, first in enumerate(firsts, start=1):
        part = slice(first, first + group)
        with torch.no_grad():
            found = partials(unstack(fields, part), coords, order).values
        if values is None:
            values = found.new_empty(len(powers), count, *found.shape[2:])
        values[:, part] = powers * found
        if bar.due() or done == len(firsts):
            bar.report(done)
    bar.close()
    _save(kept, {"values": values}, Parts())
    return values


def _save(kept: Kept, state: dict[str, Tensor], parts: Parts) -> None:
    kept.save({"state": state, "parts": parts.all, "sha256": _sum(state)}, finished=True)


def _load(kept: Kept) -> dict | None:
    found = kept.load()
    if found is not None:
        if _sum(found["state"]) != found["sha256"]:
            raise CheckpointError(f"{kept.path} is damaged: its checksum is wrong; delete it")
        kept.draw_on(found)
    return found


def _sum(state: dict[str, Tensor]) -> str:
    total = hashlib.sha256()
    for name in sorted(state):
        total.update(name.encode())
        total.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return total.hexdigest()
