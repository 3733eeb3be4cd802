"""One call of a handler, as Lambda would make it, and what came of it."""

import contextlib
import inspect
import json
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from asyncbatch import AsyncBatchError, BatchHandler, BatchReport
from asyncbatch.cli._exits import Exit
from asyncbatch.cli._notices import collected_notices
from asyncbatch.cli._target import Handler, is_batch_handler
from asyncbatch.hooks import Hook
from asyncbatch.testing import LambdaContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an invocation failed as a whole: Lambda would see an error and retry all records."""

    type: str
    message: str
    stack: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What one invocation came to.

    Attributes:
        origin: Where the event came from.
        reply: The response as JSON text; None if Lambda would have got none.
        response: The response.
        report: The outcomes; None if the handler is not asyncbatch's, or nothing was processed.
        failure: Why the invocation failed; None if it did not.
        duration: Seconds that the call took.
        remaining: Seconds that were left until the deadline; negative if it was missed.
        notices: What the package warned of, beside the report's summary.
    """

    origin: str
    reply: str | None
    response: Any
    report: BatchReport | None
    failure: Failure | None
    duration: float
    remaining: float
    notices: tuple[str, ...]

    @property
    def exit(self) -> Exit:
        """What this invocation asks the exit code to be."""
        if self.failure is not None:
            return Exit.INVOCATION_FAILED
        unsuccessful = self.report.unsuccessful if self.report is not None else self.named
        return Exit.SOME_DID_NOT if unsuccessful else Exit.ALL_SUCCEEDED

    @property
    def named(self) -> list[Any]:
        """What the reply names as not succeeded."""
        try:
            return list(self.response["batchItemFailures"] or ())
        except (TypeError, KeyError):  # any handler's reply: nothing need be as AWS wants it
            return []


class Caller:
    """Calls a handler; the event loop and what its lifespan made live on between the calls.

    Args:
        handler: A `BatchHandler`, or any callable that takes an event and a context.
        timeout: Seconds that an invocation may take, as the function's setting.
        hook: Is told what happens inside a `BatchHandler`.
    """

    def __init__(self, handler: Handler, *, timeout: float, hook: Hook) -> None:
        self._handler = handler
        self._timeout = timeout
        self._batch = _reporting(handler, hook) if is_batch_handler(handler) else None

    def call(self, origin: str, event: object) -> Invocation:
        """Call the handler with one event."""
        report: BatchReport | None = None
        response: object = None
        reply: str | None = None
        failure: Failure | None = None
        context = LambdaContext(timeout=self._timeout)
        started = time.perf_counter()
        # What a handler prints must not get between the responses on standard output.
        with contextlib.redirect_stdout(sys.stderr), collected_notices() as notices:
            try:
                if self._batch is None:
                    response = self._handler(event, context)
                else:
                    report = self._batch(event, context)
                    response = report.response()
                reply = _to_json(response)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001 - whatever leaves a handler fails the call
                failure = _failure(error)
        duration = time.perf_counter() - started
        if duration >= self._timeout:
            failure = _late(duration, self._timeout)
        return Invocation(
            origin=origin,
            reply=reply if failure is None else None,
            response=response if failure is None else None,
            report=report,
            failure=failure,
            duration=duration,
            remaining=self._timeout - duration,
            notices=tuple(n for n in notices if report is None or n != report.summary()),
        )


def _reporting(handler: BatchHandler[Any], hook: Hook) -> Callable[[Any, LambdaContext], BatchReport]:
    """Return what calling `handler` does up to the reply: the report, with one hook more."""
    engine = replace(handler.engine, hooks=(*handler.engine.hooks, hook))
    return lambda event, context: engine.run(event, handler.handler, context)


def _to_json(response: object) -> str:
    try:
        return json.dumps(response, default=_encode)
    except (TypeError, ValueError, RecursionError) as error:
        if inspect.iscoroutine(response):
            response.close()
        raise UnserialisableReplyError(error) from error


def _encode(value: object) -> object:
    """Lambda's runtime writes decimals as numbers; all else that JSON lacks is refused."""
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


class UnserialisableReplyError(AsyncBatchError):
    """Raised when a reply cannot be written as JSON; Lambda calls it `Runtime.MarshalError`."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"The reply cannot be written as JSON: {cause}.")


def _failure(error: BaseException) -> Failure:
    ours = isinstance(error, AsyncBatchError)  # these say what to do; the stack says nothing more
    return Failure(
        type=type(error).__name__,
        message=str(error),
        stack="" if ours else _stack(error),
    )


def _stack(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return "".join(traceback.format_list([f for f in frames if f.filename != __file__]))


def _late(duration: float, timeout: float) -> Failure:
    return Failure(
        type="DeadlineMissed",
        message=(
            f"It returned after {duration:.2f} s, and Lambda's deadline was {timeout:g} s. "
            "Lambda would have ended the process without a reply, and every record would be "
            "delivered again, those that succeeded too."
        ),
    )
