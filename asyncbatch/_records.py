"""Record views: typed, lazily decoding windows on the raw records of an event.

A view holds the raw record, decodes on first use and never changes the raw record. The attribute names of
`aws_lambda_powertools`' data classes stand on the same classes, so that handlers written for those keep
working. ``repr`` shows identifiers, never content.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypedDict, final

from asyncbatch._decoding import decode_base64, decode_json, encode_json
from asyncbatch._views import (
    DynamoDBRecordEventName,
    KafkaHeaders,
    KinesisPayload,
    RawRecord,
    SchemaMetadata,
    SqsAttributes,
    SqsMessageAttributes,
    StreamRecord,
    View,
)

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    from asyncbatch._nested import NestedS3Event, NestedSnsMessage

    P_co = TypeVar("P_co", covariant=True, default=Any)
else:
    from typing import TypeVar

    P_co = TypeVar("P_co", covariant=True)


class KafkaIdentifier(TypedDict):
    """How a reply names a Kafka record: ``partition`` is ``"<topic>-<number>"``."""

    partition: str
    offset: int


ItemIdentifier = str | KafkaIdentifier


UNREAD: Final = ...  # no payload is one, and copies and pickles keep it what it is


class Payload:
    """How a model reads payloads: from JSON text, or from a Python value where there is no text.

    Args:
        from_json: Validates a JSON text.
        from_python: Validates a plain Python value (a DynamoDB image, a Kafka tombstone's ``None``).
        names: Gives the names that the model itself gives to places in a payload.
    """

    __slots__ = ("from_json", "from_python", "names")

    def __init__(
        self,
        from_json: Callable[[str | bytes], Any],
        from_python: Callable[[Any], Any],
        names: Callable[[], Container[str]],
    ) -> None:
        self.from_json: Final = from_json
        self.from_python: Final = from_python
        self.names: Final = names


class Record(View, Generic[P_co]):
    """What the records of every event source have in common.

    Args:
        raw: The record as the event holds it.
        reader: How the model reads the payload; None where no model was given.
    """

    __slots__ = ("_json", "_payload", "reader")

    reader: Payload | None
    """How the engine's model reads the payload; None without a model."""
    _json: Any
    _payload: Any
    unread: ClassVar[staticmethod[[], Any]]
    """Makes a view without its __init__, which would take as long again as making the object does."""

    def __init_subclass__(cls) -> None:
        """Give every class of views its maker: to pass the class each time would take a tenth longer."""
        cls.unread = staticmethod(partial(object.__new__, cls))

    def __init__(self, raw: RawRecord, reader: Payload | None = None) -> None:
        self.raw = raw
        self.reader = reader
        self._json = UNREAD  # a slot without a value takes half a microsecond to say so

    def __repr__(self) -> str:
        try:
            return f"<{type(self).__name__} id={self.id!r}>"
        except (KeyError, TypeError):
            return f"<{type(self).__name__} without an identifier>"

    @property
    def id(self) -> ItemIdentifier:
        """The item identifier, as a reply names this record."""
        raise NotImplementedError

    @property
    def key(self) -> Any:
        """What orders this record in its event source; None where nothing does."""
        raise NotImplementedError

    @property
    def data(self) -> bytes:
        """The payload as bytes."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The payload as UTF-8 text."""
        return self.data.decode()

    def json(self) -> Any:
        """The payload decoded from JSON, once per view.

        Raises:
            ValueError: the payload is not JSON.
        """
        value = self._json
        if value is UNREAD:
            self._json = value = self._decode()
        return value

    @property
    def payload(self) -> P_co:
        """The payload as the engine's ``model``, validated once per view; without a model, what `json` gives."""
        value: Any
        if self.reader is None:
            return self.json()
        value = getattr(self, "_payload", UNREAD)
        if value is UNREAD:
            self._payload = value = self._validate(self.reader)
        return value

    def _decode(self) -> Any:
        return decode_json(self.data)

    def _validate(self, reader: Payload) -> Any:
        return reader.from_json(self.data)


# --- Amazon SQS ---------------------------------------------------------------------------------------


@final
class SqsRecord(Record[P_co]):
    """A message of an SQS queue, standard or FIFO."""

    __slots__ = ()

    @property
    def id(self) -> str:
        """The message id."""
        return self.raw["messageId"]

    @property
    def key(self) -> str | None:
        """The message group id, where the message has one."""
        return self.raw["attributes"].get("MessageGroupId")

    @property
    def data(self) -> bytes:
        """The body as UTF-8."""
        return self.body.encode()

    @property
    def text(self) -> str:
        """The body."""
        return self.body

    def _decode(self) -> Any:
        return decode_json(self.body)

    def _validate(self, reader: Payload) -> Any:
        return reader.from_json(self.body)

    @property
    def message_id(self) -> str:
        """The message id."""
        return self.raw["messageId"]

    @property
    def receipt_handle(self) -> str:
        """What deletes this delivery of the message; new at each receive."""
        return self.raw["receiptHandle"]

    @property
    def body(self) -> str:
        """The body, as text."""
        return self.raw["body"]

    @property
    def json_body(self) -> Any:
        """The body decoded from JSON, once per view."""
        return self.json()

    @property
    def attributes(self) -> SqsAttributes:
        """The system attributes."""
        return SqsAttributes(self.raw["attributes"])

    @property
    def message_attributes(self) -> SqsMessageAttributes:
        """The attributes that the sender set."""
        return SqsMessageAttributes(self.raw["messageAttributes"])

    @property
    def md5_of_body(self) -> str:
        """The MD5 of the body."""
        return self.raw["md5OfBody"]

    @property
    def event_source(self) -> str:
        """``aws:sqs``."""
        return self.raw["eventSource"]

    @property
    def event_source_arn(self) -> str:
        """The queue's ARN."""
        return self.raw["eventSourceARN"]

    @property
    def aws_region(self) -> str:
        """The queue's region."""
        return self.raw["awsRegion"]

    @property
    def decoded_nested_s3_event(self) -> NestedS3Event:
        """The body as an S3 event notification."""
        from asyncbatch._nested import NestedS3Event  # noqa: PLC0415 - most handlers never ask for it

        return NestedS3Event(self.json())

    @property
    def decoded_nested_sns_event(self) -> NestedSnsMessage:
        """The body as an SNS notification."""
        from asyncbatch._nested import NestedSnsMessage  # noqa: PLC0415 - most handlers never ask for it

        return NestedSnsMessage(self.json())

    @property
    def queue_url(self) -> str:
        """The queue's URL, made from its ARN."""
        _, _, _, region, account, name = self.event_source_arn.split(":", 5)
        return f"https://sqs.{region}.amazonaws.com/{account}/{name}"


# --- Amazon Kinesis -----------------------------------------------------------------------------------


@final
class KinesisRecord(Record[P_co]):
    """A record of a Kinesis data stream."""

    __slots__ = ()

    @property
    def id(self) -> str:
        """The sequence number."""
        return self.raw["kinesis"]["sequenceNumber"]

    @property
    def key(self) -> str:
        """The partition key."""
        return self.raw["kinesis"]["partitionKey"]

    @property
    def data(self) -> bytes:
        """The data, decoded from base64."""
        return decode_base64(self.raw["kinesis"]["data"])

    @property
    def kinesis(self) -> KinesisPayload:
        """The part that Kinesis filled in."""
        return KinesisPayload(self.raw["kinesis"])

    @property
    def aws_region(self) -> str:
        """The stream's region."""
        return self.raw["awsRegion"]

    @property
    def event_id(self) -> str:
        """Shard and sequence number: ``shardId-000000000006:<sequence number>``."""
        return self.raw["eventID"]

    @property
    def event_name(self) -> str:
        """``aws:kinesis:record``."""
        return self.raw["eventName"]

    @property
    def event_source(self) -> str:
        """``aws:kinesis``."""
        return self.raw["eventSource"]

    @property
    def event_source_arn(self) -> str:
        """The stream's ARN."""
        return self.raw["eventSourceARN"]

    @property
    def event_version(self) -> str:
        """The version of this shape."""
        return self.raw["eventVersion"]

    @property
    def invoke_identity_arn(self) -> str:
        """The role that reads the stream."""
        return self.raw["invokeIdentityArn"]


# --- Amazon DynamoDB Streams --------------------------------------------------------------------------


def _decode_image(image: Mapping[str, Any]) -> dict[str, Any]:
    from asyncbatch._dynamodb import decode_image  # noqa: PLC0415 - loads decimal

    return decode_image(image)


def item_key(keys: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, str, Any], ...]:
    """The canonical form of an item's key: attribute names in order, types kept.

    The order of the names in an event is not promised, and ``{"N": "1"}`` is another item than ``{"S": "1"}``.
    """
    return tuple([(name, *next(iter(value.items()))) for name, value in sorted(keys.items())])


