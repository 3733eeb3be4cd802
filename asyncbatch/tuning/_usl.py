"""Gunther's Universal Scalability Law, fitted to throughput by limit.

N. J. Gunther, Guerrilla Capacity Planning, Springer 2007, chapters 4 to 6; "A General Theory of Computational
Scalability Based on Rational Functions", arXiv:0808.1431. Throughput at N in flight is

    X(N) = rate N / (1 + contention (N - 1) + coherency N (N - 1))

with the throughput of one alone, the share of the work that queues, and the cost of agreement between each pair.
"""

# Some overloads of numpy's and scipy's functions have unknown parts:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Floats = NDArray[np.float64]

LEAST_LIMITS: Final = 4
"""Three parameters go through any three points: a fit to fewer than four says nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalabilityLaw:
    """A fitted law.

    Attributes:
        rate: Records per second at limit 1 (Gunther's lambda or gamma).
        contention: Sigma, from 0 to 1.
        coherency: Kappa, from 0 on.
        errors: The standard errors of the three, in this order; infinite where the data do not tell.
        goodness: The coefficient of determination: the share of the variation that the law explains, at most 1.
    """

    rate: float
    contention: float
    coherency: float
    errors: tuple[float, float, float]
    goodness: float

    def throughput(self, limit: float) -> float:
        """Records per second at a limit."""
        return float(_law(np.array([limit]), self.rate, self.contention, self.coherency)[0])

    @property
    def peak(self) -> float:
        """The limit of most throughput; infinite where it only flattens out."""
        if self.coherency <= 0:
            return math.inf
        return max(1.0, math.sqrt((1 - self.contention) / self.coherency))


def fit_law(limits: Floats, throughputs: Floats) -> ScalabilityLaw | None:
    """Fit the law by least squares of relative errors.

    Relative, because throughput's noise grows with throughput, and the few at low limits tell `rate`.

    Args:
        limits: The limits, at least four different ones for a result.
        throughputs: Records per second at each.

    Returns:
        The law; None where the data cannot tell one.
    """
    seen = throughputs > 0
    limits, throughputs = limits[seen], throughputs[seen]
    if len(set(limits.tolist())) < LEAST_LIMITS:
        return None
    first = float(np.max(throughputs / limits))
    start = (first, 0.01, 1e-4)
    bounds = ([0.0, 0.0, 0.0], [np.inf, 1.0, 1.0])
    with warnings.catch_warnings():
        # A parameter at its bound has no error, and scipy says so: it is infinite below.
        warnings.simplefilter("ignore", optimize.OptimizeWarning)
        try:
            found, covariance = optimize.curve_fit(
                _law,
                limits,
                throughputs,
                p0=start,
                sigma=throughputs,
                bounds=bounds,
                x_scale=(first, 0.1, 1e-3),
            )
        except RuntimeError:  # it did not converge
            return None
    parameters = cast("Floats", found)
    rate, contention, coherency = parameters.tolist()
    errors = np.sqrt(np.abs(np.diag(cast("Floats", covariance))))
    return ScalabilityLaw(
        rate=rate,
        contention=contention,
        coherency=coherency,
        errors=(float(errors[0]), float(errors[1]), float(errors[2])),
        goodness=goodness(throughputs, _law(limits, rate, contention, coherency)),
    )


def goodness(seen: Floats, said: Floats) -> float:
    """The coefficient of determination; 1 for a perfect fit, 0 or less for one no better than the mean."""
    scatter = float(np.sum((seen - seen.mean()) ** 2))
    missed = float(np.sum((seen - said) ** 2))
    if scatter <= 1e-12 * float(np.sum(seen**2)):  # flat: there is no variation to explain
        return 1.0 if missed <= 1e-6 * float(np.sum(seen**2)) else 0.0
    return 1.0 - missed / scatter


def _law(limits: Floats, rate: float, contention: float, coherency: float) -> Floats:
    return rate * limits / (1 + contention * (limits - 1) + coherency * limits * (limits - 1))
