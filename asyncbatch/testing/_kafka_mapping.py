"""Kafka as an event source: a topic's partitions, and the mapping of a consumer group.

Partial responses, retry limits, record age, splitting and failure destinations are those of provisioned mode:
https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import ClassVar, Final, Literal, Unpack, final

from asyncbatch._sources import EventSource
from asyncbatch.testing._conditions import (
    ConditionOptions,
    Conditions,
    check_choice,
    check_count,
    check_range,
)
from asyncbatch.testing._environment import LambdaFunction
from asyncbatch.testing._events import Event, kafka_envelope, kafka_record
from asyncbatch.testing._log_mappings import LogMapping
from asyncbatch.testing._simulated import SimulatedRecord

_REGION: Final = "eu-west-1"
_TOPIC: Final = "orders"
_MAX_TIMEOUT: Final = 840.0
"""Seconds: https://docs.aws.amazon.com/lambda/latest/dg/with-msk.html"""
_RETRIES_WITH_DESTINATION: Final = 10
"""What infinite retries become together with a failure destination."""


@final
class KafkaMapping(LogMapping):
    """An Amazon MSK topic with a Lambda function behind it, in provisioned mode.

    AWS does not say which offsets a partial response commits, and there are two readings. By the first, only what
    was named comes again, and what was not named is done, even beyond a failure; by the second, everything of a
    partition comes again from the lowest name on. A function that is safe under both is safe.

    Args:
        function: The Lambda function: ``function(event, context)``, of whatever kind.
        partitions: Number of partitions. A key has its partition; records without one take turns.
        batch_size: Most records of a batch, 1 to 10,000, of all partitions together.
        maximum_batching_window: Seconds, 0 to 300, in which a batch is gathered.
        bisect_batch_on_function_error: Whether a batch is halved when the function fails.
        maximum_retry_attempts: Tries after the first until records are discarded; -1 for no end while the topic
            keeps them, and for 10 where there is a failure destination.
        maximum_record_age: Seconds, 60 to 604,800, after which a record is discarded; -1 for never.
        redelivers: ``"named"`` or ``"from lowest named"``: the two readings.
        on_failure: Whether there is a destination for what is discarded; without one it is lost.
        retention: Seconds for which the topic keeps a record.
        conditions: What every mapping has: see `ConditionOptions`.

    Raises:
        InvalidOptionError: AWS would refuse an option, or two of them together.
    """

    source: ClassVar[EventSource] = EventSource.KAFKA

    def __init__(
        self,
        function: LambdaFunction,
        *,
        partitions: int = 1,
        batch_size: int = 100,
        maximum_batching_window: float = 0.5,
        bisect_batch_on_function_error: bool = False,
        maximum_retry_attempts: int = -1,
        maximum_record_age: float = -1,
        redelivers: Literal["named", "from lowest named"] = "named",
        on_failure: bool = False,
        retention: float = 604_800.0,
        **conditions: Unpack[ConditionOptions],
    ) -> None:
        check_count("partitions", partitions, 1, 10_000)
        check_range("function_timeout", conditions.get("function_timeout", 3.0), 0, _MAX_TIMEOUT, above=True)
        check_choice("redelivers", redelivers, "named", "from lowest named")
        if on_failure and maximum_retry_attempts == -1:
            maximum_retry_attempts = _RETRIES_WITH_DESTINATION
        super().__init__(
            function,
            Conditions.of(conditions),
            pollers=[_TOPIC],
            batch_size=batch_size,
            window=maximum_batching_window,
            tumbling=0.0,
            bisect=bisect_batch_on_function_error,
            max_retries=maximum_retry_attempts,
            max_age=maximum_record_age,
            on_failure=on_failure,
            retention=retention,
        )
        self._partitions: Final = partitions
        self._only_named: Final = redelivers == "named"
        self._next_offsets: Final = [0] * partitions
        self._without_key = 0

    def send(
        self, *payloads: object, key: str | None = None, partition: int | None = None, after: float = 0.0
    ) -> None:
        """Write records to the topic.

        Args:
            payloads: Their values: text and bytes as they are, None a tombstone, anything else as JSON.
            key: Their message key; None for none.
            partition: Their partition; None for the key's.
            after: Seconds from now.
        """
        for payload in payloads:
            number = self._partition_of(key) if partition is None else partition
            offset = self._next_offsets[number]
            self._next_offsets[number] += 1
            raw = kafka_record(
                payload, key, topic=_TOPIC, partition=number, offset=offset, sent=self._sent(after)
            )
            self._add(raw, self._pollers[0], f"{_TOPIC}-{number}", after)

    def _partition_of(self, key: str | None) -> int:
        if key is None:
            self._without_key += 1
            return (self._without_key - 1) % self._partitions
        return int.from_bytes(hashlib.md5(key.encode(), usedforsecurity=False).digest()) % self._partitions

    def _event(self, records: Sequence[SimulatedRecord]) -> Event:
        logs: dict[int, list[dict[str, object]]] = {}
        for record in records:
            logs.setdefault(record.raw["partition"], []).append(record.raw)
        return kafka_envelope(logs, _TOPIC, _REGION)

    def _identifier(self, record: SimulatedRecord) -> object:
        return {"partition": record.lane, "offset": record.raw["offset"]}

    def _remaining(self, records: Sequence[SimulatedRecord], failed: frozenset[int]) -> list[SimulatedRecord]:
        if self._only_named:
            return [records[position] for position in sorted(failed)]
        halted: set[object] = set()
        remaining: list[SimulatedRecord] = []
        for position, record in enumerate(records):
            if position in failed:
                halted.add(record.lane)
            if record.lane in halted:
                remaining.append(record)
        return remaining
