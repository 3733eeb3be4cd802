"""Hooks are told of a record in its own context, with the record, its error and the error's traceback."""

import asyncio
import contextlib
import gc
import logging
import time
import traceback
import weakref
from contextvars import ContextVar, copy_context

import pytest

from asyncbatch import BatchEngine, Failed, FailureReason, Skipped, Succeeded, threaded
from asyncbatch._contained import Contained
from asyncbatch._events import read_event
from asyncbatch._handlers import BoundHandler
from asyncbatch._hook_calls import HookCalls
from asyncbatch._invocation import Job
from asyncbatch._ledger import Ledger
from asyncbatch._scheduler import CAN_START_EAGERLY
from asyncbatch.hooks import BatchEnded, BatchStarted, RecordEnded, RecordStarted
from asyncbatch.testing import LambdaContext, kinesis_event, run_virtual, sqs_event

EAGER = pytest.mark.parametrize(
    "eager",
    [
        pytest.param(
            True, marks=pytest.mark.skipif(not CAN_START_EAGERLY, reason="tasks cannot start eagerly")
        ),
        False,
    ],
    ids=["eager", "ordinary"],
)
current_span = ContextVar("current_span", default="none")
noted = ContextVar("noted", default="nothing")


class Tracer:
    """A hook as OpenTelemetry's users write it: a span is attached at the start, detached and ended at the end."""

    def __init__(self):
        self.attached = {}
        self.ended = []
        self.noted = []
        self.problems = []

    def __call__(self, event):
        try:
            match event:
                case RecordStarted(position=position):
                    self.attached[position] = current_span.set(f"span {position}")
                case RecordEnded(outcome=outcome):
                    self.noted.append(noted.get())
                    assert current_span.get() == f"span {outcome.position}"
                    current_span.reset(self.attached.pop(outcome.position))
                    assert current_span.get() == "none"
                    self.ended.append(outcome)
                case _:
                    pass
        except Exception as error:
            self.problems.append(error)


def check(tracer, count):
    """Every span was ended, in the context in which it was attached."""
    assert tracer.problems == []
    assert tracer.attached == {}
    assert sorted(each.position for each in tracer.ended) == list(range(count))


async def let_go():
    """End the tasks that do not end by themselves."""
    releases.append(True)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left)


def failures(report):
    return [each for each in report.outcomes if isinstance(each, Failed)]


async def returns_at_once(record):
    pass


async def waits(record):
    await asyncio.sleep(0.01)


async def fails_at_once(record):
    raise ValueError(record.id)


async def fails_later(record):
    await asyncio.sleep(0.01)
    raise ValueError(record.id)


async def takes_too_long(record):
    await asyncio.sleep(100)


releases = []


async def does_not_end(record):
    """Until a test lets it."""
    before = len(releases)
    while len(releases) == before:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(100)


@threaded
def works_in_a_thread(record):
    assert current_span.get().startswith("span")


@threaded
def fails_in_a_thread(record):
    raise ValueError(record.id)


HANDLERS = [returns_at_once, waits, fails_at_once, fails_later, works_in_a_thread, fails_in_a_thread]


@EAGER
@pytest.mark.parametrize("handler", HANDLERS, ids=lambda handler: repr(handler).split()[1])
@pytest.mark.parametrize(
    "event", [sqs_event(["a"] * 6), kinesis_event(["a"] * 6, keys="kkllmm")], ids=["SQS", "Kinesis"]
)
def test_a_span_that_is_attached_at_the_start_can_be_detached_at_the_end(handler, event, eager):
    tracer = Tracer()
    engine = BatchEngine(hooks=[tracer], concurrency=2, eager=eager, raise_on_failure="never")
    report = engine.run(event, handler)
    handled = [each for each in report.outcomes if getattr(each, "started", None) is not None]
    assert [each.position for each in tracer.ended] != []
    assert tracer.problems == []
    assert tracer.attached == {}
    assert sorted(each.position for each in tracer.ended) == [each.position for each in handled]


@EAGER
@pytest.mark.parametrize("waiting", [False, True])
def test_handlers_and_hooks_see_what_the_other_has_set(eager, waiting):
    tracer = Tracer()
    spans = []

    async def handler(record):
        spans.append(current_span.get())
        if waiting:
            await asyncio.sleep(0)
        noted.set(f"by {current_span.get()}")

    assert BatchEngine(hooks=[tracer], eager=eager).run(sqs_event(["a", "b", "c"]), handler).all_succeeded
    assert spans == ["span 0", "span 1", "span 2"]
    assert tracer.noted == ["by span 0", "by span 1", "by span 2"]
    check(tracer, 3)


