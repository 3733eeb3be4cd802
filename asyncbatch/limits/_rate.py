"""How many records may start in a second."""

from __future__ import annotations

import math
from typing import Final, final

from asyncbatch.limits._limit import changing, checked_count, checked_number

# Seconds of unused time that may be made up for: timers of the event loop come late by about a millisecond
# (epoll's grain), a busy loop gives a turn every ten, and the rate would otherwise fall short by as much each
# time.
_GRAIN: Final = 0.01
# One record in thirty years: a float cannot count much slower.
_LEAST: Final = 1e-9


@final
class RateLimit:
    """A token bucket that starts records evenly, for an API with a quota in requests per second.

    It is kept as the one time at which the next record is due (the virtual scheduling of the generic cell rate
    algorithm, ITU-T I.371): no task fills it, so that it has no loop, and after a freeze it holds one burst, not
    the quota of all the time that was slept through. Engines that share the object share the quota.

    There are libraries, and none fits. On a second event loop aiolimiter 1.3 warns of undefined behaviour, and
    asynciolimiter 1.2 hangs. aiolimiter and pyrate-limiter 4 let the quota of a whole period start at once. And
    where they wait, they do so inside the record, which by then would have a place in flight.

    Args:
        per_second: Most records started in a second, in the long run.
        burst: Records that may start at once after a pause.

    Raises:
        InvalidOptionError: the rate is no number above 1e-9, or the burst no whole number from 1 on.
    """

    def __init__(self, per_second: float, *, burst: int = 1) -> None:
        self._interval: Final = 1 / checked_number("per_second", per_second, _LEAST)
        self._burst: Final = checked_count("burst", burst)
        self._credit: Final = max((burst - 1) * self._interval, _GRAIN)
        self._due = -math.inf

    def take(self, now: float) -> float:
        """Let a record start, if one is due.

        Args:
            now: The time, in seconds of the loop's clock.

        Returns:
            When it is due: if that is later than now, it may not start yet, and nothing was taken.
        """
        with changing:
            due = self._due
            if due > now + self._interval:  # only a clock that was set back, or another one, gives that
                due = now
            if due <= now:
                self._due = max(due, now - self._credit) + self._interval
            return due

    def give_back(self) -> None:
        """Take back the last record: it did not start after all."""
        with changing:
            self._due -= self._interval

    def __repr__(self) -> str:
        burst = f", burst={self._burst}" if self._burst > 1 else ""
        return f"RateLimit({1 / self._interval:g}{burst})"
