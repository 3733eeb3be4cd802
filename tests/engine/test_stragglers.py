"""What does not end keeps its own record, and nothing else of its batch."""

import asyncio
import contextlib
import gc
import threading
import time
import tracemalloc
import weakref

import pytest

from asyncbatch import BatchEngine, _loop, threaded
from asyncbatch._scheduler import CAN_START_EAGERLY
from asyncbatch.limits import AdaptiveLimit
from asyncbatch.powertools import AsyncBatchProcessor, EventType
from asyncbatch.powertools import async_process_partial_response as process_side_by_side
from asyncbatch.testing import LambdaContext, VirtualClock, sqs_event

SIZE = 5


class Raw(dict):
    """A raw record that can be seen to be let go of."""


class Batches:
    """Events, and which of their records are still referred to."""

    def __init__(self, size=10):
        self.size = size
        self.bodies = []
        self.raws = []

    def event(self):
        number = len(self.bodies)
        bodies = [f"{number}.{each}" for each in range(SIZE)]
        event = sqs_event([body.ljust(self.size, "x") for body in bodies], seed=number)
        event["Records"] = [Raw(raw) for raw in event["Records"]]
        self.bodies.append(bodies)
        self.raws += [(body, weakref.ref(raw)) for body, raw in zip(bodies, event["Records"], strict=True)]
        return event

    def alive(self):
        gc.collect()
        return [body for body, raw in self.raws if raw() is not None]


@pytest.fixture
def batches():
    return Batches()


@pytest.fixture(autouse=True)
def _empty_grave(monkeypatch):
    """Tasks that never end are kept for ever; here they may go with their test."""
    monkeypatch.setattr(_loop, "_buried", set())
    yield
    for task in _loop._buried:
        task.get_coro().close()


@pytest.fixture
def clock():
    with VirtualClock() as virtual:
        yield virtual


def text_of(record):
    """The body's number; a handler gets a view, or a raw record."""
    return str(record["body"] if isinstance(record, dict) else getattr(record, "text", None) or record.body)


def is_endless(record):
    """Whether it is the second of its batch."""
    return text_of(record).partition(".")[2].startswith("1")


async def endless(record):
    """The second record of each batch never ends."""
    await asyncio.sleep(0)
    while is_endless(record):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1)


def seconds(clock, much=1.0):
    return LambdaContext(much, clock=clock.time)


# --- on the engine's own loop -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"eager": False},
        {"hooks": [lambda event: None]},
        {"concurrency": AdaptiveLimit()},
        {"record_timeout": 0.1},
        {"ordering": lambda record: record.raw["body"]},
    ],
    ids=["plain", "not eager", "hooks", "limit", "timeout", "keys"],
)
def test_a_task_keeps_its_own_record(options, batches, clock):
    engine = BatchEngine(**options)
    for _ in range(3):
        engine.run(batches.event(), endless, seconds(clock))
    assert batches.alive() == ["0.1", "1.1", "2.1"]


def test_a_task_keeps_its_own_record_although_others_raised(batches, clock):
    async def handler(record):
        if record.text[2] == "2":
            raise ValueError(record)
        await endless(record)

    BatchEngine().run(batches.event(), handler, seconds(clock))
    assert batches.alive() == ["0.1"]


def test_a_task_keeps_its_own_record_although_an_exit_ended_the_loop(batches, clock, monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "function")

    async def handler(record):
        if record.text[2] == "2":
            asyncio.get_running_loop().call_soon(exit)
        await endless(record)

    BatchEngine().run(batches.event(), handler, seconds(clock))
    assert batches.alive() == ["0.1"]


def test_a_task_keeps_its_own_record_in_a_program_that_keeps_its_lifespan(batches, clock):
    @contextlib.asynccontextmanager
    async def lifespan():
        yield

    BatchEngine(lifespan=lifespan).run(batches.event(), endless, seconds(clock))
    assert batches.alive() == ["0.1"]


def test_a_task_that_another_task_made_keeps_what_it_refers_to(batches, clock):
    """A handler's own task that does not end is a leftover, which refers to no run."""
    left = []

    async def leaves(record):
        if is_endless(record):
            left.append(asyncio.create_task(endless(record)))

    BatchEngine().run(batches.event(), leaves, seconds(clock))
    left.clear()
    assert batches.alive() == ["0.1"]


def test_sizes_are_those_of_the_records_that_do_not_end():
    batches = Batches(size=100_000)
    number = 20
    tracemalloc.start()
    try:
        with VirtualClock() as clock:
            for _ in range(number):
                BatchEngine().run(batches.event(), endless, seconds(clock))
            gc.collect()
            kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert number * batches.size < kept < 1.5 * number * batches.size


def test_a_straggler_that_ends_after_all_changes_nothing_and_says_nothing(caplog):
    """Whatever it comes to: a result, an error, a coroutine, an interrupt."""
    endings = ["returns", "raises", "returns a coroutine", "cancelled", "interrupts"]

    async def handler(record):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(1000)
        await asyncio.wait_for(released.wait(), 10)
        match record.text:
            case "raises":
                raise ValueError
            case "returns a coroutine":
                return asyncio.sleep(0)
            case "cancelled":
                raise asyncio.CancelledError
            case "interrupts":
                raise KeyboardInterrupt

    async def main():
        nonlocal released
        released = asyncio.Event()
        report = await BatchEngine(hooks=[told.append]).process(sqs_event(endings), handler, deadline=1.0)
        before = [*told]
        assert len(report.still_running) == len(endings)
        released.set()
        await asyncio.sleep(1)
        assert told == before
        assert not report.succeeded

    released, told = None, []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main())
    loop.close()
    gc.collect()
    assert "never retrieved" not in caplog.text


