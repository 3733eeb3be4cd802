"""The figures of all runs at one limit."""

from __future__ import annotations

# Some overloads of numpy's and scipy's functions have unknown parts:
# pyright: reportUnknownMemberType=false
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asyncbatch.tuning._run import Floats, Run, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitFigures:
    """All runs at one limit.

    Attributes:
        limit: The limit.
        runs: One run per round.
        memory: Bytes that a batch takes at its peak, of Python's memory; None if it was not measured.
    """

    limit: int
    runs: Sequence[Run]
    memory: int | None = None

    @property
    def throughput(self) -> float:
        """Records that succeeded per second, the median of the rounds."""
        return float(np.median([run.throughput for run in self.runs]))

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the most throughput of a round."""
        throughputs = [run.throughput for run in self.runs]
        return min(throughputs), max(throughputs)

    @property
    def latencies(self) -> Floats:
        """Seconds of every record that succeeded, of all rounds."""
        return np.concatenate([run.latencies for run in self.runs])

    def latency(self, percent: float) -> float | None:
        """A percentile of the latencies in seconds; None where nothing succeeded."""
        latencies = self.latencies
        return float(np.percentile(latencies, percent)) if len(latencies) else None

    @property
    def in_flight(self) -> float:
        """Records in flight on average, while records waited."""
        return float(np.mean([run.in_flight for run in self.runs]))

    @property
    def peak(self) -> int:
        """Most records in flight at once."""
        return max(run.peak for run in self.runs)

    @property
    def tally(self) -> Tally:
        """What became of the records."""
        return sum((run.tally for run in self.runs), Tally())
