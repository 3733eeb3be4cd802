"""`threaded`: a plain function as a record handler, in worker threads."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any, Final, Generic, ParamSpec, TypeVar, cast, final

from asyncbatch._errors import InvalidHandlerError
from asyncbatch._scheduler import Threads, threaded_record

P = ParamSpec("P")
R = TypeVar("R")


@final
class ThreadedHandler(Generic[P, R]):
    """An async handler that calls a plain function in a worker thread. Made by `threaded`.

    The threads come from a limiter of the run's own, as large as the engine's limit: anyio's default of 40
    threads for the whole program would be a second, hidden limit. (It holds where the handler is called by
    something else than an engine.)
    """

    def __init__(self, function: Callable[P, R]) -> None:
        functools.update_wrapper(self, function)
        self.function: Final = function
        self._running: dict[object, object] = {}

    def __repr__(self) -> str:
        return f"<threaded {getattr(self.function, '__qualname__', 'function')}>"

    def is_running(self, raw: object) -> bool:
        """Whether a thread is still at work on this raw record: threads cannot be stopped."""
        return any(each is raw for each in list(self._running.values()))

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function in a thread; a cancellation leaves the thread to itself."""
        import anyio.to_thread  # noqa: PLC0415 - anyio loads when a feature that needs it is used

        loop = asyncio.get_running_loop()
        record = threaded_record.get()
        threaded_record.set(None)  # what the function itself calls is not this record's handler
        raw = getattr(args[0], "raw", args[0]) if args else None
        call = object()

        def work() -> tuple[BaseException | None, Any]:
            self._running[call] = raw
            try:
                if record is not None:
                    loop.call_soon_threadsafe(record.begin)
                return None, self.function(*args, **kwargs)
            except BaseException as error:  # noqa: BLE001 - anyio asks an exception for its class, which may raise
                return error, None
            finally:
                del self._running[call]

        # Not asyncio's: there a StopIteration hangs for ever before 3.13 (python/cpython#112182), and a thread
        # that cannot be abandoned would make the reply late.
        limiter = None if record is None else _limiter(record.threads)
        error, result = await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=limiter)
        if error is not None:
            raise error
        return cast("R", result)


def _limiter(threads: Threads) -> Any:
    import anyio  # noqa: PLC0415 - anyio loads when a feature that needs it is used

    if threads.limiter is None:
        threads.limiter = anyio.CapacityLimiter(threads.limit)
    return threads.limiter


def threaded(function: Callable[P, R]) -> ThreadedHandler[P, R]:
    """Make a record handler of a plain function: it runs in worker threads, as many as the engine's limit.

    Context variables are carried into the thread. A thread cannot be stopped: where a record's time is up, its
    outcome is decided and the reply goes out, while the thread works on and may overlap the redelivery; the
    report names such records in ``still_running``. A record's timeout counts from the thread's start.

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
