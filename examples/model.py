"""A Pydantic model as the payload: what does not validate fails alone, before the handler.

It needs `pip install "asyncbatch[pydantic]"`. Try it:

    asyncbatch invoke examples/model.py:lambda_handler --sample sqs -n 100
"""

import asyncio
from decimal import Decimal

from pydantic import BaseModel, Field

from asyncbatch import SqsRecord, batch_handler


class Order(BaseModel):
    """What a message's body holds."""

    order: str
    customer: str
    amount: Decimal = Field(gt=0, le=197)


@batch_handler(model=Order)
async def lambda_handler(record: SqsRecord[Order]) -> None:
    """Handle one valid order; type checkers know what `record.payload` is."""
    order = record.payload
    if not order.customer:
        raise ValueError("the order has no customer")
    await asyncio.sleep(0.005)  # stands for the call that ships it
