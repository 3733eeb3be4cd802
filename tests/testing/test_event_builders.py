"""The event builders: shapes, identifiers, payloads, refusals."""

import base64
import hashlib
import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from asyncbatch.testing import (
    dynamodb_event,
    kafka_event,
    kinesis_event,
    sqs_event,
    sqs_fifo_event,
)


def decoded(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


@pytest.mark.parametrize(
    ("payload", "body"),
    [("text", "text"), (b"bytes", "bytes"), ({"a": [1, None]}, '{"a": [1, null]}'), (None, "null")],
)
def test_a_payload_is_the_body(payload: object, body: str) -> None:
    (record,) = sqs_event([payload])["Records"]
    assert record["body"] == body
    assert record["md5OfBody"] == hashlib.md5(body.encode(), usedforsecurity=False).hexdigest()


def test_an_sqs_event_names_its_queue() -> None:
    (record,) = sqs_event(["x"], queue="bills", region="us-west-2")["Records"]
    assert record["eventSourceARN"] == "arn:aws:sqs:us-west-2:123456789012:bills"
    assert record["awsRegion"] == "us-west-2"


def test_a_fifo_event_has_groups_and_ascending_sequence_numbers() -> None:
    records = sqs_fifo_event(["x", "y", "z"], groups=["a", "b", "a"])["Records"]
    attributes = [record["attributes"] for record in records]
    assert [each["MessageGroupId"] for each in attributes] == ["a", "b", "a"]
    numbers = [each["SequenceNumber"] for each in attributes]
    assert [len(number) for number in numbers] == [20, 20, 20]
    assert numbers == sorted(set(numbers))
    assert records[0]["eventSourceARN"].endswith(":orders.fifo")


def test_kinesis_sequence_numbers_have_56_digits_and_ascend() -> None:
    records = kinesis_event(["x", b"\xff", {"a": 1}], keys=["a", "b", "a"])["Records"]
    numbers = [record["kinesis"]["sequenceNumber"] for record in records]
    assert [len(number) for number in numbers] == [56, 56, 56]
    assert numbers == sorted(set(numbers))
    assert [decoded(record["kinesis"]["data"]) for record in records] == [
        b"x",
        b"\xff",
        b'{"a": 1}',
    ]
    assert [record["kinesis"]["partitionKey"] for record in records] == ["a", "b", "a"]
    assert [record["eventID"].split(":")[1] for record in records] == numbers


def test_dynamodb_values_are_typed() -> None:
    item = {
        "id": "i",
        "int": 7,
        "decimal": Decimal("1.50"),
        "yes": True,
        "nothing": None,
        "list": ["a", 1],
        "map": {"b": b"\x00"},
    }
    (record,) = dynamodb_event([item])["Records"]
    assert record["dynamodb"]["Keys"] == {"id": {"S": "i"}}
    assert record["dynamodb"]["NewImage"] == {
        "id": {"S": "i"},
        "int": {"N": "7"},
        "decimal": {"N": "1.50"},
        "yes": {"BOOL": True},
        "nothing": {"NULL": True},
        "list": {"L": [{"S": "a"}, {"N": "1"}]},
        "map": {"M": {"b": {"B": "AA=="}}},
    }


def test_dynamodb_images_tell_the_change() -> None:
    old, new = {"id": 1, "sort": 2, "v": "old"}, {"id": 1, "sort": 2, "v": "new"}
    event = dynamodb_event([new, new, None], old_items=[None, old, old], key=("id", "sort"))
    records = event["Records"]
    assert [record["eventName"] for record in records] == ["INSERT", "MODIFY", "REMOVE"]
    assert ["OldImage" in record["dynamodb"] for record in records] == [False, True, True]
    assert ["NewImage" in record["dynamodb"] for record in records] == [True, True, False]
    keys = [record["dynamodb"]["Keys"] for record in records]
    assert keys == [{"id": {"N": "1"}, "sort": {"N": "2"}}] * 3
    numbers = [int(record["dynamodb"]["SequenceNumber"]) for record in records]
    assert numbers == sorted(set(numbers))


def test_kafka_offsets_ascend_within_each_partition() -> None:
    event = kafka_event(
        ["a", None, {"c": 1}, "d"],
        partitions=[2, 0, 2, 0],
        topic="my-topic",
        keys=["k", None, b"\x01", "k"],
    )
    assert list(event["records"]) == ["my-topic-2", "my-topic-0"]
    two, zero = event["records"]["my-topic-2"], event["records"]["my-topic-0"]
    assert [(r["topic"], r["partition"]) for r in two] == [("my-topic", 2)] * 2
    assert [r["offset"] - two[0]["offset"] for r in two] == [0, 1]
    assert [r["offset"] - zero[0]["offset"] for r in zero] == [0, 1]
    assert [decoded(r["value"]) for r in two] == [b"a", b'{"c": 1}']
    assert zero[0]["value"] is None
    assert [r["key"] for r in [*two, *zero]] == ["aw==", "AQ==", None, "aw=="]


BUILDERS: dict[str, Callable[[int], dict[str, Any]]] = {
    "sqs": lambda seed: sqs_event(["x", "y"], seed=seed),
    "fifo": lambda seed: sqs_fifo_event(["x", "y"], groups=["a", "a"], seed=seed),
    "kinesis": lambda seed: kinesis_event(["x", "y"], keys=["a", "a"], seed=seed),
    "dynamodb": lambda seed: dynamodb_event([{"id": 1}, {"id": 1}], seed=seed),
    "kafka": lambda seed: kafka_event(["x", "y"], partitions=[0, 0], seed=seed),
}


def identifiers(event: dict[str, Any]) -> set[str]:
    if "records" in event:
        return {
            f"{r['topic']}-{r['partition']}:{r['offset']}" for log in event["records"].values() for r in log
        }
    return {
        record.get("messageId")
        or record.get("kinesis", {}).get("sequenceNumber")
        or record["dynamodb"]["SequenceNumber"]
        for record in event["Records"]
    }


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_seeds_keep_identifiers_apart(build: Callable[[int], dict[str, Any]]) -> None:
    assert build(0) == build(0)
    first, second = identifiers(build(0)), identifiers(build(1))
    assert len(first) == len(second) == 2
    assert not first & second


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS)
def test_events_are_plain_json(build: Callable[[int], dict[str, Any]]) -> None:
    event = build(0)
    assert json.loads(json.dumps(event, allow_nan=False)) == event


