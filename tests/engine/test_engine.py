"""The engine's frame: deadlines, cancellation from outside, hooks, options, replies."""

import asyncio
import dataclasses
import logging
import sys
from unittest.mock import MagicMock

import anyio
import pytest
from histories import virtual_kept_loops

from asyncbatch import (
    BatchEngine,
    EventSource,
    FailedBatchError,
    FailureReason,
    FailureScope,
    InvalidEventError,
    InvalidOptionError,
    Ordering,
    SkipReason,
    batch_handler,
)
from asyncbatch._loop import kept_loop
from asyncbatch.hooks import BatchEnded, BatchStarted, RecordEnded, RecordStarted
from asyncbatch.testing import LambdaContext, kafka_event, kinesis_event, run_virtual, sqs_event

EVENT = sqs_event(["a", "b", "c"])


async def fine(record):
    await asyncio.sleep(0)


async def slow(record):
    await asyncio.sleep(100)


async def fails(record):
    raise ValueError


def run_with(context, handler=fine, **options):
    with virtual_kept_loops():
        clock = kept_loop().loop.time
        made = LambdaContext(context, clock=clock) if isinstance(context, float) else context
        return BatchEngine(**options).run(EVENT, handler, made)


# --- Lambda's deadline --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("remaining", "sealed"), [(1.0, 0.7), (3.0, 2.7), (10.0, 9.0), (20.0, 18.0), (900.0, 898.0)]
)
def test_the_margin_is_a_tenth_within_bounds(remaining, sealed):
    if sealed < 100:
        assert run_with(remaining, slow).duration == pytest.approx(sealed)
    else:
        assert run_with(remaining, slow).duration == pytest.approx(100.0)
    assert run_with(remaining, slow, deadline_margin=0.5).duration == pytest.approx(
        min(remaining - 0.5, 100.0)
    )


def test_less_time_than_the_margin_starts_nothing_and_warns(caplog):
    ran = []

    async def handler(record):
        ran.append(record)

    report = run_with(0.25, handler)
    assert not ran
    assert [outcome.reason for outcome in report.outcomes] == [SkipReason.DEADLINE] * 3
    assert report.failures == [outcome.id for outcome in report.outcomes]
    assert "longer timeout" in caplog.text


class WithoutTime:
    pass


class TimeIsNone:
    get_remaining_time_in_millis = None


class TimeIsText:
    def get_remaining_time_in_millis(self):
        return "soon"


class TimeIsTrue:
    def get_remaining_time_in_millis(self):
        return True


@pytest.mark.parametrize(
    "context", [None, object(), MagicMock(), WithoutTime(), TimeIsNone(), TimeIsText(), TimeIsTrue()]
)
def test_contexts_without_remaining_time_mean_no_deadline(context):
    report = run_with(context, slow)
    assert report.all_succeeded
    assert report.duration == pytest.approx(100.0)


class AgesAreLeft:
    def __init__(self, milliseconds):
        self.milliseconds = milliseconds

    def get_remaining_time_in_millis(self):
        return self.milliseconds


@pytest.mark.parametrize("guard_blocking", [False, True])
@pytest.mark.parametrize("milliseconds", [sys.maxsize, 10**400, 1e300])
def test_contexts_may_leave_more_time_than_a_thread_can_wait(milliseconds, guard_blocking):
    engine = BatchEngine(guard_blocking=guard_blocking)
    assert engine.run(EVENT, fine, AgesAreLeft(milliseconds)).all_succeeded


def test_an_empty_event_needs_no_loop_time():
    assert BatchEngine().run({"Records": []}, fine).response() == {"batchItemFailures": []}
    report = asyncio.run(BatchEngine().process({"Records": []}, fine))
    assert report.outcomes == ()


def test_malformed_events_run_nothing():
    ran = []

    async def handler(record):
        ran.append(record)

    event = sqs_event(["a", "b"])
    del event["Records"][1]["messageId"]
    with pytest.raises(InvalidEventError, match=r"record 1.*messageId"):
        BatchEngine().run(event, handler)
    assert not ran


