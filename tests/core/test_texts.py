"""Texts of ours can be logged: they are bounded, and UTF-8 can hold them."""

import json
import logging
import os
from collections.abc import Iterator
from typing import Annotated, Any

import pydantic
import pytest
from awslambdaric.bootstrap import FramedTelemetryLogSink, LambdaLoggerHandler

from asyncbatch import BatchEngine, FailedBatchError, InvalidEventError, batch_handler
from asyncbatch.testing import kafka_event, kinesis_event, sqs_event

LONG = "x" * 1_000_000
HALF = "\ud83d"  # of a pair that JSON escapes; alone, no encoding can hold it


@pytest.fixture(autouse=True)
def _logs_as_in_lambda() -> Iterator[None]:
    """The log handler of Lambda's runtime: what cannot be encoded is raised to whoever logs."""
    logger = logging.getLogger("asyncbatch")
    with FramedTelemetryLogSink(os.open(os.devnull, os.O_WRONLY)) as sink:
        handler = LambdaLoggerHandler(sink)
        logger.addHandler(handler)
        yield
        logger.removeHandler(handler)


async def refuse(record: Any) -> None:
    raise ValueError(f"no customer {record.json()}")


def test_half_a_character_in_an_errors_text_costs_no_reply() -> None:
    event = sqs_event([json.dumps("Bob"), json.dumps(HALF)])

    async def handler(record: Any) -> None:
        if record.json() != "Bob":
            await refuse(record)

    answer = batch_handler(handler)(event)
    assert answer == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["messageId"]}]}
    (outcome,) = BatchEngine().run(event, handler).unsuccessful
    assert getattr(outcome, "message", "") == r"ValueError: no customer \ud83d"


def test_half_a_character_in_what_a_model_says_costs_no_reply() -> None:
    def check(value: Any) -> Any:
        raise ValueError(f"no customer {HALF}")

    model = Annotated[dict[str, Any], pydantic.AfterValidator(check)]
    report = BatchEngine(model=model).run(sqs_event(["{}"]), refuse)
    assert len(report.failures) == 1


def test_half_a_character_in_an_identifier_costs_no_reply() -> None:
    event = sqs_event(["1"])
    event["Records"][0]["messageId"] = HALF
    assert BatchEngine().run(event, refuse).failures == [HALF]


def test_half_a_character_does_not_break_the_error_that_fails_the_batch() -> None:
    with pytest.raises(FailedBatchError) as caught:
        batch_handler(raise_on_failure="any")(refuse)(sqs_event([json.dumps(HALF)]))
    assert rb"no customer \ud83d (test_texts.py" in str(caught.value).encode()


@pytest.mark.parametrize("text", [LONG, HALF])
def test_an_odd_name_of_a_topic_partition_is_shown_in_part(text: str) -> None:
    event = kafka_event(["1"], partitions=[0])
    event["records"][text] = None
    with pytest.raises(InvalidEventError) as caught:
        BatchEngine().run(event, refuse)
    assert len(str(caught.value).encode()) < 300


def test_identifiers_without_end_are_shown_in_part() -> None:
    event = kinesis_event(["1"] * 20, keys=["k"] * 20)
    for position, record in enumerate(event["Records"]):
        record["kinesis"]["sequenceNumber"] = f"{position} {LONG}"
    report = BatchEngine(ordering=lambda record: record.id, failure_scope=None).run(event, refuse)
    assert len(report.summary()) < 20_000
