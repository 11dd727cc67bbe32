"""How fits are interrupted: by no part of a fit, which its checkpoint would know as another."""

import pytest
import torch

from inrkit.training import checkpoint


class Saves:
    """Stands for ``torch.save``: the steps that were saved, and the last one that may be."""

    def __init__(self):
        self.steps, self.last, self.save = [], None, torch.save

    def __call__(self, state, file):
        if self.last == len(self.steps):
            self.last = None
            raise KeyboardInterrupt
        self.steps.append(state["step"])
        self.save(state, file)


@pytest.fixture
def saves(monkeypatch):
    """Fits that save every step: ``saves.last = 7`` interrupts the next one in its eighth."""
    found = Saves()
    monkeypatch.setattr(torch, "save", found)
    return found


@pytest.fixture
def stop_after(monkeypatch):
    """``stop_after(n)``: as Ctrl-C would, once ``n`` checkpoints have been written from now on."""
    save = checkpoint.save

    def after(count):
        written = []

        def stopping(path, state):
            save(path, state)
            written.append(path)
            if len(written) == count:
                raise KeyboardInterrupt

        monkeypatch.setattr(checkpoint, "save", stopping)

    return after
