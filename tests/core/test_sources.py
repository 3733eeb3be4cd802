"""Detection: which event source an event comes from, and what is refused because nobody can tell."""

from collections import UserDict
from collections.abc import Callable
from typing import Any

import pytest

from asyncbatch import (
    BatchEngine,
    DynamoDBRecord,
    EventSource,
    InvalidEventError,
    KafkaRecord,
    KinesisRecord,
    Ordering,
    SqsRecord,
)
from asyncbatch._events import queue_messages, queue_source, read_event
from asyncbatch._sources import rules_of
from asyncbatch.testing import kafka_event, sqs_event, sqs_fifo_event

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"


def message(arn: str | None = QUEUE, **fields: Any) -> dict[str, Any]:
    record = {"messageId": "m-1", "body": "{}", "attributes": {}, "eventSource": "aws:sqs", **fields}
    return record if arn is None else {**record, "eventSourceARN": arn}


def source_of(event: Any, named: EventSource | None = None) -> EventSource | None:
    rules = read_event(event, named).rules
    return None if rules is None else rules.source


def refusal(event: Any, named: EventSource | None = None) -> str:
    with pytest.raises(InvalidEventError) as caught:
        read_event(event, named)
    return str(caught.value)


# --- told by the event --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "record_type"),
    [
        (EventSource.SQS, SqsRecord),
        (EventSource.SQS_FIFO, SqsRecord),
        (EventSource.KINESIS, KinesisRecord),
        (EventSource.DYNAMODB, DynamoDBRecord),
        (EventSource.KAFKA, KafkaRecord),
    ],
)
def test_every_source_is_detected_and_has_its_view(
    event_of: Callable[..., Any], source: EventSource, record_type: type
) -> None:
    batch = read_event(event_of(source, ["1", "2"]))
    assert batch.rules is rules_of(source)
    assert batch.rules.record_type is record_type
    assert len(batch.raws) == len(batch.names) == batch.distinct == 2


@pytest.mark.parametrize("partition", ["aws", "aws-cn", "aws-us-gov"])
def test_a_fifo_queue_is_told_by_the_end_of_its_arn(partition: str) -> None:
    assert queue_source(f"arn:{partition}:sqs:x:1:orders") is EventSource.SQS
    assert queue_source(f"arn:{partition}:sqs:x:1:orders.fifo") is EventSource.SQS_FIFO
    fifo = message(f"arn:{partition}:sqs:x:1:orders.fifo", attributes={"MessageGroupId": "g"})
    assert source_of({"Records": [fifo]}) is EventSource.SQS_FIFO


@pytest.mark.parametrize("name", ["orders-fifo", "fifo", "orders.fifo-archive", "orders.FIFO"])
def test_a_queue_that_only_speaks_of_fifo_is_a_standard_queue(name: str) -> None:
    assert queue_source(f"arn:aws:sqs:eu-west-1:1:{name}") is EventSource.SQS


def test_a_fair_queue_is_a_standard_queue() -> None:
    # Since July 2025 a message group on a standard queue names a tenant and orders nothing.
    record = message(attributes={"MessageGroupId": "tenant-1"})
    assert source_of({"Records": [record, message(messageId="m-2")]}) is EventSource.SQS


@pytest.mark.parametrize("tag", ["aws:kafka", "SelfManagedKafka"])
def test_both_kinds_of_kafka_are_kafka(tag: str) -> None:
    event = {**kafka_event(["1"], partitions=[0]), "eventSource": tag}
    del event["eventSourceArn"]  # self-managed clusters have none
    assert source_of(event) is EventSource.KAFKA


def test_records_of_kafka_are_read_from_every_topic_partition_in_order() -> None:
    event = kafka_event(["1", "2", "3"], partitions=[1, 0, 1], topic="my-topic-2")
    batch = read_event(event)
    assert list(batch.names) == [("my-topic-2", 1, 15), ("my-topic-2", 1, 16), ("my-topic-2", 0, 15)]


def test_any_mapping_is_an_event() -> None:
    event = UserDict(sqs_event(["1"]))
    assert source_of(event) is EventSource.SQS
    records = [UserDict(record) for record in event["Records"]]
    assert source_of({"Records": records}) is EventSource.SQS


# --- refused ------------------------------------------------------------------------------------------