@EAGER
@pytest.mark.parametrize("in_own_loop", [False, True])
def test_records_that_take_too_long_end_in_their_context(eager, in_own_loop):
    tracer = Tracer()
    engine = BatchEngine(hooks=[tracer], record_timeout=0.05, eager=eager)
    if in_own_loop:
        engine.run(sqs_event(["a", "b"]), takes_too_long)
    else:
        run_virtual(engine.process(sqs_event(["a", "b"]), takes_too_long))
    assert {each.reason for each in tracer.ended} == {FailureReason.TIMED_OUT}
    check(tracer, 2)


@EAGER
@pytest.mark.parametrize("handler", [takes_too_long, does_not_end])
def test_records_that_are_cut_off_at_the_deadline_are_told_of_before_the_batch_ends(eager, handler):
    """Also those that go on although they were cancelled."""
    tracer, told = Tracer(), []
    engine = BatchEngine(hooks=[tracer, told.append], eager=eager)

    async def main():
        report = await engine.process(sqs_event(["a", "b"]), handler, deadline=1.0)
        check(tracer, 2)
        assert [type(each) for each in told] == [
            BatchStarted,
            RecordStarted,
            RecordStarted,
            RecordEnded,
            RecordEnded,
            BatchEnded,
        ]
        assert {each.outcome.reason for each in told if type(each) is RecordEnded} == {FailureReason.DEADLINE}
        assert [each.outcome.ended is None for each in told if type(each) is RecordEnded] == (
            [handler is does_not_end] * 2
        )
        assert len(report.still_running) == (2 if handler is does_not_end else 0)
        await let_go()
        assert type(told[-1]) is BatchEnded

    run_virtual(main())


@EAGER
def test_the_same_on_a_loop_of_our_own(eager):
    tracer = Tracer()
    engine = BatchEngine(hooks=[tracer], eager=eager, deadline_margin=0.1, grace=0.02)
    engine.run(sqs_event(["a", "b"]), does_not_end, LambdaContext(0.3))
    check(tracer, 2)


@EAGER
def test_an_interrupt_from_a_hook_that_is_told_of_a_straggler_is_raised_at_the_end(eager):
    def hook(event):
        if isinstance(event, RecordEnded):
            raise KeyboardInterrupt

    async def main():
        engine = BatchEngine(hooks=[hook], eager=eager)
        with pytest.raises(KeyboardInterrupt):
            await engine.process(sqs_event(["a", "b"]), does_not_end, deadline=1.0)
        await let_go()

    run_virtual(main())


def test_a_record_that_is_cancelled_before_its_first_step_was_never_started():
    """Ordinary tasks begin in a later turn of the loop than they are made in."""
    told = []

    async def handler(record):
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    engine = BatchEngine(hooks=[told.append], eager=False)
    report = engine.run(sqs_event(["a", "b", "c"]), handler)
    started = [each.position for each in told if isinstance(each, RecordStarted)]
    ended = [each.outcome.position for each in told if isinstance(each, RecordEnded)]
    assert started == ended == [0]
    assert len(failures(report)) == 2


def test_a_record_that_may_not_begin_after_all_was_never_started():
    """The first fails before the second, which is made but has not begun, has its turn."""
    told = []
    engine = BatchEngine(hooks=[told.append], eager=False, raise_on_failure="never")
    report = engine.run(kinesis_event(["a", "b"], keys=["k", "l"]), fails_at_once)
    assert [type(each) for each in report.outcomes] == [Failed, Skipped]
    assert [type(each) for each in told] == [BatchStarted, RecordStarted, RecordEnded, BatchEnded]


def test_a_record_that_is_made_but_not_begun_at_the_deadline_was_never_started():
    told = []

    async def handler(record):
        time.sleep(0.3)
        await asyncio.sleep(100)

    engine = BatchEngine(hooks=[told.append], eager=False, deadline_margin=0.1, grace=0.02)
    engine.run(sqs_event(["a", "b", "c"]), handler, LambdaContext(0.3))
    assert [type(each) for each in told] == [BatchStarted, RecordStarted, RecordEnded, BatchEnded]


@EAGER
@pytest.mark.parametrize("kind", ["async", "in a thread"])
def test_the_start_carries_the_very_record_that_the_handler_gets(eager, kind):
    told, handled = [], []

    async def handler(record):
        handled.append(record)

    @threaded
    def in_a_thread(record):
        handled.append(record)

    engine = BatchEngine(hooks=[told.append], eager=eager, model=dict, concurrency=1)
    engine.run(sqs_event([{"n": 1}, {"n": 2}]), handler if kind == "async" else in_a_thread)
    starts = [each for each in told if isinstance(each, RecordStarted)]
    assert [(each.position, each.id, each.record.payload) for each in starts] == [
        (index, record.id, {"n": index + 1}) for index, record in enumerate(handled)
    ]
    assert all(each.record is record for each, record in zip(starts, handled, strict=True))


