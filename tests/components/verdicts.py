"""What becomes of a batch of messages, told by the queue: which of them the mapping deleted for a reply."""

import json

from cloud import Cloud
from journal import wait_until

SIZE = 5
LONG = 60  # seconds for which what was kept stays in the queue, held


def deleted_for(cloud: Cloud, function: str, reply: str, *, partial: bool = True) -> set[int]:
    """Positions of the messages that the mapping deletes when `replies.lambda_handler` gives this reply."""
    queue = cloud.queue(visibility_timeout=LONG)
    # All are sent before there is a mapping, so that they come in one batch.
    cloud.send(queue, [({"reply": reply, "position": position}, None) for position in range(SIZE)])
    cloud.connect(queue.arn, function, partial=partial)
    wait_until(lambda: all(each.receives for each in cloud.messages(queue)), "the batch is received")
    # The function has one execution environment: when this message is gone, the verdict on the batch is past.
    cloud.send(queue, [({"reply": "no ids", "position": SIZE}, None)])
    wait_until(lambda: SIZE not in _positions(cloud, queue), "the message behind the batch is deleted")
    return set(range(SIZE)) - _positions(cloud, queue)


def _positions(cloud, queue):
    return {json.loads(each.body)["position"] for each in cloud.messages(queue)}
