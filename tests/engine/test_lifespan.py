"""Lifespans: open once per engine and loop, entered and left in one task, injected as `state`."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import anyio
import pytest
from histories import virtual_kept_loops
from test_loop import in_a_fresh_process

import asyncbatch
from asyncbatch import BatchEngine, InvalidHandlerError, SkipReason
from asyncbatch._lifespan import _hosts, forget_lifespans
from asyncbatch._loop import discard_loop, kept_loop
from asyncbatch.testing import LambdaContext, run_virtual, sqs_event

EVENT = sqs_event(["a", "b"])


class Resource:
    """A lifespan that keeps a diary."""

    def __init__(self, *, opening=0.0, closing=0.0, error=None):
        self.diary = []
        self.tasks = []
        self.opening, self.closing, self.error = opening, closing, error

    @asynccontextmanager
    async def __call__(self):
        self.tasks.append(asyncio.current_task())
        await asyncio.sleep(self.opening)
        if self.error is not None:
            raise self.error
        self.diary.append("open")
        async with anyio.create_task_group() as group:  # asks to be left in the task that entered it
            group.start_soon(anyio.sleep_forever)
            try:
                yield f"state {self.diary.count('open')}"
            finally:
                with anyio.CancelScope(shield=True):
                    await asyncio.sleep(self.closing)
                group.cancel_scope.cancel()
                self.tasks.append(asyncio.current_task())
                self.diary.append("closed")


def states_of_a_run(engine):
    states = []

    async def handler(record, state):
        states.append(state)

    assert engine.run(EVENT, handler).all_succeeded
    return states


def test_opens_once_per_engine_and_loop():
    resource = Resource()
    engine, other = BatchEngine(lifespan=resource), BatchEngine(lifespan=resource)
    assert states_of_a_run(engine) == ["state 1", "state 1"]
    assert states_of_a_run(engine) == ["state 1", "state 1"]
    assert states_of_a_run(other) == ["state 2", "state 2"]
    asyncbatch.shutdown()
    assert resource.diary == ["open", "open", "closed", "closed"]
    entered, left = resource.tasks[:2], resource.tasks[2:]
    assert set(entered) == set(left)
    assert states_of_a_run(engine) == ["state 3", "state 3"]


def test_reopens_when_the_loop_is_replaced():
    resource = Resource()
    engine = BatchEngine(lifespan=resource)
    states_of_a_run(engine)
    discard_loop()
    assert states_of_a_run(engine) == ["state 2", "state 2"]


def test_its_tasks_are_no_leaks(caplog):
    resource = Resource()
    engine = BatchEngine(lifespan=resource)
    with virtual_kept_loops():
        for _ in range(3):
            states_of_a_run(engine)
        assert not kept_loop().spoiled
        asyncbatch.shutdown()
    assert resource.diary == ["open", "closed"]
    assert not caplog.text


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a task's context cannot be read")
def test_tasks_that_it_makes_during_a_run_are_no_leaks(caplog):
    makers = []

    @asynccontextmanager
    async def pool():
        wanted = asyncio.Queue()
        made = []

        async def work():
            await asyncio.sleep(1000)

        async def serve():
            while True:
                reply = await wanted.get()
                made.append(asyncio.create_task(work()))
                reply.set_result(None)

        server = asyncio.create_task(serve())
        makers.append(made)
        yield wanted
        server.cancel()
        for task in made:
            task.cancel()

    async def handler(record, state):
        reply = asyncio.get_running_loop().create_future()
        state.put_nowait(reply)
        await reply

    with virtual_kept_loops():
        assert BatchEngine(lifespan=pool).run(EVENT, handler).all_succeeded
        assert [task.done() for task in makers[0]] == [False, False]
        asyncbatch.shutdown()
    assert not caplog.text


def test_leftovers_of_handlers_are_leaks_beside_a_lifespan(caplog):
    async def forgotten():
        await asyncio.sleep(1000)

    kept = []

    async def handler(record):
        kept.append(asyncio.create_task(forgotten()))

    with virtual_kept_loops():
        assert BatchEngine(lifespan=Resource()).run(EVENT, handler).all_succeeded
        assert all(task.cancelled() for task in kept)
        asyncbatch.shutdown()
    assert "forgotten" in caplog.text


def test_not_open_before_the_deadline_means_no_record_is_started(caplog):
    resource = Resource(opening=3.0)
    engine = BatchEngine(lifespan=resource)
    ran = []

    async def handler(record, state):
        ran.append(state)

    with virtual_kept_loops():
        context = LambdaContext(1.0, clock=kept_loop().loop.time)
        report = engine.run(EVENT, handler, context)
        assert report.duration == pytest.approx(0.7)
        assert [outcome.reason for outcome in report.outcomes] == [SkipReason.DEADLINE] * 2
        assert not ran
        assert "did not open before the deadline" in caplog.text
        # It goes on opening: the next invocation has it, and it was entered once.
        assert engine.run(EVENT, handler).all_succeeded
        assert resource.diary == ["open"]
        asyncbatch.shutdown()


def test_process_does_not_wait_for_it_beyond_the_deadline():
    resource = Resource(opening=3.0)
    engine = BatchEngine(lifespan=resource)

    async def handler(record, state):
        raise AssertionError

    async def main():
        report = await engine.process(EVENT, handler, deadline=1.0)
        assert asyncio.get_running_loop().time() <= 1.0
        assert [outcome.reason for outcome in report.outcomes] == [SkipReason.DEADLINE] * 2
        await asyncio.sleep(5)
        await engine.aclose()

    run_virtual(main())
    assert resource.diary == ["open", "closed"]


def test_failing_to_open_is_raised_and_tried_again():
    resource = Resource(error=ConnectionError("no route"))
    engine = BatchEngine(lifespan=resource)
    for _ in range(2):
        with pytest.raises(ConnectionError, match="no route"):
            states_of_a_run(engine)
    resource.error = None
    assert states_of_a_run(engine) == ["state 1", "state 1"]


def test_cancelled_while_it_opens_is_an_error_not_a_cancellation():
    resource = Resource(error=asyncio.CancelledError())
    with pytest.raises(RuntimeError, match="did not open: CancelledError"):
        states_of_a_run(BatchEngine(lifespan=resource))


def test_is_reopened_when_it_ended_by_itself():
    @asynccontextmanager
    async def dies():
        opened.append(asyncio.current_task())
        yield len(opened)

    opened = []
    engine = BatchEngine(lifespan=dies)
    with virtual_kept_loops():
        assert states_of_a_run(engine) == [1, 1]
        opened[0].cancel()
        kept_loop().loop.run_until_complete(asyncio.wait(opened))
        assert states_of_a_run(engine) == [2, 2]
        asyncbatch.shutdown()


def test_an_exit_that_takes_too_long_is_cancelled():
    resource = Resource(closing=100.0)
    with virtual_kept_loops():
        states_of_a_run(BatchEngine(lifespan=resource))
        loop = kept_loop().loop
        asyncbatch.shutdown(timeout=0.5)
        assert loop.time() <= 1.0
        assert loop.is_closed()


def test_process_opens_it_in_the_callers_loop_and_aclose_leaves_it():
    resource = Resource()
    engine, other = BatchEngine(lifespan=resource), BatchEngine(lifespan=resource)
    states = []

    async def handler(record, state):
        states.append(state)

    async def main():
        await engine.process(EVENT, handler)
        await other.process(EVENT, handler)
        await engine.process(EVENT, handler)
        await engine.aclose()
        assert resource.diary == ["open", "open", "closed"]
        await engine.process(EVENT, handler)
        await engine.aclose()
        await other.aclose()
        await other.aclose()  # nothing is open: nothing happens

    run_virtual(main())
    assert states == [f"state {number}" for number in (1, 1, 2, 2, 1, 1, 3, 3)]
    assert resource.diary.count("closed") == 3


def test_handlers_that_ask_for_a_state_nobody_makes_are_refused():
    async def handler(record, state):
        pass

    with pytest.raises(InvalidHandlerError, match="no lifespan"):
        BatchEngine().run(EVENT, handler)


def test_is_closed_when_the_interpreter_ends():
    printed = in_a_fresh_process("""
        from contextlib import asynccontextmanager
        from asyncbatch import BatchEngine
        from asyncbatch.testing import sqs_event
        @asynccontextmanager
        async def lifespan():
            print("open")
            yield 1
            print("closed")
        async def handler(record, state):
            print("ran")
        for guard in (False, True):
            BatchEngine(lifespan=lifespan, guard_blocking=guard).run(sqs_event(["a"]), handler)
    """)
    assert sorted(printed) == ["closed", "closed", "open", "open", "ran", "ran"]
    assert printed[-2:] == ["closed", "closed"]


class ClosedLoop:
    """Stands for a closed event loop; asked whether it is, it lets another thread change the registry first."""

    def __init__(self, meanwhile):
        self.meanwhile = meanwhile

    def is_closed(self):
        self.meanwhile(self)
        return True


@pytest.mark.parametrize(
    "meanwhile",
    [forget_lifespans, lambda _: _hosts.setdefault(ClosedLoop(lambda _: None), {})],
    ids=["forgets the loop too", "adds a loop"],
)
def test_another_thread_may_change_the_registry_while_closed_loops_are_forgotten(meanwhile, request):
    """The other thread comes at the worst moment."""
    loops = [ClosedLoop(meanwhile), ClosedLoop(meanwhile)]
    request.addfinalizer(lambda: [forget_lifespans(each) for each in [*_hosts] if type(each) is ClosedLoop])
    for loop in loops:
        _hosts[loop] = {}
    assert states_of_a_run(BatchEngine(lifespan=Resource())) == ["state 1", "state 1"]
    assert not {*loops} & {*_hosts}


def test_threads_whose_loops_are_opened_and_closed_at_the_same_time_share_an_engine():
    engine = BatchEngine(lifespan=Resource())

    def work():
        for _ in range(15):
            assert len(states_of_a_run(engine)) == 2
            kept_loop().loop.close()

    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            for done in [pool.submit(work) for _ in range(4)]:
                done.result()
    finally:
        sys.setswitchinterval(switch)


@pytest.mark.parametrize("how", ["run", "process"])
def test_failing_to_open_is_the_end_of_the_batch_for_hooks(how):
    told = []
    engine = BatchEngine(lifespan=Resource(error=ValueError("refused")), hooks=[told.append])

    async def handler(record):
        raise AssertionError

    with pytest.raises(ValueError, match="refused"):
        if how == "run":
            engine.run(EVENT, handler)
        else:
            run_virtual(engine.process(EVENT, handler))
    assert [type(event).__name__ for event in told] == ["BatchStarted", "BatchEnded"]
    assert {outcome.reason for outcome in told[-1].report.outcomes} == {SkipReason.STOPPED}


def test_shutdown_does_not_wait_for_a_generator_that_does_not_end():
    async def endless():
        try:
            yield
        finally:
            await asyncio.Event().wait()

    @asynccontextmanager
    async def lifespan():
        generator = endless()
        await anext(generator)
        yield generator

    async def handler(record, state):
        pass

    with virtual_kept_loops():
        assert BatchEngine(lifespan=lifespan).run(EVENT, handler).all_succeeded
        loop = kept_loop().loop
        begun = loop.time()
        asyncbatch.shutdown(0.5)
        assert loop.time() - begun == pytest.approx(0.5)
