"""Never a body in a log: whatever goes wrong with a record, our texts show no word of it."""

import base64
import logging
import pickle
import re
from collections.abc import Callable, Hashable
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from ipaddress import IPv4Network
from typing import Annotated, Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

import pydantic
import pytest
from pydantic_core import PydanticCustomError

from asyncbatch import (
    BatchEngine,
    BatchReport,
    EventSource,
    Failed,
    FailedBatchError,
    InvalidEventError,
)
from asyncbatch.hooks import HookEvent

MARKER = "MARKERmarker"
SQS, FIFO, KINESIS, DYNAMODB, KAFKA = EventSource


def assert_silent(report: BatchReport, caplog: pytest.LogCaptureFixture, events: list[HookEvent]) -> None:
    """No text of ours about this run holds the content."""
    texts = [repr(report), report.summary(), repr(report.outcomes), repr(events), caplog.text]
    for outcome in report.unsuccessful:
        texts.append(repr(outcome.record))
        if isinstance(outcome, Failed):
            texts += [outcome.message, outcome.trace]
    error = FailedBatchError(1, 1, report.summary())
    texts += [str(error), repr(error), pickle.dumps(error).decode("latin1")]
    encoded = base64.b64encode(MARKER.encode()).decode().rstrip("=")
    for text in texts:
        assert MARKER not in text
        assert encoded not in text


@pytest.fixture
def events() -> list[HookEvent]:
    return []


@pytest.fixture
def run(caplog: pytest.LogCaptureFixture, events: list[HookEvent]) -> Callable[..., BatchReport]:
    def run(event: Any, handler: Any, **options: Any) -> BatchReport:
        caplog.set_level(logging.DEBUG)
        report = BatchEngine(hooks=[events.append], raise_on_failure="never", **options).run(event, handler)
        assert len(report.unsuccessful) == 1
        assert_silent(report, caplog, events)
        return report

    return run


async def read_json(record: Any) -> None:
    record.json()


async def read_text(record: Any) -> None:
    _ = record.text


@pytest.mark.parametrize("source", [SQS, FIFO, KINESIS, KAFKA])
@pytest.mark.parametrize("body", [MARKER, f'{{"a": "{MARKER}"', f"[{MARKER}]"], ids=["text", "cut", "word"])
def test_json_that_cannot_be_read(
    run: Any, event_of: Callable[..., Any], source: EventSource, body: str
) -> None:
    report = run(event_of(source, [body]), read_json)
    assert report.outcomes[0].message.startswith("ValueError: the payload is not JSON")


@pytest.mark.parametrize("source", [KINESIS, KAFKA])
@pytest.mark.parametrize("handler", [read_json, read_text])
def test_bytes_that_are_no_text(
    run: Any, event_of: Callable[..., Any], source: EventSource, handler: Any
) -> None:
    run(event_of(source, [f'"{MARKER}'.encode() + b'\xff"']), handler)


@pytest.mark.parametrize("source", [KINESIS, KAFKA])
def test_base64_that_cannot_be_read(run: Any, event_of: Callable[..., Any], source: EventSource) -> None:
    event = event_of(source, ["x"])
    if source is KAFKA:
        event["records"]["orders-0"][0]["value"] = MARKER + "!"
    else:
        event["Records"][0]["kinesis"]["data"] = MARKER + "!"
    run(event, read_json)


@pytest.mark.parametrize(
    "value",
    [{"N": MARKER}, {"B": MARKER + "!"}, {"S": MARKER, "N": "1"}, {"N": "1" * 60}, {MARKER: "x"}],
    ids=str,
)
def test_a_dynamodb_value_that_cannot_be_read(
    run: Any, event_of: Callable[..., Any], value: dict[str, str]
) -> None:
    event = event_of(DYNAMODB, [MARKER])
    event["Records"][0]["dynamodb"]["NewImage"]["odd"] = value
    run(event, read_json)


def test_a_key_function_that_cannot_read_the_record(run: Any, event_of: Callable[..., Any]) -> None:
    def key(record: Any) -> Hashable:
        return record.json()["customer"]  # type: ignore[no-any-return]

    report = run(event_of(SQS, [MARKER]), read_json, ordering=key)
    assert report.outcomes[0].started is None


def test_a_handler_that_succeeds(caplog: Any, event_of: Callable[..., Any], events: Any) -> None:
    for source in EventSource:
        report = BatchEngine(hooks=[events.append]).run(event_of(source, [MARKER, MARKER]), read_text)
        assert_silent(report, caplog, events)


# --- models -------------------------------------------------------------------------------------------


class Order(pydantic.BaseModel):
    payload: int


class Strict(pydantic.BaseModel, extra="forbid"):
    payload: str


