"""Netflix's second gradient limit: the latency now beside what it was over a long time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from asyncbatch.limits._limit import MovingLimit, Verdict, changing, checked_number

# The constants of Netflix's concurrency-limits, Gradient2Limit.java.
_INITIAL: Final = 20
_LONG_WINDOW: Final = 600
_WARM_UP: Final = 10
_RECOVERY: Final = 0.95
_QUEUE: Final = 4
_LEAST_GRADIENT: Final = 0.5
# What GradientLimit.java, its elder, leaves of the limit after a drop; Gradient2Limit.java ignores drops.
_BACKOFF: Final = 0.9


@final
class Gradient2Limit(MovingLimit):
    """Falls while the latency is above its own long average, and rises by a small queue otherwise.

    As in Netflix's concurrency-limits, with two changes: it may fall to 1, because a batch has no callers to turn
    away, and a drop lowers it, once for what was in flight together. The average follows the latency, also one
    that the limit itself has raised: it drifts above the knee. `AdaptiveLimit` does not.

    Args:
        initial: The limit of the first batch; None for 20, which is Netflix's.
        minimum: It never falls below this.
        maximum: It never rises above this; 200 is Netflix's.
        tolerance: How many times the long average a latency may be before the limit falls; 1.5 is Netflix's.
        smoothing: How much of a new limit is taken at once, up to 1; 0.2 is Netflix's.
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
        tolerance: float = 1.5,
        smoothing: float = 0.2,
        drops: Callable[[BaseException], bool] | None = None,
    ) -> None:
        super().__init__(initial, minimum, maximum, drops, default=_INITIAL)
        self._tolerance: Final = checked_number("tolerance", tolerance, 0)
        self._smoothing: Final = checked_number("smoothing", smoothing, 0, most=1)
        self._long = 0.0
        self._samples = 0

    def observe(self, verdict: Verdict, latency: float, in_flight: int) -> None:
        """Compare a success with the long average; fall once for a flight with a drop in it."""
        with changing:
            if verdict is Verdict.DROPPED:
                self._drop(in_flight)
                return
            if self._settling > 0:
                self._settling -= 1
            if verdict is Verdict.SUCCESS and latency > 0:
                self._compare(latency, in_flight)

    def _compare(self, latency: float, in_flight: int) -> None:
        long = self._average(latency)
        if 2 * in_flight < self.current:  # it is not the limit that holds the records back
            return
        gradient = min(1.0, max(_LEAST_GRADIENT, self._tolerance * long / latency))
        wanted = gradient * self._exact + _QUEUE
        self.move((1 - self._smoothing) * self._exact + self._smoothing * wanted)

    def _drop(self, in_flight: int) -> None:
        if self._settling > 0:
            self._settling -= 1
            return
        self._settling = max(0, in_flight - 1)
        self.move(min(self._exact, in_flight) * _BACKOFF)

    def _average(self, latency: float) -> float:
        """The long average with this sample in it: plain at first, then exponential."""
        self._samples += 1
        weight = 1 / self._samples if self._samples <= _WARM_UP else 2 / (_LONG_WINDOW + 1)
        self._long += (latency - self._long) * weight
        if self._long > 2 * latency:  # after a time of high latency it comes back faster
            self._long *= _RECOVERY
        return self._long
