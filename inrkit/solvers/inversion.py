r"""Full-waveform inversion at one frequency: the slowness of a medium from waves at its rim.

.. math:: \min_{m, u} \; \tfrac12 \sum_s \|P u_s - d_s\|^2
          \quad \text{such that} \quad H(m) \, u_s = f_s

(SIREN, Suppl. Eq. 12), P sampling the field at receivers and H(m) as in
:mod:`inrkit.solvers.helmholtz`. Two ways to the slowness, both from m = 1: :func:`adjoint_state`
keeps the equation and descends in m; :func:`admm` gives the equation up for a while, and lets the
fields follow the data.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import make_interp_spline
from scipy.optimize import minimize

from inrkit.solvers.helmholtz import Discretization, axis, discretize

BOUNDS = (0.05, 2.0)  # of squared slowness


def sample(fields: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Fields at any points, by splines of fifth degree, as exact as the scheme that gave them.

    Args:
        fields: ``(*any, N, N)``.
        where: points in [-1, 1]², ``(R, 2)``.

    Returns:
        ``(*any, R)``.
    """
    rows, columns = _splines(fields.shape[-1], where)
    return np.einsum("ri,...ij,rj->...r", rows, fields, columns, optimize=True)


def _splines(points: int, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    where = np.asarray(where, dtype=float)
    if where.ndim != 2 or where.shape[1] != 2 or np.abs(where).max() > 1:
        raise ValueError(f"receivers are points (R, 2) in [-1, 1], got shape {where.shape}")
    cardinal = make_interp_spline(axis(points), np.eye(points), k=5)
    return cardinal(where[:, 0]), cardinal(where[:, 1])


@dataclass(frozen=True)
class Survey:
    """What was sent, where it was heard, and what was heard.

    Attributes:
        sources: f, ``(S, N, N)``, complex, on the grid of the inversion.
        receivers: ``(R, 2)``.
        data: d, ``(S, R)``, complex.
        wavenumber: k where m = 1.
        free: where the slowness is sought, ``(N, N)`` of booleans; elsewhere m = 1.
    """

    sources: np.ndarray
    receivers: np.ndarray
    data: np.ndarray
    wavenumber: float
    free: np.ndarray

    def __post_init__(self):
        if self.data.shape != (len(self.sources), len(self.receivers)):
            raise ValueError(
                f"data must be one row a source and one column a receiver, got {self.data.shape} "
                f"for {len(self.sources)} sources and {len(self.receivers)} receivers"
            )

    @cached_property
    def scheme(self) -> Discretization:
        """The equation on the survey's grid."""
        return discretize(self.sources.shape[-1], self.wavenumber)

    @cached_property
    def receive(self) -> np.ndarray:
        """P, ``(R, n)``."""
        rows, columns = _splines(self.scheme.points, self.receivers)
        return self.scheme.inner(rows[:, :, None] * columns[:, None, :]).T

    def misfit(self, slowness_squared: np.ndarray) -> tuple[float, np.ndarray]:
        r"""Half the squared misfit of the fields in a medium, and its gradient by adjoint states.

        .. math:: A^T \lambda_s = P^T \overline{(P u_s - d_s)}, \qquad
                  \frac{\partial J}{\partial m} = -\mathrm{Re} \sum_s w \, (B \lambda_s) \, u_s

        Args:
            slowness_squared: m, ``(N, N)``.

        Returns:
            J, and its gradient ``(N, N)``, zero where the slowness is not free.
        """
        scheme = self.scheme
        lu = scheme.factor(slowness_squared)
        u = lu.solve(scheme.average @ scheme.inner(self.sources))
        residual = self.receive @ u - self.data.T
        adjoint = lu.solve(self.receive.T @ residual.conj(), trans="T")
        slope = -(scheme.mass[:, None] * (scheme.average @ adjoint) * u).sum(1).real
        return np.square(np.abs(residual)).sum() / 2, scheme.outer(slope) * self.free


@dataclass(frozen=True)
class Reconstruction:
    """What an inversion found.

    Attributes:
        slowness_squared: m, ``(N, N)``.
        wavefields: u, ``(S, N, N)``.
        misfits: half the squared misfit of fields that obey the equation, before each iteration
            and after the last.
    """

    slowness_squared: np.ndarray
    wavefields: np.ndarray
    misfits: np.ndarray


def adjoint_state(survey: Survey, iterations: int = 20) -> Reconstruction:
    """Descent in the slowness alone, by L-BFGS-B within :data:`BOUNDS`.

    Args:
        survey: sources, receivers and data.
        iterations: of L-BFGS-B, each about one evaluation of :meth:`Survey.misfit`.
    """
    free, m = survey.free, np.ones(survey.free.shape)
    start, _ = survey.misfit(m)
    misfits = [start]

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        m[free] = values
        misfit, slope = survey.misfit(m)
        return misfit / start, slope[free] / start

    found = minimize(
        objective,
        m[free],
        jac=True,
        method="L-BFGS-B",
        bounds=[BOUNDS] * int(free.sum()),
        callback=lambda intermediate_result: misfits.append(start * intermediate_result.fun),
        options={"maxiter": iterations, "ftol": 0.0, "gtol": 0.0},
    )
    m[free] = found.x
    scheme = survey.scheme
    u = scheme.factor(m).solve(scheme.average @ scheme.inner(survey.sources))
    return Reconstruction(m, scheme.outer(u), np.array(misfits))


def admm(survey: Survey, iterations: int = 50, penalty: float = 1e-2) -> Reconstruction:
    r"""Wavefield reconstruction by the alternating direction method of multipliers.

    With :math:`G(m) = B^{-1} A(m)`, scaled multipliers :math:`\bar d, \bar f` that start at zero,
    and :math:`\mu` the penalty, one iteration is (Aghamiry et al. 2019, SIREN's baseline)

    .. math:: u &= \arg\min_u \|P u - d - \bar d\|^2 + \mu \|G(m) u - f - \bar f\|^2 \\
              m &= \arg\min_m \|G(m) u - f - \bar f\|^2 \quad \text{within BOUNDS} \\
              \bar d &\leftarrow \bar d + d - P u, \qquad
              \bar f \leftarrow \bar f + f - G(m) u

    The first has a solution with as many unknowns as receivers: :math:`v = G u - f - \bar f` is
    :math:`Q^H (Q Q^H + \mu)^{-1} (d + \bar d - Q (f + \bar f))` with :math:`Q = P G^{-1}`. The
    second is one division a point, since m enters G as the diagonal w m. The fields returned are
    those of the last iteration, which obey the equation in the limit only.

    Args:
        survey: sources, receivers and data.
        iterations: of all three.
        penalty: :math:`\mu`, in parts of the largest eigenvalue of :math:`Q Q^H` at m = 1.
    """
    scheme, f, d = survey.scheme, survey.scheme.inner(survey.sources), survey.data.T
    free, m = scheme.inner(survey.free), np.ones(len(scheme.mass))
    source_dual, data_dual, misfits, mu = np.zeros_like(f), np.zeros_like(d), [], None
    for _ in range(iterations):
        lu = scheme.factor(_padded(scheme, m))
        q = (scheme.average @ lu.solve(survey.receive.T.astype(complex), trans="T")).T
        gram = q @ q.conj().T
        mu = penalty * np.linalg.eigvalsh(gram)[-1] if mu is None else mu
        misfits.append(np.square(np.abs(q @ f - d)).sum() / 2)
        missing = d + data_dual - q @ (f + source_dual)
        v = q.conj().T @ np.linalg.solve(gram + mu * np.eye(len(gram)), missing)
        u = lu.solve(scheme.average @ (f + source_dual + v))
        slope = scheme.mass[:, None] * u
        step = -(slope.conj() * v).sum(1).real / np.square(np.abs(slope)).sum(1)
        new = np.where(free, np.clip(m + step, *BOUNDS), m)
        data_dual = data_dual + d - survey.receive @ u
        source_dual = -(v + slope * (new - m)[:, None])
        m = new
    m = _padded(scheme, m)
    return Reconstruction(m, scheme.outer(u), np.array([*misfits, survey.misfit(m)[0]]))


def _padded(scheme: Discretization, m: np.ndarray) -> np.ndarray:
    """m at inner points as ``(N, N)``, one on the border."""
    return 1 + scheme.outer(m - 1)
