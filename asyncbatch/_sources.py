"""The table of event sources, and the only place that knows how they differ.

For each source: what must be there before anything runs, the item identifier, the key that orders it, its
defaults, and which records a reply must name. The rest of the package reads the table.

Raw records belong to the caller and to the handlers, who may change them while the batch runs. Names and keys are
therefore read once, before anything runs, and whatever is decided later is told from those.
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
        names: Reads a name of every raw record, in input order, by something hashable. It may raise whatever a
            malformed record makes it raise; `problem` then says what is wrong.
        keys: Reads what orders every raw record in its event source, as `names` does; None where nothing does.
        are_sound: Whether the names and keys that were read are what they have to be, beyond a name that is a text
            and not empty, or a tuple. It may raise as well. None where there is nothing more to ask.
        problem: What makes this raw record impossible to report on, or None.
        identifier: How a reply names the record of a name.
        partition: The topic-partition of a name; None where a batch comes from one queue, or one shard.
        position: A stream's position as an integer, by name, or None where the text is none.
        ordering: The default ordering.
        scope: The default failure scope.
        redelivery: What a reply must name.
        partial_responses_are_optional: Whether AWS reads the reply in some modes of this source only.
    """

    source: EventSource
    record_type: type[Record[Any]]
    names: Callable[[Sequence[RawRecord]], Sequence[Hashable]]
    keys: Callable[[Sequence[RawRecord]], Sequence[Hashable]] | None
    are_sound: Callable[[Sequence[Hashable], Sequence[Hashable]], bool] | None
    problem: Callable[[RawRecord], tuple[str, str] | None]
    identifier: Callable[[Any], ItemIdentifier]
    partition: Callable[[Any], Hashable] | None
    position: Callable[[Any], int | None]
    ordering: Ordering
    scope: FailureScope
    redelivery: Redelivery
    partial_responses_are_optional: bool = False

    @property
    def unit(self) -> Ordering:
        """What a reply's order refers to: the source's own lanes; for a shard all of it, whatever its lanes."""
        return Ordering.SEQUENTIAL if self.redelivery is Redelivery.FROM_LOWEST else self.ordering

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


def _message_ids(raws: Sequence[RawRecord]) -> list[Hashable]:
    return [raw["messageId"] for raw in raws]


def _sqs_problem(raw: RawRecord) -> tuple[str, str] | None:
    return _missing_text(raw, "messageId")


def _message_groups(raws: Sequence[RawRecord]) -> list[Hashable]:
    return [raw["attributes"]["MessageGroupId"] for raw in raws]


def _are_groups(_: Sequence[Hashable], groups: Sequence[Hashable]) -> bool:
    return set(map(type, groups)) == {str} and all(groups)


def _fifo_problem(raw: RawRecord) -> tuple[str, str] | None:
    return _missing_text(raw, "messageId") or _missing_text(raw, "attributes", "MessageGroupId")


def _kinesis_sequence_numbers(raws: Sequence[RawRecord]) -> list[Hashable]:
    return [raw["kinesis"]["sequenceNumber"] for raw in raws]


def _partition_keys(raws: Sequence[RawRecord]) -> list[Hashable]:
    return [raw["kinesis"]["partitionKey"] for raw in raws]


def _are_partition_keys(_: Sequence[Hashable], keys: Sequence[Hashable]) -> bool:
    return set(map(type, keys)) == {str}  # an empty key orders as well as any other


def _kinesis_problem(raw: RawRecord) -> tuple[str, str] | None:
    problem = _missing_text(raw, "kinesis", "sequenceNumber")
    if problem is None:
        problem = _missing_text(raw, "kinesis", "partitionKey")
        if problem is not None and problem[1] == "is empty":
            return None  # an empty key orders as well as any other
    return problem


def _dynamodb_sequence_numbers(raws: Sequence[RawRecord]) -> list[Hashable]:
    return [raw["dynamodb"]["SequenceNumber"] for raw in raws]


def _item_keys(raws: Sequence[RawRecord]) -> list[Hashable]:
    return [item_key(raw["dynamodb"]["Keys"]) for raw in raws]


def _are_item_keys(_: Sequence[Hashable], keys: Sequence[Hashable]) -> bool:
    return () not in set(keys)  # which raises where one cannot be hashed


