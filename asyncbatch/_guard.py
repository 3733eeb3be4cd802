"""The guards: threads for the loop, so that even a handler that blocks cannot make the reply late.

They belong to the process. A few idle ones are kept for whichever thread calls next; one that a handler holds
beyond the deadline is left behind, and only so many may be left behind at a time.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from contextvars import Context
from time import monotonic  # noqa: TID251 - bounds the wait for real threads, which no virtual clock can wake
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, final

from asyncbatch._errors import BlockedThreadsError
from asyncbatch._loop import at_snapshot, shutdown_loop

if TYPE_CHECKING:
    from queue import SimpleQueue

T = TypeVar("T")

# A guard that waits for its next call costs a thread and the three descriptors of its loop.
MOST_IDLE: Final = 4
# One that is left behind costs the same, and keeps the batch that its handler works on.
MOST_LEFT: Final = 10
_EXIT_TIMEOUT: Final = 0.25


@final
class GuardedCall(Generic[T]):
    """A job that a guard runs, and what came of it.

    Attributes:
        ended: The job has ended; read and written under the lock.
        done: Set after that, for whoever waits.
    """

    def __init__(self, job: Callable[[], T], guard: Guard) -> None:
        self._job: Callable[[], T] | None = job
        self._guard: Final = guard
        self._result: T | None = None
        self._error: BaseException | None = None
        self.ended = False
        self.done: Final = threading.Event()

    def wait(self, timeout: float | None) -> bool:
        """Wait for the end.

        Args:
            timeout: Seconds to wait; None for as long as it takes.

        Returns:
            Whether it ended in time.
        """
        return self.done.wait(timeout)

    def leave(self) -> bool:
        """Leave the thread to its job: it ends with that, and nobody else gets it.

        Returns:
            Whether it was left; if not, the job has ended meanwhile, and has a result.
        """
        with _guards.lock:
            if self.ended:
                return False
            _guards.left.add(self._guard)
            return True

    def result(self) -> T:
        """What the job returned.

        Raises:
            BaseException: what it raised.
        """
        self.done.wait()
        error, self._error = self._error, None
        if error is None:
            return cast("T", self._result)
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame

    def run(self) -> None:
        """Run the job, in the guard's thread."""
        job, self._job = self._job, None
        assert job is not None, "a call runs once"  # noqa: S101 - narrows a type
        try:
            self._result = job()
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._error = error


@final
class Guard:
    """A thread that runs one job after another, and keeps its event loop between them.

    Raises:
        RuntimeError: the system gives the process no more threads.
    """

    def __init__(self) -> None:
        from queue import SimpleQueue  # noqa: PLC0415 - only the guard needs it

        self._calls: Final[SimpleQueue[GuardedCall[Any] | float]] = SimpleQueue()
        self.owner: object = None
        """Whose job it ran last."""
        self.generation: Final = _guards.generation
        self.thread: Final = threading.Thread(target=self._work, name="asyncbatch loop", daemon=True)
        try:
            # Newer interpreters would keep the caller's context for the thread.
            Context().run(self.thread.start)
        except BaseException:  # a signal handler's: the thread may have started, and nobody will know of it
            self.end(_EXIT_TIMEOUT)
            raise

    def start(self, call: GuardedCall[Any]) -> None:
        """Start a call; only for whoever has taken the guard."""
        self._calls.put(call)

    def end(self, timeout: float) -> None:
        """Let the thread end, when it is idle.

        Args:
            timeout: Seconds that lifespans on its loop have to exit.
        """
        self._calls.put(timeout)

    def _work(self) -> None:
        timeout = _EXIT_TIMEOUT
        stays = True
        try:
            while stays:
                call = self._calls.get()
                if not isinstance(call, GuardedCall):
                    timeout = call
                    break
                try:
                    call.run()
                    stays = _guards.give_back(self, call)
                finally:
                    call.done.set()
                del call  # nothing of a run stays referenced while the thread waits
            shutdown_loop(timeout)
        finally:
            with _guards.lock:
                _guards.left.discard(self)


@final
class _Guards:
    """The guards of this process.

    - ``lock``: held wherever one of these is looked at and changed; reentrant, because a signal's handler may call
      `shutdown`;
    - ``idle``: guards that wait for a call; the one that was used last stands last;
    - ``left``: guards that were left behind, and have not ended yet;
    - ``generation``: counts how often all guards were told to end; those of an earlier generation do.
    """

    def __init__(self) -> None:
        self.is_registered = False
        self.generation = 0
        self.reset()

    def reset(self) -> None:
        """Forget every guard, in a forked child: it has inherited none of the threads."""
        self.lock = threading.RLock()
        self.idle: list[Guard] = []
        self.left: set[Guard] = set()

    def take(self, owner: object) -> Guard | None:
        """Take an idle guard: the one that last ran the owner's job, else another.

        Raises:
            BlockedThreadsError: too many were left behind.
        """
        with self.lock:
            if len(self.left) >= MOST_LEFT:
                raise BlockedThreadsError(len(self.left))
            if not self.is_registered:
                self.is_registered = True
                atexit.register(shutdown)
                at_snapshot(shutdown, _retire)
            for at in range(len(self.idle) - 1, -1, -1):
                if self.idle[at].owner is owner:
                    return self.idle.pop(at)
            return self.idle.pop() if self.idle else None

    def give_back(self, guard: Guard, call: GuardedCall[Any]) -> bool:
        """Note that a guard's job has ended; say whether the guard goes on."""
        with self.lock:
            call.ended = True
            if guard in self.left or guard.generation != self.generation:
                return False
            self.idle.append(guard)
            surplus = self.idle.pop(0) if len(self.idle) > MOST_IDLE else None
        if surplus is not None:
            surplus.end(_EXIT_TIMEOUT)
        return True

    def retire(self, timeout: float) -> list[Guard]:
        """Let every idle guard end now, and every other with its job; return those that were idle."""
        with self.lock:
            self.generation += 1
            retired, self.idle = self.idle, []
        for guard in retired:
            guard.end(timeout)
        return retired


_guards: Final = _Guards()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_guards.reset)


def call_guarded(owner: object, job: Callable[[], T]) -> GuardedCall[T]:
    """Start a job in a guard's thread.

    Args:
        owner: Whose job it is. It gets the guard that it had last, if that is idle, with its lifespans.
        job: What to run.

    Raises:
        BlockedThreadsError: too many guards were left behind. The job was not started.
        RuntimeError: the system gives the process no more threads. The job was not started.
    """
    guard = _guards.take(owner) or Guard()
    call: GuardedCall[T] | None = None
    try:
        guard.owner = owner
        call = GuardedCall(job, guard)
        guard.start(call)
    except BaseException:  # a signal handler's: nobody else knows of this guard
        if call is None or call.leave():
            guard.end(_EXIT_TIMEOUT)
        raise
    return call


def _retire() -> None:
    _guards.retire(_EXIT_TIMEOUT)


def shutdown(timeout: float = _EXIT_TIMEOUT) -> None:
    """Leave the lifespans that runs opened, and close the event loops that are kept for the next run.

    Those are the loop of the calling thread and those of the process's guards (``guard_blocking``); loops of other
    threads that call are closed when those threads end. The next run opens new ones. Called at the interpreter's
    end. In Lambda call it from a SIGTERM handler, if an extension gives the function one: the runtime then has
    300 ms. During a run it takes effect when the run is over.

    Args:
        timeout: Seconds that lifespans have to exit.
    """
    until = monotonic() + timeout
    for guard in _guards.retire(timeout):
        guard.thread.join(max(0.0, until - monotonic()))
    shutdown_loop(timeout)
