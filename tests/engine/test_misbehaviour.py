"""Handlers that misbehave, on every entry point: batch A, B (odd), C, and then an innocent batch."""

import asyncio
import contextlib
import gc
import sys
import threading
import time
from contextvars import ContextVar

import anyio
import pytest

from asyncbatch import BatchEngine, RunningLoopError, batch_handler, threaded
from asyncbatch.hooks import RecordEnded
from asyncbatch.testing import LambdaContext, sqs_event

SECRET = "body-of-"
BATCH = [SECRET + "A", SECRET + "B", SECRET + "C"]


# --- the entry points ---------------------------------------------------------------------------------


class Decorated:
    """`batch_handler`, as Lambda calls it."""

    owns_loop = True

    def __init__(self, **options):
        self.options = options

    def __call__(self, event, handler, context=None):
        reply = batch_handler(**self.options)(handler)(event, context)
        return [failure["itemIdentifier"] for failure in reply["batchItemFailures"]]


class Run:
    """`BatchEngine.run`."""

    owns_loop = True

    def __init__(self, **options):
        self.engine = BatchEngine(**options)

    def __call__(self, event, handler, context=None):
        return self.engine.run(event, handler, context).failures


class Process:
    """`BatchEngine.process`, in a loop of the caller's that lives on."""

    owns_loop = False

    def __init__(self, **options):
        self.engine = BatchEngine(**options)
        self.loop = asyncio.new_event_loop()

    def __call__(self, event, handler, context=None):
        return self.loop.run_until_complete(self.engine.process(event, handler, context)).failures

    def close(self):
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()


@pytest.fixture
def open_entry():
    with contextlib.ExitStack() as exits:

        def make(kind, **options):
            entry = kind(**options)
            if kind is Process:
                exits.callback(entry.close)
            return entry

        yield make


ALL = (Decorated, Run, Process)
OWN_LOOP = (Decorated, Run)


# --- the rows: what B does ----------------------------------------------------------------------------

variable: ContextVar[str] = ContextVar("variable", default="unset")


class HostileError(Exception):
    def __str__(self):
        raise RuntimeError("no text")

    __repr__ = __str__


class TextlessError(Exception):
    def __str__(self):
        return 42  # noqa: PLE0307 - that is its oddity


class OwnBaseError(BaseException):
    pass


def raising(make_error):
    async def odd(record):
        await asyncio.sleep(0)
        raise make_error()

    return odd


def raising_at_once(make_error):
    async def odd(record):
        raise make_error()

    return odd


async def recurses(record):
    await recurses(record)


async def awaits_a_cancelled_task(record):
    dependency = asyncio.ensure_future(asyncio.sleep(5))
    await asyncio.sleep(0)
    dependency.cancel()
    await dependency


async def cancels_itself_and_returns(record):
    asyncio.current_task().cancel()


async def cancels_itself_and_waits(record):
    asyncio.current_task().cancel()
    await asyncio.sleep(5)


async def cancels_itself_and_swallows(record):
    asyncio.current_task().cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.sleep(5)


async def leaves_an_anyio_scope_cancelled(record):
    scope = anyio.CancelScope().__enter__()
    scope.cancel()
    await asyncio.sleep(0.01)


async def cancels_a_task_group_of_its_own(record):
    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.sleep(5))
        raise ValueError


async def returns_a_coroutine(record):
    return asyncio.sleep(5)


async def returns_a_task(record):
    return asyncio.ensure_future(asyncio.sleep(5))


async def returns_a_generator(record):
    return (each for each in "ab")


async def returns_an_async_generator(record):
    return ticks([])


async def closes_the_loop(record):
    asyncio.get_running_loop().close()


async def runs_another_loop(record):
    nested = asyncio.sleep(0)
    try:
        asyncio.run(nested)
    finally:
        nested.close()


async def calls_the_engine_again(record):
    BatchEngine().run(sqs_event(["inner"]), fine)


async def exits(record):
    sys.exit(3)


async def fine(record):
    await asyncio.sleep(0.002)