def _dynamodb_problem(raw: RawRecord) -> tuple[str, str] | None:
    problem = _missing_text(raw, "dynamodb", "SequenceNumber")
    if problem is None:
        try:
            key = item_key(raw["dynamodb"]["Keys"])
            hash(key)
            keyed = key != ()
        except KeyError:
            return ".dynamodb.Keys", "is missing"
        except (TypeError, AttributeError, StopIteration):
            keyed = False
        if not keyed:
            return ".dynamodb.Keys", 'must map names to typed values ({"id": {"S": "..."}})'
    return problem


def _kafka_names(raws: Sequence[RawRecord]) -> list[Hashable]:
    return [(raw["topic"], raw["partition"], raw["offset"]) for raw in raws]


def _kafka_message_keys(raws: Sequence[RawRecord]) -> list[Hashable]:
    return [raw.get("key") for raw in raws]  # a null key takes the partition's lane


def _are_in_partitions(names: Sequence[Any], keys: Sequence[Hashable]) -> bool:
    topics, partitions, offsets = (set(map(type, column)) for column in zip(*names, strict=True))
    if topics != {str} or partitions != {int} or offsets != {int}:
        return False
    if not all([topic and partition >= 0 for topic, partition, _ in names]):  # noqa: C419 - a generator takes longer
        return False
    return _KAFKA_KEY_TYPES.issuperset(map(type, keys))


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


# --- what a name tells --------------------------------------------------------------------------------


def _itself(name: str) -> str:
    return name


def _kafka_identifier(name: tuple[str, int, int]) -> KafkaIdentifier:
    topic, partition, offset = name
    return {"partition": f"{topic}-{partition}", "offset": offset}


def _topic_partition(name: tuple[str, int, int]) -> Hashable:
    return name[:2]


def _offset(name: tuple[str, int, int]) -> int:
    return name[2]


def _no_position(_: str) -> None:
    return None


def _integer(text: str) -> int | None:
    # Sequence numbers are big integers in text (Kinesis: up to 129 digits). Hand-made events may hold
    # other text: their position in the batch is all the order there is.
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


_DIGITS: Final = 640  # `int` refuses longer ones where an interpreter is set to refuse as much as it can


_RULES: Final = {
    rules.source: rules
    for rules in (
        SourceRules(
            source=EventSource.SQS,
            record_type=SqsRecord,
            names=_message_ids,
            keys=None,
            are_sound=None,
            problem=_sqs_problem,
            identifier=_itself,
            partition=None,
            position=_no_position,
            ordering=Ordering.UNORDERED,
            scope=FailureScope.RECORD,
            redelivery=Redelivery.NAMED,
        ),
        SourceRules(
            source=EventSource.SQS_FIFO,
            record_type=SqsRecord,
            names=_message_ids,
            keys=_message_groups,
            are_sound=_are_groups,
            problem=_fifo_problem,
            identifier=_itself,
            partition=None,
            position=_no_position,
            ordering=Ordering.BY_KEY,
            scope=FailureScope.LANE,
            redelivery=Redelivery.UNIT_SUFFIX,
        ),
        SourceRules(
            source=EventSource.KINESIS,
            record_type=KinesisRecord,
            names=_kinesis_sequence_numbers,
            keys=_partition_keys,
            are_sound=_are_partition_keys,
            problem=_kinesis_problem,
            identifier=_itself,
            partition=None,
            position=_integer,
            ordering=Ordering.BY_KEY,
            scope=FailureScope.BATCH,
            redelivery=Redelivery.FROM_LOWEST,
        ),
        SourceRules(
            source=EventSource.DYNAMODB,
            record_type=DynamoDBRecord,
            names=_dynamodb_sequence_numbers,
            keys=_item_keys,
            are_sound=_are_item_keys,
            problem=_dynamodb_problem,
            identifier=_itself,
            partition=None,
            position=_integer,
            ordering=Ordering.BY_KEY,
            scope=FailureScope.BATCH,
            redelivery=Redelivery.FROM_LOWEST,
        ),
        SourceRules(
            source=EventSource.KAFKA,
            record_type=KafkaRecord,
            names=_kafka_names,
            keys=_kafka_message_keys,
            are_sound=_are_in_partitions,
            problem=_kafka_problem,
            identifier=_kafka_identifier,
            partition=_topic_partition,
            position=_offset,
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
