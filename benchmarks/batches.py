"""The batches and the context that every subject gets."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from random import Random
from typing import Any

from asyncbatch.testing import LambdaContext, kinesis_event, sqs_event, sqs_fifo_event

Event = dict[str, Any]
EventOf = Callable[[int], Event]


def context() -> LambdaContext:
    """Make a Lambda context whose time does not run out while we measure."""
    return LambdaContext(timeout=900.0)


def queue_event(size: int, *, padding: int = 0) -> Event:
    """Make a batch of an SQS standard queue: every record is a lane of its own."""
    text = "x" * padding
    return sqs_event([{"order": position, "text": text} for position in range(size)])


def fifo_event(size: int, lanes: int | None = None) -> Event:
    """Make a batch of an SQS FIFO queue, spread over message groups in turn; one each by default."""
    return grouped_event([position % (lanes or size) for position in range(size)])


def skewed_event(size: int, lanes: int) -> Event:
    """Make a batch of an SQS FIFO queue whose groups are as uneven as words in a text: group n gets 1/n."""
    weights = list(accumulate(1 / rank for rank in range(1, lanes + 1)))
    return grouped_event(Random(1).choices(range(lanes), cum_weights=weights, k=size))  # noqa: S311 - made-up records are no secrets


def grouped_event(groups: Sequence[int]) -> Event:
    """Make a batch of an SQS FIFO queue with these message groups, a record each."""
    bodies = [{"order": position} for position in range(len(groups))]
    return sqs_fifo_event(bodies, groups=[f"group {group}" for group in groups])


def stream_event(size: int, lanes: int | None = None) -> Event:
    """Make a batch of a Kinesis shard, spread over partition keys; one each by default."""
    keys = [f"key {position % (lanes or size)}" for position in range(size)]
    return kinesis_event([{"order": position} for position in range(size)], keys=keys)
