"""From an event to a batch: which source it comes from, and every record named and checked before one runs.

A batch is what was read. The event's lists and records belong to the caller and to the handlers, who may change
them while the batch runs: the batch has a list of its own, and names and keys that were read once.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, final

from asyncbatch._errors import InvalidEventError
from asyncbatch._records import ItemIdentifier
from asyncbatch._sources import EventSource, Ordering, SourceRules, is_object, rules_of
from asyncbatch._views import RawRecord


@final
class Batch:
    """The records of one event, named and checked: nothing has run yet. Never changed after that.

    Args:
        rules: The row of the table; None for an empty batch whose source nothing tells.
        raws: The raw records, in batch position; a list that nobody else has.
        names: A hashable name per record; equal names are copies of one record.
        keys: What orders each record in its event source; empty where nothing does.
        distinct: How many names differ.
        window_state: The ``state`` of a tumbling window's event, to be echoed; None for any other event.
    """

    __slots__ = ("distinct", "keys", "names", "raws", "rules", "window_state")

    def __init__(  # noqa: PLR0917 - keywords would be paid per batch
        self,
        rules: SourceRules | None,
        raws: Sequence[RawRecord],
        names: Sequence[Hashable],
        keys: Sequence[Hashable],
        distinct: int,
        window_state: dict[str, Any] | None = None,
    ) -> None:
        self.rules: SourceRules | None = rules
        self.raws: Sequence[RawRecord] = raws
        self.names: Sequence[Hashable] = names
        self.keys: Sequence[Hashable] = keys
        self.distinct: int = distinct
        self.window_state: dict[str, Any] | None = window_state

    def identifier(self, position: int) -> ItemIdentifier:
        """How a reply names the record at a position."""
        assert self.rules is not None, "a batch with records has a source"  # noqa: S101 - narrows a type
        return self.rules.identifier(self.names[position])

    def lane_keys(self, ordering: Ordering) -> Sequence[Hashable]:
        """The lane of every record, as one of the engine's orderings has it."""
        if ordering is Ordering.UNORDERED:
            return self.names
        partition = None if self.rules is None else self.rules.partition
        if partition is None:
            return self.keys if ordering is Ordering.BY_KEY else [None] * len(self.names)
        partitions = list(map(partition, self.names))
        return list(zip(partitions, self.keys, strict=True)) if ordering is Ordering.BY_KEY else partitions


_TAGS: Final = {
    "aws:sqs": EventSource.SQS,
    "aws:kinesis": EventSource.KINESIS,
    "aws:dynamodb": EventSource.DYNAMODB,
}
_KAFKA_TAGS: Final = ("aws:kafka", "SelfManagedKafka")
_NO_RECORDS: Final[list[Any]] = []
_FIFO_SUFFIX: Final = ".fifo"
# A list's own method: a class of the caller's own may say that it is empty.
_copied: Final[Callable[[list[Any]], list[Any]]] = list[Any].copy
# A tumbling window's event has these beside (or instead of) its records.
# https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
_WINDOW_FIELD: Final = "isFinalInvokeForWindow"
_KNOWN: Final = "Known event sources: aws:sqs, aws:kinesis, aws:dynamodb, aws:kafka, SelfManagedKafka."


def queue_source(arn: str) -> EventSource:
    """Whether an SQS queue is FIFO, told by its ARN.

    AWS: a FIFO queue's name must end in ``.fifo``. A ``MessageGroupId`` proves nothing: on a standard queue it
    makes it a fair queue, where it names a tenant and orders nothing.
    """
    return EventSource.SQS_FIFO if arn.endswith(_FIFO_SUFFIX) else EventSource.SQS


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


# --- event -> batch -----------------------------------------------------------------------------------


def read_event(event: Any, source: EventSource | None = None) -> Batch:
    """Name and check every record of an event.

    Args:
        event: The event that Lambda passes.
        source: The event source, where the user named it; otherwise it is detected.

    Raises:
        InvalidEventError: a record of it could not be reported on; nothing may run.
    """
    if not is_object(event):
        problem = f"must be a JSON object with a list of records, but is {type(event).__name__}"
        raise InvalidEventError(problem)
    tag = event.get("eventSource")
    if source is EventSource.KAFKA or (tag is not None and tag in _KAFKA_TAGS):
        return _read_kafka(event, source)
    state: dict[str, Any] | None = None
    records: Any = event.get("Records")
    if _WINDOW_FIELD in event:
        state = event.get("state") or {}
        records = _NO_RECORDS if records is None else records
    if not _is_list(records):
        raise _not_a_batch(event, records)
    records = _copied(records)
    if not records:
        return Batch(source and rules_of(source), (), (), (), 0, state)
    return _checked(_detected(records, source), records, state)


