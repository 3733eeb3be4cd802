"""Batch processors: the classes that users make, extend and inherit from."""

from __future__ import annotations

import copy
import inspect
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from threading import get_ident
from types import CoroutineType
from typing import Any, ClassVar, Final, Self

from asyncbatch._errors import InvalidOptionError
from asyncbatch._sources import SourceRules, is_object
from asyncbatch.powertools._processing import PLAIN_TYPES, finish, is_interrupt, options_for, refuse_undone
from asyncbatch.powertools._processor import (
    BasePartialProcessor,
    BatchEventTypes,
    EventSourceDataClassTypes,
    FailureResponse,
    SuccessResponse,
)
from asyncbatch.powertools._sources import (
    FIFO_GROUPS,
    HALTING_ROWS,
    ROWS,
    EventType,
    is_from_fifo_queue,
)
from asyncbatch.powertools._turns import Turn
from asyncbatch.powertools.data_classes import (
    DynamoDBRecord,
    KafkaEventRecord,
    KinesisStreamRecord,
    SQSRecord,
)
from asyncbatch.powertools.exceptions import (
    BatchProcessingError,
    ExceptionInfo,
    RecordNotProcessedError,
    SQSFifoMessageGroupCircuitBreakerError,
)
from asyncbatch.powertools.types import (
    BatchTypeModels,
    PartialItemFailureResponse,
    PartialItemFailures,
    WarningLogger,
)

logger: logging.Logger = logging.getLogger(__name__)


