"""Nothing that one record does costs another record its reply: what it raises late, and what is told of it."""

import asyncio
import collections
import contextlib
import logging
import time

import pytest
from libraries import OURS, event_of, fails, handler_of, names, process, processor_of, reply

from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BasePartialProcessor,
    BatchProcessor,
    EventType,
    PartialSQSProcessor,
    SqsFifoPartialProcessor,
    async_process_partial_response,
    process_partial_response,
)
from asyncbatch.powertools.exceptions import RecordNotProcessedError
from asyncbatch.testing import LambdaContext, VirtualClock

EVENT = event_of("SQS", ["a", "slow b", "c", "d"])
RECORDS = EVENT["Records"]
A, B, C, D = names(RECORDS)

NOT_FINISHED = "not finished before the deadline"
OWN_ERRORS = [
    ConnectionError("turned off"),
    SystemExit(1),
    GeneratorExit(),
    BaseExceptionGroup("group", [asyncio.CancelledError()]),
    asyncio.CancelledError(),
]


class Abort(BaseException):
    """What a test framework raises to end a test."""


@pytest.fixture
def context(virtual_clock):
    """Ten seconds on a virtual clock; one second before its end the batch is sealed."""
    return LambdaContext(10.0, clock=virtual_clock.time)


class Noting(AsyncBatchProcessor):
    """Notes of which records the failure handler was told, and with what."""

    def __init__(self, **options):
        super().__init__(EventType.SQS, **options)
        self.told = []

    def failure_handler(self, record, exception):
        self.told.append((record.message_id, type(exception[1]), str(exception[1])))
        return super().failure_handler(record, exception)


def turning_its_cancellation_into(error, *, at=1):
    """An async handler whose record that begins with "slow" raises an error at a cancellation of it."""

    async def handler(record):
        for _ in range(at):
            try:
                await asyncio.sleep(30 if record.body.startswith("slow") else 0)
            except asyncio.CancelledError as cancellation:
                raised = cancellation
            else:
                return
        raise error from raised

    return handler


# --- after the seal nothing that a record raises leaves the run ---------------------------------------


@pytest.mark.parametrize("cancellations", [1, 2])
@pytest.mark.parametrize("error", OWN_ERRORS, ids=lambda error: type(error).__name__)
def test_a_cancellation_that_becomes_another_error_costs_its_record(error, cancellations, context, caplog):
    processor = Noting()
    handler = turning_its_cancellation_into(error, at=cancellations)
    assert async_process_partial_response(EVENT, handler, processor, context) == reply(B)
    assert processor.told == [(B, RecordNotProcessedError, NOT_FINISHED)]
    assert processor.success_messages == [RECORDS[0], RECORDS[2], RECORDS[3]]
    assert len(processor.fail_messages) == len(processor.exceptions) == 1
    assert "1 of 4 records were not finished before the deadline" in caplog.text
    assert async_process_partial_response(EVENT, handler_of(str, is_async=True), processor) == reply()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Abort()], ids=lambda error: type(error).__name__)
def test_in_lambda_an_interrupt_at_the_deadline_costs_its_record(error, context, monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "f")
    processor = Noting()
    handler = turning_its_cancellation_into(error)
    assert async_process_partial_response(EVENT, handler, processor, context) == reply(B)
    assert processor.told == [(B, RecordNotProcessedError, NOT_FINISHED)]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Abort()], ids=lambda error: type(error).__name__)
def test_outside_lambda_it_is_raised_at_the_end(error, context, monkeypatch):
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    processor = Noting()
    with pytest.raises(type(error)):
        async_process_partial_response(EVENT, turning_its_cancellation_into(error), processor, context)
    assert processor.response() == reply(B)


