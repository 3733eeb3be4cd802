"""Pydantic and Kinesis: the data is a model."""

from decimal import Decimal
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Json

from asyncbatch.models import KinesisDataStreamRecord, KinesisDataStreamRecordPayload
from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse


class Order(BaseModel):
    """What a record's data holds."""

    order: str
    customer: str
    amount: Decimal


class OrderPayload(KinesisDataStreamRecordPayload):
    """The part that Kinesis filled in: the base64 is decoded before the JSON is."""

    data: Json[Order]


class OrderRecord(KinesisDataStreamRecord):
    """A record with an order in it."""

    kinesis: OrderPayload


processor = BatchProcessor(event_type=EventType.KinesisDataStreams, model=OrderRecord)


def record_handler(record: OrderRecord) -> str:
    """Handle one record."""
    order: Order = record.kinesis.data
    if order.amount > 197:
        raise ValueError("the amount is above the credit limit")
    return order.order


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
