"""Malformed events: nothing runs before every record is named, and the error says which record is at fault.

The rows are those of the table of malformed input in the project's facts about event sources.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncbatch import BatchEngine, EventSource, FailureReason, InvalidEventError
from asyncbatch._events import read_event
from asyncbatch.testing import dynamodb_event, kafka_event, kinesis_event, sqs_event, sqs_fifo_event

SQS = sqs_event(["1", "2", "3"])
FIFO = sqs_fifo_event(["1", "2", "3"], groups=["a", "b", "a"])
KINESIS = kinesis_event(["1", "2", "3"], keys=["a", "b", "a"])
DYNAMODB = dynamodb_event([{"id": "a"}, {"id": "b"}, {"id": "a"}])
KAFKA = kafka_event(["1", "2", "3"], partitions=[0, 0, 0], topic="t")
GONE = object()


def changed(event: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """A copy of an event with another value at a path, or with nothing there."""
    event = copy.deepcopy(event)
    inner: Any = event
    for step in path[:-1]:
        inner = inner[step]
    if value is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return event


def record(event: dict[str, Any], *path: str, value: object) -> dict[str, Any]:
    """A copy of an event whose record at position 1 is changed."""
    start: tuple[str | int, ...] = ("records", "t-0", 1) if event is KAFKA else ("Records", 1)
    return changed(event, (*start, *path), value)


def identifier_rows() -> list[Any]:
    """Every event without, with an empty, with a null and with a numeric identifier."""
    places = [
        ("sqs", SQS, ("messageId",)),
        ("fifo", FIFO, ("messageId",)),
        ("fifo group", FIFO, ("attributes", "MessageGroupId")),
        ("kinesis", KINESIS, ("kinesis", "sequenceNumber")),
        ("dynamodb", DYNAMODB, ("dynamodb", "SequenceNumber")),
        ("kafka topic", KAFKA, ("topic",)),
    ]
    values = [
        ("missing", GONE, "is missing"),
        ("empty", "", "is empty"),
        ("null", None, "must be text, but is NoneType"),
        ("a number", 5, "must be text, but is int"),
        ("a list", ["x"], "must be text, but is list"),
    ]
    return [
        pytest.param(
            record(event, *path, value=value),
            f"record 1.{'.'.join(path)}: {text}",
            id=f"{name} {kind}",
        )
        for name, event, path in places
        for kind, value, text in values
    ]


ROWS = [
    pytest.param({}, "event: has no list `Records`", id="no Records"),
    pytest.param({"Records": None}, "Records: must be a list, but is NoneType", id="Records null"),
    pytest.param({"Records": {}}, "Records: must be a list, but is dict", id="Records an object"),
    pytest.param([], "event: must be a JSON object", id="event a list"),
    pytest.param("x", "event: must be a JSON object", id="event a text"),
    pytest.param(None, "event: must be a JSON object", id="event null"),
    pytest.param(record(SQS, "eventSource", value="aws:x"), "record 1: has the unknown", id="unknown"),
    pytest.param(record(SQS, "eventSource", value=GONE), "record 1: has the unknown", id="no source"),
    pytest.param({"Records": SQS["Records"] + FIFO["Records"]}, "Records: mixes records of", id="mixed"),
    pytest.param(record(SQS, value="x"), "record 1: must be an object, but is str", id="record a text"),
    pytest.param(record(SQS, value=None), "record 1: must be an object, but is None", id="record null"),
    pytest.param(record(SQS, value=["x"]), "record 1: must be an object, but is list", id="record a list"),
    *identifier_rows(),
    pytest.param(
        record(FIFO, "attributes", value=GONE),
        "record 1.attributes: is missing",
        id="fifo no attributes",
    ),
    pytest.param(
        record(FIFO, "attributes", value="x"),
        "record 1.attributes.MessageGroupId: is missing",
        id="fifo odd attributes",
    ),
    pytest.param(record(KINESIS, "kinesis", value=GONE), "record 1.kinesis: is missing", id="no kinesis"),
    pytest.param(
        record(KINESIS, "kinesis", value="x"),
        "record 1.kinesis.sequenceNumber: is missing",
        id="kinesis a text",
    ),
    pytest.param(
        record(KINESIS, "kinesis", "partitionKey", value=GONE),
        "record 1.kinesis.partitionKey: is missing",
        id="no partition key",
    ),
    pytest.param(
        record(KINESIS, "kinesis", "partitionKey", value=7),
        "record 1.kinesis.partitionKey: must be text",
        id="odd partition key",
    ),
    pytest.param(record(DYNAMODB, "dynamodb", value=GONE), "record 1.dynamodb: is missing", id="no dynamodb"),
    pytest.param(
        record(DYNAMODB, "dynamodb", "Keys", value=GONE),
        "record 1.dynamodb.Keys: is missing",
        id="no keys",
    ),
    *(
        pytest.param(
            record(DYNAMODB, "dynamodb", "Keys", value=keys),
            'record 1.dynamodb.Keys: must map names to typed values ({"id": {"S": "..."}}).',
            id=f"keys {keys}",
        )
        for keys in (
            None,
            "x",
            "",
            5,
            ["id"],
            [],
            {},
            {"id": "x"},
            {"id": None},
            {"id": {}},
            {"id": {"S": []}},
        )
    ),
    pytest.param(
        changed(KAFKA, ("records",), GONE), "records: must map topic-partitions", id="kafka no records"
    ),
    pytest.param(changed(KAFKA, ("records",), []), "records: must map topic-partitions", id="kafka a list"),
    pytest.param(
        changed(KAFKA, ("records", "t-0"), {}), "records['t-0']: must be a list", id="kafka no list"
    ),
    pytest.param(record(KAFKA, value="x"), "record 1: must be an object", id="kafka record a text"),
    pytest.param(
        record(KAFKA, "partition", value=-1), "record 1.partition: must not be negative", id="kafka negative"
    ),
    *(
        pytest.param(
            record(KAFKA, name, value=value),
            f"record 1.{name}: must be an integer, but is {type(None if value is GONE else value).__name__}.",
            id=f"kafka {name} {'missing' if value is GONE else repr(value)}",
        )
        for name in ("partition", "offset")
        for value in (GONE, None, "1", True, 1.0, [1])
    ),
    *(
        pytest.param(
            record(KAFKA, "key", value=value),
            f"record 1.key: must be text or null, but is {type(value).__name__}.",
            id=f"kafka key {value!r}",
        )
        for value in (5, ["x"], {})
    ),
]


@pytest.mark.parametrize(("event", "message"), ROWS)
def test_a_malformed_event_is_refused_before_anything_runs(event: Any, message: str, counting: Any) -> None:
    with pytest.raises(InvalidEventError) as caught:
        BatchEngine().run(event, counting)
    assert str(caught.value).startswith(message)
    assert "Nothing was processed." in str(caught.value)
    assert counting.ids == []


@pytest.mark.parametrize(("event", "message"), ROWS)
async def test_a_malformed_event_is_refused_in_the_callers_loop_too(
    event: Any, message: str, counting: Any
) -> None:
    with pytest.raises(InvalidEventError) as caught:
        await BatchEngine().process(event, counting)
    assert str(caught.value).startswith(message)
    assert counting.ids == []


def test_a_kind_of_text_that_json_does_not_have_is_refused_by_name(counting: Any) -> None:
    class Text(str):
        __slots__ = ()

    with pytest.raises(InvalidEventError, match=r"record 1\.messageId: must be text, but is Text"):
        BatchEngine().run(record(SQS, "messageId", value=Text("m-1")), counting)
    assert counting.ids == []


# --- odd, but reportable ------------------------------------------------------------------------------


def test_an_event_without_records_has_an_empty_reply(counting: Any) -> None:
    report = BatchEngine().run({"Records": []}, counting)
    assert (report.response(), report.source) == ({"batchItemFailures": []}, None)


@pytest.mark.parametrize("source", [EventSource.KINESIS, EventSource.KAFKA])
@pytest.mark.parametrize("value", ["e3$$0=", "no base64", "é", "e30"])
def test_a_payload_that_is_not_base64_fails_that_record_alone(
    event_of: Callable[..., Any], source: EventSource, value: str
) -> None:
    event = event_of(source, ["1", "2"])
    if source is EventSource.KAFKA:
        event["records"]["orders-0"][1]["value"] = value
    else:
        event["Records"][1]["kinesis"]["data"] = value

    async def handler(record: Any) -> None:
        record.json()

    first, second = BatchEngine(raise_on_failure="never").run(event, handler).outcomes
    assert type(first).__name__ == "Succeeded"
    assert (second.id, getattr(second, "reason", None)) == (second.record.id, FailureReason.RAISED)


@pytest.mark.parametrize("body", ["[" * 200_000, "9" * 5_000], ids=["nested", "digits"])
def test_a_hostile_body_fails_that_record_alone(body: str) -> None:
    async def handler(record: Any) -> None:
        record.json()

    event = sqs_event(["1", body, "3"])
    report = BatchEngine().run(event, handler)
    assert [done.position for done in report.succeeded] == [0, 2]
    assert report.failures == [event["Records"][1]["messageId"]]


def test_the_engine_itself_parses_no_body(counting: Any) -> None:
    report = BatchEngine().run(sqs_event(["[" * 200_000, "no JSON"]), counting)
    assert len(report.succeeded) == 2


def test_a_sequence_number_is_compared_by_position_not_as_text() -> None:
    event = changed(KINESIS, ("Records", 0, "kinesis", "sequenceNumber"), "999")
    event = changed(event, ("Records", 1, "kinesis", "sequenceNumber"), "1000")
    event = changed(event, ("Records", 2, "kinesis", "sequenceNumber"), "1001")

    async def handler(record: Any) -> None:
        raise ValueError

    assert BatchEngine().run(event, handler).checkpoint == "999"


def test_the_same_identifier_twice_is_reported_once_if_any_copy_fails() -> None:
    event = record(SQS, "messageId", value=SQS["Records"][0]["messageId"])
    for failing in range(3):
        calls: list[str] = []

        async def handler(each: Any, calls: list[str] = calls, failing: int = failing) -> None:
            calls.append(each.id)
            if each.body == str(failing + 1):
                raise ValueError

        report = BatchEngine().run(event, handler)
        assert report.failures == [event["Records"][failing]["messageId"]]
        assert len(calls) == 3


def test_no_two_topic_partitions_have_one_name(counting: Any) -> None:
    event = kafka_event(["1", "2"], partitions=[0, 1])
    for log, topic, partition in zip(event["records"].values(), ("t-", "t"), (1, -1), strict=True):
        log[0] |= {"topic": topic, "partition": partition}
    with pytest.raises(InvalidEventError, match=r"record 1\.partition: must not be negative"):
        BatchEngine().run(event, counting)


# --- the fast way and a slow one agree ----------------------------------------------------------------


def is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = record.get(name)
    return value if isinstance(value, Mapping) else {}


def kind_of(record: object) -> str | None:
    """Which source a record is a good record of; None if of none."""
    if not isinstance(record, Mapping):
        return None
    tag, arn = record.get("eventSource"), record.get("eventSourceARN")
    if tag == "aws:sqs" and is_text(arn) and is_text(record.get("messageId")):
        if not arn.endswith(".fifo"):
            return "sqs"
        return "fifo" if is_text(part(record, "attributes").get("MessageGroupId")) else None
    if tag == "aws:kinesis":
        inner = part(record, "kinesis")
        good = is_text(inner.get("sequenceNumber")) and isinstance(inner.get("partitionKey"), str)
        return "kinesis" if good else None
    if tag == "aws:dynamodb":
        inner = part(record, "dynamodb")
        keys = inner.get("Keys")
        good = is_text(inner.get("SequenceNumber")) and isinstance(keys, Mapping) and keys
        good = good and all(is_typed(value) for value in keys.values())
        return "dynamodb" if good else None
    return None


def is_typed(value: object) -> bool:
    if not isinstance(value, Mapping) or not value:
        return False
    return not isinstance(next(iter(value.values())), list | dict)


def is_kafka_record(record: object) -> bool:
    if not isinstance(record, Mapping) or not is_text(record.get("topic")):
        return False
    if not isinstance(record.get("key"), str | None):
        return False
    numbers = [record.get("partition"), record.get("offset")]
    good = all(isinstance(each, int) and not isinstance(each, bool) for each in numbers)
    return good and record["partition"] >= 0


def is_good(event: object) -> bool:
    """The slow oracle: may this event run?"""
    if not isinstance(event, Mapping):
        return False
    if event.get("eventSource") in ("aws:kafka", "SelfManagedKafka"):
        partitions = event.get("records")
        if not isinstance(partitions, Mapping):
            return False
        lists = list(partitions.values())
        return all(isinstance(each, list) and all(map(is_kafka_record, each)) for each in lists)
    records = event.get("Records")
    if "isFinalInvokeForWindow" in event and records in (None, []):
        return True
    if not isinstance(records, list):
        return False
    kinds = {kind_of(record) for record in records}
    return not kinds or (len(kinds) == 1 and None not in kinds)


ODD = [None, 0, 5, -1, True, 1.5, "", "x", "aws:sqs", "q.fifo", [], ["x"], {}, {"S": "x"}, {"a": {}}]
WINDOW = {**KINESIS, "isFinalInvokeForWindow": False, "state": {}}
EVENTS = [SQS, FIFO, KINESIS, DYNAMODB, KAFKA, WINDOW]
NOT_LOOKED_AT = {  # what no check reads: changing it must not matter, and most of it is not worth a try
    "body", "data", "receiptHandle", "NewImage", "SenderId", "value", "headers", "eventID",
    "invokeIdentityArn", "bootstrapServers", "messageAttributes", "md5OfBody", "eventSourceArn",
}  # fmt: skip


def paths(value: object, start: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Every place in an event that a check may look at."""
    found = [start] if start else []
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in NOT_LOOKED_AT and not (name == "eventSourceARN" and "messageId" not in value):
                found += paths(inner, (*start, name))
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            found += paths(inner, (*start, position))
    return found


@st.composite
def mutated_events(draw: st.DrawFn) -> Any:
    event: Any = copy.deepcopy(draw(st.sampled_from(EVENTS)))
    for _ in range(draw(st.integers(1, 3))):
        options = paths(event)
        if not options:
            return event
        path = draw(st.sampled_from(options))
        inner = event
        for step in path[:-1]:
            inner = inner[step]
        what = draw(st.sampled_from(["drop", "change", "change", "duplicate"]))
        if what == "drop":
            del inner[path[-1]]
        elif what == "change" or not isinstance(inner, list):
            inner[path[-1]] = copy.deepcopy(draw(st.sampled_from(ODD)))
        else:
            inner.append(copy.deepcopy(inner[path[-1]]))
    return event


@given(event=mutated_events())
def test_the_fast_check_agrees_with_a_slow_one(event: Any) -> None:
    if not is_good(event):
        with pytest.raises(InvalidEventError):
            read_event(event)
        return
    batch = read_event(event)
    assert len(batch.names) == len(batch.raws)
    assert batch.distinct == len(set(batch.names))
    assert (batch.rules is None) == (not batch.raws and event.get("eventSource") != "aws:kafka")
    for position in range(len(batch.raws)):
        assert batch.identifier(position)
