"""The engine: options and three ways to run; and the decorator that makes a Lambda function of a handler."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, final, overload

from asyncbatch._events import queue_messages, read_event
from asyncbatch._handlers import Handler, LambdaFunction, bind
from asyncbatch._invocation import process_batch, run_event
from asyncbatch._lanes import KeyFunction
from asyncbatch._lifespan import Lifespan, close_lifespans
from asyncbatch._loop import refuse_running_loop
from asyncbatch._options import DEFAULT_GRACE, DEFAULT_LIMIT, Options
from asyncbatch._records import Record
from asyncbatch._report import BatchReport, BatchResponse, RaiseOnFailure
from asyncbatch._sources import EventSource, FailureScope, Ordering

if TYPE_CHECKING:
    from asyncbatch.hooks import Hook
    from asyncbatch.limits import Limit, RateLimit

_INSTEAD: Final = "await handler.process(event, context)` or `await engine.process(event, handler, context)"

H = TypeVar("H", bound=Callable[..., Any])


@final
class BatchEngine(Options):
    """Processes batches: options that never change, and three ways to run.

    `dataclasses.replace` gives a copy with other options. All state of a run belongs to that run.

    Args:
        concurrency: Most records in flight; a number, or a limit of `asyncbatch.limits` that moves.
        rate_limit: Most records started in a second, evenly: a number, or a `asyncbatch.limits.RateLimit`, which
            can be shared. None for as many as there is room for.
        ordering: What a lane is: an `Ordering`, or a plain function from a record to a hashable key; None for
            the event source's default.
        failure_scope: What a record that did not succeed holds back; None for the event source's default.
        record_timeout: Seconds for one record; None for no limit. It can act only where the handler waits.
        deadline_margin: Seconds before Lambda's deadline at which the batch is sealed; None for a tenth of the
            remaining time, within 0.3 and 2 seconds.
        grace: Seconds between the first cancellation of a record and the second, inside the margin.
        model: The payload's type: a Pydantic model, or whatever `pydantic.TypeAdapter` takes.
        raise_on_failure: When `BatchReport.response` raises instead of naming failures: ``"never"``,
            ``"entire_batch"`` (nothing succeeded) or ``"any"``; None for the event source's default, ``"any"``
            for Kafka and ``"never"`` elsewhere. Mappings without ``ReportBatchItemFailures`` need ``"any"``: AWS
            does not read their reply, and every failure would be lost.
        lifespan: Makes an async context manager that is open once per engine and event loop; what it yields is
            injected as ``state``. The loop is replaced when something on it does not end: clients, locks and
            queues that a lifespan makes are then made anew, and those of a module fail in every later invocation.
        guard_blocking: Run the loop in a thread of its own, so that `run` replies in time even if a handler
            blocks. It costs about 0.1 ms a batch. A thread that a handler blocks is left behind until the handler
            returns; while ten are, a `BlockedThreadsError` refuses further batches before anything ran. Its event
            loop is left behind as well, and the next batch gets another: make clients in a ``lifespan``.
        hooks: Functions that are told what happens; see `asyncbatch.hooks`.
        source: The event source; None to detect it.
        eager: Start tasks eagerly, as the interpreter can from 3.12 on; for comparisons.

    Raises:
        InvalidOptionError: an option, or two together, would break a rule; the message says which.
    """

    # --- entry points ---------------------------------------------------------------------------------

    def run(self, event: Any, handler: Handler, context: Any = None) -> BatchReport:
        """Process an event from synchronous code, on a loop that is kept for the next call.

        Args:
            event: The event that Lambda passes.
            handler: An async function of a record.
            context: Lambda's context; it tells the deadline. None for no deadline.

        Raises:
            InvalidEventError: a record could not be reported on; nothing was processed.
            InvalidHandlerError: the handler is no async function.
            RunningLoopError: an event loop runs in this thread; use `process`.
            KeyboardInterrupt: a handler raised it, outside Lambda.
        """
        bound = bind(handler, has_lifespan=self.lifespan is not None)
        refuse_running_loop("BatchEngine.run", "await engine.process(event, handler, context)")
        job, left = run_event(self, event, bound, context)
        return job.report(left)

    async def process(
        self,
        event: Any,
        handler: Handler,
        context: Any = None,
        *,
        deadline: float | None = None,
    ) -> BatchReport:
        """Process an event in the caller's event loop.

        Records that do not end although they were cancelled stay behind on that loop, and the report names them.
        A cancellation of this call cancels the records, waits the grace and is raised again.

        Args:
            event: The event that Lambda passes.
            handler: An async function of a record.
            context: Lambda's context; it tells the deadline. None for none.
            deadline: Seconds after which this call has returned, in place of a context.

        Raises:
            InvalidEventError: a record could not be reported on; nothing was processed.
            InvalidHandlerError: the handler is no async function.
        """
        bound = bind(handler, has_lifespan=self.lifespan is not None)
        return await process_batch(self, read_event(event, self.source), bound, context, deadline)

    async def process_messages(
        self,
        messages: Sequence[Mapping[str, Any]],
        handler: Handler,
        *,
        queue_arn: str,
        deadline: float | None = None,
    ) -> BatchReport:
        """Process what ``receive_message`` returned: a batch that the caller received himself.

        Nothing is deleted: delete ``report.succeeded`` by their receipt handles.

        Args:
            messages: The ``Messages`` of the answer, in order. For a FIFO queue ask for the system attribute
                ``MessageGroupId`` when receiving.
            handler: An async function of an `SqsRecord`.
            queue_arn: The queue's ARN, which tells whether it is FIFO.
            deadline: Seconds after which this call has returned; keep it below the visibility timeout.

        Raises:
            InvalidEventError: a message could not be reported on; nothing was processed.
            InvalidHandlerError: the handler is no async function.
        """
        bound = bind(handler, has_lifespan=self.lifespan is not None)
        batch = read_event(queue_messages(messages, queue_arn), self.source)
        return await process_batch(self, batch, bound, None, deadline)

    async def aclose(self, timeout: float = 1.0) -> None:  # noqa: ASYNC109 - the time that is waited at most
        """Leave this engine's lifespan on the running loop; the next `process` opens it again.

        Args:
            timeout: Seconds that the lifespan has to exit; then it is cancelled.
        """
        await close_lifespans(self, timeout)


# --- the decorator ------------------------------------------------------------------------------------


@final
class BatchHandler(LambdaFunction, Generic[H]):
    """A record handler as a Lambda function: ``lambda_handler(event, context)`` returns the reply.

    Args:
        handler: The async function of a record.
        engine: The options.

    Attributes:
        handler: The async function itself, for tests.
        engine: The options.

    Raises:
        InvalidHandlerError: the handler is no async function.
    """

    def __init__(self, handler: H, engine: BatchEngine) -> None:
        functools.update_wrapper(self, handler)
        self.handler: Final = handler
        self.engine: Final = engine
        self._bound: Final = bind(handler, has_lifespan=engine.lifespan is not None)

    def records(self, event: Any) -> list[Record[Any]]:
        """The records of an event as the handler gets them, to call ``handler`` with in a test.

        Raises:
            InvalidEventError: a record could not be reported on.
        """
        batch = read_event(event, self.engine.source)
        if batch.rules is None:
            return []
        return [batch.rules.record_type(raw, self.engine.reader) for raw in batch.raws]

    def __repr__(self) -> str:
        return f"<BatchHandler {getattr(self.handler, '__qualname__', self.handler)}>"

    def __call__(self, event: Any, context: Any = None) -> BatchResponse:
        """Process an event as Lambda's entry point.

        Raises:
            InvalidEventError: a record could not be reported on; nothing was processed.
            FailedBatchError: ``raise_on_failure`` asks for it.
            RunningLoopError: an event loop runs in this thread; use `process`.
        """
        refuse_running_loop(self, _INSTEAD)
        job, left = run_event(self.engine, event, self._bound, context)
        return job.reply(left)

    def run(self, event: Any, context: Any = None) -> BatchReport:
        """Process an event, and return the report that the reply is made from.

        Args:
            event: The event that Lambda passes.
            context: Lambda's context; it tells the deadline. None for none.

        Raises:
            InvalidEventError: a record could not be reported on; nothing was processed.
            RunningLoopError: an event loop runs in this thread; use `process`.
        """
        refuse_running_loop(self, _INSTEAD)
        job, left = run_event(self.engine, event, self._bound, context)
        return job.report(left)

    async def process(
        self,
        event: Any,
        context: Any = None,
        *,
        deadline: float | None = None,
    ) -> BatchReport:
        """Process an event in the caller's event loop; see `BatchEngine.process`.

        Args:
            event: The event that Lambda passes.
            context: Lambda's context; it tells the deadline. None for none.
            deadline: Seconds after which this call has returned, in place of a context.

        Raises:
            InvalidEventError: a record could not be reported on; nothing was processed.
        """
        return await self.engine.process(event, self.handler, context, deadline=deadline)


@overload
def batch_handler(handler: H, /) -> BatchHandler[H]: ...
@overload
def batch_handler(
    *,
    concurrency: int | Limit = ...,
    rate_limit: float | RateLimit | None = ...,
    ordering: Ordering | KeyFunction | None = ...,
    failure_scope: FailureScope | None = ...,
    record_timeout: float | None = ...,
    deadline_margin: float | None = ...,
    grace: float = ...,
    model: Any = ...,
    raise_on_failure: RaiseOnFailure | None = ...,
    lifespan: Lifespan | None = ...,
    guard_blocking: bool = ...,
    hooks: Sequence[Hook] = ...,
    source: EventSource | None = ...,
) -> Callable[[H], BatchHandler[H]]: ...
def batch_handler(
    handler: H | None = None,
    /,
    *,
    concurrency: int | Limit = DEFAULT_LIMIT,
    rate_limit: float | RateLimit | None = None,
    ordering: Ordering | KeyFunction | None = None,
    failure_scope: FailureScope | None = None,
    record_timeout: float | None = None,
    deadline_margin: float | None = None,
    grace: float = DEFAULT_GRACE,
    model: Any = None,
    raise_on_failure: RaiseOnFailure | None = None,
    lifespan: Lifespan | None = None,
    guard_blocking: bool = False,
    hooks: Sequence[Hook] = (),
    source: EventSource | None = None,
) -> BatchHandler[H] | Callable[[H], BatchHandler[H]]:
    """Make an async record handler a Lambda function.

    Use it bare, ``@batch_handler``, or with options, ``@batch_handler(concurrency=32)``; they are those of
    `BatchEngine`, where each is described.

    Raises:
        InvalidOptionError: an option, or two together, would break a rule.
        InvalidHandlerError: the function cannot be a record handler.
    """
    engine = BatchEngine(
        concurrency=concurrency,
        rate_limit=rate_limit,
        ordering=ordering,
        failure_scope=failure_scope,
        record_timeout=record_timeout,
        deadline_margin=deadline_margin,
        grace=grace,
        model=model,
        raise_on_failure=raise_on_failure,
        lifespan=lifespan,
        guard_blocking=guard_blocking,
        hooks=hooks,
        source=source,
    )
    if handler is not None:
        return BatchHandler(handler, engine)
    return lambda function: BatchHandler(function, engine)
