"""Between a run and a limit that moves: tells the one how records end, and the other what the limit is now."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final, final

from asyncbatch._ledger import FailureReason, Ledger
from asyncbatch.limits import Limit, Verdict

logger: Final = logging.getLogger("asyncbatch")

# Seconds between two looks at the clock. When one comes later than the next was due, the loop has stood still:
# Lambda froze the environment, or a handler held the loop. Latencies across that say nothing of what is called.
_BEAT: Final = 0.1


@final
class Follower:
    """Follows a limit through one run.

    Args:
        limit: The limit.
        ledger: Says when records started and ended, and why they failed.
        changed: Called with the old and the new limit when it has moved; None for nobody.

    Attributes:
        current: Most records in flight now.
    """

    __slots__ = ("_changed", "_ledger", "_limit", "_next_beat", "_trusted", "current")

    def __init__(self, limit: Limit, ledger: Ledger, changed: Callable[[int, int], None] | None) -> None:
        self._limit = limit
        self._ledger = ledger
        self._changed = changed
        self._trusted = -math.inf  # samples that started before this are not
        self._next_beat = math.inf
        self.current = current_of(limit)

    def beat(self, now: float) -> float:
        """See whether the loop has stood still since the last beat.

        Args:
            now: The time.

        Returns:
            When to call again.
        """
        if now > self._next_beat + _BEAT:
            self._trusted = now
        self._next_beat = now + _BEAT
        return self._next_beat

    def succeeded(self, position: int, in_flight: int) -> int:
        """Tell the limit of a success, while more can start; return what it is now."""
        ledger = self._ledger
        started, ended = ledger.started[position], ledger.ended[position]
        if not ledger.succeeded[position] or started is None or ended is None or started < self._trusted:
            return self.current
        return self._observe(Verdict.SUCCESS, ended - started, in_flight)

    def failed(self, position: int, in_flight: int) -> int:
        """Tell the limit of a failure; return what it is now."""
        ledger = self._ledger
        started, ended, failure = (
            ledger.started[position],
            ledger.ended[position],
            ledger.failures.get(position),
        )
        if failure is None or started is None or ended is None or started < self._trusted:
            return self.current
        verdict = Verdict.IGNORED
        try:
            if failure.reason is FailureReason.TIMED_OUT or (
                failure.reason is FailureReason.RAISED
                and failure.error is not None
                and self._limit.is_drop(failure.error)
            ):
                verdict = Verdict.DROPPED
        except Exception:
            logger.exception("%s.is_drop raised: the failure counts as no drop", type(self._limit).__name__)
        return self._observe(verdict, ended - started, in_flight)

    def _observe(self, verdict: Verdict, latency: float, in_flight: int) -> int:
        limit, old = self._limit, self.current
        try:
            limit.observe(verdict, latency, in_flight)
            if limit.current == old:
                return old
            self.current = current_of(limit)
        except Exception:  # records are not to suffer from a limit's mistake
            logger.exception("%s.observe raised: the limit stays at %d", type(limit).__name__, old)
            return old
        if self._changed is not None and self.current != old:
            self._changed(old, self.current)
        return self.current


def current_of(limit: Limit) -> int:
    """What a limit says, and 1 for less: a batch never stalls."""
    return max(1, int(limit.current))