# --- process ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deadline", [10**400, float("inf"), 1e300])
def test_process_takes_a_deadline_that_never_comes(deadline):
    assert asyncio.run(BatchEngine().process(EVENT, fine, deadline=deadline)).all_succeeded


@pytest.mark.parametrize("bad", [-1, float("nan"), "5"])
def test_process_refuses_a_deadline_that_is_none(bad):
    with pytest.raises(InvalidOptionError, match="deadline"):
        asyncio.run(BatchEngine().process(EVENT, fine, deadline=bad))


def test_process_returns_within_its_deadline():
    async def main(**options):
        loop = asyncio.get_running_loop()
        context = LambdaContext(3.0, clock=loop.time)
        begin = loop.time()
        if "deadline" in options:
            await BatchEngine().process(EVENT, slow, **options)
        else:
            await BatchEngine().process(EVENT, slow, context)
        return loop.time() - begin

    assert run_virtual(main(deadline=2.0)) == pytest.approx(1.9)
    assert run_virtual(main(deadline=0)) == 0
    assert run_virtual(main()) == pytest.approx(2.7)


def test_process_names_the_stragglers_it_leaves_behind(caplog):
    async def swallows(record):
        end = asyncio.get_running_loop().time() + 10
        while asyncio.get_running_loop().time() < end:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                continue

    async def main():
        engine = BatchEngine(concurrency=2)
        report = await engine.process(EVENT, swallows, deadline=1.0)
        before = report.response()
        assert report.still_running == tuple(o.id for o in report.outcomes[:2])
        assert "still running" in caplog.text
        await asyncio.sleep(30)
        assert report.response() == before
        assert isinstance(report.outcomes[2].reason, SkipReason)

    run_virtual(main())


class Diary:
    """A handler that writes down its cancellations."""

    def __init__(self, swallow=0):
        self.cancelled = []
        self.swallow = swallow

    async def __call__(self, record):
        for _ in range(self.swallow + 1):
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                self.cancelled.append(asyncio.get_running_loop().time())
                error = True
        if error:
            raise asyncio.CancelledError


async def cancelled_by_asyncio(call, after):
    task = asyncio.create_task(call)
    await asyncio.sleep(after)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancelled_by_a_timeout(call, after):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(after):
            await call


async def cancelled_by_a_scope(call, after):
    with anyio.move_on_after(after) as scope:
        await call
    assert scope.cancelled_caught


async def cancelled_by_fail_after(call, after):
    with pytest.raises(TimeoutError):
        with anyio.fail_after(after):
            await call


OUTSIDE = [
    cancelled_by_asyncio,
    cancelled_by_a_timeout,
    cancelled_by_a_scope,
    cancelled_by_fail_after,
]


@pytest.mark.parametrize("cancelled", OUTSIDE)
def test_a_cancellation_of_process_cancels_the_records_and_is_raised(cancelled):
    diary = Diary()

    async def main():
        await cancelled(BatchEngine(concurrency=2).process(EVENT, diary), 1.0)
        assert asyncio.get_running_loop().time() == 1.0
        assert (await BatchEngine().process(EVENT, fine)).all_succeeded

    run_virtual(main())
    assert diary.cancelled == [1.0, 1.0]


@pytest.mark.parametrize("cancelled", OUTSIDE)
def test_a_cancellation_of_process_waits_the_grace(cancelled):
    """On a real clock: anyio cancels again at every turn of the loop, and virtual time would stand still."""
    diary = Diary(swallow=1)

    async def main():
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await cancelled(BatchEngine(concurrency=2).process(EVENT, diary), 0.02)
        assert loop.time() - begin < 1.0
        assert (await BatchEngine().process(EVENT, fine)).all_succeeded

    asyncio.run(main())
    first, *_, last = diary.cancelled
    assert len(diary.cancelled) == 4
    assert last - first >= 0.099


