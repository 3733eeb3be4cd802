"""Events as AWS sends them, built from payloads: plain dicts that JSON can hold.

Field names and their order are those of AWS's sample events. Every builder is a pure function: the
same arguments give the same event. Two events that must not share identifiers take different seeds.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, cast

Event = dict[str, Any]

ACCOUNT: Final = "123456789012"
"""The account number that AWS uses in its documentation."""

EPOCH_MS: Final = 1_790_000_000_000
"""When the first record of every event was sent; a fixed time, so that events compare equal."""
_KINESIS_FIRST: Final = 49_545_115_243_490_985_018_280_067_714_973_144_582_180_062_593_244_200_961
"""A Kinesis sequence number has 56 digits."""
_DYNAMODB_FIRST: Final = 4_421_584_500_000_000_017_450_439_091
_SQS_FIRST: Final = 18_849_496_460_467_696_128
"""A FIFO queue's sequence number has 20 digits."""


def sqs_event(
    payloads: Sequence[object],
    *,
    queue: str = "orders",
    region: str = "eu-west-1",
    seed: int = 0,
) -> Event:
    """Build the event of an SQS standard queue.

    Args:
        payloads: One body per message: text and bytes (UTF-8) as they are, anything else as JSON.
        queue: The queue's name.
        region: The queue's region.
        seed: What the message identifiers are drawn from.
    """
    rng = random.Random(f"sqs {seed}")
    records = [
        sqs_record(payload, EPOCH_MS + position, queue, region, rng)
        for position, payload in enumerate(_listed(payloads))
    ]
    return {"Records": records}


def sqs_fifo_event(
    payloads: Sequence[object],
    *,
    groups: Sequence[str],
    queue: str = "orders.fifo",
    region: str = "eu-west-1",
    seed: int = 0,
) -> Event:
    """Build the event of an SQS FIFO queue.

    Args:
        payloads: One body per message, as in `sqs_event`.
        groups: The message group of each message.
        queue: The queue's name; a FIFO queue's name ends in ``.fifo``.
        region: The queue's region.
        seed: What the message identifiers are drawn from.

    Raises:
        ValueError: The queue's name does not end in ``.fifo``, or a message has no group.
    """
    if not queue.endswith(".fifo"):
        message = f"queue: the name of a FIFO queue ends in '.fifo', but this one is {queue!r}"
        raise ValueError(message)
    _check_length("groups", groups, payloads)
    event = sqs_event(payloads, queue=queue, region=region, seed=seed)
    for position, (record, group) in enumerate(zip(event["Records"], groups, strict=True)):
        add_group(record, group, 1_000_000 * seed + position)
    return event


def add_group(record: dict[str, Any], group: str, position: int) -> None:
    """Make a standard queue's message one of a FIFO queue."""
    attributes = record["attributes"]
    record["attributes"] = {
        "ApproximateReceiveCount": attributes["ApproximateReceiveCount"],
        "SentTimestamp": attributes["SentTimestamp"],
        "SequenceNumber": str(_SQS_FIRST + 256 * position),
        "MessageGroupId": group,
        "SenderId": attributes["SenderId"],
        # Content-based deduplication: the SHA-256 of the body.
        "MessageDeduplicationId": hashlib.sha256(record["body"].encode()).hexdigest(),
        "ApproximateFirstReceiveTimestamp": attributes["ApproximateFirstReceiveTimestamp"],
    }


def sqs_record(payload: object, sent: int, queue: str, region: str, rng: random.Random) -> dict[str, Any]:
    """Build one message of a standard queue; `sent` is a Unix time in milliseconds."""
    body = _text(payload)
    return {
        "messageId": _uuid(rng),
        "receiptHandle": receipt_handle(rng),
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": str(sent),
            "SenderId": "AIDAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": str(sent + 1),
        },
        "messageAttributes": {},
        "md5OfBody": hashlib.md5(body.encode(), usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:{region}:{ACCOUNT}:{queue}",
        "awsRegion": region,
    }


def receipt_handle(rng: random.Random) -> str:
    """Draw a receipt handle; every receive of a message gives another one."""
    return "AQEB" + base64.b64encode(rng.randbytes(132)).decode()


