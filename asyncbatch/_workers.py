"""Worker threads: daemon threads of the process, which run plain functions one after another.

A thread cannot be stopped. One that a function holds keeps the place that it took until the function returns, so
that a run never has more threads than its limit. It cannot keep the interpreter from exiting either, as the
threads of anyio and of asyncio's executor do.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from functools import partial
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, final

from asyncbatch._errors import BlockedThreadsError

if TYPE_CHECKING:
    import asyncio

# Threads that may be left behind in the whole process: as many as a run has places for by default.
MOST_LEFT: Final = 100
# Seconds after which a thread that nobody needs ends.
_IDLE_TIME: Final = 10.0


@final
class Call:
    """One call of a plain function: it waits for a place, is at work in a thread, or has ended.

    Args:
        function: What to call.
        context: The context variables to call it with.
        loop: The event loop on which somebody waits for the end.
        begin: What to call on that loop when the function begins, with ``after_waiting``; None for nothing.
        position: The record that it handles, by its place in the batch; None outside of a run.

    Attributes:
        done: A future of that loop that becomes done after the call.
        result: What the function returned.
        error: What it raised.
        is_abandoned: Nobody waits any more. A function that has not begun does not begin then.
        had_to_wait: No place was free for it at first.
    """

    __slots__ = (
        "_begin",
        "_context",
        "_function",
        "_loop",
        "done",
        "error",
        "had_to_wait",
        "is_abandoned",
        "position",
        "result",
    )

    def __init__(
        self,
        function: Callable[[], object],
        context: Context,
        loop: asyncio.AbstractEventLoop,
        begin: Callable[..., None] | None,
        position: int | None,
    ) -> None:
        self._function = function
        self._context = context
        self._loop = loop
        self._begin = begin
        self.position = position
        self.done: asyncio.Future[None] = loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_abandoned = False
        self.had_to_wait = False

    def run(self) -> None:
        """Call the function, in a worker thread."""
        if self.is_abandoned:
            return
        try:
            if self._begin is not None:
                self._loop.call_soon_threadsafe(partial(self._begin, after_waiting=self.had_to_wait))
            self.result = self._context.run(self._function)
        except BaseException as error:  # noqa: BLE001 - raised again in the task that waits
            self.error = error

    def tell(self) -> None:
        """Let whoever waits know of the end, from a worker thread."""
        with contextlib.suppress(Exception):  # the loop is closed, or is one that no thread can reach
            self._loop.call_soon_threadsafe(_set, self.done)


def _set(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


@final
class Threads:
    """So many places for calls: those of one run, or those that all callers outside of runs share.

    The whole state, which is read and changed under one lock for all:

    - ``_limit``: how many places there are;
    - ``_at_work``: the calls that have one;
    - ``_waiting``: the calls that have none yet, in the order in which they came.

    Args:
        limit: How many places there are, at first.
    """

    __slots__ = ("_at_work", "_limit", "_waiting")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._at_work: set[Call] = set()
        self._waiting: deque[Call] = deque()

    def start(self, call: Call) -> bool:
        """Start a call in a thread; where no place is free it waits for one.

        Returns:
            Whether it was started.

        Raises:
            RuntimeError: the system gives the process no more threads. The call will not be started.
        """
        with _workers.lock:
            if len(self._at_work) >= self._limit:
                call.had_to_wait = True
                self._waiting.append(call)
                return False
            self._at_work.add(call)
        self._employ(call)
        return True

    def _employ(self, call: Call) -> None:
        """Have a thread work on a call that has a place."""
        with _workers.lock:
            worker = _workers.idle.pop() if _workers.idle else None
        if worker is not None:
            worker.give(self, call)
            return
        try:
            Worker(self, call)
        except BaseException:
            with _workers.lock:
                self._at_work.discard(call)
            raise

    def follow(self, worker: Worker, call: Call) -> Call | None:
        """Free the place of a call that has ended.

        Returns:
            The call that takes the place; None if the worker has nothing to do.
        """
        with _workers.lock:
            self._at_work.discard(call)
            _workers.left.discard(call)
            following = self._take()
            if following is None:
                _workers.idle.append(worker)
        return following

    def _take(self) -> Call | None:
        """Give the call that has waited longest a place, if one is free."""
        if not self._waiting or len(self._at_work) >= self._limit:
            return None
        call = self._waiting.popleft()
        self._at_work.add(call)
        return call

    def resize(self, limit: int) -> None:
        """Follow the run's limit; calls at work go on."""
        with _workers.lock:
            self._limit = limit
            due = list(iter(self._take, None))
        for call in due:
            try:
                self._employ(call)
            except (RuntimeError, MemoryError) as error:  # no more threads: the function's caller is told
                call.error = error
                call.tell()

    def abandon(self, call: Call) -> None:
        """Note that nobody waits for a call any more; one at work keeps its place until it ends."""
        with _workers.lock:
            call.is_abandoned = True
            if call in self._at_work:
                _workers.left.add(call)
            elif call in self._waiting:
                self._waiting.remove(call)

    def close(self) -> None:
        """Let no call begin any more: the run is over."""
        with _workers.lock:
            self._waiting.clear()
            for call in self._at_work:
                call.is_abandoned = True
            _workers.left |= self._at_work

    def running(self) -> set[int | None]:
        """The positions of the records whose functions have not returned."""
        with _workers.lock:
            return {call.position for call in self._at_work}

    def is_waiting(self, position: int) -> bool:
        """Whether the call for a record has no place yet."""
        with _workers.lock:
            return any(call.position == position for call in self._waiting)


