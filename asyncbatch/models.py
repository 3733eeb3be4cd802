"""Pydantic envelopes of records and events, to subclass: field names as AWS has them, payloads decoded first.

    class OrderRecord(SqsRecordModel):
        body: Json[Order]

A Kinesis record's data and a Kafka record's key, value and headers are decoded from base64, the images of a
DynamoDB stream become plain Python values (numbers are `Decimal`, binary values stay base64 text). What cannot be
decoded is a validation error, and so the failure of that record alone. Unknown fields are ignored: AWS adds some
from time to time.

They are for code that wants the whole envelope validated, as ``asyncbatch.powertools`` does with its ``model``.
The engine's own ``model`` is the type of the payload alone, and takes less time.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import BaseModel, field_validator

from asyncbatch._decoding import decode_base64, decode_json
from asyncbatch._dynamodb import decode_image

# A field that a subclass may redeclare as any type; at run time it is what the envelope itself validates.
if TYPE_CHECKING:
    AnyText = Any
    AnyBytes = Any
    AnyImage = Any
else:
    AnyText = str
    AnyBytes = bytes
    AnyImage = dict[str, Any]

_MAX_DECOMPRESSED: Final = 64 * 2**20  # far above what a record of 10 MiB should grow to


def _decoded(value: Any, decode: Callable[[Any], Any], what: str) -> Any:
    """A value decoded, or a `ValueError` without its content, which is what pydantic takes for a refusal."""
    try:
        return decode(value)
    except (TypeError, AttributeError, ValueError, ArithmeticError):
        message = f"must be {what}"
    raise ValueError(message)


# --- Amazon SQS ---------------------------------------------------------------------------------------


class SqsAttributesModel(BaseModel):
    """The system attributes of an SQS message."""

    ApproximateReceiveCount: str
    ApproximateFirstReceiveTimestamp: datetime
    SenderId: str
    SentTimestamp: datetime
    MessageDeduplicationId: str | None = None
    MessageGroupId: str | None = None
    SequenceNumber: str | None = None
    AWSTraceHeader: str | None = None
    DeadLetterQueueSourceArn: str | None = None


class SqsMsgAttributeModel(BaseModel):
    """One message attribute that the sender set."""

    stringValue: str | None = None
    binaryValue: str | None = None
    stringListValues: list[str] = []
    binaryListValues: list[str] = []
    dataType: str


class SqsRecordModel(BaseModel):
    """A message of an SQS queue. Redeclare ``body``, for example as ``Json[Order]``."""

    messageId: str
    receiptHandle: str
    body: AnyText
    attributes: SqsAttributesModel
    messageAttributes: dict[str, SqsMsgAttributeModel]
    md5OfBody: str
    md5OfMessageAttributes: str | None = None
    eventSource: Literal["aws:sqs"]
    eventSourceARN: str
    awsRegion: str


class SqsModel(BaseModel):
    """An event from an SQS queue. Redeclare ``Records`` with a subclass of `SqsRecordModel`."""

    Records: list[SqsRecordModel]


# --- Amazon Kinesis -----------------------------------------------------------------------------------


class KinesisDataStreamRecordPayload(BaseModel):
    """The part of a record that Kinesis filled in. Redeclare ``data``, for example as ``Json[Order]``."""

    kinesisSchemaVersion: str
    partitionKey: str
    sequenceNumber: str
    data: AnyBytes
    approximateArrivalTimestamp: float

    @field_validator("data", mode="before")
    @classmethod
    def _decode_data(cls, value: Any) -> Any:
        return _decoded(value, decode_base64, "base64") if isinstance(value, str) else value


class KinesisDataStreamRecord(BaseModel):
    """A record of a Kinesis data stream. Redeclare ``kinesis`` with a subclass of its payload."""

    eventSource: Literal["aws:kinesis"]
    eventVersion: str
    eventID: str
    eventName: Literal["aws:kinesis:record"]
    invokeIdentityArn: str
    awsRegion: str
    eventSourceARN: str
    kinesis: KinesisDataStreamRecordPayload

    def decompress_zlib_record_data_as_json(self, max_size: int = _MAX_DECOMPRESSED) -> Any:
        """The data decompressed (gzip or zlib) and decoded from JSON.

        Args:
            max_size: Most bytes that it may decompress to.

        Raises:
            ValueError: the data is not compressed JSON, or grows beyond the bound.
        """
        inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)  # 32: tell gzip from zlib by the header
        try:
            data = inflate.decompress(self.kinesis.data, max_size)
        except zlib.error as error:
            message = f"the data is not compressed by gzip or zlib ({error})"
            raise ValueError(message) from None
        if not inflate.eof:
            message = f"the data is cut off, or decompresses to more than {max_size} bytes"
            raise ValueError(message)
        return decode_json(data)


class KinesisDataStreamModel(BaseModel):
    """An event from a Kinesis data stream. Redeclare ``Records`` with a subclass of `KinesisDataStreamRecord`."""

    Records: list[KinesisDataStreamRecord]


# --- Amazon DynamoDB Streams --------------------------------------------------------------------------


class UserIdentity(BaseModel):
    """Who made a change, where that was DynamoDB itself (time to live)."""

    type: str
    principalId: str


class DynamoDBStreamChangedRecordModel(BaseModel):
    """The part of a record that DynamoDB filled in. Redeclare the images, say as ``Order | None = None``."""

    ApproximateCreationDateTime: datetime | None = None
    Keys: AnyImage
    NewImage: AnyImage | None = None
    OldImage: AnyImage | None = None
    SequenceNumber: str
    SizeBytes: int
    StreamViewType: Literal["NEW_AND_OLD_IMAGES", "KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE"]

    @field_validator("Keys", "NewImage", "OldImage", mode="before")
    @classmethod
    def _decode_image(cls, value: Any) -> Any:
        return None if value is None else _decoded(value, _plain_image, "DynamoDB's typed values")


def _plain_image(image: Mapping[str, Any]) -> dict[str, Any]:
    return decode_image(image, binary=False)


class DynamoDBStreamRecordModel(BaseModel):
    """A record of a DynamoDB stream. Redeclare ``dynamodb`` with a subclass of its changed record."""

    eventID: str
    eventName: Literal["INSERT", "MODIFY", "REMOVE"]
    eventVersion: float
    eventSource: Literal["aws:dynamodb"]
    awsRegion: str
    eventSourceARN: str
    dynamodb: DynamoDBStreamChangedRecordModel
    userIdentity: UserIdentity | None = None


class DynamoDBStreamModel(BaseModel):
    """An event from a DynamoDB stream. Redeclare ``Records`` with a subclass of `DynamoDBStreamRecordModel`."""

    Records: list[DynamoDBStreamRecordModel]


# --- Apache Kafka -------------------------------------------------------------------------------------


class KafkaRecordSchemaMetadata(BaseModel):
    """Which schema of a registry a key or a value has."""

    dataFormat: str
    schemaId: str | None = None


class KafkaRecordModel(BaseModel):
    """A record of a Kafka topic. Redeclare ``value``: ``Json[Order]``, or with ``| None`` for tombstones."""

    topic: str
    partition: int
    offset: int
    timestamp: datetime
    timestampType: str
    key: bytes | None = None
    value: AnyText
    headers: list[dict[str, bytes]]
    keySchemaMetadata: KafkaRecordSchemaMetadata | None = None
    valueSchemaMetadata: KafkaRecordSchemaMetadata | None = None

    @field_validator("key", mode="before")
    @classmethod
    def _decode_key(cls, value: Any) -> Any:
        return _decoded(value, decode_base64, "base64") if isinstance(value, str) else value

    @field_validator("value", mode="before")
    @classmethod
    def _decode_value(cls, value: Any) -> Any:
        return _decoded(value, _base64_text, "UTF-8 text in base64") if isinstance(value, str) else value

    @field_validator("headers", mode="before")
    @classmethod
    def _decode_headers(cls, value: Any) -> Any:
        return _decoded(value, _plain_headers, "a list of names with byte values")


def _base64_text(value: str) -> str:
    return decode_base64(value).decode()


def _plain_headers(headers: list[dict[str, list[int]]]) -> list[dict[str, bytes]]:
    # Java's bytes are signed.
    return [
        {name: bytes(each & 0xFF for each in values) for name, values in header.items()} for header in headers
    ]


class KafkaBaseEventModel(BaseModel):
    """What events from both kinds of clusters have in common."""

    bootstrapServers: list[str]
    records: dict[str, list[KafkaRecordModel]]

    @field_validator("bootstrapServers", mode="before")
    @classmethod
    def _split_servers(cls, value: Any) -> Any:
        return value.split(",") if isinstance(value, str) else value


class KafkaSelfManagedEventModel(KafkaBaseEventModel):
    """An event from a self-managed Kafka cluster. Redeclare ``records`` with a subclass of `KafkaRecordModel`."""

    eventSource: Literal["SelfManagedKafka"]


class KafkaMskEventModel(KafkaBaseEventModel):
    """An event from an MSK cluster. Redeclare ``records`` with a subclass of `KafkaRecordModel`."""

    eventSource: Literal["aws:kafka"]
    eventSourceArn: str


__all__ = [
    # Amazon SQS
    "SqsAttributesModel",
    "SqsModel",
    "SqsMsgAttributeModel",
    "SqsRecordModel",
    # Amazon Kinesis
    "KinesisDataStreamModel",
    "KinesisDataStreamRecord",
    "KinesisDataStreamRecordPayload",
    # Amazon DynamoDB Streams
    "DynamoDBStreamChangedRecordModel",
    "DynamoDBStreamModel",
    "DynamoDBStreamRecordModel",
    "UserIdentity",
    # Apache Kafka
    "KafkaBaseEventModel",
    "KafkaMskEventModel",
    "KafkaRecordModel",
    "KafkaRecordSchemaMetadata",
    "KafkaSelfManagedEventModel",
]
