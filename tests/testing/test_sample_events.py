"""Sample events: orders spread over lanes, the same for the same seed."""

import base64
import json
from collections import Counter
from typing import Any

import pytest

from asyncbatch import EventSource
from asyncbatch.testing import sample_event


def flat(event: dict[str, Any]) -> list[dict[str, Any]]:
    if "records" in event:
        return [record for log in event["records"].values() for record in log]
    return list(event["Records"])


def lane(source: EventSource, record: dict[str, Any]) -> str:
    match source:
        case EventSource.SQS:
            return str(record["messageId"])
        case EventSource.SQS_FIFO:
            return str(record["attributes"]["MessageGroupId"])
        case EventSource.KINESIS:
            return str(record["kinesis"]["partitionKey"])
        case EventSource.DYNAMODB:
            return str(record["dynamodb"]["Keys"]["order"]["S"])
        case EventSource.KAFKA:
            return str(record["partition"])


def order(source: EventSource, record: dict[str, Any]) -> dict[str, Any]:
    match source:
        case EventSource.SQS | EventSource.SQS_FIFO:
            return dict(json.loads(record["body"]))
        case EventSource.KINESIS:
            return dict(json.loads(base64.b64decode(record["kinesis"]["data"])))
        case EventSource.DYNAMODB:
            image = record["dynamodb"]["NewImage"]
            return {name: next(iter(value.values())) for name, value in image.items()}
        case EventSource.KAFKA:
            return dict(json.loads(base64.b64decode(record["value"])))


@pytest.mark.parametrize("source", EventSource)
@pytest.mark.parametrize("n", [0, 1, 10, 250])
def test_a_sample_has_n_orders(source: EventSource, n: int) -> None:
    records = flat(sample_event(source, n))
    assert len(records) == n
    for record in records:
        assert set(order(source, record)) == {"order", "customer", "amount"}


@pytest.mark.parametrize("source", [source for source in EventSource if source is not EventSource.SQS])
def test_a_sample_is_spread_over_the_keys(source: EventSource) -> None:
    records = flat(sample_event(source, 30, keys=3, seed=5))
    assert Counter(lane(source, record) for record in records).most_common()[-1][1] == 10
    assert len({lane(source, record) for record in records}) == 3


@pytest.mark.parametrize("source", EventSource)
def test_the_seed_decides(source: EventSource) -> None:
    assert sample_event(source, seed=3) == sample_event(source, seed=3)
    assert sample_event(source, seed=3) != sample_event(source, seed=4)


def test_a_sample_of_a_table_is_a_history_of_its_items() -> None:
    latest: dict[str, Any] = {}
    for record in sample_event(EventSource.DYNAMODB, 20, keys=3)["Records"]:
        change = record["dynamodb"]
        key = change["Keys"]["order"]["S"]
        assert record["eventName"] == ("MODIFY" if key in latest else "INSERT")
        assert change.get("OldImage") == latest.get(key)
        latest[key] = change["NewImage"]


@pytest.mark.parametrize(("n", "keys"), [(-1, 1), (1, 0)])
def test_impossible_samples_are_refused(n: int, keys: int) -> None:
    with pytest.raises(ValueError, match=f"n={n} and keys={keys}"):
        sample_event(EventSource.SQS, n, keys=keys)


def test_a_source_may_be_named_by_its_value():
    assert sample_event("sqs-fifo", 2) == sample_event(EventSource.SQS_FIFO, 2)  # type: ignore[arg-type]  # at run time
    with pytest.raises(ValueError, match="sqss"):
        sample_event("sqss", 2)  # type: ignore[arg-type]  # likewise
