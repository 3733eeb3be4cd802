"""A client that stays usable when the event loop has to be replaced.

Clients, locks and queues belong to the event loop on which they first waited. That loop is kept for every
invocation. It is replaced when a record does not end although it was cancelled, and whatever a module made for the
old one then fails in every later invocation. So it is made for the loop that runs, when it is first asked for.
"""

import asyncio
from typing import Any

from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

from asyncbatch.powertools import AsyncBatchProcessor, EventType, async_process_partial_response
from asyncbatch.powertools.types import PartialItemFailureResponse

processor = AsyncBatchProcessor(event_type=EventType.SQS)
shipping: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}


def calls() -> asyncio.Semaphore:
    """How many calls the warehouse takes at a time; a client's session or pool is made in the same way."""
    loop = asyncio.get_running_loop()
    if loop not in shipping:
        shipping.clear()  # what is left of a loop that was replaced
        shipping[loop] = asyncio.Semaphore(2)
    return shipping[loop]


async def record_handler(record: SQSRecord) -> str:
    """Handle one message, beside the others."""
    order = record.json_body
    async with calls():
        await asyncio.sleep(0.005)  # stands for the call that ships it
    if order["amount"] > 197:
        raise ValueError("the amount is above the credit limit")
    return str(order["order"])


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> PartialItemFailureResponse:
    """Return the partial batch response."""
    return async_process_partial_response(
        event=event, record_handler=record_handler, processor=processor, context=context
    )
