"""A batch is what was read: nothing that the caller or a handler does to the event later changes a decision.

Records are named, and sorted into lanes, by what stood in the event when the engine read it. The event's lists and
dicts belong to the caller and to the handlers, who may reuse or change them while the batch runs.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import (
    BatchEngine,
    BatchReport,
    EventSource,
    Failed,
    Ordering,
    Skipped,
    Succeeded,
    batch_handler,
)
from asyncbatch.testing import (
    dynamodb_event,
    kafka_event,
    kinesis_event,
    run_virtual,
    sqs_event,
    sqs_fifo_event,
)

Event = dict[str, Any]
KEYS = ["a", "b", "a", "b", "a"]
SOURCES = list(EventSource)


def event_of(source: EventSource, size: int = len(KEYS)) -> Event:
    """An event whose records have the texts "0", "1" and so on, and keys that come again."""
    texts, keys = [str(number) for number in range(size)], KEYS[:size]
    match source:
        case EventSource.SQS:
            return sqs_event(texts)
        case EventSource.SQS_FIFO:
            return sqs_fifo_event(texts, groups=keys)
        case EventSource.KINESIS:
            return kinesis_event(texts, keys=keys)
        case EventSource.DYNAMODB:
            items = [{"id": key, "text": text} for text, key in zip(texts, keys, strict=True)]
            return dynamodb_event(items, key="id")
        case EventSource.KAFKA:
            return kafka_event(texts, partitions=[ord(key) for key in sorted(keys)])


class OddList(list[Any]):
    """A list whose class gives other answers than the list that it is."""

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())


def text_of(record: Any) -> str:
    return record.new_image["text"] if record.raw.get("eventSource") == "aws:dynamodb" else record.text


def lists_of(event: Event) -> list[list[Any]]:
    return [event["Records"]] if "Records" in event else list(event["records"].values())


def raws_of(event: Event) -> list[Any]:
    return [raw for records in lists_of(event) for raw in records]


def places_in(raw: Any) -> Iterator[tuple[Any, str]]:
    """Every place of a raw record that something is decided by: its name, its key, its position."""
    for part in (raw, raw.get("attributes"), raw.get("kinesis"), raw.get("dynamodb")):
        for name in (part or {}).keys() & DECIDING:
            yield part, name


DECIDING = {
    "messageId", "MessageGroupId", "sequenceNumber", "partitionKey", "SequenceNumber", "Keys",
    "topic", "partition", "offset", "key", "eventSource", "eventSourceARN",
}  # fmt: skip


def ids_of(event: Event) -> list[Any]:
    return [record.id for record in batch_handler(_do_nothing).records(event)]


async def _do_nothing(record: Any) -> None:
    pass


def named(report: BatchReport) -> list[Any]:
    return [entry["itemIdentifier"] for entry in report.response()["batchItemFailures"]]


# --- the event's list ---------------------------------------------------------------------------------


def test_a_caller_may_reuse_its_list_while_the_batch_runs() -> None:
    buffer = sqs_event(["m0", "m1", "m2"])["Records"]
    following = sqs_event(["n0", "n1", "n2"], seed=1)["Records"]
    identifiers = ids_of({"Records": buffer})
    handled = []

    async def handler(record: Any) -> None:
        await asyncio.sleep(1)
        handled.append((record.text, record.id))

    async def main() -> BatchReport:
        running = asyncio.create_task(BatchEngine(concurrency=2).process({"Records": buffer}, handler))
        await asyncio.sleep(0.5)
        buffer[:] = following
        return await running

    report = run_virtual(main())
    assert handled == list(zip(["m0", "m1", "m2"], identifiers, strict=True))
    assert [done.id for done in report.succeeded] == identifiers


@pytest.mark.parametrize("change", ["reverse", "clear"])
@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_a_handler_that_changes_the_list_keeps_no_record_from_running(
    source: EventSource, change: str
) -> None:
    event = event_of(source)
    identifiers = ids_of(event)
    handled = []

    async def handler(record: Any) -> None:
        text = text_of(record)
        for records in lists_of(event):
            getattr(records, change)()
        handled.append(text)
        if text == "4":
            raise ValueError(text)

    report = BatchEngine(concurrency=1, raise_on_failure="never").run(event, handler)
    assert sorted(handled) == ["0", "1", "2", "3", "4"]
    assert [outcome.id for outcome in report.outcomes] == identifiers
    assert named(report) == [identifiers[4]]


# --- a record's own fields ----------------------------------------------------------------------------


def test_a_failing_handler_that_takes_another_records_name_is_reported_by_its_own() -> None:
    event = sqs_event(["0", "1", "2"])
    identifiers = ids_of(event)

    async def handler(record: Any) -> None:
        if record.text == "1":
            record.raw["messageId"] = identifiers[2]
            raise ValueError

    report = BatchEngine().run(event, handler)
    assert named(report) == [identifiers[1]]
    assert [type(outcome) for outcome in report.outcomes] == [Succeeded, Failed, Succeeded]


@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_a_failing_handler_that_empties_its_record_costs_no_other_its_reply(source: EventSource) -> None:
    event = event_of(source)
    identifiers = ids_of(event)
    told: list[Any] = []

    async def handler(record: Any) -> None:
        text = text_of(record)
        record.raw.clear()
        if text == "4":
            raise ValueError(text)

    def hook(happened: Any) -> None:
        outcome = getattr(happened, "outcome", None)
        told.append(None if outcome is None else (outcome.id, repr(outcome)))

    report = BatchEngine(hooks=[hook], raise_on_failure="never").run(event, handler)
    assert named(report) == [identifiers[4]]
    assert [outcome.id for outcome in report.outcomes] == identifiers
    assert "4 succeeded, 1 failed" in repr(report)
    assert "ValueError: 4" in report.summary()
    assert {str(each[0]) for each in told if each} == set(map(str, identifiers))


def test_hooks_hear_the_name_that_was_read() -> None:
    event = sqs_event(["0", "1"])
    identifiers = ids_of(event)
    told = []

    def hook(happened: Any) -> None:
        name = type(happened).__name__
        if name == "RecordStarted":
            told.append((name, happened.id))
        elif name == "RecordEnded":
            told.append((name, happened.outcome.id))

    async def handler(record: Any) -> None:
        for raw in event["Records"]:
            raw["messageId"] = "another"

    BatchEngine(hooks=[hook], concurrency=1).run(event, handler)
    assert told == [(what, each) for each in identifiers for what in ("RecordStarted", "RecordEnded")]


def test_a_handler_that_moves_a_message_to_another_group_does_not_acknowledge_what_is_behind_it() -> None:
    event = sqs_fifo_event(["0", "1", "2"], groups=["g", "g", "h"])
    identifiers = ids_of(event)
    handled = []

    async def handler(record: Any) -> None:
        handled.append(record.text)
        record.raw["attributes"]["MessageGroupId"] = "h"
        if record.text == "0":
            raise ValueError

    report = BatchEngine().run(event, handler)
    assert sorted(handled) == ["0", "2"]
    assert named(report) == identifiers[:2]


def test_a_stream_is_in_order_as_it_was_read() -> None:
    event = kinesis_event(["0", "1", "2"], keys=["a", "b", "c"])
    identifiers = ids_of(event)

    async def handler(record: Any) -> None:
        number = record.text
        record.raw["kinesis"]["sequenceNumber"] = str(9 - int(number))
        if number == "1":
            raise ValueError

    report = BatchEngine(concurrency=3).run(event, handler)
    assert named(report) == [identifiers[1]]
    assert report.checkpoint == identifiers[1]


def test_what_did_not_end_is_named_as_it_was_read() -> None:
    event = sqs_event(["0"])
    identifiers = ids_of(event)

    async def handler(record: Any) -> None:
        record.raw.clear()
        for _ in range(3):
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                continue

    async def main() -> tuple[Any, ...]:
        report = await BatchEngine(grace=0.1).process(event, handler, deadline=1.0)
        await asyncio.sleep(60)
        return report.still_running

    assert run_virtual(main()) == tuple(identifiers)


# --- who else may change the event --------------------------------------------------------------------


def spoil(event: Event) -> None:
    """Take every name and key out of an event, and every record out of its lists; payloads stay."""
    for raw in raws_of(event):
        for part, name in list(places_in(raw)):
            if name not in {"eventSource", "topic"}:  # tells the tests where to find the payload
                del part[name]
    for records in lists_of(event):
        records.clear()


@pytest.mark.parametrize("who", ["key function", "hook", "lifespan"])
@pytest.mark.parametrize("source", SOURCES, ids=str)
def test_what_runs_beside_the_handlers_may_change_the_event(source: EventSource, who: str) -> None:
    event = event_of(source)
    identifiers = ids_of(event)

    def key(record: Any) -> str:
        spoil(event)
        return text_of(record)

    def hook(happened: Any) -> None:
        spoil(event)

    @asynccontextmanager
    async def lifespan() -> Any:
        spoil(event)
        yield

    options: dict[str, Any] = {
        "key function": {"ordering": key},
        "hook": {"hooks": [hook]},
        "lifespan": {"lifespan": lifespan},
    }[who]
    handled = []

    async def handler(record: Any) -> None:
        text = text_of(record)
        handled.append(text)
        if text == "4":
            raise ValueError(text)

    report = BatchEngine(raise_on_failure="never", **options).run(event, handler)
    assert sorted(handled) == ["0", "1", "2", "3", "4"]
    assert [outcome.id for outcome in report.outcomes] == identifiers
    assert named(report) == [identifiers[4]]


def test_a_key_function_that_raises_holds_back_the_group_that_was_read() -> None:
    event = sqs_fifo_event(["0", "1", "2"], groups=["g", "g", "h"])
    identifiers = ids_of(event)

    def key(record: Any) -> str:
        for raw in event["Records"]:
            raw["attributes"]["MessageGroupId"] = "h"
        if record.text == "0":
            raise ValueError
        return record.text

    async def handler(record: Any) -> None:
        pass

    report = BatchEngine(ordering=key).run(event, handler)
    assert [type(outcome) for outcome in report.outcomes] == [Failed, Skipped, Succeeded]
    assert named(report) == identifiers[:2]


# --- the law ------------------------------------------------------------------------------------------


Change = Callable[[Event, Any], None]
"""What a handler does to the event and to its own raw record, whose payload it has read."""


def _every_place(change: Callable[[Any, str, int], None]) -> Change:
    def changed(event: Event, own: Any) -> None:
        for number, (part, name) in enumerate([place for raw in raws_of(event) for place in places_in(raw)]):
            if name not in {"eventSource", "topic"}:
                change(part, name, number)

    return changed


def _forget(event: Event, own: Any) -> None:
    own.clear()


def _take_the_first_ones_place(event: Event, own: Any) -> None:
    raws = raws_of(event)
    if raws and raws[0]:
        for part, name in list(places_in(raws[0])):
            (own if part is raws[0] else own.setdefault("attributes", {}))[name] = part[name]


def _reverse(event: Event, own: Any) -> None:
    for records in lists_of(event):
        records.reverse()


def _empty(event: Event, own: Any) -> None:
    for records in lists_of(event):
        records.clear()


def _repeat(event: Event, own: Any) -> None:
    for records in lists_of(event):
        records.extend(list(records))


CHANGES: dict[str, Change] = {
    "nothing": lambda event, own: None,
    "forget the record": _forget,
    "take the first one's place": _take_the_first_ones_place,
    "delete": _every_place(lambda part, name, number: part.pop(name, None)),
    "one for all": _every_place(lambda part, name, number: part.update({name: "x"})),
    "each another": _every_place(lambda part, name, number: part.update({name: str(100 - number)})),
    "no text": _every_place(lambda part, name, number: part.update({name: [number]})),
    "reverse": _reverse,
    "empty": _empty,
    "repeat": _repeat,
}
ORDERINGS: dict[str, Any] = {
    "default": None,
    "sequential": Ordering.SEQUENTIAL,
    "key function": lambda record: 0,
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A run, but for what its handlers do to the event."""

    source: EventSource
    ordering: str
    limit: int
    failing: set[int]
    waiting: set[int]


