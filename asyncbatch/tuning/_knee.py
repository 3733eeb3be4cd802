"""The knee: the limit beyond which more in flight buys latency and no throughput.

Two definitions are in use, and both are computed here:

- where the asymptotes cross, N* = most throughput x least latency, by Little's law the records in flight at which
  nobody would have to wait if all went evenly (P. J. Denning and J. P. Buzen, "The Operational Analysis of
  Queueing Network Models", ACM Computing Surveys 10(3), 1978);
- where power, throughput / latency, is greatest (L. Kleinrock, "Power and Deterministic Rules of Thumb for
  Probabilistic Problems in Computer Communications", ICC 1979).

For a closed queue in front of c equal servers both are c. The first is estimated from many runs, the second can
only be one of the limits that were run: the first is recommended, the second confirms it.
"""

# Some overloads of numpy's and scipy's functions have unknown parts:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES: Final = 500
INTERVAL: Final = (2.5, 97.5)
PLATEAU: Final = 0.97
"""Limits within 3 % of the best are all as good: the mean of them is less biased upwards than the best alone."""
FREE: Final = 0.7
SAME: Final = 1.15
"""Latencies are samples of the least one up to 0.7 of the knee, while their mean is within 15 %: more samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knee:
    """Where the knee is.

    Attributes:
        limit: Where the asymptotes cross, in records in flight.
        low: The lower end of the 95 % interval of it.
        high: The upper end.
        power: The limit, of those run, with the greatest power.
        capacity: Most throughput, in records per second.
        latency: Least latency: seconds of a record that nobody stands in front of, on average.
    """

    limit: float
    low: float
    high: float
    power: int
    capacity: float
    latency: float


def find_knee(limits: Floats, throughputs: Floats, latencies: Floats, counts: Floats, *, seed: int) -> Knee:
    """Estimate the knee, and by resampling whole rounds how sure that is.

    Args:
        limits: The limits, ascending: n of them.
        throughputs: Records per second, rounds x n.
        latencies: Mean seconds per record that succeeded, rounds x n.
        counts: How many records each of the means is of, rounds x n.
        seed: What the resamples are drawn from.
    """
    rounds = len(throughputs)
    center, capacity, latency = _asymptotes(limits, throughputs, latencies, counts)
    rng = np.random.default_rng(seed)
    draws = rng.integers(0, rounds, size=(RESAMPLES, rounds))
    resampled = [_asymptotes(limits, throughputs[draw], latencies[draw], counts[draw])[0] for draw in draws]
    low, high = np.percentile(resampled, INTERVAL)
    power = np.median(throughputs, axis=0) / _mean(latencies, counts)
    return Knee(
        limit=center,
        low=float(min(low, center)),
        high=float(max(high, center)),
        power=int(limits[int(np.argmax(power))]),
        capacity=capacity,
        latency=latency,
    )


def _asymptotes(
    limits: Floats, throughputs: Floats, latencies: Floats, counts: Floats
) -> tuple[float, float, float]:
    """Where the asymptotes cross, the throughput of one and the latency of the other."""
    throughput = np.median(throughputs, axis=0)
    latency = _mean(latencies, counts)
    best: float = np.max(throughput)
    capacity = float(throughput[throughput >= PLATEAU * best].mean())
    least = _least_latency(limits, latency, counts.sum(axis=0), capacity)
    return capacity * least, capacity, least


def _least_latency(limits: Floats, latency: Floats, counts: Floats, capacity: float) -> float:
    """The mean latency where nobody waits: at limit 1, and at those above it for which it is still the same."""
    pooled, weight = float(latency[0]), float(counts[0])
    for limit, mean, count in zip(limits[1:], latency[1:], counts[1:], strict=True):
        if limit > FREE * capacity * pooled or mean > SAME * pooled:
            break
        pooled = float(pooled * weight + mean * count) / float(weight + count)
        weight += float(count)
    return pooled


def _mean(latencies: Floats, counts: Floats) -> Floats:
    """The mean latency at each limit over all rounds."""
    mean: Floats = np.sum(latencies * counts, axis=0) / np.maximum(counts.sum(axis=0), 1)
    return mean
