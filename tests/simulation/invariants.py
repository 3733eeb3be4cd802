"""The laws, checked on what was seen of a world; nothing here asks the engine how it works."""

import json
import math
from collections.abc import Iterator
from itertools import pairwise

from worlds import Lived, lane_of

from asyncbatch import EventSource
from asyncbatch.testing import RecordState, SimulatedInvocation

EPSILON = 1e-6
STREAMS = {EventSource.KINESIS, EventSource.DYNAMODB}
LEFT = {RecordState.DEAD_LETTER, RecordState.DISCARDED}


def broken_laws(lived: Lived) -> list[str]:
    """The laws that a world broke, each with what was seen; none for one as it should be."""
    return [f"{law.__name__.replace('_', ' ')}: {what}" for law in LAWS for what in law(lived)]


def nothing_is_taken_as_done_that_was_not_done(lived: Lived) -> Iterator[str]:
    done = _first_done(lived)
    for invocation in lived.mapping.invocations:
        for position in sorted(_acknowledged(lived, invocation)):
            label = invocation.records[position].label
            if done.get(label, math.inf) > invocation.ended + EPSILON:
                yield f"{label} in invocation {invocation.number}"


def nothing_gets_lost(lived: Lived) -> Iterator[str]:
    for record in lived.mapping.records:
        if record.lost or record.state is RecordState.EXPIRED:
            yield f"{record.label} is {record.state}, lost: {record.lost}"


def it_comes_to_an_end(lived: Lived) -> Iterator[str]:
    for record in lived.mapping.records:
        if record.state is RecordState.WAITING:
            yield f"{record.label} waits"


def order_within_a_lane(lived: Lived) -> Iterator[str]:
    """A record is started first when the one before it has done its work, or has left the lane."""
    started: dict[str, float] = {}
    over = _first_done(lived)
    for each in lived.tries:
        started[each.label] = min(each.started, started.get(each.label, math.inf))
    lanes: dict[object, list[str]] = {}
    for record in lived.mapping.records:
        lane = lane_of(lived, record)
        if lane is not None and record.label in started:
            lanes.setdefault(lane, []).append(record.label)
        if record.state in LEFT and record.left_at is not None:
            over[record.label] = min(record.left_at, over.get(record.label, math.inf))
    for lane, begun in lanes.items():
        for before, after in pairwise(begun):
            if over.get(before, math.inf) > started[after] + EPSILON:
                yield f"in {lane}, {after} at {started[after]} before {before} was done"


def _first_done(lived: Lived) -> dict[str, float]:
    """When the work of each record was done for the first time."""
    done: dict[str, float] = {}
    for each in lived.tries:
        if each.done_well is not None:
            done[each.label] = min(each.done_well, done.get(each.label, math.inf))
    return done


def nothing_is_acknowledged_after_a_failure_in_its_lane(lived: Lived) -> Iterator[str]:
    for invocation in lived.mapping.invocations:
        acknowledged = _acknowledged(lived, invocation)
        kept: dict[object, str] = {}
        for position, record in enumerate(invocation.records):
            if record.lane is None:
                continue
            if position not in acknowledged:
                kept.setdefault(record.lane, record.label)
            elif record.lane in kept:
                yield f"{record.label} behind {kept[record.lane]} in invocation {invocation.number}"


def nothing_runs_on_after_its_invocation(lived: Lived) -> Iterator[str]:
    yield from lived.ghosts


def the_reply_is_on_time(lived: Lived) -> Iterator[str]:
    for invocation in lived.mapping.invocations:
        if invocation.verdict.reason.startswith("timed out"):
            yield f"invocation {invocation.number}"


def the_function_raises_only_where_that_is_asked_for(lived: Lived) -> Iterator[str]:
    asked_for = {"FailedBatchError"} if lived.world.engine.get("raise_on_failure") == "any" else set[str]()
    if lived.world.facade:
        asked_for.add("BatchProcessingError")  # as the peer does when a whole batch failed
    for invocation in lived.mapping.invocations:
        name = type(invocation.error).__name__
        if invocation.error is not None and name not in asked_for:
            yield f"{name} in invocation {invocation.number}"


def names_are_of_this_batch_once_each(lived: Lived) -> Iterator[str]:
    for invocation in lived.mapping.invocations:
        if invocation.reply is None:
            continue
        named = [
            json.dumps(each, sort_keys=True) for each in json.loads(invocation.reply)["batchItemFailures"]
        ]
        if len(set(named)) != len(named):
            yield f"twice in invocation {invocation.number}"
        if (
            "is not of this batch" in invocation.verdict.reason
            or "has no itemIdentifier" in invocation.verdict.reason
        ):
            yield f"{invocation.verdict.reason} in invocation {invocation.number}"


LAWS = (
    nothing_is_taken_as_done_that_was_not_done,
    nothing_gets_lost,
    it_comes_to_an_end,
    order_within_a_lane,
    nothing_is_acknowledged_after_a_failure_in_its_lane,
    nothing_runs_on_after_its_invocation,
    the_reply_is_on_time,
    the_function_raises_only_where_that_is_asked_for,
    names_are_of_this_batch_once_each,
)


def _acknowledged(lived: Lived, invocation: SimulatedInvocation) -> set[int]:
    """Positions of the records that the event source takes as done because of this reply."""
    verdict, size = invocation.verdict, len(invocation.records)
    if verdict.invocation_failed:
        return set()
    if lived.world.source in STREAMS:
        return set(range(min(verdict.failed, default=size)))
    acknowledged = set(range(size)) - verdict.failed
    if lived.world.mapping.get("redelivers") == "from lowest named":
        halted: set[object] = set()
        for position, record in enumerate(invocation.records):
            if position in verdict.failed:
                halted.add(record.lane)
            if record.lane in halted:
                acknowledged.discard(position)
    return acknowledged
