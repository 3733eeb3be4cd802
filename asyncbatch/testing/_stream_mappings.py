"""Kinesis and DynamoDB Streams as event sources: shards of records, and their mappings.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final, Unpack, final

from asyncbatch._errors import InvalidOptionError
from asyncbatch._sources import EventSource
from asyncbatch.testing._conditions import ConditionOptions, Conditions, check_count, check_range
from asyncbatch.testing._environment import LambdaFunction
from asyncbatch.testing._events import Event, dynamodb_record, kinesis_record
from asyncbatch.testing._log_mappings import LogMapping, Poller
from asyncbatch.testing._simulated import SimulatedRecord

_REGION: Final = "eu-west-1"


class StreamMapping(LogMapping):
    """What the mappings of Kinesis and DynamoDB Streams have in common.

    A shard is read from its checkpoint on, one batch at a time, or as many as the parallelization factor says, and
    never is one key in two of them. What failed is tried again before anything later.

    Args:
        function: The Lambda function: ``function(event, context)``, of whatever kind.
        batch_size: Most records of a batch, 1 to 10,000.
        maximum_batching_window: Seconds, 0 to 300, in which a batch is gathered.
        parallelization_factor: Batches of a shard at a time, 1 to 10.
        bisect_batch_on_function_error: Whether a batch is halved when the function fails.
        maximum_retry_attempts: Tries after the first until records are discarded; -1 for no end while the stream
            keeps them.
        maximum_record_age: Seconds, 60 to 604,800, after which a record is discarded; -1 for never.
        tumbling_window: Seconds of a tumbling window, 0 to 900; 0 for none.
        on_failure: Whether there is a destination for what is discarded; without one it is lost.
        shards: Number of shards.
        retention: Seconds for which the stream keeps a record.
        conditions: What every mapping has: see `ConditionOptions`.

    Raises:
        InvalidOptionError: AWS would refuse an option, or two of them together.
    """

    def __init__(
        self,
        function: LambdaFunction,
        *,
        batch_size: int = 100,
        maximum_batching_window: float = 0.0,
        parallelization_factor: int = 1,
        bisect_batch_on_function_error: bool = False,
        maximum_retry_attempts: int = -1,
        maximum_record_age: float = -1,
        tumbling_window: float = 0.0,
        on_failure: bool = False,
        shards: int = 1,
        retention: float = 86_400.0,
        **conditions: Unpack[ConditionOptions],
    ) -> None:
        check_count("parallelization_factor", parallelization_factor, 1, 10)
        check_range("tumbling_window", tumbling_window, 0, 900)
        check_count("shards", shards, 1, 10_000)
        if tumbling_window and parallelization_factor > 1:
            raise InvalidOptionError(
                "parallelization_factor",
                f"is {parallelization_factor} with a tumbling window",
                "A window's state goes from one batch of its shard to the next: use 1.",
            )
        super().__init__(
            function,
            Conditions.of(conditions),
            pollers=[
                f"shardId-{shard:012}" for shard in range(shards) for _ in range(parallelization_factor)
            ],
            batch_size=batch_size,
            window=maximum_batching_window,
            tumbling=tumbling_window,
            bisect=bisect_batch_on_function_error,
            max_retries=maximum_retry_attempts,
            max_age=maximum_record_age,
            on_failure=on_failure,
            retention=retention,
        )
        self._table: Final[dict[str, Mapping[str, object]]] = {}  # the items, where there are any
        self._shards: Final = shards
        self._parallel: Final = parallelization_factor

    def _poller_of(self, key: str) -> Poller:
        """The shard that a key belongs to, and of its batches those that the key is always in."""
        number = int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest())
        shard = number * self._shards >> 128  # equal ranges of the key's hash, as Kinesis has them
        return self._pollers[shard * self._parallel + number % self._parallel]

    def _event(self, records: Sequence[SimulatedRecord]) -> Event:
        return {"Records": [record.raw for record in records]}

    def _remaining(self, records: Sequence[SimulatedRecord], failed: frozenset[int]) -> list[SimulatedRecord]:
        """Everything from the lowest position on: that is the checkpoint."""
        return list(records[min(failed) :])

    def _arn(self) -> str:
        return str(self.records[0].raw["eventSourceARN"])


@final
class KinesisMapping(StreamMapping):
    """A Kinesis data stream with a Lambda function behind it; arguments as `StreamMapping` has them."""

    source: ClassVar[EventSource] = EventSource.KINESIS

    def send(self, *payloads: object, key: str, after: float = 0.0) -> None:
        """Put records of one partition key into the stream.

        Args:
            payloads: Their data: text and bytes as they are, anything else as JSON.
            key: Their partition key.
            after: Seconds from now.
        """
        poller = self._poller_of(key)
        for payload in payloads:
            number, sent = len(self.records), self._sent(after)
            raw = kinesis_record(
                payload, key, number, sent=sent, stream="orders", region=_REGION, shard=poller.name
            )
            self._add(raw, poller, key, after)

    def _identifier(self, record: SimulatedRecord) -> object:
        return record.raw["kinesis"]["sequenceNumber"]


@final
class DynamoDBMapping(StreamMapping):
    """A DynamoDB table with a Lambda function behind its stream; arguments as `StreamMapping` has them.

    The changes of one item come in the order in which they were made.
    """

    source: ClassVar[EventSource] = EventSource.DYNAMODB

    def put(self, *items: Mapping[str, object], key: str = "id", after: float = 0.0) -> None:
        """Write items; the stream has an INSERT for a new one, a MODIFY for one that is there.

        Args:
            items: The items, as plain values: text, int, `Decimal`, bool, None, list, dict, bytes.
            key: The name of the key attribute.
            after: Seconds from now.
        """
        for item in items:
            old = self._table.get(_key_text(item[key]))
            self._change("INSERT" if old is None else "MODIFY", item, old, key, after)
            self._table[_key_text(item[key])] = item

    def remove(self, *values: object, key: str = "id", after: float = 0.0) -> None:
        """Delete items; the stream has a REMOVE for each.

        Args:
            values: The values of their key attribute.
            key: Its name.
            after: Seconds from now.

        Raises:
            KeyError: there is no such item.
        """
        for value in values:
            self._change("REMOVE", None, self._table.pop(_key_text(value)), key, after)

    def _change(
        self,
        change: str,
        new: Mapping[str, object] | None,
        old: Mapping[str, object] | None,
        key: str,
        after: float,
    ) -> None:
        image = old if new is None else new
        assert image is not None, "a change has an image"  # noqa: S101 - narrows a type
        lane = _key_text(image[key])
        sent = self._sent(after)
        raw = dynamodb_record(
            change,
            new,
            old,
            names=(key,),
            position=len(self.records),
            sent=sent,
            table="orders",
            region=_REGION,
            rng=self._rng,
        )
        self._add(raw, self._poller_of(lane), lane, after)

    def _identifier(self, record: SimulatedRecord) -> object:
        return record.raw["dynamodb"]["SequenceNumber"]


def _key_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