@final
class Worker:
    """A daemon thread that runs one call after another, and ends when it has had none for a while.

    Args:
        threads: Where its first call has a place.
        call: The first call.

    Raises:
        RuntimeError: the system gives the process no more threads.
    """

    def __init__(self, threads: Threads, call: Call) -> None:
        self._calls: Final[SimpleQueue[tuple[Threads, Call]]] = SimpleQueue()
        self.give(threads, call)
        thread = threading.Thread(target=self._work, name="asyncbatch worker", daemon=True)
        Context().run(thread.start)  # newer interpreters would keep the caller's context for the thread

    def give(self, threads: Threads, call: Call) -> None:
        """Have a call run; only for whoever has taken the worker from among the idle ones."""
        self._calls.put((threads, call))

    def _work(self) -> None:
        while (given := self._wait()) is not None:
            threads, call = given
            following: Call | None = call
            while following is not None:
                call = following
                call.run()
                following = threads.follow(self, call)
                call.tell()
            del given, threads, call  # nothing of a run stays referenced while the thread waits

    def _wait(self) -> tuple[Threads, Call] | None:
        """The next call; None if nobody has needed this thread for a while."""
        while True:
            try:
                return self._calls.get(timeout=_IDLE_TIME)
            except Empty:
                with _workers.lock:
                    if self in _workers.idle:
                        _workers.idle.remove(self)
                        return None
                # Somebody has just taken it: the call is on its way.


@final
class _Workers:
    """The worker threads of this process.

    - ``lock``: held wherever these, or places, are looked at and changed; reentrant for the handlers of signals;
    - ``idle``: workers that wait for a call; the one that was used last stands last;
    - ``left``: calls at work for which nobody waits;
    - ``outside``: the places of calls that are made outside of a run.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget every thread, in a forked child: it has inherited none of them."""
        self.lock = threading.RLock()
        self.idle: list[Worker] = []
        self.left: set[Call] = set()
        self.outside = Threads(MOST_LEFT)


_workers: Final = _Workers()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.reset)


def refuse_blocked() -> None:
    """Refuse to start anything in threads, while too many of this process were left behind.

    Raises:
        BlockedThreadsError: so many are.
    """
    if len(_workers.left) >= MOST_LEFT:
        raise BlockedThreadsError(len(_workers.left))


def outside_of_runs() -> Threads:
    """The places of calls that are made outside of a run.

    Raises:
        BlockedThreadsError: too many threads of this process were left behind.
    """
    refuse_blocked()
    return _workers.outside