def test_a_cancellation_of_process_is_the_end_of_the_batch_for_hooks():
    told = []

    async def main():
        task = asyncio.create_task(BatchEngine(hooks=[told.append]).process(EVENT, slow))
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())
    (ended,) = [event for event in told if isinstance(event, BatchEnded)]
    assert told[-1] is ended
    assert [outcome.reason for outcome in ended.report.outcomes] == [FailureReason.STOPPED] * 3


def test_a_second_cancellation_during_the_grace_does_not_lose_the_first():
    diary = Diary(swallow=1)

    async def main():
        task = asyncio.create_task(BatchEngine().process(EVENT, diary))
        await asyncio.sleep(1)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.01)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.get_running_loop().time() <= 1.1 + 1e-6

    run_virtual(main())


def test_a_cancellation_during_the_deadlines_grace_is_raised():
    diary = Diary(swallow=1)

    async def main():
        task = asyncio.create_task(BatchEngine().process(EVENT, diary, deadline=1.0))
        await asyncio.sleep(0.95)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run_virtual(main())


def test_several_calls_share_a_loop():
    async def main():
        engine = BatchEngine(concurrency=2)
        events = [sqs_event(["a", "b", "c"], seed=number) for number in range(5)]
        reports = await asyncio.gather(*(engine.process(each, fine) for each in events))
        assert all(report.all_succeeded for report in reports)

    run_virtual(main(), seed=3)


async def test_process_messages_reads_what_receive_message_returned():
    messages = [{"MessageId": name, "ReceiptHandle": f"handle {name}", "Body": name} for name in "abc"]

    async def handler(record):
        if record.text == "b":
            raise ValueError

    report = await BatchEngine().process_messages(
        messages, handler, queue_arn="arn:aws:sqs:eu-west-1:123456789012:orders", deadline=5
    )
    assert [each.record.raw["receiptHandle"] for each in report.succeeded] == ["handle a", "handle c"]
    assert report.failures == ["b"]


# --- hooks --------------------------------------------------------------------------------------------


def test_hooks_are_told_everything_in_order():
    told = []

    async def handler(record):
        await asyncio.sleep(0.1)
        if record.text == "b":
            raise ValueError

    engine = BatchEngine(hooks=[told.append], concurrency=2)
    with virtual_kept_loops():
        report = engine.run(EVENT, handler)
    kinds = [type(event) for event in told]
    assert told[0] == BatchStarted(EventSource.SQS, 3, 2)
    assert told[-1].report is report
    assert kinds[:3] == [BatchStarted, RecordStarted, RecordStarted]
    assert kinds.count(RecordEnded) == kinds.count(RecordStarted) == 3
    assert kinds[-1] is BatchEnded
    ended = {event.outcome.position: event.outcome for event in told if type(event) is RecordEnded}
    assert [ended[position] for position in range(3)] == list(report.outcomes)


def test_hooks_of_handlers_that_never_wait():
    told = []

    async def handler(record):
        pass

    assert BatchEngine(hooks=[told.append]).run(EVENT, handler).all_succeeded
    starts = [event.position for event in told if type(event) is RecordStarted]
    ends = [event.outcome.position for event in told if type(event) is RecordEnded]
    assert starts == ends == [0, 1, 2]


def test_hooks_that_raise_decide_nothing_and_are_logged(caplog):
    def hook(event):
        raise RuntimeError(type(event).__name__)

    report = BatchEngine(hooks=[hook]).run(EVENT, fine)
    assert report.all_succeeded
    (first, rest) = caplog.messages
    assert "hook) raised on BatchStarted: RuntimeError: BatchStarted (test_engine.py:" in first
    assert rest.endswith(f"hook) raised {2 * len(EVENT['Records']) + 1} more")


