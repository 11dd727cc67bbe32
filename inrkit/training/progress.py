"""Progress of a fit: a bar for a person, or a small file for the program that runs the notebook."""

import json
import os
import sys
import time

from tqdm import tqdm

ENVIRONMENT = "INRKIT_PROGRESS"
INTERVAL = 0.5  # seconds between two reports


class Progress:
    """Reports steps at most twice a second, and tells when it did so.

    With the environment variable ``INRKIT_PROGRESS`` set to a path, the state goes there as JSON
    and no bar is drawn.
    """

    def __init__(self, name: str, steps: int, first: int, show: bool):
        self.name, self.steps, self.seen = name, steps, first
        self.path = os.environ.get(ENVIRONMENT)
        self.last = time.monotonic()
        hidden = not show or self.path is not None
        self.bar = tqdm(
            total=steps, initial=first, desc=name, disable=hidden, leave=False, file=sys.stderr
        )

    def due(self) -> bool:
        """Whether it is time to report again."""
        return time.monotonic() - self.last >= INTERVAL

    def report(self, step: int, loss: float | None = None) -> None:
        """Show that ``step`` steps are done."""
        self.last = time.monotonic()
        if loss is not None:
            self.bar.set_postfix_str(f"loss {loss:.2e}", refresh=False)
        self.bar.update(step - self.seen)
        self.seen = step
        if self.path:
            partial = f"{self.path}.part"
            with open(partial, "w") as file:
                json.dump({"name": self.name, "step": step, "steps": self.steps}, file)
            os.replace(partial, self.path)

    def close(self) -> None:
        """Remove the bar."""
        self.bar.close()
