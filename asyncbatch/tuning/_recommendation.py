"""Which limit, and why: the knee where there is one, and what bounds the handler where there is none."""

# Some overloads of numpy's and scipy's functions have unknown parts:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal

import numpy as np
from scipy import stats

from asyncbatch import AsyncBatchError
from asyncbatch.tuning._batches import LaneShape
from asyncbatch.tuning._explanations import why_batch, why_drops, why_knee, why_lanes, why_serial
from asyncbatch.tuning._figures import LimitFigures
from asyncbatch.tuning._knee import Knee, find_knee
from asyncbatch.tuning._usl import ScalabilityLaw, fit_law

Confidence = Literal["high", "fair", "low"]

ACCEPTED: Final = 0.01
"""One record in a hundred may be dropped or time out, or fail beyond what fails at the lowest limit."""
HOPELESS: Final = 0.5
"""Where half of the records fail at the lowest limit, latencies are those of failing."""
REACHED: Final = 0.85
"""A knee beyond this share of the highest limit may lie anywhere above it."""
CLOSE: Final = 0.12
NEAR: Final = 0.25
"""Half the width of the 95 % interval as a share of the knee: up to the first it is sure, then fair, then low."""
AGREES: Final = 1.4
"""Limits that were run are up to so many times apart: so far from the knee may the greatest power be."""
EXPLAINED: Final = 1.25
"""Lanes explain a knee that is within a quarter of what they allow."""
ENOUGH: Final = 0.95
FLAT: Final = 0.8
"""With a sharp corner the knee has nearly all of the throughput; with less, the curve is round, or noisy."""
MANY_ROUNDS: Final = 3


class Reason(Enum):
    """What decided the limit."""

    KNEE = "knee"
    """Beyond it, more in flight gives latency and no throughput."""
    DROPS = "drops"
    """Beyond it, records are dropped, time out or fail."""
    LANES = "lanes"
    """The records of a lane follow one another: there are not more that could be in flight."""
    SERIAL = "serial"
    """Even two in flight give no more throughput than one."""
    BATCH = "batch"
    """Nothing slowed down: a batch takes as long as its slowest records."""


class NothingToTuneError(AsyncBatchError):
    """Raised when the measurements say nothing about a limit.

    Args:
        why: What was seen, and what to do.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why

    def __str__(self) -> str:
        """Say why."""
        return f"No limit can be recommended. {self.why}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A limit, and why.

    Attributes:
        limit: Most records in flight.
        reason: What decided it.
        confidence: How sure that is.
        why: What was seen; sentences.
        knee: The knee; None where every limit dropped records.
        law: The Universal Scalability Law through the sweep; None where there are too few limits.
        acceptable: The highest limit that was run without too many drops, timeouts and failures.
        for_throughput: The least limit that was run with 95 % of the most throughput.
    """

    limit: int
    reason: Reason
    confidence: Confidence
    why: tuple[str, ...]
    knee: Knee
    law: ScalabilityLaw | None
    acceptable: int
    for_throughput: int


def recommend(
    points: Sequence[LimitFigures], lanes: LaneShape, batch_size: int, *, seed: int
) -> Recommendation:
    """Read a limit off a sweep.

    Args:
        points: The figures of every limit, ascending.
        lanes: How the records of the runs are spread over lanes.
        batch_size: Records of a batch, for a handler that nothing but its batch bounds.
        seed: What is drawn, is drawn from it.

    Raises:
        NothingToTuneError: nothing can be said.
    """
    _refuse_hopeless(points, lanes)
    sound = _sound(points)
    limits = np.array([point.limit for point in sound], dtype=np.float64)
    throughputs = np.array([[run.throughput for run in point.runs] for point in sound]).T
    means = np.array([[float(np.mean(run.latencies)) for run in point.runs] for point in sound]).T
    counts = np.array([[float(len(run.latencies)) for run in point.runs] for point in sound]).T
    knee = find_knee(limits, throughputs, means, counts, seed=seed)
    medians: list[float] = np.median(throughputs, axis=0).tolist()
    reason, limit, why = _decide(points, sound, knee, lanes, batch_size)
    most = max(medians)
    reached = float(np.interp(limit, limits, medians))
    enough = next(p.limit for p, each in zip(sound, medians, strict=True) if each >= ENOUGH * most)
    return Recommendation(
        limit=limit,
        reason=reason,
        confidence=_confidence(reason, knee, len(sound[0].runs), share=reached / most),
        why=why,
        knee=knee,
        law=fit_law(limits, np.array(medians)),
        acceptable=sound[-1].limit,
        for_throughput=enough,
    )


