"""Limits: as many records in flight as the backend can use, and no more calls than its quota allows.

    asyncbatch invoke examples/limits.py --sample sqs -n 2000

`concurrency=32` is a number that you measured: `asyncbatch tune` helps. `AdaptiveLimit` finds one itself, in
batches larger than the limit, and keeps what it has learnt over warm invocations. The backend here is simulated:
twenty servers, so that more than twenty calls at a time only wait.
"""

from asyncbatch import SqsRecord, batch_handler
from asyncbatch.limits import AdaptiveLimit, is_overload
from asyncbatch.testing import SimulatedBackend

CREDIT_LIMIT = 197
backend = SimulatedBackend(servers=20, service_time=0.01)


class QuotaExceededError(Exception):
    """What an API's client raises when it is told to slow down."""


def is_drop(error: BaseException) -> bool:
    """Tell the limit what means "too much": timeouts and AWS's throttling, as always, and the API's own error."""
    return isinstance(error, QuotaExceededError) or is_overload(error)


@batch_handler(
    concurrency=AdaptiveLimit(maximum=200, drops=is_drop),
    rate_limit=5_000,  # records started in a second, evenly
    record_timeout=5.0,  # a record that takes longer fails, and counts as dropped
)
async def lambda_handler(record: SqsRecord) -> None:
    order = record.json()
    if order["amount"] > CREDIT_LIMIT:
        raise ValueError(f"the amount is above the credit limit of {CREDIT_LIMIT}")
    await backend.call()
