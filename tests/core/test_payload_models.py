"""`model=`: payloads of every event source, as any type that pydantic can validate."""

import builtins
import dataclasses
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import pydantic
import pytest
from typing_extensions import TypedDict

from asyncbatch import (
    BatchEngine,
    EventSource,
    Failed,
    FailureReason,
    InvalidOptionError,
    KafkaRecord,
)
from asyncbatch.testing import dynamodb_event, kafka_event, sqs_event

SQS, FIFO, KINESIS, DYNAMODB, KAFKA = EventSource


class Order(pydantic.BaseModel):
    total: Decimal


@dataclasses.dataclass
class OrderData:
    total: Decimal


class OrderDict(TypedDict):
    total: Decimal


class Seen:
    """A handler that keeps the payloads."""

    def __init__(self) -> None:
        self.payloads: list[Any] = []

    async def __call__(self, record: Any) -> None:
        self.payloads.append(record.payload)


@pytest.fixture
def seen() -> Seen:
    return Seen()


MODELS = [
    pytest.param(Order, Order(total=Decimal("1.5")), id="pydantic model"),
    pytest.param(OrderData, OrderData(total=Decimal("1.5")), id="dataclass"),
    pytest.param(OrderDict, {"total": Decimal("1.5")}, id="TypedDict"),
    pytest.param(Order | None, Order(total=Decimal("1.5")), id="union"),
]


@pytest.mark.parametrize(("model", "payload"), MODELS)
@pytest.mark.parametrize("source", [SQS, FIFO, KINESIS, KAFKA])
def test_json_becomes_the_model(
    event_of: Callable[..., Any], seen: Seen, source: EventSource, model: Any, payload: object
) -> None:
    report = BatchEngine(model=model).run(event_of(source, ['{"total": "1.5"}']), seen)
    assert len(report.succeeded) == 1
    assert seen.payloads == [payload]
    assert type(seen.payloads[0]) is type(payload)


@pytest.mark.parametrize(("model", "payload"), MODELS)
def test_a_new_image_becomes_the_model(seen: Seen, model: Any, payload: object) -> None:
    event = dynamodb_event([{"total": Decimal("1.5")}], key="total")
    assert len(BatchEngine(model=model).run(event, seen).succeeded) == 1
    assert seen.payloads == [payload]


def test_a_number_of_an_image_keeps_every_digit(seen: Seen) -> None:
    digits = Decimal("12345678901234567890.123456789012345678")
    BatchEngine(model=Order).run(dynamodb_event([{"total": digits}], key="total"), seen)
    assert seen.payloads == [Order(total=digits)]


@pytest.mark.parametrize("source", [SQS, FIFO, KINESIS, KAFKA])
def test_a_payload_may_be_a_list(event_of: Callable[..., Any], seen: Seen, source: EventSource) -> None:
    BatchEngine(model=list[Order]).run(event_of(source, ['[{"total": 1}, {"total": 2}]']), seen)
    assert seen.payloads == [[Order(total=Decimal(1)), Order(total=Decimal(2))]]


def test_a_tombstone_is_none_to_the_model(seen: Seen) -> None:
    event = kafka_event(['{"total": 1}', None], partitions=[0, 0])
    BatchEngine(model=Order | None).run(event, seen)
    assert seen.payloads == [Order(total=Decimal(1)), None]


def test_a_tombstone_does_not_fit_a_model_that_has_no_none(seen: Seen) -> None:
    event = kafka_event([None], partitions=[0])
    (failed,) = BatchEngine(model=Order).run(event, seen).unsuccessful
    assert failed.reason is FailureReason.INVALID_PAYLOAD


def test_a_removed_item_has_an_empty_image(seen: Seen) -> None:
    event = dynamodb_event([None], old_items=[{"id": "x"}])
    (failed,) = BatchEngine(model=Order).run(event, seen).unsuccessful
    assert failed.reason is FailureReason.INVALID_PAYLOAD
    BatchEngine(model=dict[str, str]).run(event, seen)
    assert seen.payloads == [{}]


# --- payloads that do not fit -------------------------------------------------------------------------


@pytest.mark.parametrize("source", [SQS, FIFO, KINESIS, KAFKA])
@pytest.mark.parametrize("body", ['{"total": "x"}', "no JSON", "{}", "[" * 10_000])
def test_an_invalid_payload_fails_that_record_alone_and_unhandled(
    event_of: Callable[..., Any], seen: Seen, source: EventSource, body: str
) -> None:
    event = event_of(source, ['{"total": 1}', body])
    report = BatchEngine(model=Order, raise_on_failure="never").run(event, seen)
    assert seen.payloads == [Order(total=Decimal(1))]
    (failed,) = report.unsuccessful
    assert (failed.position, failed.reason) == (1, FailureReason.INVALID_PAYLOAD)
    assert report.failures == [failed.id]


