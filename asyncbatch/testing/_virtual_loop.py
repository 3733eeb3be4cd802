"""An event loop on a virtual clock: its time jumps to the next timer instead of waiting for it.

One thread, no sockets, no real time: a run of an hour takes milliseconds and is the same every
time. With a seed the order in which ready callbacks run is drawn each turn, the same way for the
same seed, so that code which relies on an order that asyncio does not promise between tasks is
found, and found again.
"""

from __future__ import annotations

import asyncio
import heapq
import inspect
import math
import selectors
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import Context
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar, TypeVarTuple

from asyncbatch._errors import AsyncBatchError
from asyncbatch._loop import is_inside_loop, refuse_running_loop
from asyncbatch._scheduler import Run
from asyncbatch.testing._clock import Killed, VirtualTime
from asyncbatch.testing._schedules import ScheduleName, schedule_of, take_turn

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_STILL_TURNS: Final = 1_000_000
"""So many turns of the loop without a step in time are a livelock; it takes a second or two."""
_CLEANUP: Final = 3600.0
"""Virtual seconds that the tasks left behind get to end after their cancellation."""


class SimulationError(AsyncBatchError):
    """Base class of what a virtual loop reports about the code that runs on it."""


class DeadlockError(SimulationError):
    """Raised when nothing is ready and no timer is set, while the loop is asked to go on.

    Args:
        now: The virtual time in seconds.
        waiting: The tasks that wait, each with the place where.
    """

    def __init__(self, now: float, waiting: list[str]) -> None:
        super().__init__(now, waiting)
        self.now = now
        self.waiting = waiting

    def __str__(self) -> str:
        """Name the time, then each task and its place."""
        tasks = "".join(f"\n  {task}" for task in self.waiting) or " (no task is left)"
        return (
            f"deadlock at {self.now:g} s of virtual time: nothing is ready, no timer is set, and "
            f"no thread or socket can wake this loop. These tasks wait:{tasks}"
        )


class LivelockError(SimulationError):
    """Raised when the loop turns without end and the time does not move.

    Args:
        now: The virtual time in seconds.
        tasks: The tasks that are not done, each with its place.
    """

    def __init__(self, now: float, tasks: list[str]) -> None:
        super().__init__(now, tasks)
        self.now = now
        self.tasks = tasks

    def __str__(self) -> str:
        """Name the time, then each task and its place."""
        tasks = "".join(f"\n  {task}" for task in self.tasks)
        return (
            f"livelock at {self.now:g} s of virtual time: {_STILL_TURNS} turns of the loop "
            f"without a step in time. These tasks are not done:{tasks}"
        )


class LeftoverTaskError(SimulationError):
    """Raised by `run_virtual` when the coroutine has ended and left tasks behind.

    Args:
        tasks: The tasks that are not done, each with its place.
    """

    def __init__(self, tasks: list[str]) -> None:
        super().__init__(tasks)
        self.tasks = tasks

    def __str__(self) -> str:
        """Name each task and its place."""
        tasks = "".join(f"\n  {task}" for task in self.tasks)
        return f"the coroutine has ended, and these tasks are still there:{tasks}"