class BasePartialBatchProcessor(BasePartialProcessor):
    """Keeps failures, and makes the partial batch response of them.

    Args:
        event_type: Where the records come from.
        model: Makes a model of each record (`asyncbatch.models`, or Powertools' parser models); a record that it
            refuses fails alone. None for a data class.
        raise_on_entire_batch_failure: Raise `BatchProcessingError` when every record failed.
        logger: Gets a warning with the traceback of every record that fails; None for none.
        stop_on_failure: For Kinesis, DynamoDB Streams and Kafka: start nothing behind a failure, which its event
            source will deliver again anyway. Records with one key then stay in order, also side by side.

    Raises:
        InvalidOptionError: an argument makes no sense.
    """

    DEFAULT_RESPONSE: ClassVar[PartialItemFailureResponse] = {"batchItemFailures": []}
    batch_response: PartialItemFailureResponse
    _own_class: Any = None

    def __init__(
        self,
        event_type: EventType,
        model: BatchTypeModels = None,
        raise_on_entire_batch_failure: bool = True,  # noqa: FBT001, FBT002 - the peer's signature
        logger: WarningLogger | None = None,
        *,
        stop_on_failure: bool = False,
    ) -> None:
        super().__init__(logger=logger)
        self.event_type: EventType = _event_type(event_type)
        self.model = model
        self.raise_on_entire_batch_failure = raise_on_entire_batch_failure
        self.stop_on_failure = stop_on_failure
        if stop_on_failure and self.event_type not in HALTING_ROWS:
            raise InvalidOptionError(
                "stop_on_failure",
                "is for streams and Kafka",
                "For a FIFO queue there is SqsFifoPartialProcessor.",
            )
        self.batch_response = self._fresh_response()
        self._COLLECTOR_MAPPING = self._collectors()
        self._DATA_CLASS_MAPPING: dict[EventType, Callable[[Any], Any]] = dict(_DATA_CLASSES)
        self._told_of_fifo = False
        self._others_responses: dict[int, PartialItemFailureResponse] = {}

    def response(self) -> PartialItemFailureResponse:
        """The partial batch response of this thread's last batch; also after `BatchProcessingError`."""
        using, thread = self._in_use(), get_ident()
        turn, response = using._turn, using.batch_response
        if turn is using._turn and (turn is None or turn.thread == thread):
            return response
        return using._others_responses.get(thread, response)  # another thread's use has begun since

    def _prepare(self) -> None:
        self.success_messages.clear()
        self.fail_messages.clear()
        self.exceptions.clear()
        self.batch_response = self._fresh_response()

    def _clean(self) -> None:
        turn = self._turn or Turn(None)
        if not self._has_messages_to_report() and turn.all_succeeded:
            return
        self.batch_response = {"batchItemFailures": turn.entries(self._collected(turn))}
        if turn.unnoted(len(self.fail_messages)):
            logger.warning(
                "more records are reported as failed than were noted in fail_messages: a record has succeeded "
                'only if its handlers return a tuple that starts with "success"'
            )
        if self.raise_on_entire_batch_failure and self._entire_batch_failed():
            count = len(self.exceptions)
            raise BatchProcessingError(
                f"All records failed processing. {count} individual errors logged separately below.",
                list(self.exceptions),
            )

    def _set_aside(self, turn: Turn) -> None:
        self._others_responses[turn.thread] = self.batch_response
        if len(self._others_responses) > _THREADS:
            del self._others_responses[next(iter(self._others_responses))]

    def _collected(self, turn: Turn) -> list[PartialItemFailures]:
        try:
            return self._get_messages_to_report()
        except (AttributeError, KeyError, TypeError):
            turn.entries(())  # says which record has no identifier, if that is why
            raise

    def _has_messages_to_report(self) -> bool:
        if self.fail_messages:
            return True
        logger.debug("All %d records successfully processed", len(self.success_messages))
        return False

    def _entire_batch_failed(self) -> bool:
        if self._turn is not None and self._turn.tallies:
            return self._turn.none_succeeded
        return len(self.exceptions) == len(self.records)

    def _get_messages_to_report(self) -> list[PartialItemFailures]:
        return self._COLLECTOR_MAPPING[self.event_type]()

    # --- collectors, by event type --------------------------------------------------------------------

    def _collectors(self) -> dict[EventType, Callable[[], list[PartialItemFailures]]]:
        return {
            EventType.SQS: self._collect_sqs_failures,
            EventType.KinesisDataStreams: self._collect_kinesis_failures,
            EventType.DynamoDBStreams: self._collect_dynamodb_failures,
            EventType.Kafka: self._collect_kafka_failures,
        }

    def _is_model(self, message: Any) -> bool:
        return bool(self.model) and hasattr(message, "model_validate")

    def _collect_sqs_failures(self) -> list[PartialItemFailures]:
        return [
            {"itemIdentifier": each.messageId if self._is_model(each) else each.message_id}
            for each in self.fail_messages
        ]

    def _collect_kinesis_failures(self) -> list[PartialItemFailures]:
        return [
            {"itemIdentifier": part.sequenceNumber if self._is_model(each) else part.sequence_number}
            for each in self.fail_messages
            for part in [each.kinesis]
        ]

    def _collect_dynamodb_failures(self) -> list[PartialItemFailures]:
        return [
            {"itemIdentifier": part.SequenceNumber if self._is_model(each) else part.sequence_number}
            for each in self.fail_messages
            for part in [each.dynamodb]
        ]

    def _collect_kafka_failures(self) -> list[PartialItemFailures]:
        return [
            {"itemIdentifier": {"partition": f"{each.topic}-{each.partition}", "offset": each.offset}}
            for each in self.fail_messages
        ]

    # --- records as the handler gets them -------------------------------------------------------------

    def _to_batch_type(
        self, record: dict[str, Any], event_type: EventType, model: BatchTypeModels = None
    ) -> Any:
        if model is None:
            return self._DATA_CLASS_MAPPING[event_type](record)
        return model.model_validate(_own_headers(record) if event_type is EventType.Kafka else record)

    def _convert(self, record: dict[str, Any]) -> Any:
        return self._to_batch_type(record=record, event_type=self.event_type, model=self.model)

    def _register_model_validation_error_record(self, record: dict[str, Any]) -> FailureResponse:
        """Have a record handled as failed that cannot be made a model of: as a data class."""
        error = sys.exc_info()
        try:
            failed = self._to_batch_type(record=record, event_type=self.event_type)
        except Exception:  # noqa: BLE001 - an overriding method may raise anything
            failed = _DATA_CLASSES[self.event_type](record)
        return self.failure_handler(record=failed, exception=error)

    def _tell_failure(self, record: Any, exception: ExceptionInfo) -> Any:
        try:
            failed = self._to_batch_type(record=record, event_type=self.event_type, model=self.model)
        except Exception:  # noqa: BLE001 - a model may raise anything
            failed = _DATA_CLASSES[self.event_type](record)
        return self.failure_handler(record=failed, exception=exception)

    def _handle(self, record: dict[str, Any]) -> SuccessResponse | FailureResponse:
        """Process one record; whatever it raises is its own failure."""
        data = None
        try:
            own_class = self._own_class
            if own_class is None:
                data = self._convert(record)
            else:
                data = _new_view(own_class)
                data.raw = record
            if self._handler_accepts_lambda_context:
                result = self.handler(record=data, lambda_context=self.lambda_context)
            else:
                result = self.handler(record=data)
            if result is not None and type(result) not in PLAIN_TYPES:
                result = finish(self._turn, result)
            if self._own_entries:
                self.success_messages.append(record)
                return "success", result, record
            return self.success_handler(record=record, result=result)
        except BaseException as error:
            if is_interrupt(error):
                raise
            return self._failed(record, data, error)

    async def _handle_async(self, record: dict[str, Any]) -> SuccessResponse | FailureResponse:
        """The same beside other records."""
        data = None
        result: Any
        try:
            own_class = self._own_class
            if own_class is None:
                data = self._convert(record)
            else:
                data = _new_view(own_class)
                data.raw = record
            if self._handler_accepts_lambda_context:
                result = self.handler(record=data, lambda_context=self.lambda_context)
            else:
                result = self.handler(record=data)
            if type(result) is CoroutineType or inspect.isawaitable(
                result
            ):  # the first is the usual case, and quick
                result = await result  # pyright: ignore[reportUnknownVariableType]
            if result is not None and type(result) not in PLAIN_TYPES:  # pyright: ignore[reportUnknownArgumentType]
                refuse_undone(result)  # pyright: ignore[reportUnknownArgumentType]
            if self._own_entries:
                self.success_messages.append(record)
                return "success", result, record  # pyright: ignore[reportUnknownVariableType]
            return self.success_handler(record=record, result=result)
        except BaseException as error:
            if self._is_out_of_hand(error):
                raise
            return self._failed(record, data, error)

    # What makes entries in a class that overrides nothing.
    _OURS: ClassVar[frozenset[Any]] = frozenset(
        {
            _handle,
            _handle_async,
            _register_model_validation_error_record,
            BasePartialProcessor.success_handler,
            BasePartialProcessor.failure_handler,
        }
    )

    def _failed(self, record: dict[str, Any], data: Any, error: BaseException) -> FailureResponse:
        """Have a record's exception handled, from within its ``except`` clause."""
        if data is None or self._is_refusal(error):
            return self._register_model_validation_error_record(record)
        return self.failure_handler(record=data, exception=sys.exc_info())

    def _is_refusal(self, error: BaseException) -> bool:
        """Whether the model itself refused something, though it was inside the handler."""
        if self.model is None or type(error).__name__ != "ValidationError":
            return False
        return getattr(error, "title", None) == getattr(self.model, "__name__", None)

    def _begin_run(self, records: Sequence[Any]) -> SourceRules:
        # Where nothing is overridden, calls can be saved that would be paid for each record.
        own = getattr(self._to_batch_type, "__func__", None) is BasePartialBatchProcessor._to_batch_type
        made = self._DATA_CLASS_MAPPING.get(self.event_type) if own and self.model is None else None
        self._own_class = made if made is _DATA_CLASSES.get(self.event_type) else None
        vars(self).pop("_convert", None)
        if own and self.model is not None and self.event_type is not EventType.Kafka:
            vars(self)["_convert"] = self.model.model_validate
        makers = [getattr(getattr(self, name), "__func__", None) for name in _MAKE_ENTRIES]
        self._own_entries = self._OURS.issuperset(makers)
        return self._rules(records)

    # --- what the scheduler has to know ---------------------------------------------------------------

    def _rules(self, records: Sequence[Any]) -> SourceRules:
        if self.stop_on_failure:
            return HALTING_ROWS[self.event_type]
        if self.event_type is EventType.SQS and is_from_fifo_queue(records):
            if not self._told_of_fifo:
                self._told_of_fifo = True
                logger.warning(
                    "the records come from a FIFO queue: each message group is kept in order, and the rest of a "
                    "group that fails is reported unprocessed. SqsFifoPartialProcessor is made for such queues."
                )
            return FIFO_GROUPS
        return ROWS[self.event_type]

    @property
    def _held_back(self) -> ExceptionInfo:  # type: ignore[override]  # a class's constant there
        return _STREAM_HALTED if self.stop_on_failure else GROUP_HALTED

    def _fresh_response(self) -> PartialItemFailureResponse:
        if self.DEFAULT_RESPONSE is not BasePartialBatchProcessor.DEFAULT_RESPONSE:
            return copy.deepcopy(self.DEFAULT_RESPONSE)
        response: PartialItemFailureResponse = {"batchItemFailures": []}  # copying takes a microsecond
        return response

    def _copy(self) -> Self:
        other = super()._copy()
        other.batch_response = other._fresh_response()
        other._others_responses = {}
        other._COLLECTOR_MAPPING = {  # pyright: ignore[reportConstantRedefinition] - the peer's name
            event_type: getattr(other, collect.__name__)
            if getattr(collect, "__self__", None) is self
            else collect
            for event_type, collect in self._COLLECTOR_MAPPING.items()
        }
        return other


