"""The record objects that handlers get: our records, which `Powertools' data classes` users know by these names.

What a handler reads from them it reads by the same names as from Powertools' own classes, which can wrap them as
well. Unlike asyncbatch's own records they take new attributes, and ``str`` shows their properties.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from asyncbatch._decoding import decode_json
from asyncbatch._records import DynamoDBRecord as _DynamoDBRecord
from asyncbatch._records import KafkaRecord, KinesisRecord, Payload, Record, SqsRecord
from asyncbatch._views import View

_UNREADABLE: Final = "[Cannot be deserialized]"
_HIDDEN: Final = {"raw_event": "[SENSITIVE]"}
# What `str` leaves out: what would have to be decoded first, and other names for what is shown.
_DECODED: Final = frozenset({"keys", "new_image", "old_image", "json_body", "json_value", "decoded_headers"})
_OTHER_NAMES: Final = frozenset({"id", "data", "text", "payload", "item_keys", "is_tombstone"})


class _DataClass(Record[Any]):
    """What the data classes add to our records.

    Args:
        data: The record as the event holds it.
        json_deserializer: Decodes JSON; None for the standard library's.
    """

    reader: Payload | None = None
    _json_deserializer: Callable[[Any], Any] | None = None

    def __init__(
        self, data: Mapping[str, Any], json_deserializer: Callable[[Any], Any] | None = None
    ) -> None:
        self.raw = data
        if json_deserializer is not None:
            self._json_deserializer = json_deserializer

    def __eq__(self, other: object) -> bool:
        """Equality by content, with whatever wraps a raw record, Powertools' classes included."""
        return self.raw == getattr(other, "raw_event", _NO_RECORD)

    __hash__ = None  # type: ignore[assignment]  # as for every view

    def __str__(self) -> str:
        """The properties, for a person who debugs: with the content, unlike `repr`."""
        return str(_properties(self))


_NO_RECORD: Final = object()


def _properties(view: View) -> dict[str, Any]:
    is_record, is_kafka, kind = isinstance(view, Record), isinstance(view, KafkaRecord), type(view)
    left_out = _DECODED | _OTHER_NAMES if is_record else _DECODED
    if not is_kafka:
        left_out |= {"key"}
    names = [name for name in dir(kind) if isinstance(getattr(kind, name), property)]
    return {name: _HIDDEN.get(name) or _property(view, name) for name in names if name not in left_out}


def _property(view: View, name: str) -> Any:
    try:
        value = getattr(view, name)
        return _properties(value) if isinstance(value, View) else value
    except Exception:  # noqa: BLE001 - whatever a malformed record makes a property raise
        return _UNREADABLE


class SQSRecord(_DataClass, SqsRecord[Any]):  # type: ignore[misc]  # final for users, who subclass no records
    """A message of an SQS queue."""

    def _decode(self) -> Any:
        return (self._json_deserializer or decode_json)(self.body)


class KinesisStreamRecord(_DataClass, KinesisRecord[Any]):  # type: ignore[misc]  # as above
    """A record of a Kinesis data stream."""


class DynamoDBRecord(_DataClass, _DynamoDBRecord[Any]):  # type: ignore[misc]  # as above
    """A record of a DynamoDB stream."""


class KafkaEventRecord(_DataClass, KafkaRecord[Any]):  # type: ignore[misc]  # as above
    """A record of a Kafka topic."""

    def _decode(self) -> Any:
        return (self._json_deserializer or decode_json)(self.decoded_value)


__all__ = ["DynamoDBRecord", "KafkaEventRecord", "KinesisStreamRecord", "SQSRecord"]
