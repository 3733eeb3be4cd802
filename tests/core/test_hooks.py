"""Hooks: what happened, in order, as frozen events; a hook's trouble is its own."""

import dataclasses
from typing import Any

import pytest

from asyncbatch import BatchEngine, EventSource, Failed, InvalidEventError, Skipped, SqsRecord, Succeeded
from asyncbatch.hooks import BatchEnded, BatchStarted, HookEvent, RecordEnded, RecordStarted
from asyncbatch.testing import sqs_event, sqs_fifo_event


async def fail_on_bad(record: Any) -> None:
    if record.text == "bad":
        raise ValueError(record.text)


def test_a_run_is_told_from_start_to_end() -> None:
    events: list[HookEvent] = []
    event = sqs_event(["good", "bad"])
    report = BatchEngine(concurrency=1, hooks=[events.append]).run(event, fail_on_bad)
    ids = [record["messageId"] for record in event["Records"]]
    assert events == [
        BatchStarted(EventSource.SQS, 2, 1),
        RecordStarted(0, ids[0], report.outcomes[0].record),
        RecordEnded(report.outcomes[0]),
        RecordStarted(1, ids[1], report.outcomes[1].record),
        RecordEnded(report.outcomes[1]),
        BatchEnded(report),
    ]
    assert isinstance(report.outcomes[0], Succeeded)
    assert isinstance(report.outcomes[1], Failed)


async def test_the_callers_loop_tells_the_same() -> None:
    kinds: list[str] = []
    engine = BatchEngine(concurrency=1, hooks=[lambda event: kinds.append(type(event).__name__)])
    await engine.process(sqs_event(["good"]), fail_on_bad)
    assert kinds == ["BatchStarted", "RecordStarted", "RecordEnded", "BatchEnded"]


def test_a_record_that_never_starts_is_told_by_the_report_alone() -> None:
    events: list[HookEvent] = []
    event = sqs_fifo_event(["bad", "good"], groups=["g", "g"])
    report = BatchEngine(hooks=[events.append]).run(event, fail_on_bad)
    assert isinstance(report.outcomes[1], Skipped)
    assert [each.position for each in events if isinstance(each, RecordStarted)] == [0]
    assert [each.outcome.position for each in events if isinstance(each, RecordEnded)] == [0]


def test_who_listens_changes_nothing_about_the_order() -> None:
    event = sqs_fifo_event(["1", "2", "3", "4"], groups=["g", "g", "h", "h"])
    assert BatchEngine(hooks=[lambda event: None]).run(event, fail_on_bad).all_succeeded


@pytest.mark.parametrize("source", [None, *EventSource])
def test_an_empty_batch_is_told_too(source: EventSource | None) -> None:
    events: list[HookEvent] = []
    empty: Any = {"records": {}} if source is EventSource.KAFKA else {"Records": []}
    report = BatchEngine(hooks=[events.append], source=source).run(empty, fail_on_bad)
    assert events == [BatchStarted(source, 0, 100), BatchEnded(report)]


def test_a_refused_event_is_no_batch() -> None:
    events: list[HookEvent] = []
    with pytest.raises(InvalidEventError):
        BatchEngine(hooks=[events.append]).run({}, fail_on_bad)
    assert events == []


@pytest.mark.parametrize(
    "event",
    [BatchStarted(None, 0, 1), RecordStarted(0, "m-1", SqsRecord({}))],
    ids=lambda event: type(event).__name__,
)
def test_events_are_frozen(event: Any) -> None:
    name = dataclasses.fields(event)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, name, 5)