# Whose results are entries, or become some.
_MAKE_ENTRIES: Final = (
    "_process_record",
    "_async_process_record",
    "_register_model_validation_error_record",
    "success_handler",
    "failure_handler",
)
_THREADS: Final = 64  # whose last responses are kept, for as long as they may take to ask

_new_view: Final[Callable[[type[Any]], Any]] = object.__new__

GROUP_HALTED: Final[ExceptionInfo] = (
    SQSFifoMessageGroupCircuitBreakerError,
    SQSFifoMessageGroupCircuitBreakerError("A previous record from this message group failed processing"),
    None,
)
_STREAM_HALTED: Final[ExceptionInfo] = (
    RecordNotProcessedError,
    RecordNotProcessedError("A previous record of this stream failed processing"),
    None,
)
_DATA_CLASSES: Final[Mapping[EventType, Callable[[Any], Any]]] = {
    EventType.SQS: SQSRecord,
    EventType.KinesisDataStreams: KinesisStreamRecord,
    EventType.DynamoDBStreams: DynamoDBRecord,
    EventType.Kafka: KafkaEventRecord,
}


def _event_type(value: Any) -> EventType:
    """The event type; Powertools' own members and the names will do."""
    try:
        return EventType(getattr(value, "value", value))
    except ValueError:
        names = ", ".join(EventType.__members__)
        raise InvalidOptionError(
            "event_type", f"must be one of EventType ({names}), but is {value!r:.50}"
        ) from None