def test_hooks_are_told_of_empty_batches():
    told = []
    BatchEngine(hooks=[told.append]).run({"Records": []}, fine)
    assert [type(event) for event in told] == [BatchStarted, BatchEnded]


# --- options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"concurrency": 2.5}, "concurrency"),
        ({"record_timeout": 0}, "record_timeout"),
        ({"record_timeout": -1}, "record_timeout"),
        ({"record_timeout": "5"}, "record_timeout"),
        ({"record_timeout": float("nan")}, "record_timeout"),
        ({"record_timeout": float("inf")}, "record_timeout"),
        ({"deadline_margin": -0.1}, "deadline_margin"),
        ({"grace": None}, "grace"),
        ({"grace": 0.5}, "does not fit"),
        ({"grace": 0.2, "deadline_margin": 0.1}, "does not fit"),
        ({"raise_on_failure": "always"}, "raise_on_failure"),
        ({"failure_scope": FailureScope.RECORD, "ordering": Ordering.SEQUENTIAL}, "failure_scope"),
        ({"source": EventSource.SQS, "ordering": Ordering.BY_KEY}, "BY_KEY"),
        ({"source": EventSource.SQS_FIFO, "failure_scope": FailureScope.RECORD}, "failure_scope"),
    ],
)
def test_options_that_would_break_a_rule_are_refused_at_construction(options, text):
    with pytest.raises(InvalidOptionError, match=text):
        BatchEngine(**options)
    with pytest.raises(InvalidOptionError, match=text):
        batch_handler(**options)


def test_options_that_do_not_fit_the_event_are_refused_before_anything_runs():
    ran = []

    async def handler(record):
        ran.append(record)

    with pytest.raises(InvalidOptionError, match="BY_KEY"):
        BatchEngine(ordering=Ordering.BY_KEY).run(EVENT, handler)
    with pytest.raises(InvalidOptionError, match="failure_scope"):
        BatchEngine(failure_scope=FailureScope.RECORD).run(kinesis_event(["a"], keys=["k"]), handler)
    assert not ran


def test_replace_gives_a_copy_with_other_options():
    engine = BatchEngine(concurrency=2)
    other = dataclasses.replace(engine, concurrency=8)
    assert (engine.concurrency, other.concurrency) == (2, 8)
    assert other.run(EVENT, fine).all_succeeded
    with pytest.raises(dataclasses.FrozenInstanceError):
        engine.concurrency = 3


@pytest.mark.parametrize(
    ("chosen", "all_fail", "raised"),
    [
        (None, True, False),
        ("never", True, False),
        ("entire_batch", False, False),
        ("entire_batch", True, True),
        ("any", False, True),
    ],
)
def test_raise_on_failure(chosen, all_fail, raised):
    async def handler(record):
        if all_fail or record.text == "b":
            raise ValueError

    lambda_handler = batch_handler(raise_on_failure=chosen)(handler)
    report = lambda_handler.run(EVENT)  # the report itself is always returned
    assert not report.all_succeeded
    if raised:
        with pytest.raises(FailedBatchError):
            lambda_handler(EVENT)
    else:
        assert lambda_handler(EVENT) == report.response()


def test_kafka_raises_by_default_because_not_every_mapping_reads_the_reply():
    event = kafka_event(["a"], partitions=[0])
    with pytest.raises(FailedBatchError):
        batch_handler(fails)(event)
    assert batch_handler(raise_on_failure="never")(fails)(event)["batchItemFailures"]


def test_failures_are_logged_without_bodies(caplog):
    caplog.set_level(logging.DEBUG)
    BatchEngine().run(sqs_event(["secret-body"]), fails)
    assert "0 of 1 records succeeded" in caplog.text
    assert "secret-body" not in caplog.text


def test_errors_keep_no_frames_alive():
    report = BatchEngine().run(EVENT, fails)
    for outcome in report.unsuccessful:
        assert outcome.reason is FailureReason.RAISED
        assert outcome.error.__traceback__ is None
        assert "test_engine.py" in outcome.trace
