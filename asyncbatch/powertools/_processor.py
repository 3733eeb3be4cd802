"""What every processor is: records in, an entry for each out, and one use of it at a time."""

from __future__ import annotations

import contextlib
import copy
import inspect
from abc import ABC, abstractmethod
from asyncio import CancelledError, current_task
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Union
from weakref import WeakKeyDictionary

from asyncbatch._errors import SequenceOrderError
from asyncbatch._failure_texts import describe_pair
from asyncbatch._log import Log
from asyncbatch._raised import traceback_of, type_name
from asyncbatch._scheduler import is_interrupt
from asyncbatch._sources import SourceRules
from asyncbatch.powertools._processing import Entry, run_concurrently, run_in_order
from asyncbatch.powertools._sources import UNREPORTED
from asyncbatch.powertools._turns import Turn
from asyncbatch.powertools.data_classes import (
    DynamoDBRecord,
    KafkaEventRecord,
    KinesisStreamRecord,
    SQSRecord,
)
from asyncbatch.powertools.exceptions import (
    TEXT_LIMIT,
    BaseBatchProcessingError,
    ExceptionInfo,
    RecordNotProcessedError,
)
from asyncbatch.powertools.types import BatchTypeModels, WarningLogger

logger: Final = Log("asyncbatch.powertools.base")

EventSourceDataClassTypes = SQSRecord | KinesisStreamRecord | DynamoDBRecord | KafkaEventRecord
if TYPE_CHECKING:
    BatchEventTypes = Any  # one of ours, one of Powertools', or a model
else:
    BatchEventTypes = Union[EventSourceDataClassTypes, BatchTypeModels]  # noqa: UP007 - the latter may be text
SuccessResponse = tuple[str, Any, BatchEventTypes]
FailureResponse = tuple[str, str, BatchEventTypes]

_taking: Final = Lock()
_NO_COPIES: Final[Mapping[int, Any]] = {}
_copies: Final[ContextVar[Mapping[int, Any]]] = ContextVar("copies", default=_NO_COPIES)