def _refuse_hopeless(points: Sequence[LimitFigures], lanes: LaneShape) -> None:
    first = points[0]
    tally = first.tally
    if tally.succeeded < HOPELESS * tally.tried or any(not len(run.latencies) for run in first.runs):
        error = next((run.first_error for run in first.runs if run.first_error), "they were never started")
        raise NothingToTuneError(
            f"At limit {first.limit}, {tally.tried - tally.succeeded:,} of {tally.tried:,} records did not "
            f"succeed, the first because of {error}. Does the handler work on this event? "
            "`asyncbatch invoke` shows what becomes of each record."
        )
    if not any(point.latencies.any() for point in points):
        raise NothingToTuneError(
            "The handler takes no time at all on the virtual clock. Leave --virtual-time out for a real handler."
        )
    if points[-1].limit > 1 and lanes.lanes > 1 and all(point.peak == 1 for point in points):
        raise NothingToTuneError(
            "The handler never waits, so one record is in flight whatever the limit is: the engine needs no limit "
            "here, and gains nothing. If it waits without `await` (requests, boto3, time.sleep), put it under "
            "`threaded` or use an async client."
        )


def _sound(points: Sequence[LimitFigures]) -> list[LimitFigures]:
    """The limits up to the first at which too many records are dropped, time out or fail."""
    sound: list[LimitFigures] = []
    base = points[0].tally
    usual = _share(base.errors + base.unfinished, base.tried)[1]
    for point in points:
        tally = point.tally
        overload = _share(tally.drops + tally.timeouts, tally.tried)[0]
        failing = _share(tally.errors + tally.unfinished, tally.tried)[0]
        silent = any(not len(run.latencies) for run in point.runs)
        if silent or overload > ACCEPTED or failing > usual + ACCEPTED:
            break
        sound.append(point)
    if not sound:
        rate = (base.drops + base.timeouts) / base.tried
        raise NothingToTuneError(
            f"Even at limit {points[0].limit}, {rate:.1%} of the records are dropped or time out: less than that "
            "cannot be in flight. Is the record timeout too short, or something else calling the same backend?"
        )
    return sound


def _share(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's score."""
    interval = stats.binomtest(count, total).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _decide(
    points: Sequence[LimitFigures],
    sound: Sequence[LimitFigures],
    knee: Knee,
    lanes: LaneShape,
    batch_size: int,
) -> tuple[Reason, int, tuple[str, ...]]:
    top = sound[-1]
    at_the_end = knee.limit >= REACHED * top.limit and not _is_slower(top, knee)
    if lanes.lanes < lanes.records and EXPLAINED * knee.limit >= lanes.bound and not _is_slower(top, knee):
        return Reason.LANES, max(point.peak for point in sound), why_lanes(lanes, knee)
    if len(sound) < len(points) and (at_the_end or knee.limit > top.limit):
        return Reason.DROPS, top.limit, why_drops(points[len(sound)], top)
    if at_the_end:
        limit, slowest = _batch_knee(top, batch_size)
        return Reason.BATCH, limit, why_batch(top, batch_size, limit, slowest)
    limit = max(1, round(knee.limit))
    if limit == 1:
        return Reason.SERIAL, 1, why_serial(knee, top)
    why = why_knee(knee, top)
    if len(sound) < len(points):
        why = (*why, why_drops(points[len(sound)], top)[0])
    return Reason.KNEE, min(limit, top.limit), why


def _is_slower(top: LimitFigures, knee: Knee) -> bool:
    """Whether latency has grown by the highest limit: then something other than lanes queues records."""
    return float(np.mean(top.latencies)) > EXPLAINED * knee.latency


def _batch_knee(top: LimitFigures, batch_size: int) -> tuple[int, float]:
    """The knee of a batch, and the seconds of its slowest record.

    Its work over its slowest record: where the asymptotes of a single batch cross.
    """
    latencies = top.latencies
    # The mean of the largest of so many, drawn from those that were seen.
    shares = np.linspace(0, 1, len(latencies) + 1) ** batch_size
    slowest = float(np.sort(latencies) @ np.diff(shares))
    limit = round(batch_size * float(np.mean(latencies)) / slowest)
    return max(1, min(top.limit, batch_size, limit)), slowest


def _confidence(reason: Reason, knee: Knee, rounds: int, *, share: float) -> Confidence:
    """How sure a limit is that has a share of the most throughput."""
    width = max(knee.high - knee.limit, knee.limit - knee.low) / knee.limit
    agrees = 1 / AGREES <= knee.power / knee.limit <= AGREES
    if reason is Reason.BATCH or rounds < 2 or width > NEAR:  # noqa: PLR2004 - one round has no spread
        return "low"
    if reason is Reason.KNEE and not (agrees and share >= FLAT):
        return "low"
    return "high" if width <= CLOSE and rounds >= MANY_ROUNDS else "fair"
