"""Logging costs no reply: text is encodable and bounded, and what a handler of the user's raises ends."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from asyncbatch import BatchEngine, batch_handler
from asyncbatch._log import Log
from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    async_process_partial_response,
    process_partial_response,
)
from asyncbatch.testing import LambdaContext, sqs_event, sqs_fifo_event

HALF = "half a character: \ud83d"


class Handler(logging.Handler):
    """Notes what it is given, and raises.

    Args:
        error: What it raises; None for what Lambda's own does, which raises at text that UTF-8 cannot hold.
    """

    def __init__(self, error: type[BaseException] | None) -> None:
        super().__init__(logging.DEBUG)
        self.error = error
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        line.encode()
        self.lines.append(line)
        if self.error is not None:
            raise self.error


@contextlib.contextmanager
def log_to(error: type[BaseException] | None) -> Iterator[Handler]:
    """The handler of our loggers, and of one of the user's."""
    handler = Handler(error)
    loggers = [logging.getLogger("asyncbatch"), logging.getLogger("the user's")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
    try:
        yield handler
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
            logger.propagate = True


@pytest.fixture(params=[None, OSError, SystemExit, asyncio.CancelledError, KeyboardInterrupt])
def raising(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Handler]:
    """In Lambda: elsewhere an interrupt is a person's."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    with log_to(request.param) as handler:
        yield handler


# --- what is logged on a batch's way ----------------------------------------------------------------------


async def fail_on_bad(record: Any) -> None:
    if record.text == "bad":
        raise ValueError(HALF)


class Restless:
    """A limit that raises."""

    current = 3

    def observe(self, verdict: object, latency: float, in_flight: int) -> None:
        raise ValueError(HALF)

    def is_drop(self, error: BaseException) -> bool:
        raise ValueError(HALF)


def hook(event: object) -> None:
    raise ValueError(HALF)


@contextlib.asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    yield
    raise ValueError(HALF)


async def leaves_a_task(record: Any) -> None:
    task = asyncio.ensure_future(asyncio.sleep(100))
    record.raw["kept"] = task
    await fail_on_bad(record)


async def stops_the_loop(record: Any) -> None:
    asyncio.get_running_loop().stop()
    await asyncio.sleep(100)


async def blocks(record: Any) -> None:
    time.sleep(0.5)


@pytest.mark.parametrize(
    "options",
    [{}, {"hooks": [hook]}, {"concurrency": Restless()}, {"lifespan": lifespan}, {"guard_blocking": True}],
    ids=["failures", "hooks", "limits", "lifespans", "guarded"],
)
def test_a_reply_is_made_whatever_logging_raises(raising: Handler, options: dict[str, Any]) -> None:
    handler = batch_handler(**options)(fail_on_bad)
    event = sqs_event(["good", "bad"])
    assert handler(event, LambdaContext(60)) == {
        "batchItemFailures": [{"itemIdentifier": event["Records"][1]["messageId"]}]
    }
    assert r"half a character: \ud83d" in "".join(raising.lines)


@pytest.mark.parametrize(
    ("function", "unfinished"),
    [(leaves_a_task, [1]), (stops_the_loop, [0, 1])],
    ids=["a task that is left", "a loop that is stopped"],
)
def test_what_a_handler_does_to_the_loop_is_logged(
    raising: Handler, function: Callable[..., Any], unfinished: list[int]
) -> None:
    event = sqs_event(["good", "bad"])
    reply = batch_handler(deadline_margin=0.1, grace=0.02)(function)(event, LambdaContext(0.4))
    names = [each["messageId"] for each in event["Records"]]
    assert [each["itemIdentifier"] for each in reply["batchItemFailures"]] == [names[at] for at in unfinished]
    assert raising.lines


def test_a_handler_that_blocks_is_logged(raising: Handler) -> None:
    handler = batch_handler(guard_blocking=True, deadline_margin=0.1, grace=0.02)(blocks)
    assert len(handler(sqs_event(["a"]), LambdaContext(0.2))["batchItemFailures"]) == 1
    assert "left behind" in "".join(raising.lines)
    time.sleep(0.5)


def test_too_little_time_is_logged(raising: Handler) -> None:
    assert len(batch_handler(fail_on_bad)(sqs_event(["a"]), LambdaContext(0.01))["batchItemFailures"]) == 1
    assert "no record is started" in "".join(raising.lines)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("is_fifo", [False, True])
def test_the_drop_in_replies_too(raising: Handler, is_async: bool, is_fifo: bool) -> None:  # noqa: FBT001 - parameters
    def plain(record: Any) -> None:
        if record.body == "bad":
            raise ValueError(HALF)

    async def waiting(record: Any) -> None:
        plain(record)

    event = sqs_fifo_event(["good", "bad"], groups="gh") if is_fifo else sqs_event(["good", "bad"])
    own_logger: Any = logging.getLogger("the user's")
    reply: Any
    if is_async:
        batch = AsyncBatchProcessor(EventType.SQS, logger=own_logger)
        reply = async_process_partial_response(event, waiting, batch, LambdaContext(60))
    else:
        processor = BatchProcessor(EventType.SQS, logger=own_logger)
        reply = process_partial_response(event, plain, processor, LambdaContext(60))
    assert reply == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["messageId"]}]}
    assert raising.lines


def test_what_asyncio_logs_of_a_callback_ends_no_loop(raising: Handler) -> None:
    """Asyncio's logger has no handler of its own: in Lambda it is the runtime's."""

    def callback() -> None:
        raise ValueError(HALF)

    async def leaves_a_callback(record: Any) -> None:
        asyncio.get_running_loop().call_soon(callback)
        await asyncio.sleep(0.01)
        await fail_on_bad(record)

    event = sqs_event(["good", "bad", "good"])
    handler = batch_handler(leaves_a_callback)
    handler({"Records": []})  # makes the loop, which asyncio logs too
    asyncio_log = logging.getLogger("asyncio")
    asyncio_log.addHandler(raising)
    try:
        reply = handler(event)
    finally:
        asyncio_log.removeHandler(raising)
    assert reply == {"batchItemFailures": [{"itemIdentifier": event["Records"][1]["messageId"]}]}
    assert any(line.startswith("Exception in callback ") for line in raising.lines)


# --- the logger itself ------------------------------------------------------------------------------------


def test_text_is_encodable_and_bounded() -> None:
    with log_to(None) as handler:
        Log("asyncbatch.mine").warning("%s, %d", HALF + "x" * 1_000_000, 7)
    (line,) = handler.lines
    assert line.startswith(r"half a character: \ud83dxxx")
    assert len(line) <= 33_000


def test_text_without_values_is_taken_as_it_is() -> None:
    with log_to(None) as handler:
        Log("asyncbatch.mine").info("100 %s")
    assert handler.lines == ["100 %s"]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_the_place_in_the_log_is_that_of_the_caller(level: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        getattr(Log("asyncbatch.mine"), level)("here")
    (record,) = caplog.records
    assert (record.levelname, record.filename, record.name) == (
        level.upper(),
        "test_log.py",
        "asyncbatch.mine",
    )


def test_what_is_not_wanted_is_not_even_made() -> None:
    class Unwanted:
        def __str__(self) -> str:
            raise AssertionError

    with log_to(None) as handler:
        logging.getLogger("asyncbatch.mine").setLevel(logging.ERROR)
        try:
            Log("asyncbatch.mine").warning("%s", Unwanted())
        finally:
            logging.getLogger("asyncbatch.mine").setLevel(logging.NOTSET)
    assert handler.lines == []


def test_values_that_cannot_be_shown_cost_no_more_than_the_line() -> None:
    class Hostile:
        def __str__(self) -> str:
            raise SystemExit

    Log("asyncbatch.mine").error("%s", Hostile())


def test_an_interrupt_outside_lambda_is_raised() -> None:
    with log_to(KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        Log("asyncbatch.mine").error("text")


def test_a_batch_that_is_processed_in_a_loop_of_the_callers_is_logged_as_safely(raising: Handler) -> None:
    report = asyncio.run(BatchEngine().process(sqs_event(["good", "bad"]), fail_on_bad))
    assert len(report.succeeded) == 1
    assert raising.lines