# --- in the caller's loop -----------------------------------------------------------------------------


@pytest.mark.parametrize("eager", [True, False] if CAN_START_EAGERLY else [False])
def test_a_task_in_the_callers_loop_keeps_its_own_record(batches, eager):
    released = []

    async def handler(record):
        while is_endless(record) and not released:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        await asyncio.sleep(0)

    async def main():
        engine = BatchEngine(eager=eager)
        for _ in range(2):
            await engine.process(batches.event(), handler, deadline=0.2)
        assert batches.alive() == ["0.1", "1.1"]
        released.append(True)
        await asyncio.sleep(0.1)
        assert batches.alive() == []

    asyncio.run(main())


# --- the drop-in --------------------------------------------------------------------------------------


def test_a_task_of_the_drop_in_keeps_its_own_record(batches, clock):
    processor = AsyncBatchProcessor(EventType.SQS)
    for _ in range(3):
        process_side_by_side(batches.event(), endless, processor, seconds(clock))
    process_side_by_side(sqs_event(["9.9"]), endless, processor, seconds(clock))
    # a processor itself keeps its last batch
    assert batches.alive() == ["0.1", "1.1", "2.1"]


@pytest.mark.parametrize(
    "ending", [None, ValueError, KeyboardInterrupt], ids=["returns", "raises", "interrupts"]
)
def test_a_task_that_ends_on_a_loop_that_the_program_runs_again_changes_nothing(ending, caplog):
    released = []

    async def handler(record):
        while not released:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
        if ending is not None:
            raise ending

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    processor = AsyncBatchProcessor(EventType.SQS, raise_on_entire_batch_failure=False)
    try:
        event = sqs_event(["a"])
        reply = process_side_by_side(event, handler, processor, LambdaContext(0.4))
        assert len(reply["batchItemFailures"]) == 1
        failed = list(processor.fail_messages)
        released.append(True)
        loop.run_until_complete(asyncio.sleep(0.1))
        assert processor.fail_messages == failed
        assert not _loop._buried
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    gc.collect()
    assert "never retrieved" not in caplog.text


def test_a_task_on_a_loop_that_is_the_programs_keeps_its_own_record(batches):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    processor = AsyncBatchProcessor(EventType.SQS)
    try:
        process_side_by_side(batches.event(), endless, processor, LambdaContext(0.4))
        assert len(_loop._buried) == 1
        process_side_by_side(sqs_event(["9.9"]), endless, processor, LambdaContext(0.4))
        assert batches.alive() == ["0.1"]
    finally:
        for task in _loop._buried:
            task.get_coro().close()
        asyncio.set_event_loop(None)
        loop.close()


# --- threads ------------------------------------------------------------------------------------------


def test_a_thread_that_goes_on_keeps_its_own_record(batches):
    released = threading.Event()

    def works(record):
        if is_endless(record):
            released.wait(30)

    try:
        engine = BatchEngine(hooks=[lambda event: None])
        report = engine.run(batches.event(), threaded(works), LambdaContext(0.5))
        assert report.still_running
        del report
        assert batches.alive() == ["0.1"]
    finally:
        released.set()


@pytest.mark.parametrize("at_once", [True, False])
def test_a_thread_of_the_guard_that_is_left_behind_keeps_its_own_record(batches, at_once):
    released = threading.Event()

    async def blocks(record):
        if not at_once:
            await asyncio.sleep(0.01)
        if is_endless(record):
            released.wait(30)

    try:
        # Others in flight would be stragglers on that loop, too.
        engine = BatchEngine(guard_blocking=True, concurrency=1)
        report = engine.run(batches.event(), blocks, LambdaContext(0.5))
        assert len(report.outcomes) == SIZE
        assert report.outcomes[1].record.text.startswith("0.1")
        del report
        assert batches.alive() == ["0.1"]
    finally:
        released.set()
        time.sleep(0.05)


# --- tasks of loops that were given up ----------------------------------------------------------------


def test_a_loop_that_is_given_up_without_tasks_leaves_nothing():
    for _ in range(3):
        _loop.kept_loop()
        _loop.discard_loop()
    assert not _loop._buried


def test_a_task_is_kept_until_it_has_ended():
    loop = asyncio.new_event_loop()
    ends = loop.create_task(asyncio.sleep(0.01))
    endless = loop.create_task(asyncio.sleep(1000))
    adopted = _loop.KeptLoop(loop)
    adopted.discard()
    assert _loop._buried == {ends, endless}
    loop.run_until_complete(ends)  # the program goes on with its loop
    assert _loop._buried == {endless}
    endless.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    assert not _loop._buried
    loop.close()


def test_a_loop_that_was_given_up_can_be_collected():
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    _loop.discard_loop(_loop.current_loop())
    loop.close()
    seen = weakref.ref(loop)
    del loop
    gc.collect()
    assert seen() is None
