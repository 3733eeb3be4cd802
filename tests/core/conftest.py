"""What the tests of the core share: a handler that counts, and one event of every source."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import asyncbatch
from asyncbatch import EventSource
from asyncbatch.testing import dynamodb_event, kafka_event, kinesis_event, sqs_event, sqs_fifo_event

sys.path.insert(0, str(Path(__file__).parent))  # folders of tests are no packages


@pytest.fixture(autouse=True)
def _fresh_loop():
    yield
    asyncbatch.shutdown()  # a lifespan of one test is no other's business, in whichever order they run


class Counting:
    """An async handler that notes the identifiers it was called with."""

    def __init__(self) -> None:
        self.ids: list[Any] = []

    async def __call__(self, record: Any) -> None:
        self.ids.append(record.id)


@pytest.fixture
def counting() -> Counting:
    return Counting()


def _kinesis(payloads: list[Any]) -> dict[str, Any]:
    return kinesis_event(payloads, keys=["k"] * len(payloads))


def _dynamodb(payloads: list[Any]) -> dict[str, Any]:
    return dynamodb_event([{"id": "k", "payload": payload} for payload in payloads])


def _fifo(payloads: list[Any]) -> dict[str, Any]:
    return sqs_fifo_event(payloads, groups=["g"] * len(payloads))


def _kafka(payloads: list[Any]) -> dict[str, Any]:
    return kafka_event(payloads, partitions=[0] * len(payloads))


_BUILDERS: dict[EventSource, Callable[[list[Any]], dict[str, Any]]] = {
    EventSource.SQS: sqs_event,
    EventSource.SQS_FIFO: _fifo,
    EventSource.KINESIS: _kinesis,
    EventSource.DYNAMODB: _dynamodb,
    EventSource.KAFKA: _kafka,
}


@pytest.fixture
def event_of() -> Callable[[EventSource, list[Any]], dict[str, Any]]:
    """An event of a source with these payloads, all in one lane where the source has lanes."""
    return lambda source, payloads: _BUILDERS[source](payloads)
