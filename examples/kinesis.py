"""Kinesis: partition keys run side by side, the records of one key one after another.

A stream is read again from its checkpoint, the first record that did not succeed. So after a
failure nothing that stands behind it is started: it would only be done twice. The event source
mapping needs `FunctionResponseTypes: [ReportBatchItemFailures]`; set `MaximumRetryAttempts` and a
failure destination too, or one bad record stops its shard. Try it:

    asyncbatch invoke examples/kinesis.py:lambda_handler --sample kinesis -n 100 --keys 20
"""

import asyncio

from asyncbatch import KinesisRecord, batch_handler

CREDIT_LIMIT = 197


@batch_handler
async def lambda_handler(record: KinesisRecord) -> None:
    """Handle one record; `record.json()` decodes the base64 and the JSON in it."""
    order = record.json()
    if order["amount"] > CREDIT_LIMIT:
        raise ValueError(f"the amount is above the credit limit of {CREDIT_LIMIT}")
    await asyncio.sleep(0.005)  # stands for the call that stores it
