"""Jobs that run where clients live: on the thread's current loop, if that is open and idle, else on ours."""

import asyncio
import contextlib
import os
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_loop import in_a_fresh_process

import asyncbatch
from asyncbatch import SkipReason, _loop
from asyncbatch._events import read_event
from asyncbatch._handlers import BoundHandler
from asyncbatch._invocation import Job, run_where_clients_live
from asyncbatch._ledger import Ledger
from asyncbatch._loop import current_loop, discard_loop, kept_loop
from asyncbatch._options import Options
from asyncbatch.testing import sqs_event

EVENT = sqs_event(["a", "b"])


async def fine(record):
    await asyncio.sleep(0)


def run(handler: Any = fine, budget: float | None = None) -> Ledger:
    job = Job(Options(), read_event(EVENT), BoundHandler(handler), None, budget, None)
    job.ledger.seal(run_where_clients_live(job, None if budget is None else budget + 1))
    return job.ledger


def loop_of_a_run() -> asyncio.AbstractEventLoop:
    loops = []

    async def noting(record):
        loops.append(asyncio.get_running_loop())

    assert run(noting).result == b"\1\1"
    assert loops[0] is loops[1]
    return loops[0]


@pytest.fixture
def nothing_set():
    """A thread without a current loop, and none of ours."""
    discard_loop()
    asyncio.set_event_loop(None)
    yield
    asyncio.set_event_loop(None)