def test_a_child_that_fails_in_the_turn_of_the_deadline_costs_its_record(virtual_clock, context):
    """A task group raises its child's error though its own task is cancelled: no handler converts anything."""

    async def child(until):
        await asyncio.sleep(until)
        raise ConnectionError

    async def handler(record):
        if record.body.startswith("slow"):
            async with asyncio.TaskGroup() as group:
                group.create_task(child(9.0))
                await asyncio.sleep(30)

    processor = Noting()
    assert async_process_partial_response(EVENT, handler, processor, context) == reply(B)
    assert processor.told == [(B, RecordNotProcessedError, NOT_FINISHED)]


class Late(AsyncBatchProcessor):
    """Whatever a record's cancellation is turned into here comes after the seal."""

    async def _async_process_record(self, record):
        try:
            return await super()._async_process_record(record)
        except asyncio.CancelledError:
            return self.late(record)


class RaisesInTheRecord(Late):
    def late(self, record):
        raise ConnectionError


class RaisesInSuccessHandler(Late):
    def late(self, record):
        return self.success_handler(record, None)

    def success_handler(self, record, result):
        if record is RECORDS[1]:
            raise ConnectionError
        return super().success_handler(record, result)


class RaisesInFailureHandler(Late):
    def late(self, record):
        return self.failure_handler(record, ValueError("mine"))

    def failure_handler(self, record, exception):
        raise ConnectionError


@pytest.mark.parametrize("kind", [RaisesInTheRecord, RaisesInSuccessHandler, RaisesInFailureHandler])
def test_an_override_that_raises_after_the_seal_costs_its_record(kind, context):
    processor = kind(EventType.SQS)
    handler = turning_its_cancellation_into(asyncio.CancelledError())
    assert async_process_partial_response(EVENT, handler, processor, context) == reply(B)
    assert processor.success_messages == [RECORDS[0], RECORDS[2], RECORDS[3]]


def test_an_override_that_raises_between_the_deadline_and_the_seal_costs_its_record():
    """What is ready in one turn of the loop runs in any order: so the record ends before the deadline or after."""
    event = event_of("SQS", ["a", "raises", "holds the loop"])
    ended = set()
    for seed in range(20):
        with VirtualClock(seed=seed) as clock:
            ended.add(_ends_in_the_turn_of_the_deadline(event, clock))
    assert ended == {"ConnectionError", "reply"}


def _ends_in_the_turn_of_the_deadline(event, clock):
    ready = []

    class Own(AsyncBatchProcessor):
        async def _async_process_record(self, record):
            if record["body"] == "raises":
                ready.append(asyncio.get_running_loop().create_future())
                await ready[0]
                raise ConnectionError
            return await super()._async_process_record(record)

    async def handler(record):
        if record.body == "holds the loop":
            await asyncio.sleep(1)
            ready[0].set_result(None)
            clock.virtual_time.move_to(9.5)

    context = LambdaContext(10.0, clock=clock.time)
    try:
        answer = async_process_partial_response(event, handler, Own(EventType.SQS), context)
    except ConnectionError:
        return "ConnectionError"
    assert answer in (reply(*names(event["Records"][1:])), reply(names(event["Records"])[1]))
    return "reply"


def test_before_the_deadline_an_override_that_raises_still_ends_the_batch(context):
    class Own(AsyncBatchProcessor):
        async def _async_process_record(self, record):
            if record is RECORDS[0]:
                raise ConnectionError
            return await super()._async_process_record(record)

    with pytest.raises(ConnectionError):
        async_process_partial_response(EVENT, handler_of(str, is_async=True), Own(EventType.SQS), context)


@pytest.mark.parametrize("error", OWN_ERRORS, ids=lambda error: type(error).__name__)
def test_one_after_another_it_costs_the_record_that_a_sync_processor_awaits(error, context):
    """Its deadline is in real time, so that the records behind the slow one are in time all the same."""
    processor = BatchProcessor(EventType.SQS)
    handler = turning_its_cancellation_into(error)
    assert process_partial_response(EVENT, handler, processor, context) == reply(B)
    assert [str(error) for _, error, _ in processor.exceptions] == [NOT_FINISHED]
    assert processor.success_messages == [RECORDS[0], RECORDS[2], RECORDS[3]]