# --- tracebacks -------------------------------------------------------------------------------------------


class Kept:
    """Stands for what a frame holds."""


@EAGER
@pytest.mark.parametrize("waiting", [False, True])
@pytest.mark.parametrize("in_own_loop", [False, True])
def test_hooks_see_the_traceback_and_it_is_taken_off_when_all_have_seen_it(eager, waiting, in_own_loop):
    seen, errors, frames = [], [], []

    async def handler(record):
        kept = Kept()
        frames.append(weakref.ref(kept))
        if waiting:
            await asyncio.sleep(0)
        try:
            {}["inner"]
        except KeyError as error:
            raise ValueError("outer") from error

    def hook(event):
        if isinstance(event, RecordEnded):
            seen.append("".join(traceback.format_exception(event.outcome.error)))
            errors.append(event.outcome.error)

    engine = BatchEngine(hooks=[hook, hook], eager=eager)
    event = sqs_event(["a", "b"])
    report = engine.run(event, handler) if in_own_loop else run_virtual(engine.process(event, handler))
    assert len(seen) == 4
    for text in seen:
        assert text.count(", in handler") == 2
    assert [each.__traceback__ for each in errors] == [None] * 4
    assert [each.__cause__.__traceback__ for each in errors] == [None] * 4
    gc.collect()
    assert [each() for each in frames] == [None, None]
    assert [each.error for each in failures(report)] == errors[::2]


def test_the_traceback_of_a_refused_payload_is_seen_too():
    seen = []

    def hook(event):
        if isinstance(event, RecordEnded):
            seen.append(event.outcome.error.__traceback__ is not None)

    report = BatchEngine(hooks=[hook], model=int).run(sqs_event(["no number"]), returns_at_once)
    assert seen == [True]
    assert failures(report)[0].error.__traceback__ is None


def test_without_hooks_it_is_taken_off_at_once():
    errors = []

    async def handler(record):
        try:
            int("no number")
        except ValueError as error:
            errors.append(error)
            raise

    async def looks(record):
        if record.text == "a":
            await handler(record)
        await asyncio.sleep(0.01)
        assert errors[0].__traceback__ is None

    report = BatchEngine().run(sqs_event(["a", "b"]), looks)
    assert [type(each) is Succeeded for each in report.outcomes] == [False, True]


def test_what_fails_before_it_is_started_keeps_no_traceback():
    """A key function that raises: no hook is told of such a record but by the report."""

    def key(record):
        raise ValueError(record.id)

    reports = []

    def hook(event):
        if isinstance(event, BatchEnded):
            reports.append([each.error.__traceback__ for each in failures(event.report)])

    BatchEngine(hooks=[hook], ordering=key).run(sqs_event(["a"]), returns_at_once)
    assert reports == [[None]]


# --- after the end ----------------------------------------------------------------------------------------


def test_nothing_is_told_after_the_end_by_a_thread_that_was_left_behind(caplog):
    told = []

    async def blocks(record):
        time.sleep(0.5)
        if record.text == "b":
            raise ValueError(record.text)

    engine = BatchEngine(hooks=[told.append], guard_blocking=True, deadline_margin=0.1, grace=0.02)
    with caplog.at_level(logging.CRITICAL):
        report = engine.run(sqs_event(["a", "b"]), blocks, LambdaContext(0.2))
    count = len(told)
    assert type(told[-1]) is BatchEnded
    time.sleep(1.2)
    assert len(told) == count
    assert not report.succeeded


def test_nothing_is_told_once_the_end_was():
    """A thread that was left behind may be about to tell something at that moment."""
    told = []
    batch = read_event(sqs_event(["a"]), None)
    calls = HookCalls([told.append], batch, Ledger(1), Contained())
    calls.batch_started(7)
    calls.batch_ended(None)
    calls.started(0, None)
    calls.limit_changed(7, 8)
    assert [type(each) for each in told] == [BatchStarted, BatchEnded]


def test_of_a_task_that_never_began_no_end_is_told():
    """A signal handler's exception may leave such a task, at whichever moment it comes."""
    told = []
    job = Job(
        BatchEngine(hooks=[told.append]),
        read_event(sqs_event(["a"]), None),
        BoundHandler(waits),
        None,
        None,
        None,
    )
    job.begin(time.monotonic)
    run = job.prepare()
    run._contexts[0] = copy_context()
    run.close()
    assert [type(each) for each in told] == [BatchStarted]
