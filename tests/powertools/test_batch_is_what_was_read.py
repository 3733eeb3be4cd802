"""A batch is what was read, here too: what a handler does to raw records, list or event changes no decision.

Records are reported, kept in order and deleted by what stood in them before the first handler ran.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from libraries import (
    EVENT_TYPES,
    OURS,
    body_of,
    event_of,
    fails,
    name_of,
    names,
    process,
    processor_of,
    records_of,
)

from asyncbatch.models import SqsRecordModel
from asyncbatch.powertools import EventType, PartialSQSProcessor, SqsFifoPartialProcessor
from asyncbatch.powertools.exceptions import SQSBatchProcessingError, UnreportableRecordError
from asyncbatch.testing import kafka_event, kinesis_event, sqs_event

BODIES = ["a", "bad b", "c", "bad d", "e"]
GROUPS = ["g", "h", "g", "g", "h"]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def is_async(request):
    return request.param


def named(event, processor, change, is_async):
    """What the reply names when the handler does something to the event before it comes to its end."""

    def handle(record):
        text = body_of(record)
        change(event, record)
        return fails(text)

    async def handle_later(record):
        text = body_of(record)
        change(event, record)
        await asyncio.sleep(0)
        return fails(text)

    answer = process(OURS, event, handle_later if is_async else handle, processor, is_async=is_async)
    return [entry["itemIdentifier"] for entry in answer["batchItemFailures"]]


def raw_of(record: Any) -> Any:
    return record.raw_event


def clear_own(event: Any, record: Any) -> None:
    raw_of(record).clear()


def lists_of(event: Any) -> list[list[Any]]:
    return [event["Records"]] if "Records" in event else list(event["records"].values())


# --- the list -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@pytest.mark.parametrize("change", ["clear", "reverse"])
def test_a_list_that_a_handler_changes_is_processed_as_it_was(event_type, change, is_async):
    event = event_of(event_type, BODIES)
    records = records_of(event)
    wanted = [names(records)[1], names(records)[3]]
    processor = processor_of(OURS, event_type, is_async=is_async)

    def changed(event, record):
        for each in lists_of(event):
            getattr(each, change)()
        getattr(processor.records, change)()

    assert named(event, processor, changed, is_async) == wanted
    assert len(processor.success_messages) == 3


def test_a_list_that_is_filled_with_the_next_messages_is_no_new_batch(is_async):
    event = sqs_event(["a", "bad b", "c"])
    following = sqs_event(["bad x", "y", "z"], seed=1)["Records"]
    wanted = names(event["Records"])[1]
    handled = []

    def changed(event, record):
        handled.append(body_of(record))
        event["Records"][:] = following

    assert named(event, processor_of(OURS, "SQS", is_async=is_async), changed, is_async) == [wanted]
    assert handled == ["a", "bad b", "c"]


# --- names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_a_record_that_a_failing_handler_has_emptied_is_reported(event_type, is_async):
    event = event_of(event_type, BODIES)
    wanted = [names(records_of(event))[1], names(records_of(event))[3]]
    processor = processor_of(OURS, event_type, is_async=is_async)
    assert named(event, processor, clear_own, is_async) == wanted


def test_a_failing_handler_that_takes_another_records_name_is_reported_by_its_own(is_async):
    event = sqs_event(BODIES)
    identifiers = names(event["Records"])

    def take(event, record):
        raw_of(record)["messageId"] = identifiers[4]

    processor = processor_of(OURS, "SQS", is_async=is_async)
    assert named(event, processor, take, is_async) == [identifiers[1], identifiers[3]]


@pytest.mark.parametrize("given", ["another record's", "nobody's"])
def test_a_name_that_a_handler_writes_into_its_model_is_not_reported(given, is_async):
    event = sqs_event(BODIES)
    identifiers = names(event["Records"])

    def take(event, record):
        record.messageId = identifiers[4] if given == "another record's" else "nobody's"

    processor = processor_of(OURS, "SQS", is_async=is_async, model=SqsRecordModel)
    assert named(event, processor, take, is_async) == [identifiers[1], identifiers[3]]


def test_a_failure_handler_that_gives_no_record_costs_no_name(is_async):
    event = sqs_event(BODIES)
    wanted = [names(event["Records"])[1], names(event["Records"])[3]]

    class Terse(type(processor_of(OURS, "SQS", is_async=is_async))):
        def failure_handler(self, record, exception):
            super().failure_handler(record, exception)
            return "fail", "no more than that"

    assert named(event, Terse(EventType.SQS), clear_own, is_async) == wanted


def test_a_message_that_the_user_notes_as_failed_is_asked_for_its_name(is_async):
    event = sqs_event(["a", "bad b"])
    identifiers = names(event["Records"])
    processor = processor_of(OURS, "SQS", is_async=is_async)
    another = processor._to_batch_type({"messageId": "another"}, EventType.SQS)

    def note(event, record):
        if body_of(record) == "a":
            processor.fail_messages.append(another)

    assert named(event, processor, note, is_async) == [identifiers[1], "another"]


def test_a_collector_of_the_users_own_keeps_its_say(is_async):
    event = sqs_event(["a", "bad b"])

    class Own(type(processor_of(OURS, "SQS", is_async=is_async))):
        def _collect_sqs_failures(self):
            return [{"itemIdentifier": each.message_id} for each in self.fail_messages]

    with pytest.raises(KeyError):
        named(event, Own(EventType.SQS), clear_own, is_async)


def test_a_record_that_gets_a_name_too_late_is_not_named_by_it(is_async):
    event = sqs_event(["a", "bad b"])
    del event["Records"][1]["messageId"]

    def give_one(event, record):
        raw_of(record)["eventSource"] = "elsewhere"

    with pytest.raises(UnreportableRecordError, match="messageId is missing"):
        named(event, processor_of(OURS, "SQS", is_async=is_async), give_one, is_async)


def test_what_several_runs_report_is_in_the_order_of_their_records():
    first = kafka_event(["bad a", "b"], partitions=[0, 0])
    second = kafka_event(["bad c", "d"], partitions=[0, 0], seed=1)
    processor = processor_of(OURS, "Kafka")
    records = records_of(first)
    with processor(records, lambda record: fails(body_of(record))):
        processor.process()
        processor.records = records_of(second)
        processor.process()
    found = [entry["itemIdentifier"] for entry in processor.response()["batchItemFailures"]]
    assert found == [name_of(records[0]), name_of(records_of(second)[0])]


# --- order --------------------------------------------------------------------------------------------


def fifo_processors(*, is_async: bool) -> list[Any]:
    return [
        SqsFifoPartialProcessor(skip_group_on_error=True),
        SqsFifoPartialProcessor(),
        processor_of(OURS, "SQS", is_async=is_async),
    ]


@pytest.mark.parametrize("which", range(3), ids=["groups", "the batch", "a standard processor"])
@pytest.mark.parametrize("group", ["g", "h", None])
def test_message_groups_are_those_that_were_read(which, group, is_async):
    """What is behind another group's failure is not held back, and what is behind one of its own group is."""

    def regroup(event, record):
        for raw in event["Records"]:
            raw["attributes"]["MessageGroupId"] = group

    def runs(change):
        event = event_of("SQS", BODIES, groups=GROUPS)
        processor = fifo_processors(is_async=is_async)[which]
        return named(event, processor, change, is_async), [body_of(raw) for raw in processor.success_messages]

    assert runs(regroup) == runs(lambda event, record: None)


