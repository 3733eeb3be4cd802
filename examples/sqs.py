"""SQS: the records of a batch are handled side by side; those that fail come back alone.

The event source mapping needs `FunctionResponseTypes: [ReportBatchItemFailures]`. Try it:

    asyncbatch invoke examples/sqs.py:lambda_handler --sample sqs -n 1000
"""

import asyncio
from typing import Any

from asyncbatch import SqsRecord, batch_handler

CREDIT_LIMIT = 197


async def charge(order: dict[str, Any]) -> None:
    """Stand for a call of a payment service."""
    await asyncio.sleep(0.005)
    if order["amount"] > CREDIT_LIMIT:
        raise ValueError(f"the amount is above the credit limit of {CREDIT_LIMIT}")


@batch_handler(concurrency=100, record_timeout=5.0)
async def lambda_handler(record: SqsRecord) -> None:
    """Handle one message; whatever this raises, that message comes back and no other."""
    await charge(record.json())
