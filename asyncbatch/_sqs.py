"""Batched deletes of SQS messages on aiobotocore: a message is deleted when the service says so, not before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, final

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessageBatch.html
BATCH_LIMIT: Final = 10


@final
class Deletions(NamedTuple):
    """What came of deletes.

    Attributes:
        deleted: Receipt handles of the messages that the service confirms as deleted.
        failed: Receipt handles of the others, with what the service said of each.
    """

    deleted: list[str]
    failed: dict[str, str]


async def delete_messages(client: Any, queue_url: str, receipt_handles: Sequence[str]) -> Deletions:
    """Delete messages, ten a call.

    A call can succeed as a whole although entries of it did not: only what its ``Successful`` list names is
    deleted. Entries are named by position, because a queue may have handed out a message twice, and a call with
    two equal names is refused whole.

    Args:
        client: An open SQS client of aiobotocore.
        queue_url: The queue's URL.
        receipt_handles: Which deliveries to delete.
    """
    result = Deletions([], {})
    handles = list(dict.fromkeys(receipt_handles))
    for start in range(0, len(handles), BATCH_LIMIT):
        await _delete_some(client, queue_url, handles[start : start + BATCH_LIMIT], result)
    return result


async def _delete_some(client: Any, queue_url: str, handles: Sequence[str], result: Deletions) -> None:
    entries = [{"Id": str(at), "ReceiptHandle": handle} for at, handle in enumerate(handles)]
    try:
        answer = await client.delete_message_batch(QueueUrl=queue_url, Entries=entries)
    except Exception as error:  # noqa: BLE001 - the network, the service: other calls may do better
        result.failed.update(dict.fromkeys(handles, type(error).__name__))
        return
    confirmed = {entry.get("Id") for entry in answer.get("Successful") or ()}
    codes = {entry.get("Id"): entry.get("Code") for entry in answer.get("Failed") or ()}
    for at, handle in enumerate(handles):
        if str(at) in confirmed:
            result.deleted.append(handle)
        else:
            result.failed[handle] = str(codes.get(str(at)) or "not confirmed")
