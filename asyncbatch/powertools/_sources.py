"""Event types as rows of the engine's table: the same rules, for records of which a test may have left out much.

The engine refuses an event of which a record could not be reported on. The facade runs it, because its users'
tests pass with records of two fields, and raises when such a record has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from enum import Enum
from typing import Any, Final, final

from asyncbatch._events import Batch, queue_source
from asyncbatch._records import ItemIdentifier
from asyncbatch._sources import EventSource, FailureScope, Ordering, Redelivery, SourceRules, rules_of
from asyncbatch._views import RawRecord


class EventType(Enum):
    """Where a processor's records come from."""

    SQS = "SQS"
    KinesisDataStreams = "KinesisDataStreams"
    DynamoDBStreams = "DynamoDBStreams"
    Kafka = "Kafka"


# Members are looked up for every batch, and Enum's own hash takes ten times as long.
EventType.__hash__ = object.__hash__  # type: ignore[method-assign]

# What a malformed record makes the table's functions raise.
MALFORMED: Final = (KeyError, TypeError, AttributeError, ValueError, StopIteration, IndexError)


def hashable(identifier: Any) -> Hashable:
    """An item identifier as something that can be looked up, and is not taken for another.

    Kafka's is a dict. A malformed record's may be anything: 5, 5.0 and true are three in JSON, one in Python.
    """
    if isinstance(identifier, str | None):
        return identifier
    if hasattr(identifier, "items"):
        return tuple([(name, hashable(part)) for name, part in identifier.items()])
    return type(identifier).__name__, repr(identifier)


def is_usable(identifier: Any) -> bool:
    """Whether AWS can take an identifier for a record's; a null or empty one fails the whole batch."""
    parts: Any = identifier.values() if hasattr(identifier, "values") else (identifier,)
    return all(part is not None and part != "" for part in parts)  # 0 is an offset


@final
class OddName:
    """The name of a record that AWS would not have sent: shared with copies of it, or with none if it is unusable.

    Args:
        read: What was found in the record where its name should be; None where there was nothing.
        identifier: How a reply would name the record.
    """

    __slots__ = ("_form", "read")

    def __init__(self, read: Any, identifier: Any) -> None:
        self.read = read
        self._form: Hashable = hashable(identifier) if is_usable(identifier) else object()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OddName) and self._form == other._form

    def __hash__(self) -> int:
        return hash(self._form)


def batch_of(
    rules: SourceRules, raws: Sequence[RawRecord], names: Sequence[Hashable], keys: Sequence[Hashable]
) -> Batch:
    """Records as a batch, named where they can be; others stand for themselves.

    Args:
        rules: One of the rows below.
        raws: The raw records.
        names: The names that were read of them.
        keys: The keys that were read of them; empty for a row that has none.
    """
    distinct: set[Hashable] = set()
    try:
        distinct = set(names)
        sound = "" not in distinct and (rules.are_sound is None or rules.are_sound(names, keys))
    except MALFORMED:
        sound = False
    if not sound:
        names = [OddName(name, rules.identifier(name)) for name in names]
        distinct = set(names)
    return Batch(rules, raws, names, keys, len(distinct))


# --- the rows -----------------------------------------------------------------------------------------


def read_each(rules: SourceRules, raws: Sequence[RawRecord]) -> tuple[list[Hashable], list[Hashable]]:
    """Names and keys of records that cannot all be read: None where a record lacks what is looked for."""
    keys = rules.keys
    return (
        [_one_of(rules.names, raw) for raw in raws],
        [] if keys is None else [_one_of(keys, raw) for raw in raws],
    )


def _one_of(read: Callable[[Sequence[RawRecord]], Sequence[Hashable]], raw: RawRecord) -> Hashable:
    try:
        return read([raw])[0]
    except MALFORMED:
        return None


def _hashable_keys(
    read: Callable[[Sequence[RawRecord]], Sequence[Hashable]],
) -> Callable[[Sequence[RawRecord]], Sequence[Hashable]]:
    """The same keys, raising also for one that cannot be looked up."""

    def keys(raws: Sequence[RawRecord]) -> Sequence[Hashable]:
        found = read(raws)
        hash(tuple(found))
        return found

    return keys


