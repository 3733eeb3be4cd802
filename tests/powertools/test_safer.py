"""Where the facade is safer than the peer: a test, or several, for every row of the list of differences.

The rows (D1, D2, ...) are those of "Coming from Powertools", `examples/powertools/README.md`.
"""

import asyncio
import contextlib
import copy
import functools
import subprocess
import sys
import threading
import warnings

import pytest
from libraries import (
    EVENT_TYPES,
    OURS,
    THEIRS,
    body_of,
    deprecated,
    event_of,
    fails,
    handler_of,
    minimal,
    name_of,
    names,
    process,
    processor_of,
    records_of,
    reply,
)
from pydantic import BaseModel, ConfigDict, field_validator

from asyncbatch import InvalidHandlerError, InvalidOptionError, SequenceOrderError, models
from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    SqsFifoPartialProcessor,
    async_process_partial_response,
    process_partial_response,
)
from asyncbatch.powertools.exceptions import (
    BatchProcessingError,
    RecordNotProcessedError,
    UnreportableRecordError,
)
from asyncbatch.testing import kinesis_event

EVENT = event_of("SQS", ["a", "b", "c"])
RECORDS = EVENT["Records"]
A, B, C = names(RECORDS)


def no_raise(kind=BatchProcessor, event_type=EventType.SQS, **options):
    return kind(event_type, raise_on_entire_batch_failure=False, **options)


# --- D1: a cancellation costs one record --------------------------------------------------------------


async def cancels_itself(record):
    asyncio.current_task().cancel()
    await asyncio.sleep(0)


async def raises_cancelled(record):
    raise asyncio.CancelledError


async def awaits_a_cancelled_task(record):
    task = asyncio.create_task(asyncio.sleep(10))
    task.cancel()
    await task


async def returns_with_a_cancellation_pending(record):
    asyncio.current_task().cancel()


@pytest.mark.parametrize(
    "cancelled",
    [cancels_itself, raises_cancelled, awaits_a_cancelled_task, returns_with_a_cancellation_pending],
)
def test_d1_a_cancellation_costs_one_record(cancelled, in_lambda):
    ended = []

    async def handler(record):
        if record.body == "b":
            await cancelled(record)
            return
        await asyncio.sleep(0.001)
        ended.append(record.body)

    processor = AsyncBatchProcessor(EventType.SQS)
    assert async_process_partial_response(EVENT, handler, processor) == reply(B)
    assert sorted(ended) == ["a", "c"]
    assert [body_of(each) for each in processor.fail_messages] == ["b"]
    assert processor.success_messages == [RECORDS[0], RECORDS[2]]
    assert len(processor.exceptions) == 1


@pytest.mark.parametrize(
    "error", [SystemExit(3), GeneratorExit(), BaseExceptionGroup("g", [asyncio.CancelledError()])], ids=repr
)
@pytest.mark.parametrize("is_async", [False, True])
def test_d1_so_does_whatever_else_a_handler_raises(error, is_async):
    def fate(text):
        if text == "b":
            raise error

    processor = processor_of(OURS, "SQS", is_async=is_async)
    assert process(OURS, EVENT, handler_of(fate, is_async=is_async), processor, is_async=is_async) == reply(B)
    assert processor.exceptions[0][0] is type(error)


@pytest.mark.parametrize("is_async", [False, True])
def test_d1_an_interrupt_outside_lambda_comes_out_and_leaves_nothing_behind(is_async, monkeypatch):
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    ended = []

    def fate(text):
        if text == "b":
            raise KeyboardInterrupt
        ended.append(text)

    processor = processor_of(OURS, "SQS", is_async=is_async)
    handler = handler_of(fate, is_async=is_async)
    with pytest.raises(KeyboardInterrupt):
        process(OURS, EVENT, handler, processor, is_async=is_async)
    assert ended == ["a"]
    assert processor.response() == reply(B, C)
    assert process(OURS, EVENT, handler_of(fails, is_async=is_async), processor, is_async=is_async) == reply()
    assert ended == ["a"]


class OwnBase(BaseException):
    """No exception of Python's, and no `Exception`."""


@pytest.mark.parametrize("error", [pytest.fail.Exception("must not be called"), OwnBase()], ids=repr)
@pytest.mark.parametrize("is_async", [False, True])
def test_d1_nor_is_what_ends_a_test_taken_for_a_records_failure(error, is_async, monkeypatch):
    """As with the peer: a stub that must not be called says so by `pytest.fail`. In Lambda it costs its record."""
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)

    def fate(text):
        if text == "b":
            raise error

    processor = processor_of(OURS, "SQS", is_async=is_async)
    handler = handler_of(fate, is_async=is_async)
    with pytest.raises(type(error)):
        process(OURS, EVENT, handler, processor, is_async=is_async)
    assert processor.response() == reply(B, C)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    assert process(OURS, EVENT, handler, processor, is_async=is_async) == reply(B)