@final
class DynamoDBRecord(Record[P_co]):
    """A record of a DynamoDB stream. The payload is the new image."""

    __slots__ = ()

    _OMITTED: ClassVar[Mapping[str, Any]] = {}

    @property
    def id(self) -> str:
        """The sequence number."""
        return self.raw["dynamodb"]["SequenceNumber"]

    @property
    def key(self) -> tuple[tuple[str, str, Any], ...]:
        """The item's key in canonical form, hashable: ``(("id", "S", "o-17"),)``."""
        return item_key(self.raw["dynamodb"]["Keys"])

    @property
    def data(self) -> bytes:
        """The new image as the event has it (typed values), in JSON."""
        return encode_json(self._typed("NewImage"))

    def _typed(self, name: str) -> Mapping[str, Any]:
        return self.raw["dynamodb"].get(name) or self._OMITTED

    @property
    def item_keys(self) -> dict[str, Any]:
        """The item's key attributes as plain Python values."""
        return _decode_image(self._typed("Keys"))

    @property
    def new_image(self) -> dict[str, Any]:
        """The item after the change, as plain Python values; empty where there is none."""
        return self.json()

    @property
    def old_image(self) -> dict[str, Any]:
        """The item before the change, as plain Python values; empty where there is none."""
        return _decode_image(self._typed("OldImage"))

    def _decode(self) -> dict[str, Any]:
        return _decode_image(self._typed("NewImage"))

    def _validate(self, reader: Payload) -> Any:
        return reader.from_python(self._decode())

    @property
    def dynamodb(self) -> StreamRecord | None:
        """The part that DynamoDB filled in."""
        part = self.raw.get("dynamodb")
        return None if part is None else StreamRecord(part)

    @property
    def event_name(self) -> DynamoDBRecordEventName | None:
        """What happened to the item."""
        name = self.raw.get("eventName")
        return None if name is None else DynamoDBRecordEventName[name]

    @property
    def aws_region(self) -> str | None:
        """The table's region."""
        return self.raw.get("awsRegion")

    @property
    def event_id(self) -> str | None:
        """The record's own id; not its item identifier."""
        return self.raw.get("eventID")

    @property
    def event_source(self) -> str | None:
        """``aws:dynamodb``."""
        return self.raw.get("eventSource")

    @property
    def event_source_arn(self) -> str | None:
        """The stream's ARN."""
        return self.raw.get("eventSourceARN")

    @property
    def event_version(self) -> str | None:
        """The version of this shape."""
        return self.raw.get("eventVersion")

    @property
    def user_identity(self) -> dict[str, str]:
        """Who made the change, where that was DynamoDB itself (time to live); else empty."""
        return self.raw.get("userIdentity") or {}