def test_sns_records_are_refused() -> None:
    sns = {"EventSource": "aws:sns", "EventVersion": "1.0", "Sns": {"MessageId": "1"}}
    text = refusal({"Records": [sns]})
    assert text.startswith("record 0: has the unknown event source None")
    assert "Known event sources: aws:sqs" in text


def test_an_unknown_source_is_named_with_its_position() -> None:
    text = refusal({"Records": [message(), message(eventSource="aws:s3")]})
    assert text.startswith("record 1: has the unknown event source 'aws:s3'")


def test_an_unknown_source_is_quoted_in_bounds() -> None:
    assert len(refusal({"Records": [message(eventSource="x" * 100_000)]})) < 500


@pytest.mark.parametrize(
    ("other", "found"),
    [
        (message(QUEUE + ".fifo", attributes={"MessageGroupId": "g"}), "sqs and sqs-fifo"),
        (
            {"eventSource": "aws:kinesis", "eventSourceARN": QUEUE, "kinesis": {}},
            "kinesis and sqs",
        ),
    ],
)
def test_mixed_sources_are_refused(other: dict[str, Any], found: str) -> None:
    assert f"Records: mixes records of {found}" in refusal({"Records": [message(), other]})


@pytest.mark.parametrize("arn", [None, ""])
def test_an_sqs_record_without_an_arn_is_refused(arn: str | None) -> None:
    text = refusal({"Records": [message(), message(arn)]})
    assert text.startswith("record 1: has no eventSourceARN")


@pytest.mark.parametrize("field", ["eventSource", "eventSourceARN"])
@pytest.mark.parametrize("value", [[], {}], ids=["list", "object"])
def test_a_tag_that_is_no_text_is_refused(field: str, value: object) -> None:
    text = refusal({"Records": [message(), {**message(), field: value}]})
    assert text.startswith("record 1")
    assert field in text
    assert "text" in text


@pytest.mark.parametrize("tag", [[], {}], ids=["list", "object"])
def test_an_events_tag_that_is_no_text_is_refused(tag: object) -> None:
    assert "is not a known event source" in refusal({"eventSource": tag, "records": {}})


def test_an_empty_partition_key_orders_as_well_as_any_other(event_of: Callable[..., Any]) -> None:
    event = event_of(EventSource.KINESIS, ["1", "2"])
    event["Records"][0]["kinesis"]["partitionKey"] = ""
    assert source_of(event) is EventSource.KINESIS
    del event["Records"][1]["kinesis"]["sequenceNumber"]  # now every record is looked at closely
    assert refusal(event).startswith("record 1.kinesis.sequenceNumber: is missing")


# --- told by the user ---------------------------------------------------------------------------------


@pytest.mark.parametrize("source", EventSource)
def test_a_source_that_agrees_changes_nothing(event_of: Callable[..., Any], source: EventSource) -> None:
    event = event_of(source, ["1", "2"])
    named, detected = read_event(event, source), read_event(event)
    assert named.rules is detected.rules
    assert list(named.names) == list(detected.names)


@pytest.mark.parametrize("named", EventSource)
@pytest.mark.parametrize("actual", EventSource)
def test_a_source_that_contradicts_the_event_is_refused(
    event_of: Callable[..., Any], named: EventSource, actual: EventSource
) -> None:
    if named is actual:
        return
    event = event_of(actual, ["1"])
    for record in event.get("Records", ()):  # the group alone must not make the difference
        if "messageId" in record:
            record["attributes"]["MessageGroupId"] = "g"
    assert "Nothing was processed" in refusal(event, named)


def test_a_contradiction_names_both_sides() -> None:
    text = refusal({"Records": [message()]}, EventSource.KINESIS)
    assert "record 0: has the event source 'aws:sqs', but the engine's `source` is kinesis" in text
    text = refusal({"Records": [message()]}, EventSource.SQS_FIFO)
    assert "record 0: comes from a sqs queue, but the engine's `source` is sqs-fifo" in text
    text = refusal(kafka_event(["1"], partitions=[0]), EventSource.SQS)
    assert "eventSource: is 'aws:kafka', but the engine's `source` is sqs" in text


def test_an_event_that_names_another_source_than_kafka_is_refused() -> None:
    event = {**kafka_event(["1"], partitions=[0]), "eventSource": "aws:kinesis"}
    assert "eventSource" in refusal(event, EventSource.KAFKA)


