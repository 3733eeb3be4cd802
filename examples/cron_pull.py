"""A schedule instead of a mapping: pull what a queue holds, process it, delete what succeeded.

For an EventBridge schedule that empties a queue every few minutes. It needs the environment
variable QUEUE_URL, and `pip install "asyncbatch[aws]"`. What is not deleted comes back by itself
when its visibility timeout ends.
"""

# aiobotocore ships no types.
# pyright: basic
import asyncio
import os
from typing import Any

from aiobotocore.session import get_session

from asyncbatch import BatchEngine, SqsRecord, Succeeded

MARGIN = 5.0  # seconds that the last deletes may take

engine = BatchEngine(concurrency=10)


def lambda_handler(_event: object, context: Any) -> dict[str, int]:
    """Empty the queue until nothing is left, or until the time is nearly up."""
    deleted = asyncio.run(pull(context.get_remaining_time_in_millis() / 1000 - MARGIN))
    return {"deleted": deleted}


async def handle(record: SqsRecord) -> None:
    """Handle one message."""
    order = record.json()
    if order["amount"] <= 0:
        raise ValueError("the amount is not above zero")
    await asyncio.sleep(0.005)  # stands for the call that books it


async def pull(seconds: float) -> int:
    """Receive, process and delete for so many seconds at most; return how many were deleted."""
    url = os.environ["QUEUE_URL"]
    end = asyncio.get_running_loop().time() + seconds
    deleted = 0
    client: Any = get_session().create_client("sqs")
    async with client as sqs:
        attributes = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        arn = attributes["Attributes"]["QueueArn"]
        while (left := end - asyncio.get_running_loop().time()) > 0:
            answer = await sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=1,  # a long poll asks all of the queue's servers
                MessageSystemAttributeNames=["All"],
            )
            messages = answer.get("Messages")
            if not messages:
                break
            report = await engine.process_messages(messages, handle, queue_arn=arn, deadline=left)
            deleted += await delete(sqs, url, report.succeeded)
    return deleted


async def delete(sqs: Any, url: str, succeeded: tuple[Succeeded, ...]) -> int:
    """Delete messages, ten at most; return how many are gone.

    The call succeeds as a whole even if some entries did not: those are in `Failed`, and only their
    messages come again. Entry ids are positions, because a message can be received twice.
    """
    if not succeeded:
        return 0
    answer = await sqs.delete_message_batch(
        QueueUrl=url,
        Entries=[
            {"Id": str(position), "ReceiptHandle": outcome.record["receiptHandle"]}
            for position, outcome in enumerate(succeeded)
        ],
    )
    for entry in answer.get("Failed", []):
        print(f"not deleted: {succeeded[int(entry['Id'])].id} ({entry['Code']})")
    return len(answer.get("Successful", []))
