"""Code as users of Powertools have it, with its annotations and the import changed: never executed.

With the import changed back it checks as well, but for what follows the last heading.
"""

import logging
from collections.abc import Callable
from types import TracebackType
from typing import Any, assert_type

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.data_classes.kafka_event import KafkaEventRecord
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.parser import BaseModel
from aws_lambda_powertools.utilities.parser.models import SqsRecordModel
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import Json

from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BasePartialBatchProcessor,
    BasePartialProcessor,
    BatchProcessor,
    EventType,
    ExceptionInfo,
    FailureResponse,
    SqsFifoPartialProcessor,
    SuccessResponse,
    async_batch_processor,
    async_process_partial_response,
    batch_processor,
    process_partial_response,
)
from asyncbatch.powertools.base import BatchEventTypes, EventSourceDataClassTypes
from asyncbatch.powertools.exceptions import (
    BatchProcessingError,
    SQSFifoCircuitBreakerError,
    SQSFifoMessageGroupCircuitBreakerError,
    UnexpectedBatchTypeError,
)
from asyncbatch.powertools.types import (
    BatchSqsTypeModel,
    BatchTypeModels,
    PartialItemFailureResponse,
    PartialItemFailures,
)

Event = dict[str, Any]


# --- record handlers, with every kind of record -------------------------------------------------------


def sqs(record: SQSRecord) -> dict[str, Any]:
    return {"order": record.json_body["order"], "id": record.message_id}


def kinesis(record: KinesisStreamRecord) -> bytes:
    return record.kinesis.data_as_bytes()


def dynamodb(record: DynamoDBRecord, lambda_context: LambdaContext) -> str:
    assert record.dynamodb is not None
    return str(record.dynamodb.new_image) + lambda_context.aws_request_id


def kafka(record: KafkaEventRecord) -> None:
    assert_type(record.offset, int)


async def sqs_async(record: SQSRecord, lambda_context: LambdaContext | None = None) -> str:
    return record.body + str(lambda_context)


class Order(BaseModel):
    total: int


class OrderRecord(SqsRecordModel):
    body: Json[Order]  # type: ignore[mutable-override]  # pyright: ignore[reportIncompatibleVariableOverride]


def with_model(record: OrderRecord) -> int:
    return record.body.total


# --- processors and functions -------------------------------------------------------------------------

logger = Logger()
plain = logging.getLogger("orders")

processor = BatchProcessor(event_type=EventType.SQS)
stream_processor = BatchProcessor(EventType.KinesisDataStreams, None, False)
logging_processor = BatchProcessor(event_type=EventType.DynamoDBStreams, logger=plain)
quiet_processor = BatchProcessor(event_type=EventType.Kafka, raise_on_entire_batch_failure=False)
model_processor = BatchProcessor(event_type=EventType.SQS, model=OrderRecord)
async_processor = AsyncBatchProcessor(event_type=EventType.SQS, model=OrderRecord, logger=plain)
fifo_processor = SqsFifoPartialProcessor(model=OrderRecord, skip_group_on_error=True, logger=plain)


def sqs_handler(event: Event, context: LambdaContext) -> PartialItemFailureResponse:
    response = process_partial_response(event=event, record_handler=sqs, processor=processor, context=context)
    failures: list[PartialItemFailures] = response["batchItemFailures"]
    plain.info("%d failures", len(failures))
    return response


def positional_handler(event: Event, context: LambdaContext) -> PartialItemFailureResponse:
    return process_partial_response(event, dynamodb, logging_processor, context)


def fifo_handler(event: Event, context: LambdaContext) -> PartialItemFailureResponse:
    return process_partial_response(event, with_model, fifo_processor, context)


def async_handler(event: Event, context: LambdaContext) -> PartialItemFailureResponse:
    return async_process_partial_response(event, sqs_async, async_processor, context)


def context_manager_handler(event: Event, context: LambdaContext) -> PartialItemFailureResponse:
    batch = event["Records"]
    with processor(records=batch, handler=sqs, lambda_context=context):
        processed = processor.process()
    for entry in processed:
        status, result, record = entry[0], entry[1], entry[2]
        plain.info("%s: %s (%s)", status, result, record)
    with async_processor(batch, sqs_async) as entered:
        entered.async_process()
    return processor.response()