@pytest.mark.parametrize(
    ("source", "record"),
    [
        (EventSource.SQS, {"messageId": "1"}),
        (EventSource.SQS_FIFO, {"messageId": "1", "attributes": {"MessageGroupId": "g"}}),
        (EventSource.KINESIS, {"kinesis": {"sequenceNumber": "1", "partitionKey": ""}}),
        (EventSource.DYNAMODB, {"dynamodb": {"SequenceNumber": "1", "Keys": {"id": {"S": "x"}}}}),
    ],
)
def test_hand_made_records_need_no_tag_where_the_source_is_named(
    source: EventSource, record: dict[str, Any]
) -> None:
    assert source_of({"Records": [record, record]}, source) is source
    assert "unknown event source" in refusal({"Records": [record]})


def test_a_hand_made_kafka_event_needs_no_tag_where_the_source_is_named() -> None:
    event = {"records": {"t-0": [{"topic": "t", "partition": 0, "offset": 0}]}}
    assert source_of(event, EventSource.KAFKA) is EventSource.KAFKA
    assert "Or name the `source`" in refusal(event)


# --- empty events, tumbling windows -------------------------------------------------------------------


@pytest.mark.parametrize("named", [None, *EventSource])
def test_an_event_without_records_is_an_empty_batch(named: EventSource | None) -> None:
    event: dict[str, Any] = {"records": {}} if named is EventSource.KAFKA else {"Records": []}
    batch = read_event(event, named)
    assert (source_of(event, named), len(batch.raws), batch.window_state) == (named, 0, None)


@pytest.mark.parametrize("records", [{}, {"t-0": []}], ids=["no partition", "empty partition"])
def test_a_kafka_event_without_records_is_an_empty_batch_of_kafka(records: object) -> None:
    batch = read_event({"eventSource": "aws:kafka", "records": records})
    assert (batch.rules, len(batch.raws)) == (rules_of(EventSource.KAFKA), 0)


WINDOW = {"window": {"start": "a", "end": "b"}, "shardId": "1", "isFinalInvokeForWindow": True}


@pytest.mark.parametrize("records", [{}, {"Records": None}, {"Records": []}], ids=str)
def test_the_final_event_of_a_window_may_have_no_records(records: dict[str, Any]) -> None:
    batch = read_event({**WINDOW, "state": {"n": 5}, **records})
    assert (len(batch.raws), batch.window_state) == (0, {"n": 5})


@pytest.mark.parametrize("state", [{}, {"state": None}, {"state": {}}], ids=str)
def test_a_window_without_a_state_has_an_empty_one(state: dict[str, Any]) -> None:
    assert read_event({**WINDOW, **state}).window_state == {}


def test_a_window_has_records_too(event_of: Callable[..., Any]) -> None:
    event = {
        **event_of(EventSource.KINESIS, ["1"]),
        **WINDOW,
        "isFinalInvokeForWindow": False,
        "state": {"n": 1},
    }
    batch = read_event(event)
    assert (len(batch.raws), batch.window_state) == (1, {"n": 1})


def test_records_of_a_window_are_checked_like_any_other() -> None:
    assert "Records: must be a list, but is str" in refusal({**WINDOW, "Records": "x"})


# --- messages that the caller received ----------------------------------------------------------------

RECEIVED: dict[str, Any] = {
    "MessageId": "m-1",
    "ReceiptHandle": "r-1",
    "Body": '{"a": 1}',
    "MD5OfBody": "5d",
    "MD5OfMessageAttributes": "6e",
    "Attributes": {"MessageGroupId": "g", "ApproximateReceiveCount": "1"},
    "MessageAttributes": {
        "text": {"StringValue": "x", "DataType": "String"},
        "bytes": {"BinaryValue": b"\x01\x02", "DataType": "Binary"},
        "list": {"StringListValues": ["a"], "DataType": "String.Array"},
    },
}


