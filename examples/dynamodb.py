"""DynamoDB Streams: items run side by side, the changes of one item one after another.

As with Kinesis the first record that did not succeed is the checkpoint, and nothing behind it is
started. The event source mapping needs `FunctionResponseTypes: [ReportBatchItemFailures]`. Try it:

    asyncbatch invoke examples/dynamodb.py:lambda_handler --sample dynamodb -n 100 --keys 20
"""

import asyncio
from decimal import Decimal

from asyncbatch import DynamoDBRecord, batch_handler

CREDIT_LIMIT = Decimal(197)


@batch_handler
async def lambda_handler(record: DynamoDBRecord) -> None:
    """Keep a search index up to date; images are plain Python values, numbers are `Decimal`."""
    if record.event_name is not None and record.event_name.name == "REMOVE":
        await asyncio.sleep(0.005)  # stands for the call that removes `record.item_keys`
        return
    order = record.new_image
    if order["amount"] > CREDIT_LIMIT:
        raise ValueError(f"the amount is above the credit limit of {CREDIT_LIMIT}")
    await asyncio.sleep(0.005)  # stands for the call that puts the order into the index
