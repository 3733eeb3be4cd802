"""The table of event sources, and the only place that knows how they differ.

For each source: how it is detected, what must be there before anything runs, the item identifier, the key
that orders it, its defaults, and which records a reply must name. The rest of the package reads the table.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple, final

from asyncbatch._errors import InvalidEventError
from asyncbatch._records import (
    DynamoDBRecord,
    ItemIdentifier,
    KafkaIdentifier,
    KafkaRecord,
    KinesisRecord,
    Record,
    SqsRecord,
    item_key,
)
from asyncbatch._views import RawRecord


class EventSource(Enum):
    """Where a batch comes from."""

    SQS = "sqs"
    SQS_FIFO = "sqs-fifo"
    KINESIS = "kinesis"
    DYNAMODB = "dynamodb"
    KAFKA = "kafka"


class Ordering(Enum):
    """What a lane is. A function from a record to a hashable key may stand in its place."""

    UNORDERED = "unordered"
    """A lane per record; copies of one record share a lane."""
    BY_KEY = "by-key"
    """A lane per key of the event source: message group, partition key, item key, Kafka message key."""
    SEQUENTIAL = "sequential"
    """One lane per checkpoint unit: the batch; for Kafka each topic-partition."""


class FailureScope(Enum):
    """What a record that did not succeed holds back. Records in flight are never cancelled by it."""

    RECORD = "record"
    """Nothing else."""
    LANE = "lane"
    """The rest of its lane."""
    BATCH = "batch"
    """Everything positioned after it in the batch."""


class Redelivery(Enum):
    """What the event source does with the records that a reply names, hence which ones a reply must name."""

    NAMED = "named"
    """It delivers the named records again: name every record that did not succeed."""
    UNIT_SUFFIX = "unit-suffix"
    """Order counts within a unit: name the first that did not succeed of each unit, and all later ones of it."""
    FROM_LOWEST = "from-lowest"
    """It delivers everything from the lowest named record on: name the first that did not succeed."""


@final
class SourceRules(NamedTuple):
    """One row of the table: how an event source differs from the others.

    Attributes:
        source: The event source.
        record_type: The view on its records.
        identifiers: Names every record, in input order, by something hashable. It may raise whatever a
            malformed record makes it raise; `problem` then says what is wrong.
        problem: What makes this record impossible to report on, or None.
        identifier: How a reply names a record.
        unit: What a reply's order refers to: the message group, the topic-partition; one for a shard.
        sequential_key: The key for `Ordering.SEQUENTIAL`: the topic-partition, or one for the batch.
        native_key: The key for `Ordering.BY_KEY`; None where the source has none.
        position: A stream's position as an integer, or None where the text is none.
        ordering: The default ordering.
        scope: The default failure scope.
        redelivery: What a reply must name.
        partial_responses_are_optional: Whether AWS reads the reply in some modes of this source only.
    """

    source: EventSource
    record_type: type[Record[Any]]
    identifiers: Callable[[Sequence[RawRecord]], list[Hashable]]
    problem: Callable[[RawRecord], tuple[str, str] | None]
    identifier: Callable[[RawRecord], ItemIdentifier]
    unit: Callable[[RawRecord], Hashable]
    sequential_key: Callable[[RawRecord], Hashable]
    native_key: Callable[[RawRecord], Hashable] | None
    position: Callable[[RawRecord], int | None]
    ordering: Ordering
    scope: FailureScope
    redelivery: Redelivery
    partial_responses_are_optional: bool = False

    @property
    def own_key(self) -> Callable[[RawRecord], Hashable] | None:
        """What orders records in the event source itself; None where nothing does."""
        return self.sequential_key if self.ordering is Ordering.SEQUENTIAL else self.native_key

    def default_scope(self, ordering: object) -> FailureScope:
        """The failure scope where the user named none: an ordering that was asked for halts its lanes."""
        if self.scope is FailureScope.RECORD and ordering is not Ordering.UNORDERED:
            return FailureScope.LANE
        return self.scope


@final
class Batch:
    """The records of one event, named and checked: nothing has run yet. Never changed after that.

    Args:
        rules: The row of the table; None for an empty batch whose source nothing tells.
        raws: The raw records, in batch position.
        names: A hashable name per record; equal names are copies of one record.
        distinct: How many names differ.
        window_state: The ``state`` of a tumbling window's event, to be echoed; None for any other event.
    """

    __slots__ = ("distinct", "names", "raws", "rules", "window_state")

    def __init__(
        self,
        rules: SourceRules | None,
        raws: Sequence[RawRecord],
        names: Sequence[Hashable],
        distinct: int,
        window_state: dict[str, Any] | None = None,
    ) -> None:
        self.rules = rules
        self.raws = raws
        self.names = names
        self.distinct = distinct
        self.window_state = window_state


# --- what each source's records must have -------------------------------------------------------------


def _is_object(value: Any) -> bool:
    """Whether an event's value is a JSON object; it does not narrow the type: what an event holds stays Any."""
    return type(value) is dict or isinstance(value, Mapping)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _missing_text(record: Any, *path: str) -> tuple[str, str] | None:
    """Why the text at ``path`` cannot be used, as (place, problem)."""
    place = ""
    for name in path:
        if not _is_object(record) or name not in record:
            return f"{place}.{name}", "is missing"
        record = record[name]
        place = f"{place}.{name}"
    if type(record) is not str:
        return place, f"must be text, but is {type(record).__name__}"
    return None if record else (place, "is empty")


