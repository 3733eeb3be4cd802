"""What it costs to keep the order of message groups: beside no order, and beside a lock per group."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from asyncbatch import BatchEngine, BatchHandler, Ordering
from benchmarks.batches import Event, context, fifo_event, skewed_event
from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.engines import (
    ASYNCBATCH,
    SEQUENTIAL,
    Call,
    a_lock_per_group,
    call_of,
    check_reply,
    one_after_another,
)
from benchmarks.figures import Conditions, Figure, ratios
from benchmarks.handlers import HANDLERS, NEVER_WAITS, WAITS_ONCE
from benchmarks.rounds import interleave

LIMIT = 50
UNORDERED = "asyncbatch, unordered"
LOCKS = "a lock per group"
TARGET_OF_LOCKS = 0.45
TARGET_OF_UNORDERED = 1.6


@dataclass(frozen=True)
class Shape:
    """How many records, in how many groups, and whether these are equal or uneven."""

    records: int
    groups: int
    skewed: bool = False

    def event(self) -> Event:
        """Make the batch."""
        return (skewed_event if self.skewed else fifo_event)(self.records, self.groups)

    def __str__(self) -> str:
        return f"{self.records:,} records in {self.groups:,} {'Zipf' if self.skewed else 'equal'} groups"


AIMED_AT = Shape(1_000, 100)


def shapes(effort: Effort) -> tuple[Shape, ...]:
    """Return what is measured, small batches first."""
    if effort.rounds == 1:
        return (Shape(20, 5), Shape(20, 5, skewed=True))
    if not effort.peers:
        return (AIMED_AT,)
    return (Shape(10, 5), AIMED_AT, Shape(1_000, 1_000), Shape(1_000, 100, skewed=True), Shape(10_000, 100))


def cases(effort: Effort) -> Iterator[Case]:
    for shape in shapes(effort):
        for handler in (NEVER_WAITS, WAITS_ONCE):
            yield Case(f"{handler}, {shape}", partial(_measure, handler, shape, effort))


def _measure(handler: str, shape: Shape, effort: Effort) -> Iterator[Figure]:
    event, lambda_context = shape.event(), context()
    make = HANDLERS[handler]
    calls: dict[str, Call] = {
        ASYNCBATCH: BatchHandler(make(), BatchEngine(concurrency=LIMIT)),
        UNORDERED: BatchHandler(make(), BatchEngine(concurrency=LIMIT, ordering=Ordering.UNORDERED)),
        LOCKS: call_of(a_lock_per_group, make(), LIMIT),
        SEQUENTIAL: call_of(one_after_another, make(), LIMIT),
    }
    for name, call in calls.items():
        check_reply(name, call(event, lambda_context))
    has_target = shape == AIMED_AT
    of_locks = {ASYNCBATCH: TARGET_OF_LOCKS if has_target else None}
    of_unordered = {ASYNCBATCH: TARGET_OF_UNORDERED if has_target else None}
    samples = interleave(
        {name: partial(call, event, lambda_context) for name, call in calls.items()},
        rounds=effort.rounds_for(shape.records),
    )
    conditions = Conditions(
        case=f"{handler}, {shape}", records=shape.records, handler=handler, per=shape.records
    )
    yield from ratios(samples, LOCKS, of_locks, conditions)
    ordered = {name: samples[name] for name in (ASYNCBATCH, UNORDERED)}
    beside = Conditions(
        case=f"{conditions.case}, to unordered", records=shape.records, handler=handler, per=shape.records
    )
    yield next(ratios(ordered, UNORDERED, of_unordered, beside))


SECTION = Section(
    title="Lanes, ratio to a task per record with a lock per group (and to asyncbatch without order)",
    text=(
        "An SQS FIFO batch with a limit of 50: the whole call. The peer takes a group's lock, then the semaphore. "
        "In Zipf groups the n-th group has 1/n of the first one's records."
    ),
    cases=cases,
)
