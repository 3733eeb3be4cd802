"""Between a run and a limit that moves: tells the one how records end, and the other what the limit is now."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from operator import length_hint
from typing import TYPE_CHECKING, Final, final

from asyncbatch._contained import Contained
from asyncbatch._ledger import FailureReason, Ledger
from asyncbatch._raised import type_name
from asyncbatch.limits import Limit, Verdict

if TYPE_CHECKING:
    from asyncbatch._lanes import Lanes

_SUCCESS: Final = Verdict.SUCCESS  # a look-up less per record
# Seconds between two looks at the clock. When one comes later than the next was due, the loop has stood still:
# Lambda froze the environment, or a handler held the loop. Latencies across that say nothing of what is called.
_BEAT: Final = 0.1


@final
class Follower:
    """Follows a limit through one run.

    Args:
        limit: The limit.
        current: Where it stands.
        ledger: Says when records started and ended, and why they failed.
        lanes: Say how many records are left to start.
        contained: Takes what the limit raises.
        changed: Called with the old and the new limit when it has moved; None for nobody.

    Attributes:
        current: Most records in flight now.
    """

    __slots__ = (
        "_changed",
        "_contained",
        "_first_end",
        "_last_latency",
        "_last_start",
        "_late",
        "_ledger",
        "_left",
        "_limit",
        "_tail_from",
        "_trusted",
        "current",
    )

    def __init__(
        self,
        limit: Limit,
        current: int,
        ledger: Ledger,
        lanes: Lanes,
        *,
        contained: Contained,
        changed: Callable[[int, int], None] | None,
    ) -> None:
        self._limit = limit
        self._ledger = ledger
        singles = lanes.singles
        self._left: Callable[[], int] = (
            (lambda: lanes.left) if singles is None else partial(length_hint, singles)
        )
        self._contained = contained
        self._changed = changed
        self._trusted = -math.inf  # samples that started before this are not
        self._late = math.inf  # when the next beat is late
        # Whoever starts between these two has company for as long as it runs. (Who ends between two moments would
        # be a choice of the quick.)
        self._first_end = math.inf
        self._tail_from = math.inf
        self._last_start = -math.inf  # of the success that started last, and how long it took
        self._last_latency = math.inf
        self.current = current

    def beat(self, now: float) -> float:
        """See whether the loop has stood still since the last beat.

        Args:
            now: The time.

        Returns:
            When to call again.
        """
        if now > self._late:
            self._trusted = now
        self._late = now + 2 * _BEAT
        return now + _BEAT

    def succeeded(self, started: float | None, ended: float, in_flight: int) -> int:
        """Tell the limit of a success. Paid per record: nothing here is a call that need not be one.

        Args:
            started: When its handler started.
            ended: When it ended, which is now.
            in_flight: Records in flight until then.

        Returns:
            What the limit is now.
        """
        current = self.current
        if ended > self._late:  # the beat itself may come later in this turn
            self._trusted = ended
        if started is None or started < self._trusted:
            return current
        latency = ended - started
        if started >= self._last_start:
            self._last_start, self._last_latency = started, latency
        if ended < self._tail_from and self._left() < current:
            self._tail_from = ended
        if started < self._first_end or started >= self._tail_from:
            self._first_end = min(self._first_end, ended)
            in_flight = (in_flight - 1) // 2
        limit = self._limit
        try:
            limit.observe(_SUCCESS, latency, in_flight)
            moved = limit.current != current
        except BaseException as error:  # noqa: BLE001 - records are not to suffer from a limit's mistake
            return self._blame(error)
        return self._follow() if moved else current

    def failed(self, position: int, in_flight: int) -> int:
        """Tell the limit of a failure; return what it is now."""
        ledger = self._ledger
        started, ended, failure = (
            ledger.started[position],
            ledger.ended[position],
            ledger.failures.get(position),
        )
        if ended is not None and ended > self._late:
            self._trusted = ended
        if failure is None or started is None or ended is None or started < self._trusted:
            return self.current
        self._first_end = min(self._first_end, ended)
        verdict = Verdict.IGNORED
        try:
            if failure.reason is FailureReason.TIMED_OUT or (
                failure.reason is FailureReason.RAISED
                and failure.error is not None
                and self._limit.is_drop(failure.error)
            ):
                verdict = Verdict.DROPPED
        except BaseException as error:  # records are not to suffer from a user's mistake in `drops`
            name = f"{type_name(self._limit)}.is_drop"
            if not self._contained.takes(name, ", and the failure counts as no drop", error):
                raise
        if verdict is Verdict.DROPPED and self._is_overtaken(started, ended - started):
            verdict = Verdict.IGNORED
        try:
            self._limit.observe(verdict, ended - started, in_flight)
        except BaseException as error:  # noqa: BLE001 - records are not to suffer from a limit's mistake
            return self._blame(error)
        return self._follow()

    def _is_overtaken(self, started: float, latency: float) -> bool:
        """Whether a record that started later has succeeded in half the time: then it was not the limit's doing.

        Where too much is in flight, all wait. A record that times out while others come and go has trouble of its
        own, and at the end of a batch such records come one after another, as in an outage.
        """
        return started <= self._last_start and 2 * self._last_latency <= latency

    def _follow(self) -> int:
        old = self.current
        try:
            self.current = current_of(self._limit)
        except BaseException as error:  # noqa: BLE001 - records are not to suffer from a limit's mistake
            return self._blame(error)
        if self._changed is not None and self.current != old:
            self._changed(old, self.current)
        return self.current

    def _blame(self, error: BaseException) -> int:
        name = type_name(self._limit)
        if not self._contained.takes(name, f", and the limit stays at {self.current}", error):
            raise error
        return self.current


def current_of(limit: Limit) -> int:
    """What a limit says, and 1 for less: a batch never stalls."""
    return max(1, int(limit.current))
