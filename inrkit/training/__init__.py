"""Training: losses, the one loop, checkpoints."""

from inrkit.training.checkpoint import CheckpointError
from inrkit.training.fit import Fit, NonFiniteLoss, chunk_rows, fit, stepper
from inrkit.training.losses import (
    Blurred,
    Loss,
    Minibatch,
    Prior,
    Regression,
    SignedDistance,
    SquaredError,
    Sum,
    gradient_regression,
    hessian_frobenius,
    laplacian_regression,
    total_variation,
)
from inrkit.training.occupancy import Occupancy
from inrkit.training.reuse import Reusing

__all__ = [
    "Reusing",
    "Blurred",
    "CheckpointError",
    "Fit",
    "Loss",
    "Minibatch",
    "NonFiniteLoss",
    "Occupancy",
    "Prior",
    "Regression",
    "SignedDistance",
    "SquaredError",
    "Sum",
    "chunk_rows",
    "fit",
    "gradient_regression",
    "hessian_frobenius",
    "laplacian_regression",
    "stepper",
    "total_variation",
]