def _sqs_identifiers(raws: Sequence[RawRecord]) -> list[Hashable]:
    return [raw["messageId"] for raw in raws]


def _sqs_problem(raw: RawRecord) -> tuple[str, str] | None:
    return _missing_text(raw, "messageId")


def _message_id(raw: RawRecord) -> str:
    return raw["messageId"]


def _fifo_identifiers(raws: Sequence[RawRecord]) -> list[Hashable]:
    groups = [raw["attributes"]["MessageGroupId"] for raw in raws]
    if set(map(type, groups)) != {str} or not all(groups):
        raise ValueError  # `_fifo_problem` says what is wrong
    return [raw["messageId"] for raw in raws]


def _fifo_problem(raw: RawRecord) -> tuple[str, str] | None:
    return _missing_text(raw, "messageId") or _missing_text(raw, "attributes", "MessageGroupId")


def _message_group(raw: RawRecord) -> Hashable:
    return raw["attributes"]["MessageGroupId"]


def _kinesis_identifiers(raws: Sequence[RawRecord]) -> list[Hashable]:
    parts = [raw["kinesis"] for raw in raws]
    if set(map(type, [part["partitionKey"] for part in parts])) != {str}:
        raise ValueError  # `_kinesis_problem` says what is wrong
    return [part["sequenceNumber"] for part in parts]


def _kinesis_problem(raw: RawRecord) -> tuple[str, str] | None:
    problem = _missing_text(raw, "kinesis", "sequenceNumber")
    if problem is None:
        problem = _missing_text(raw, "kinesis", "partitionKey")
        if problem is not None and problem[1] == "is empty":
            return None  # an empty key orders as well as any other
    return problem


def _kinesis_sequence_number(raw: RawRecord) -> str:
    return raw["kinesis"]["sequenceNumber"]


def _kinesis_position(raw: RawRecord) -> int | None:
    return _integer(raw["kinesis"]["sequenceNumber"])


def _partition_key(raw: RawRecord) -> Hashable:
    return raw["kinesis"]["partitionKey"]


def _dynamodb_identifiers(raws: Sequence[RawRecord]) -> list[Hashable]:
    parts = [raw["dynamodb"] for raw in raws]
    for part in parts:
        hash(item_key(part["Keys"]))
        if not part["Keys"]:
            raise ValueError  # `_dynamodb_problem` says what is wrong
    return [part["SequenceNumber"] for part in parts]