class NotSimulatedError(SimulationError):
    """Raised when code on a virtual loop asks for something outside it.

    Args:
        what: What was asked for.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        """Say what cannot be simulated, and what to do."""
        return (
            f"{self.what}: a virtual loop has no threads, no sockets and no processes, because "
            "they live in real time. Put a fake in its place, or run this test on a real loop."
        )


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual: it jumps to the next timer.

    Args:
        seed: Draws the order of the callbacks that are ready in each turn; None keeps asyncio's order.
        schedule: How: ``"shuffle"`` runs all of them in any order, ``"priorities"`` one a turn, so that a task can
            fall far behind.
        time: The clock, where several loops share one; None for one of its own, which starts at 0.
    """

    # These are asyncio's own, since 3.4; nothing public reaches them.
    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _clock_resolution: float

    def __init__(
        self, *, seed: int | None = None, schedule: ScheduleName = "shuffle", time: VirtualTime | None = None
    ) -> None:
        self._time = time or VirtualTime()
        self._still_turns = 0
        self._owner = threading.get_ident()
        self._schedule = schedule_of(seed, schedule)
        self._held_back: list[asyncio.Handle] = []
        self.refused: NotSimulatedError | None = None
        self.killed: set[asyncio.Task[Any]] = set()
        super().__init__(_JumpingSelector(self._wait))
        self._clock_resolution = math.ulp(self._time.now)

    def time(self) -> float:
        """Return the virtual time in seconds."""
        return self._time.now

    def hold(self, seconds: float) -> None:
        """Let time pass while the loop stands still, as a handler does that waits without ``await``.

        Args:
            seconds: How long.
        """
        self._move_to(self._time.now + seconds)

    def _wait(self, timeout: float | None) -> None:
        """Take the place of waiting: move the clock, or tell that nothing can ever happen."""
        time = self._time
        if time.dead:
            time.kill()
        self._still_turns += 1
        if self._held_back:
            self._ready.extend(self._held_back)
            self._held_back.clear()
        elif timeout is None or self._is_only_watched():
            self._give_up(DeadlockError(time.now, self._tasks()))
        elif timeout > 0:
            self._move_to(self._scheduled[0].when())
            self._still_turns = 0
        if self._still_turns > _STILL_TURNS:
            self._still_turns = 0  # the clean-up needs some turns
            self._give_up(LivelockError(time.now, self._tasks()))
        if self._schedule is not None:
            self._add_timers_that_are_due()
            self._held_back = take_turn(self._schedule, self._ready)
        # asyncio runs what is due before time + resolution: the smallest step, so that nothing is early. Whoever
        # shares the clock may have moved it.
        self._clock_resolution = math.ulp(time.now)

    def _is_only_watched(self) -> bool:
        """Whether nothing is to come but a run's looks at the clock, which never end by themselves."""
        return (
            not self._ready
            and bool(self._scheduled)
            and _is_look(self._scheduled[0])
            and all(_is_look(timer) or timer.cancelled() for timer in self._scheduled)
        )

    def _move_to(self, when: float) -> None:
        try:
            self._time.move_to(when)
        except Killed:
            self.killed = asyncio.all_tasks(self)  # nothing is to resume them, not even their collection
            raise

    def _give_up(self, error: SimulationError) -> NoReturn:
        """Wait for the process to be killed, if it is to be; else tell."""
        if math.isfinite(self._time.killed_at):
            self._move_to(math.inf)
        raise error

    def _add_timers_that_are_due(self) -> None:
        # They belong to this turn; asyncio would append them after its order was drawn.
        while self._scheduled and self._scheduled[0].when() <= self._time.now:
            timer: Any = heapq.heappop(self._scheduled)
            timer._scheduled = False  # noqa: SLF001 - tells asyncio that the heap lost it
            self._ready.append(timer)

    def _tasks(self) -> list[str]:
        return sorted(_describe(task) for task in asyncio.all_tasks(self))

    def call_soon_threadsafe(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Work as `call_soon` in the loop's thread, and refuse every other one."""
        if threading.get_ident() != self._owner:
            raise self._refuse("a call from another thread")
        return self.call_soon(callback, *args, context=context)

    # The socket pair by which another thread would wake the loop: there is none, and no need for
    # it.
    def _make_self_pipe(self) -> None:
        self._internal_fds = 0

    def _close_self_pipe(self) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def _refuse(self, what: str) -> NotSimulatedError:
        """Note what was asked for: a record handler's error may go no further than its record."""
        self.refused = NotSimulatedError(what)
        return self.refused

    def __del__(self) -> None:
        """Stay silent: a loop that was not closed holds nothing."""


# What leaves the simulation: each of these raises as soon as it is called.
_OUTSIDE: Final = (
    *("run_in_executor", "getaddrinfo", "getnameinfo", "add_signal_handler"),
    *("add_reader", "add_writer", "sock_recv", "sock_recv_into", "sock_recvfrom"),
    *("sock_recvfrom_into", "sock_sendall", "sock_sendto", "sock_connect", "sock_accept"),
    *("sock_sendfile", "sendfile", "start_tls", "create_connection", "create_server"),
    *("create_unix_connection", "create_unix_server", "create_datagram_endpoint"),
    *("connect_accepted_socket", "connect_read_pipe", "connect_write_pipe"),
    *("subprocess_exec", "subprocess_shell"),
)


def _refusal(name: str) -> Callable[..., NoReturn]:
    def refuse(self: VirtualLoop, *args: object, **options: object) -> NoReturn:
        del args, options
        raise self._refuse(name)  # pyright: ignore[reportPrivateUsage] - it is a method

    return refuse


for _name in _OUTSIDE:
    setattr(VirtualLoop, _name, _refusal(_name))


class _JumpingSelector(selectors.BaseSelector):
    """A selector without files: where another one would wait, it calls `wait`."""

    def __init__(self, wait: Callable[[float | None], None]) -> None:
        self._wait = wait

    def register(self, fileobj: object, events: int, data: object = None) -> NoReturn:
        del fileobj, events, data
        raise NotSimulatedError("a socket or another file to watch")

    def unregister(self, fileobj: object) -> NoReturn:
        raise KeyError(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._wait(timeout)
        return []


def run_virtual(
    main: Coroutine[Any, Any, T] | Callable[[], Awaitable[T]],
    *,
    seed: int | None = None,
    schedule: ScheduleName = "shuffle",
) -> T:
    """Run a coroutine to its end on a virtual loop of its own, and return its result.

    Args:
        main: A coroutine, or a function without arguments that returns an awaitable.
        seed: See `VirtualLoop`.
        schedule: See `VirtualLoop`.

    Raises:
        RunningLoopError: An event loop runs in this thread.
        LeftoverTaskError: The coroutine ended and left tasks behind.
        DeadlockError: Nothing could go on.
        LivelockError: The loop turned without end.
    """
    if is_inside_loop():
        if inspect.iscoroutine(main):
            main.close()
        refuse_running_loop("run_virtual", "await main()")
    loop = VirtualLoop(seed=seed, schedule=schedule)
    try:
        result: T = loop.run_until_complete(_coroutine(main))
        leftover = asyncio.all_tasks(loop)
        if leftover:
            raise LeftoverTaskError(sorted(_describe(task) for task in leftover))
        return result
    finally:
        _clean_up(loop)
        loop.close()


def _coroutine(main: Any) -> Any:
    if inspect.iscoroutine(main):
        return main
    return main() if inspect.iscoroutinefunction(main) else _call(main)


async def _call(main: Callable[[], Awaitable[T]]) -> T:
    return await main()  # called inside the loop: it may make futures and tasks


def _clean_up(loop: VirtualLoop) -> None:
    """End what is left, so that nothing is reported twice when the loop is closed."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    if tasks:
        loop.run_until_complete(asyncio.wait(tasks, timeout=_CLEANUP))
        for task in tasks:
            forget(task)
    loop.run_until_complete(loop.shutdown_asyncgens())


def forget(task: Any) -> None:
    """Keep asyncio from reporting a task once more: the first error is the one to report."""
    if not task.done():
        task._log_destroy_pending = False  # noqa: SLF001 - it survived an hour and a cancellation
    elif not task.cancelled():
        task.exception()


_ASYNCIO: Final = str(Path(asyncio.__file__).parent)


# A run's look at the clock, by which it finds out whether the loop stood still.
_LOOK: Final = Run._beat  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - that is the one


def _is_look(timer: Any) -> bool:
    """Whether a timer belongs to such a look: a run gives it to a method of its own to be called."""
    given = timer._args  # noqa: SLF001 - there is no other mark
    return bool(given) and getattr(getattr(given[0], "func", None), "__func__", None) is _LOOK


def _describe(task: asyncio.Task[Any]) -> str:
    """Name a task, its coroutine and the innermost line outside asyncio that it waits in."""
    coroutine: Any = task.get_coro()
    name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
    place = ""
    while inspect.iscoroutine(coroutine):
        frame = coroutine.cr_frame
        if frame is not None and not frame.f_code.co_filename.startswith(_ASYNCIO):
            place = f" at {frame.f_code.co_filename}:{frame.f_lineno}"
        coroutine = coroutine.cr_await
    return f"{task.get_name()}: {name}{place}"