def test_a_received_message_becomes_the_record_that_lambda_would_pass() -> None:
    event = queue_messages([RECEIVED], QUEUE + ".fifo")
    assert event["Records"] == [
        {
            "messageId": "m-1",
            "receiptHandle": "r-1",
            "body": '{"a": 1}',
            "md5OfBody": "5d",
            "md5OfMessageAttributes": "6e",
            "attributes": {"MessageGroupId": "g", "ApproximateReceiveCount": "1"},
            "messageAttributes": {
                "text": {"stringValue": "x", "dataType": "String"},
                "bytes": {"binaryValue": "AQI=", "dataType": "Binary"},
                "list": {"stringListValues": ["a"], "dataType": "String.Array"},
            },
            "eventSource": "aws:sqs",
            "eventSourceARN": QUEUE + ".fifo",
            "awsRegion": "eu-west-1",
        }
    ]
    assert source_of(event) is EventSource.SQS_FIFO


def test_a_received_message_may_have_no_attributes() -> None:
    (record,) = queue_messages([{"MessageId": "m-1"}], QUEUE)["Records"]
    assert (record["attributes"], record["messageAttributes"]) == ({}, {})


@pytest.mark.parametrize("arn", ["orders", "", "arn:aws:sns:eu-west-1:1:orders", QUEUE + ":x"])
def test_an_arn_of_something_else_is_refused(arn: str) -> None:
    with pytest.raises(InvalidEventError, match="queue_arn: is not the ARN of an SQS queue"):
        queue_messages([RECEIVED], arn)


def test_a_received_message_that_is_no_object_is_refused_by_position() -> None:
    with pytest.raises(InvalidEventError, match="message 1: must be an object, but is str"):
        queue_messages([RECEIVED, "x"], QUEUE)  # type: ignore[list-item]


@pytest.mark.parametrize("attributes", ["x", [1], {"a": 5}, {"a": "x"}, {"a": {"BinaryValue": 5}}], ids=str)
def test_a_received_message_with_odd_attributes_is_refused_by_position(attributes: Any) -> None:
    message = RECEIVED | {"MessageAttributes": attributes}
    with pytest.raises(InvalidEventError, match=r"message 1\.MessageAttributes: must map names to values"):
        queue_messages([RECEIVED, message], QUEUE)


async def test_received_messages_are_processed_by_the_same_rules(counting: Any) -> None:
    messages = [{**RECEIVED, "MessageId": f"m-{n}"} for n in range(3)]
    report = await BatchEngine().process_messages(messages, counting, queue_arn=QUEUE)
    assert report.source is EventSource.SQS
    assert counting.ids == ["m-0", "m-1", "m-2"]
    assert [done.record["receiptHandle"] for done in report.succeeded] == ["r-1"] * 3


async def test_received_messages_of_a_fifo_queue_need_their_group(counting: Any) -> None:
    messages = [RECEIVED, {"MessageId": "m-2", "Body": "x"}]
    with pytest.raises(InvalidEventError, match=r"record 1\.attributes\.MessageGroupId: is missing"):
        await BatchEngine().process_messages(messages, counting, queue_arn=QUEUE + ".fifo")
    assert counting.ids == []


def test_a_groups_name_is_the_key_only_where_groups_order() -> None:
    event = sqs_fifo_event(["1"], groups=["g"])
    assert read_event(event).rules is rules_of(EventSource.SQS_FIFO)
    event["Records"][0]["eventSourceARN"] = QUEUE
    rules = read_event(event).rules
    assert rules is not None
    assert (rules.source, rules.keys, rules.ordering) == (EventSource.SQS, None, Ordering.UNORDERED)


@pytest.mark.parametrize(("digits", "is_position"), [(640, True), (641, False)])
def test_a_sequence_number_is_a_position_as_long_as_every_interpreter_reads_it(digits, is_position):
    """AWS's have 129 digits at most; `int` may be set to refuse more than 640."""
    position = rules_of(EventSource.KINESIS).position("9" * digits)
    assert position == (10**digits - 1 if is_position else None)


async def test_messages_from_an_iterator_are_processed(counting: Any) -> None:
    messages: Any = ({**RECEIVED, "MessageId": f"m-{n}"} for n in range(3))
    report = await BatchEngine().process_messages(messages, counting, queue_arn=QUEUE)
    assert report.counts.succeeded == 3


def test_the_missing_messages_of_an_empty_queue_are_refused_with_what_to_pass() -> None:
    with pytest.raises(InvalidEventError, match=r"messages: must be a list, but is None.*an empty list"):
        queue_messages(None, QUEUE)
