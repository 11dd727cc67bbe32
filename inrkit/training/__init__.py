"""Training: losses, the one loop, checkpoints."""

from inrkit.training.checkpoint import CheckpointError
from inrkit.training.fit import Fit, Loss, NonFiniteLoss, chunk_rows, fit, stepper
from inrkit.training.losses import Regression

__all__ = [
    "CheckpointError",
    "Fit",
    "Loss",
    "NonFiniteLoss",
    "Regression",
    "chunk_rows",
    "fit",
    "stepper",
]
