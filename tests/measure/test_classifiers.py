"""Principal components and the support vector machine against what defines them."""

import numpy as np
import pytest

from inrkit.measure import principal_components, support_vectors
from inrkit.measure.classifiers import _kernel, fit_kernel_machine

CHANCE = np.random.default_rng(0)


def test_components_are_the_covariances_eigenvectors():
    x = CHANCE.normal(size=(80, 5)) * [5, 3, 1, 0.5, 0.1]
    mine, same = principal_components(x, x, 2)
    values, vectors = np.linalg.eigh(np.cov(x.T))
    assert np.allclose(mine, same)
    assert np.allclose(mine.var(0, ddof=1), values[::-1][:2])
    along = (x - x.mean(0)) @ vectors[:, ::-1][:, :2]
    assert np.allclose(np.abs(mine), np.abs(along))
    with pytest.raises(ValueError, match="1 to 5 components"):
        principal_components(x, x, 6)


def test_the_machine_satisfies_its_optimality_conditions():
    x = CHANCE.normal(size=(60, 3))
    labels = CHANCE.integers(0, 3, 60)
    kernel, penalty = _kernel(x, x, 0.5), 2.0
    a = fit_kernel_machine(kernel, labels, penalty)
    signs = np.where(labels[:, None] == np.arange(3), 1, -1)
    slack = np.maximum(0, 1 - signs * (kernel @ a))
    # K (a - 2 C y slack) = 0, and K is regular
    assert np.abs(kernel @ (a - 2 * penalty * signs * slack)).max() < 1e-3


def test_a_ring_is_told_from_its_centre():
    angle = CHANCE.uniform(0, 2 * np.pi, 200)
    radius = np.where(np.arange(200) % 2, 0.3, 1.0) + CHANCE.normal(0, 0.05, 200)
    x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    labels = np.where(np.arange(200) % 2, 7, 4)
    found = support_vectors(x[:100], labels[:100], x[100:])
    assert (found == labels[100:]).mean() > 0.97
