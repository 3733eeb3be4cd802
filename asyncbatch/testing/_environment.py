"""An execution environment of Lambda: one process's worth of warm invocations, on a clock of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Final, Literal, final

from asyncbatch._loop import discard_loop, shutdown_loop
from asyncbatch.testing._context import LambdaContext
from asyncbatch.testing._schedules import ScheduleName
from asyncbatch.testing._virtual_clock import VirtualClock

LambdaFunction = Callable[[Any, Any], Any]
"""A Lambda entry point: ``handler(event, context)``."""


@final
@dataclass(frozen=True, slots=True)
class Ending:
    """How an invocation ended.

    Attributes:
        at: When, in seconds of the simulation.
        reply: The reply as JSON text; None where there was none.
        error: What the function raised, or, if it returned, what kept its reply from being JSON.
        returned: Whether it returned.
        killed: Why the process was killed, if it was.
    """

    at: float
    reply: str | None = None
    error: BaseException | None = None
    returned: bool = False
    killed: Literal["timeout", "crash"] | None = None

    @property
    def survived(self) -> bool:
        """Whether the environment can be used again: the runtime client lets only an `Exception` pass."""
        return self.killed is None and (self.error is None or isinstance(self.error, Exception))


@final
class Environment:
    """Runs the invocations of one environment, one after another, in a thread of its own.

    A thread of its own has event loops of its own, as a process has. Everything else, module globals above all, is
    shared with the other environments of the simulation.

    Args:
        function: The entry point.
        number: Which environment of its function this is, from 1.
        seed: What the order of ready callbacks is drawn from; None for asyncio's own order.
        schedule: See `VirtualLoop`.
        virtual: Whether time is virtual; else the function may use threads and sockets, and waits in real time.
    """

    def __init__(
        self,
        function: LambdaFunction,
        number: int,
        *,
        seed: int | None = None,
        schedule: ScheduleName = "shuffle",
        virtual: bool = True,
    ) -> None:
        self.number: Final = number
        self.free_at = 0.0
        self._function = function
        self._clock: VirtualClock | None = VirtualClock(seed=seed, schedule=schedule) if virtual else None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"environment {number}")
        self._begun = False

    def invoke(self, event: Any, request_id: str, *, at: float, timeout: float, crash_at: float) -> Ending:
        """Invoke the function, and wait for its end.

        Args:
            event: The event.
            request_id: The invocation's identifier.
            at: When it begins, in seconds of the simulation.
            timeout: Seconds that the function has.
            crash_at: When the process crashes; infinity for never.

        Raises:
            NotSimulatedError: the function used what cannot be simulated.
        """
        run = self._invoke if self._clock is None else self._invoke_virtually
        text = json.dumps(event)  # what a handler does to its event is not seen outside
        context = copy_context()
        ending = self._thread.submit(context.run, run, text, request_id, at, timeout, crash_at).result()
        self.free_at = ending.at
        return ending

    def close(self) -> None:
        """End the environment: lifespans are left, unless its process was killed."""
        if self._begun:
            self._thread.submit(Context().run, self._end).result()
        self._thread.shutdown()

    def _invoke_virtually(
        self, event: str, request_id: str, at: float, timeout: float, crash_at: float
    ) -> Ending:
        clock = self._clock
        assert clock is not None, "time is virtual"  # noqa: S101 - narrows a type
        if not self._begun:
            clock.__enter__()
            self._begun = True
        now = clock.virtual_time
        now.move_to(at)
        now.killed_at = min(at + timeout, crash_at)
        context = LambdaContext(timeout, aws_request_id=request_id, clock=clock.time)
        ending = _call(self._function, json.loads(event), context, clock.time)
        now.killed_at = math.inf
        if clock.refused is not None:
            raise clock.refused
        if now.dead:
            return Ending(now.now, killed="crash" if crash_at < at + timeout else "timeout")
        return ending

    def _invoke(self, event: str, request_id: str, at: float, timeout: float, crash_at: float) -> Ending:
        del crash_at  # nothing is killed in real time
        self._begun = True
        began = time.monotonic()

        def clock() -> float:
            return at + time.monotonic() - began

        context = LambdaContext(timeout, aws_request_id=request_id, clock=clock)
        ending = _call(self._function, json.loads(event), context, clock)
        return ending if ending.at <= at + timeout else Ending(at + timeout, killed="timeout")

    def _end(self) -> None:
        if self._clock is None:
            shutdown_loop()
            discard_loop()
        else:
            self._clock.__exit__()


def _call(function: LambdaFunction, event: Any, context: LambdaContext, clock: Callable[[], float]) -> Ending:
    try:
        reply = function(event, context)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the function's, or the end of its process
        return Ending(clock(), error=error)
    try:
        return Ending(clock(), reply=json.dumps(reply), returned=True)
    except (TypeError, ValueError) as error:
        if asyncio.iscoroutine(reply):
            with contextlib.suppress(Exception):
                reply.close()
        return Ending(clock(), error=error, returned=True)
