"""What type checkers see of `batch_handler`: never executed."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, assert_type

from asyncbatch import (
    BatchEngine,
    BatchReport,
    EventSource,
    FailureScope,
    Ordering,
    Record,
    SqsRecord,
    batch_handler,
    threaded,
)
from asyncbatch.hooks import HookEvent


class Order:
    total: int


@batch_handler
async def bare(record: SqsRecord[Order]) -> None: ...


@batch_handler(concurrency=8, ordering=Ordering.SEQUENTIAL, failure_scope=FailureScope.LANE)
async def with_options(record: SqsRecord, lambda_context: object, *, state: int = 0) -> str:
    return record.body + str(lambda_context) + str(state)


# The function keeps its type, for tests that call it as it is.
_bare: Callable[[SqsRecord[Order]], Awaitable[None]] = bare.handler


async def calls_the_original(record: SqsRecord[Order]) -> None:
    await bare.handler(record)
    text: str = await with_options.handler(SqsRecord({}), object(), state=5)
    assert_type(await with_options.handler(SqsRecord({}), object()), str)
    assert text
    await with_options.handler(5, object())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await bare.handler()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def calls_as_lambda_does(event: dict[str, Any]) -> None:
    reply = bare(event, None)
    for failure in reply["batchItemFailures"]:
        assert failure["itemIdentifier"]
    assert_type(bare.run(event), BatchReport)
    assert_type(bare.engine, BatchEngine)


async def processes(event: dict[str, Any]) -> None:
    assert_type(await bare.process(event, deadline=5.0), BatchReport)
    assert_type(await BatchEngine().process(event, bare.handler), BatchReport)
    assert_type(BatchEngine().run(event, with_options.handler), BatchReport)


@asynccontextmanager
async def lifespan() -> AsyncGenerator[int]:
    yield 5


def hook(event: HookEvent) -> None: ...


def key(record: Record[Any]) -> str:
    return record.text


engine = BatchEngine(
    concurrency=5,
    ordering=key,
    failure_scope=FailureScope.BATCH,
    record_timeout=1.5,
    raise_on_failure="any",
    lifespan=lifespan,
    hooks=[hook],
    source=EventSource.KINESIS,
    model=Order,
)
BatchEngine(5)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
BatchEngine(raise_on_failure="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@threaded
def plain(record: SqsRecord[Order], lambda_context: object) -> int:
    return record.payload.total


async def calls_threaded(record: SqsRecord[Order]) -> None:
    assert_type(await plain(record, None), int)


in_threads = batch_handler(plain)
