"""SQS FIFO: message groups run side by side, the messages of one group one after another.

If a message fails, the rest of its group is not started and comes back with it, in order. The event
source mapping needs `FunctionResponseTypes: [ReportBatchItemFailures]`. Try it:

    asyncbatch invoke examples/sqs_fifo.py:lambda_handler --sample sqs-fifo -n 1000 --keys 50
"""

import asyncio

from asyncbatch import SqsRecord, batch_handler

CREDIT_LIMIT = 197

balances: dict[str, float] = {}


@batch_handler
async def lambda_handler(record: SqsRecord) -> None:
    """Add an order to its customer's balance: read, think, write.

    No lock is needed: a message group is never in two places at once.
    """
    order = record.json()
    group = record.key or ""
    balance = balances.get(group, 0.0)
    await asyncio.sleep(0.005)  # stands for the call that books it
    if order["amount"] > CREDIT_LIMIT:
        raise ValueError(f"the amount is above the credit limit of {CREDIT_LIMIT}")
    balances[group] = balance + order["amount"]
