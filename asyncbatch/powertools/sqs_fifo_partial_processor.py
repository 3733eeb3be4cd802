"""The processor for SQS FIFO queues."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from asyncbatch._sources import SourceRules
from asyncbatch.powertools._processing import options_for
from asyncbatch.powertools._sources import FIFO_BATCH, FIFO_GROUPS, EventType, message_group
from asyncbatch.powertools.base import (
    GROUP_HALTED,
    BasePartialBatchProcessor,
    BatchProcessor,
    FailureResponse,
    SuccessResponse,
)
from asyncbatch.powertools.exceptions import ExceptionInfo, SQSFifoCircuitBreakerError
from asyncbatch.powertools.types import BatchSqsTypeModel, WarningLogger

logger: logging.Logger = logging.getLogger(__name__)


class SqsFifoPartialProcessor(BatchProcessor):
    """Processes records of a FIFO queue in order: nothing is processed behind a failure, and all of it reported.

    Side by side (`async_process_partial_response`) message groups run beside each other with
    ``skip_group_on_error``, and each in order; without it all records run one after another.

    Args:
        model: Makes a model of each record; None for a data class.
        skip_group_on_error: A failure holds back the rest of its message group, not of the batch.
        logger: Gets a warning with the traceback of every record that fails; None for none.
        raise_on_entire_batch_failure: Raise `BatchProcessingError` when no record succeeded.
        concurrency: Most message groups in flight, side by side; None for all.
    """

    circuit_breaker_exc: ClassVar[ExceptionInfo] = (
        SQSFifoCircuitBreakerError,
        SQSFifoCircuitBreakerError("A previous record failed processing"),
        None,
    )
    group_circuit_breaker_exc: ClassVar[ExceptionInfo] = GROUP_HALTED

    def __init__(
        self,
        model: BatchSqsTypeModel = None,
        skip_group_on_error: bool = False,  # noqa: FBT001, FBT002 - the peer's signature
        logger: WarningLogger | None = None,
        raise_on_entire_batch_failure: bool = True,  # noqa: FBT001, FBT002 - behind the peer's
        *,
        concurrency: int | None = None,
    ) -> None:
        super().__init__(EventType.SQS, model, raise_on_entire_batch_failure, logger)
        options_for(concurrency)
        self._concurrency_ = concurrency
        self._skip_group_on_error = skip_group_on_error
        self._current_group_id: Any = None
        self._failed_group_ids: set[Any] = set()
        self._groups_: dict[int, Any] | None = {}

    def _process_record(self, record: dict[str, Any]) -> SuccessResponse | FailureResponse:
        # Runs of ours do not ask for what is held back; a `process` of the user's own, or a direct call, does.
        held_back: Any = self.fail_messages
        if self._skip_group_on_error:
            self._current_group_id = self._group_(record)
            held_back = self._current_group_id in self._failed_group_ids
        if held_back:
            failure: FailureResponse = self._tell_failure_(record, self._held_back_)
            return failure
        return super()._process_record(record)

    _async_process_record = BasePartialBatchProcessor._handle_async_

    def failure_handler(self, record: Any, exception: ExceptionInfo) -> FailureResponse:
        """Keep a record that failed or was held back; see `BasePartialProcessor.failure_handler`."""
        if self._skip_group_on_error and self._current_group_id:
            self._failed_group_ids.add(self._current_group_id)
        return super().failure_handler(record, exception)

    _OURS_ = BatchProcessor._OURS_ | {_process_record, failure_handler}

    def _tell_failure_(self, record: Any, exception: ExceptionInfo) -> Any:
        self._current_group_id = self._group_(record)
        return super()._tell_failure_(record, exception)

    def _group_(self, record: Any) -> Any:
        """The message group of a record, as it was read where it belongs to a run; None where it has none."""
        groups = self._groups_
        if groups is None:
            groups = self._groups_ = self._turn_.tallies[-1].keys_by_record() if self._turn_ else {}
        group = groups.get(id(record))
        if group is None:
            return message_group(record)
        return None if type(group) is object else group

    def _begin_run_(self, records: Sequence[Any]) -> SourceRules:
        self._groups_ = None  # to be taken from the run's own reading
        return super()._begin_run_(records)

    def _prepare(self) -> None:
        self._forget_groups_()
        super()._prepare()

    def _clean(self) -> None:
        self._forget_groups_()
        super()._clean()

    def _forget_groups_(self) -> None:
        self._failed_group_ids = set()  # a new one: a copy of this processor has its own
        self._current_group_id = None
        self._groups_ = {}

    def _rules_(self, records: Sequence[Any]) -> SourceRules:  # noqa: ARG002 - whatever they say
        return FIFO_GROUPS if self._skip_group_on_error else FIFO_BATCH

    @property
    def _held_back_(self) -> ExceptionInfo:  # type: ignore[override]  # a class's constant in the base
        return self.group_circuit_breaker_exc if self._skip_group_on_error else self.circuit_breaker_exc
