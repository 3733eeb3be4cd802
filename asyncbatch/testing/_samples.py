"""Sample events of every event source: orders of a few customers."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

from asyncbatch._sources import EventSource
from asyncbatch.testing._events import (
    Event,
    dynamodb_event,
    kafka_event,
    kinesis_event,
    sqs_event,
    sqs_fifo_event,
)


def sample_event(source: EventSource, n: int = 10, *, keys: int = 4, seed: int = 0) -> Event:
    """Build an event of `n` orders like ``{"order": "o-17", "customer": "c-3", "amount": 12.5}``.

    The customer is the message group, the partition key and the message key. On a DynamoDB stream
    the order is the item, so several records are changes of one order.

    Args:
        source: The event source.
        n: The number of records.
        keys: The number of lanes that they are spread over, in an even and shuffled way: message
            groups, partition keys, items, Kafka partitions. An SQS standard queue has no lanes.
        seed: The same seed gives the same event; another one gives other identifiers.

    Raises:
        ValueError: `n` is negative, `keys` is below 1, or there is no such event source.
    """
    source = EventSource(source)  # its value, "sqs-fifo", does as well
    if n < 0 or keys < 1:
        message = f"a sample needs n >= 0 and keys >= 1, not n={n} and keys={keys}"
        raise ValueError(message)
    rng = random.Random(f"sample {seed}")
    lanes = [position % keys for position in range(n)]
    rng.shuffle(lanes)
    amounts = [rng.randrange(50, 20_000, 50) for _ in range(n)]
    if source is EventSource.DYNAMODB:
        return _order_changes(lanes, amounts, seed)

    orders = [
        {"order": f"o-{position}", "customer": f"c-{lane}", "amount": cents / 100}
        for position, (lane, cents) in enumerate(zip(lanes, amounts, strict=True))
    ]
    customers = [f"c-{lane}" for lane in lanes]
    match source:
        case EventSource.SQS:
            return sqs_event(orders, seed=seed)
        case EventSource.SQS_FIFO:
            return sqs_fifo_event(orders, groups=customers, seed=seed)
        case EventSource.KINESIS:
            return kinesis_event(orders, keys=customers, seed=seed)
        case EventSource.KAFKA:
            return kafka_event(orders, partitions=lanes, keys=customers, seed=seed)


def _order_changes(lanes: list[int], amounts: list[int], seed: int) -> Event:
    """Build changes of one order per lane: an insert, then changes of its amount."""
    before: list[dict[str, Any] | None] = []
    after: list[dict[str, Any] | None] = []
    orders: dict[int, dict[str, Any]] = {}
    for lane, cents in zip(lanes, amounts, strict=True):
        before.append(orders.get(lane))
        orders[lane] = {
            "order": f"o-{lane}",
            "customer": f"c-{lane}",
            "amount": Decimal(cents) / 100,
        }
        after.append(orders[lane])
    return dynamodb_event(after, key="order", old_items=before, seed=seed)
