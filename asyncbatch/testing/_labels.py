"""How the test kit calls a record, and what it takes for its lane."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Final

from asyncbatch._records import DynamoDBRecord, KafkaRecord, KinesisRecord, Record, SqsRecord

Label = Callable[[Any], str]
"""A function of a record: the text that a test calls it by."""

_KINDS: Final[dict[str, type[Record[Any]]]] = {
    "messageId": SqsRecord,
    "kinesis": KinesisRecord,
    "dynamodb": DynamoDBRecord,
    "offset": KafkaRecord,
}


def payload_text(record: Any) -> str:
    """The record's payload as text: what was given to an event builder, unless that was encoded.

    Args:
        record: What a handler gets.

    Raises:
        TypeError: it is no record of ours or Powertools'.
    """
    return _view(record).data.decode(errors="replace")


def own_key(record: Any) -> Hashable:
    """What orders the record in its event source: message group, partition key, item key; None where nothing does.

    Args:
        record: What a handler gets.

    Raises:
        TypeError: it is no record of ours or Powertools'.
    """
    key: Hashable = _view(record).key
    return key


def _view(record: Any) -> Record[Any]:
    if isinstance(record, Record):
        return record  # pyright: ignore[reportUnknownVariableType] - whose payload nobody knows here
    raw: Any = getattr(record, "raw_event", ())
    for name, kind in _KINDS.items():
        if name in raw:
            return kind(raw)
    message = f"what is a {type(record).__name__} called, and what is its lane? Pass functions: label=, lane="
    raise TypeError(message)
