"""Tuning: how many records should be in flight? Here the answer is known: the backend has 20 servers.

    asyncbatch tune examples/tuning.py --sample sqs --virtual-time --html report.html

`--virtual-time` is for handlers that only simulate, as this one does: leave it out for yours, which is then called
for real.
"""

from asyncbatch import SqsRecord, batch_handler
from asyncbatch.testing import SimulatedBackend

backend = SimulatedBackend(servers=20, service_time=0.01, thrash=0.02)


@batch_handler
async def lambda_handler(record: SqsRecord) -> None:
    """Handle one message by a call that takes 10 ms, and longer when more than 20 are made at once."""
    record.json()
    await backend.call()
