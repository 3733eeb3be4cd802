"""The kept loop: kept over invocations, thawed after a freeze, replaced when it cannot be trusted."""

import asyncio
import atexit
import gc
import os
import subprocess
import sys
import textwrap
import threading
import types
import warnings
from collections.abc import Coroutine

import pytest
from histories import virtual_kept_loops

import asyncbatch
from asyncbatch import BatchEngine, RunningLoopError, _loop
from asyncbatch._loop import kept_loop
from asyncbatch.hooks import BatchStarted
from asyncbatch.testing import LambdaContext, sqs_event

EVENT = sqs_event(["a", "b"])


async def fine(record):
    await asyncio.sleep(0)


def loop_of_a_run(engine=None, handler=fine):
    loops = []

    async def noting(record):
        loops.append(asyncio.get_running_loop())
        await handler(record)

    (engine or BatchEngine()).run(EVENT, noting)
    assert loops[0] is loops[1]
    return loops[0]


def in_a_fresh_process(code, **environment):
    """What a script printed, with warnings as errors."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout.split()


def test_is_kept_over_invocations_and_engines():
    first = loop_of_a_run()
    assert loop_of_a_run() is first
    assert loop_of_a_run(BatchEngine(concurrency=1)) is first
    assert not first.is_closed()


def test_is_replaced_when_somebody_closed_it():
    first = loop_of_a_run()
    first.close()
    assert loop_of_a_run() is not first


def test_is_kept_when_a_handler_stopped_it_and_all_that_it_started_has_ended():
    async def stops(record):
        asyncio.get_running_loop().stop()
        await asyncio.sleep(0.01)

    first = loop_of_a_run(handler=stops)
    assert loop_of_a_run() is first


def test_is_kept_when_a_handler_stops_it_in_the_grace():
    async def stops(record):
        try:
            await asyncio.sleep(10)
        finally:
            asyncio.get_running_loop().stop()

    with virtual_kept_loops():
        first = kept_loop().loop
        report = BatchEngine().run(sqs_event(["a"]), stops, LambdaContext(1.0, clock=first.time))
        assert not report.still_running
        assert kept_loop().loop is first


def test_is_replaced_when_a_straggler_is_left_on_it():
    async def swallows(record):
        for _ in range(3):
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                continue

    with virtual_kept_loops():
        first = kept_loop().loop
        report = BatchEngine().run(EVENT, swallows, LambdaContext(1.0, clock=first.time))
        assert report.duration == pytest.approx(0.8)
        assert len(report.still_running) == 2
        assert first.is_closed()
        assert BatchEngine().run(EVENT, fine).all_succeeded


def test_every_thread_has_its_own_and_its_end_closes_it():
    loops = []
    threads = [threading.Thread(target=lambda: loops.append(loop_of_a_run())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({*loops, loop_of_a_run()}) == 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(loop.is_closed() for loop in loops)


def test_thaw_gives_the_loop_two_turns_after_an_idle_time_that_matters():
    """A connection that was closed in between is seen in one turn and dropped from its pool in the next."""
    turns = []

    async def handler(record):
        turns.append("handler")

    def turn(loop):
        if "handler" not in turns:
            turns.append("turn")
            loop.call_soon(turn, loop)

    def turns_before_the_handler(idle):
        loop = kept_loop().loop
        loop.run_until_complete(asyncio.sleep(idle))
        turns.clear()
        loop.call_soon(turn, loop)
        BatchEngine().run(sqs_event(["a"]), handler)
        return turns.index("handler")

    with virtual_kept_loops():
        BatchEngine().run(sqs_event(["a"]), handler)
        usual = turns_before_the_handler(0.05)
        assert usual <= 2
        assert turns_before_the_handler(0.1) >= usual + 2
        assert turns_before_the_handler(500.0) >= usual + 2
        assert turns_before_the_handler(0.0) == usual


def test_a_new_one_needs_no_thaw_until_it_was_idle_for_a_time_that_matters():
    kept, turns = _loop.KeptLoop(), []
    kept.loop.call_soon(turns.append, "turn")
    kept.thaw(kept.time())
    assert not turns
    kept._idle_since = 0.0
    kept.thaw(0.1)
    assert turns
    kept.loop.close()


def test_leftover_tasks_get_the_grace_and_then_a_cancel_with_a_warning_that_names_them(caplog):
    ended = []

    async def quick():
        await asyncio.sleep(0.05)
        ended.append("quick")

    async def endless():
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("endless")

    kept = []

    async def handler(record):
        kept.append(asyncio.create_task(quick() if record.text == "a" else endless()))

    with virtual_kept_loops():
        loop = kept_loop().loop
        report = BatchEngine().run(EVENT, handler)
        assert report.all_succeeded
        assert ended == ["quick", "endless"]
        assert kept_loop().loop is loop
        assert loop.time() == pytest.approx(0.1)
    (warning,) = caplog.messages
    assert warning.startswith("a handler left a task behind, which was cancelled: ")
    assert warning.endswith(".endless")


class OddCoroutine(Coroutine):
    """A coroutine as compilers make them: without a name."""

    def send(self, value):
        return asyncio.sleep(1000).send(value)

    def throw(self, *error):
        raise error[0]

    def __await__(self):
        return self


def test_a_leftover_task_without_a_name_is_named_by_its_type(caplog):
    async def handler(record):
        kept.append(asyncio.create_task(OddCoroutine()))

    kept = []
    BatchEngine(grace=0.01).run(sqs_event(["a"]), handler)
    (warning,) = caplog.messages
    assert warning == f"a handler left a task behind, which was cancelled: {OddCoroutine!r}"


def test_leftover_generators_are_closed_whatever_they_raise_and_the_loop_is_kept(caplog):
    left = []
    closed = []

    async def numbers(raises):
        try:
            yield 1
        finally:
            closed.append(raises)
            if raises:
                raise ValueError

    async def handler(record):
        left.append(numbers(record.text == "a"))
        await anext(left[-1])

    loop = kept_loop().loop
    assert BatchEngine().run(EVENT, handler).all_succeeded
    assert sorted(closed) == [False, True]
    assert kept_loop().loop is loop
    gc.collect()  # a task whose error nobody asked for complains
    assert not caplog.text


def test_tasks_that_were_there_before_are_no_leaks_where_a_lifespan_is_open(caplog):
    async def background():
        await asyncio.sleep(1000)

    with virtual_kept_loops():
        loop = kept_loop().loop
        kept_loop().has_tenants = True
        task = loop.create_task(background())
        assert BatchEngine().run(EVENT, fine).all_succeeded
        assert not task.done()
        task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
    assert not caplog.text


def test_one_that_is_thrown_away_is_forgotten_and_no_other_is():
    ours, other = kept_loop(), _loop.KeptLoop()
    _loop.discard_loop(other)
    assert kept_loop() is ours
    _loop.discard_loop(ours)
    assert _loop._local.kept is None


def test_one_that_is_thrown_away_complains_of_nothing_any_more(caplog):
    kept = _loop.KeptLoop()
    kept.discard()
    kept.loop.call_exception_handler({"message": "a task was destroyed"})
    assert not caplog.text


def test_tasks_of_one_that_was_thrown_away_are_kept_until_they_are_let_go_of(monkeypatch):
    monkeypatch.setattr(_loop, "_buried", set())
    one, other = _loop.KeptLoop(), _loop.KeptLoop()
    tasks = [kept.loop.create_task(asyncio.sleep(1000)) for kept in (one, other)]
    one.discard()
    other.discard()
    assert _loop._buried == set(tasks)
    _loop.let_go_of_tasks(one.loop)
    assert _loop._buried == {tasks[1]}
    for task in tasks:
        task.get_coro().close()


@pytest.mark.parametrize("end", [_loop.KeptLoop.discard, lambda kept: _loop._Keeper(kept).__del__()])
def test_one_that_was_inherited_is_kept_open_for_the_parent(end):
    kept = _loop.KeptLoop()
    kept._pid = -1
    end(kept)
    assert not kept.loop.is_closed()
    assert _loop._inherited[-1] is kept  # collected, it would be closed
    kept.loop.close()


def test_one_that_runs_is_not_closed_with_its_thread():
    kept = _loop.KeptLoop()

    async def main():
        _loop._Keeper(kept).__del__()

    assert kept.finish(main())
    _loop._Keeper(kept).__del__()
    assert kept.loop.is_closed()


async def test_a_call_inside_a_running_loop_is_refused_by_name():
    with pytest.raises(RunningLoopError) as caught:
        _loop.refuse_running_loop(5, "await five()")
    assert (caught.value.entry, caught.value.instead) == ("5", "await five()")


def test_shutdown_closes_it_and_the_next_run_makes_another():
    first = loop_of_a_run()
    asyncbatch.shutdown()
    assert first.is_closed()
    assert loop_of_a_run() is not first
    asyncbatch.shutdown()
    asyncbatch.shutdown()  # nothing is open: nothing happens


def test_shutdown_gives_lifespans_a_quarter_of_a_second(monkeypatch):
    given = []
    kept = kept_loop()
    monkeypatch.setattr(_loop.KeptLoop, "close", lambda self, within: given.append(within))
    _loop.shutdown_loop()
    assert given == [0.25]
    kept.loop.close()


def test_shutdown_leaves_alone_what_is_closed_or_the_parents():
    kept_loop().loop.close()
    asyncbatch.shutdown()
    kept = kept_loop()
    kept._pid = -1
    asyncbatch.shutdown()
    assert not kept.loop.is_closed()
    kept._pid = os.getpid()


def test_shutdown_within_a_run_takes_effect_after_it():
    async def handler(record):
        asyncbatch.shutdown()
        await asyncio.sleep(0)

    first = loop_of_a_run(handler=handler)
    assert first.is_closed()


def test_forked_children_make_their_own_and_leave_the_parents_alone():
    printed = in_a_fresh_process("""
        import asyncio, os, warnings
        from asyncbatch import BatchEngine
        from asyncbatch.testing import sqs_event
        loops = []
        async def handler(record):
            loops.append(asyncio.get_running_loop())
            await asyncio.sleep(0.01)
        run = lambda: BatchEngine().run(sqs_event(["a"]), handler).all_succeeded
        assert run()
        sleeper = loops[0].create_task(asyncio.sleep(0.05))
        child = os.fork()
        if not child:
            assert run() and run()
            assert loops[0] is not loops[1] and loops[1] is loops[2]
            print("child", flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        loops[0].run_until_complete(sleeper)
        assert run() and loops[0] is loops[1]
        print("parent")
    """)
    assert printed == ["child", "parent"]


def test_forks_with_a_guard_get_their_own():
    printed = in_a_fresh_process("""
        import os, warnings
        from asyncbatch import BatchEngine
        from asyncbatch.testing import sqs_event
        async def handler(record):
            pass
        engine = BatchEngine(guard_blocking=True)
        run = lambda: engine.run(sqs_event(["a"]), handler).all_succeeded
        assert run()
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork of a process with threads: meant
        child = os.fork()
        if not child:
            assert run()
            print("child", flush=True)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert run()
        print("parent")
    """)
    assert printed == ["child", "parent"]


SNAPSHOT = """
    import asyncio, sys, types
    module = types.ModuleType("snapshot_restore_py")
    hooks = {}
    module.register_before_snapshot = lambda hook: hooks.update(before=hook)
    module.register_after_restore = lambda hook: hooks.update(after=hook)
    INSTALL
    from asyncbatch import BatchEngine
    from asyncbatch.testing import sqs_event
    loops = []
    async def handler(record):
        loops.append(asyncio.get_running_loop())
    run = lambda: BatchEngine().run(sqs_event(["a"]), handler)
    run()
    for name, hook in hooks.items():
        hook()
        print(name, loops[-1].is_closed())
        run()
    print(len(set(loops)))
"""


def test_snapshots_are_taken_without_a_loop_and_restored_with_a_new_one():
    code = SNAPSHOT.replace("INSTALL", 'sys.modules["snapshot_restore_py"] = module')
    printed = in_a_fresh_process(code, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start")
    assert printed == ["before", "True", "after", "True", "3"]
    assert in_a_fresh_process(code) == ["1"]  # an ordinary start registers nothing


def test_the_first_loop_registers_its_end_and_its_snapshots_once(monkeypatch):
    exits, before, after = [], [], []
    module = types.SimpleNamespace(
        register_before_snapshot=before.append, register_after_restore=after.append
    )
    monkeypatch.setitem(sys.modules, "snapshot_restore_py", module)
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")
    monkeypatch.setattr(atexit, "register", exits.append)
    monkeypatch.setattr(_loop, "_once", set())
    for _ in range(2):
        asyncbatch.shutdown()
        kept_loop()
    assert exits == [_loop.shutdown_loop]
    assert before == [_loop.shutdown_loop]
    assert after == [_loop.discard_loop]


def test_snapshots_without_lambdas_module_are_no_error():
    code = SNAPSHOT.replace("INSTALL", 'sys.modules["snapshot_restore_py"] = None')
    assert in_a_fresh_process(code, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start") == ["1"]


def test_import_and_first_batch_load_little():
    printed = in_a_fresh_process("""
        import sys
        from asyncbatch import BatchEngine, batch_handler
        async def handler(record):
            pass
        names = ["a", "b"]
        origin = {"eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:e:1:q"}
        raws = [{"messageId": name, "body": name, **origin} for name in names]
        assert batch_handler(handler)({"Records": raws}, None) == {"batchItemFailures": []}
        heavy = {"anyio", "pydantic", "aiobotocore", "botocore", "boto3", "rich", "click", "opentelemetry"}
        print(*heavy & set(sys.modules), "asyncbatch.hooks" in sys.modules, "asyncbatch.testing" in sys.modules)
    """)
    assert printed == ["False", "False"]


def test_an_interrupt_while_leftovers_have_the_grace_is_raised():
    left = []

    async def interrupts():
        await asyncio.sleep(0.01)
        raise KeyboardInterrupt

    async def handler(record):
        left.append(asyncio.create_task(interrupts()))

    with pytest.raises(KeyboardInterrupt):
        BatchEngine().run(sqs_event(["a"]), handler)
    assert left[0].done()


@pytest.mark.parametrize("guard_blocking", [False, True])
@pytest.mark.parametrize("closes", [asyncbatch.shutdown, lambda: _loop.discard_loop(kept_loop())])
@pytest.mark.parametrize("asks", ["hook", "key function"])
def test_a_batch_gets_another_where_its_own_is_closed_before_it_starts(asks, closes, guard_blocking):
    def hook(event):
        if isinstance(event, BatchStarted):
            closes()

    def key(record):
        closes()
        return record.id

    options = {"hooks": [hook]} if asks == "hook" else {"ordering": key}
    engine = BatchEngine(guard_blocking=guard_blocking, **options)
    for _ in range(2):
        report = engine.run(EVENT, fine, LambdaContext(60.0))
        assert report.all_succeeded
        assert report.duration < 30


def test_a_fork_in_another_thread_leaves_the_loops_of_the_parents_threads_alone():
    """The child ends the threads that it did not inherit, and with them what belongs to each."""
    code = """
        import asyncio, os, threading, time, warnings
        from asyncbatch import BatchEngine, threaded
        from asyncbatch.testing import LambdaContext, sqs_event

        async def fine(record):
            await asyncio.sleep(0)

        def fork():
            warnings.simplefilter("ignore")
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)

        BatchEngine().run(sqs_event(["a"]), fine)
        thread = threading.Thread(target=fork)
        thread.start()
        thread.join()
        works = threaded(lambda record: time.sleep(0.05))
        print(BatchEngine().run(sqs_event(["a"]), works, LambdaContext(10.0)).all_succeeded)
    """
    assert in_a_fresh_process(code) == ["True"]
