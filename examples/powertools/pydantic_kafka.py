"""Pydantic and Kafka: the value is a model, or None for a tombstone."""

from decimal import Decimal
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Json

from asyncbatch.models import KafkaRecordModel
from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse


class Order(BaseModel):
    """What a record's value holds."""

    order: str
    customer: str
    amount: Decimal


class OrderRecord(KafkaRecordModel):
    """A record with an order in it."""

    value: Json[Order] | None


processor = BatchProcessor(event_type=EventType.Kafka, model=OrderRecord)


def record_handler(record: OrderRecord) -> None:
    """Handle one record."""
    order: Order | None = record.value
    if order is not None and order.amount > 197:
        raise ValueError("the amount is above the credit limit")


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