def failing_handler(event: Event, context: LambdaContext) -> PartialItemFailureResponse:
    try:
        return sqs_handler(event, context)
    except UnexpectedBatchTypeError:
        raise
    except BatchProcessingError as error:
        for kind, exception, traceback in error.child_exceptions:
            _kind: type[BaseException] | None = kind
            _exception: BaseException | None = exception
            _traceback: TracebackType | None = traceback
            if kind in {SQSFifoCircuitBreakerError, SQSFifoMessageGroupCircuitBreakerError}:
                continue
            plain.info("%s", exception)
        plain.info(error.msg)
        return processor.response()


@batch_processor(record_handler=sqs, processor=processor)
def decorated(event: Event, context: LambdaContext) -> PartialItemFailureResponse:
    return processor.response()


@async_batch_processor(record_handler=sqs_async, processor=async_processor)
def async_decorated(event: Event, context: LambdaContext) -> PartialItemFailureResponse:
    return async_processor.response()


# --- processors that are extended ---------------------------------------------------------------------


class Counting(BatchProcessor):
    def __init__(self, model: BatchTypeModels = None) -> None:
        super().__init__(event_type=EventType.SQS, model=model)
        self.seen = 0

    def success_handler(self, record: dict[str, Any], result: Any) -> SuccessResponse:
        self.seen += 1
        return super().success_handler(record, result)

    def failure_handler(self, record: BatchEventTypes, exception: ExceptionInfo) -> FailureResponse:
        self.seen += 1
        kind, error, _ = exception
        plain.info("%s: %s", kind, error)
        return super().failure_handler(record, exception)

    def _prepare(self) -> None:
        self.seen = 0
        super()._prepare()

    def _clean(self) -> None:
        plain.info("%d succeeded, %d failed", len(self.success_messages), len(self.exceptions))
        super()._clean()


class CountingAsync(AsyncBatchProcessor):
    def failure_handler(self, record: SQSRecord, exception: ExceptionInfo) -> FailureResponse:
        plain.info("%s", record.message_id)
        return super().failure_handler(record, exception)  # type: ignore[arg-type,unused-ignore]

    async def _async_process_record(self, record: dict[str, Any]) -> SuccessResponse | FailureResponse:
        plain.info("%s", record["messageId"])
        return await super()._async_process_record(record)


class Fifo(SqsFifoPartialProcessor):
    def __init__(self, model: BatchSqsTypeModel = None) -> None:
        super().__init__(model=model, skip_group_on_error=True)

    def _process_record(self, record: dict[str, Any]) -> SuccessResponse | FailureResponse:
        return super()._process_record(record)


class Own(BasePartialProcessor):
    def __init__(self, table: str) -> None:
        self.table = table
        super().__init__()

    def _prepare(self) -> None:
        self.success_messages.clear()

    def _clean(self) -> None:
        plain.info("%s: %s", self.table, self.success_messages)

    def _process_record(self, record: dict[str, Any]) -> Any:
        try:
            result = self.handler(record=record)
            return self.success_handler(record, result)
        except Exception as error:
            return self.failure_handler(record, (type(error), error, error.__traceback__))  # type: ignore[arg-type,unused-ignore]

    async def _async_process_record(self, record: dict[str, Any]) -> Any:
        raise NotImplementedError


class OwnBatch(BasePartialBatchProcessor):
    def _process_record(self, record: dict[str, Any]) -> SuccessResponse | FailureResponse:
        data: EventSourceDataClassTypes = self._to_batch_type(record, event_type=self.event_type)
        return self.success_handler(record=record, result=self.handler(record=data))

    async def _async_process_record(self, record: dict[str, Any]) -> Any:
        raise NotImplementedError


def any_of_them(processors: list[BasePartialBatchProcessor], run: Callable[..., Any]) -> None:
    for each in processors:
        with each([], run):
            each.process()
        answer: PartialItemFailureResponse = each.response()
        plain.info("%s", answer)


any_of_them([Counting(), CountingAsync(EventType.SQS), Fifo(), OwnBatch(EventType.SQS), processor], sqs)

# --- what Powertools does not have ---------------------------------------------------------------------

bounded = AsyncBatchProcessor(EventType.KinesisDataStreams, stop_on_failure=True, concurrency=10)
fifo_side_by_side = SqsFifoPartialProcessor(raise_on_entire_batch_failure=False, concurrency=10)
own_logger = BatchProcessor(event_type=EventType.SQS, logger=logger)
assert_type(async_process_partial_response({}, sqs_async, fifo_side_by_side), PartialItemFailureResponse)
assert_type(process_partial_response({}, sqs, Own("results")), PartialItemFailureResponse)