FAILING = {
    "ValueError": raising(ValueError),
    "ValueError at once": raising_at_once(ValueError),
    "StopIteration": raising(StopIteration),
    "StopAsyncIteration": raising(StopAsyncIteration),
    "RecursionError": recurses,
    "MemoryError": raising(MemoryError),
    "ExceptionGroup": raising(lambda: ExceptionGroup("several", [ValueError(), KeyError()])),
    "CancelledError": raising(asyncio.CancelledError),
    "CancelledError at once": raising_at_once(asyncio.CancelledError),
    "a group with CancelledError": raising(lambda: BaseExceptionGroup("several", [asyncio.CancelledError()])),
    "SystemExit": exits,
    "SystemExit after a wait": raising(SystemExit),
    "KeyboardInterrupt in Lambda": raising(KeyboardInterrupt),
    "GeneratorExit": raising(GeneratorExit),
    "an own BaseException": raising(OwnBaseError),
    "a hostile __str__": raising(HostileError),
    "a __str__ that is no str": raising(TextlessError),
    "a huge text": raising(lambda: ValueError("x" * 10_000_000)),
    "awaits a cancelled task": awaits_a_cancelled_task,
    "cancels itself and returns": cancels_itself_and_returns,
    "cancels itself and waits": cancels_itself_and_waits,
    "cancels itself and swallows it": cancels_itself_and_swallows,
    "leaves a cancelled anyio scope": leaves_an_anyio_scope_cancelled,
    "a task group of its own fails": cancels_a_task_group_of_its_own,
    "returns a coroutine": returns_a_coroutine,
    "returns a task": returns_a_task,
    "returns a generator": returns_a_generator,
    "returns an async generator": returns_an_async_generator,
    "closes the loop": closes_the_loop,
    "runs another loop inside": runs_another_loop,
    "calls the engine again": calls_the_engine_again,
}


async def ticks(log):
    try:
        while True:
            yield
            await asyncio.sleep(0)
    finally:
        log.append("finally")
        await asyncio.sleep(0)
        log.append("finally, later")


def leaves_an_async_generator(log):
    async def odd(record):
        async for _ in ticks(log):
            break

    return odd


def keeps_an_async_generator(log):
    async def odd(record):
        generator = ticks(log)
        cycle = [generator]
        cycle.append(cycle)  # only the garbage collector frees it
        await anext(generator)

    return odd


def leaves_a_task(log):
    async def forgotten():
        try:
            await asyncio.sleep(0.15)
            log.append("worked")
        finally:
            log.append("ended")

    async def odd(record):
        log.append(asyncio.create_task(forgotten(), name="forgotten"))

    return odd


def leaves_a_task_that_makes_another(log):
    async def second():
        log.append("second ran")
        await asyncio.sleep(0.3)
        log.append("second worked")

    async def first():
        try:
            await asyncio.sleep(5)
        finally:
            log.append(asyncio.create_task(second()))

    async def odd(record):
        log.append(asyncio.create_task(first()))
        await asyncio.sleep(0)

    return odd


def leaves_a_callback(log):
    async def odd(record):
        asyncio.get_running_loop().call_later(0.02, log.append, "called")
        asyncio.get_running_loop().call_soon(log.append, "called soon")

    return odd


def returns_an_error(log):
    async def odd(record):
        return ValueError("a plain value")

    return odd


def sets_a_variable(log):
    async def odd(record):
        variable.set("B's")

    return odd


def cancels_its_task_late(log):
    async def odd(record):
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        loop.call_soon(task.cancel)
        loop.call_later(0.005, task.cancel)

    return odd


def answers_its_own_cancel(log):
    async def odd(record):
        task = asyncio.current_task()
        task.cancel()
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            task.uncancel()

    return odd


SUCCEEDING = {
    each.__name__: each
    for each in (
        returns_an_error,
        sets_a_variable,
        cancels_its_task_late,
        answers_its_own_cancel,
        leaves_an_async_generator,
        keeps_an_async_generator,
        leaves_a_task,
        leaves_a_task_that_makes_another,
        leaves_a_callback,
    )
}
NOTHING_RUNS_LATER = {
    "leaves_an_async_generator",
    "keeps_an_async_generator",
    "leaves_a_task",
    "leaves_a_task_that_makes_another",
}


async def stops_the_loop(record):
    asyncio.get_running_loop().stop()


async def stops_the_loop_and_waits(record):
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)


async def cancels_all_tasks(record):
    for task in asyncio.all_tasks():
        task.cancel()
    await asyncio.sleep(5)


def _raise(error):
    raise error


def leaves_a_callback_that_raises(error):
    async def odd(record):
        asyncio.get_running_loop().call_soon(_raise, error())
        await asyncio.sleep(0.01)

    return odd


def leaves_a_task_that_raises(error):
    async def raising_task():
        raise error

    tasks = []

    async def odd(record):
        tasks.append(asyncio.create_task(raising_task()))
        await asyncio.sleep(0.01)

    return odd


