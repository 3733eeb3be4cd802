"""Options, handlers and calls that could never work are refused at once, and by name."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel

from asyncbatch import (
    BatchEngine,
    EventSource,
    FailureScope,
    InvalidHandlerError,
    InvalidOptionError,
    Ordering,
    RunningLoopError,
    batch_handler,
    threaded,
)
from asyncbatch.hooks import HookEvent
from asyncbatch.testing import kinesis_event, sqs_event


class Order(BaseModel):
    amount: int


class Foreign(Enum):
    LANE = "lane"


async def good(record: Any) -> None: ...


async def async_hook(happened: HookEvent) -> None: ...


@asynccontextmanager
async def lifespan() -> AsyncIterator[str]:
    yield "client"


@asynccontextmanager
async def demanding(url: str) -> AsyncIterator[str]:
    yield url


async def bare_generator() -> AsyncIterator[str]:
    yield "client"


async def bare_coroutine() -> str:
    return "client"


# --- options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        *(
            ("failure_scope", value, "FailureScope.BATCH")
            for value in ("batch", "lane", "record", Foreign.LANE, True)
        ),
        *(
            ("source", value, "EventSource.SQS_FIFO")
            for value in ("sqs", "sqs-fifo", "aws:sqs", Ordering.BY_KEY)
        ),
        ("ordering", "by_key", "must be an Ordering or a function"),
        ("hooks", print, "must be a list of functions"),
        ("hooks", {print}, "must be a list of functions"),
        ("hooks", None, "must be a list of functions"),
        ("hooks", ["print"], "must be plain functions"),
        ("hooks", [async_hook], "must be plain functions"),
        ("lifespan", 5, "a function that makes an async context manager"),
        ("lifespan", lifespan(), "without calling it"),
        ("lifespan", bare_generator, "@contextlib.asynccontextmanager"),
        ("lifespan", bare_coroutine, "must make an async context manager"),
        ("lifespan", demanding, "without arguments"),
        ("model", "Order", "must be a type, but is of type str"),
        ("model", Order(amount=1), "must be a type, but is of type Order"),
        ("raise_on_failure", [], '"never", "entire_batch" or "any"'),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_an_option_of_the_wrong_type_is_refused_by_name(option: str, value: Any, text: str) -> None:
    for make in (BatchEngine, batch_handler):
        with pytest.raises(InvalidOptionError) as caught:
            make(**{option: value})
        assert caught.value.option == option
        assert text in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"failure_scope": FailureScope.BATCH, "source": EventSource.SQS},
        {"lifespan": lifespan},
        {"lifespan": lambda: demanding("here")},
        {"lifespan": type("Client", (), {"__aenter__": None, "__aexit__": None})},
        {"lifespan": dict},  # written in C: it does not tell its signature
        {"model": Order},
        {"model": list[int]},
    ],
    ids=str,
)
def test_an_option_of_the_right_type_is_kept(options: dict[str, Any]) -> None:
    engine = BatchEngine(**options)
    assert {name: getattr(engine, name) for name in options} == options


def test_hooks_that_are_added_later_are_not_called() -> None:
    hooks: list[Any] = []
    engine = BatchEngine(hooks=hooks)
    hooks.append(print)
    assert engine.hooks == ()


# --- handlers -----------------------------------------------------------------------------------------


async def nothing() -> None: ...


async def keyword_only(*, record: Any) -> None: ...


async def keywords(**everything: Any) -> None: ...


async def with_context(record: Any, context: Any) -> None: ...


async def with_extra(record: Any, *, extra: Any) -> None: ...


class Service:
    async def handle(self, record: Any) -> None: ...


@threaded
def threaded_with_extra(record: Any, extra: Any) -> None: ...


@pytest.mark.parametrize(
    ("handler", "problem"),
    [
        (nothing, "it has no first parameter for the record"),
        (keyword_only, "it has no first parameter for the record"),
        (keywords, "it has no first parameter for the record"),
        (with_context, "nothing fills its parameter `context`"),
        (with_extra, "nothing fills its parameter `extra`"),
        (Service.handle, "nothing fills its parameter `record`"),
        (threaded_with_extra, "nothing fills its parameter `extra`"),
        (batch_handler(good), "it handles whole batches already"),
        (threaded(batch_handler(good)), "it handles whole batches already"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_handler_that_could_never_be_called_is_refused_at_registration(handler: Any, problem: str) -> None:
    calls: tuple[Callable[[], object], ...] = (
        lambda: batch_handler(handler),
        lambda: BatchEngine().run(sqs_event([]), handler),
        lambda: asyncio.run(BatchEngine().process(sqs_event([]), handler)),
    )
    for call in calls:
        with pytest.raises(InvalidHandlerError) as caught:
            call()
        assert problem in str(caught.value)


async def defaults(record: Any, extra: int = 1, *more: Any, lambda_context: Any, **rest: Any) -> None: ...


async def variadic(*records: Any) -> None: ...


async def positional(record: Any, /) -> None: ...


@pytest.mark.parametrize("handler", [defaults, variadic, positional, Service().handle], ids=repr)
def test_parameters_that_need_no_filling_are_no_reason_to_refuse(handler: Any) -> None:
    assert batch_handler(handler).run(sqs_event(["a"])).all_succeeded


# --- calls inside a running loop ----------------------------------------------------------------------


def test_a_call_inside_a_running_loop_names_what_the_caller_has() -> None:
    lambda_handler = batch_handler(good)
    engine = BatchEngine()

    async def main() -> list[str]:
        texts: list[str] = []
        for call in (
            lambda: lambda_handler(sqs_event(["a"]), None),
            lambda: lambda_handler.run(sqs_event(["a"])),
            lambda: engine.run(sqs_event(["a"]), good),
        ):
            with pytest.raises(RunningLoopError) as caught:
                call()
            texts.append(str(caught.value))
        return texts

    called, run, by_engine = asyncio.run(main())
    for text in (called, run):
        assert text.startswith("<BatchHandler good> was called inside a running event loop")
        assert "`await handler.process(event, context)`" in text
    assert by_engine.startswith("BatchEngine.run was called inside a running event loop")
    assert "`await engine.process(event, handler, context)`" in by_engine
    assert all("Nothing was processed." in text for text in (called, run, by_engine))


# --- records for unit tests ---------------------------------------------------------------------------


def test_records_have_the_model_as_the_handlers_do() -> None:
    totals: list[int] = []

    @batch_handler(model=Order)
    async def lambda_handler(record: Any) -> None:
        totals.append(record.payload.amount)

    for event in (sqs_event([{"amount": 1}, {"amount": 2}]), kinesis_event([{"amount": 3}], keys=["k"])):
        for record in lambda_handler.records(event):
            assert isinstance(record.payload, Order)
            asyncio.run(lambda_handler.handler(record))
    assert totals == [1, 2, 3]


def test_records_of_an_empty_event_are_none() -> None:
    assert batch_handler(good).records({"Records": []}) == []
    assert batch_handler(source=EventSource.SQS)(good).records({"Records": []}) == []
