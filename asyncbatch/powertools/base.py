"""Batch processors: the classes that users make, extend and inherit from."""

from __future__ import annotations

import copy
import inspect
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from threading import get_ident
from types import CoroutineType
from typing import Any, ClassVar, Final, Self

from asyncbatch._errors import InvalidHandlerError, InvalidOptionError
from asyncbatch._log import Log
from asyncbatch._raised import type_name
from asyncbatch._scheduler import is_interrupt
from asyncbatch._sources import SourceRules, is_object
from asyncbatch._undone import PLAIN_TYPES
from asyncbatch.powertools._processing import finish, options_for, refuse_undone
from asyncbatch.powertools._processor import (
    BasePartialProcessor,
    BatchEventTypes,
    EventSourceDataClassTypes,
    FailureResponse,
    SuccessResponse,
    functions_of,
)
from asyncbatch.powertools._sources import (
    FIFO_GROUPS,
    HALTING_ROWS,
    ROWS,
    EventType,
    is_from_fifo_queue,
)
from asyncbatch.powertools._turns import Tally, Turn
from asyncbatch.powertools.data_classes import (
    DynamoDBRecord,
    KafkaEventRecord,
    KinesisStreamRecord,
    SQSRecord,
    in_use,
)
from asyncbatch.powertools.exceptions import (
    BatchProcessingError,
    ExceptionInfo,
    RecordNotProcessedError,
    SQSFifoMessageGroupCircuitBreakerError,
    UnreportableRecordError,
)
from asyncbatch.powertools.types import (
    BatchTypeModels,
    PartialItemFailureResponse,
    PartialItemFailures,
    WarningLogger,
)