def test_a_run_within_a_run_of_the_same_block_does_not_make_it_over(virtual_clock):
    """The second run has ended when the first one's record fails: that is its failure, and no error of the run."""
    processor = AsyncBatchProcessor(EventType.SQS)
    inner = event_of("SQS", ["x"])["Records"]

    async def handler(record):
        if record.body == "a":
            processor.records = inner
            processor.async_process()
            raise ValueError("after the second run")

    with processor(RECORDS, handler):
        entries = processor.async_process()
    assert [entry[0] for entry in entries] == ["fail", "success", "success", "success"]
    assert processor.response() == reply(A)


# --- nor does what is told of a record ----------------------------------------------------------------


def refusing(base, error):
    class Refusing(base):
        """Its failure handler wants errors that it knows."""

        def failure_handler(self, record, exception):
            if exception[0] is RecordNotProcessedError:
                raise error
            return super().failure_handler(record, exception)

    return Refusing


KINDS = [KeyError("unknown"), SystemExit(1), asyncio.CancelledError()]


@pytest.mark.parametrize("error", KINDS, ids=lambda error: type(error).__name__)
def test_a_failure_handler_that_raises_at_what_the_deadline_cut_off(error, context, caplog):
    async def handler(record):
        await asyncio.sleep(0 if record.body in {"a", "c"} else 30)

    processor = refusing(AsyncBatchProcessor, error)(EventType.SQS)
    with processor(RECORDS, handler, context):
        entries = processor.async_process()
    assert [entry[0] for entry in entries] == ["success", "fail", "success", "fail"]
    assert [entry[2] for entry in entries] == RECORDS
    assert processor.response() == reply(B, D)
    assert "failure_handler raised for 2 of 2 records that were not processed" in caplog.text
    assert f"({type(error).__name__})" in caplog.text
    assert "unknown" not in caplog.text


@pytest.mark.parametrize("error", KINDS, ids=lambda error: type(error).__name__)
def test_one_after_another_too(error, caplog):
    def handler(record):
        time.sleep(0.25)

    processor = refusing(BatchProcessor, error)(EventType.SQS)
    assert process_partial_response(EVENT, handler, processor, LambdaContext(0.5)) == reply(B, C, D)
    assert processor.success_messages == RECORDS[:1]
    assert "failure_handler raised for 3 of 3 records that were not processed" in caplog.text
    assert f"({type(error).__name__})" in caplog.text


def test_outside_lambda_an_interrupt_in_a_failure_handler_is_raised(context, monkeypatch):
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    handler = turning_its_cancellation_into(asyncio.CancelledError())
    processor = refusing(AsyncBatchProcessor, KeyboardInterrupt())(EventType.SQS)
    with pytest.raises(KeyboardInterrupt):
        async_process_partial_response(EVENT, handler, processor, context)
    assert processor.response() == reply(B)


class LambdasHandler(logging.Handler):
    """Encodes what it is given, as the log handler of Lambda's runtime does, and raises what that raises."""

    def __init__(self):
        super().__init__()
        self.sink = []

    def emit(self, record):
        self.sink.append(self.format(record).encode())


def broken_logger():
    logger = logging.getLogger("a user's")
    logger.handlers = [LambdasHandler()]
    return logger


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_logger_that_raises_at_a_failure(is_async, caplog):
    """Half a surrogate pair in the text of an exception: UTF-8 cannot hold it."""

    def fate(text):
        if text == "slow b":
            raise ValueError("\ud83d")

    handler = handler_of(fate, is_async=is_async)
    processor = processor_of(OURS, "SQS", is_async=is_async, logger=broken_logger())
    assert process(OURS, EVENT, handler, processor, is_async=is_async) == reply(B)
    assert len(processor.fail_messages) == len(processor.exceptions) == 1
    assert "the processor's logger raised: UnicodeEncodeError" in caplog.text