@pytest.mark.parametrize("is_async", [False, True])
def test_d1_an_interrupt_in_lambda_costs_its_record(is_async, monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")

    def fate(text):
        if text == "c":
            raise KeyboardInterrupt

    processor = processor_of(OURS, "SQS", is_async=is_async)
    assert process(OURS, EVENT, handler_of(fate, is_async=is_async), processor, is_async=is_async) == reply(C)
    assert processor.exceptions[0][0] is KeyboardInterrupt


# --- D2: everything in input order --------------------------------------------------------------------


def test_d2_lists_entries_and_response_are_in_input_order():
    bodies = ["a", "bad b", "c", "bad d", "e", "bad f"]
    event = event_of("SQS", bodies)
    records = event["Records"]
    order = []

    async def handler(record):
        for _ in range(len(bodies) - bodies.index(record.body)):
            await asyncio.sleep(0)
        order.append(record.body)
        return fails(record.body)

    processor = AsyncBatchProcessor(EventType.SQS)
    with processor(records, handler):
        entries = processor.async_process()
    assert order == bodies[::-1]
    assert [entry[0] for entry in entries] == ["success", "fail"] * 3
    assert processor.success_messages == records[::2]
    assert [body_of(each) for each in processor.fail_messages] == bodies[1::2]
    assert [str(error) for _, error, _ in processor.exceptions] == bodies[1::2]
    assert processor.response() == reply(*names(records[1::2]))


def test_d2_lists_of_two_runs_in_one_block_stay_apart():
    async def handler(record):
        await asyncio.sleep(0 if record.body == "b" else 0.001)

    processor = AsyncBatchProcessor(EventType.SQS)
    with processor(RECORDS, handler):
        processor.async_process()
        processor.async_process()
    assert processor.success_messages == RECORDS * 2


# --- D3, D4, D17: the loop ----------------------------------------------------------------------------


@pytest.mark.usefixtures("bare_thread", "in_lambda")
def test_d3_a_closed_loop_is_replaced():
    loops = []

    async def handler(record):
        loops.append(asyncio.get_running_loop())

    processor = AsyncBatchProcessor(EventType.SQS)
    for _ in range(2):
        assert async_process_partial_response(EVENT, handler, processor) == reply()
        loops[-1].close()
    assert loops[0] is not loops[-1]


@pytest.mark.usefixtures("in_lambda")
@pytest.mark.parametrize("kind", [AsyncBatchProcessor, BatchProcessor], ids=["async", "sync"])
def test_d4_it_can_be_called_inside_a_running_loop(kind):
    order = []

    async def handler(record):
        await asyncio.sleep(0.001)
        order.append(record.body)
        return fails("bad" if record.body == "b" else "")

    async def main():
        entry = async_process_partial_response if kind is AsyncBatchProcessor else process_partial_response
        answer = entry(EVENT, handler, kind(EventType.SQS))
        order.append("answered")
        await asyncio.sleep(0.01)
        return answer

    assert asyncio.run(main()) == reply(B)
    assert sorted(order[:3]) == ["a", "b", "c"]
    assert order[3:] == ["answered"]


def test_d4_inside_a_handler_too():
    async def inner(record):
        await asyncio.sleep(0)
        return fails("bad" if record.body == "b" else "")

    async def outer(record):
        assert async_process_partial_response(EVENT, inner, AsyncBatchProcessor(EventType.SQS)) == reply(B)

    assert async_process_partial_response(EVENT, outer, AsyncBatchProcessor(EventType.SQS)) == reply()


@pytest.mark.usefixtures("bare_thread", "in_lambda")
def test_d17_nothing_warns_of_loops():
    code = """
import warnings
warnings.simplefilter("error")
from asyncbatch.powertools import AsyncBatchProcessor, EventType, async_process_partial_response
async def handler(record): ...
event = {"Records": [{"messageId": "m", "body": ""}]}
for _ in range(2):
    print(async_process_partial_response(event, handler, AsyncBatchProcessor(EventType.SQS)))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout == "{'batchItemFailures': []}\n" * 2


@pytest.mark.usefixtures("in_lambda")
def test_clients_made_at_import_live_on_their_loop():
    """An aiohttp session, an asyncio.Lock that was waited for: bound to the loop they were made on."""
    loop = asyncio.get_event_loop_policy().get_event_loop()

    async def client():
        return asyncio.get_running_loop().create_future()

    future = loop.run_until_complete(client())
    future.set_result("connected")
    lock = asyncio.Lock()

    async def handler(record):
        async with lock:
            await asyncio.sleep(0)  # others have to wait for the lock, which binds it to this loop
            assert await future == "connected"

    processor = AsyncBatchProcessor(EventType.SQS)
    for _ in range(3):
        assert async_process_partial_response(EVENT, handler, processor) == reply()
    assert not loop.is_closed()


# --- D5, D6: handlers of the other kind ---------------------------------------------------------------


@pytest.mark.usefixtures("in_lambda")
def test_d5_a_sync_processor_awaits_an_async_handler_in_order():
    order = []

    async def handler(record):
        order.append(f"{record.body} begins")
        await asyncio.sleep(0.001)
        order.append(f"{record.body} ends")
        return fails("bad" if record.body == "b" else record.body)

    processor = BatchProcessor(EventType.SQS)
    with processor(RECORDS, handler):
        entries = processor.process()
    assert processor.response() == reply(B)
    assert order == [f"{each} {what}" for each in "abc" for what in ("begins", "ends")]
    assert entries[0] == ("success", "done a", RECORDS[0])
    assert entries[1][:2] == ("fail", "<class 'ValueError'>:bad")
    assert processor.exceptions[0][2] is not None


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), asyncio.CancelledError(), SystemExit(1), BaseExceptionGroup("g", [GeneratorExit()])],
    ids=repr,
)
def test_d5_what_an_awaited_handler_raises_is_its_records_failure(error):
    async def handler(record):
        await asyncio.sleep(0)
        if record.body == "b":
            raise error

    processor = BatchProcessor(EventType.SQS)
    assert process_partial_response(EVENT, handler, processor) == reply(B)
    assert processor.exceptions[0][0] is type(error)


def test_d5_tracebacks_of_awaited_handlers_are_kept():
    async def handler(record):
        try:
            {}["cause"]
        except KeyError as error:
            raise ValueError("effect") from error

    processor = no_raise()
    process_partial_response(EVENT, handler, processor)
    _, error, trace = processor.exceptions[0]
    frames = []
    while trace is not None:
        frames.append(trace.tb_frame.f_code.co_name)
        trace = trace.tb_next
    assert frames[-1] == "handler"
    assert error.__cause__.__traceback__ is not None


async def returns_a_coroutine(record):
    return asyncio.sleep(0)


def is_a_generator(record):
    yield record


async def is_an_async_generator(record):
    yield record


async def returns_a_generator(record):
    return (each for each in [record])


@pytest.mark.parametrize(
    "handler", [returns_a_coroutine, is_a_generator, is_an_async_generator, returns_a_generator]
)
@pytest.mark.parametrize("is_async", [False, True])
def test_d5_work_that_nobody_did_is_no_success(handler, is_async):
    processor = processor_of(OURS, "SQS", raise_on_entire_batch_failure=False, is_async=is_async)
    assert process(OURS, EVENT, handler, processor, is_async=is_async) == reply(A, B, C)
    assert not processor.success_messages
    for kind, error, _ in processor.exceptions:
        assert kind is TypeError
        mistake = "an `await` missing" if handler is returns_a_coroutine else "there a `yield` by mistake"
        assert f"is {mistake}?" in str(error)


@pytest.mark.parametrize("is_async", [False, True])
def test_d5_nor_is_it_if_an_override_lets_it_pass(is_async):
    def succeeds(self, record):
        return self.success_handler(record=record, result=self.handler(record=record))

    async def succeeds_async(self, record):
        return succeeds(self, record)

    class Careless(AsyncBatchProcessor if is_async else BatchProcessor):
        pass

    Careless._process_record = succeeds
    Careless._async_process_record = succeeds_async
    processor = no_raise(Careless)

    async def handler(record):
        pytest.fail("nobody awaits it")

    with processor(RECORDS, handler):
        entries = processor.async_process() if is_async else processor.process()
    assert [entry[0] for entry in entries] == ["fail"] * 3
    assert "TypeError" in entries[0][1]
    assert processor.response() == reply(A, B, C)
    assert not processor.success_messages
    assert len(processor.fail_messages) == 3


@pytest.mark.usefixtures("in_lambda")
def test_d6_an_async_processor_takes_the_result_of_a_plain_handler():
    seen = []

    def handler(record):
        seen.append(record.body)
        return fails("bad" if record.body == "b" else record.body)

    processor = AsyncBatchProcessor(EventType.SQS)
    with processor(RECORDS, handler):
        entries = processor.async_process()
    assert seen == ["a", "b", "c"]
    assert entries[0] == ("success", "done a", RECORDS[0])
    assert processor.response() == reply(B)


class AsyncCallable:
    async def __call__(self, record):
        await asyncio.sleep(0)
        return fails("bad" if record.body == "b" else "")


async def with_a_context(record, lambda_context=None):
    await asyncio.sleep(0)
    return fails("bad" if record.body == "b" else "")


class Custom:
    """An awaitable that is no coroutine."""

    def __init__(self, record):
        self.record = record

    def __await__(self):
        return with_a_context(self.record).__await__()


@pytest.mark.parametrize(
    "handler",
    [
        AsyncCallable(),
        functools.partial(with_a_context),
        lambda record: with_a_context(record=record),
        Custom,
    ],
    ids=["callable object", "partial", "lambda", "awaitable object"],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_d5_d6_every_kind_of_awaitable_is_awaited(handler, is_async):
    processor = processor_of(OURS, "SQS", is_async=is_async)
    assert process(OURS, EVENT, handler, processor, is_async=is_async) == reply(B)


# --- D7: bounded ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("concurrency", "expected"), [(None, 30), (4, 4), (1, 1), (500, 30)])
def test_d7_concurrency_is_bounded_where_that_is_asked_for(concurrency, expected):
    event = event_of("SQS", [str(at) for at in range(30)])
    running = most = 0

    async def handler(record):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1

    processor = AsyncBatchProcessor(EventType.SQS, concurrency=concurrency)
    assert async_process_partial_response(event, handler, processor) == reply()
    assert most == expected


@pytest.mark.parametrize("concurrency", [0, -1, 1.5, "many", True])
@pytest.mark.parametrize(
    "kind", [functools.partial(AsyncBatchProcessor, EventType.SQS), SqsFifoPartialProcessor]
)
def test_d7_another_concurrency_is_refused(kind, concurrency):
    with pytest.raises(InvalidOptionError, match="concurrency"):
        kind(concurrency=concurrency)


# --- D9, D10, D11, D16: the error of a failed batch ---------------------------------------------------


def test_d9_a_fifo_processor_may_not_raise():
    event = event_of("SQS", ["bad a", "b"], groups=["1", "1"])
    processor = SqsFifoPartialProcessor(None, False, None, False)
    assert process_partial_response(event, handler_of(fails), processor) == reply(*names(event["Records"]))
    with pytest.raises(BatchProcessingError, match="All records failed processing"):
        process_partial_response(event, handler_of(fails), SqsFifoPartialProcessor())


@pytest.mark.parametrize("is_async", [False, True])
def test_d10_the_response_is_there_after_a_total_failure(is_async):
    processor = processor_of(OURS, "SQS", is_async=is_async)
    handler = handler_of(lambda _: fails("bad"), is_async=is_async)
    with pytest.raises(BatchProcessingError):
        process(OURS, EVENT, handler, processor, is_async=is_async)
    assert processor.response() == reply(A, B, C)


def test_d11_an_error_in_the_body_is_not_hidden_by_a_failed_batch():
    processor = BatchProcessor(EventType.SQS)
    with pytest.raises(LookupError, match="mine"), processor(RECORDS, handler_of(lambda _: fails("bad"))):
        processor.process()
        raise LookupError("mine")
    assert processor.response() == reply(A, B, C)


def test_d16_the_error_keeps_its_exceptions():
    processor = BatchProcessor(EventType.SQS)
    with pytest.raises(BatchProcessingError) as caught:
        process_partial_response(EVENT, handler_of(lambda _: fails("bad")), processor)
    process_partial_response(EVENT, handler_of(fails), processor)
    assert len(caught.value.child_exceptions) == 3
    assert caught.value.child_exceptions is not processor.exceptions


# --- D12: any iterable --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [iter, tuple, lambda records: (each for each in records), lambda r: dict(enumerate(r)).values()],
    ids=["iterator", "tuple", "generator", "view"],
)
@pytest.mark.parametrize("is_async", [False, True])
def test_d12_records_may_be_any_iterable(make, is_async):
    processor = processor_of(OURS, "SQS", is_async=is_async)
    handler = handler_of(lambda text: fails("bad" if text == "b" else text), is_async=is_async)
    with processor(make(RECORDS), handler):
        entries = processor.async_process() if is_async else processor.process()
    assert [entry[0] for entry in entries] == ["success", "fail", "success"]
    assert processor.response() == reply(B)


def test_d12_an_iterable_that_breaks_off_runs_nothing():
    def broken():
        yield RECORDS[0]
        raise OSError("cut off")

    seen = []
    processor = BatchProcessor(EventType.SQS)
    with pytest.raises(OSError, match="cut off"), processor(broken(), seen.append):
        processor.process()
    assert not seen
    with pytest.raises(OSError, match="cut off"):
        processor.response()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_run_that_could_not_begin_leaves_no_empty_response(is_async):
    """Who catches its error must not acknowledge the batch with what `response` gives."""
    processor = processor_of(OURS, "SQS", is_async=is_async)
    with pytest.raises(InvalidHandlerError):
        process(OURS, EVENT, None, processor, is_async=is_async)
    with pytest.raises(InvalidHandlerError):
        processor.response()
    event = event_of("SQS", ["a", "bad b", "c"])
    with processor(event["Records"], None):
        with pytest.raises(InvalidHandlerError):
            (processor.async_process if is_async else processor.process)()
        processor.handler = handler_of(fails)  # who mends it gets a response
        (processor.async_process if is_async else processor.process)()
    assert processor.response() == reply(B)


def test_nor_does_a_stream_that_is_out_of_order():
    event = event_of("KinesisDataStreams", ["bad", "b"])
    event["Records"].reverse()
    processor = BatchProcessor(EventType.KinesisDataStreams, stop_on_failure=True)
    with pytest.raises(SequenceOrderError):
        process(OURS, event, handler_of(fails), processor)
    with pytest.raises(SequenceOrderError):
        processor.response()
    with pytest.raises(RuntimeError, match="the block's own"), processor(event["Records"], handler_of(fails)):
        processor.process()
        raise RuntimeError("the block's own")


# --- D13, D14: models ---------------------------------------------------------------------------------


class Titled(models.SqsRecordModel):
    model_config = ConfigDict(title="An order")

    @field_validator("body")
    @classmethod
    def _good(cls, value):
        if value == "b":
            raise ValueError("no order")
        return value


def raising(error):
    class Raising(models.SqsRecordModel):
        @field_validator("body")
        @classmethod
        def _good(cls, value):
            if value == "b":
                raise error
            return value

    return Raising


MODELS = {
    "a title of its own": Titled,
    "KeyError": raising(KeyError("k")),
    "AttributeError": raising(AttributeError("a")),
    "TypeError": raising(TypeError("t")),
    "RuntimeError": raising(RuntimeError("r")),
    "SystemExit": raising(SystemExit(1)),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("is_async", [False, True])
def test_d13_whatever_a_model_raises_costs_one_record(model, is_async):
    processor = processor_of(OURS, "SQS", MODELS[model], is_async=is_async)
    handler = handler_of(lambda text: f"done {text}", is_async=is_async)
    with processor(RECORDS, handler):
        entries = processor.async_process() if is_async else processor.process()
    assert [entry[0] for entry in entries] == ["success", "fail", "success"]
    assert processor.response() == reply(B)
    assert body_of(processor.fail_messages[0]) == "b"
    assert processor.fail_messages[0].message_id == B  # a data class, because there is no model of it
    assert "ValidationError" in entries[1][1] if model == "a title of its own" else model in entries[1][1]


def test_d13_an_image_that_is_null_is_none_with_our_model_and_a_failure_with_theirs():
    from aws_lambda_powertools.utilities.parser.models import DynamoDBStreamRecordModel as TheirModel

    event = event_of("DynamoDBStreams", ["a", "b"])
    event["Records"][0]["dynamodb"]["NewImage"] = None
    handler = handler_of(lambda _: None)
    ours = no_raise(BatchProcessor, EventType.DynamoDBStreams, model=models.DynamoDBStreamRecordModel)
    assert process_partial_response(event, lambda record: None, ours) == reply()
    theirs = no_raise(BatchProcessor, EventType.DynamoDBStreams, model=TheirModel)
    assert process_partial_response(event, lambda record: None, theirs) == reply(name_of(event["Records"][0]))
    assert handler is not None


@pytest.mark.parametrize("group_mode", [False, True])
@pytest.mark.parametrize("is_async", [False, True])
def test_d14_pills_behind_a_failure_are_reported_alone(group_mode, is_async):
    event = event_of("SQS", ["b", "b", "a", "b"], groups=["1", "1", "2", "1"])
    processor = SqsFifoPartialProcessor(MODELS["KeyError"], group_mode, raise_on_entire_batch_failure=False)
    handler = handler_of(lambda text: text, is_async=is_async)
    answer = process(OURS, event, handler, processor, is_async=is_async)
    failed = [at for at in range(4) if not (group_mode and at == 2)]
    assert answer == reply(*[name_of(event["Records"][at]) for at in failed])
    assert [each.message_id for each in processor.fail_messages if hasattr(each, "message_id")] == [
        name_of(event["Records"][at]) for at in failed if body_of(event["Records"][at]) == "b"
    ]


# --- D15: nothing leaks -------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_lambda")
@pytest.mark.parametrize("kind", [AsyncBatchProcessor, BatchProcessor], ids=["async", "sync"])
def test_d15_tasks_that_a_handler_left_do_not_run_in_the_next_invocation(kind, caplog):
    ran = []

    async def leaves(record):
        async def later():
            await asyncio.sleep(0.3)
            ran.append(record.body)

        leaves.tasks.append(asyncio.create_task(later()))

    leaves.tasks = []

    async def waits(record):
        await asyncio.sleep(0.4)

    entry = async_process_partial_response if kind is AsyncBatchProcessor else process_partial_response
    event = event_of("SQS", ["a"])
    processor = kind(EventType.SQS)
    assert entry(event, leaves, processor) == reply()
    assert entry(event, waits, processor) == reply()
    assert not ran
    assert all(task.cancelled() for task in leaves.tasks)
    assert "a handler left a task behind" in caplog.text


# --- D18: a block without process() -------------------------------------------------------------------


def test_d18_a_block_that_processes_nothing_is_told_and_nothing_is_acknowledged(caplog):
    processor = BatchProcessor(EventType.SQS)
    with processor(RECORDS, handler_of(fails)):
        pass
    assert processor.response() == reply(*names(RECORDS))
    assert "left without a call of process()" in caplog.text
    caplog.clear()
    with processor([], handler_of(fails)):
        pass
    with pytest.raises(LookupError), processor(RECORDS, handler_of(fails)):
        raise LookupError
    with processor(RECORDS, handler_of(fails)):
        processor.process()
    with processor(RECORDS, handler_of(fails)):
        processor.success_messages.append("books of its own")
    assert not caplog.text


# --- D19: decorators take Kafka -----------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
def test_d19_decorators_take_kafka(is_async):
    event = event_of("Kafka", ["a", "bad b"])
    processor = processor_of(OURS, "Kafka", is_async=is_async)
    decorator = OURS.batch.async_batch_processor if is_async else OURS.batch.batch_processor

    @decorator(record_handler=handler_of(fails, is_async=is_async), processor=processor)
    def lambda_handler(event, context):
        return processor.response()

    with deprecated():
        assert lambda_handler(event, None) == reply(name_of(records_of(event)[1]))
        with pytest.raises(OURS.exceptions.UnexpectedBatchTypeError):
            lambda_handler({}, None)


# --- D21, D22: records without an identifier ----------------------------------------------------------

NAMELESS = {
    "SQS": ["messageId"],
    "KinesisDataStreams": ["kinesis", "sequenceNumber"],
    "DynamoDBStreams": ["dynamodb", "SequenceNumber"],
    "Kafka": ["offset"],
}


def without(record, path, instead=None):
    record = copy.deepcopy(record)
    part = record
    for name in path[:-1]:
        part = part[name]
    if instead is None:
        del part[path[-1]]
    else:
        part[path[-1]] = instead
    return record


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("instead", [None, ""], ids=["missing", "empty"])
def test_d21_a_failure_that_cannot_be_named_fails_the_batch(event_type, is_async, instead):
    records = records_of(event_of(event_type, ["a", "bad b", "c"]))
    records[1] = without(records[1], NAMELESS[event_type], instead)
    processor = processor_of(OURS, event_type, is_async=is_async)
    with pytest.raises(
        UnreportableRecordError, match="Record 1 of the batch failed and cannot be reported"
    ) as caught:
        with processor(records, handler_of(fails, is_async=is_async)):
            (processor.async_process if is_async else processor.process)()
    assert caught.value.position == 1
    assert isinstance(caught.value, BatchProcessingError)


@pytest.mark.parametrize("event_type", EVENT_TYPES)
@pytest.mark.parametrize("is_async", [False, True])
def test_d21_one_that_succeeds_need_not_be_named(event_type, is_async):
    records = records_of(event_of(event_type, ["a", "b", "bad c"]))
    records[1] = without(records[1], NAMELESS[event_type])
    processor = processor_of(OURS, event_type, is_async=is_async)
    with processor(records, handler_of(fails, is_async=is_async)):
        (processor.async_process if is_async else processor.process)()
    assert processor.response() == reply(name_of(records[2]))


@pytest.mark.parametrize("record", [None, 5, "text", [], {"messageId": None}, {"messageId": ""}], ids=repr)
@pytest.mark.parametrize("is_async", [False, True])
def test_d21_nor_is_what_is_no_record_at_all(record, is_async):
    processor = processor_of(OURS, "SQS", is_async=is_async)

    def fate(view):
        if view.raw_event is record:
            raise ValueError("the cause")

    with pytest.raises(UnreportableRecordError, match="Record 1") as caught:
        with processor([RECORDS[0], record], handler_of_view(fate, is_async=is_async)):
            (processor.async_process if is_async else processor.process)()
    assert [str(error) for _, error, _ in caught.value.child_exceptions] == ["the cause"]
    with pytest.raises(UnreportableRecordError, match="Record 1"):
        processor.response()  # an empty one would acknowledge the batch
    answer = process(OURS, EVENT, handler_of(fails, is_async=is_async), processor, is_async=is_async)
    assert answer == reply()


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("event_type", EVENT_TYPES)
def test_d21_where_all_failed_the_error_is_the_usual_one(event_type, is_async):
    """As with the peer, whose response then is empty: a trap for who catches the error."""
    records = [without(each, NAMELESS[event_type]) for each in records_of(event_of(event_type, ["bad"] * 2))]
    processor = processor_of(OURS, event_type, is_async=is_async)
    with pytest.raises(
        BatchProcessingError, match=r"^All records failed processing\. 2 individual"
    ) as caught:
        with processor(records, handler_of(fails, is_async=is_async)):
            (processor.async_process if is_async else processor.process)()
    assert isinstance(caught.value.__cause__, UnreportableRecordError)
    with pytest.raises(UnreportableRecordError, match="Record 0"):
        processor.response()


def handler_of_view(fate, *, is_async):
    """A handler of what is given, whatever it is."""

    async def async_handler(record):
        return fate(record)

    def handler(record):
        return fate(record)

    return async_handler if is_async else handler


@pytest.mark.parametrize(
    "attributes", [None, "text", {}, {"MessageGroupId": None}, {"MessageGroupId": ""}], ids=repr
)
@pytest.mark.parametrize("is_async", [False, True])
def test_d22_a_record_without_a_group_is_one_of_its_own(attributes, is_async):
    event = event_of("SQS", ["bad a", "b", "c", "d"], groups=["1", "1", "2", "2"])
    for at in (0, 3):
        event["Records"][at]["attributes"] = attributes
    processor = SqsFifoPartialProcessor(skip_group_on_error=True)
    answer = process(OURS, event, handler_of(fails, is_async=is_async), processor, is_async=is_async)
    assert answer == reply(name_of(event["Records"][0]))


# --- D23: texts that cannot be shown ------------------------------------------------------------------


class HostileError(Exception):
    def __str__(self):
        raise RuntimeError("not even this")

    __repr__ = __str__


@pytest.mark.parametrize("is_async", [False, True])
def test_d23_an_exception_that_cannot_be_shown_costs_one_record(is_async):
    def fate(text):
        if text == "b":
            raise HostileError

    processor = processor_of(OURS, "SQS", is_async=is_async)
    with processor(RECORDS, handler_of(fate, is_async=is_async)):
        entries = (processor.async_process if is_async else processor.process)()
    assert entries[1][1].endswith("HostileError'>:(its text cannot be shown)")
    assert processor.response() == reply(B)


def test_d23_nor_does_it_spoil_the_error_of_a_failed_batch():
    def fate(_):
        raise HostileError

    with pytest.raises(BatchProcessingError) as caught:
        process_partial_response(EVENT, handler_of(fate), BatchProcessor(EventType.SQS))
    assert "HostileError" in str(caught.value)


# --- D24, D25, D26 ------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
def test_d24_the_failure_handler_gets_the_handlers_object(is_async):
    seen = []

    def fate(record):
        seen.append(record)
        raise ValueError("bad")

    async def fate_async(record):
        fate(record)

    processor = processor_of(OURS, "SQS", raise_on_entire_batch_failure=False, is_async=is_async)
    process(OURS, EVENT, fate_async if is_async else fate, processor, is_async=is_async)
    assert all(a is b for a, b in zip(seen, processor.fail_messages, strict=True))


@pytest.mark.parametrize("event_type", ["SQS", THEIRS.batch.EventType.SQS])
def test_d25_names_and_the_peers_members_are_event_types(event_type):
    processor = BatchProcessor(event_type)
    assert processor.event_type is EventType.SQS
    answer = process_partial_response(
        EVENT, handler_of(lambda text: fails("bad" if text == "b" else "")), processor
    )
    assert answer == reply(B)


@pytest.mark.parametrize("event_type", ["sqs", "SNS", None, 5, object()], ids=repr)
@pytest.mark.parametrize("kind", [BatchProcessor, AsyncBatchProcessor])
def test_d25_anything_else_is_refused_at_once(kind, event_type):
    with pytest.raises(ValueError, match="event_type: must be one of EventType"):
        kind(event_type)


@pytest.mark.parametrize("is_async", [False, True])
def test_d26_a_model_does_not_change_the_raw_record(is_async):
    from aws_lambda_powertools.utilities.parser.models import KafkaRecordModel

    event = event_of("Kafka", ["a", "bad b"])
    for record in records_of(event):
        record["headers"] = [{"h": [104, 105]}]
    before = copy.deepcopy(event)
    processor = processor_of(OURS, "Kafka", KafkaRecordModel, is_async=is_async)

    def fate(record):
        assert record.headers == [{"h": b"hi"}]
        fails(record.value)

    async def fate_async(record):
        fate(record)

    answer = process(OURS, event, fate_async if is_async else fate, processor, is_async=is_async)
    assert answer == reply(name_of(records_of(event)[1]))
    assert event == before


# --- D27: streams may stop at a failure ---------------------------------------------------------------


@pytest.mark.parametrize("event_type", ["KinesisDataStreams", "DynamoDBStreams", "Kafka"])
@pytest.mark.parametrize("is_async", [False, True])
def test_d27_a_stream_may_stop_at_its_first_failure(event_type, is_async):
    event = event_of(event_type, ["a", "bad b", "c", "bad d"])
    records = records_of(event)
    if event_type == "DynamoDBStreams":
        for record in records:
            record["dynamodb"]["Keys"] = {"id": {"S": "one item"}}
    seen = []

    def fate(text):
        seen.append(text)
        return fails(text)

    processor = processor_of(OURS, event_type, stop_on_failure=True, is_async=is_async)
    answer = process(OURS, event, handler_of(fate, is_async=is_async), processor, is_async=is_async)
    assert seen == ["a", "bad b"]
    # Of a shard the checkpoint is all that counts; of a partition every record that comes again is named.
    assert answer == reply(*names(records[1:] if event_type == "Kafka" else records[1:2]))
    assert len(processor.fail_messages) == len(processor.exceptions) == 3
    for kind, error, _ in processor.exceptions[1:]:
        assert kind is RecordNotProcessedError
        assert str(error) == "A previous record of this stream failed processing"


@pytest.mark.parametrize("event_type", ["KinesisDataStreams", "DynamoDBStreams", "Kafka"])
def test_d27_by_default_every_record_is_tried_as_in_the_peer(event_type):
    event = event_of(event_type, ["a", "bad b", "c", "bad d"])
    records = records_of(event)
    answer = process_partial_response(event, handler_of(fails), processor_of(OURS, event_type))
    assert answer == reply(name_of(records[1]), name_of(records[3]))


@pytest.mark.parametrize("keys", [["k"] * 3, ["k", "l", "m"]], ids=["one key", "three keys"])
def test_d27_side_by_side_what_is_behind_the_failure_says_so(keys):
    event = kinesis_event(["bad a", "b", "c"], keys=keys)
    processor = processor_of(OURS, "KinesisDataStreams", stop_on_failure=True, is_async=True, concurrency=1)
    with pytest.raises(BatchProcessingError):
        process(OURS, event, handler_of(fails, is_async=True), processor, is_async=True)
    assert [str(error) for _, error, _ in processor.exceptions] == [
        "bad a",
        *["A previous record of this stream failed processing"] * 2,
    ]


def test_d27_keys_are_in_order_side_by_side():
    event = event_of("KinesisDataStreams", [str(at) for at in range(12)])
    for at, record in enumerate(event["Records"]):
        record["kinesis"]["partitionKey"] = f"k{at % 3}"
    running, order = {}, []

    async def handler(record):
        key = record.kinesis.partition_key
        assert not running.get(key), "two records of a key at once"
        running[key] = True
        await asyncio.sleep(0.001 * (int(record.kinesis.data_as_text()) % 4))
        running[key] = False
        order.append(record.kinesis.data_as_text())

    processor = AsyncBatchProcessor(EventType.KinesisDataStreams, stop_on_failure=True)
    assert async_process_partial_response(event, handler, processor) == reply()
    for key in range(3):
        mine = [int(text) for text in order if int(text) % 3 == key]
        assert mine == sorted(mine)


def test_d27_minimal_records_will_do():
    for event_type in ("KinesisDataStreams", "DynamoDBStreams", "Kafka"):
        event = minimal(event_of(event_type, ["a", "bad b", "c"]))
        processor = processor_of(OURS, event_type, stop_on_failure=True)
        named = process_partial_response(event, handler_of(fails), processor)["batchItemFailures"]
        assert named[0]["itemIdentifier"] == name_of(records_of(event)[1])


def test_d27_is_for_streams():
    with pytest.raises(InvalidOptionError, match="stop_on_failure: is for streams"):
        BatchProcessor(EventType.SQS, stop_on_failure=True)


# --- what the list does not number --------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
def test_a_signature_that_cannot_be_read_takes_no_context(is_async):
    """`dict` takes any keywords, and has no signature to read."""
    processor = processor_of(OURS, "SQS", is_async=is_async)
    assert process(OURS, EVENT, dict, processor, {"a": "context"}, is_async=is_async) == reply()


@pytest.mark.parametrize("is_async", [False, True])
def test_a_record_that_comes_twice_is_reported_once(is_async):
    records = [*RECORDS, copy.deepcopy(RECORDS[1])]
    running, calls = set(), []

    def fate(text):
        calls.append(text)
        if text == "b" and calls.count("b") == 2:
            raise ValueError("the second copy")

    async def fate_async(record):
        assert record.message_id not in running, "two copies at once"
        running.add(record.message_id)
        await asyncio.sleep(0)
        running.remove(record.message_id)
        fate(record.body)

    processor = processor_of(OURS, "SQS", is_async=is_async)
    with processor(records, fate_async if is_async else handler_of(fate)):
        entries = (processor.async_process if is_async else processor.process)()
    assert processor.response() == reply(B)
    assert [entry[0] for entry in entries] == ["success", "success", "success", "fail"]


def test_the_same_dict_twice_is_a_copy_too():
    processor = BatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    with processor([RECORDS[0], RECORDS[0]], handler_of(lambda _: fails("bad"))):
        processor.process()
    assert processor.response() == reply(A)


@pytest.mark.parametrize("kind", [BatchProcessor, AsyncBatchProcessor], ids=["sync", "async"])
def test_records_of_a_fifo_queue_keep_order_under_the_other_processors(kind, caplog):
    event = event_of("SQS", ["a1", "bad a2", "a3", "b1", "a4", "b2"], groups=["a", "a", "a", "b", "a", "b"])
    order = []

    async def handler(record):
        order.append(record.body)
        await asyncio.sleep(0.002 if record.body == "b1" else 0)
        return fails(record.body)

    processor = kind(EventType.SQS)
    entry = async_process_partial_response if kind is AsyncBatchProcessor else process_partial_response
    for _ in range(2):
        order.clear()
        answer = entry(event, handler, processor)
        assert answer == reply(*[name_of(event["Records"][at]) for at in (1, 2, 4)])
        assert [each for each in order if "a" in each[-2:]] == ["a1", "bad a2"]
        assert [each for each in order if each.startswith("b") and len(each) == 2] == ["b1", "b2"]
    told = [each for each in caplog.records if "FIFO queue" in each.getMessage()]
    assert len(told) == 1, "said once"
    kinds = {kind.__name__ for kind, _, _ in processor.exceptions}
    assert kinds == {"ValueError", "SQSFifoMessageGroupCircuitBreakerError"}


def test_a_fair_queue_is_no_fifo_queue():
    """A message group on a standard queue names a tenant and orders nothing."""
    event = event_of("SQS", ["a", "b"], groups=["t", "t"])
    for record in event["Records"]:
        record["eventSourceARN"] = record["eventSourceARN"].removesuffix(".fifo")
    running, most = 0, []

    async def handler(record):
        nonlocal running
        running += 1
        most.append(running)
        await asyncio.sleep(0.001)
        running -= 1

    async_process_partial_response(event, handler, AsyncBatchProcessor(EventType.SQS))
    assert max(most) == 2


def test_handlers_do_not_see_each_others_context_variables():
    from contextvars import ContextVar

    variable = ContextVar("variable", default="clean")
    seen = []

    async def handler(record):
        seen.append(variable.get())
        variable.set(record.body)
        await asyncio.sleep(0)
        assert variable.get() == record.body

    async_process_partial_response(EVENT, handler, AsyncBatchProcessor(EventType.SQS))
    assert seen == ["clean"] * 3
    assert variable.get() == "clean"


def test_threads_of_their_own_can_process_side_by_side():
    answers = []

    def work():
        handler = handler_of(lambda text: fails("bad" if text == "b" else ""), is_async=True, turns=1)
        answers.append(async_process_partial_response(EVENT, handler, AsyncBatchProcessor(EventType.SQS)))
        with contextlib.suppress(RuntimeError):
            asyncio.get_event_loop_policy().get_event_loop()

    with warnings.catch_warnings():
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [reply(B)] * 4


def test_a_model_without_the_identifiers_fields_costs_no_name():
    class Body(BaseModel):
        body: str

    processor = no_raise(model=Body)
    handler = handler_of(lambda text: fails("bad" if text == "b" else ""))
    assert process_partial_response(EVENT, handler, processor) == reply(B)
