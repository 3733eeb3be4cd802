"""What one invocation leaves on the event loop, and what becomes of it in the next."""

import asyncio
import contextlib
import sys
import threading
import time
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import aiohttp
import pytest
import uvloop
from test_loop import in_a_fresh_process

import asyncbatch
from asyncbatch import BatchEngine, FailureReason, SkipReason, _loop, batch_handler, threaded
from asyncbatch._loop import kept_loop
from asyncbatch.powertools import AsyncBatchProcessor, BatchProcessor, EventType, process_partial_response
from asyncbatch.powertools import async_process_partial_response as process_side_by_side
from asyncbatch.powertools.exceptions import BatchProcessingError
from asyncbatch.testing import LambdaContext, VirtualClock, sqs_event

EVENT = sqs_event(["a", "b", "c"])


@pytest.fixture
def clock():
    """Time that passes only where a test lets it, or a handler waits."""
    with VirtualClock() as virtual:
        yield virtual


@pytest.fixture
def in_lambda(monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "function")


async def fine(record):
    await asyncio.sleep(0.001)


# --- the entry points ---------------------------------------------------------------------------------


def decorated(handler):
    return batch_handler(handler)(EVENT)["batchItemFailures"]


def run(handler):
    return BatchEngine().run(EVENT, handler).failures


def guarded(handler):
    return BatchEngine(guard_blocking=True).run(EVENT, handler).failures


def in_threads(handler):
    """`threaded` runs the loop in another way; the handler itself leaves what it leaves before."""
    assert not run(handler)
    return run(threaded(lambda record: None))


def one_after_another(handler):
    return process_partial_response(EVENT, handler, BatchProcessor(EventType.SQS))["batchItemFailures"]


def side_by_side(handler):
    return process_side_by_side(EVENT, handler, AsyncBatchProcessor(EventType.SQS))["batchItemFailures"]


# --- timers that handlers leave -----------------------------------------------------------------------


class OwnBaseError(BaseException):
    pass


def interrupts():
    raise KeyboardInterrupt


def raises_an_error_of_its_own():
    raise OwnBaseError


def cancels_every_task():
    for task in asyncio.all_tasks(asyncio.get_running_loop()):
        task.cancel()


def stops_the_loop():
    asyncio.get_running_loop().stop()


def sets_a_task_factory():
    def refuses(loop, coroutine, **options):
        coroutine.close()
        raise ZeroDivisionError

    asyncio.get_running_loop().set_task_factory(refuses)


DEEDS = [
    sys.exit,
    interrupts,
    raises_an_error_of_its_own,
    cancels_every_task,
    stops_the_loop,
    sets_a_task_factory,
]


async def leaves_nothing(record):
    await asyncio.create_task(asyncio.sleep(0))


def leaving(deed, after=0.2):
    """A handler that leaves a timer, which fires after the invocation."""

    async def handler(record):
        asyncio.get_running_loop().call_later(after, deed)

    return handler


@pytest.mark.usefixtures("in_lambda")
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("entry", [decorated, run, one_after_another, side_by_side])
def test_a_timer_that_a_handler_left_costs_the_next_invocation_nothing(entry, deed, clock):
    assert not entry(leaving(deed))
    clock.advance(1.0)
    for _ in range(2):
        assert not entry(leaves_nothing)
        clock.advance(1.0)


@pytest.mark.usefixtures("in_lambda")
@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("entry", [guarded, in_threads])
def test_a_timer_that_a_handler_left_costs_nothing_where_threads_take_part(entry, deed):
    assert not entry(leaving(deed, after=0.05))
    time.sleep(0.2)
    assert not entry(leaves_nothing)


@pytest.mark.parametrize("deed", [sys.exit, interrupts])
def test_an_interrupt_outside_lambda_is_raised_and_the_loop_replaced(deed, clock, caplog):
    run(leaving(deed))
    before = kept_loop().loop
    clock.advance(1.0)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(fine)
    assert kept_loop().loop is not before
    assert "the event loop is replaced: what an earlier invocation left on it" in caplog.text
    assert not run(fine)


@pytest.mark.parametrize("deed", [cancels_every_task, stops_the_loop, sets_a_task_factory])
def test_a_timer_that_harms_nothing_of_the_loop_leaves_clients_theirs(deed, clock):
    run(leaving(deed))
    before = kept_loop().loop
    clock.advance(1.0)
    assert not run(leaves_nothing)
    assert kept_loop().loop is before