async def never_ends(record):
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)


POISONING = {
    "stops the loop": stops_the_loop,
    "stops the loop and waits": stops_the_loop_and_waits,
    "cancels all tasks": cancels_all_tasks,
    "a callback raises SystemExit": leaves_a_callback_that_raises(SystemExit),
    "a callback raises KeyboardInterrupt": leaves_a_callback_that_raises(KeyboardInterrupt),
    "a task raises SystemExit": leaves_a_task_that_raises(SystemExit),
    "a task raises KeyboardInterrupt": leaves_a_task_that_raises(KeyboardInterrupt),
    "never ends": never_ends,
}


# --- the matrix ---------------------------------------------------------------------------------------


@pytest.fixture
def _in_lambda(monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "test")


def handler_with(odd, finished):
    """A handler that is odd for B and well-behaved for the others."""

    async def handler(record):
        letter = record.text.removeprefix(SECRET)
        assert variable.get() == "unset"
        if letter == "B":
            return await odd(record)
        await asyncio.sleep(0.002)
        await asyncio.sleep(0)
        finished.add(letter)
        return None

    return handler


def names(event):
    return [record["messageId"] for record in event["Records"]]


def assert_an_innocent_batch_works(entry):
    """On the same thread, with the same engine, and nobody else on the loop."""
    finished, strangers = set(), set()

    async def innocent(record):
        tasks = {task for task in asyncio.all_tasks() if "record" not in task.get_name()}
        if entry.owns_loop:
            strangers.update(tasks)
        assert variable.get() == "unset"
        await asyncio.sleep(0.002)
        finished.add(record.text)

    assert entry(sqs_event(["D", "E", "F"], seed=1), innocent) == []
    assert finished == {"D", "E", "F"}
    assert not strangers


@pytest.mark.usefixtures("_in_lambda")
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("row", FAILING)
def test_an_odd_record_fails_alone(row, kind, open_entry, caplog):
    event, finished, entry = sqs_event(BATCH), set(), open_entry(kind)
    assert entry(event, handler_with(FAILING[row], finished)) == [names(event)[1]]
    assert finished == {"A", "C"}
    assert_an_innocent_batch_works(entry)
    assert SECRET not in caplog.text
    assert len(caplog.text) < 10_000


@pytest.mark.usefixtures("_in_lambda")
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("row", SUCCEEDING)
def test_an_odd_record_that_returns_succeeds(row, kind, open_entry):
    log = []
    finished, entry = set(), open_entry(kind)
    assert entry(sqs_event(BATCH), handler_with(SUCCEEDING[row](log), finished)) == []
    assert finished == {"A", "C"}
    at_the_return = list(log)
    gc.collect()
    assert_an_innocent_batch_works(entry)
    if entry.owns_loop and row in NOTHING_RUNS_LATER:
        assert log == at_the_return


@pytest.mark.usefixtures("_in_lambda")
@pytest.mark.parametrize("limit", [1, 3])
@pytest.mark.parametrize("kind", OWN_LOOP)
@pytest.mark.parametrize("row", POISONING)
def test_a_record_that_poisons_the_loop_costs_a_redelivery_at_most(row, kind, limit, open_entry):
    event, finished = sqs_event(BATCH), set()
    entry = open_entry(kind, concurrency=limit, deadline_margin=0.15, grace=0.02)
    failures = entry(event, handler_with(POISONING[row], finished), LambdaContext(0.4))
    a, b, c = names(event)
    assert set(failures) <= {a, b, c}
    # One that lets the loop stop, or raises past its task, may itself have returned well before.
    returned_well = row == "stops the loop"
    assert b in failures or returned_well
    assert "A" in finished or a in failures
    assert "C" in finished or c in failures
    if limit == 1:
        assert a not in failures
    assert_an_innocent_batch_works(entry)


# --- what needs a test of its own ---------------------------------------------------------------------


@pytest.mark.usefixtures("_in_lambda")
@pytest.mark.parametrize("kind", ALL)
def test_keyboard_interrupt_in_lambda_lets_nothing_more_start(kind, open_entry):
    event, finished, entry = sqs_event(BATCH), set(), open_entry(kind, concurrency=2)
    odd = raising_at_once(KeyboardInterrupt)
    assert entry(event, handler_with(odd, finished)) == names(event)[1:]
    assert finished == {"A"}  # it was in flight
    assert_an_innocent_batch_works(entry)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("suspends", [True, False])