def _dynamodb_problem(raw: RawRecord) -> tuple[str, str] | None:
    problem = _missing_text(raw, "dynamodb", "SequenceNumber")
    if problem is None:
        try:
            hash(_item_key(raw))
            keyed = bool(raw["dynamodb"]["Keys"])
        except KeyError:
            return ".dynamodb.Keys", "is missing"
        except (TypeError, AttributeError, StopIteration):
            keyed = False
        if not keyed:
            return ".dynamodb.Keys", 'must map names to typed values ({"id": {"S": "..."}})'
    return problem


def _dynamodb_sequence_number(raw: RawRecord) -> str:
    return raw["dynamodb"]["SequenceNumber"]


def _dynamodb_position(raw: RawRecord) -> int | None:
    return _integer(raw["dynamodb"]["SequenceNumber"])


def _item_key(raw: RawRecord) -> Hashable:
    return item_key(raw["dynamodb"]["Keys"])


def _kafka_identifiers(raws: Sequence[RawRecord]) -> list[Hashable]:
    names = [(raw["topic"], raw["partition"], raw["offset"]) for raw in raws]
    topics, partitions, offsets = (set(map(type, column)) for column in zip(*names, strict=True))
    keys: set[type] = {type(raw.get("key")) for raw in raws}
    if topics != {str} or partitions != {int} or offsets != {int} or not keys <= _KAFKA_KEY_TYPES:
        raise ValueError  # `_kafka_problem` says what is wrong
    if not all(topic for topic, _, _ in names):
        raise ValueError  # likewise
    return list(names)


def _kafka_problem(raw: RawRecord) -> tuple[str, str] | None:
    problem = _missing_text(raw, "topic")
    for name in ("partition", "offset"):
        if problem is None and type(raw.get(name)) is not int:
            problem = f".{name}", f"must be an integer, but is {type(raw.get(name)).__name__}"
    if problem is None and type(raw.get("key")) not in _KAFKA_KEY_TYPES:
        problem = ".key", f"must be text or null, but is {type(raw.get('key')).__name__}"
    return problem


_KAFKA_KEY_TYPES: Final = frozenset({str, type(None)})


def _kafka_identifier(raw: RawRecord) -> KafkaIdentifier:
    return {"partition": f"{raw['topic']}-{raw['partition']}", "offset": raw["offset"]}


def _kafka_offset(raw: RawRecord) -> int | None:
    return raw["offset"]


def _topic_partition(raw: RawRecord) -> Hashable:
    return raw["topic"], raw["partition"]


def _kafka_message_key(raw: RawRecord) -> Hashable:
    # A null key takes the partition's lane.
    return raw["topic"], raw["partition"], raw.get("key")


def _no_position(_: RawRecord) -> None:
    return None


def _integer(text: str) -> int | None:
    # Sequence numbers are big integers in text (Kinesis: up to 129 digits). Hand-made events may hold
    # other text: their position in the batch is all the order there is.
    return int(text) if text.isascii() and text.isdigit() else None


def _one(_: RawRecord) -> Hashable:
    return None