def _not_a_batch(event: Mapping[str, Any], records: object) -> InvalidEventError:
    if "Records" in event:
        return InvalidEventError(f"must be a list, but is {type(records).__name__}", "Records")
    if "records" in event:
        return InvalidEventError(
            "is not a known event source",
            "eventSource",
            f"{_KNOWN} Or name the `source` of the engine.",
        )
    return InvalidEventError(
        "has no list `Records`", hint="Is the function's trigger an event source mapping?"
    )


def _read_kafka(event: Mapping[str, Any], named: EventSource | None) -> Batch:
    tag = event.get("eventSource")
    if named not in {None, EventSource.KAFKA} or not (tag is None or tag in _KAFKA_TAGS):
        problem = f"is {tag!r:.100}, but the engine's `source` is {named and named.value}"
        raise InvalidEventError(problem, "eventSource")
    partitions: Any = event.get("records")
    if not is_object(partitions):
        problem = f"must map topic-partitions to lists, but is {type(partitions).__name__}"
        raise InvalidEventError(problem, "records")
    raws: list[RawRecord] = []
    for name, records in partitions.items():
        if not _is_list(records):
            problem = f"must be a list, but is {type(records).__name__}"
            raise InvalidEventError(problem, f"records[{name!r:.100}]")
        raws += _copied(records)
    if not raws:
        return Batch(rules_of(EventSource.KAFKA), (), (), (), 0)
    return _checked(rules_of(EventSource.KAFKA), raws)


def _checked(rules: SourceRules, raws: Sequence[RawRecord], state: dict[str, Any] | None = None) -> Batch:
    """Name every record, quickly; where that does not work out, say which record is at fault."""
    try:
        names = rules.names(raws)
        keys = rules.keys(raws) if rules.keys is not None else ()
        distinct = set(names)
        types = [*map(type, names)]
        sound = (types.count(str) or types.count(tuple)) == len(names) and "" not in distinct
        sound = sound and (rules.are_sound is None or rules.are_sound(names, keys))
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, IndexError):
        raise _first_problem(rules, raws) from None
    if not sound:
        raise _first_problem(rules, raws)
    return Batch(rules, raws, names, keys, len(distinct), state)


def _first_problem(rules: SourceRules, raws: Sequence[RawRecord]) -> InvalidEventError:
    position, (place, text) = next(
        (position, problem)
        for position, raw in enumerate(raws)
        if (problem := _not_an_object(raw) or rules.problem(raw)) is not None
    )
    hint = f"A record of {rules.source.value} without it could not be reported or kept in order."
    return InvalidEventError(text, f"record {position}{place}", hint if place else "")


def _not_an_object(raw: Any) -> tuple[str, str] | None:
    return None if is_object(raw) else ("", f"must be an object, but is {type(raw).__name__}")


# --- detection ----------------------------------------------------------------------------------------


def _detected(records: list[Any], named: EventSource | None) -> SourceRules:
    """The one event source of all records; it must agree with the one that the user named."""
    try:
        tag, arn = records[0]["eventSource"], records[0]["eventSourceARN"]
        for record in records:
            if record["eventSource"] != tag or record["eventSourceARN"] != arn:
                break
        else:  # the usual case, without an object per record
            rules = _rules_by_origin(tag, arn, named)
            if rules is not None:
                return rules
    except (KeyError, TypeError):
        pass
    return _detected_one_by_one(records, named)


def _detected_one_by_one(records: list[Any], named: EventSource | None) -> SourceRules:
    try:
        origins = set(_columns(records))
    except (AttributeError, TypeError):
        raise _odd_record(records) from None
    sources: set[EventSource] = set()
    for origin in origins:
        source = _origin(*origin, named)
        if isinstance(source, str):
            where = f"record {_columns(records).index(origin)}"
            raise InvalidEventError(source, where, _KNOWN)
        sources.add(source)
    if len(sources) > 1:
        found = " and ".join(sorted(source.value for source in sources))
        raise InvalidEventError(f"mixes records of {found}", "Records", "An event has one source.")
    return rules_of(sources.pop())


@lru_cache(maxsize=32)  # a function has few event sources, and sees each a million times
def _rules_by_origin(tag: object, arn: object, named: EventSource | None) -> SourceRules | None:
    source = _origin(tag, arn, named)
    return rules_of(source) if isinstance(source, EventSource) else None


def _origin(tag: object, arn: object, named: EventSource | None) -> EventSource | str:
    """The event source that a record's tag and ARN tell, or what is wrong with them."""
    source = _TAGS.get(tag) if isinstance(tag, str) else None
    if named is not None:
        return _disagreement(tag, source, arn, named) or named
    if source is None:
        return f"has the unknown event source {tag!r:.100}"
    if source is not EventSource.SQS:
        return source
    if not isinstance(arn, str) or not arn:
        return "has no eventSourceARN, which alone tells a FIFO queue from a standard one"
    return queue_source(arn)