def test_an_invalid_payload_does_not_touch_the_others_of_a_queue(seen: Seen) -> None:
    report = BatchEngine(model=Order).run(sqs_event(["x", '{"total": 1}', "y"]), seen)
    assert [done.position for done in report.succeeded] == [1]


@pytest.mark.parametrize("source", [KINESIS, KAFKA])
def test_a_payload_that_is_not_base64_is_invalid(
    event_of: Callable[..., Any], seen: Seen, source: EventSource
) -> None:
    event = event_of(source, ["x"])
    if source is KAFKA:
        event["records"]["orders-0"][0]["value"] = "e3$$0="
    else:
        event["Records"][0]["kinesis"]["data"] = "e3$$0="
    (failed,) = BatchEngine(model=Order).run(event, seen).unsuccessful
    assert failed.reason is FailureReason.INVALID_PAYLOAD


def test_a_type_that_pydantic_cannot_describe_still_validates(seen: Seen) -> None:
    model = Annotated[dict[str, Any], pydantic.WrapValidator(lambda value, handler: handler(value))]
    odd = dict[str, Callable[[], int]]  # has no JSON schema
    assert BatchEngine(model=model).run(sqs_event(['{"a": 1}']), seen).all_succeeded
    (failed,) = BatchEngine(model=odd).run(dynamodb_event([{"MARKER": "x"}], key="MARKER"), seen).unsuccessful
    assert isinstance(failed, Failed)
    assert failed.reason is FailureReason.INVALID_PAYLOAD
    assert failed.message == "ValidationError: *: Input should be callable"


class StopAll(BaseException):
    """What no `except Exception` stops."""


class Explosive(pydantic.BaseModel):
    total: int

    @pydantic.field_validator("total")
    @classmethod
    def explode(cls, value: int) -> int:
        if value:
            raise [KeyError, StopAll, SystemExit, AttributeError, RecursionError][value - 1]("secret")
        return value


@pytest.mark.parametrize(
    ("which", "name"),
    [(1, "KeyError"), (2, "StopAll"), (3, "SystemExit"), (4, "AttributeError"), (5, "RecursionError")],
)
def test_whatever_a_validator_raises_fails_that_record_alone(seen: Seen, which: int, name: str) -> None:
    event = sqs_event(['{"total": 0}', f'{{"total": {which}}}', '{"total": 0}'])
    report = BatchEngine(model=Explosive).run(event, seen)
    (failed,) = report.unsuccessful
    assert (failed.position, failed.reason) == (1, FailureReason.INVALID_PAYLOAD)
    assert failed.message == name
    assert len(seen.payloads) == 2


async def read_twice(record: Any) -> None:
    assert record.payload is record.payload


def test_the_handler_gets_what_was_validated_and_no_second_reading() -> None:
    assert BatchEngine(model=Order).run(sqs_event(['{"total": 1}']), read_twice).all_succeeded


def test_the_record_still_has_its_json(seen: Seen) -> None:
    async def handler(record: KafkaRecord[Order]) -> None:
        seen.payloads.append((record.payload, record.json()))

    BatchEngine(model=Order).run(kafka_event(['{"total": 1}'], partitions=[0]), handler)
    assert seen.payloads == [(Order(total=Decimal(1)), {"total": 1})]


# --- the option itself --------------------------------------------------------------------------------


def test_what_is_no_type_is_refused_at_construction() -> None:
    class Plain:
        """Nothing that pydantic knows how to validate."""

    with pytest.raises(InvalidOptionError, match="model: is no type that pydantic can validate"):
        BatchEngine(model=Plain)


def test_a_changed_copy_of_an_engine_reads_by_its_own_model(seen: Seen) -> None:
    engine = dataclasses.replace(BatchEngine(model=Order), model=dict[str, int])
    engine.run(sqs_event(['{"total": 1}']), seen)
    dataclasses.replace(engine, model=None).run(sqs_event(["[2]"]), seen)
    assert seen.payloads == [{"total": 1}, [2]]


def test_a_model_without_pydantic_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def fake(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "pydantic":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.partition(".")[0] == "pydantic"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", fake)
    with pytest.raises(InvalidOptionError, match=r"asyncbatch\[pydantic\]"):
        BatchEngine(model=dict)