def kinesis_event(
    payloads: Sequence[object],
    *,
    keys: Sequence[str],
    stream: str = "orders",
    region: str = "eu-west-1",
    seed: int = 0,
) -> Event:
    """Build the event of one shard of a Kinesis data stream.

    Args:
        payloads: The data of each record, as in `sqs_event`; the event holds it in base64.
        keys: The partition key of each record.
        stream: The stream's name.
        region: The stream's region.
        seed: Where the ascending sequence numbers start.

    Raises:
        ValueError: A record has no partition key.
    """
    _check_length("keys", keys, payloads)
    records = [
        kinesis_record(payload, key, position, sent=EPOCH_MS + position, stream=stream, region=region)
        for position, (payload, key) in enumerate(zip(_listed(payloads), keys, strict=True), 1_000_000 * seed)
    ]
    return {"Records": records}


def kinesis_record(
    payload: object,
    key: str,
    position: int,
    *,
    sent: int,
    stream: str,
    region: str,
    shard: str = "shardId-000000000006",
) -> dict[str, Any]:
    """Build one record of a stream; `sent` is a Unix time in milliseconds."""
    # Neighbours in a shard are far apart in the number's middle digits.
    sequence_number = str(_KINESIS_FIRST + position * 1_208_925_819_614_629_174_706_176)
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": key,
            "sequenceNumber": sequence_number,
            "data": _base64(payload),
            "approximateArrivalTimestamp": sent / 1000,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"{shard}:{sequence_number}",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": f"arn:aws:iam::{ACCOUNT}:role/lambda-role",
        "awsRegion": region,
        "eventSourceARN": f"arn:aws:kinesis:{region}:{ACCOUNT}:stream/{stream}",
    }


def dynamodb_event(
    items: Sequence[Mapping[str, object] | None],
    *,
    key: str | Sequence[str] = "id",
    old_items: Sequence[Mapping[str, object] | None] | None = None,
    table: str = "orders",
    region: str = "eu-west-1",
    seed: int = 0,
) -> Event:
    """Build the event of one shard of a DynamoDB stream.

    A new item alone is an INSERT, a new and an old one a MODIFY, an old one alone a REMOVE.

    Args:
        items: The new image of each record, as plain values: text, int, `Decimal`, bool, None,
            list, dict, bytes. None where the item was removed.
        key: The name of the key attribute, or the names of a composite key's two.
        old_items: The old image of each record; None where there was none.
        table: The table's name.
        region: The table's region.
        seed: Where the ascending sequence numbers start.

    Raises:
        ValueError: A record has neither image, or the lengths differ.
        TypeError: A value has no DynamoDB type (a float: DynamoDB has decimal numbers only).
    """
    olds = [None] * len(items) if old_items is None else old_items
    _check_length("old_items", olds, items)
    names = (key,) if isinstance(key, str) else tuple(key)
    rng = random.Random(f"dynamodb {seed}")
    records = [
        dynamodb_record(
            _change(new, old, position),
            new,
            old,
            names=names,
            position=position + 1_000_000 * seed,
            sent=EPOCH_MS,
            table=table,
            region=region,
            rng=rng,
        )
        for position, (new, old) in enumerate(zip(items, olds, strict=True))
    ]
    return {"Records": records}


def dynamodb_record(
    change: str,
    new: Mapping[str, object] | None,
    old: Mapping[str, object] | None,
    *,
    names: Sequence[str],
    position: int,
    sent: int,
    table: str,
    region: str,
    rng: random.Random,
) -> dict[str, Any]:
    """Build one record of a table's stream; `sent` is a Unix time in milliseconds."""
    return {
        "eventID": rng.randbytes(16).hex(),
        "eventName": change,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": region,
        "dynamodb": _stream_record(new, old, names, position, sent),
        "eventSourceARN": f"arn:aws:dynamodb:{region}:{ACCOUNT}:table/{table}/stream/2026-09-21T13:33:20.000",
    }


def _change(new: Mapping[str, object] | None, old: Mapping[str, object] | None, position: int) -> str:
    if new is not None:
        return "INSERT" if old is None else "MODIFY"
    if old is None:
        message = f"items[{position}]: a record needs a new image, an old one, or both"
        raise ValueError(message)
    return "REMOVE"


def _stream_record(
    new: Mapping[str, object] | None,
    old: Mapping[str, object] | None,
    names: Sequence[str],
    position: int,
    sent: int,
) -> dict[str, Any]:
    image = old if new is None else new
    assert image is not None  # noqa: S101 - _change has refused a record without images
    record: dict[str, Any] = {
        "ApproximateCreationDateTime": sent // 1000,
        "Keys": {name: _attribute(image[name]) for name in names},
    }
    if new is not None:
        record["NewImage"] = _image(new)
    if old is not None:
        record["OldImage"] = _image(old)
    record["SequenceNumber"] = str(_DYNAMODB_FIRST + position)
    record["SizeBytes"] = len(json.dumps(record))  # near enough: AWS counts names and values
    record["StreamViewType"] = "NEW_AND_OLD_IMAGES"
    return record


