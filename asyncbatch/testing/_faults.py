"""What can be wrong with an event: a change of a good one for each fault, and what has to come of it."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any, Final, Literal, NamedTuple

from asyncbatch._sources import EventSource

Expected = Literal["refused", "retried"] | tuple[int, ...]
Change = Callable[[Any], Any]
"""A function of a good event that may change it; it gives the malformed one."""

_GONE: Final = object()
_BAD: Final = 1  # the position of the record at fault; one before it is good


class Fault(NamedTuple):
    """One thing that can be wrong.

    Attributes:
        name: What it is, in a few words.
        change: What is done to a good event.
        expected: What has to come of that.
    """

    name: str
    change: Change
    expected: Expected


def faults_of(source: EventSource) -> Iterator[Fault]:
    """Everything that can be wrong with an event of a source."""
    yield from _no_event()
    yield from _odd_containers(source)
    yield from _odd_records(source)
    yield from _odd_fields(source)
    yield from _odd_payloads(source)
    yield from _twice(source)
    if source not in {EventSource.SQS, EventSource.SQS_FIFO}:
        yield from _odd_orders(source)
    if source in {EventSource.KINESIS, EventSource.DYNAMODB}:
        yield Fault("a tumbling window without records", _instead(_EMPTY_WINDOW), ())


# --- the event ----------------------------------------------------------------------------------------


def _no_event() -> Iterator[Fault]:
    odd: dict[str, Any] = {"null": None, "a list": [], "a text": "x", "a number": 5, "empty": {}}
    for kind, value in odd.items():
        yield Fault(f"the event is {kind}", _instead(value), "refused")


def _odd_containers(source: EventSource) -> Iterator[Fault]:
    is_kafka = source is EventSource.KAFKA
    name = "records" if is_kafka else "Records"
    wrong: Any = [] if is_kafka else {}
    yield Fault(f"no {name}", _set((name,), _GONE), "refused")
    yield Fault(f"{name} is null", _set((name,), None), "refused")
    yield Fault(f"{name} is a text", _set((name,), "x"), "refused")
    yield Fault(f"{name} is {'a list' if is_kafka else 'an object'}", _set((name,), wrong), "refused")
    yield Fault(f"{name} is empty", _set((name,), {} if is_kafka else []), ())
    yield Fault("a field that nobody knows", _set(("unknown",), {"x": 1}), ())
    if is_kafka:
        yield Fault("a topic-partition has no records", _set(("records", "other-0"), []), ())
        for kind, value in _PARENT.items():
            if kind != "missing" and value != []:
                yield Fault(f"a topic-partition is {kind}", _set(("records", "other-0"), value), "refused")
        yield Fault("no event source", _set(("eventSource",), _GONE), "refused")
        yield Fault("an unknown event source", _set(("eventSource",), "aws:other"), "refused")


_EMPTY_WINDOW: Final = {
    "window": {"start": "2026-09-21T13:30:00Z", "end": "2026-09-21T13:35:00Z"},
    "state": {},
    "isFinalInvokeForWindow": True,
    "isWindowTerminatedEarly": False,
}


# --- records ------------------------------------------------------------------------------------------


def _odd_records(source: EventSource) -> Iterator[Fault]:
    odd: dict[str, Any] = {"null": None, "a text": "x", "a number": 5, "a list": ["x"]}
    for kind, value in odd.items():
        yield Fault(f"a record is {kind}", _in_record((), value), "refused")
    yield Fault("a record has a field that nobody knows", _in_record(("unknown",), {"x": 1}), ())
    if source is EventSource.KAFKA:
        return
    yield Fault("a record without event source", _in_record(("eventSource",), _GONE), "refused")
    odd = {"unknown": "aws:other", "null": None, "a number": 5, "a list": ["aws:sqs"]}
    for kind, value in odd.items():
        yield Fault(f"a record's event source is {kind}", _in_record(("eventSource",), value), "refused")
    yield Fault("records of two event sources", _mixed, "refused")
    yield Fault("one record is of SNS", _in_record((), _SNS), "refused")
    yield Fault("all records are of SNS", _set(("Records",), [_SNS, _SNS]), "refused")
    if source in {EventSource.SQS, EventSource.SQS_FIFO}:
        for kind, value in _ODD.items():
            yield Fault(f"a record's queue is {kind}", _in_record(("eventSourceARN",), value), "refused")
        yield Fault("records of a standard and a FIFO queue", _other_queue, "refused")


_ODD: Final[dict[str, Any]] = {
    "missing": _GONE,
    "null": None,
    "empty": "",
    "a number": 5,
    "a list": ["x"],
    "an object": {"x": "x"},
}
_ODD_NUMBERS: Final[dict[str, Any]] = {
    "missing": _GONE,
    "null": None,
    "a text": "1",
    "a truth value": True,
    "no whole number": 1.5,
}
_ODD_KEYS: Final[dict[str, Any]] = {
    "missing": _GONE,
    "null": None,
    "empty": {},
    "a text": "x",
    "untyped": {"id": "x"},
    "of no type": {"id": {}},
    "of a list": {"id": {"L": []}},
}
_SNS: Final = {
    "EventSource": "aws:sns",
    "EventVersion": "1.0",
    "EventSubscriptionArn": "arn:aws:sns:eu-west-1:123456789012:orders:2bcfbf39-05c3-41de-beaa-fcfcc21c8f55",
    "Sns": {"Type": "Notification", "MessageId": "95df01b4-ee98-5cb9-9903-4c221d41eb5e", "Message": "{}"},
}


def _mixed(event: Any) -> Any:
    record: dict[str, Any] = dict(event["Records"][0])
    is_kinesis = record["eventSource"] == "aws:kinesis"
    record["eventSource"] = "aws:dynamodb" if is_kinesis else "aws:kinesis"
    event["Records"].append(record)
    return event


def _other_queue(event: Any) -> Any:
    record = event["Records"][_BAD]
    arn: str = record["eventSourceARN"]
    record["eventSourceARN"] = arn.removesuffix(".fifo") if arn.endswith(".fifo") else f"{arn}.fifo"
    record["attributes"]["MessageGroupId"] = "g"  # which proves nothing
    return event


def _odd_fields(source: EventSource) -> Iterator[Fault]:
    """What names a record and what orders it, odd in every way."""
    for path, odd in _FIELDS[source].items():
        for kind, value in odd.items():
            yield Fault(f"{'.'.join(path)} is {kind}", _in_record(path, value), "refused")
    if source is EventSource.KINESIS:
        yield Fault("the partition key is empty", _in_record(("kinesis", "partitionKey"), ""), ())


_PARENT: Final[dict[str, Any]] = {"missing": _GONE, "null": None, "a text": "x", "a list": []}
_FIELDS: Final[dict[EventSource, dict[tuple[str, ...], dict[str, Any]]]] = {
    EventSource.SQS: {("messageId",): _ODD},
    EventSource.SQS_FIFO: {
        ("messageId",): _ODD,
        ("attributes",): _PARENT,
        ("attributes", "MessageGroupId"): _ODD,
    },
    EventSource.KINESIS: {
        ("kinesis",): _PARENT,
        ("kinesis", "sequenceNumber"): _ODD,
        ("kinesis", "partitionKey"): {kind: value for kind, value in _ODD.items() if kind != "empty"},
    },
    EventSource.DYNAMODB: {
        ("dynamodb",): _PARENT,
        ("dynamodb", "SequenceNumber"): _ODD,
        ("dynamodb", "Keys"): _ODD_KEYS,
    },
    EventSource.KAFKA: {
        ("topic",): _ODD,
        ("partition",): {**_ODD_NUMBERS, "negative": -1},
        ("offset",): _ODD_NUMBERS,
        ("key",): {"a number": 5, "a list": ["x"]},
    },
}


# --- payloads -----------------------------------------------------------------------------------------


def _odd_payloads(source: EventSource) -> Iterator[Fault]:
    path, odd = _PAYLOADS[source]
    for kind, value in odd.items():
        yield Fault(f"{path[-1]} is {kind}", _in_record(path, value), (_BAD,))


def _in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


_TEXTS: Final = {
    "empty": "",
    "no JSON": '{"order": ',
    "nested 200,000 deep": "[" * 200_000,
    "a number of 5,000 digits": "9" * 5_000,
}
_BODIES: Final[dict[str, Any]] = {**_TEXTS, "missing": _GONE, "null": None, "a number": 5, "an object": {}}
_DATA: Final[dict[str, Any]] = {
    **{kind: _in_base64(text) for kind, text in _TEXTS.items() if text},
    "no base64": "no base64",
    "base64 with junk in it": "e3$$0=",
    "base64 without its padding": "e30",
    "no ASCII": "é",
    "a number": 5,
    "a list": ["e30="],
    "no UTF-8": base64.b64encode(b'"\xff"').decode(),
}
_IMAGES: Final[dict[str, Any]] = {
    "a text": "x",
    "a list": ["x"],
    "untyped": {"id": "x"},
    "of an unknown type": {"id": {"X": "x"}},
    "of no type": {"id": {}},
    "of two types": {"id": {"S": "x", "N": "1"}},
    "a number that is none": {"id": {"N": "one"}},
    "a number of 5,000 digits": {"id": {"N": "9" * 5_000}},
    "no base64": {"id": {"B": "e3$$0="}},
}
_PAYLOADS: Final[dict[EventSource, tuple[tuple[str, ...], dict[str, Any]]]] = {
    EventSource.SQS: (("body",), _BODIES),
    EventSource.SQS_FIFO: (("body",), _BODIES),
    EventSource.KINESIS: (("kinesis", "data"), {**_DATA, "missing": _GONE, "null": None}),
    EventSource.DYNAMODB: (("dynamodb", "NewImage"), _IMAGES),
    EventSource.KAFKA: (("value",), _DATA),  # null is a tombstone, and handlers may take it
}


def _spoil(source: EventSource) -> Change:
    """Let the record at fault fail."""
    path, odd = _PAYLOADS[source]
    return _in_record(path, odd["a text" if source is EventSource.DYNAMODB else "no JSON"])


# --- identifiers and order ----------------------------------------------------------------------------

_IDENTIFIERS: Final = {
    EventSource.SQS: ("messageId",),
    EventSource.SQS_FIFO: ("messageId",),
    EventSource.KINESIS: ("kinesis", "sequenceNumber"),
    EventSource.DYNAMODB: ("dynamodb", "SequenceNumber"),
    EventSource.KAFKA: ("offset",),
}


def _twice(source: EventSource) -> Iterator[Fault]:
    path = _IDENTIFIERS[source]

    def twice(event: Any) -> Any:
        first, second = _records(event)[: _BAD + 1]
        return _in_record(path, _at(first, path))(_one_unit(source, event, first, second))

    yield Fault("one identifier twice", twice, ())
    yield Fault("one identifier twice, and one of them fails", _both(twice, _spoil(source)), (_BAD,))


def _one_unit(source: EventSource, event: Any, first: Any, second: Any) -> Any:
    """Copies of a record have one message group, and one topic-partition."""
    if source is EventSource.SQS_FIFO:
        second["attributes"]["MessageGroupId"] = first["attributes"]["MessageGroupId"]
    if source is EventSource.KAFKA:
        second["topic"], second["partition"] = first["topic"], first["partition"]
    return event


def _odd_orders(source: EventSource) -> Iterator[Fault]:
    path, number = _IDENTIFIERS[source], int if source is EventSource.KAFKA else str

    def numbered(*values: int) -> Change:
        """The first two records numbered anew, below all others."""

        def change(event: Any) -> Any:
            first, second = _records(event)[: _BAD + 1]
            for record, value in zip((first, second), values, strict=True):
                _put(record, path, number(value))
            return _one_unit(source, event, first, second)

        return change

    fails = _spoil(source)
    yield Fault("positions that do not ascend", numbered(2, 1), ())
    yield Fault("positions that do not ascend, and one fails", _both(numbered(2, 1), fails), "retried")
    yield Fault(
        "positions that ascend, though not as text, and one fails", _both(numbered(9, 10), fails), (_BAD,)
    )


# --- changes ------------------------------------------------------------------------------------------


def _instead(value: Any) -> Change:
    def change(_: Any) -> Any:
        return value

    return change


def _both(first: Change, then: Change) -> Change:
    def change(event: Any) -> Any:
        return then(first(event))

    return change


def _records(event: Any) -> list[Any]:
    """The records, in batch position."""
    if "Records" in event:
        records: list[Any] = event["Records"]
        return records
    return [record for log in event["records"].values() for record in log]


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def _put(value: Any, path: tuple[str, ...], new: Any) -> None:
    parent = _at(value, path[:-1])
    if new is _GONE:
        parent.pop(path[-1], None)
    else:
        parent[path[-1]] = new


def _set(path: tuple[str, ...], value: Any) -> Change:
    def change(event: Any) -> Any:
        _put(event, path, value)
        return event

    return change


def _in_record(path: tuple[str, ...], value: Any) -> Change:
    """Put a value into the record at fault; in its place, where the path is empty."""

    def change(event: Any) -> Any:
        record = _records(event)[_BAD]
        if path:
            _put(record, path, value)
            return event
        for log in [event["Records"]] if "Records" in event else event["records"].values():
            log[:] = [value if each is record else each for each in log]
        return event

    return change
