"""The batch size and the timeouts that go with a limit, within what AWS allows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from asyncbatch import EventSource
from asyncbatch.tuning._figures import LimitFigures

# BatchSize of an event source mapping, default and maximum.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-parameters.html, services-kinesis-parameters.html,
# services-ddb-params.html, kafka-esm-parameters.html
BATCH_SIZES: Final[Mapping[EventSource, tuple[int, int]]] = {
    EventSource.SQS: (10, 10_000),
    EventSource.SQS_FIFO: (10, 10),
    EventSource.KINESIS: (100, 10_000),
    EventSource.DYNAMODB: (100, 10_000),
    EventSource.KAFKA: (100, 10_000),
}
# An invocation's payload: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
PAYLOAD: Final = 6 * 1024 * 1024
# The least and the most seconds of a function timeout; Kafka's functions have 14 minutes.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html, with-msk-configure.html
DEFAULT_TIMEOUT: Final = 3
LONGEST_TIMEOUT: Final = 900
LONGEST_KAFKA_TIMEOUT: Final = 840
# "At least six times" the function's timeout, and the batching window on top.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
VISIBILITY: Final = 6
# More than 10 messages of a standard queue need a batching window of a second or more.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
UNBATCHED: Final = 10

EFFICIENT: Final = 0.9
"""A batch's tail, in which fewer and fewer records are in flight, may cost a tenth of its time."""
SLACK: Final = 3
"""A bad day: three times the time of a usual batch."""
MARGIN: Final = 2
"""Seconds for the deadline's margin at most: `BatchEngine`'s ``deadline_margin``."""
_ROUND_SIZES: Final = (10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
_ROUND_TIMEOUTS: Final = (3, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizing:
    """What to set at the event source mapping, the function and the queue.

    Attributes:
        batch_size: Records of a batch.
        duration: Seconds that a usual batch of that size takes.
        tail: Seconds of them that are spent on starting and on waiting for the last records.
        function_timeout: Seconds.
        visibility_timeout: Seconds, for a queue; None for a stream.
        batching_window: Seconds that the batch size needs; None where it needs none.
        notes: What held the batch size down, and what follows from it; sentences.
    """

    batch_size: int
    duration: float
    tail: float
    function_timeout: int
    visibility_timeout: int | None
    batching_window: int | None
    notes: tuple[str, ...]

    @property
    def efficiency(self) -> float:
        """The share of a batch's time in which as much is in flight as the limit allows."""
        return 1 - self.tail / self.duration if self.duration else 1.0


def size_batch(
    figures: LimitFigures, source: EventSource, record_bytes: float, *, batch_size: int | None = None
) -> Sizing:
    """Find the batch size and the timeouts for a limit.

    Args:
        figures: The runs at that limit.
        source: The event source.
        record_bytes: Bytes that a record takes in the event, on average.
        batch_size: The batch size that is set already; None to find one.
    """
    rate, tail = figures.throughput, _tail(figures)
    _, maximum = BATCH_SIZES[source]
    longest = LONGEST_KAFKA_TIMEOUT if source is EventSource.KAFKA else LONGEST_TIMEOUT
    bounds = {
        f"{maximum:,} is the event source's maximum": float(maximum),
        "an invocation's payload has at most 6 MB": PAYLOAD / record_bytes,
        f"a function runs for {longest} s at most": rate * ((longest - MARGIN) / SLACK - tail),
    }
    wanted = max(figures.limit, rate * tail * EFFICIENT / (1 - EFFICIENT))
    reason, bound = min(bounds.items(), key=lambda item: item[1])
    notes: list[str] = []
    size = batch_size or _first_above(wanted, _ROUND_SIZES)
    if size > bound:
        size = max(1, _last_below(bound, (*_ROUND_SIZES, maximum)))
        notes.append(f"The batch size is held down to {size:,}, because {reason}.")
    duration = max(size / rate + tail, figures.latency(50) or 0.0)
    if size >= figures.limit and 1 - tail / duration < EFFICIENT:
        notes.append(f"The start and the end of a batch of {size:,} take {tail / duration:.0%} of its time.")
    if size < figures.limit:
        notes.append(f"A batch of {size:,} never has more than {size:,} records in flight.")
    timeout = min(longest, _first_above(SLACK * duration + MARGIN, _ROUND_TIMEOUTS))
    window = 1 if source is EventSource.SQS and size > UNBATCHED else None
    is_queue = source in {EventSource.SQS, EventSource.SQS_FIFO}
    return Sizing(
        batch_size=size,
        duration=duration,
        tail=tail,
        function_timeout=timeout,
        visibility_timeout=VISIBILITY * timeout + (window or 0) if is_queue else None,
        batching_window=window,
        notes=tuple(notes),
    )


def bytes_per_record(event: Mapping[str, Any], records: int) -> float:
    """Bytes that a record takes in an event, on average."""
    return len(json.dumps(event)) / records


def _tail(figures: LimitFigures) -> float:
    """Seconds of a run beyond those that its records take at the throughput of the time when records waited."""
    beyond = [run.duration - (run.tally.succeeded / run.throughput) for run in figures.runs if run.throughput]
    return max(0.0, float(np.median(beyond))) if beyond else 0.0


def _first_above(value: float, steps: Iterable[int]) -> int:
    last = 1
    for last in steps:
        if last >= value:
            return last
    return last


def _last_below(value: float, steps: Iterable[int]) -> int:
    return max((step for step in steps if step <= value), default=math.floor(value))