def _of_name(tell: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same of a name, with None where an odd one does not tell it."""

    def lenient(name: Any) -> Any:
        try:
            return tell(name.read if type(name) is OddName else name)
        except MALFORMED:
            return None

    return lenient


def message_group(raw: Any) -> str | None:
    """The message group of an SQS record; None where it has none that can be a key."""
    try:  # not by a wrapper: every record is asked
        group: str | None = raw["attributes"]["MessageGroupId"] or None
        hash(group)
    except MALFORMED:
        return None
    return group


def _groups(raws: Sequence[RawRecord]) -> list[Hashable]:
    """The message groups; a record without one shares it with no other."""
    with suppress(*MALFORMED):
        groups: list[Hashable] = [raw["attributes"]["MessageGroupId"] for raw in raws]
        if set(map(type, groups)) == {str} and all(groups):  # the usual case
            return groups
    return [message_group(raw) or object() for raw in raws]


def _positions(raws: Sequence[RawRecord]) -> Sequence[Hashable]:
    return range(len(raws))


def _positions_and_handles(raws: Sequence[RawRecord]) -> list[Hashable]:
    return [(at, _field(raw, "messageId"), _field(raw, "receiptHandle")) for at, raw in enumerate(raws)]


def _field(raw: RawRecord, name: str) -> Any:
    try:
        return raw[name]
    except MALFORMED:
        return None


def _are_texts(names: Sequence[Hashable], _: Sequence[Hashable]) -> bool:
    return [*map(type, names)].count(str) == len(names)


def _lenient_row(source: EventSource) -> SourceRules:
    """A row of the table for records that may lack things: its ``identifier`` gives None where there is none."""
    rules = rules_of(source)

    def identifier(name: Any) -> ItemIdentifier | None:
        found = rules.identifier(name)
        return found if is_usable(found) else None

    def partition(name: Any) -> Hashable:
        found = None if rules.partition is None else rules.partition(name)
        hash(found)
        return found

    def position(name: Any) -> int | None:
        found = rules.position(name)
        return found if type(found) is int else None

    keys = rules.keys if rules.ordering is Ordering.BY_KEY else None
    return rules._replace(
        keys=None if keys is None else _hashable_keys(keys),
        are_sound=_are_texts if rules.partition is None else rules.are_sound,
        identifier=_of_name(identifier),
        partition=None if rules.partition is None else _of_name(partition),
        position=_of_name(position),
    )


def _row(source: EventSource) -> SourceRules:
    """As Powertools has it: no order, nothing held back, every failure named."""
    return _lenient_row(source)._replace(
        keys=None,
        ordering=Ordering.UNORDERED,
        scope=FailureScope.RECORD,
        redelivery=Redelivery.NAMED,
    )


ROWS: Final = {
    EventType.SQS: _row(EventSource.SQS),
    EventType.KinesisDataStreams: _row(EventSource.KINESIS),
    EventType.DynamoDBStreams: _row(EventSource.DYNAMODB),
    EventType.Kafka: _row(EventSource.KAFKA),
}
"""Records of which none holds back another."""

HALTING_ROWS: Final = {
    EventType.KinesisDataStreams: _lenient_row(EventSource.KINESIS),
    EventType.DynamoDBStreams: _lenient_row(EventSource.DYNAMODB),
    EventType.Kafka: _lenient_row(EventSource.KAFKA),
}
"""Streams in their own order, of which nothing is processed behind a failure: only the checkpoint counts."""

FIFO_GROUPS: Final = ROWS[EventType.SQS]._replace(
    source=EventSource.SQS_FIFO,
    keys=_groups,
    ordering=Ordering.BY_KEY,
    scope=FailureScope.LANE,
)
"""A FIFO queue whose message groups go on without each other."""

FIFO_BATCH: Final = FIFO_GROUPS._replace(keys=None, ordering=Ordering.SEQUENTIAL)
"""A FIFO queue whose first failure ends the batch."""

UNREPORTED: Final = ROWS[EventType.SQS]._replace(names=_positions, are_sound=None)
"""Records of a processor that has no event type, and reports on its own."""

DELETED: Final = UNREPORTED._replace(names=_positions_and_handles)
"""Messages that are deleted one by one: each is named by its position, its identifier and its receipt handle."""


def queue_arn(raws: Sequence[Any]) -> Any:
    """The ARN of the first record's queue, which is that of all; None where it has none."""
    return _field(raws[0], "eventSourceARN") if raws else None


def is_from_fifo_queue(raws: Sequence[Any]) -> bool:
    """Whether records come from an SQS FIFO queue, told by the ARN of the first; an event has one source.

    A message group proves nothing: a standard queue may have them.
    """
    try:
        return queue_source(raws[0]["eventSourceARN"]) is EventSource.SQS_FIFO
    except MALFORMED:
        return False
