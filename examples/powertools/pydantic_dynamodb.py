"""Pydantic and DynamoDB Streams: the images are models."""

from decimal import Decimal
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel

from asyncbatch.models import DynamoDBStreamChangedRecordModel, DynamoDBStreamRecordModel
from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse


class Order(BaseModel):
    """An item of the table: DynamoDB's typed values are plain ones by now."""

    order: str
    customer: str
    amount: Decimal


class OrderChange(DynamoDBStreamChangedRecordModel):
    """What has changed."""

    NewImage: Order | None = None
    OldImage: Order | None = None


class OrderChangeRecord(DynamoDBStreamRecordModel):
    """A record of a change."""

    dynamodb: OrderChange


processor = BatchProcessor(event_type=EventType.DynamoDBStreams, model=OrderChangeRecord)


def record_handler(record: OrderChangeRecord) -> str | None:
    """Handle one change."""
    order = record.dynamodb.NewImage
    if order is None:
        return None  # the item was removed
    if order.amount > 197:
        raise ValueError("the amount is above the credit limit")
    return order.order


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