def test_records_without_a_group_stay_without(is_async):
    event = event_of("SQS", ["bad a", "b", "c"], groups=["g", "g", "g"])
    identifiers = names(event["Records"])
    for raw in event["Records"][1:]:
        del raw["attributes"]["MessageGroupId"]

    def regroup(event, record):
        for raw in event["Records"]:
            raw["attributes"]["MessageGroupId"] = "g"

    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    assert named(event, processor, regroup, is_async) == identifiers[:1]


def test_a_record_that_belongs_to_no_run_is_asked_for_its_group():
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    records = event_of("SQS", ["bad a", "b", "c"], groups=["g", "g", "h"])["Records"]
    with processor(records, lambda record: fails(body_of(record))):
        entries = [processor._process_record(record) for record in records]
    assert [entry[0] for entry in entries] == ["fail", "fail", "success"]


@pytest.mark.parametrize("event_type", ["KinesisDataStreams", "DynamoDBStreams", "Kafka"])
def test_a_stream_that_halts_has_the_order_that_was_read(event_type, is_async):
    event = event_of(event_type, BODIES)
    if event_type == "KinesisDataStreams":
        event = kinesis_event(BODIES, keys=GROUPS)
    records = records_of(event)
    wanted = names(records)[1:] if event_type == "Kafka" else names(records)[1:2]

    def disorder(event, record):
        for at, raw in enumerate(records):
            for part in (raw, raw.get("kinesis", {}), raw.get("dynamodb", {})):
                for name in part.keys() & (DECIDING - {"messageId", "topic"}):
                    part[name] = str(100 - at)

    processor = processor_of(OURS, event_type, is_async=is_async, stop_on_failure=True)
    assert named(event, processor, disorder, is_async) == wanted


# --- deletes ------------------------------------------------------------------------------------------


class Client:
    """A client of SQS that deletes what it is told to."""

    class meta:  # noqa: N801 - botocore's name
        endpoint_url = "https://sqs.eu-west-1.amazonaws.com"

    def __init__(self):
        self.urls = set()
        self.handles = []

    async def delete_message_batch(self, QueueUrl, Entries):  # noqa: N803 - the service's names
        self.urls.add(QueueUrl)
        self.handles += [entry["ReceiptHandle"] for entry in Entries]
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}


