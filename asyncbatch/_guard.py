"""The guard: a thread for the loop, so that even a handler that blocks cannot make the reply late."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, final

from asyncbatch._loop import at_snapshot, shutdown_loop

if TYPE_CHECKING:
    from queue import SimpleQueue


@final
class Guard:
    """A thread that runs jobs, one at a time; given up when a job blocks it for too long."""

    def __init__(self) -> None:
        from queue import SimpleQueue  # noqa: PLC0415 - only the guard needs it

        self._pid: Final = os.getpid()
        self._jobs: Final[SimpleQueue[tuple[Callable[[], None], threading.Event] | None]] = SimpleQueue()
        self._thread: Final = threading.Thread(target=self._work, name="asyncbatch loop", daemon=True)
        self._thread.start()

    @property
    def usable(self) -> bool:
        """Whether the thread lives and belongs to this process."""
        return self._thread.is_alive() and self._pid == os.getpid()

    def call(self, job: Callable[[], None], timeout: float | None) -> bool:
        """Run a job in the thread.

        Args:
            job: What to run; it must not raise.
            timeout: Seconds to wait; None for as long as it takes.

        Returns:
            Whether it ended in time. If not, the thread must be given up.
        """
        done = threading.Event()
        self._jobs.put((job, done))
        return done.wait(timeout)

    def give_up(self) -> None:
        """Let the thread end as soon as its job does."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (entry := self._jobs.get()) is not None:
            job, done = entry
            job()
            del entry, job  # nothing of a run stays referenced while the thread waits
            done.set()
        shutdown_loop()


class _Local(threading.local):
    guard: Guard | None = None


_local: Final = _Local()
_once: Final[list[bool]] = []


def guard() -> Guard:
    """The guard of the calling thread."""
    current = _local.guard
    if current is None or not current.usable:
        if not _once:
            _once.append(True)
            atexit.register(shutdown)
            at_snapshot(shutdown, give_up_guard)
        current = _local.guard = Guard()
    return current


def give_up_guard() -> None:
    """Leave the guard to its job; the next run gets another."""
    given_up, _local.guard = _local.guard, None
    if given_up is not None:
        given_up.give_up()


def shutdown(timeout: float = 0.25) -> None:
    """Leave the lifespans that the calling thread's runs opened and close its event loop.

    The next run opens new ones. Called at the interpreter's end. In Lambda call it from a SIGTERM handler, if an
    extension gives the function one: the runtime then has 300 ms. During a run it takes effect when the run is
    over.

    Args:
        timeout: Seconds that lifespans have to exit.
    """
    guarded = _local.guard
    if guarded is not None and guarded.usable:
        guarded.call(lambda: shutdown_loop(timeout), timeout)
        give_up_guard()
    shutdown_loop(timeout)