@pytest.mark.parametrize(
    ("build", "problem"),
    [
        (lambda: sqs_fifo_event(["x"], groups=["a"], queue="orders"), "ends in '.fifo'"),
        (lambda: sqs_fifo_event(["x", "y"], groups=["a"]), "groups: .* 1 for 2 records"),
        (lambda: kinesis_event(["x"], keys=[]), "keys: .* 0 for 1 records"),
        (lambda: kafka_event(["x"], partitions=[]), "partitions: .* 0 for 1 records"),
        (
            lambda: kafka_event(["x", "y"], partitions=[0, 0], keys=["a"]),
            "keys: .* 1 for 2 records",
        ),
        (lambda: dynamodb_event([{"id": 1}], old_items=[]), "old_items: .* 0 for 1 records"),
        (lambda: dynamodb_event([None]), r"items\[0\]: a record needs a new image"),
    ],
)
def test_what_cannot_be_an_event_is_refused(build: Callable[[], object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        build()


def test_dynamodb_has_no_floats() -> None:
    with pytest.raises(TypeError, match="a float has no DynamoDB type: use Decimal"):
        dynamodb_event([{"id": 1, "price": 1.5}])
    with pytest.raises(TypeError, match=r"a object has no DynamoDB type$"):
        dynamodb_event([{"id": object()}])


def test_a_text_is_no_list_of_payloads():
    with pytest.raises(TypeError, match="payloads must be a list, one for each record, but is str"):
        sqs_event("hello")