@pytest.mark.usefixtures("in_lambda")
def test_a_deadline_and_times_hold_on_the_loop_that_replaces_another(clock):
    run(leaving(sys.exit))
    clock.advance(1.0)

    async def slow(record):
        await asyncio.sleep(5)

    report = BatchEngine().run(EVENT, slow, LambdaContext(1.0, clock=clock.time))
    assert {outcome.reason for outcome in report.outcomes} == {FailureReason.DEADLINE}
    assert report.duration == pytest.approx(0.7)


def test_a_task_that_a_timer_makes_has_ended_before_the_first_record(clock, caplog):
    made, seen = [], []

    async def endless():
        try:
            await asyncio.sleep(1000)
        finally:
            seen.append("ended")

    def makes_a_task():
        made.append(asyncio.ensure_future(endless()))

    async def notes(record):
        seen.append("record")

    run(leaving(makes_a_task))
    before = kept_loop().loop
    clock.advance(1.0)
    assert not run(notes)
    assert seen == ["ended"] * 3 + ["record"] * 3
    assert all(task.done() for task in made)
    assert "a handler left a task behind, which was cancelled" in caplog.text
    assert kept_loop().loop is before


def test_a_task_that_a_timer_makes_and_that_does_not_end_costs_the_loop_alone(clock):
    steps = []

    async def endless():
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.5)
            steps.append(1)

    def makes_a_task():
        steps.append(asyncio.ensure_future(endless()))

    async def notes(record):
        before = len(steps)
        await asyncio.sleep(2)
        assert len(steps) == before

    run(leaving(makes_a_task))
    before = kept_loop().loop
    clock.advance(1.0)
    assert not run(notes)
    assert kept_loop().loop is not before


def test_shutdown_ends_whatever_a_timer_does_and_leaves_the_lifespans(clock, monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "function")
    for deed in DEEDS:
        diary = []

        @asynccontextmanager
        async def lifespan(diary=diary):
            yield
            await asyncio.sleep(0.1)
            diary.append("left")

        BatchEngine(lifespan=lifespan).run(EVENT, leaving(deed))
        loop = kept_loop().loop
        clock.advance(1.0)
        asyncbatch.shutdown()  # what hooks of snapshots and the interpreter's end call, too
        assert loop.is_closed()
        if deed in {stops_the_loop, sets_a_task_factory}:
            assert diary == ["left"]


def test_an_interrupt_while_the_loop_shuts_down_is_raised_outside_lambda(clock):
    run(leaving(interrupts))
    loop = kept_loop().loop
    clock.advance(1.0)
    with pytest.raises(KeyboardInterrupt):
        asyncbatch.shutdown()
    assert loop.is_closed()


def test_a_lifespan_that_cancels_every_other_task_on_its_exit_lets_the_others_exit(clock):
    diary = []

    @asynccontextmanager
    async def cancelling():
        yield
        for task in asyncio.all_tasks() - {asyncio.current_task(), *others}:
            task.cancel()

    @asynccontextmanager
    async def slow():
        others.append(asyncio.current_task())
        yield
        await asyncio.sleep(0.1)
        diary.append("left")

    others = []
    for lifespan in (cancelling, slow):
        BatchEngine(lifespan=lifespan).run(EVENT, fine)
    asyncbatch.shutdown()
    assert diary == ["left"]


# --- lifespans that harm what runs them ---------------------------------------------------------------


@pytest.mark.usefixtures("in_lambda", "clock")
@pytest.mark.parametrize("deed", [cancels_every_task, stops_the_loop])
def test_a_lifespan_opens_whatever_it_does_to_the_tasks_and_the_loop(deed):
    @asynccontextmanager
    async def lifespan():
        deed()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)
        deed()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.1)
        yield

    engine = BatchEngine(lifespan=lifespan)
    for _ in range(2):
        assert engine.run(EVENT, fine).all_succeeded


@pytest.mark.usefixtures("in_lambda", "clock")
@pytest.mark.parametrize("deed", [sys.exit, interrupts, cancels_every_task])
def test_a_lifespan_that_cannot_be_opened_is_an_error_before_anything_ran(deed):
    @asynccontextmanager
    async def lifespan():
        while broken:
            asyncio.get_running_loop().call_soon(deed)
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.1)
        yield

    broken = [True]
    engine = BatchEngine(lifespan=lifespan)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the lifespan did not open"):
            engine.run(EVENT, fine)
    broken.clear()
    assert engine.run(EVENT, fine).all_succeeded


