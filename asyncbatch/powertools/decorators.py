"""The four functions that run a processor over an event."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

from asyncbatch.powertools._middleware import deprecation_warning, middleware
from asyncbatch.powertools.base import AsyncBatchProcessor, BasePartialProcessor, EventType
from asyncbatch.powertools.exceptions import UnexpectedBatchTypeError
from asyncbatch.powertools.sqs_fifo_partial_processor import SqsFifoPartialProcessor
from asyncbatch.powertools.types import PartialItemFailureResponse

_EVENT_TYPES: Final = ", ".join(EventType.__members__)
_SAMPLE_EVENTS: Final = (
    "https://docs.powertools.aws.dev/lambda/python/latest/utilities/batch/#processing-messages-from-sqs"
)


def process_partial_response(
    event: dict[str, Any],
    record_handler: Callable[..., Any],
    processor: BasePartialProcessor,
    context: Any = None,
) -> PartialItemFailureResponse:
    """Process an event's records one after another, and make Lambda's reply.

    Args:
        event: The event that Lambda passes.
        record_handler: A function of a record, called with the keyword ``record``.
        processor: Who keeps what becomes of the records.
        context: Lambda's context. It tells the deadline, and is given to a handler's parameter ``lambda_context``.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": ...}, ...]}``, empty where every record succeeded.

    Raises:
        UnexpectedBatchTypeError: the event holds no batch of the processor's event type; nothing was processed.
        ValueError: it is no event at all; nothing was processed.
        InvalidHandlerError: the handler cannot be called; nothing was processed.
        NotImplementedError: the processor only runs records side by side: use `async_process_partial_response`.
        BatchProcessingError: every record failed, and the processor raises then. Or one that failed has no
            identifier (`UnreportableRecordError`).
        SequenceOrderError: with ``stop_on_failure``, the records of a stream are out of order.
    """
    return _respond(event, record_handler, processor, context, "process")


def async_process_partial_response(
    event: dict[str, Any],
    record_handler: Callable[..., Any],
    processor: AsyncBatchProcessor | SqsFifoPartialProcessor,
    context: Any = None,
) -> PartialItemFailureResponse:
    """Process an event's records side by side, and make Lambda's reply; a plain function all the same.

    It also works inside a running event loop, which stands still meanwhile: the records then run on another.

    Args:
        event: The event that Lambda passes.
        record_handler: An async function of a record, called with the keyword ``record``.
        processor: Who keeps what becomes of the records.
        context: Lambda's context. It tells the deadline, and is given to a handler's parameter ``lambda_context``.

    Returns:
        ``{"batchItemFailures": [{"itemIdentifier": ...}, ...]}``, empty where every record succeeded.

    Raises:
        UnexpectedBatchTypeError: the event holds no batch of the processor's event type; nothing was processed.
        ValueError: it is no event at all; nothing was processed.
        InvalidHandlerError: the handler cannot be called; nothing was processed.
        NotImplementedError: the processor only runs records one after another: use `process_partial_response`.
        BatchProcessingError: every record failed, and the processor raises then. Or one that failed has no
            identifier (`UnreportableRecordError`).
        SequenceOrderError: with ``stop_on_failure``, the records of a stream are out of order.
    """
    return _respond(event, record_handler, processor, context, "async_process")


def _respond(
    event: Any, record_handler: Any, processor: Any, context: Any, method: str
) -> PartialItemFailureResponse:
    try:
        records = _get_records_from_event(event, processor)
    except AttributeError:
        raise _no_event(processor)  # noqa: B904 - its context is the reason
    using = _use(processor(records, record_handler, context), processor, method)
    response: PartialItemFailureResponse = using.response()
    return response


def _use(entered: Any, processor: Any, method: str) -> Any:
    """Use a processor, or a test's stand-in for one, and give what has the response."""
    if not isinstance(entered, BasePartialProcessor):
        with entered:
            getattr(processor, method)()
        return processor
    # Another thread's use may begin as soon as the block is left.
    turn = entered._turn_  # pyright: ignore[reportPrivateUsage]
    try:
        with entered:
            getattr(entered, method)()
    finally:
        if turn is not None and not turn.over:
            turn.over = turn.outdated = True  # an alarm came before `__exit__`
    return entered