def _own_headers(record: Any) -> Any:
    """A Kafka record whose headers a model may rewrite, as Powertools' does."""
    if not is_object(record) or "headers" not in record:
        return record
    return {**record, "headers": copy.deepcopy(record["headers"])}


class BatchProcessor(BasePartialBatchProcessor):
    """Processes records one after another and reports those that failed.

    The handler is a plain function; an async one is awaited, record by record. See `BasePartialBatchProcessor` for
    the arguments.
    """

    _process_record = BasePartialBatchProcessor._handle

    async def _async_process_record(self, record: dict[str, Any]) -> Any:
        raise NotImplementedError

    _OURS = BasePartialBatchProcessor._OURS | {_async_process_record}


class AsyncBatchProcessor(BasePartialBatchProcessor):
    """Processes records side by side and reports those that failed.

    The handler is an async function; the result of a plain one is taken as it is. Records of a FIFO queue keep the
    order of their message groups. See `BasePartialBatchProcessor` for the other arguments.

    Args:
        concurrency: Most records in flight; None for the whole batch.
    """

    def __init__(
        self,
        event_type: EventType,
        model: BatchTypeModels = None,
        raise_on_entire_batch_failure: bool = True,  # noqa: FBT001, FBT002 - the peer's signature
        logger: WarningLogger | None = None,
        *,
        stop_on_failure: bool = False,
        concurrency: int | None = None,
    ) -> None:
        super().__init__(
            event_type, model, raise_on_entire_batch_failure, logger, stop_on_failure=stop_on_failure
        )
        options_for(concurrency)
        self.concurrency = concurrency

    def _process_record(self, record: dict[str, Any]) -> Any:
        raise NotImplementedError

    _async_process_record = BasePartialBatchProcessor._handle_async
    _OURS = BasePartialBatchProcessor._OURS | {_process_record}


__all__ = [
    "AsyncBatchProcessor",
    "BasePartialBatchProcessor",
    "BasePartialProcessor",
    "BatchEventTypes",
    "BatchProcessor",
    "EventSourceDataClassTypes",
    "EventType",
    "FailureResponse",
    "SuccessResponse",
    "logger",
]