@pytest.mark.usefixtures("clock")
def test_an_interrupt_while_a_lifespan_opens_is_raised_outside_lambda():
    @asynccontextmanager
    async def lifespan():
        asyncio.get_running_loop().call_soon(interrupts)
        await asyncio.sleep(0.1)
        yield

    with pytest.raises(KeyboardInterrupt):
        BatchEngine(lifespan=lifespan).run(EVENT, fine)
    assert not run(fine)


@pytest.mark.usefixtures("in_lambda", "clock")
def test_a_lifespan_opens_on_another_loop_when_a_timer_of_a_handler_ends_its_own():
    opened = []

    @asynccontextmanager
    async def lifespan():
        opened.append(asyncio.get_running_loop())
        await asyncio.sleep(1.0)
        yield

    run(leaving(sys.exit))
    assert BatchEngine(lifespan=lifespan).run(EVENT, fine).all_succeeded
    assert len(set(opened)) == 2


def test_a_lifespan_that_is_open_takes_no_turn_of_the_loop(monkeypatch):
    @asynccontextmanager
    async def lifespan():
        yield

    engine = BatchEngine(lifespan=lifespan)
    assert engine.run(EVENT, fine).all_succeeded
    with monkeypatch.context() as patched:
        patched.setattr(_loop.KeptLoop, "complete", None)
        assert engine.run(EVENT, fine).all_succeeded


# --- task factories -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("clock")
def test_a_task_factory_that_a_handler_sets_is_taken_back():
    async def sets(record):
        sets_a_task_factory()

    assert not run(sets)
    assert not run(leaves_nothing)
    assert kept_loop().loop.get_task_factory() is None


@pytest.mark.usefixtures("clock")
def test_a_task_factory_that_a_lifespan_sets_stays():
    def factory(loop, coroutine, **options):
        return asyncio.Task(coroutine, loop=loop, **options)

    @asynccontextmanager
    async def lifespan():
        asyncio.get_running_loop().set_task_factory(factory)
        yield

    async def handler(record):
        assert asyncio.get_running_loop().get_task_factory() is factory

    engine = BatchEngine(lifespan=lifespan)
    for _ in range(2):
        assert engine.run(EVENT, handler).all_succeeded


# --- stops --------------------------------------------------------------------------------------------


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def loops(request, monkeypatch):
    """Asyncio's loops, which tell that they are to stop, and uvloop's, which do not."""
    monkeypatch.setattr(asyncio, "new_event_loop", request.param)
    asyncbatch.shutdown()
    yield
    asyncbatch.shutdown()


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("handler", [fine, leaves_nothing, threaded(lambda record: time.sleep(0.01))])
def test_a_stop_that_was_pending_before_a_batch_is_run_over(handler):
    for _ in range(2):
        loop = kept_loop().loop
        loop.stop()
        loop.stop()
        report = BatchEngine().run(EVENT, handler, LambdaContext(60.0))
        assert report.all_succeeded
        assert kept_loop().loop is loop


def test_a_stop_that_a_callback_asks_for_before_a_batch_starts_is_run_over():
    kept_loop().loop.call_soon(stops_the_loop)
    assert not run(fine)


@pytest.mark.parametrize(
    "make_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
def test_a_stop_that_is_pending_on_the_programs_own_loop_is_run_over(make_loop):
    _loop.discard_loop()
    loop = make_loop()
    asyncio.set_event_loop(loop)
    try:
        for _ in range(2):
            loop.stop()
            assert not side_by_side(fine)
            loop.stop()
            assert not one_after_another(fine)
    finally:
        asyncio.set_event_loop(None)
        loop.close()


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("first_step", [True, False])
def test_a_run_that_a_handler_stopped_says_so_and_its_loop_is_kept(first_step, caplog):
    async def stops(record):
        if record.text == "a":
            if not first_step:
                await asyncio.sleep(0.01)
            asyncio.get_running_loop().stop()
        await asyncio.sleep(5)

    loop = kept_loop().loop
    report = BatchEngine(concurrency=2).run(EVENT, stops, LambdaContext(60.0))
    assert [outcome.reason for outcome in report.outcomes] == [FailureReason.STOPPED] * 2 + [
        SkipReason.STOPPED
    ]
    assert {outcome.message for outcome in report.outcomes[:2]} == {"unfinished when the run was stopped"}
    assert "the event loop was stopped" in caplog.text
    assert "deadline" not in caplog.text
    assert kept_loop().loop is loop
    assert not run(fine)


def test_a_run_that_a_handler_of_the_drop_in_stopped_says_so(caplog):
    async def stops(record):
        asyncio.get_running_loop().stop()
        await asyncio.sleep(5)

    for processor, process in (
        (AsyncBatchProcessor(EventType.SQS, concurrency=2), process_side_by_side),
        (BatchProcessor(EventType.SQS), process_partial_response),
    ):
        with pytest.raises(BatchProcessingError):
            process(EVENT, stops, processor, context=LambdaContext(60.0))
        told = [str(exception[1]) for exception in processor.exceptions]
        assert told[0] == "not finished: the run was stopped"
        assert not any("deadline" in each for each in told)
    assert "deadline" not in caplog.text


# --- loops that are replaced --------------------------------------------------------------------------


@pytest.mark.usefixtures("clock")
def test_the_warning_of_a_replaced_loop_names_what_fails_and_what_helps(clock, caplog):
    async def swallows(record):
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)

    BatchEngine().run(sqs_event(["a"]), swallows, LambdaContext(1.0, clock=clock.time))
    (warning,) = [each for each in caplog.messages if "replaced" in each]
    assert warning.startswith("the event loop is replaced: a handler left on it what does not end. Clients, ")
    assert "`lifespan=`" in warning
    assert "per running loop" in warning


