"""The deprecated decorators, one after another and side by side, for every event source that they take.

They run the batch before the decorated function, which returns the response. They warn at each call;
`process_partial_response` is what to use instead.
"""

import asyncio
from typing import Any

from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import (
    AsyncBatchProcessor,
    BatchProcessor,
    EventType,
    async_batch_processor,
    batch_processor,
)
from asyncbatch.powertools.types import PartialItemFailureResponse

Event = dict[str, Any]

sqs = BatchProcessor(event_type=EventType.SQS)
kinesis = BatchProcessor(event_type=EventType.KinesisDataStreams)
dynamodb = BatchProcessor(event_type=EventType.DynamoDBStreams)
sqs_async = AsyncBatchProcessor(event_type=EventType.SQS)
kinesis_async = AsyncBatchProcessor(event_type=EventType.KinesisDataStreams)
dynamodb_async = AsyncBatchProcessor(event_type=EventType.DynamoDBStreams)


def check(amount: Any) -> None:
    if amount > 197:
        raise ValueError("the amount is above the credit limit")


def message_handler(record: SQSRecord) -> None:
    check(record.json_body["amount"])


def record_handler(record: KinesisStreamRecord) -> None:
    check(record.kinesis.data_as_json()["amount"])


def change_handler(record: DynamoDBRecord) -> None:
    image = record.dynamodb.new_image if record.dynamodb else {}
    check(image.get("amount", 0))


async def message_handler_async(record: SQSRecord) -> None:
    await asyncio.sleep(0)
    message_handler(record)


async def record_handler_async(record: KinesisStreamRecord) -> None:
    await asyncio.sleep(0)
    record_handler(record)


async def change_handler_async(record: DynamoDBRecord) -> None:
    await asyncio.sleep(0)
    change_handler(record)


@batch_processor(record_handler=message_handler, processor=sqs)
def sqs_handler(_event: Event, _context: LambdaContext) -> PartialItemFailureResponse:
    return sqs.response()


@batch_processor(record_handler=record_handler, processor=kinesis)
def kinesis_handler(_event: Event, _context: LambdaContext) -> PartialItemFailureResponse:
    return kinesis.response()


@batch_processor(record_handler=change_handler, processor=dynamodb)
def dynamodb_handler(_event: Event, _context: LambdaContext) -> PartialItemFailureResponse:
    return dynamodb.response()


@async_batch_processor(record_handler=message_handler_async, processor=sqs_async)
def sqs_handler_async(_event: Event, _context: LambdaContext) -> PartialItemFailureResponse:
    return sqs_async.response()


@async_batch_processor(record_handler=record_handler_async, processor=kinesis_async)
def kinesis_handler_async(_event: Event, _context: LambdaContext) -> PartialItemFailureResponse:
    return kinesis_async.response()


@async_batch_processor(record_handler=change_handler_async, processor=dynamodb_async)
def dynamodb_handler_async(_event: Event, _context: LambdaContext) -> PartialItemFailureResponse:
    return dynamodb_async.response()