def deleted(records: list[Any], change: Callable[[Any], None], *, is_async: bool) -> Client:
    with pytest.warns(UserWarning, match="deprecated"):
        processor = PartialSQSProcessor()
    processor.client = Client()

    def handle(record):
        body = record["body"]
        change(record)
        return fails(body)

    with pytest.raises(SQSBatchProcessingError), processor(records, handle):
        processor.async_process() if is_async else processor.process()
    return processor.client


URL = "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"


@pytest.mark.parametrize("change", ["another's handle", "another's name", "clear", "the list", "the queue"])
def test_a_handler_that_changes_messages_deletes_no_other(change, is_async):
    records = sqs_event(["a", "bad b", "c"])["Records"]
    first, failed = dict(records[0]), dict(records[1])
    handles = [record["receiptHandle"] for record in records]

    def changed(record):
        match change:
            case "another's handle":
                record["receiptHandle"] = failed["receiptHandle"]
            case "another's name":
                record["messageId"] = first["messageId"]
            case "clear":
                record.clear()
            case "the list":
                records.clear()
            case "the queue":
                record["eventSourceARN"] = "arn:aws:sqs:eu-west-1:123456789012:others"

    client = deleted(records, changed, is_async=is_async)
    assert client.handles == [handles[0], handles[2]]
    assert client.urls == {URL}


def test_a_copy_that_renames_itself_and_fails_keeps_its_message_in_the_queue(is_async):
    (record,) = sqs_event(["a"])["Records"]
    copied = {**record, "receiptHandle": "another", "body": "bad a"}

    def rename(message):
        if message is copied:
            message["messageId"] = "renamed"

    client = deleted([record, copied], rename, is_async=is_async)
    assert client.handles == []


@pytest.mark.parametrize(
    ("position", "field", "left"),
    [(0, "receiptHandle", [2]), (0, "messageId", [0, 2]), (1, "receiptHandle", [0, 2]), (1, "messageId", [])],
)
def test_messages_that_cannot_be_told_apart_are_not_deleted(position, field, left, is_async):
    """A failed message that does not tell its identifier may be a copy of any other."""
    records = sqs_event(["a", "bad b", "c"])["Records"]
    handles = [record["receiptHandle"] for record in records]
    del records[position][field]
    client = deleted(records, lambda record: None, is_async=is_async)
    assert client.handles == [handles[at] for at in left]


# --- the law ------------------------------------------------------------------------------------------


def everywhere(value: Callable[[int], Any]) -> Callable[[Any, Any], None]:
    def changed(event: Any, record: Any) -> None:
        for at, raw in enumerate(records_of(event)):
            for part in (raw, raw.get("attributes"), raw.get("kinesis"), raw.get("dynamodb")):
                for name in (part or {}).keys() & DECIDING:
                    part[name] = value(at)

    return changed


DECIDING = {
    "messageId", "MessageGroupId", "sequenceNumber", "partitionKey", "SequenceNumber", "Keys",
    "topic", "partition", "offset", "key", "eventSourceARN",
}  # fmt: skip


def take_the_first_ones_place(event: Any, record: Any) -> None:
    first = records_of(event)[0] if records_of(event) else {}
    raw_of(record).update({name: value for name, value in first.items() if name in DECIDING})


CHANGES: dict[str, Callable[[Any, Any], None]] = {
    "nothing": lambda event, record: None,
    "clear": clear_own,
    "take the first one's place": take_the_first_ones_place,
    "one for all": everywhere(lambda at: "x"),
    "each another": everywhere(lambda at: str(100 - at)),
    "no text": everywhere(lambda at: [at]),
    "reverse": lambda event, record: [each.reverse() for each in lists_of(event)],
    "empty": lambda event, record: [each.clear() for each in lists_of(event)],
}
KINDS = [*EVENT_TYPES, *(f"{each}, halting" for each in EVENT_TYPES[1:]), "FIFO", "FIFO, groups"]


@pytest.mark.parametrize("kind", KINDS)
@given(
    failing=st.sets(st.integers(0, 4)),
    changes=st.lists(st.sampled_from(list(CHANGES)), min_size=5, max_size=5),
    is_async=st.booleans(),
)
def test_what_handlers_do_to_the_event_changes_nothing(kind, failing, changes, is_async):
    def outcome(changes):
        bodies = [f"bad {at}" if at in failing else str(at) for at in range(5)]
        event_type, _, manner = kind.partition(", ")
        options = {"raise_on_entire_batch_failure": False}
        if event_type == "FIFO":
            event = event_of("SQS", bodies, groups=GROUPS)
            processor = SqsFifoPartialProcessor(skip_group_on_error=bool(manner), **options)
        else:
            event = event_of(event_type, bodies)
            processor = processor_of(
                OURS, event_type, is_async=is_async, stop_on_failure=bool(manner), **options
            )
        handled = []

        def changed(event, record):
            text = body_of(record)
            handled.append(text)
            CHANGES[changes[int(text[-1])]](event, record)

        reply = named(event, processor, changed, is_async)
        # How many start beside a record that fails depends on how fast the machine is.
        return reply, [] if is_async else handled

    assert outcome(changes) == outcome(["nothing"] * 5)