@pytest.mark.filterwarnings("ignore:The sqs_batch_processor decorator:UserWarning")
def test_a_late_error_keeps_the_historic_processor_from_nothing():
    processor = PartialSQSProcessor(suppress_exception=True)
    processor.logger = broken_logger()
    deleted = []
    processor._delete_ = deleted.extend

    def handler(record):
        if record is RECORDS[1]:
            raise ValueError("\ud83d")

    with processor(RECORDS, handler):
        processor.process()
    assert deleted == [RECORDS[at]["receiptHandle"] for at in (0, 2, 3)]


class Demanding:
    """A model that ends the program at a record it does not like."""

    messageId: str  # noqa: N815 - SQS's name

    @classmethod
    def model_validate(cls, raw):
        if raw["body"] == "c":
            raise SystemExit(1)
        model = cls()
        model.messageId = raw["messageId"]
        model.body = raw["body"]
        return model


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_model_that_raises_anything_at_a_record_that_was_held_back(is_async):
    event = event_of("SQS", ["a", "bad b", "c"], groups=["1", "1", "1"])
    processor = SqsFifoPartialProcessor(Demanding)

    def fate(record):
        fails(record.body)

    entry = async_process_partial_response if is_async else process_partial_response
    assert entry(event, fate, processor) == reply(*names(event["Records"][1:]))


def test_an_override_that_converts_with_any_error(virtual_clock):
    class Own(BatchProcessor):
        def _to_batch_type(self, record, event_type, model=None):
            if record is RECORDS[1]:
                raise SystemExit(1)
            return super()._to_batch_type(record, event_type, model)

    assert process_partial_response(EVENT, handler_of(str), Own(EventType.SQS)) == reply(B)


class ValidationError(Exception):
    """Named as pydantic's, and with a title that cannot be read."""

    @property
    def title(self):
        raise RuntimeError


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_error_whose_title_cannot_be_read(is_async):
    def fate(record):
        if record.body == "slow b":
            raise ValidationError

    async def handler(record):
        fate(record)

    processor = processor_of(OURS, "SQS", Plain, is_async=is_async)
    answer = process(OURS, EVENT, handler if is_async else fate, processor, is_async=is_async)
    assert answer == reply(B)


class Plain(Demanding):
    @classmethod
    def model_validate(cls, raw):
        return super().model_validate({**raw, "body": raw["body"].replace("c", "x")})


def test_lists_that_are_no_lists_are_left_in_the_order_of_ends(virtual_clock):
    class Last(AsyncBatchProcessor):
        """Keeps the last few failures only."""

        def _prepare(self):
            super()._prepare()
            self.fail_messages = collections.deque(maxlen=2)

    async def handler(record):
        await asyncio.sleep(ord("z") - ord(record.body[-1]))
        raise ValueError(record.body)

    processor = Last(EventType.SQS, raise_on_entire_batch_failure=False)
    assert async_process_partial_response(EVENT, handler, processor) == reply(A, B, C, D)
    assert [record.message_id for record in processor.fail_messages] == [B, A]


class Bare(BasePartialProcessor):
    """A processor that keeps no lists, and takes a record for done that was cancelled."""

    def __init__(self): ...
    def _prepare(self): ...
    def _clean(self): ...
    def _process_record(self, record): ...

    async def _async_process_record(self, record):
        with contextlib.suppress(asyncio.CancelledError):
            await self.handler(record)
        return "success", None, record

    def failure_handler(self, record, exception):
        return "fail", str(exception[1]), record


def test_a_processor_without_lists_of_ours(context):
    async def handler(record):
        await asyncio.sleep(30 if record is RECORDS[1] else 0)

    processor = Bare()
    with processor(RECORDS, handler, context):
        entries = processor.async_process()
    assert [entry[0] for entry in entries] == ["success", "fail", "success", "success"]
    assert entries[1][1] == NOT_FINISHED
