"""Halts, for runs of one record after another, hold back what the lanes of such a run would hold back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import EventSource, FailureScope, Ordering, SkipReason
from asyncbatch._events import Batch, read_event
from asyncbatch._lanes import Halts, build_lanes
from asyncbatch._ledger import Ledger
from asyncbatch._sources import SourceRules, rules_of
from asyncbatch.testing import dynamodb_event, kafka_event, kinesis_event, sqs_event, sqs_fifo_event

SEQUENTIAL_FIFO = rules_of(EventSource.SQS_FIFO)._replace(ordering=Ordering.SEQUENTIAL)
ROWS: dict[str, SourceRules] = {source.value: rules_of(source) for source in EventSource}
ROWS["sqs-fifo, the whole batch"] = SEQUENTIAL_FIFO


def batch_of(rules: SourceRules, keys: list[str]) -> Batch:
    bodies = [str(position) for position in range(len(keys))]
    event: dict[str, Any]
    match rules.source:
        case EventSource.SQS:
            event = sqs_event(bodies)
        case EventSource.SQS_FIFO:
            event = sqs_fifo_event(bodies, groups=keys)
        case EventSource.KINESIS:
            event = kinesis_event(bodies, keys=keys)
        case EventSource.DYNAMODB:
            event = dynamodb_event([{"id": key} for key in keys])
        case _:
            event = kafka_event(bodies, partitions=sorted(map(ord, keys)))
    return read_event(event)


def held_by_lanes(batch: Batch, rules: SourceRules, failing: set[int]) -> set[int]:
    """Which records the engine's lanes hold back where one runs at a time, the first in position first."""
    ledger = Ledger(len(batch.raws))
    lanes, _ = build_lanes(batch, rules, ledger, rules.ordering, rules.scope)
    while (position := lanes.take()) is not None:
        lanes.settle(position, position not in failing)
    return set(ledger.skips)


def held_by_halts(batch: Batch, rules: SourceRules, failing: set[int]) -> tuple[set[int], Ledger]:
    ledger = Ledger(len(batch.raws))
    halts = Halts(batch, rules, ledger)
    held = set()
    for position in range(len(batch.raws)):
        if halts.holds(position):
            held.add(position)
        elif position in failing:
            halts.note(position)
    return held, ledger


@pytest.mark.parametrize("row", ROWS)
@given(keys=st.lists(st.sampled_from("abc"), min_size=1, max_size=12), data=st.data())
def test_hold_back_what_lanes_would(row: str, keys: list[str], data: st.DataObject) -> None:
    rules = ROWS[row]
    batch = batch_of(rules, keys)
    failing = data.draw(st.sets(st.integers(0, len(keys) - 1)))
    held, ledger = held_by_halts(batch, rules, failing)
    assert held == held_by_lanes(batch, rules, failing)
    assert set(ledger.skips) == held


def test_say_whether_the_lane_or_the_batch_was_halted() -> None:
    rules = rules_of(EventSource.KINESIS)
    batch = batch_of(rules, ["a", "b", "a", "b"])
    held, ledger = held_by_halts(batch, rules, {0})
    assert held == {1, 2, 3}
    assert ledger.skips[2] is SkipReason.LANE_HALTED
    assert ledger.skips[1] is ledger.skips[3] is SkipReason.BATCH_HALTED


def test_nothing_is_held_back_where_records_fail_alone() -> None:
    rules = rules_of(EventSource.SQS)
    assert rules.scope is FailureScope.RECORD
    held, ledger = held_by_halts(batch_of(rules, ["a", "b"]), rules, {0})
    assert not held
    assert not ledger.skips
