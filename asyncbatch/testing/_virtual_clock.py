"""A virtual clock for synchronous code that makes event loops, as a Lambda function does."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, Self, final

from asyncbatch._loop import (
    discard_loop,
    let_go_of_tasks,
    loop_that_is_set,
    refuse_running_loop,
    shutdown_loop,
)
from asyncbatch.testing._clock import VirtualTime
from asyncbatch.testing._schedules import ScheduleName
from asyncbatch.testing._virtual_loop import NotSimulatedError, VirtualLoop, forget


@final
class VirtualClock:
    """While it is open, every event loop that its thread makes lives on it, whoever makes it.

    ``asyncio.run``, ``asyncio.new_event_loop`` and a batch handler's own loop then wait without waiting: ::

        with VirtualClock() as clock:
            report = lambda_handler.run(event, LambdaContext(timeout=900, clock=clock.time))

    Where a coroutine is to be run, `run_virtual` does it in one call.

    Args:
        seed: See `VirtualLoop`.
        schedule: See `VirtualLoop`.
    """

    def __init__(self, *, seed: int | None = None, schedule: ScheduleName = "shuffle") -> None:
        self.virtual_time: Final = VirtualTime()
        self._seed = seed
        self._schedule: ScheduleName = schedule
        self._loops: list[VirtualLoop] = []
        self._before: tuple[VirtualClock | None, asyncio.AbstractEventLoop | None] | None = None

    def time(self) -> float:
        """The virtual time in seconds, from 0."""
        return self.virtual_time.now

    def advance(self, seconds: float) -> None:
        """Let time pass while nothing runs, as in a frozen environment; what comes due, runs when a loop runs.

        Args:
            seconds: How long.

        Raises:
            ValueError: it is negative.
            RunningLoopError: an event loop runs; there, await `asyncio.sleep`.
        """
        if seconds < 0:
            message = f"time does not go back: advance({seconds})"
            raise ValueError(message)
        refuse_running_loop("VirtualClock.advance", "await asyncio.sleep(seconds)")
        self.virtual_time.move_to(self.virtual_time.now + seconds)

    def new_event_loop(self) -> VirtualLoop:
        """Make a loop that lives on this clock; asyncio does so by itself while the clock is open."""
        loop = VirtualLoop(seed=self._seed, schedule=self._schedule, time=self.virtual_time)
        self._loops.append(loop)
        return loop

    @property
    def refused(self) -> NotSimulatedError | None:
        """What was asked for last that lives in real time: a thread, a socket; None where nothing was."""
        return next((loop.refused for loop in reversed(self._loops) if loop.refused), None)

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            RunningLoopError: an event loop runs in this thread, in real time.
            RuntimeError: the clock is open already.
        """
        if self._before is not None:
            message = "this VirtualClock is open already: make another one"
            raise RuntimeError(message)
        refuse_running_loop("VirtualClock", "run_virtual(main), from a function that is not async")
        shutdown_loop()  # one in real time
        self._before = _current.clock, loop_that_is_set()
        if self._before[1] is not None:
            asyncio.set_event_loop(None)
        _current.clock = self
        _loops_are_virtual.begin()
        return self

    def __exit__(self, *_: object) -> None:
        """End; what is left on the loops ends here."""
        assert self._before is not None, "it was entered"  # noqa: S101 - narrows a type
        before, loop = self._before
        self._before = None
        try:
            if not self.virtual_time.dead:
                shutdown_loop()
        finally:
            for each in self._loops:
                _end_tasks(each)
            discard_loop()
            for each in self._loops:
                let_go_of_tasks(each)
                each.close()
            self._loops.clear()
            _loops_are_virtual.end()
            _current.clock = before
            if loop_that_is_set() is not loop:
                asyncio.set_event_loop(loop)


class _Current(threading.local):
    clock: VirtualClock | None = None


_current: Final = _Current()


class _LoopsAreVirtual:
    """Lets asyncio make virtual loops in the threads in which a clock is open."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open = 0
        self._changed: list[Any] = []  # policies: somebody may set another one while a clock is open

    def begin(self) -> None:
        with self._lock:
            self._open += 1
            policy = _policy()
            if policy in self._changed:
                return
            self._changed.append(policy)
            policy.new_event_loop = _make_virtual_loops(policy.new_event_loop)
            if sys.version_info < (3, 14):
                policy.get_event_loop = _make_a_first_loop(policy, policy.get_event_loop)

    def end(self) -> None:
        with self._lock:
            self._open -= 1
            while self._changed and not self._open:
                policy = self._changed.pop()
                for name in ("new_event_loop", "get_event_loop"):  # the instance's, which hid the class's
                    policy.__dict__.pop(name, None)


def _make_virtual_loops(usual: Callable[[], Any]) -> Callable[[], Any]:
    """Let a thread in which a clock is open have loops that live on it."""

    def new_event_loop() -> Any:
        clock = _current.clock
        return usual() if clock is None else clock.new_event_loop()

    return new_event_loop


def _make_a_first_loop(policy: Any, usual: Callable[[], Any]) -> Callable[[], Any]:
    """Let `asyncio.get_event_loop` make a loop where none was set yet, as it does before 3.14 in the main thread.

    Lambda calls functions there; here they have a thread of their own.
    """

    def get_event_loop() -> Any:
        state: Any = getattr(policy, "_local", None)
        if _current.clock is not None and not getattr(state, "_set_called", True):
            policy.set_event_loop(policy.new_event_loop())
        return usual()

    return get_event_loop


_loops_are_virtual: Final = _LoopsAreVirtual()


def _policy() -> Any:
    """What makes event loops: `asyncio.run`, `asyncio.new_event_loop` and `asyncio.get_event_loop` all ask it."""
    get = getattr(asyncio.events, "_get_event_loop_policy", None)  # from 3.14 on, where the other one warns
    return asyncio.get_event_loop_policy() if get is None else get()  # pyright: ignore[reportDeprecated]


def _end_tasks(loop: VirtualLoop) -> None:
    """End what is left on a loop that never runs again."""
    # As if a loop ran: what catches everything and waits again would else find none to wait on, and spin for ever.
    running = asyncio._get_running_loop()  # noqa: SLF001 - documented, underscore and all
    asyncio._set_running_loop(VirtualLoop())  # noqa: SLF001 - likewise
    try:
        for task in asyncio.all_tasks(loop) | loop.killed:
            if task.done():
                continue  # its coroutine is gone: 3.12.1 crashes when asked for it
            forget(task)
            coroutine: Any = task.get_coro()
            try:
                coroutine.close()
            except BaseException:  # noqa: BLE001 - it catches everything, its end too
                _never_collect(coroutine)
    finally:
        asyncio._set_running_loop(running)  # noqa: SLF001 - likewise


def _never_collect(coroutine: object) -> None:
    """Keep what does not end, beyond the end of the program, too.

    To collect it is to close it again, then without a loop to wait on: it would spin, and the program not exit.
    No Python object lives that long, so the reference has no owner.
    """
    import ctypes  # noqa: PLC0415 - hardly ever needed

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(coroutine))