def _no_event(processor: BasePartialProcessor) -> ValueError:
    kind = getattr(getattr(processor, "event_type", None), "value", "SQS")
    return ValueError(
        f"Invalid event format. Please ensure batch event is a valid {kind} event. \n"
        f"See sample events in our documentation for either {_EVENT_TYPES}: \n {_SAMPLE_EVENTS}"
    )


def _get_records_from_event(event: dict[str, Any], processor: BasePartialProcessor) -> list[Any]:
    """The records of an event, in its order; those of Kafka's topic-partitions one after another."""
    if getattr(processor, "event_type", None) is EventType.Kafka:
        partitions: Any = event.get("records", {})
        lists: list[Any] = list(partitions.values()) if issubclass(type(partitions), dict) else []
        if not lists or not all(issubclass(type(each), list) for each in lists):
            raise UnexpectedBatchTypeError(
                "Invalid Kafka event structure. Expected 'records' to be a non-empty dict with "
                "topic-partition keys."
            )
        return [record for partition in lists for record in partition]
    found: Any = event.get("Records", [])
    if not found or not issubclass(type(found), list):
        raise UnexpectedBatchTypeError(f"Unexpected batch event type. Possible values are: {_EVENT_TYPES}")
    records: list[Any] = found
    return records


# --- the deprecated decorators ------------------------------------------------------------------------


def _records_unchecked(event: Any, processor: Any) -> list[Any]:
    """The records as the decorators take them: a missing key is a KeyError, an empty list is fine."""
    if getattr(processor, "event_type", None) is EventType.Kafka:
        return _get_records_from_event(event, processor)
    records: list[Any] = event["Records"]
    return records


def _deprecated(name: str, instead: str) -> None:
    text = (
        f"The `{name}` decorator is deprecated in V3 and will be removed in the next major version. "
        f"Use `{instead}` function instead."
    )
    warnings.warn(deprecation_warning()(text), stacklevel=4)


@middleware
def batch_processor(
    handler: Callable[..., Any],
    event: Any,
    context: Any,
    record_handler: Callable[..., Any],
    processor: BasePartialProcessor,
) -> Any:
    """Process the event's records one after another before the decorated Lambda handler is called.

    Deprecated: use `process_partial_response`.

    Args:
        handler: The decorated function; it returns ``processor.response()``.
        event: The event that Lambda passes.
        context: Lambda's context.
        record_handler: A function of a record.
        processor: Who keeps what becomes of the records.
    """
    _deprecated("batch_processor", "process_partial_response")
    records = _records_unchecked(event, processor)
    _use(processor(records, record_handler, lambda_context=context), processor, "process")
    return handler(event, context)


@middleware
def async_batch_processor(
    handler: Callable[..., Any],
    event: Any,
    context: Any,
    record_handler: Callable[..., Any],
    processor: AsyncBatchProcessor | SqsFifoPartialProcessor,
) -> Any:
    """Process the event's records side by side before the decorated Lambda handler is called.

    Deprecated: use `async_process_partial_response`.

    Args:
        handler: The decorated function; it returns ``processor.response()``.
        event: The event that Lambda passes.
        context: Lambda's context.
        record_handler: An async function of a record.
        processor: Who keeps what becomes of the records.
    """
    _deprecated("async_batch_processor", "async_process_partial_response")
    records = _records_unchecked(event, processor)
    _use(processor(records, record_handler, lambda_context=context), processor, "async_process")
    return handler(event, context)


def _mark(decorator: Any, instead: str) -> None:
    """Tell tools that a decorator is deprecated, as `warnings.deprecated` does from 3.13 on."""
    name = decorator.__name__
    decorator.__deprecated__ = f"`{name}` decorator is deprecated; use `{instead}` function instead."


_mark(batch_processor, "process_partial_response")
_mark(async_batch_processor, "async_process_partial_response")
