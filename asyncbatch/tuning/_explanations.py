"""Why a limit is recommended, in sentences."""

from __future__ import annotations

from typing import Final

import numpy as np

from asyncbatch.tuning._batches import LaneShape
from asyncbatch.tuning._figures import LimitFigures
from asyncbatch.tuning._knee import Knee

_SAME: Final = 0.03
"""Throughputs that differ by less than 3 % are called the same: rounds differ by as much."""


def seconds(value: float) -> str:
    """A time with a unit that suits it: `12.3 ms`, `4.56 s`."""
    if value < 1:
        return f"{value * 1e3:,.3g} ms"
    return f"{value:,.3g} s"


def per_second(value: float) -> str:
    """A throughput: `1,940/s`, `3.21/s`."""
    return f"{value:,.0f}/s" if value >= 100 else f"{value:,.3g}/s"  # noqa: PLR2004 - three digits


def why_knee(knee: Knee, top: LimitFigures) -> tuple[str, ...]:
    """What says that there is a knee, and where."""
    crossing = (
        f"A record that waits for no other takes {seconds(knee.latency)}, and at most "
        f"{per_second(knee.capacity)} get through: that is {knee.limit:,.1f} records in flight by Little's "
        f"law (95 % interval: {knee.low:,.1f} to {knee.high:,.1f})."
    )
    beyond = (
        f"More in flight only wait for one another: limit {top.limit:,} gives {_gain(knee, top)}, and a "
        f"record takes {_slowdown(knee, top)} as long."
    )
    power = f"Of the limits that were run, {knee.power:,} has the most throughput for its latency."
    return crossing, beyond, power


def why_drops(refused: LimitFigures, top: LimitFigures) -> tuple[str, ...]:
    """What says that something is refused beyond a limit."""
    tally = refused.tally
    failing = (
        f"At limit {refused.limit:,}, {tally.drops / tally.tried:.1%} of the records are dropped, "
        f"{tally.timeouts / tally.tried:.1%} time out and "
        f"{(tally.errors + tally.unfinished) / tally.tried:.1%} fail otherwise; up to limit {top.limit:,} it "
        "is no more than usual."
    )
    return failing, "Up to there throughput still grew: what the handler calls refuses before it slows down."


def why_lanes(lanes: LaneShape, knee: Knee) -> tuple[str, ...]:
    """What says that lanes are the bound."""
    bound = (
        f"Lanes bound it, not the limit: {lanes.records:,} records are in {lanes.lanes:,} lanes, the longest "
        f"with {lanes.longest:,}, and the records of a lane follow one another. So {knee.limit:,.1f} are in "
        "flight on average, however high the limit is."
    )
    return bound, "More keys, or keys that are used more evenly, let more be in flight; then tune again."


def why_serial(knee: Knee, top: LimitFigures) -> tuple[str, ...]:
    """What says that there is nothing to be had from concurrency."""
    flat = (
        f"More in flight gives no more throughput than one at a time, about {per_second(knee.capacity)}; at "
        f"limit {top.limit:,} a record takes {_slowdown(knee, top)} as long."
    )
    return flat, (
        "Either the handler computes instead of waiting, or what it calls serves one at a time (a lock, a "
        "single connection)."
    )


def why_batch(top: LimitFigures, batch_size: int, limit: int, slowest: float) -> tuple[str, ...]:
    """What says that nothing but the batch is the bound."""
    mean = float(np.mean(top.latencies))
    grows = (
        f"Throughput grew in proportion up to limit {top.limit:,}, and no record took longer for it: there "
        "is no knee up to there."
    )
    slow = (
        f"So the batch is the bound. The slowest of {batch_size:,} records takes {seconds(slowest)} on "
        f"average, and a record {seconds(mean)}: beyond limit {limit:,} a batch ends hardly any sooner."
    )
    return (
        grows,
        slow,
        "What the handler calls may slow down when many functions call it at once: this was one.",
    )


def _slowdown(knee: Knee, top: LimitFigures) -> str:
    return f"{float(np.mean(top.latencies)) / knee.latency:,.1f} times"


def _gain(knee: Knee, top: LimitFigures) -> str:
    gain = top.throughput / knee.capacity - 1
    if abs(gain) <= _SAME:
        return "no more throughput"
    return f"{abs(gain):.0%} {'more' if gain > 0 else 'less'} throughput"
