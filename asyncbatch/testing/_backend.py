"""A service that handlers call, with a known limit to what it can do: for tests and tuning of concurrency."""

from __future__ import annotations

import asyncio
import heapq
import random
from typing import Any, Final, Literal, final

from asyncbatch.testing._conditions import check_choice, check_count, check_range

Distribution = Literal["exponential", "fixed"]

# The share of a service's time in which it says no.
_REFUSAL: Final = 0.05
_MOST: Final = 1_000_000


@final
class ThrottledError(Exception):
    """What a simulated backend raises when its queue is full; it looks as botocore's ``ClientError`` does."""

    def __init__(self) -> None:
        super().__init__("the simulated backend's queue is full")
        self.response: dict[str, Any] = {"Error": {"Code": "ThrottlingException"}}


@final
class SimulatedBackend:
    """So many servers and one queue: ``M/M/c`` in queueing theory's notation, and what goes wrong beyond it.

    A handler awaits `call`. Up to `knee` calls at a time are served as fast as one; more only wait for each other.
    Works on every event loop, and in virtual time within microseconds of real time: waiting is all that it does.

    Args:
        servers: Calls that are served at the same time.
        service_time: Seconds that a server takes for one, on average.
        distribution: How service times spread: ``"exponential"`` or ``"fixed"``.
        thrash: How much longer service takes for every call that waits: 0.02 for 2 %.
        queue_limit: Calls that may wait; the next one is refused with a `ThrottledError`. None for any number.
        slow_share: The share of calls that is slow, from 0 to 1.
        slow_factor: How many times longer those take.
        seed: Of the service times.

    Raises:
        InvalidOptionError: a number is out of its range.

    Attributes:
        down: While true, every call fails with `TimeoutError` at once: an outage.
        service_time: Seconds; may be changed.
        calls: Calls so far.
    """

    def __init__(
        self,
        servers: int = 20,
        service_time: float = 0.01,
        *,
        distribution: Distribution = "exponential",
        thrash: float = 0.0,
        queue_limit: int | None = None,
        slow_share: float = 0.0,
        slow_factor: float = 20.0,
        seed: int = 0,
    ) -> None:
        check_count("servers", servers, 1, _MOST)
        check_range("service_time", service_time, 0, _MOST, above=True)
        check_choice("distribution", distribution, "exponential", "fixed")
        check_range("thrash", thrash, 0, _MOST)
        check_range("slow_share", slow_share, 0, 1)
        check_range("slow_factor", slow_factor, 0, _MOST)
        if queue_limit is not None:
            check_count("queue_limit", queue_limit, 0, _MOST)
        self.down: bool = False
        self.service_time: float = service_time
        self.calls: int = 0
        self._fixed: Final = distribution == "fixed"
        self._thrash: Final = thrash
        self._queue_limit: Final = queue_limit
        self._slow_share: Final = slow_share
        self._slow_factor: Final = slow_factor
        self._random: Final = random.Random(seed)
        self._free_at: list[float] = [0.0] * servers  # a heap: when each server has done what it was given
        self._in_flight = 0
        self._now = 0.0

    @property
    def knee(self) -> int:
        """The limit beyond which calls only wait for each other."""
        return len(self._free_at)

    def resize(self, servers: int) -> None:
        """Change how many servers there are; what was begun is finished."""
        check_count("servers", servers, 1, _MOST)
        spare = servers - len(self._free_at)
        self._free_at = sorted(self._free_at)[max(0, -spare) :] + [self._now] * spare
        heapq.heapify(self._free_at)

    async def call(self) -> None:
        """Be served, after those who came before.

        Raises:
            ThrottledError: the queue is full.
            TimeoutError: the backend is `down`.
        """
        self.calls += 1
        if self.down or self._is_full():
            await asyncio.sleep(self.service_time * _REFUSAL)
            raise TimeoutError("the simulated backend is down") if self.down else ThrottledError
        now = asyncio.get_running_loop().time()
        if now < self._now:  # another loop, with a clock of its own
            self._free_at = [now] * len(self._free_at)
        self._now = now
        begin = max(now, heapq.heappop(self._free_at))
        end = begin + self._service()
        heapq.heappush(self._free_at, end)
        self._in_flight += 1
        try:
            await asyncio.sleep(end - now)
        finally:
            self._in_flight -= 1

    @property
    def _queued(self) -> int:
        return max(0, self._in_flight - len(self._free_at))

    def _is_full(self) -> bool:
        return (
            self._queue_limit is not None
            and self._in_flight >= len(self._free_at)
            and self._queued >= self._queue_limit
        )

    def _service(self) -> float:
        """Seconds that the next call takes."""
        seconds = self.service_time if self._fixed else self._random.expovariate(1 / self.service_time)
        if self._slow_share and self._random.random() < self._slow_share:
            seconds *= self._slow_factor
        return seconds * (1 + self._thrash * self._queued)
