"""How the test kit calls a record, and what it takes for its lane."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable
from decimal import Decimal
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

    A DynamoDB item's is its new image as JSON, ``{"id": "o-1"}``; ``removed`` and its key where it was removed.

    Args:
        record: What a handler gets.

    Raises:
        TypeError: it is no record of ours or Powertools'.
    """
    return _text_of(_view(record))


def label_of(raw: dict[str, Any]) -> str:
    """The payload of a raw record as text.

    Args:
        raw: A record as it stands in an event.
    """
    return _text_of(_of_kind(raw))


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
    raw: Any = getattr(record, "raw_event", None)
    if isinstance(raw, dict) and _KINDS.keys() & raw.keys():
        return _of_kind(raw)  # pyright: ignore[reportUnknownArgumentType]
    message = f"what is a {type(record).__name__} called, and what is its lane? Pass functions: label=, lane="
    raise TypeError(message)


def _of_kind(raw: dict[str, Any]) -> Record[Any]:
    return next(kind(raw) for name, kind in _KINDS.items() if name in raw)


def _text_of(record: Record[Any]) -> str:
    if not isinstance(record, DynamoDBRecord):
        return record.data.decode(errors="replace")
    removed = "NewImage" not in record.raw["dynamodb"]
    return f"removed {_json(record.item_keys)}" if removed else _json(record.new_image)


def _json(item: Any) -> str:
    return json.dumps(item, default=_plain)


def _plain(value: Any) -> object:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return sorted(value) if isinstance(value, set) else str(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