_RULES: Final = {
    rules.source: rules
    for rules in (
        SourceRules(
            source=EventSource.SQS,
            record_type=SqsRecord,
            identifiers=_sqs_identifiers,
            problem=_sqs_problem,
            identifier=_message_id,
            unit=_message_id,
            sequential_key=_one,
            native_key=None,
            position=_no_position,
            ordering=Ordering.UNORDERED,
            scope=FailureScope.RECORD,
            redelivery=Redelivery.NAMED,
        ),
        SourceRules(
            source=EventSource.SQS_FIFO,
            record_type=SqsRecord,
            identifiers=_fifo_identifiers,
            problem=_fifo_problem,
            identifier=_message_id,
            unit=_message_group,
            sequential_key=_one,
            native_key=_message_group,
            position=_no_position,
            ordering=Ordering.BY_KEY,
            scope=FailureScope.LANE,
            redelivery=Redelivery.UNIT_SUFFIX,
        ),
        SourceRules(
            source=EventSource.KINESIS,
            record_type=KinesisRecord,
            identifiers=_kinesis_identifiers,
            problem=_kinesis_problem,
            identifier=_kinesis_sequence_number,
            unit=_one,
            sequential_key=_one,
            native_key=_partition_key,
            position=_kinesis_position,
            ordering=Ordering.BY_KEY,
            scope=FailureScope.BATCH,
            redelivery=Redelivery.FROM_LOWEST,
        ),
        SourceRules(
            source=EventSource.DYNAMODB,
            record_type=DynamoDBRecord,
            identifiers=_dynamodb_identifiers,
            problem=_dynamodb_problem,
            identifier=_dynamodb_sequence_number,
            unit=_one,
            sequential_key=_one,
            native_key=_item_key,
            position=_dynamodb_position,
            ordering=Ordering.BY_KEY,
            scope=FailureScope.BATCH,
            redelivery=Redelivery.FROM_LOWEST,
        ),
        SourceRules(
            source=EventSource.KAFKA,
            record_type=KafkaRecord,
            identifiers=_kafka_identifiers,
            problem=_kafka_problem,
            identifier=_kafka_identifier,
            unit=_topic_partition,
            sequential_key=_topic_partition,
            native_key=_kafka_message_key,
            position=_kafka_offset,
            ordering=Ordering.SEQUENTIAL,
            scope=FailureScope.LANE,
            redelivery=Redelivery.UNIT_SUFFIX,
            partial_responses_are_optional=True,
        ),
    )
}

_TAGS: Final = {
    "aws:sqs": EventSource.SQS,
    "aws:kinesis": EventSource.KINESIS,
    "aws:dynamodb": EventSource.DYNAMODB,
}
_KAFKA_TAGS: Final = ("aws:kafka", "SelfManagedKafka")
_NO_RECORDS: Final[list[Any]] = []
_NAME_TYPES: Final = frozenset({str, tuple})
_FIFO_SUFFIX: Final = ".fifo"
# A tumbling window's event has these beside (or instead of) its records.
# https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
_WINDOW_FIELD: Final = "isFinalInvokeForWindow"
_KNOWN: Final = "Known event sources: aws:sqs, aws:kinesis, aws:dynamodb, aws:kafka, SelfManagedKafka."


def rules_of(source: EventSource) -> SourceRules:
    """The row of the table for an event source."""
    return _RULES[source]


def queue_source(arn: str) -> EventSource:
    """Whether an SQS queue is FIFO, told by its ARN.

    AWS: a FIFO queue's name must end in ``.fifo``. A ``MessageGroupId`` proves nothing: on a standard queue it
    makes it a fair queue, where it names a tenant and orders nothing.
    """
    return EventSource.SQS_FIFO if arn.endswith(_FIFO_SUFFIX) else EventSource.SQS


# --- event -> batch -----------------------------------------------------------------------------------


def read_event(event: Any, source: EventSource | None = None) -> Batch:
    """Name and check every record of an event.

    Args:
        event: The event that Lambda passes.
        source: The event source, where the user named it; otherwise it is detected.

    Raises:
        InvalidEventError: a record of it could not be reported on; nothing may run.
    """
    if not _is_object(event):
        problem = f"must be a JSON object with a list of records, but is {type(event).__name__}"
        raise InvalidEventError(problem)
    tag = event.get("eventSource")
    if source is EventSource.KAFKA or (tag is not None and tag in _KAFKA_TAGS):
        return _read_kafka(event, source)
    state: dict[str, Any] | None = None
    records: Any = event.get("Records")
    if _WINDOW_FIELD in event:
        state = event.get("state") or {}
        records = records or _NO_RECORDS
    if not _is_list(records):
        raise _not_a_batch(event, records)
    if not records:
        return Batch(source and rules_of(source), (), (), 0, state)
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
    if not _is_object(partitions):
        problem = f"must map topic-partitions to lists, but is {type(partitions).__name__}"
        raise InvalidEventError(problem, "records")
    raws: list[RawRecord] = []
    for name, records in partitions.items():
        if not _is_list(records):
            problem = f"must be a list, but is {type(records).__name__}"
            raise InvalidEventError(problem, f"records[{name!r}]")
        raws += records
    if not raws:
        return Batch(rules_of(EventSource.KAFKA), (), (), 0)
    return _checked(rules_of(EventSource.KAFKA), raws)


