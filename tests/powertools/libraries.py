"""The facade and the peer side by side, and the events that both are given."""

import asyncio
import copy
import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from asyncbatch.testing import dynamodb_event, kafka_event, kinesis_event, sqs_event, sqs_fifo_event

Event = dict[str, Any]


class Library:
    """One of the two, by its modules: ``lib.batch``, ``lib.exceptions``, and so on."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.batch = importlib.import_module(root)

    def __getattr__(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.root}.{name}")

    def __repr__(self) -> str:
        return self.root.partition(".")[0]


OURS = Library("asyncbatch.powertools")
THEIRS = Library("aws_lambda_powertools.utilities.batch")

REPLACEABLE = tuple(
    f"aws_lambda_powertools.{name}"
    for name in ("utilities.data_classes.", "warnings", "middleware_factory.exceptions")
)
EVENT_TYPES = ["SQS", "KinesisDataStreams", "DynamoDBStreams", "Kafka"]


def event_of(event_type: str, bodies: list[str], *, groups: list[str] | None = None) -> Event:
    """An event whose records hold these texts; with groups, of a FIFO queue."""
    match event_type:
        case "SQS" if groups is not None:
            return sqs_fifo_event(bodies, groups=groups)
        case "SQS":
            return sqs_event(bodies)
        case "KinesisDataStreams":
            return kinesis_event(bodies, keys=["k"] * len(bodies))
        case "DynamoDBStreams":
            return dynamodb_event([{"id": str(at), "body": body} for at, body in enumerate(bodies)])
        case _:
            return kafka_event(bodies, partitions=[0] * len(bodies))


@contextmanager
def without_their_classes() -> Iterator[None]:
    """As in a program that has never loaded Powertools' data classes and its like: it gets ours."""
    hidden = {name: sys.modules[name] for name in sys.modules if name.startswith(REPLACEABLE)}
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: is not there
    try:
        yield
    finally:
        sys.modules.update(hidden)


def records_of(event: Event) -> list[dict[str, Any]]:
    if "Records" in event:
        return event["Records"]
    return [record for log in event["records"].values() for record in log]


def name_of(record: dict[str, Any]) -> Any:
    """How a reply names a raw record, said without the package."""
    if "messageId" in record:
        return record["messageId"]
    if "kinesis" in record:
        return record["kinesis"]["sequenceNumber"]
    if "dynamodb" in record:
        return record["dynamodb"]["SequenceNumber"]
    return {"partition": f"{record['topic']}-{record['partition']}", "offset": record["offset"]}


def names(records: list[dict[str, Any]]) -> list[Any]:
    return list(map(name_of, records))


def reply(*identifiers: Any) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": each} for each in identifiers]}


def body_of(record: Any) -> str:
    """The text in a record, whichever class wraps it."""
    raw = record if isinstance(record, dict) else getattr(record, "raw_event", None)
    if raw is None:
        raw = record.model_dump()
    if "body" in raw:
        return raw["body"]
    if "kinesis" in raw:
        data = raw["kinesis"]["data"]
        return data.decode() if isinstance(data, bytes) else record.kinesis.data_as_text()
    if "dynamodb" in raw:
        image = raw["dynamodb"]["NewImage"]["body"]
        return image if isinstance(image, str) else image["S"]
    value = raw["value"]
    return record.decoded_value.decode() if hasattr(record, "decoded_value") else value


def minimal(event: Event) -> Event:
    """The same event with what names its records and holds their texts, as hand-made tests have it."""
    kept = {"messageId", "body", "kinesis", "dynamodb", "topic", "partition", "offset", "value"}

    def least(record: dict[str, Any]) -> dict[str, Any]:
        record = {name: value for name, value in record.items() if name in kept}
        for part, fields in (
            ("kinesis", {"sequenceNumber", "data"}),
            ("dynamodb", {"SequenceNumber", "NewImage"}),
        ):
            if part in record:
                record[part] = {name: record[part][name] for name in fields}
        return record

    if "Records" in event:
        return {"Records": list(map(least, event["Records"]))}
    return {"records": {name: list(map(least, log)) for name, log in event["records"].items()}}


def handler_of(fate: Callable[[str], Any], *, is_async: bool = False, turns: int = 0) -> Callable[..., Any]:
    """A record handler: what `fate` returns for a record's text is the result, what it raises is raised."""

    def handler(record: Any) -> Any:
        return fate(body_of(record))

    async def async_handler(record: Any) -> Any:
        for _ in range(turns):
            await asyncio.sleep(0)
        return fate(body_of(record))

    return async_handler if is_async else handler


def fails(text: str) -> str:
    """Raise for texts that begin with "bad"."""
    if text.startswith("bad"):
        raise ValueError(text)
    return f"done {text}"


def processor_of(lib: Library, event_type: str, *args: Any, is_async: bool = False, **options: Any) -> Any:
    kind = lib.batch.AsyncBatchProcessor if is_async else lib.batch.BatchProcessor
    return kind(lib.batch.EventType[event_type], *args, **options)


def process(
    lib: Library, event: Any, handler: Any, processor: Any, context: Any = None, *, is_async: bool = False
) -> Any:
    entry = lib.batch.async_process_partial_response if is_async else lib.batch.process_partial_response
    return entry(event, handler, processor, context)


@contextmanager
def deprecated() -> Iterator[None]:
    """The decorators warn at each call; what they say is tested elsewhere."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*decorator is deprecated in V3.*", DeprecationWarning)
        yield


def independent(event: Event) -> tuple[Event, Event]:
    return copy.deepcopy(event), copy.deepcopy(event)