def result_of(case: Case, changes: list[str]) -> Any:
    """Everything that a run decides."""
    event = event_of(case.source)
    handled = []

    async def handler(record: Any) -> None:
        number = int(text_of(record))
        handled.append(number)
        CHANGES[changes[number]](event, record.raw)
        if number in case.waiting:
            await asyncio.sleep(0)
        if number in case.failing:
            raise ValueError(number)

    engine = BatchEngine(concurrency=case.limit, ordering=ORDERINGS[case.ordering], raise_on_failure="never")
    report = run_virtual(engine.process(event, handler))  # what starts beside what depends on no machine
    outcomes = [(type(outcome), outcome.id) for outcome in report.outcomes]
    return handled, outcomes, report.response(), report.checkpoint


@given(
    case=st.builds(
        Case,
        source=st.sampled_from(SOURCES),
        ordering=st.sampled_from(list(ORDERINGS)),
        limit=st.integers(1, 5),
        failing=st.sets(st.integers(0, 4)),
        waiting=st.sets(st.integers(0, 4)),
    ),
    changes=st.lists(st.sampled_from(list(CHANGES)), min_size=5, max_size=5),
)
def test_what_handlers_do_to_the_event_changes_nothing(case: Case, changes: list[str]) -> None:
    assert result_of(case, changes) == result_of(case, ["nothing"] * 5)


@pytest.mark.parametrize("source", SOURCES)
def test_no_record_is_lost_in_a_list_that_says_it_is_empty(source: EventSource) -> None:
    event = event_of(source)
    if source is EventSource.KAFKA:
        event["records"] = {name: OddList(records) for name, records in event["records"].items()}
    else:
        event["Records"] = OddList(event["Records"])
    ran: list[str] = []

    async def handler(record: Any) -> None:
        ran.append(text_of(record))

    report = BatchEngine(source=source).run(event, handler)
    assert report.counts.succeeded == len(ran) == len(KEYS)
