"""The record objects that handlers get where the program has not loaded Powertools' own data classes.

What a handler reads from them it reads by the same names as from those, which can wrap them as well. Unlike
asyncbatch's other records they take new attributes, and ``str`` shows their properties.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

from asyncbatch._records import UNREAD, KafkaRecord, KinesisRecord, Payload, Record, SqsRecord
from asyncbatch._records import DynamoDBRecord as _DynamoDBRecord
from asyncbatch._views import KinesisPayload, View
from asyncbatch.powertools._peers import peers_own

_UNREADABLE: Final = "[Cannot be deserialized]"
_HIDDEN: Final = {"raw_event": "[SENSITIVE]"}
# What `str` leaves out: what would have to be decoded first.
_DECODED: Final = frozenset({"keys", "new_image", "old_image"})
# What Powertools' records have not, or decode once: a handler may assign to it there.
_ASSIGNABLE: Final = (
    *("id", "key", "data", "text", "payload", "item_keys", "is_tombstone"),
    *("json_body", "json_value", "decoded_headers"),
)


class _Assignable:
    """A property that gives way to what a handler assigns."""

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self._read = read

    def __get__(self, record: Any, kind: Any = None) -> Any:
        return self if record is None else self._read(record)


class _DataClass(Record[Any]):
    """What the data classes add to our records.

    Args:
        data: The record as the event holds it.
        json_deserializer: Decodes JSON; None for the standard library's.
    """

    # Where a class says it, no object has to, and none has to fail to find it.
    reader: Payload | None = None
    _json: Any = UNREAD
    _payload: Any = UNREAD
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

    def __init_subclass__(cls, keep: str = "") -> None:
        for name in _ASSIGNABLE:
            read = getattr(cls, name, None)
            if isinstance(read, property) and read.fget is not None and name != keep:
                setattr(cls, name, _Assignable(read.fget))

    def __str__(self) -> str:
        """The properties, for a person who debugs: with the content, unlike `repr`."""
        return str(_properties(self))


_NO_RECORD: Final = object()


def _properties(view: View) -> dict[str, Any]:
    kind = type(view)
    names = [name for name in dir(kind) if isinstance(getattr(kind, name), property)]
    return {name: _HIDDEN.get(name) or _property(view, name) for name in names if name not in _DECODED}


def _property(view: View, name: str) -> Any:
    try:
        value = getattr(view, name)
        return _properties(value) if isinstance(value, View) else value
    except Exception:  # noqa: BLE001 - whatever a malformed record makes a property raise
        return _UNREADABLE


class SQSRecord(_DataClass, SqsRecord[Any]):  # type: ignore[misc]  # final for users, who subclass no records
    """A message of an SQS queue."""

    def _decode(self) -> Any:
        return (self._json_deserializer or json.loads)(self.body)


class KinesisStreamRecordPayload(KinesisPayload):  # type: ignore[misc]  # as above
    """The ``kinesis`` part of a Kinesis record."""

    __slots__ = ()

    def data_as_json(self) -> Any:
        """The data decoded from JSON."""
        return json.loads(self.data_as_text())

    def data_zlib_compressed_as_json(self) -> Any:
        """The data decompressed (gzip or zlib) and decoded from JSON.

        The output has no size limit: call it for producers that you trust.
        """
        return json.loads(zlib.decompress(self.data_as_bytes(), zlib.MAX_WBITS | 32))


class KinesisStreamRecord(_DataClass, KinesisRecord[Any]):  # type: ignore[misc]  # as above
    """A record of a Kinesis data stream."""

    @property
    def kinesis(self) -> KinesisStreamRecordPayload:
        """The part that Kinesis filled in."""
        return KinesisStreamRecordPayload(self.raw["kinesis"])


class DynamoDBRecord(_DataClass, _DynamoDBRecord[Any]):  # type: ignore[misc]  # as above
    """A record of a DynamoDB stream."""


class KafkaEventRecord(_DataClass, KafkaRecord[Any], keep="key"):  # type: ignore[misc]  # as above
    """A record of a Kafka topic."""

    def _decode(self) -> Any:
        return (self._json_deserializer or json.loads)(self.decoded_value.decode())


# Where Powertools has the class that each stands in for.
_PEERS: Final[dict[Any, tuple[str, str]]] = {
    kind: (f"aws_lambda_powertools.utilities.data_classes.{module}", kind.__name__)
    for kind, module in (
        (SQSRecord, "sqs_event"),
        (KinesisStreamRecord, "kinesis_stream_event"),
        (DynamoDBRecord, "dynamo_db_stream_event"),
        (KafkaEventRecord, "kafka_event"),
    )
}


def in_use(kind: Any) -> Any:
    """The class that handlers get records as: Powertools' own in place of ours, if the program has loaded that.

    Args:
        kind: One of these classes; anything else is given back as it is.
    """
    place = _PEERS.get(kind)
    return kind if place is None or place[0] not in sys.modules else peers_own(*place, kind)


__all__ = ["DynamoDBRecord", "KafkaEventRecord", "KinesisStreamRecord", "SQSRecord"]