class Cat(pydantic.BaseModel):
    payload: Literal["cat"]


class Dog(pydantic.BaseModel):
    payload: Literal["dog"]


class Quoting(pydantic.BaseModel):
    """Its validators quote what they are given."""

    number: Any = 1
    text: Any = ""
    word: Any = ""
    template: Any = ""

    @pydantic.field_validator("number")
    @classmethod
    def convert(cls, value: Any) -> int:
        return int(value)

    @pydantic.field_validator("text")
    @classmethod
    def check(cls, value: Any) -> None:
        assert not value, f"{value} is too long"

    @pydantic.field_validator("word")
    @classmethod
    def look_up(cls, value: Any) -> None:
        if value:
            raise PydanticCustomError("unknown_word", f"no such word: {value}")  # type: ignore[arg-type]  # not literal

    @pydantic.field_validator("template")
    @classmethod
    def fill(cls, value: Any) -> None:
        if value:
            raise PydanticCustomError("wrong_template", "got {expected}", {"expected": value})


class Standard(pydantic.BaseModel):
    """Types of pydantic's and of Python's that may quote what they are given."""

    zone: ZoneInfo | None = None
    size: pydantic.ByteSize = pydantic.ByteSize(1)
    function: pydantic.ImportString[Any] | None = None
    encoded: pydantic.Base64Str | None = None
    identifier: UUID | None = None
    address: pydantic.AnyUrl | None = None
    path: pydantic.FilePath | None = None
    when: datetime | None = None
    amount: Decimal | None = None
    pattern: re.Pattern[str] | None = None
    network: IPv4Network | None = None
    fraction: Fraction | None = None
    kind: Literal["a", "b"] | None = None
    text: Annotated[str, pydantic.StringConstraints(pattern="^x")] | None = None


MODELS = {
    "wrong type": (Order, {"payload": MARKER}),
    "not an object": (Order, [MARKER]),
    "unknown field": (Strict, {"payload": "x", MARKER: 1}),
    "unknown tag": (Annotated[Cat | Dog, pydantic.Field(discriminator="payload")], {"payload": MARKER}),
    "union": (Cat | Dog, {"payload": MARKER}),
    "key of a dict": (dict[str, int], {MARKER: "x"}),
    "wrong key of a dict": (dict[int, int], {MARKER: 1}),
    "literal": (Cat, {"payload": MARKER}),
    **{f"validator of a {name}": (Quoting, {name: MARKER}) for name in Quoting.model_fields},
    **{name: (Standard, {name: MARKER}) for name in Standard.model_fields},
    "pattern": (Standard, {"pattern": f"({MARKER}"}),
    "unit of a size": (Standard, {"size": f"5 {MARKER}"}),
    "module": (Standard, {"function": f"{MARKER}.function"}),
    "name in a module": (Standard, {"function": f"json.{MARKER}"}),
    "host": (Standard, {"address": f"https://{MARKER} {MARKER}"}),
    "base64": (Standard, {"encoded": MARKER + "!"}),
    "time": (Standard, {"when": f"2020-01-01T{MARKER}"}),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("source", [SQS, KINESIS, KAFKA])
def test_a_payload_that_does_not_fit(
    run: Any, event_of: Callable[..., Any], source: EventSource, name: str
) -> None:
    model, payload = MODELS[name]
    report = run(event_of(source, [payload]), read_json, model=model)
    assert report.outcomes[0].message.startswith("ValidationError: ")


def test_an_image_that_does_not_fit(run: Any, event_of: Callable[..., Any]) -> None:
    report = run(event_of(DYNAMODB, [MARKER]), read_json, model=Order)
    assert report.outcomes[0].message == (
        "ValidationError: payload: Input should be a valid integer, unable to parse string as an integer"
    )


def test_text_that_is_no_json_does_not_fit(run: Any, event_of: Callable[..., Any]) -> None:
    report = run(event_of(SQS, [MARKER]), read_json, model=Order)
    assert report.outcomes[0].message.startswith("ValidationError: payload: Invalid JSON")


# --- events -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", EventSource)
def test_an_event_that_is_refused(event_of: Callable[..., Any], source: EventSource) -> None:
    event = event_of(source, [MARKER, MARKER])
    records = event.get("Records") or event["records"]["orders-0"]
    for name in ("messageId", "kinesis", "dynamodb", "offset"):
        records[1].pop(name, None)
    with pytest.raises(InvalidEventError) as caught:
        BatchEngine().run(event, read_json)
    encoded = base64.b64encode(MARKER.encode()).decode()
    assert MARKER not in str(caught.value) + repr(caught.value)
    assert encoded not in str(caught.value) + repr(caught.value)
