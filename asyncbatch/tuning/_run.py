"""One batch at one limit, measured: throughput while records waited, latencies, what did not succeed."""

# Some overloads of numpy's and scipy's functions have unknown parts:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from asyncbatch import (
    BatchHandler,
    BatchReport,
    Failed,
    FailureReason,
    Outcome,
    Skipped,
    SkipReason,
    Succeeded,
)
from asyncbatch.testing import LambdaContext
from asyncbatch.tuning._spared import Notes

Floats = NDArray[np.float64]
IsDrop = Callable[[BaseException], bool]

LAMBDA_TIMEOUT: Final = 900.0
"""Seconds that an invocation may take at most: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What became of records.

    Attributes:
        succeeded: Handlers that returned in time.
        errors: Failures that the load did not cause, as far as one can tell.
        timeouts: Records that took longer than their timeout.
        drops: Failures that say "too much": throttling, and timeouts that the handler raised.
        unfinished: Records that the deadline of the invocation cut off.
        held_back: Records that were not started, because one before them failed.
    """

    succeeded: int = 0
    errors: int = 0
    timeouts: int = 0
    drops: int = 0
    unfinished: int = 0
    held_back: int = 0

    @property
    def tried(self) -> int:
        """All records but those that another one held back: they say nothing of the limit."""
        return self.succeeded + self.errors + self.timeouts + self.drops + self.unfinished

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Tally(**dict(zip(_KINDS, map(sum, pairs), strict=True)))


_KINDS: Final = tuple(field.name for field in dataclasses.fields(Tally))


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One batch at one limit.

    Attributes:
        limit: The limit; of an adaptive one, where it ended.
        throughput: Records that succeeded, per second, while records waited to be started. What does not succeed
            is not counted: a rejected call ends early, and a run of rejected calls is fast.
        latencies: Seconds from start to end of each record that succeeded.
        in_flight: Records in flight on average, while records waited.
        peak: Most records in flight at once.
        duration: Seconds from the first start to the last end.
        tail: Seconds from the last start to the last end: fewer and fewer records are in flight.
        tally: What became of the records.
        began: When the first record started, on the event loop's clock.
        first_error: Type and text of the first failure, for people; None without one.
    """

    limit: int
    throughput: float
    latencies: Floats
    in_flight: float
    peak: int
    duration: float
    tail: float
    tally: Tally
    began: float
    first_error: str | None


def measure(
    handler: BatchHandler[Any],
    event: Mapping[str, Any],
    context: LambdaContext,
    is_drop: IsDrop,
    notes: Notes | None = None,
) -> Run:
    """Let a handler process a batch, and measure it.

    Args:
        handler: The handler; its engine has the limit.
        event: The batch.
        context: Lambda's context.
        is_drop: Whether an error says "too much".
        notes: The errors of a handler that notes them instead of raising.
    """
    report = handler.run(event, context)
    limit = handler.engine.concurrency
    kinds = [_kind(outcome, is_drop, notes or {}) for outcome in report.outcomes]
    run = _run_of(report, kinds, limit if isinstance(limit, int) else limit.current)
    if notes and run.first_error is None:
        run = dataclasses.replace(run, first_error=next(iter(notes.values())))
    return run


def _run_of(report: BatchReport, kinds: Sequence[str], limit: int) -> Run:
    begun = [outcome for outcome in report.outcomes if _started(outcome) is not None]
    zero = min((start for outcome in begun if (start := _started(outcome)) is not None), default=0.0)
    starts = _seconds(begun, _started, zero)
    ends = _seconds(begun, _ended, zero)
    duration = max(0.0, *np.nan_to_num(ends).tolist(), 0.0)
    ends = np.where(np.isnan(ends), duration, ends)  # what had not ended, was in flight until then
    won = np.array([kinds[outcome.position] == "succeeded" for outcome in begun], dtype=np.bool_)
    last_start = max(0.0, *starts.tolist(), 0.0)
    # Where all started at once nobody waited, and the batch as a whole is all there is to see.
    window = last_start or duration
    throughput = float(np.count_nonzero(won & (ends <= window))) / window if window else 0.0
    busy = float(np.sum(np.minimum(ends, window) - np.minimum(starts, window)))
    return Run(
        limit=limit,
        throughput=throughput,
        latencies=(ends - starts)[won],
        in_flight=busy / window if window else 0.0,
        peak=_peak(starts, ends),
        duration=duration,
        tail=duration - last_start,
        tally=Tally(**Counter(kinds)),
        began=zero,
        first_error=next((o.message for o in report.outcomes if isinstance(o, Failed)), None),
    )


def _started(outcome: Outcome) -> float | None:
    return None if isinstance(outcome, Skipped) else outcome.started


def _ended(outcome: Outcome) -> float | None:
    return None if isinstance(outcome, Skipped) else outcome.ended


def _seconds(outcomes: Sequence[Outcome], read: Callable[[Outcome], float | None], zero: float) -> Floats:
    """Moments as seconds from `zero`; not a number where there is none."""
    moments = [read(outcome) for outcome in outcomes]
    return np.array([np.nan if moment is None else moment - zero for moment in moments], dtype=np.float64)


def _peak(starts: Floats, ends: Floats) -> int:
    """Most records in flight at once; where one ends as another starts, they did not overlap."""
    if not len(starts):
        return 0
    times = np.concatenate((ends, starts))
    steps = np.concatenate((np.full(len(ends), -1), np.full(len(starts), 1)))
    order = np.lexsort((steps, times))
    # A record that took no time ends before it starts, here: it is in flight alone.
    return max(1, int(np.cumsum(steps[order]).max()))


_FAILED: Final = {
    FailureReason.TIMED_OUT: "timeouts",
    FailureReason.DEADLINE: "unfinished",
    FailureReason.STOPPED: "unfinished",
}
_SKIPPED: Final = {
    SkipReason.LANE_HALTED: "held_back",
    SkipReason.BATCH_HALTED: "held_back",
    SkipReason.DEADLINE: "unfinished",
    SkipReason.STOPPED: "unfinished",
}


def _kind(outcome: Outcome, is_drop: IsDrop, notes: Notes) -> str:
    match outcome:
        case Succeeded(record=record) if id(record.raw) in notes:
            return "errors"
        case Succeeded():
            return "succeeded"
        case Skipped(reason=reason):
            return _SKIPPED[reason]
        case Failed(reason=FailureReason.RAISED, error=BaseException() as error) if is_drop(error):
            return "drops"
        case Failed(reason=reason):
            return _FAILED.get(reason, "errors")
