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

Lifespan = Callable[[], AbstractAsyncContextManager[Any]]

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
        except BaseException as error:
            if self.ready.done():
                raise
            # Told to whoever waits for the state; CancelledError cannot be a future's exception.
            cancelled = isinstance(error, asyncio.CancelledError)
            self.ready.set_exception(
                RuntimeError("the lifespan was cancelled while it opened") if cancelled else error
            )

    def leave(self) -> None:
        """Let the context manager exit."""
        self._leave.set()


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
    hosts = _hosts.setdefault(loop, {})
    host = hosts.get(owner)
    if host is None or host.task.done():
        host = hosts[owner] = Host(lifespan, loop)
    if not host.ready.done():
        await asyncio.wait([host.ready], timeout=within)
        if not host.ready.done():
            return False, None
    if host.ready.exception() is not None:
        del hosts[owner]
    return True, host.ready.result()


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
    leaving = [hosts.pop(each) for each in list(hosts) if owner is None or each is owner]
    for host in leaving:
        host.leave()
    tasks = [host.task for host in leaving if not host.task.done()]
    if not tasks:
        return
    _, late = await asyncio.wait(tasks, timeout=within)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=within)


def forget_lifespans(loop: asyncio.AbstractEventLoop) -> None:
    """Let go of the lifespans of a loop that will not run again."""
    _hosts.pop(loop, None)
