"""The examples of the event sources: what was acknowledged, and in which order."""

import base64
import json
from collections.abc import Callable, Hashable, Iterator
from itertools import pairwise
from types import ModuleType
from typing import Any

import pytest

from asyncbatch import BatchReport, EventSource, Skipped, Succeeded
from asyncbatch.testing import LambdaContext, dynamodb_event, sample_event, sqs_event

Event = dict[str, Any]
Load = Callable[[str], ModuleType]

LIMIT = 197
SEED = 2  # its events have refused orders in them; `test_the_samples_have_failures` checks


def reply(*identifiers: object) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": each} for each in identifiers]}


def read(event: Event) -> Iterator[tuple[Any, Hashable, float]]:
    """Yield identifier, lane and amount of each record, read without the package."""
    if "records" in event:
        for partition, log in event["records"].items():
            for raw in log:
                amount = json.loads(base64.b64decode(raw["value"]))["amount"]
                yield {"partition": partition, "offset": raw["offset"]}, partition, amount
        return
    for raw in event["Records"]:
        match raw["eventSource"]:
            case "aws:sqs":
                lane = raw["attributes"].get("MessageGroupId")
                yield raw["messageId"], lane, json.loads(raw["body"])["amount"]
            case "aws:kinesis":
                amount = json.loads(base64.b64decode(raw["kinesis"]["data"]))["amount"]
                yield raw["kinesis"]["sequenceNumber"], raw["kinesis"]["partitionKey"], amount
            case _:
                stream = raw["dynamodb"]
                lane = json.dumps(stream["Keys"])
                yield stream["SequenceNumber"], lane, float(stream["NewImage"]["amount"]["N"])


def refused(event: Event) -> list[Any]:
    return [identifier for identifier, _, amount in read(event) if amount > LIMIT]


def refused_and_all_behind_it(event: Event) -> list[Any]:
    """Name the first refused record of each lane, and every later one of that lane."""
    halted: set[Hashable] = set()
    named = []
    for identifier, lane, amount in read(event):
        if amount > LIMIT:
            halted.add(lane)
        if lane in halted:
            named.append(identifier)
    return named


def assert_order_was_kept(event: Event, report: BatchReport) -> None:
    """Check that records of a lane start after their predecessor succeeded, and not before."""
    lanes: dict[Hashable, list[Any]] = {}
    for (identifier, lane, _), outcome in zip(read(event), report.outcomes, strict=True):
        assert outcome.id == identifier
        lanes.setdefault(lane, []).append(outcome)
    assert len(lanes) > 1
    for lane in lanes.values():
        for before, after in pairwise(lane):
            if not isinstance(after, Skipped):
                assert isinstance(before, Succeeded)
                assert before.ended <= after.started


@pytest.mark.parametrize("source", list(EventSource))
def test_the_samples_have_failures(source: EventSource) -> None:
    event = sample_event(source, 300, keys=20, seed=SEED)
    assert 1 <= len(refused(event)) <= 10


@pytest.mark.parametrize("name", ["sqs", "model", "threaded"])
def test_sqs_names_the_refused_messages_alone(example: Load, name: str) -> None:
    event = sample_event(EventSource.SQS, 300, seed=SEED)
    assert example(name).lambda_handler(event, LambdaContext()) == reply(*refused(event))


def test_sqs_runs_messages_side_by_side(example: Load) -> None:
    event = sample_event(EventSource.SQS, 300, seed=SEED)
    outcomes = example("sqs").lambda_handler.run(event, LambdaContext()).outcomes
    first_end = min(outcome.ended for outcome in outcomes)
    assert sum(outcome.started < first_end for outcome in outcomes) == 100


def test_sqs_fifo_holds_back_the_rest_of_a_group(example: Load) -> None:
    event = sample_event(EventSource.SQS_FIFO, 300, keys=20, seed=SEED)
    report = example("sqs_fifo").lambda_handler.run(event, LambdaContext())
    assert report.response() == reply(*refused_and_all_behind_it(event))
    assert_order_was_kept(event, report)


def test_sqs_fifo_needs_no_lock(example: Load) -> None:
    event = sample_event(EventSource.SQS_FIFO, 300, keys=20, seed=SEED)
    module = example("sqs_fifo")
    module.lambda_handler(event, LambdaContext())
    come_again = refused_and_all_behind_it(event)
    expected: dict[Hashable, float] = {}
    for identifier, group, amount in read(event):
        if identifier not in come_again:
            expected[group] = expected.get(group, 0.0) + amount
    assert module.balances == expected


@pytest.mark.parametrize(
    ("name", "source"),
    [("kinesis", EventSource.KINESIS), ("dynamodb", EventSource.DYNAMODB)],
)
def test_a_stream_goes_on_at_its_checkpoint(example: Load, name: str, source: EventSource) -> None:
    event = sample_event(source, 300, keys=20, seed=SEED)
    report = example(name).lambda_handler.run(event, LambdaContext())
    assert report.checkpoint == refused(event)[0]
    assert report.response() == reply(refused(event)[0])
    assert_order_was_kept(event, report)


def test_dynamodb_takes_a_removal(example: Load) -> None:
    event = dynamodb_event([None], old_items=[{"order": "o-1", "amount": 5000}], key="order")
    assert example("dynamodb").lambda_handler(event, LambdaContext()) == reply()


def test_kafka_names_the_rest_of_a_partition(example: Load) -> None:
    event = sample_event(EventSource.KAFKA, 300, keys=20, seed=SEED)
    report = example("kafka").lambda_handler.run(event, LambdaContext())
    assert report.response() == reply(*refused_and_all_behind_it(event))
    assert_order_was_kept(event, report)


def test_kafka_takes_a_tombstone(example: Load) -> None:
    event = sample_event(EventSource.KAFKA, 1)
    (log,) = event["records"].values()
    log[0]["value"] = None
    assert example("kafka").lambda_handler(event, LambdaContext()) == reply()


def test_a_model_refuses_what_is_no_order_before_the_handler(example: Load) -> None:
    event = sqs_event([{"order": "o-1", "customer": "c-1", "amount": "much"}, "no json"])
    (first, second) = example("model").lambda_handler.run(event, LambdaContext()).outcomes
    assert [first.reason.value, second.reason.value] == ["invalid-payload"] * 2
    assert "amount" in first.message
    assert "much" not in first.message