def _checked(rules: SourceRules, raws: Sequence[RawRecord], state: dict[str, Any] | None = None) -> Batch:
    """Name every record, quickly; where that does not work out, say which record is at fault."""
    try:
        names = rules.identifiers(raws)
        distinct = set(names)
        well_named = set(map(type, names)) <= _NAME_TYPES and "" not in distinct
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration, IndexError):
        raise _first_problem(rules, raws) from None
    if not well_named:
        raise _first_problem(rules, raws)
    return Batch(rules, raws, names, len(distinct), state)


def _first_problem(rules: SourceRules, raws: Sequence[RawRecord]) -> InvalidEventError:
    position, (place, text) = next(
        (position, problem)
        for position, raw in enumerate(raws)
        if (problem := _not_an_object(raw) or rules.problem(raw)) is not None
    )
    hint = f"A record of {rules.source.value} without it could not be reported or kept in order."
    return InvalidEventError(text, f"record {position}{place}", hint if place else "")


def _not_an_object(raw: Any) -> tuple[str, str] | None:
    return None if _is_object(raw) else ("", f"must be an object, but is {type(raw).__name__}")


# --- detection ----------------------------------------------------------------------------------------


def _detected(records: list[Any], named: EventSource | None) -> SourceRules:
    """The one event source of all records; it must agree with the one that the user named."""
    try:
        tags = {record["eventSource"] for record in records}
        arns = {record["eventSourceARN"] for record in records}
    except (KeyError, TypeError):
        return _detected_one_by_one(records, named)
    if len(tags) == len(arns) == 1:  # the usual case, without an object per record
        source = _origin(tags.pop(), arns.pop(), named)
        if isinstance(source, EventSource):
            return rules_of(source)
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
    odd = [name for name in _ORIGIN if _is_object(record) and not isinstance(record.get(name, ""), str)]
    return (f".{odd[0]}", "must be text") if odd else _not_an_object(record)


_ORIGIN: Final = ("eventSource", "eventSourceARN")


# --- messages that the caller received himself --------------------------------------------------------


def queue_messages(messages: Sequence[Mapping[str, Any]], queue_arn: str) -> dict[str, Any]:
    """An SQS event made of what ``receive_message`` returned.

    Args:
        messages: The ``Messages`` of the answer, in order.
        queue_arn: The queue's ARN.

    Raises:
        InvalidEventError: the ARN is none of a queue, or a message is no object.
    """
    parts = queue_arn.split(":")
    if len(parts) != _ARN_PARTS or parts[2] != "sqs":
        hint = "It looks like arn:aws:sqs:eu-west-1:123456789012:orders."
        raise InvalidEventError(f"is not the ARN of an SQS queue: {queue_arn!r:.200}", "queue_arn", hint)
    for position, message in enumerate(messages):
        if not _is_object(message):
            raise InvalidEventError(
                f"must be an object, but is {type(message).__name__}", f"message {position}"
            )
    return {"Records": [_queue_message(message, queue_arn, parts[3]) for message in messages]}


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
    record["attributes"] = message.get("Attributes", {})
    record["messageAttributes"] = {
        name: _message_attribute(attribute)
        for name, attribute in message.get("MessageAttributes", {}).items()
    }
    return {**record, "eventSource": "aws:sqs", "eventSourceARN": arn, "awsRegion": region}


def _message_attribute(attribute: Mapping[str, Any]) -> dict[str, Any]:
    record = {name: attribute[field] for field, name in _ATTRIBUTE_FIELDS.items() if field in attribute}
    if "BinaryValue" in attribute:
        record["binaryValue"] = base64.b64encode(attribute["BinaryValue"]).decode()
    return record
