"""The parts of records: read-only windows on the nested dicts of an event, named as the peer names them."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from enum import Enum
from typing import TYPE_CHECKING, Any, final

from asyncbatch._decoding import decode_base64, decode_json

RawRecord = Mapping[str, Any]

# Views are mappings. The abstract base class itself would double the time that these classes take to make, and a
# cold start pays for it: at run time they are registered as mappings instead.
if TYPE_CHECKING:
    _Mapping = Mapping[str, Any]
else:
    _Mapping = object


class View(_Mapping):
    """A read-only window on a dict of the event, with dict-style access to it."""

    __slots__ = ("raw",)

    raw: RawRecord
    """The dict itself; none of the views changes it."""

    def __init__(self, raw: RawRecord) -> None:
        self.raw = raw

    def __getitem__(self, name: str) -> Any:
        return self.raw[name]

    def __contains__(self, name: object) -> bool:
        return name in self.raw

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, View) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equality is by content, and the content is a dict

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def get(self, key: str, default: Any = None) -> Any:
        """What the dict holds under a name, or the default."""
        return self.raw.get(key, default)

    def keys(self) -> KeysView[str]:
        """The names in the dict."""
        return self.raw.keys()

    def values(self) -> ValuesView[Any]:
        """What the dict holds."""
        return self.raw.values()

    def items(self) -> ItemsView[str, Any]:
        """The names with what the dict holds under them."""
        return self.raw.items()

    @property
    def raw_event(self) -> RawRecord:
        """The raw dict itself."""
        return self.raw


Mapping.register(View)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


# --- Amazon SQS ---


@final
class SqsAttributes(View):
    """The system attributes of an SQS message; all of them are text."""

    __slots__ = ()

    @property
    def approximate_receive_count(self) -> str:
        """How often the message was received."""
        return self.raw["ApproximateReceiveCount"]

    @property
    def approximate_first_receive_timestamp(self) -> str:
        """When the message was first received, in milliseconds."""
        return self.raw["ApproximateFirstReceiveTimestamp"]

    @property
    def sent_timestamp(self) -> str:
        """When the message was sent, in milliseconds."""
        return self.raw["SentTimestamp"]

    @property
    def sender_id(self) -> str:
        """Who sent the message."""
        return self.raw["SenderId"]

    @property
    def sequence_number(self) -> str | None:
        """The position in a FIFO queue."""
        return self.raw.get("SequenceNumber")

    @property
    def message_group_id(self) -> str | None:
        """The message group of a FIFO queue; on a standard queue it names a tenant and orders nothing."""
        return self.raw.get("MessageGroupId")

    @property
    def message_deduplication_id(self) -> str | None:
        """The deduplication identifier of a FIFO queue."""
        return self.raw.get("MessageDeduplicationId")

    @property
    def aws_trace_header(self) -> str | None:
        """The X-Ray trace header."""
        return self.raw.get("AWSTraceHeader")

    @property
    def dead_letter_queue_source_arn(self) -> str | None:
        """The queue that a message in a dead-letter queue came from."""
        return self.raw.get("DeadLetterQueueSourceArn")


@final
class SqsMessageAttribute(View):
    """One message attribute that the sender set."""

    __slots__ = ()

    @property
    def string_value(self) -> str | None:
        """The value of a text or number attribute."""
        return self.raw["stringValue"]

    @property
    def binary_value(self) -> str | None:
        """The value of a binary attribute, in base64."""
        return self.raw["binaryValue"]

    @property
    def data_type(self) -> str:
        """``String``, ``Number`` or ``Binary``, with an optional suffix."""
        return self.raw["dataType"]


@final
class SqsMessageAttributes(dict[str, Any]):
    """The message attributes: ``[name]`` gives a view, or None where the sender set no such attribute."""

    __slots__ = ()

    def __getitem__(self, name: str) -> SqsMessageAttribute | None:
        value = self.get(name)
        return None if value is None else SqsMessageAttribute(value)

    def items(self) -> Any:
        """Pairs of name and view."""
        return {name: SqsMessageAttribute(value) for name, value in super().items()}.items()


# --- Amazon Kinesis ---


@final
class KinesisPayload(View):
    """The ``kinesis`` part of a Kinesis record."""

    __slots__ = ()

    @property
    def data(self) -> str:
        """The data in base64, as the event has it."""
        return self.raw["data"]

    @property
    def approximate_arrival_timestamp(self) -> float:
        """When the record reached the stream, in seconds."""
        return float(self.raw["approximateArrivalTimestamp"])

    @property
    def kinesis_schema_version(self) -> str:
        """The version of this shape."""
        return self.raw["kinesisSchemaVersion"]

    @property
    def partition_key(self) -> str:
        """What orders the record within its shard."""
        return self.raw["partitionKey"]

    @property
    def sequence_number(self) -> str:
        """The position in the shard: a big integer in text. Never compare it as text."""
        return self.raw["sequenceNumber"]

    def data_as_bytes(self) -> bytes:
        """The data, decoded from base64."""
        return decode_base64(self.raw["data"])

    def data_as_text(self) -> str:
        """The data as UTF-8 text."""
        return self.data_as_bytes().decode()

    def data_as_json(self) -> Any:
        """The data decoded from JSON."""
        return decode_json(self.data_as_bytes())

    def data_zlib_compressed_as_json(self) -> Any:
        """The data decompressed (gzip or zlib) and decoded from JSON.

        The output has no size limit: call it for producers that you trust.
        """
        import zlib  # noqa: PLC0415 - most handlers never ask for it

        window_bits = zlib.MAX_WBITS | 32  # 32: tell gzip from zlib by the header
        return decode_json(zlib.decompress(self.data_as_bytes(), window_bits))


# --- Amazon DynamoDB Streams ---


class DynamoDBRecordEventName(Enum):
    """What happened to the item."""

    INSERT = 0
    MODIFY = 1
    REMOVE = 2


class StreamViewType(Enum):
    """What a stream's records hold."""

    KEYS_ONLY = 0
    NEW_IMAGE = 1
    OLD_IMAGE = 2
    NEW_AND_OLD_IMAGES = 3


