"""The historic generation (Powertools 1): processors that delete what succeeded themselves.

New code returns a partial batch response instead, with `BatchProcessor`.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Final

from asyncbatch._errors import InvalidOptionError
from asyncbatch._log import Log
from asyncbatch._raised import type_name
from asyncbatch._scheduler import is_interrupt
from asyncbatch._sources import SourceRules
from asyncbatch._sqs import BATCH_LIMIT, delete_messages
from asyncbatch.powertools._middleware import middleware
from asyncbatch.powertools._processing import finish, finish_async, run_to_end
from asyncbatch.powertools._processor import BasePartialProcessor
from asyncbatch.powertools._sources import DELETED, queue_arn
from asyncbatch.powertools.exceptions import SQSBatchProcessingError

logger: Final = Log(__name__)

_DEPRECATED: Final = (
    "The sqs_batch_processor decorator and PartialSQSProcessor class are now deprecated, "
    "and will be removed in the next major version. "
    "Please follow the upgrade guide at "
    "https://awslabs.github.io/aws-lambda-powertools-python/latest/utilities/batch/#legacy "
    "to use the native batch_processor decorator or BatchProcessor class."
)


class PartialSQSProcessor(BasePartialProcessor):
    """Deletes the messages that succeeded and fails the invocation if one did not: Lambda then keeps the others.

    If every message succeeded it deletes nothing: Lambda does. A block in which none was processed fails the
    invocation too. The function's role needs the permission
    ``sqs:DeleteMessageBatch`` (``sqs:DeleteMessage`` in a policy) on the queue. Handlers get the raw message.

    Deletes run on aiobotocore (``pip install "asyncbatch[aws]"``), ten a call. Only what the service confirms is
    taken as deleted; what is not is logged and comes back with the failed ones.

    **With suppress_exception the invocation succeeds, and Lambda deletes the failed messages too.** Use it only
    where your own code has put them somewhere safe.

    Args:
        config: A botocore ``Config`` for the client.
        suppress_exception: Do not raise `SQSBatchProcessingError`.
        boto3_session: A boto3 session, whose credentials and region are used.

    Attributes:
        client: An open aiobotocore client to use; None to open one for each batch with failures.
    """

    def __init__(
        self,
        config: Any = None,
        suppress_exception: bool = False,  # noqa: FBT001, FBT002 - the peer's signature
        boto3_session: Any = None,
    ) -> None:
        if importlib.util.find_spec("aiobotocore") is None:
            raise InvalidOptionError(
                "PartialSQSProcessor",
                "needs aiobotocore, which is not installed",
                'pip install "asyncbatch[aws]"',
            )
        warnings.warn(_DEPRECATED, stacklevel=2)
        super().__init__()
        self.config = config
        self.suppress_exception = suppress_exception
        self.client: Any = None
        self.max_message_batch = BATCH_LIMIT
        self._boto3_session = boto3_session
        self._queue_arn_: Any = None

    def _begin_run_(self, records: Sequence[Any]) -> SourceRules:
        self._queue_arn_ = queue_arn(records)  # before a handler can change it
        return DELETED

    def _prepare(self) -> None:
        self._queue_arn_ = None
        self.success_messages.clear()
        self.fail_messages.clear()
        self.exceptions.clear()

    def _process_record(self, record: dict[str, Any]) -> Any:
        try:
            result = finish(self._turn_, self.handler(record=record))
            turn = self._turn_
            if turn is not None:
                turn.recorded = True
            return self.success_handler(record=record, result=result)
        except BaseException as error:
            if is_interrupt(error):
                raise
            return self.failure_handler(record=record, exception=sys.exc_info())

    async def _async_process_record(self, record: dict[str, Any]) -> Any:
        try:
            result = await finish_async(self.handler(record=record))
            if self._left_behind_ is not None and self._is_left_behind_(record):
                return "fail", "its batch is over", record
            turn = self._turn_
            if turn is not None:
                turn.recorded = True
            return self.success_handler(record=record, result=result)
        except BaseException as error:
            if self._is_out_of_hand_(error, record):
                raise
            return self.failure_handler(record=record, exception=sys.exc_info())

    def _clean(self) -> None:
        _, failed = self._sorted_messages_()
        if not failed:
            if self._turn_ is not None and self._turn_.entered and self._is_unprocessed_(self._turn_):
                # Also where errors of records are to be suppressed: to return would let Lambda delete the batch.
                raise SQSBatchProcessingError("No record was processed: process() was not called.")
            return
        entries = self._get_entries_to_clean()
        if entries:
            self._delete_([entry["ReceiptHandle"] for entry in entries])
        message = (
            f"Not all records processed successfully. {len(self.exceptions)} individual errors logged "
            "separately below."
        )
        if self.suppress_exception:
            logger.debug("%d records failed processing, but exceptions are suppressed", len(failed))
            return
        raise SQSBatchProcessingError(message, list(self.exceptions))

    def _sorted_messages_(self) -> tuple[Sequence[Any], Sequence[Any]]:
        """The names of the messages that succeeded, and of the others; without a run, of those in the lists."""
        if self._turn_ is None or not self._turn_.tallies:
            return DELETED.names(self.success_messages), DELETED.names(self.fail_messages)
        succeeded: list[Any] = []
        failed: list[Any] = []
        for tally in self._turn_.tallies:
            for name, done in zip(tally.names, tally.succeeded, strict=True):
                (succeeded if done else failed).append(name)
        return succeeded, failed

    def _get_queue_url(self, endpoint: str | None = None) -> str | None:
        """The queue's URL, from the ARN in the first record; None without records."""
        arn = self._queue_arn_ or queue_arn(self.records)
        if arn is None:
            return None
        _, _, _, region, account, name = arn.split(":", 5)
        return f"{(endpoint or f'https://sqs.{region}.amazonaws.com').rstrip('/')}/{account}/{name}"

    def _get_entries_to_clean(self) -> list[dict[str, str]]:
        """What to delete: the messages of which every copy succeeded; a queue may hand out a message twice.

        Nothing is deleted where one that failed has no identifier, because any other could be a copy of it.
        """
        succeeded, failed = self._sorted_messages_()
        kept = {identifier for _, identifier, _ in failed}
        if None in kept:
            return []
        handles = [handle for _, identifier, handle in succeeded if handle and identifier not in kept]
        return [{"Id": str(position), "ReceiptHandle": handle} for position, handle in enumerate(handles)]

    def _delete_(self, receipt_handles: list[str]) -> None:
        try:
            failed = run_to_end(None, self._delete_all_(receipt_handles))
        except Exception as error:  # noqa: BLE001 - no credentials, no region: they come back, as the failed ones do
            failed = dict.fromkeys(receipt_handles, type_name(error))
        if failed:
            codes = ", ".join(sorted(set(failed.values())))
            logger.warning(
                "%d of %d messages that succeeded were not deleted and will be delivered again (%s)",
                len(failed),
                len(receipt_handles),
                codes,
            )

    async def _delete_all_(self, receipt_handles: list[str]) -> dict[str, str]:
        if self.client is not None:
            return await self._delete_with_(self.client, receipt_handles)
        async with self._open_client_() as client:
            return await self._delete_with_(client, receipt_handles)

    async def _delete_with_(self, client: Any, receipt_handles: list[str]) -> dict[str, str]:
        url = self._get_queue_url(client.meta.endpoint_url)
        return (await delete_messages(client, url or "", receipt_handles)).failed

    def _open_client_(self) -> Any:
        # Loaded when a message has to be deleted; neither has types.
        config: Any = importlib.import_module("aiobotocore.config")
        session: Any = importlib.import_module("aiobotocore.session")
        arn = self._queue_arn_ or queue_arn(self.records)
        options: dict[str, Any] = {"region_name": arn.split(":")[3]}
        if self._boto3_session is not None:
            options["region_name"] = self._boto3_session.region_name or options["region_name"]
            credentials = self._boto3_session.get_credentials()
            if credentials is not None:
                frozen = credentials.get_frozen_credentials()
                options["aws_access_key_id"] = frozen.access_key
                options["aws_secret_access_key"] = frozen.secret_key
                options["aws_session_token"] = frozen.token
        if self.config is not None:
            options["config"] = config.AioConfig().merge(self.config)
        return session.get_session().create_client("sqs", **options)


@middleware
def sqs_batch_processor(  # noqa: PLR0917 - the peer's signature
    handler: Callable[..., Any],
    event: Any,
    context: Any,
    record_handler: Callable[..., Any],
    config: Any = None,
    suppress_exception: bool = False,  # noqa: FBT001, FBT002 - the peer's signature
    boto3_session: Any = None,
) -> Any:
    """Process the event's messages before the decorated Lambda handler is called, and delete those that succeeded.

    Deprecated: use `process_partial_response`. See `PartialSQSProcessor` for what it does and needs.

    Args:
        handler: The decorated function.
        event: The event that Lambda passes.
        context: Lambda's context.
        record_handler: A function of a raw message.
        config: A botocore ``Config`` for the client.
        suppress_exception: Do not raise when a message failed. Lambda then deletes it.
        boto3_session: A boto3 session, whose credentials and region are used.
    """
    processor = PartialSQSProcessor(config, suppress_exception, boto3_session)
    with processor(event["Records"], record_handler):
        processor.process()
    return handler(event, context)