def _disagreement(tag: object, source: EventSource | None, arn: object, named: EventSource) -> str | None:
    """Hand-made events may leave out both tag and ARN; what is there must agree with what the user said."""
    kin = EventSource.SQS if named is EventSource.SQS_FIFO else named
    if tag is not None and source is not kin:
        return f"has the event source {tag!r:.100}, but the engine's `source` is {named.value}"
    if kin is EventSource.SQS and isinstance(arn, str) and arn and queue_source(arn) is not named:
        return f"comes from a {queue_source(arn).value} queue, but the engine's `source` is {named.value}"
    return None


def _columns(records: list[Any]) -> list[tuple[Any, Any]]:
    return [(record.get("eventSource"), record.get("eventSourceARN")) for record in records]


def _odd_record(records: list[Any]) -> InvalidEventError:
    """The first record that is no object, or whose origin is no text."""
    position, (place, text) = next((at, odd) for at, each in enumerate(records) if (odd := _oddness(each)))
    return InvalidEventError(text, f"record {position}{place}")


def _oddness(record: Any) -> tuple[str, str] | None:
    odd = [name for name in _ORIGIN if is_object(record) and not isinstance(record.get(name, ""), str)]
    return (f".{odd[0]}", "must be text") if odd else _not_an_object(record)


_ORIGIN: Final = ("eventSource", "eventSourceARN")


# --- messages that the caller received himself --------------------------------------------------------


def queue_messages(messages: Iterable[Mapping[str, Any]] | None, queue_arn: str) -> dict[str, Any]:
    """An SQS event made of what ``receive_message`` returned.

    Args:
        messages: The ``Messages`` of the answer, in order.
        queue_arn: The queue's ARN.

    Raises:
        InvalidEventError: the ARN is none of a queue, or a message is not what ``receive_message`` gives.
    """
    parts = queue_arn.split(":")
    if len(parts) != _ARN_PARTS or parts[2] != "sqs":
        hint = "It looks like arn:aws:sqs:eu-west-1:123456789012:orders."
        raise InvalidEventError(f"is not the ARN of an SQS queue: {queue_arn!r:.200}", "queue_arn", hint)
    if messages is None:
        hint = "Where a queue is empty, receive_message leaves `Messages` out: pass an empty list then."
        raise InvalidEventError("must be a list, but is None", "messages", hint)
    messages = list(messages)  # they may come from an iterator, which gives them once
    for position, message in enumerate(messages):
        if not is_object(message):
            raise InvalidEventError(
                f"must be an object, but is {type(message).__name__}", f"message {position}"
            )
        if not _are_attributes(message.get("MessageAttributes") or {}):
            problem = "must map names to values with their types"
            raise InvalidEventError(problem, f"message {position}.MessageAttributes")
    return {"Records": [_queue_message(message, queue_arn, parts[3]) for message in messages]}


def _are_attributes(attributes: Any) -> bool:
    return is_object(attributes) and all(
        is_object(each) and isinstance(each.get("BinaryValue", ""), bytes | str)
        for each in attributes.values()
    )


_ARN_PARTS: Final = 6
# receive_message spells the fields in PascalCase, the event of a mapping in camelCase.
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Message.html
_MESSAGE_FIELDS: Final = {
    "MessageId": "messageId",
    "ReceiptHandle": "receiptHandle",
    "Body": "body",
    "MD5OfBody": "md5OfBody",
    "MD5OfMessageAttributes": "md5OfMessageAttributes",
}
_ATTRIBUTE_FIELDS: Final = {
    "StringValue": "stringValue",
    "DataType": "dataType",
    "StringListValues": "stringListValues",
}


def _queue_message(message: Mapping[str, Any], arn: str, region: str) -> dict[str, Any]:
    record = {name: message[field] for field, name in _MESSAGE_FIELDS.items() if field in message}
    record["attributes"] = message.get("Attributes") or {}
    attributes: Mapping[str, Any] = message.get("MessageAttributes") or {}
    record["messageAttributes"] = {name: _message_attribute(each) for name, each in attributes.items()}
    return {**record, "eventSource": "aws:sqs", "eventSourceARN": arn, "awsRegion": region}


def _message_attribute(attribute: Mapping[str, Any]) -> dict[str, Any]:
    record = {name: attribute[field] for field, name in _ATTRIBUTE_FIELDS.items() if field in attribute}
    if "BinaryValue" in attribute:
        value: bytes | str = attribute["BinaryValue"]
        record["binaryValue"] = value if isinstance(value, str) else base64.b64encode(value).decode()
    return record