@final
class StreamRecord(View):
    """The ``dynamodb`` part of a stream record. Binary values stay base64 text here, as in the event."""

    __slots__ = ("_images",)

    def __init__(self, raw: RawRecord) -> None:
        super().__init__(raw)
        self._images: dict[str, dict[str, Any]] = {}

    def _image(self, name: str) -> dict[str, Any]:
        from asyncbatch._dynamodb import decode_image  # noqa: PLC0415 - most handlers never ask for it

        if name not in self._images:
            self._images[name] = decode_image(self.raw.get(name) or {}, binary=False)
        return self._images[name]

    @property
    def keys(self) -> dict[str, Any]:  # type: ignore[override]  # the peer's name wins over Mapping's method
        """The item's key attributes."""
        return self._image("Keys")

    @property
    def new_image(self) -> dict[str, Any]:
        """The item after the change; empty where the stream does not carry it."""
        return self._image("NewImage")

    @property
    def old_image(self) -> dict[str, Any]:
        """The item before the change; empty where the stream does not carry it."""
        return self._image("OldImage")

    @property
    def sequence_number(self) -> str | None:
        """The position in the stream: a big integer in text. Never compare it as text."""
        return self.raw.get("SequenceNumber")

    @property
    def size_bytes(self) -> int | None:
        """The size of the record, in bytes."""
        size = self.raw.get("SizeBytes")
        return None if size is None else int(size)

    @property
    def approximate_creation_date_time(self) -> int | None:
        """When the record was made, in seconds."""
        seconds = self.raw.get("ApproximateCreationDateTime")
        return None if seconds is None else int(seconds)

    @property
    def stream_view_type(self) -> StreamViewType | None:
        """What the stream's records hold."""
        name = self.raw.get("StreamViewType")
        return None if name is None else StreamViewType[name]


# --- Apache Kafka ---


@final
class SchemaMetadata(View):
    """Which schema of a registry a key or a value has."""

    __slots__ = ()

    @property
    def data_format(self) -> str | None:
        """``AVRO``, ``PROTOBUF`` or ``JSON``."""
        return self.raw.get("dataFormat")

    @property
    def schema_id(self) -> str | None:
        """The schema's id in the registry."""
        return self.raw.get("schemaId")


class KafkaHeaders(dict[str, bytes]):
    """Header names in lower case; look-ups in any case."""

    __slots__ = ()

    def __getitem__(self, name: str) -> bytes:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name.lower() if isinstance(name, str) else name)

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)
