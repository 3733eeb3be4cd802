"""Pydantic and SQS: the body is a model; a message that is none fails alone, before the handler.

`asyncbatch.models` has the envelopes; those of Powertools' parser work as well.
"""

from decimal import Decimal
from typing import Any

from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import BaseModel, Json

from asyncbatch.models import SqsRecordModel
from asyncbatch.powertools import BatchProcessor, EventType, process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse


class Order(BaseModel):
    """What a message's body holds."""

    order: str
    customer: str
    amount: Decimal


class OrderMessage(SqsRecordModel):
    """A message with an order in it."""

    body: Json[Order]


processor = BatchProcessor(event_type=EventType.SQS, model=OrderMessage)


def record_handler(record: OrderMessage) -> str:
    """Handle one message."""
    order: Order = record.body
    if order.amount > 197:
        raise ValueError("the amount is above the credit limit")
    return order.order


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
