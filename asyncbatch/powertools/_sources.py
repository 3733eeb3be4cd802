"""Event types as rows of the engine's table: the same rules, for records of which a test may have left out much.

The engine refuses an event of which a record could not be reported on. The facade runs it, because its users'
tests pass with records of two fields, and raises when such a record has failed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from enum import Enum
from typing import Any, Final

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
_MALFORMED: Final = (KeyError, TypeError, AttributeError, ValueError, StopIteration, IndexError)


class _Alone:
    """The name, or the lane, of a record that shares none."""


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


def batch_of(rules: SourceRules, raws: Sequence[RawRecord]) -> Batch:
    """Records as a batch, named where they can be; others stand for themselves."""
    try:
        names = rules.identifiers(raws)
        distinct = set(names)
    except _MALFORMED:
        names = [hashable(rules.identifier(raw)) for raw in raws]
        distinct = set(names)
    if None in distinct or "" in distinct:
        names = [name if is_usable(name) else _Alone() for name in names]
        distinct = set(names)
    return Batch(rules, raws, names, len(distinct))


# --- the rows -----------------------------------------------------------------------------------------


def _lenient(key: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same function of a record, with None where the record lacks what it looks for."""

    def lenient(raw: Any) -> Any:
        try:
            return key(raw)
        except _MALFORMED:
            return None

    return lenient


def _lenient_key(key: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The same for a key, with None also where it cannot be one."""

    def lenient(raw: Any) -> Any:
        try:
            value = key(raw)
            hash(value)
        except _MALFORMED:
            return None
        return value

    return lenient


def message_group(raw: Any) -> str | None:
    """The message group of an SQS record; None where it has none that can be a key."""
    try:  # not by the wrapper above: every record is asked
        group: str | None = raw["attributes"]["MessageGroupId"] or None
        hash(group)
    except _MALFORMED:
        return None
    return group


def _group_or_alone(raw: RawRecord) -> Hashable:
    return message_group(raw) or _Alone()


def _alone(_: RawRecord) -> Hashable:
    return _Alone()


def _all_alone(raws: Sequence[RawRecord]) -> list[Hashable]:
    return list(map(_alone, raws))


def _lenient_row(source: EventSource) -> SourceRules:
    """A row of the table for records that may lack things: its ``identifier`` gives None where there is none."""
    rules = rules_of(source)
    strict = rules.identifier

    def lenient(raw: Any) -> ItemIdentifier | None:
        identifier = strict(raw)
        return identifier if is_usable(identifier) else None

    def names(raws: Sequence[RawRecord]) -> list[Hashable]:
        identifiers: list[Any] = list(map(strict, raws))
        return list(map(hashable, identifiers)) if source is EventSource.KAFKA else identifiers

    return rules._replace(
        identifiers=names,
        identifier=_lenient(lenient),
        native_key=None if rules.native_key is None else _lenient_key(rules.native_key),
        sequential_key=_lenient_key(rules.sequential_key),
        unit=_lenient_key(rules.unit),
        position=_lenient(lambda raw: position if type(position := rules.position(raw)) is int else None),
    )


def _row(source: EventSource) -> SourceRules:
    """As Powertools has it: no order, nothing held back, every failure named."""
    return _lenient_row(source)._replace(
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
    native_key=_group_or_alone,
    ordering=Ordering.BY_KEY,
    scope=FailureScope.LANE,
)
"""A FIFO queue whose message groups go on without each other."""

FIFO_BATCH: Final = FIFO_GROUPS._replace(ordering=Ordering.SEQUENTIAL)
"""A FIFO queue whose first failure ends the batch."""

UNREPORTED: Final = ROWS[EventType.SQS]._replace(identifiers=_all_alone)
"""Records of a processor that has no event type, and reports on its own."""


def is_from_fifo_queue(raws: Sequence[Any]) -> bool:
    """Whether records come from an SQS FIFO queue, told by the ARN of the first; an event has one source.

    A message group proves nothing: a standard queue may have them.
    """
    try:
        return queue_source(raws[0]["eventSourceARN"]) is EventSource.SQS_FIFO
    except _MALFORMED:
        return False