def _image(item: Mapping[str, object]) -> dict[str, Any]:
    return {name: _attribute(value) for name, value in item.items()}


def _attribute(value: Any) -> dict[str, Any]:
    """Return a plain value in DynamoDB's typed JSON."""
    typed: tuple[str, Any]
    match value:
        case None:
            typed = "NULL", True
        case bool():
            typed = "BOOL", value
        case str():
            typed = "S", value
        case int() | Decimal():
            typed = "N", str(value)
        case bytes():
            typed = "B", _base64(value)
        case list():
            typed = "L", [_attribute(item) for item in cast("Sequence[Any]", value)]
        case dict():
            typed = "M", _image(cast("Mapping[str, Any]", value))
        case _:
            hint = ": use Decimal" if isinstance(value, float) else ""
            message = f"items: a {type(value).__name__} has no DynamoDB type{hint}"
            raise TypeError(message)
    return dict([typed])


def kafka_event(
    payloads: Sequence[object],
    *,
    partitions: Sequence[int],
    topic: str = "orders",
    keys: Sequence[str | bytes | None] | None = None,
    region: str = "eu-west-1",
    seed: int = 0,
) -> Event:
    """Build the event of an Amazon MSK topic.

    Args:
        payloads: The value of each record, as in `sqs_event`; None is a tombstone.
        partitions: The partition of each record. Offsets ascend within each.
        topic: The topic's name.
        keys: The message key of each record; None for a record without one.
        region: The cluster's region.
        seed: Where the offsets start.

    Raises:
        ValueError: The lengths differ.
    """
    all_keys = [None] * len(payloads) if keys is None else keys
    _check_length("partitions", partitions, payloads)
    _check_length("keys", all_keys, payloads)
    logs: dict[int, list[dict[str, Any]]] = {}
    for position, (payload, partition, key) in enumerate(
        zip(_listed(payloads), partitions, all_keys, strict=True)
    ):
        log = logs.setdefault(partition, [])
        offset = 15 + len(log) + 1_000_000 * seed
        log.append(
            kafka_record(
                payload, key, topic=topic, partition=partition, offset=offset, sent=EPOCH_MS + position
            )
        )
    return kafka_envelope(logs, topic, region)


def kafka_record(
    payload: object, key: str | bytes | None, *, topic: str, partition: int, offset: int, sent: int
) -> dict[str, Any]:
    """Build one record of a topic; `sent` is a Unix time in milliseconds."""
    return {
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": sent,
        "timestampType": "CREATE_TIME",
        "key": None if key is None else _base64(key),
        "value": None if payload is None else _base64(payload),
        "headers": [],
    }


def kafka_envelope(logs: Mapping[int, list[dict[str, Any]]], topic: str, region: str) -> Event:
    """Build the event of an MSK topic around the records of each partition."""
    return {
        "eventSource": "aws:kafka",
        "eventSourceArn": f"arn:aws:kafka:{region}:{ACCOUNT}:cluster/orders/{_uuid(random.Random('msk'))}-2",
        "bootstrapServers": f"b-1.orders.a1b2c3.c2.kafka.{region}.amazonaws.com:9092,"
        f"b-2.orders.a1b2c3.c2.kafka.{region}.amazonaws.com:9092",
        "records": {f"{topic}-{partition}": log for partition, log in logs.items()},
    }


def _listed(payloads: Sequence[object]) -> Sequence[object]:
    """Refuse a text, which would give a record for each of its letters."""
    if isinstance(payloads, str | bytes):
        message = f"payloads must be a list, one for each record, but is {type(payloads).__name__}"
        raise TypeError(message)
    return payloads


def _text(payload: object) -> str:
    if isinstance(payload, str):
        return payload
    if isinstance(payload, bytes):
        return payload.decode()
    return json.dumps(payload)


def _base64(payload: object) -> str:
    data = payload if isinstance(payload, bytes) else _text(payload).encode()
    return base64.b64encode(data).decode()


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _check_length(name: str, given: Sequence[object], payloads: Sequence[object]) -> None:
    if len(given) != len(payloads):
        message = f"{name}: one per record is needed; {len(given)} for {len(payloads)} records"
        raise ValueError(message)
