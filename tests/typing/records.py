"""What type checkers see of records and their payloads: never executed."""

from typing import Any, assert_type

from asyncbatch import DynamoDBRecord, KafkaRecord, KinesisRecord, Record, SqsRecord


class Order:
    total: int


async def typed(
    message: SqsRecord[Order],
    kinesis: KinesisRecord[list[Order]],
    change: DynamoDBRecord[Order],
    kafka: KafkaRecord[Order | None],
) -> None:
    assert_type(message.payload, Order)
    assert_type(message.payload.total, int)
    assert_type(kinesis.payload, list[Order])
    assert_type(change.payload, Order)
    assert_type(kafka.payload, Order | None)


async def bare(
    message: SqsRecord, kinesis: KinesisRecord, change: DynamoDBRecord, kafka: KafkaRecord
) -> None:
    """Without a type argument the payload is anything, and strict mode does not mind."""
    assert_type(message.payload, Any)
    assert_type(kinesis.payload, Any)
    assert_type(change.payload, Any)
    assert_type(kafka.payload, Any)


def common(record: Record) -> bytes:
    assert_type(record.text, str)
    assert_type(record.raw["body"], Any)
    return record.data


def attributes(
    message: SqsRecord[Order],
    kinesis: KinesisRecord[Order],
    change: DynamoDBRecord[Order],
    kafka: KafkaRecord[Order],
) -> None:
    assert_type(message.id, str)
    assert_type(message.message_id, str)
    assert_type(message.key, str | None)
    assert_type(message.attributes.approximate_receive_count, str)
    assert_type(kinesis.kinesis.sequence_number, str)
    assert_type(kinesis.kinesis.data_as_bytes(), bytes)
    assert_type(kinesis.key, str)
    assert_type(change.new_image, dict[str, Any])
    assert_type(kafka.offset, int)
    assert_type(kafka.id["partition"], str)
    assert_type(kafka.decoded_key, bytes | None)
    assert_type(kafka.is_tombstone, bool)


def a_payload_is_read_only_so_covariant(message: SqsRecord[bool]) -> SqsRecord[int]:
    return message


def nothing_is_written(message: SqsRecord[Order]) -> None:
    message.body = "x"  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    message["body"] = "x"  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
