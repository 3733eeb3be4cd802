"""Envelope models: AWS's fields, payloads decoded, and what the peer's parser models make of the same records."""

import base64
import copy
import gzip
import json
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from aws_lambda_powertools.utilities.parser import models as theirs
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Json, ValidationError

from asyncbatch import EventSource, models
from asyncbatch.testing import (
    dynamodb_event,
    kafka_event,
    kinesis_event,
    sample_event,
    sqs_event,
    sqs_fifo_event,
)

RECORD_MODELS = {
    EventSource.SQS: "SqsRecordModel",
    EventSource.SQS_FIFO: "SqsRecordModel",
    EventSource.KINESIS: "KinesisDataStreamRecord",
    EventSource.DYNAMODB: "DynamoDBStreamRecordModel",
    EventSource.KAFKA: "KafkaRecordModel",
}
EVENT_MODELS = {
    EventSource.SQS: models.SqsModel,
    EventSource.SQS_FIFO: models.SqsModel,
    EventSource.KINESIS: models.KinesisDataStreamModel,
    EventSource.DYNAMODB: models.DynamoDBStreamModel,
    EventSource.KAFKA: models.KafkaMskEventModel,
}


class Order(BaseModel):
    order: str
    amount: Decimal


def records_of(event: dict[str, Any]) -> list[dict[str, Any]]:
    return event["Records"] if "Records" in event else [r for log in event["records"].values() for r in log]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def dumps(name: str, record: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What our model and theirs make of a record; each gets its own, because one of theirs rewrites it."""
    ours: type[BaseModel] = getattr(models, name)
    their: type[BaseModel] = getattr(theirs, name)
    return (
        ours.model_validate(copy.deepcopy(record)).model_dump(),
        their.model_validate(copy.deepcopy(record)).model_dump(),
    )


@pytest.mark.parametrize("source", list(EventSource))
@pytest.mark.parametrize("seed", range(3))
def test_say_what_the_peers_models_say(source: EventSource, seed: int) -> None:
    for record in records_of(sample_event(source, 5, seed=seed)):
        ours, their = dumps(RECORD_MODELS[source], record)
        assert ours == their


BODIES = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)


@given(body=BODIES, group=st.none() | st.just("g"))
def test_say_the_same_of_any_message(body: str, group: str | None) -> None:
    event = sqs_event([body]) if group is None else sqs_fifo_event([body], groups=[group])
    record = event["Records"][0]
    record["messageAttributes"] = {
        "n": {"dataType": "Number", "stringValue": "1"},
        "b": {"dataType": "Binary"},
    }
    ours, their = dumps("SqsRecordModel", record)
    assert ours == their


@given(data=st.binary(max_size=40))
def test_say_the_same_of_any_data(data: bytes) -> None:
    record = kinesis_event([{}], keys=["k"])["Records"][0]
    record["kinesis"]["data"] = b64(data)
    ours, their = dumps("KinesisDataStreamRecord", record)
    assert ours == their
    assert ours["kinesis"]["data"] == data


PLAIN = st.recursive(
    st.text(max_size=5) | st.integers(-999, 999).map(Decimal) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(image=st.dictionaries(st.text(min_size=1, max_size=3), PLAIN, max_size=4), old=st.booleans())
def test_say_the_same_of_any_item(image: dict[str, Any], old: bool) -> None:  # noqa: FBT001 - hypothesis draws it
    event = dynamodb_event([{"id": "i", **image}], old_items=[image] if old else None)
    ours, their = dumps("DynamoDBStreamRecordModel", event["Records"][0])
    assert ours == their
    assert ours["dynamodb"]["NewImage"] == {"id": "i", **image}


@given(
    value=BODIES,
    key=st.none() | st.binary(max_size=5),
    headers=st.lists(st.dictionaries(st.text(max_size=3), st.binary(max_size=4), max_size=2), max_size=2),
)
def test_say_the_same_of_any_kafka_record(
    value: str, key: bytes | None, headers: list[dict[str, bytes]]
) -> None:
    record = records_of(kafka_event([value], partitions=[0]))[0]
    record["value"] = b64(value.encode())
    record["key"] = None if key is None else b64(key)
    record["headers"] = [{name: list(data) for name, data in header.items()} for header in headers]
    ours, their = dumps("KafkaRecordModel", record)
    assert ours == their
    assert ours["headers"] == headers


@pytest.mark.parametrize("source", list(EventSource))
def test_take_whole_events(source: EventSource) -> None:
    event = sample_event(source, 4)
    model = EVENT_MODELS[source].model_validate(event)
    found = (
        [record for log in model.records.values() for record in log]
        if isinstance(model, models.KafkaMskEventModel)
        else model.Records
    )
    assert len(found) == 4


def test_take_events_of_self_managed_kafka() -> None:
    event = {**kafka_event(["{}"], partitions=[0]), "eventSource": "SelfManagedKafka"}
    del event["eventSourceArn"]
    assert len(models.KafkaSelfManagedEventModel.model_validate(event).records) == 1


def test_payloads_are_what_a_subclass_says() -> None:
    class OrderMessage(models.SqsRecordModel):
        body: Json[Order]

    class OrderPayload(models.KinesisDataStreamRecordPayload):
        data: Json[Order]

    class OrderRecord(models.KinesisDataStreamRecord):
        kinesis: OrderPayload

    class OrderChange(models.DynamoDBStreamChangedRecordModel):
        NewImage: Order | None = None
        OldImage: Order | None = None

    class OrderChangeRecord(models.DynamoDBStreamRecordModel):
        dynamodb: OrderChange

    class OrderKafkaRecord(models.KafkaRecordModel):
        value: Json[Order] | None

    order = {"order": "o-1", "amount": 3}
    expected = Order(order="o-1", amount=Decimal(3))
    assert OrderMessage.model_validate(sqs_event([order])["Records"][0]).body == expected
    assert (
        OrderRecord.model_validate(kinesis_event([order], keys=["k"])["Records"][0]).kinesis.data == expected
    )
    change = OrderChangeRecord.model_validate(dynamodb_event([order], key="order")["Records"][0]).dynamodb
    assert change.NewImage == expected
    assert change.OldImage is None
    (record,) = records_of(kafka_event([order], partitions=[0]))
    assert OrderKafkaRecord.model_validate(record).value == expected
    assert OrderKafkaRecord.model_validate({**record, "value": None}).value is None


def changed(record: dict[str, Any], *path: str, to: Any) -> dict[str, Any]:
    part = record
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = to
    return record


SECRET = "s3cr3t"
POISON: dict[str, tuple[str, EventSource, tuple[str, ...], Any]] = {
    "no base64": ("KinesisDataStreamRecord", EventSource.KINESIS, ("kinesis", "data"), f"{SECRET}$"),
    "base64 with junk": ("KinesisDataStreamRecord", EventSource.KINESIS, ("kinesis", "data"), "e3$$0="),
    "no UTF-8": ("KafkaRecordModel", EventSource.KAFKA, ("value",), b64(b"\xff" + SECRET.encode())),
    "a null value": ("KafkaRecordModel", EventSource.KAFKA, ("value",), None),
    "a key that is no base64": ("KafkaRecordModel", EventSource.KAFKA, ("key",), f"{SECRET}$"),
    "headers that are none": ("KafkaRecordModel", EventSource.KAFKA, ("headers",), SECRET),
    "headers of text": ("KafkaRecordModel", EventSource.KAFKA, ("headers",), [{"a": SECRET}]),
    "an image that is none": (
        "DynamoDBStreamRecordModel",
        EventSource.DYNAMODB,
        ("dynamodb", "NewImage"),
        SECRET,
    ),
    "an image of plain values": (
        "DynamoDBStreamRecordModel",
        EventSource.DYNAMODB,
        ("dynamodb", "NewImage"),
        {"a": SECRET},
    ),
    "an unknown type": (
        "DynamoDBStreamRecordModel",
        EventSource.DYNAMODB,
        ("dynamodb", "Keys"),
        {"a": {"X": 1}},
    ),
    "a number without end": (
        "DynamoDBStreamRecordModel",
        EventSource.DYNAMODB,
        ("dynamodb", "Keys"),
        {"a": {"N": "1" * 60}},
    ),
    "keys that are null": ("DynamoDBStreamRecordModel", EventSource.DYNAMODB, ("dynamodb", "Keys"), None),
    "another source": ("SqsRecordModel", EventSource.SQS, ("eventSource",), "aws:sns"),
}


@pytest.mark.parametrize("case", POISON)
def test_what_cannot_be_read_is_a_validation_error(case: str) -> None:
    name, source, path, value = POISON[case]
    model: type[BaseModel] = getattr(models, name)
    (record,) = records_of(sample_event(source, 1))
    model.model_validate(record)
    with pytest.raises(ValidationError) as caught:
        model.model_validate(changed(record, *path, to=value))
    assert all(SECRET not in error["msg"] for error in caught.value.errors())


def test_an_image_that_is_null_is_none() -> None:
    record = changed(sample_event(EventSource.DYNAMODB, 1)["Records"][0], "dynamodb", "NewImage", to=None)
    assert models.DynamoDBStreamRecordModel.model_validate(record).dynamodb.NewImage is None


def test_binary_values_stay_text_as_in_the_event() -> None:
    record = sample_event(EventSource.DYNAMODB, 1)["Records"][0]
    record["dynamodb"]["NewImage"] = {"b": {"B": "AQ=="}, "bs": {"BS": ["AQ=="]}}
    ours, their = dumps("DynamoDBStreamRecordModel", record)
    assert ours == their
    assert ours["dynamodb"]["NewImage"] == {"b": "AQ==", "bs": {"AQ=="}}


def test_headers_of_signed_bytes_leave_the_record_as_it_was() -> None:
    (record,) = records_of(kafka_event(["{}"], partitions=[0]))
    record["headers"] = [{"a": [-1, 0, 127]}]
    before = copy.deepcopy(record)
    assert models.KafkaRecordModel.model_validate(record).headers == [{"a": b"\xff\x00\x7f"}]
    assert record == before


def test_a_deletion_by_time_to_live_says_so() -> None:
    record = sample_event(EventSource.DYNAMODB, 1)["Records"][0]
    record["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    identity = models.DynamoDBStreamRecordModel.model_validate(record).userIdentity
    assert identity is not None
    assert identity.principalId == "dynamodb.amazonaws.com"


def test_times_are_times_and_unknown_fields_are_ignored() -> None:
    record = sqs_event(["x"])["Records"][0]
    record["attributes"]["SentTimestamp"] = "1545082649183"
    record["fromTheFuture"] = 1
    attributes = models.SqsRecordModel.model_validate(record).attributes
    assert attributes.SentTimestamp == datetime(2018, 12, 17, 21, 37, 29, 183000, UTC)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress], ids=["gzip", "zlib"])
def test_compressed_data_is_decompressed_when_asked_for(compress: Any) -> None:
    record = kinesis_event([{}], keys=["k"])["Records"][0]
    record["kinesis"]["data"] = b64(compress(json.dumps({"a": "x" * 1000}).encode()))
    model = models.KinesisDataStreamRecord.model_validate(record)
    assert model.decompress_zlib_record_data_as_json() == {"a": "x" * 1000}
    with pytest.raises(ValueError, match="more than 100 bytes"):
        model.decompress_zlib_record_data_as_json(max_size=100)


@pytest.mark.parametrize("data", [b"plain", gzip.compress(b"{}")[:-9]], ids=["plain", "cut off"])
def test_data_that_is_not_compressed_or_cut_off_is_refused(data: bytes) -> None:
    record = kinesis_event([{}], keys=["k"])["Records"][0]
    record["kinesis"]["data"] = b64(data)
    with pytest.raises(ValueError, match=r"not compressed|cut off"):
        models.KinesisDataStreamRecord.model_validate(record).decompress_zlib_record_data_as_json()


def test_every_public_name_is_a_model() -> None:
    for name in models.__all__:
        assert issubclass(getattr(models, name), BaseModel)
