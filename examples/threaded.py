"""A plain function as a handler: each record in a worker thread, as many as the limit allows.

For libraries that block, such as boto3. A thread cannot be stopped: one that is still busy at the
deadline runs on beside the redelivery of its record. Try it:

    asyncbatch invoke examples/threaded.py:lambda_handler --sample sqs -n 100
"""

import time

from asyncbatch import SqsRecord, batch_handler, threaded

CREDIT_LIMIT = 197


@batch_handler(concurrency=16)
@threaded
def lambda_handler(record: SqsRecord) -> None:
    """Handle one message with code that blocks."""
    order = record.json()
    if order["amount"] > CREDIT_LIMIT:
        raise ValueError(f"the amount is above the credit limit of {CREDIT_LIMIT}")
    time.sleep(0.005)  # stands for a call of a blocking client