logger: logging.Logger = logging.getLogger(__name__)  # part of the peer's interface
_log: Final = Log(__name__)


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
    batch_response: Any  # the response; the error that is raised in place of one

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
        self._stop_on_failure_ = stop_on_failure
        if stop_on_failure and self.event_type not in HALTING_ROWS:
            raise InvalidOptionError(
                "stop_on_failure",
                "is for streams and Kafka",
                "For a FIFO queue there is SqsFifoPartialProcessor.",
            )
        self.batch_response = self._fresh_response_()
        self._make_: Any = self._convert_
        self._own_class_: Any = None
        self._COLLECTOR_MAPPING = self._collectors_()
        self._DATA_CLASS_MAPPING: dict[EventType, Callable[[Any], Any]] = dict(_DATA_CLASSES)
        self._told_of_fifo_ = False
        self._others_responses_: dict[int, Any] = {}

    def response(self) -> PartialItemFailureResponse:
        """The partial batch response of this thread's last batch; also after `BatchProcessingError`.

        It names every record of a batch that was not processed: whose `with` block was left without a call of
        `process` or `async_process`. Before the block is left it tells what has become of the records so far.

        Raises:
            UnreportableRecordError: there is none that names every record which failed.
            BaseException: what kept the records from being run, or their order from being read, raised once more.
        """
        using, thread = self._in_use_(), get_ident()
        response: PartialItemFailureResponse
        turn, response = using._turn_, using.batch_response
        if turn is not using._turn_ or (
            turn is not None and turn.thread != thread and thread in using._others_responses_
        ):
            response = using._others_responses_.get(thread, response)  # another thread's use has begun since
        elif turn is not None and (turn.outdated or not turn.over):
            response = using._response_so_far_(turn)
        if isinstance(response, BaseException):
            raise response
        return response

    def _prepare(self) -> None:
        self.success_messages.clear()
        self.fail_messages.clear()
        self.exceptions.clear()
        self.batch_response = self._fresh_response_()

    def _refuse_(self, error: BaseException) -> None:
        self.batch_response = error

    def _clean(self) -> None:
        turn = self._turn_ or Turn(None)
        try:
            error = self._conclude_(turn)
        except BaseException as problem:
            self.batch_response = problem  # an empty response would acknowledge the batch
            raise
        finally:
            turn.over = True
        if error is not None:
            raise error

    def _conclude_(self, turn: Turn) -> BatchProcessingError | None:
        """Make the response, and give what is to be raised besides."""
        if turn.refusal is not None:
            # Nothing was run: an empty response would acknowledge the batch.
            self.batch_response = turn.refusal
            return None
        if not self._has_messages_to_report() and turn.all_succeeded:
            if not turn.tallies and turn.entered and self._lacks_an_answer_(turn):
                self.batch_response = self._every_record_()
            return None
        entirely = self.raise_on_entire_batch_failure and self._entire_batch_failed()
        unreportable = None
        try:
            self.batch_response = {"batchItemFailures": turn.entries(self._collected_(turn))}
        except UnreportableRecordError as error:
            error.child_exceptions = list(self.exceptions)
            self.batch_response = unreportable = error
            if not entirely:
                raise
        if turn.unnoted(len(self.fail_messages)) and not turn.broken:
            _log.warning(
                "more records are reported as failed than were noted in fail_messages: a record has succeeded "
                'only if its handlers return a tuple that starts with "success"'
            )
        if not entirely:
            return None
        failed = BatchProcessingError(
            f"All records failed processing. {len(self.exceptions)} individual errors logged separately below.",
            list(self.exceptions),
        )
        failed.__cause__ = unreportable
        return failed

    def _response_so_far_(self, turn: Turn) -> Any:
        """The response before the block is left, or of a run behind it; an error in place of one."""
        if turn.refusal is not None:
            return turn.refusal
        if turn.running:
            return self._every_record_()
        if turn.entered or turn.tallies:
            try:
                if self._has_messages_to_report() or not turn.all_succeeded:
                    # Lists that were not emptied on entering have the failures of other batches as well.
                    return {"batchItemFailures": turn.entries(self._collected_(turn) if turn.entered else ())}
            except Exception as error:  # noqa: BLE001 - a collector may raise anything
                return error
        if self._lacks_an_answer_(turn):
            return self._every_record_()
        return self._fresh_response_() if turn.tallies and not turn.entered else self.batch_response

    def _every_record_(self) -> Any:
        """A response that names every record; where one cannot be named, the error that says so."""
        unprocessed = Turn(None)
        try:
            using: Any = self
            records: Any = using.records
            if type(records) is not list:
                using.records = records = list(records)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            unprocessed.tallies.append(Tally(self._rules_(records), records))  # pyright: ignore[reportUnknownArgumentType]
            return {"batchItemFailures": unprocessed.entries(())}
        except Exception as error:  # noqa: BLE001 - an iterable may raise anything
            return error

    def _lacks_an_answer_(self, turn: Turn) -> bool:
        """Whether nothing has become of the records, and no collector of the user's own may know better."""
        if not self._is_unprocessed_(turn):
            return False
        collectors = functions_of(self, _COLLECT)
        collectors.append(getattr(self._COLLECTOR_MAPPING.get(self.event_type), "__func__", None))
        return _OUR_COLLECTORS.issuperset(collectors)

    def _set_aside_(self, turn: Turn) -> None:
        self._others_responses_[turn.thread] = self.batch_response
        if len(self._others_responses_) > _THREADS:
            del self._others_responses_[next(iter(self._others_responses_))]

    def _collected_(self, turn: Turn) -> list[PartialItemFailures]:
        try:
            return self._get_messages_to_report()
        except (AttributeError, KeyError, TypeError):
            turn.entries(())  # says which record has no identifier, if that is why
            raise

    def _has_messages_to_report(self) -> bool:
        if self.fail_messages:
            return True
        _log.debug("All %d records successfully processed", len(self.success_messages))
        return False

    def _entire_batch_failed(self) -> bool:
        if self._turn_ is not None and self._turn_.tallies:
            return self._turn_.none_succeeded
        return len(self.exceptions) == len(self.records)

    def _get_messages_to_report(self) -> list[PartialItemFailures]:
        return self._COLLECTOR_MAPPING[self.event_type]()

    # --- collectors, by event type --------------------------------------------------------------------

    def _collectors_(self) -> dict[EventType, Callable[[], list[PartialItemFailures]]]:
        return {
            EventType.SQS: self._collect_sqs_failures,
            EventType.KinesisDataStreams: self._collect_kinesis_failures,
            EventType.DynamoDBStreams: self._collect_dynamodb_failures,
            EventType.Kafka: self._collect_kafka_failures,
        }

    def _is_model_(self, message: Any) -> bool:
        return bool(self.model) and hasattr(message, "model_validate")

    def _collect_sqs_failures(self) -> list[PartialItemFailures]:
        return self._named_(lambda each: each.messageId if self._is_model_(each) else each.message_id)

    def _collect_kinesis_failures(self) -> list[PartialItemFailures]:
        return self._named_(
            lambda each: (
                each.kinesis.sequenceNumber if self._is_model_(each) else each.kinesis.sequence_number
            )
        )

    def _collect_dynamodb_failures(self) -> list[PartialItemFailures]:
        return self._named_(
            lambda each: (
                each.dynamodb.SequenceNumber if self._is_model_(each) else each.dynamodb.sequence_number
            )
        )

    def _collect_kafka_failures(self) -> list[PartialItemFailures]:
        return self._named_(
            lambda each: {"partition": f"{each.topic}-{each.partition}", "offset": each.offset}
        )

    def _named_(self, tell: Callable[[Any], Any]) -> list[PartialItemFailures]:
        """An identifier for each of the failures: as it was read before a handler could change it.

        Args:
            tell: Asks a message itself, where nothing was read: it is no record of a run, or only its model makes
                an identifier for it.
        """
        read = {} if self._turn_ is None else self._turn_.identifiers_read()

        def name(message: Any) -> Any:
            raw = message if id(message) in read else getattr(message, "raw_event", None)
            return read[id(raw)] if id(raw) in read else tell(message)

        return [{"itemIdentifier": name(each)} for each in self.fail_messages]

    # --- records as the handler gets them -------------------------------------------------------------

    def _to_batch_type(
        self, record: dict[str, Any], event_type: EventType, model: BatchTypeModels = None
    ) -> Any:
        if model is None:
            return in_use(self._DATA_CLASS_MAPPING[event_type])(record)
        return model.model_validate(_own_headers(record) if event_type is EventType.Kafka else record)

    def _convert_(self, record: dict[str, Any]) -> Any:
        return self._to_batch_type(record=record, event_type=self.event_type, model=self.model)

    def _register_model_validation_error_record(self, record: dict[str, Any]) -> FailureResponse:
        """Have a record handled as failed that cannot be made a model of: as a data class."""
        error = sys.exc_info()
        try:
            failed = self._to_batch_type(record=record, event_type=self.event_type)
        except BaseException as other:  # an overriding method may raise anything
            if is_interrupt(other):
                raise
            failed = in_use(_DATA_CLASSES[self.event_type])(record)
        return self.failure_handler(record=failed, exception=error)

    def _tell_failure_(self, record: Any, exception: ExceptionInfo) -> Any:
        try:
            failed = self._to_batch_type(record=record, event_type=self.event_type, model=self.model)
        except BaseException as error:  # a model may raise anything
            if is_interrupt(error):
                raise
            failed = in_use(_DATA_CLASSES[self.event_type])(record)
        return self.failure_handler(record=failed, exception=exception)

    def _handle_(self, record: dict[str, Any]) -> SuccessResponse | FailureResponse:
        """Process one record; whatever it raises is its own failure."""
        data = None
        try:
            own_class = self._own_class_
            if own_class is None:
                data = self._make_(record)
            else:
                data = _new_view(own_class)
                data.raw = record
            if self._handler_accepts_lambda_context:
                result = self.handler(record=data, lambda_context=self.lambda_context)
            else:
                result = self.handler(record=data)
            if result is not None and type(result) not in PLAIN_TYPES:
                result = finish(self._turn_, result)
            if self._own_entries_:
                self.success_messages.append(record)
                return "success", result, record
            turn = self._turn_
            if turn is not None:
                turn.recorded = True
            return self.success_handler(record=record, result=result)
        except BaseException as error:
            if is_interrupt(error):
                raise
            return self._failed_(record, data, error)

    async def _handle_async_(self, record: dict[str, Any]) -> SuccessResponse | FailureResponse:  # noqa: C901 - calls would be paid per record
        """The same beside other records."""
        data = None
        result: Any
        try:
            own_class = self._own_class_
            if own_class is None:
                data = self._make_(record)
            else:
                data = _new_view(own_class)
                data.raw = record
            if self._handler_accepts_lambda_context:
                result = self.handler(record=data, lambda_context=self.lambda_context)
            else:
                result = self.handler(record=data)
            # What is asked first is quick, and the usual case.
            if type(result) is CoroutineType or inspect.isawaitable(result):
                result = await result  # pyright: ignore[reportUnknownVariableType]
            if result is not None and type(result) not in PLAIN_TYPES:  # pyright: ignore[reportUnknownArgumentType]
                refuse_undone(result)  # pyright: ignore[reportUnknownArgumentType]
            if self._own_entries_:
                self.success_messages.append(record)
                return "success", result, record  # pyright: ignore[reportUnknownVariableType]
            if self._left_behind_ is not None and self._is_left_behind_(record):
                return "fail", "its batch is over", record
            turn = self._turn_
            if turn is not None:
                turn.recorded = True
            return self.success_handler(record=record, result=result)
        except BaseException as error:
            if self._is_out_of_hand_(error, record):
                raise
            return self._failed_(record, data, error)

    # What makes entries in a class that overrides nothing.
    _OURS_: ClassVar[frozenset[Any]] = frozenset(
        {
            _handle_,
            _handle_async_,
            _register_model_validation_error_record,
            BasePartialProcessor.success_handler,
            BasePartialProcessor.failure_handler,
        }
    )

    def _failed_(self, record: dict[str, Any], data: Any, error: BaseException) -> FailureResponse:
        """Have a record's exception handled, from within its ``except`` clause."""
        if data is None or self._is_refusal_(error):
            return self._register_model_validation_error_record(record)
        return self.failure_handler(record=data, exception=sys.exc_info())

    def _is_refusal_(self, error: BaseException) -> bool:
        """Whether the model itself refused something, though it was inside the handler."""
        if self.model is None or type_name(error) != "ValidationError":
            return False
        try:
            return bool(getattr(error, "title", None) == getattr(self.model, "__name__", None))
        except BaseException as other:
            if is_interrupt(other):
                raise
            return False

    def _begin_run_(self, records: Sequence[Any]) -> SourceRules:
        self._choose_conversion_()
        # Methods are looked up in the class: to bind them would take longer, and be paid per batch.
        makers, replaced = _makers_of(type(self)), vars(self).keys()
        self._own_entries_ = (
            not self._left_behind_ and self._OURS_.issuperset(makers) and replaced.isdisjoint(_MAKE_ENTRIES)
        )
        if not callable(self.handler) and self._OURS_.issuperset(makers[:2]):
            raise InvalidHandlerError(f"{self.handler!r:.50}", "it is not callable", "Pass a function.")
        return self._rules_(records)

    def _choose_conversion_(self) -> None:
        """Find the shortest way from a raw record to what its handler gets: it is paid for each record."""
        self._own_class_, self._make_ = None, self._convert_
        if getattr(self._to_batch_type, "__func__", None) is not BasePartialBatchProcessor._to_batch_type:
            return
        if self.model is not None:
            if self.event_type is not EventType.Kafka:
                self._make_ = self.model.model_validate
            return
        made = self._DATA_CLASS_MAPPING.get(self.event_type)
        kind = in_use(made)
        if kind is not made:
            self._make_ = kind
        elif made is _DATA_CLASSES.get(self.event_type):
            self._own_class_ = made

    # --- what the scheduler has to know ---------------------------------------------------------------

    def _rules_(self, records: Sequence[Any]) -> SourceRules:
        if self._stop_on_failure_:
            return HALTING_ROWS[self.event_type]
        if self.event_type is EventType.SQS and is_from_fifo_queue(records):
            if not self._told_of_fifo_:
                self._told_of_fifo_ = True
                _log.warning(
                    "the records come from a FIFO queue: each message group is kept in order, and the rest of a "
                    "group that fails is reported unprocessed. SqsFifoPartialProcessor is made for such queues."
                )
            return FIFO_GROUPS
        return ROWS[self.event_type]

    @property
    def _held_back_(self) -> ExceptionInfo:  # type: ignore[override]  # a class's constant there
        return _STREAM_HALTED if self._stop_on_failure_ else GROUP_HALTED

    def _fresh_response_(self) -> PartialItemFailureResponse:
        if self.DEFAULT_RESPONSE is not BasePartialBatchProcessor.DEFAULT_RESPONSE:
            return copy.deepcopy(self.DEFAULT_RESPONSE)
        response: PartialItemFailureResponse = {"batchItemFailures": []}  # copying takes a microsecond
        return response

    def _copy_(self) -> Self:
        other = super()._copy_()
        other.batch_response = other._fresh_response_()
        other._others_responses_ = {}
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
_makers_of: Final[Callable[[object], tuple[Any, ...]]] = attrgetter(*_MAKE_ENTRIES)
_COLLECT: Final = (
    "_has_messages_to_report",
    "_get_messages_to_report",
    "_collect_sqs_failures",
    "_collect_kinesis_failures",
    "_collect_dynamodb_failures",
    "_collect_kafka_failures",
)
_OUR_COLLECTORS: Final = frozenset(vars(BasePartialBatchProcessor)[name] for name in _COLLECT)
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

    _process_record = BasePartialBatchProcessor._handle_

    _OURS_ = BasePartialBatchProcessor._OURS_ | {BasePartialProcessor._async_process_record}


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
        self._concurrency_ = concurrency

    def _process_record(self, record: dict[str, Any]) -> Any:
        message = f"{type(self).__name__} runs records side by side: call async_process_partial_response"
        raise NotImplementedError(message)

    _async_process_record = BasePartialBatchProcessor._handle_async_
    _OURS_ = BasePartialBatchProcessor._OURS_ | {_process_record}


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
