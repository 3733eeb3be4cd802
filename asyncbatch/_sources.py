"""The table of event sources, and the only place that knows how they differ.

For each source: what must be there before anything runs, the item identifier, the key that orders it, its
defaults, and which records a reply must name. The rest of the package reads the table.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple, final

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


# --- what each source's records must have -------------------------------------------------------------


def is_object(value: Any) -> bool:
    """Whether an event's value is a JSON object; it does not narrow the type: what an event holds stays Any."""
    return type(value) is dict or isinstance(value, Mapping)


def _missing_text(record: Any, *path: str) -> tuple[str, str] | None:
    """Why the text at ``path`` cannot be used, as (place, problem)."""
    place = ""
    for name in path:
        if not is_object(record) or name not in record:
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
    if not all([topic and partition >= 0 for topic, partition, _ in names]):  # noqa: C419 - a generator takes longer
        raise ValueError  # likewise
    return list(names)


def _kafka_problem(raw: RawRecord) -> tuple[str, str] | None:
    problem = _missing_text(raw, "topic")
    for name in ("partition", "offset"):
        if problem is None and type(raw.get(name)) is not int:
            problem = f".{name}", f"must be an integer, but is {type(raw.get(name)).__name__}"
    if problem is None and raw["partition"] < 0:
        # A reply names topic `t-` with partition 1, and topic `t` with partition -1, by one text.
        problem = ".partition", "must not be negative"
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
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


_DIGITS: Final = 640  # `int` refuses longer ones where an interpreter is set to refuse as much as it can


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


def rules_of(source: EventSource) -> SourceRules:
    """The row of the table for an event source."""
    return _RULES[source]
