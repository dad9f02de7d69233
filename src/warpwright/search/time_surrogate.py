"""What is to be expected of configs that were not timed, from those that were.

A Gaussian process over the axes: each value is its place on its axis, and neighbours are alike. The
log of the time is a sum of one smooth curve for each axis and of a smooth surface over all of them
(additive kernels: D. Duvenaud, H. Nickisch, C. Rasmussen, "Additive Gaussian Processes", NeurIPS
2011). How smooth along each axis is chosen by the likelihood of what was timed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]

LENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Steps along an axis over which times stay alike; the last: the axis hardly matters."""
SHARES = (0.2, 0.5, 0.8)
"""Of the variance, what the axes have by themselves."""
NOISE = 1e-3
"""Of the variance: what timings differ by when repeated."""
SWEEPS = 2


@dataclass(frozen=True, slots=True)
class Surrogate:
    """A fitted model. `places`: [timed, axes]; times are logs, standardised."""

    places: Array
    wanted: Array
    lengths: Array
    share: float
    factor: Array  # lower Cholesky factor of the covariance
    weights: Array
    mean: float
    scale: float

    def expected(self, places: Array) -> tuple[Array, Array]:
        """Expected log times of configs at some places [n, axes], and their standard errors."""
        across = _covariance(places, self.places, self.lengths, self.share)
        solved = np.linalg.solve(self.factor, across.T)
        variance = np.maximum(1.0 - (solved**2).sum(axis=0), 1e-9)
        expected = self.mean + self.scale * (across @ self.weights)
        return expected, self.scale * np.sqrt(variance)

    def believing(self, places: Array, logs: Array) -> Surrogate:
        """The same with more configs, as if these had been timed."""
        all_places = np.concatenate([self.places, places])
        wanted = np.concatenate([self.wanted, (logs - self.mean) / self.scale])
        factor, weights = _solved(all_places, wanted, self.lengths, self.share)
        return replace(self, places=all_places, wanted=wanted, factor=factor, weights=weights)


def fit(places: Array, logs: Array) -> Surrogate:
    """Fit to configs at `places` [n, axes] that took exp(`logs`) [n]; n ≥ 2."""
    mean, scale = float(logs.mean()), float(logs.std()) or 1.0
    wanted = (logs - mean) / scale
    lengths = np.full(places.shape[1], 2.0)
    share = SHARES[1]
    best = _likelihood(places, wanted, lengths, share)
    for _ in range(SWEEPS):
        for axis in range(places.shape[1]):
            for length in LENGTHS:
                tried = lengths.copy()
                tried[axis] = length
                if (likely := _likelihood(places, wanted, tried, share)) > best:
                    best, lengths = likely, tried
        for other in SHARES:
            if (likely := _likelihood(places, wanted, lengths, other)) > best:
                best, share = likely, other
    factor, weights = _solved(places, wanted, lengths, share)
    return Surrogate(places, wanted, lengths, share, factor, weights, mean, scale)


def expected_gain(surrogate: Surrogate, places: Array, best: float) -> Array:
    """How far below `best` (a log of a time) the configs may be expected to come.

    The expected improvement of D. Jones, M. Schonlau, W. Welch, "Efficient Global Optimization of
    Expensive Black-Box Functions", 1998.
    """
    expected, error = surrogate.expected(places)
    ahead = best - expected
    z = ahead / error
    below = 0.5 * (1 + np.vectorize(math.erf)(z / math.sqrt(2)))
    gain: Array = ahead * below + error * np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return gain


def _covariance(left: Array, right: Array, lengths: Array, share: float) -> Array:
    squares = ((left[:, None, :] - right[None, :, :]) / lengths) ** 2
    alone = np.exp(-0.5 * squares).mean(axis=2)
    together = np.exp(-0.5 * squares.sum(axis=2))
    covariance: Array = share * alone + (1 - share) * together
    return covariance


def _solved(places: Array, wanted: Array, lengths: Array, share: float) -> tuple[Array, Array]:
    covariance = _covariance(places, places, lengths, share)
    noisy = covariance + NOISE * np.eye(len(places))
    factor = np.asarray(np.linalg.cholesky(noisy), dtype=np.float64)
    return factor, np.linalg.solve(factor.T, np.linalg.solve(factor, wanted))


def _likelihood(places: Array, wanted: Array, lengths: Array, share: float) -> float:
    """The log likelihood, but for a constant, with the variance that suits best."""
    factor, weights = _solved(places, wanted, lengths, share)
    variance = max(float(wanted @ weights) / len(wanted), 1e-12)
    return -0.5 * len(wanted) * math.log(variance) - float(np.log(np.diag(factor)).sum())