class BasePartialProcessor(ABC):
    """Hands records to a handler one by one and keeps what became of each.

    To make a processor of your own, implement ``_prepare`` (called when the ``with`` block is entered), ``_clean``
    (when it is left), ``_process_record`` and, for concurrent processing, ``_async_process_record``: they call
    ``self.handler`` and return what `success_handler` or `failure_handler` gives. The functions that make Lambda's
    reply, `process_partial_response` for one, also call ``response``.

    Args:
        logger: Gets a warning with the traceback of every record that fails; None for none.

    Attributes:
        records: The raw records of this batch.
        handler: The function for each.
        lambda_context: Lambda's context, if one was passed.
        success_messages: The raw records that succeeded.
        fail_messages: Those that failed, as their handler got them; where a model refused one, as a data class.
        exceptions: What each of those raised, as `sys.exc_info` gives it.
    """

    lambda_context: Any
    records: Any
    handler: Callable[..., Any]
    _concurrency_: int | None = None
    _turn_: Turn | None = None
    _handler_accepts_lambda_context: bool = False
    # Records of earlier batches that a handler still works on in a thread that was left behind, by their `id`.
    _left_behind_: dict[int, Any] | None = None
    _own_entries_: bool = False  # entries are made by methods of ours alone: their first item tells it all
    _held_back_: ExceptionInfo = (
        RecordNotProcessedError,
        RecordNotProcessedError("an earlier record failed"),
        None,
    )

    def __init__(self, logger: WarningLogger | None = None) -> None:
        self.success_messages: list[Any] = []
        self.fail_messages: list[Any] = []
        self.exceptions: list[ExceptionInfo] = []
        self.logger: Any = logger  # whose other methods subclasses may call

    # --- what subclasses implement --------------------------------------------------------------------

    @abstractmethod
    def _prepare(self) -> Any:
        """Get ready for a batch."""

    @abstractmethod
    def _clean(self) -> Any:
        """Draw the conclusions of a batch."""

    @abstractmethod
    def _process_record(self, record: dict[str, Any]) -> Any:
        """Process one record, and return its entry."""

    async def _async_process_record(self, record: dict[str, Any]) -> Any:
        """Process one record beside others, and return its entry."""
        message = f"{type(self).__name__} runs records one after another: call process_partial_response"
        raise NotImplementedError(message)

    # --- a use of the processor -----------------------------------------------------------------------

    def __call__(
        self, records: Iterable[Any], handler: Callable[..., Any], lambda_context: Any = None
    ) -> Self:
        """Take records and the handler for them; use the result in a ``with`` statement.

        Args:
            records: The raw records.
            handler: A function of a record, called with the keyword ``record``.
            lambda_context: Lambda's context. It tells the deadline, and a handler with a parameter of this name
                gets it.

        Returns:
            The processor; a copy of it while somebody else uses it.
        """
        using = self._take_(lambda_context)
        using.records = records
        using.handler = handler
        if lambda_context is None:
            using._handler_accepts_lambda_context = False
        else:
            using.lambda_context = lambda_context
            using._handler_accepts_lambda_context = _accepts_context(handler)
        return using

    def __enter__(self) -> Self:
        turn = self._turn_
        if turn is None or turn.over:
            turn = self._turn_ = Turn(None)
        turn.entered = True
        try:
            self._prepare()
        except BaseException as error:
            turn.over = True
            self._refuse_(error)
            raise
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        turn = self._turn_
        if turn is not None:
            turn.broken = exception_type is not None
        try:
            if turn is not None and not turn.tallies and exception_type is None:
                self._warn_of_unprocessed_(turn)
            self._clean()
        except BaseException as error:
            if turn is not None:
                turn.outdated = not turn.over  # an override raised before the response was made
            if exception_type is None or not issubclass(type(error), _OF_THE_BATCH):
                raise  # else the block's own error is the one to be seen
        finally:
            if turn is not None:
                turn.over = True
            self._drop_copy_()  # used within its own block: from here on it means itself

    def process(self) -> list[Entry]:
        """Process the records one after another.

        Returns:
            An entry for each, in order: ``("success", result, record)`` or ``("fail", text, record)``.
        """
        return self._run_(run_in_order)

    def async_process(self) -> list[Entry]:
        """Process the records side by side, on the thread's event loop; a plain function all the same.

        Returns:
            An entry for each, in the records' order.
        """
        return self._run_(run_concurrently)

    def _run_(self, run: Callable[[Any, Turn, Sequence[Any]], list[Entry]]) -> list[Entry]:
        copies = _copies.get()
        using: Any = self._in_use_()
        if using._turn_ is not None and using._turn_.over:
            using = self  # a use within this one's block, which has ended
        turn = using._turn_
        if turn is None:
            turn = using._turn_ = Turn(None)
        elif turn.over:
            turn.outdated = True
        begun = len(turn.tallies)
        turn.refusal = None
        turn.running += 1
        try:
            records: Any = using.records
            if type(records) is not list:
                using.records = records = list(records)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            return run(using, turn, [*records])  # the caller and handlers may change theirs meanwhile
        except BaseException as error:
            if len(turn.tallies) == begun:
                turn.refusal = error
            raise
        finally:
            turn.running -= 1
            if _copies.get() is not copies:  # a handler used this processor too
                _copies.set(copies)

    def _take_(self, context: object) -> Self:
        """Begin a use: of this processor, or of a copy while it is in use."""
        # In a `with` statement a signal's exception cannot come between the lock's taking and the body. Behind a
        # call of `acquire` it can, and would leave the lock held for ever.
        with _taking:
            turn = self._turn_
            if turn is None or not turn.goes_on:
                mine = Turn(context)
                if turn is not None and turn.thread != mine.thread:
                    self._set_aside_(turn)
                self._turn_ = mine
                self._drop_copy_()
                return self
        other = self._copy_()
        other._turn_ = Turn(context)
        _copies.set({**_copies.get(), id(self): other})
        return other

    def _set_aside_(self, turn: Turn) -> None:  # noqa: B027 - there is nothing to keep here
        """Keep what another thread may still ask of its last use, now that this one begins its own."""

    def _in_use_(self) -> Self:
        """This processor, or the copy that this thread or task uses in its place."""
        copies = _copies.get()
        return copies.get(id(self), self) if copies else self

    def _drop_copy_(self) -> None:
        """Let this processor mean itself again."""
        copies = _copies.get()
        if id(self) in copies:
            _copies.set({key: each for key, each in copies.items() if key != id(self)})

    def __getstate__(self) -> dict[str, Any]:
        """All but what belongs to a use."""
        state = vars(self).copy()  # at once: another thread may be at it
        state.pop("_turn_", None)
        return state

    def _copy_(self) -> Self:
        other = copy.copy(self)
        other.success_messages = []
        other.fail_messages = []
        other.exceptions = []
        return other

    def _warn_of_unprocessed_(self, turn: Turn) -> None:
        if self._is_unprocessed_(turn):
            logger.warning("the `with` block was left without a call of process(): no record was processed")

    def _is_unprocessed_(self, turn: Turn) -> bool:
        """Whether nothing has become of the records, as far as can be told.

        A `process` that is not ours answers for itself, and so do lists that somebody has filled in the block.
        """
        if turn is not self._turn_ or turn.tallies:
            return False
        if turn.entered and (turn.recorded or any(getattr(self, name, None) for name in _LISTS)):
            return False
        if not _OUR_RUNS.issuperset(functions_of(self, ("process", "async_process"))):
            return False
        records: Any = getattr(self, "records", None)
        return records is not None and (not hasattr(records, "__len__") or len(records) > 0)

    def _refuse_(self, error: BaseException) -> None:  # noqa: B027 - there is nothing to keep here
        """Keep why a block was not entered."""

    # --- what becomes of a record ---------------------------------------------------------------------

    def success_handler(self, record: Any, result: Any) -> SuccessResponse:
        """Keep a record that succeeded.

        Args:
            record: The raw record.
            result: What its handler returned.

        Returns:
            Its entry. An overriding method has to return one that starts with "success" too.
        """
        self.success_messages.append(record)
        return "success", result, record

    def failure_handler(self, record: Any, exception: ExceptionInfo) -> FailureResponse:
        """Keep a record that failed.

        Args:
            record: The record as its handler got it; where a model refused it, as a data class.
            exception: What `sys.exc_info` gave; the exception alone will do.

        Returns:
            Its entry.
        """
        if isinstance(exception, BaseException):
            exception = type(exception), exception, traceback_of(exception)
        text = describe_pair(exception[0], exception[1], TEXT_LIMIT)
        logger.debug("a record failed: %s", text.partition(":")[0])
        if self.logger is not None and all(part is not None for part in exception):
            self._warn_(exception)
        self.exceptions.append(exception)
        self.fail_messages.append(record)
        return "fail", text, record

    def _warn_(self, exception: ExceptionInfo) -> None:
        """Let the user's logger have an exception; Lambda's own handler raises at half a surrogate pair."""
        try:
            self.logger.warning("Record processing exception; skipping this record", exc_info=exception)
        except BaseException as error:
            # A logger decides nothing. One may raise when it makes a text of what was raised.
            if is_interrupt(error):
                raise
            logger.warning("the processor's logger raised: %s", type_name(error))

    def _keep_apart_(self, records: Iterable[Any]) -> None:
        """Keep records out of the lists from now on: their batch is over, though their handlers may still end."""
        self._left_behind_ = {**(self._left_behind_ or {}), **{id(record): record for record in records}}
        self._own_entries_ = False

    def _is_left_behind_(self, record: object) -> bool:
        """Whether a record whose handler has just ended is one of an earlier batch."""
        left = self._left_behind_
        return left is not None and left.pop(id(record), None) is not None

    def _is_out_of_hand_(self, error: BaseException, record: object) -> bool:
        """Whether an exception that reached a record among others is not the record's failure.

        Of a record that was unfinished when the batch was sealed the failure handler hears later, and an interrupt
        is the scheduler's.
        """
        if self._is_left_behind_(record):
            return True
        kind = type(error)  # `isinstance` would ask the error's own class
        if is_interrupt(error) or issubclass(kind, KeyboardInterrupt):
            return True
        if issubclass(kind, CancelledError) and (task := current_task()) is not None and task.cancelling():
            return True  # a timeout around this, an override's for example, has to see what it asked for
        return self._turn_ is not None and self._turn_.is_sealed

    def _begin_run_(self, records: Sequence[Any]) -> SourceRules:  # noqa: ARG002 - subclasses look
        """Get ready for records, and say how their event source is told of failures."""
        return UNREPORTED

    def _tell_failure_(self, record: Any, exception: ExceptionInfo) -> Any:
        """Have a record handled that failed without reaching the handler, or its end."""
        return self.failure_handler(record=record, exception=exception)


def functions_of(processor: object, names: Iterable[str]) -> list[Any]:
    """The functions behind methods of a processor; None where it has something else, a test's mock for one."""
    return [getattr(getattr(processor, name), "__func__", None) for name in names]


_OF_THE_BATCH: Final = (BaseBatchProcessingError, SequenceOrderError)
_LISTS: Final = ("success_messages", "fail_messages", "exceptions")
_OUR_RUNS: Final = frozenset({BasePartialProcessor.process, BasePartialProcessor.async_process})

# Reading a signature takes longer than a small batch. Only what was found out is kept, not the handler.
_accepting: Final[WeakKeyDictionary[Callable[..., Any], bool]] = WeakKeyDictionary()


def _accepts_context(handler: Callable[..., Any]) -> bool:
    try:
        known = _accepting.get(handler)
    except TypeError:  # it cannot be hashed, or not be referred to weakly
        known = None
    if known is not None:
        return known
    try:
        accepts = "lambda_context" in inspect.signature(handler).parameters
    except (TypeError, ValueError):  # some callables written in C do not tell
        accepts = False
    with contextlib.suppress(TypeError):
        _accepting[handler] = accepts
    return accepts
