"""`threaded`: a plain function as a record handler, in worker threads."""

from __future__ import annotations

import asyncio
import functools
import inspect
import sys
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar, final

from asyncbatch._errors import InvalidHandlerError
from asyncbatch._scheduler import threaded_record

if TYPE_CHECKING:
    from anyio import CancelScope

P = ParamSpec("P")
R = TypeVar("R")


@final
class ThreadedHandler(Generic[P, R]):
    """An async handler that calls a plain function in a worker thread. Made by `threaded`.

    The threads are those of the process, and their places the run's own, as many as the engine's limit. (Where
    something else than an engine calls it, all such calls of the process share 100 places.)
    """

    def __init__(self, function: Callable[P, R]) -> None:
        functools.update_wrapper(self, function)
        self.function: Final = function

    def __repr__(self) -> str:
        return f"<threaded {getattr(self.function, '__qualname__', 'function')}>"

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function in a thread; a cancellation leaves the thread to itself.

        Raises:
            BlockedThreadsError: outside of a run, and too many threads of this process were left behind.
            BaseException: what the function raised.
        """
        # These load when the feature that needs them is used.
        import anyio  # noqa: PLC0415

        from asyncbatch._workers import Call, outside_of_runs  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        record = threaded_record.get()
        threaded_record.set(None)  # what the function itself calls is not this record's handler
        threads, begin, position = (
            (outside_of_runs(), None, None)
            if record is None
            else (record.threads, record.begin, record.position)
        )
        scope = anyio.CancelScope()
        function = _as_in_anyio(functools.partial(self.function, *args, **kwargs), loop, scope)
        call = Call(function, _context_of_thread(), loop, begin, position)
        try:
            with scope:
                if not threads.start(call) and begin is not None:
                    # Threads that do not come back hold every place: the time that it waits counts.
                    loop.call_soon(begin)
                await call.done
        except BaseException:
            threads.abandon(call)
            scope.cancel()  # `anyio.from_thread.check_cancelled` tells the thread, if that asks
            raise
        error, call.error = call.error, None
        if error is None:
            result: R = call.result
            return result
        try:
            raise error
        finally:
            del error  # its traceback refers to this frame


def _context_of_thread() -> Context:
    """A copy of the caller's context variables; no event loop runs in a thread, whatever they say."""
    context = copy_context()
    sniffio: Any = sys.modules.get("sniffio")
    if sniffio is not None:
        context.run(sniffio.current_async_library_cvar.set, None)
    return context


def _as_in_anyio(
    function: Callable[[], R], loop: asyncio.AbstractEventLoop, scope: CancelScope
) -> Callable[[], R]:
    """Let `anyio.from_thread` find the loop from within a function, as in a thread of anyio's own."""
    try:
        # How its threads differ from others anyio does not say in public; every version that we allow has these.
        from anyio._core._eventloop import claim_worker_thread, get_async_backend, threadlocals  # noqa: PLC0415
    except ImportError:  # a newer one has them elsewhere: then functions have to pass it a token
        return function
    backend = get_async_backend()

    def claimed() -> R:
        with claim_worker_thread(backend, loop):
            threadlocals.current_cancel_scope = scope
            try:
                return function()
            finally:
                del threadlocals.current_cancel_scope

    return claimed


def threaded(function: Callable[P, R]) -> ThreadedHandler[P, R]:
    """Make a record handler of a plain function: it runs in worker threads, as many as the engine's limit.

    Context variables are carried into the thread. A thread cannot be stopped: where a record's time is up, its
    outcome is decided and the reply goes out, while the thread works on and may overlap the redelivery; the
    report names such records in ``still_running``. (A function can ask `anyio.from_thread.check_cancelled`.)
    Such a thread keeps its place among those of the run until the function returns; while a hundred of a process
    are left behind by earlier runs, a `BlockedThreadsError` refuses further ones before anything ran. They do not
    keep the interpreter from exiting. A record's timeout counts from the thread's start; where it has to wait,
    because every place is held by a function that does not return, from then.

    Args:
        function: A plain function of a record, and of ``lambda_context`` or ``state`` where it has such
            parameters.

    Raises:
        InvalidHandlerError: it is a coroutine function, a generator function or no function at all.
    """
    name = getattr(function, "__qualname__", repr(type(function)))
    if not callable(function):
        raise InvalidHandlerError(name, "it is not callable", "Pass the function itself.")
    if inspect.iscoroutinefunction(function):
        raise InvalidHandlerError(name, "it is async already", "Pass it without `threaded`.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidHandlerError(
            name,
            "it is a generator function",
            "Its body would never run: return instead of yielding.",
        )
    return ThreadedHandler(function)
