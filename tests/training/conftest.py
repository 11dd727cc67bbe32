"""How fits are interrupted: by no part of a fit, which its checkpoint would know as another."""

import pytest

from inrkit.training import checkpoint


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