# --- clients ------------------------------------------------------------------------------------------


class Answers(BaseHTTPRequestHandler):
    """Keeps the connection open after each answer."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "6")
        self.end_headers()
        self.wfile.write(b"answer")

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def web_server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("entry", [run, side_by_side])
def test_a_session_that_a_handler_made_is_usable_over_warm_invocations(entry, caplog):
    """Its timers, which close idle connections, were made in records' tasks, and come due between invocations."""
    sessions = []

    async def posts(record):
        if not sessions:
            sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(keepalive_timeout=0.15)))
        async with sessions[0].post(url, data=b"x") as response:
            assert await response.text() == "answer"

    with web_server() as url:
        for idle in (0.0, 0.05, 0.2, 0.35, 0.0):
            assert not entry(posts)
            time.sleep(idle)
        loop = _loop.current_loop().loop
        loop.run_until_complete(sessions[0].close())
    assert not caplog.text


def test_a_stop_by_a_signal_handler_ends_a_run_of_a_script():
    printed = in_a_fresh_process("""
        import asyncio, os, signal
        from asyncbatch import BatchEngine
        from asyncbatch.testing import sqs_event
        async def handler(record):
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, loop.stop)
            await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(60)
        report = BatchEngine().run(sqs_event(["a"]), handler)
        print(report.outcomes[0].reason.value)
    """)
    assert printed == ["stopped"]


# --- callbacks that are due when a batch ends ---------------------------------------------------------


def test_a_generator_that_a_record_left_is_closed_in_its_own_invocation():
    """Asyncio closes a generator that is collected in a callback, which would run in the next invocation."""
    happened = []

    async def numbers():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            happened.append("closed")

    async def handler(record):
        if record.text == "leave":
            async for _ in numbers():
                break
        else:
            happened.append(len(asyncio.all_tasks()))

    engine = BatchEngine()
    assert engine.run(sqs_event(["leave"]), handler).all_succeeded
    assert engine.run(sqs_event(["look"]), handler).all_succeeded
    assert happened == ["closed", 1]


def test_a_callback_that_a_record_left_runs_in_its_own_invocation():
    happened = []

    async def handler(record):
        happened.append(record.text)
        asyncio.get_running_loop().call_soon(happened.append, f"callback of {record.text}")

    engine = BatchEngine()
    for text in ("first", "second"):
        assert engine.run(sqs_event([text]), handler).all_succeeded
    assert happened == ["first", "callback of first", "second", "callback of second"]


@pytest.mark.parametrize("delay", [0, 0.001])
def test_a_callback_that_stops_the_loop_again_and_again_ends_with_the_second_invocation(delay, caplog):
    async def leaves_one(record):
        def stop():
            loop.stop()
            loop.call_later(delay, stop)

        loop = asyncio.get_running_loop()
        stop()
        await asyncio.sleep(0.02)

    async def waits(record):
        await asyncio.sleep(0.02)

    first = kept_loop().loop
    assert len(run(leaves_one)) == 3
    assert len(run(waits)) == 3
    assert "the event loop is replaced: a handler left on it what does not end" in caplog.text
    assert not run(waits)
    assert kept_loop().loop is not first


def test_a_loop_that_is_stopped_now_and_then_is_kept():
    async def stops(record):
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)

    async def fails(record):
        raise ValueError

    loop = kept_loop().loop
    for between in (fine, fails):
        assert len(run(stops)) == 3
        run(between)
    assert len(run(stops)) == 3
    assert kept_loop().loop is loop
