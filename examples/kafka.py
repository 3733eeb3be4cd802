"""Kafka: topic-partitions run side by side, the records of one partition one after another.

Lambda reads the reply of a Kafka function in provisioned mode only, with
`FunctionResponseTypes: [ReportBatchItemFailures]`. Everywhere else any normal return commits the
whole batch, and every failure in it would be lost. So by default a failure makes the invocation
fail, and Lambda delivers the whole batch again. `raise_on_failure="never"` says: this mapping is in
provisioned mode. Try it:

    asyncbatch invoke examples/kafka.py:lambda_handler --sample kafka -n 200 --keys 10
"""

import asyncio

from asyncbatch import KafkaRecord, Ordering, batch_handler

CREDIT_LIMIT = 197


@batch_handler(
    raise_on_failure="never",  # provisioned mode with ReportBatchItemFailures: the reply is read
    ordering=Ordering.BY_KEY,  # finer than the partition: message keys run side by side
)
async def lambda_handler(record: KafkaRecord) -> None:
    """Handle one record of a topic; one without a value is a tombstone."""
    if record.is_tombstone:
        return
    order = record.json()
    if order["amount"] > CREDIT_LIMIT:
        raise ValueError(f"the amount is above the credit limit of {CREDIT_LIMIT}")
    await asyncio.sleep(0.005)  # stands for the call that stores it
