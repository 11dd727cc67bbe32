"""Training: losses, the one loop, checkpoints."""

from inrkit.training.checkpoint import CheckpointError
from inrkit.training.classification import Classification, predict
from inrkit.training.collection import collection_partials, fit_collection
from inrkit.training.completion import Completion, random_masks
from inrkit.training.equations import Helmholtz, Inversion, Pretraining, Wave, perturbed
from inrkit.training.fit import Fit, NonFiniteLoss, chunk_rows, fit, stepper
from inrkit.training.losses import (
    Blurred,
    Minibatch,
    Prior,
    Regression,
    SignedDistance,
    gradient_regression,
    hessian_frobenius,
    laplacian_regression,
    total_variation,
)
from inrkit.training.occupancy import Occupancy
from inrkit.training.protocol import Loss, Pointwise, Sum, mean
from inrkit.training.radiance import Radiance
from inrkit.training.reuse import Reusing
from inrkit.training.schedules import Ramp, Scheduled
from inrkit.training.two_scales import TwoScales

__all__ = [
    "Blurred",
    "CheckpointError",
    "Classification",
    "Completion",
    "Fit",
    "Helmholtz",
    "Inversion",
    "Loss",
    "Minibatch",
    "NonFiniteLoss",
    "Occupancy",
    "Pretraining",
    "Prior",
    "Pointwise",
    "Radiance",
    "Ramp",
    "Regression",
    "Reusing",
    "Scheduled",
    "SignedDistance",
    "Sum",
    "TwoScales",
    "Wave",
    "chunk_rows",
    "collection_partials",
    "fit",
    "fit_collection",
    "gradient_regression",
    "hessian_frobenius",
    "laplacian_regression",
    "mean",
    "perturbed",
    "predict",
    "random_masks",
    "stepper",
    "total_variation",
]