# --- Apache Kafka -------------------------------------------------------------------------------------


@final
class KafkaRecord(Record[P_co]):
    """A record of a Kafka topic (MSK or self-managed)."""

    __slots__ = ()

    @property
    def id(self) -> KafkaIdentifier:
        """Topic-partition and offset, as a reply names them."""
        raw = self.raw
        return {"partition": f"{raw['topic']}-{raw['partition']}", "offset": raw["offset"]}

    @property
    def key(self) -> str | None:
        """The message key in base64; None where the message has none."""
        return self.raw.get("key")

    @property
    def data(self) -> bytes:
        """The value, decoded from base64; empty for a tombstone (see `is_tombstone`)."""
        value = self.raw.get("value")
        return b"" if value is None else decode_base64(value)

    @property
    def is_tombstone(self) -> bool:
        """Whether the value is null: the key was deleted."""
        return self.raw.get("value") is None

    def _decode(self) -> Any:
        return None if self.is_tombstone else decode_json(self.data)

    def _validate(self, reader: Payload) -> Any:
        return reader.from_python(None) if self.is_tombstone else reader.from_json(self.data)

    @property
    def topic(self) -> str:
        """The topic."""
        return self.raw["topic"]

    @property
    def partition(self) -> int:
        """The partition's number."""
        return self.raw["partition"]

    @property
    def offset(self) -> int:
        """The position in the partition."""
        return self.raw["offset"]

    @property
    def timestamp(self) -> int:
        """When the record was made or appended (see `timestamp_type`), in milliseconds."""
        return self.raw["timestamp"]

    @property
    def timestamp_type(self) -> str:
        """``CREATE_TIME`` or ``LOG_APPEND_TIME``."""
        return self.raw["timestampType"]

    @property
    def decoded_key(self) -> bytes | None:
        """The message key, decoded from base64."""
        return None if self.key is None else decode_base64(self.key)

    @property
    def value(self) -> str | None:
        """The value in base64, as the event has it; None for a tombstone."""
        return self.raw.get("value")

    @property
    def decoded_value(self) -> bytes:
        """The value, decoded from base64.

        Raises:
            TypeError: the record is a tombstone.
        """
        if self.is_tombstone:
            message = "a tombstone has no value"
            raise TypeError(message)
        return self.data

    @property
    def json_value(self) -> Any:
        """The value decoded from JSON, once per view."""
        return self.json()

    @property
    def headers(self) -> list[dict[str, list[int]]]:
        """The headers as the event has them: a list of name to byte values."""
        return self.raw["headers"]

    @property
    def decoded_headers(self) -> dict[str, bytes]:
        """The headers as name to bytes; names are looked up in any case. The byte values may be signed."""
        return KafkaHeaders(
            (name.lower(), bytes(value & 0xFF for value in values))
            for header in self.headers
            for name, values in header.items()
        )

    @property
    def key_schema_metadata(self) -> SchemaMetadata | None:
        """The schema of the key."""
        part = self.raw.get("keySchemaMetadata")
        return None if part is None else SchemaMetadata(part)

    @property
    def value_schema_metadata(self) -> SchemaMetadata | None:
        """The schema of the value."""
        part = self.raw.get("valueSchemaMetadata")
        return None if part is None else SchemaMetadata(part)
