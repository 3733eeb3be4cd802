"""Lifespans: an async context manager, open once per engine and event loop.

It is entered and left in one task of its own, because that is what cancel scopes and task groups inside it
need; a record's task comes and goes. What it yields is injected into handlers as ``state``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final, final
from weakref import WeakKeyDictionary

from asyncbatch._log import Log
from asyncbatch._raised import type_name

Lifespan = Callable[[], AbstractAsyncContextManager[Any]]

logger: Final = Log("asyncbatch")

_inside: ContextVar[bool] = ContextVar("asyncbatch_lifespan", default=False)


@final
class Host:
    """The task that holds one lifespan open.

    Args:
        lifespan: Makes the context manager.
        loop: The running event loop.
    """

    def __init__(self, lifespan: Lifespan, loop: asyncio.AbstractEventLoop) -> None:
        self._lifespan: Final = lifespan
        self._leave: Final = asyncio.Event()
        self.ready: Final[asyncio.Future[Any]] = loop.create_future()
        context = copy_context()
        context.run(_inside.set, True)  # noqa: FBT003 - ContextVar.set takes it so
        self.task: Final = asyncio.Task(self._hold(), loop=loop, name="asyncbatch lifespan", context=context)

    async def _hold(self) -> None:
        try:
            async with self._lifespan() as state:
                self.ready.set_result(state)
                await self._leave.wait()
        except BaseException as error:  # whoever waits for it is told, whatever it is
            if self.ready.done():
                raise
            self.ready.set_exception(_told(error))

    @property
    def usable(self) -> bool:
        """Whether it is open or opens, and will not be left."""
        return not (self.task.done() or self._leave.is_set())

    def leave(self) -> None:
        """Let the context manager exit."""
        self._leave.set()


def _told(error: BaseException) -> BaseException:
    """What whoever waits for the state is told: futures refuse some errors, and others would end the process."""
    if issubclass(type(error), Exception) and not issubclass(type(error), StopIteration):
        return error
    told = RuntimeError(f"the lifespan did not open: {type_name(error)}")
    told.__cause__ = error
    return told


# By event loop and engine. Event loops in several threads read and change the outer dictionary at the same time:
# each access is one step of the dictionary's own. The inner ones belong to their loops.
_hosts: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Hashable, Host]]] = WeakKeyDictionary()


async def lifespan_state(owner: Hashable, lifespan: Lifespan, within: float | None) -> tuple[bool, Any]:
    """What the lifespan yielded, after opening it where it is not open in the running loop.

    Args:
        owner: The engine that it belongs to.
        lifespan: Makes the context manager.
        within: Seconds to wait for it to open; None for as long as it takes.

    Returns:
        Whether it is open, and its state.
    """
    loop = asyncio.get_running_loop()
    _forget_closed_loops()
    hosts = _hosts.setdefault(loop, {})
    while True:
        host = hosts.get(owner)
        if host is None or not host.usable:
            host = hosts[owner] = Host(lifespan, loop)
        if not host.ready.done():
            await asyncio.wait([host.ready], timeout=within)
            if not host.ready.done():
                return False, None
        if host.ready.exception() is not None:
            if hosts.get(owner) is host:
                del hosts[owner]
            return True, host.ready.result()
        if host.usable:  # else it was left while we waited
            return True, host.ready.result()


def open_state(owner: Hashable, loop: asyncio.AbstractEventLoop) -> tuple[Any] | None:
    """What the lifespan yielded, if it is open; the loop need not run to tell.

    Args:
        owner: The engine that it belongs to.
        loop: The event loop.
    """
    host = _hosts.get(loop, _NO_HOSTS).get(owner)
    if host is None or not host.usable or not host.ready.done() or host.ready.exception() is not None:
        return None
    return (host.ready.result(),)


_NO_HOSTS: Final[dict[Hashable, Host]] = {}


def _forget_closed_loops() -> None:
    # A host refers to its loop, so that the dictionary alone would never forget one.
    for reference in _hosts.keyrefs():  # a copy, where a loop over the dictionary would see it change
        loop = reference()
        if loop is not None and loop.is_closed():
            forget_lifespans(loop)


def made_by_lifespan(task: asyncio.Task[Any]) -> bool:
    """Whether a lifespan made this task, as far as the interpreter can tell (3.12 and later)."""
    context: Context | None = getattr(task, "get_context", _no_context)()
    return context is not None and context.get(_inside, False)


def _no_context() -> None:
    return None


async def close_lifespans(owner: Hashable | None, within: float) -> None:
    """Leave the lifespans of one engine, or of all, on the running loop.

    Args:
        owner: The engine; None for all.
        within: Seconds they have to exit; what takes longer is cancelled.
    """
    hosts = _hosts.get(asyncio.get_running_loop(), {})
    # They stay there until they have exited: this is called again where somebody cancels every task.
    leaving = [host for each, host in hosts.items() if owner is None or each is owner]
    for host in leaving:
        host.leave()
    tasks = [host.task for host in leaving if not host.task.done()]
    if not tasks:
        return
    left, late = await asyncio.wait(tasks, timeout=within)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=within)
    for task in left:
        error = task.exception()
        if error is not None:
            logger.warning("a lifespan raised on its exit: %s", type_name(error))


def forget_lifespans(loop: asyncio.AbstractEventLoop) -> None:
    """Let go of the lifespans of a loop that will not run again."""
    _hosts.pop(loop, None)