@pytest.fixture
def own_loop(nothing_set):
    """A loop that a program made at import, and set as the current one."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    asyncio.set_event_loop(None)
    loop.close()


def test_is_adopted_where_it_is_open_and_idle(own_loop):
    assert loop_of_a_run() is own_loop
    assert loop_of_a_run() is own_loop
    assert not own_loop.is_closed()


def test_is_adopted_once_and_although_we_have_one_ourselves(own_loop):
    kept_loop()
    adopted = current_loop()
    assert adopted.loop is own_loop
    assert current_loop() is adopted


def test_is_adopted_although_it_does_not_tell_its_generators(own_loop):
    del own_loop._asyncgens
    assert loop_of_a_run() is own_loop


@pytest.mark.usefixtures("nothing_set")
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="no policy is asked")
@pytest.mark.parametrize(
    "policy", [object(), SimpleNamespace(_local=object())], ids=["no storage", "no loop"]
)
def test_is_ours_where_a_policy_of_somebodys_own_does_not_tell(policy, monkeypatch):
    monkeypatch.setattr(asyncio, "get_event_loop_policy", lambda: policy)
    assert current_loop() is kept_loop()


def test_is_ours_and_set_where_there_is_none(nothing_set):
    loop = loop_of_a_run()
    assert loop is kept_loop().loop
    assert asyncio.get_event_loop_policy().get_event_loop() is loop
    assert loop_of_a_run() is loop


@pytest.mark.usefixtures("nothing_set")
def test_is_ours_again_after_asyncio_run():
    loop = loop_of_a_run()
    asyncio.run(asyncio.sleep(0))  # leaves no loop set
    assert loop_of_a_run() is loop
    assert asyncio.get_event_loop_policy().get_event_loop() is loop


def test_is_replaced_when_somebody_closed_it(own_loop):
    loop_of_a_run()
    own_loop.close()
    loop = loop_of_a_run()
    assert loop is kept_loop().loop
    loop.close()
    assert loop_of_a_run() not in {own_loop, loop}


def test_is_never_closed_by_us(own_loop):
    loop_of_a_run()
    asyncbatch.shutdown()
    discard_loop()
    assert not own_loop.is_closed()
    assert loop_of_a_run() is own_loop


def test_a_straggler_costs_its_use_and_it_stays_open(own_loop, caplog):
    stopped = []

    async def swallows(record):
        for _ in range(3):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)
        stopped.append(record)

    assert run(swallows, budget=0.05).result == b"\0\0"
    assert "the event loop is replaced" in caplog.text
    assert not own_loop.is_closed()
    asyncio.set_event_loop(own_loop)
    assert loop_of_a_run() is not own_loop  # its straggler would run on
    assert not stopped


def test_is_left_alone_while_it_runs_elsewhere(own_loop):
    thread = threading.Thread(target=own_loop.run_forever)
    thread.start()
    try:
        assert loop_of_a_run() is not own_loop
    finally:
        own_loop.call_soon_threadsafe(own_loop.stop)
        thread.join()


def test_the_programs_own_tasks_go_on_and_a_handlers_are_ended(own_loop, caplog):
    ticks = []

    async def ticking():
        while True:
            ticks.append(1)
            await asyncio.sleep(0)

    background = own_loop.create_task(ticking())
    left = []

    async def leaves(record):
        left.append(asyncio.create_task(asyncio.sleep(1000)))

    assert run(leaves).result == b"\1\1"
    assert ticks
    assert not background.done()
    assert all(task.cancelled() for task in left)
    assert "a handler left a task behind" in caplog.text
    assert loop_of_a_run() is own_loop
    background.cancel()
    own_loop.run_until_complete(asyncio.wait([background]))


def test_the_programs_own_generators_go_on(own_loop, monkeypatch):
    # Other tests leave tasks on loops that are theirs, which asyncio counts in one number with ours.
    monkeypatch.setattr(_loop, "_no_tasks", lambda: True)

    async def numbers():
        yield 1
        yield 2

    own = numbers()

    async def first():
        return await anext(own)  # the loop knows a generator that is begun inside it

    assert own_loop.run_until_complete(first()) == 1
    assert run().result == b"\1\1"
    assert own_loop.run_until_complete(anext(own)) == 2
    own_loop.run_until_complete(own.aclose())


@pytest.mark.usefixtures("nothing_set")
def test_tasks_that_a_program_puts_on_ours_go_on():
    loop = loop_of_a_run()
    task = asyncio.get_event_loop_policy().get_event_loop().create_task(asyncio.sleep(1000))
    assert loop_of_a_run() is loop
    assert not task.done()
    task.cancel()
    loop.run_until_complete(asyncio.wait([task]))


def test_is_thawed_at_its_first_use(own_loop):
    turns = []

    def turn(left):
        turns.append(left)
        if left:
            own_loop.call_soon(turn, left - 1)

    own_loop.call_soon(turn, 5)
    at_start = []

    async def handler(record):
        at_start.append(len(turns))

    run(handler)
    assert at_start[0] >= 2


@pytest.mark.usefixtures("nothing_set")
def test_every_thread_has_its_own():
    loops = [loop_of_a_run()]

    def in_thread():
        loops.append(loop_of_a_run())
        loops.append(loop_of_a_run())
        asyncbatch.shutdown()

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert loops[1] is loops[2]
    assert loops[0] is not loops[1]


def test_inside_a_running_loop_the_job_has_a_thread(own_loop):
    async def main():
        return loop_of_a_run(), asyncio.get_running_loop()

    ran_on, callers = own_loop.run_until_complete(main())
    assert callers is own_loop
    assert ran_on is not own_loop
    assert loop_of_a_run() is own_loop


def test_inside_a_running_loop_a_handler_that_blocks_is_left_behind():
    released = threading.Event()

    async def blocks(record):
        released.wait(20)

    async def main():
        start = time.perf_counter()
        ledger = run(blocks, budget=0.1)
        return ledger, time.perf_counter() - start

    try:
        ledger, seconds = asyncio.run(main())
    finally:
        released.set()
    assert ledger.result == b"\0\0"
    assert seconds < 10


def test_an_interrupt_while_we_wait_for_the_thread_leaves_it_behind(monkeypatch):
    entered, released = threading.Event(), threading.Event()
    finished = []

    async def slow(record):
        entered.set()
        while not released.is_set():
            await asyncio.sleep(0.001)
        finished.append(record)

    def interrupted_wait(call, timeout):
        entered.wait(20)
        raise KeyboardInterrupt

    async def main():
        with pytest.raises(KeyboardInterrupt):
            run(slow)

    with monkeypatch.context() as patched:
        patched.setattr("asyncbatch._guard.GuardedCall.wait", interrupted_wait)
        asyncio.run(main())
    released.set()
    time.sleep(0.05)
    assert not finished


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_takes_another_and_leaves_the_parents_alone():
    told = in_a_fresh_process(
        """
        import asyncio, os
        import test_current_loop as here
        loop = here.loop_of_a_run()
        pid = os.fork()
        if pid == 0:
            child = here.loop_of_a_run()
            os._exit(0 if child is not loop else 1)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), here.loop_of_a_run() is loop)
        """,
        PYTHONPATH=os.pathsep.join(
            [str(Path(__file__).parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        ),
    )
    assert told == ["0", "True"]


def test_no_loop_is_made_to_find_out_and_nothing_warns():
    told = in_a_fresh_process(
        """
        import asyncio
        from asyncbatch._loop import current_loop
        made = []
        new = asyncio.new_event_loop
        asyncio.new_event_loop = lambda: made.append(new()) or made[-1]
        kept = current_loop()
        print(len(made), kept.loop is made[0], current_loop() is kept)
        """
    )
    assert told == ["1", "True", "True"]


def test_what_was_not_started_is_said_to_be_late(own_loop):
    ledger = run(budget=0.0)
    assert set(ledger.skips.values()) == {SkipReason.DEADLINE}
    assert current_loop().loop is own_loop