def test_keyboard_interrupt_outside_lambda_stops_the_run_and_is_raised(
    suspends, kind, open_entry, monkeypatch
):
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    cancelled = []

    async def handler(record):
        if record.text.endswith("B"):
            await asyncio.sleep(0) if suspends else None
            raise KeyboardInterrupt
        try:
            await asyncio.sleep(5)
        finally:
            cancelled.append(record.text)

    entry = open_entry(kind, concurrency=2)
    with pytest.raises(KeyboardInterrupt):
        entry(sqs_event(BATCH), handler)
    assert cancelled == [SECRET + "A"]  # C was not started
    assert_an_innocent_batch_works(entry)


@pytest.mark.parametrize("kind", OWN_LOOP)
@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_leaves_the_loop_outside_lambda_is_raised(error, kind, open_entry, monkeypatch):
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME", raising=False)
    entry = open_entry(kind)
    with pytest.raises(error):
        entry(sqs_event(BATCH), handler_with(leaves_a_callback_that_raises(error), set()))
    assert_an_innocent_batch_works(entry)


@pytest.mark.parametrize("kind", OWN_LOOP)
def test_a_handler_that_blocks_is_left_behind_by_the_guard(kind, open_entry):
    event, finished = sqs_event(BATCH), set()
    entry = open_entry(kind, concurrency=1, guard_blocking=True, deadline_margin=0.6, grace=0.02)
    released = threading.Event()

    async def blocks(record):
        released.wait(5)

    begin = time.monotonic()
    failures = entry(event, handler_with(blocks, finished), LambdaContext(1.0))
    assert time.monotonic() - begin < 1.0
    assert failures == names(event)[1:]
    assert finished == {"A"}
    released.set()
    assert_an_innocent_batch_works(entry)
    assert finished == {"A"}


def test_a_handler_that_cancels_the_caller_of_process_cancels_the_call():
    callers = []
    cancelled = []

    async def handler(record):
        if record.text.endswith("B"):
            callers[0].cancel()
        try:
            await asyncio.sleep(5)
        finally:
            cancelled.append(record.text.removeprefix(SECRET))

    async def main():
        callers.append(asyncio.current_task())
        with pytest.raises(asyncio.CancelledError):
            await BatchEngine().process(sqs_event(BATCH), handler)
        asyncio.current_task().uncancel()
        report = await BatchEngine().process(sqs_event(BATCH, seed=1), fine)
        assert report.all_succeeded

    asyncio.run(main())
    assert sorted(cancelled) == ["A", "B", "C"]


def test_a_running_loop_is_refused_with_the_call_that_works_there():
    async def main():
        with pytest.raises(RunningLoopError, match=r"await engine\.process\(") as caught:
            BatchEngine().run(sqs_event(BATCH), fine)
        with pytest.raises(RunningLoopError, match=r"await engine\.process\("):
            batch_handler(fine)(sqs_event(BATCH), None)
        return caught.value

    assert "Nothing was processed" in str(asyncio.run(main()))


# --- threads ------------------------------------------------------------------------------------------

IN_THREADS = {
    "ValueError": ValueError,
    "StopIteration": StopIteration,
    "SystemExit": SystemExit,
    "CancelledError": asyncio.CancelledError,
    "an own BaseException": OwnBaseError,
    "a hostile __str__": HostileError,
}


@pytest.mark.usefixtures("_in_lambda")
@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("row", IN_THREADS)
def test_an_odd_record_in_a_thread_fails_alone(row, kind, open_entry):
    event, entry = sqs_event(BATCH), open_entry(kind)

    @threaded
    def handler(record):
        time.sleep(0.002)
        if record.text.endswith("B"):
            raise IN_THREADS[row]

    assert entry(event, handler) == [names(event)[1]]
    assert entry(sqs_event(["D", "E"], seed=1), handler) == []


@pytest.mark.parametrize("kind", ALL)
def test_what_is_set_between_records_reaches_none_of_them(open_entry, kind):
    """Hooks and finalizers run there, also in a later slice: 64 records begin to wait in the first."""
    seen = []

    async def handler(record):
        seen.append(variable.get())
        if len(seen) <= 100:
            await asyncio.sleep(0)

    def hook(event):
        if isinstance(event, RecordEnded):
            variable.set("set by a hook")

    entry = open_entry(kind, concurrency=1000, hooks=[hook])
    assert entry(sqs_event([str(number) for number in range(300)]), handler) == []
    assert len(seen) == 300
    assert set(seen) == {"unset"}
