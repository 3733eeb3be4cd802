"""Additive increase, multiplicative decrease."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from asyncbatch.limits._limit import MovingLimit, Verdict, changing, checked_number

_INITIAL: Final = 20


@final
class AIMDLimit(MovingLimit):
    """One more for every flight that went well, a share less when something was dropped.

    For what refuses or times out when there is too much of it: a throttled API, a pool with a bound. It knows
    nothing of latency, so a backend that merely gets slower drives it to its maximum, unless there is a ``slow``.

    D. Chiu and R. Jain, Analysis of the Increase and Decrease Algorithms, 1989, show that this converges; TCP has
    its rules from there (RFC 5681): one more per flight, and one decrease per flight, however much of it was lost.

    Args:
        initial: The limit of the first batch; None for 20, which is that of Netflix's concurrency-limits.
        minimum: It never falls below this.
        maximum: It never rises above this; 200 is Netflix's.
        backoff: What a drop leaves of the limit, between 0 and 1; 0.9 is Netflix's.
        slow: A success that took longer than so many seconds counts as dropped; None for never.
        drops: Whether what a handler raised counts as dropped; timeouts and throttling by default.

    Raises:
        InvalidOptionError: a number is out of its range.
    """

    def __init__(
        self,
        initial: int | None = None,
        *,
        minimum: int = 1,
        maximum: int = 200,
        backoff: float = 0.9,
        slow: float | None = None,
        drops: Callable[[BaseException], bool] | None = None,
    ) -> None:
        super().__init__(initial, minimum, maximum, drops, default=_INITIAL)
        self._backoff: Final = checked_number("backoff", backoff, 0, 1)
        self._slow: Final = None if slow is None else checked_number("slow", slow, 0)

    def observe(self, verdict: Verdict, latency: float, in_flight: int) -> None:
        """Rise by one over a flight of successes; fall once for a flight with a drop in it."""
        with changing:
            if verdict is Verdict.SUCCESS and (self._slow is None or latency <= self._slow):
                if self._settling > 0:
                    self._settling -= 1
                elif 2 * in_flight >= self.current:  # else it is not the limit that holds the records back
                    self.move(self._exact + 1 / self._exact)
            elif self._settling > 0:
                self._settling -= 1
            elif verdict is not Verdict.IGNORED:
                self._settling = max(0, in_flight - 1)
                self.move(min(self._exact, in_flight) * self._backoff)
