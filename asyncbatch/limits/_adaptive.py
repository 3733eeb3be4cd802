"""Our own limit: as many in flight as the backend can use, found by comparing latencies with their base."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, final

from asyncbatch.limits._limit import MovingLimit, Verdict, changing, checked_number
from asyncbatch.limits._shares import DropShares

# Where no source is named, a constant was chosen by simulation, over backends with 2 to 100 servers, exponential,
# fixed, log-normal and heavy-tailed service times, knees that move, outages and throttling: `python -m benchmarks
# run --only limits` shows what it does there.

_SUCCESS: Final = Verdict.SUCCESS  # a look-up less per record
_INITIAL: Final = 4
# Shorter latencies (s) count as this: with hundreds in flight a turn of the event loop takes as long, and says
# nothing of what is called. (Netflix's windows leave out what is below 0.1 ms.)
_FLOOR: Final = 0.0005
# So do those below this share of the first window's median: the shortest of all are chance, and weigh most as
# logarithms. The bound moves with the base when that has moved by more than a factor.
_SHORT: Final = 1 / 5
_MOVED: Final = math.log(2)
# Nobody's calls take a day (s) on average.
_NONSENSE: Final = 86_400.0
# A window ends when its mean is known to about this (a standard error, of logarithms of latencies), within bounds.
_PRECISION: Final = 0.18
_WINDOW: Final = (20, 160)
_FIRST_WINDOW: Final = 50
# The weight of the newest window in what is known of the spread.
_FRESH: Final = 0.3
# Samples that the base remembers, and how far one window may push it up.
_MEMORY: Final = 200
_PUSH: Final = 0.2
# Standard errors from which a difference is taken for real: to stop doubling, or raise the base after a probe; and
# to lower the base, which is asked of every window, so that chance has many.
_DOUBTFUL: Final = 2.3
_UNLIKELY: Final = 3.5
_LEAST: Final = 0.15
# What is seen counts for less, the noisier it is beside differences of this size (variance of a prior).
_PRIOR: Final = 0.2**2
# Largest steps per window, and the share of a difference that is taken at once. Doubling is slow start's (RFC
# 5681); after a few calm windows steps grow.
_UP: Final = math.log(1.2)
_DOWN: Final = math.log(0.7)
_DOUBLE: Final = math.log(2)
_STRIDE: Final = math.log(1.6)
_STRIDES: Final = 3
_GAIN: Final = 0.6
_GAIN_BELOW: Final = 0.8
# Probing: at this share of the limit; successes until the first probe, and at most until the next. (Envoy's
# gradient controller finds its minimum in this way, and BBR lowers what is in flight every ten seconds.)
_PROBE: Final = 0.7
_PROBE_AFTER: Final = (200, 1_200)
_SOON: Final = 60
# The share of the limit's change that latency has to follow, to be put down to the limit: between a queue, where
# it follows all of it (Little's law), and none.
_FOLLOWS: Final = 0.35
# Below this share of the limit at which the base was learnt, latency is taken for base.
_WELL_BELOW: Final = 0.5
# In flight beside the limit: below this share it is not the limit that holds the records back.
_USED: Final = 0.8
# Drops: the share that is left of the limit after one; where growth becomes careful, and a ceiling is forgotten.
_BACKOFF: Final = 0.8
_NEAR_CEILING: Final = 0.9
_BEYOND_CEILING: Final = 1.2


@final
class AdaptiveLimit(MovingLimit):
    """Finds how many records the backend can use at a time, and follows that.

    It rests on Little's law: a backend that serves ``c`` calls at a time has its full throughput with ``c`` in
    flight; every more only waits, and the latency grows in proportion. So it is the ratio of the latency to its
    base, the latency without a queue, that tells the distance from the knee, as in TCP Vegas (Brakmo and Peterson,
    1995) and BBR (Cardwell et al., 2016). What is different here, because a batch gives few and noisy samples:

    - latencies are averaged by their logarithms, over windows as long as their spread asks for: an added wait
      shows more clearly in short latencies than in long ones, and one slow call in a hundred does not matter.
      Very short ones count as a fifth of the first median: which are the shortest is chance;
    - the base is an average too, of what was measured where there is no queue: while doubling from the start, and
      in probes, windows at 0.7 of the limit. (The least latency seen, which is usual, falls with every sample.)
      If the latency does not fall with the limit, the base itself has changed;
    - a drop lowers the limit at once, and makes growth careful near the place where it happened; where most is
      dropped, an outage, the limit goes to the minimum, and doubles again when calls succeed. Drops that happen
      at every limit are found out, and do not count.

    It holds between 0.9 and 1.5 times the knee, from about 300 samples on. Nothing in it depends on a clock, so
    that freezing does not disturb it. The beginning and the end of a batch show no more than half of what a limit
    does: batches of more than twice the limit raise it, smaller ones only lower it. Where batches are small and
    the backend is not, a number is the better choice; so it is where most calls are answered at once and the rest
    slowly, as by a cache: their queue hides in the difference, and the limit gets several times too high.

    Args:
        initial: The limit of the first batch; None for 4: low, so that the first latencies are free of a queue.
        minimum: It never falls below this.
        maximum: It never rises above this; 1,000 is the maximum of Netflix's Vegas and gradient limits.
        tolerance: How many times its base the latency may be: 1.25 keeps a small queue, so that no server idles.
        drops: Whether what a handler raised counts as dropped; timeouts and throttling by default.

    Raises:
        InvalidOptionError: a number is out of its range.
    """

    def __init__(
        self,
        initial: int | None = None,
        *,
        minimum: int = 1,
        maximum: int = 1_000,
        tolerance: float = 1.25,
        drops: Callable[[BaseException], bool] | None = None,
    ) -> None:
        super().__init__(initial, minimum, maximum, drops, default=_INITIAL)
        self._tolerance: Final = math.log(checked_number("tolerance", tolerance, 1))
        # The window: latencies, how many end it, and latencies with little in flight; how many others were no
        # drops; of all those, how many the shares know of. At its end, how many it had.
        self._latencies: list[float] = []
        self._wanted = _FIRST_WINDOW
        self._idle: list[float] = []
        self._others = 0
        self._passed_on = 0
        self._count = 0
        # What is known: the logarithm of the base, the samples that it rests on, the spread of logarithms, and
        # what shorter latencies count as.
        self._base = 0.0
        self._weight = 0
        self._spread = 0.0
        self._base_spread = 0.0
        self._least = _FLOOR
        self._base_above_least = 0.0
        # What is being done: doubling, up to a limit; in doubt about it; the limit to go back to after a probe.
        self._doubling = True
        self._double_to = math.inf
        self._in_doubt = False
        self._resume: float | None = None
        # The limit at which the base was learnt; the last window at the full limit; calm windows in a row.
        self._known = 0.0
        self._full = 0.0
        self._calm = 0
        self._since_probe = 0
        self._probe_after = _PROBE_AFTER[0]
        self._suspected = False
        # Drops: their shares, and the limit at which there were some.
        self._shares: Final = DropShares()
        self._ceiling = math.inf
        self._was_cut = False

    def observe(self, verdict: Verdict, latency: float, in_flight: int) -> None:
        """Add a success to the window; react to a drop at once."""
        with changing:
            if verdict is _SUCCESS:
                if self._settling > 0:
                    self._settling -= 1
                    self._others += 1
                elif 2 * in_flight < self.current:
                    self._idle.append(latency)
                    if len(self._idle) >= self._wanted:
                        self._end_idle_window()
                else:
                    latencies = self._latencies
                    latencies.append(latency)
                    if len(latencies) >= self._wanted:
                        self._end_window(in_flight)
            elif verdict is Verdict.DROPPED:
                self._drop(in_flight)
            else:
                self._settling = max(0, self._settling - 1)
                self._others += 1

    # --- drops ----------------------------------------------------------------------------------------

    def _drop(self, in_flight: int) -> None:
        below = self._is_below_ceiling
        self._pass_on()
        self._shares.dropped(below=below)
        if self._shares.is_outage:
            if self.current > self.minimum:
                self._ceiling = min(self._ceiling, self._exact)
                self._double_to = self._ceiling / 2  # as slow start's threshold
                self._doubling = True
                self._wanted = _WINDOW[0]
                self._turn_to(self.minimum, in_flight)
        elif self._settling > 0 and self._was_cut:  # what was in flight together falls together
            self._settling -= 1
        elif self.current > self.minimum and self._shares.is_too_much:
            self._ceiling = min(self._exact, max(1, in_flight))
            self._doubling = False
            self._turn_to(self._ceiling * _BACKOFF, in_flight)

    @property
    def _is_below_ceiling(self) -> bool:
        return not self._settling and self._exact < _NEAR_CEILING * self._ceiling < math.inf

    def _pass_on(self) -> None:
        """Let the shares know of what was not dropped since the last time."""
        told = len(self._latencies) + len(self._idle) + self._others
        self._shares.passed(told - self._passed_on, below=self._is_below_ceiling)
        self._passed_on = told

    def _turn_to(self, limit: float, in_flight: int) -> None:
        self.move(limit)
        self._resume = None
        self._begin_window(in_flight)
        self._was_cut = True

    # --- windows --------------------------------------------------------------------------------------

    def _begin_window(self, settling: int) -> None:
        self._pass_on()
        self._others = self._passed_on = 0  # first: what is told is never less than what was passed on
        self._latencies.clear()
        self._idle.clear()
        self._was_cut = False
        self._settling = settling

    def _end_window(self, in_flight: int) -> None:
        before = self.current
        mean = self._measure(self._latencies)
        if mean is None:
            self._begin_window(0)
            return
        self._since_probe += self._count
        if self._resume is not None:
            limit = self._after_probe(mean, self._resume)
        else:
            if self._doubling and not self._in_doubt and self._seems_to_queue(mean):
                self._in_doubt = True  # look again: the window goes on
                self._wanted = 2 * self._count
                return
            limit = self._after_window(mean, in_flight)
        self.move(limit)
        self._follow_scale()
        wanted = (self._spread / _PRECISION) ** 2
        self._wanted = int(min(max(wanted, _WINDOW[0]), _WINDOW[1]))
        if not self._doubling:
            self._wanted = max(self._wanted, self.current)  # a flight: less may be one side of a wave
        self._begin_window(before if self.current != before else 0)

    def _end_idle_window(self) -> None:
        """Fall if latencies are too long even where the limit was not used; they are no reason to rise."""
        idle, before = self._idle, self.current
        knew = self._weight
        mean = self._measure(idle)
        if mean is not None and not knew:
            self._remember(mean)
        elif mean is not None and self._is_unlikely(mean - self._base - self._tolerance, _DOUBTFUL):
            self.move(self._exact * math.exp(_DOWN))
            self._resume = None
            self._begin_window(before)
        self._others += len(idle)
        idle.clear()

    def _logarithms(self, latencies: Sequence[float]) -> list[float]:
        least = self._least
        shortest, log = math.log(least), math.log
        return [log(each) if each > least else shortest for each in latencies]

    def _measure(self, latencies: list[float]) -> float | None:
        """The mean of their logarithms; None for nonsense. Notes how many there are, and how they spread."""
        self._count = count = len(latencies)
        if not sum(latencies) < _NONSENSE * count:  # nor does anything that is no number
            return None
        if not self._weight:
            self._least = max(_FLOOR, sorted(latencies)[count // 2] * _SHORT)
        logarithms = self._logarithms(latencies)
        mean = sum(logarithms) / count
        spread = math.sqrt(max(0.0, sum([each * each for each in logarithms]) / count - mean * mean))
        if self._weight:
            self._spread += (spread - self._spread) * _FRESH
        else:
            self._base, self._spread, self._base_spread = mean, spread, spread
            self._base_above_least = mean - math.log(self._least)
        return mean

    def _noise(self, spread: float) -> float:
        """Variance of a difference between this window's mean and the base."""
        return spread**2 * (1 / self._count + 1 / max(self._weight, self._count))

    def _is_unlikely(self, difference: float, errors: float) -> bool:
        """Whether a difference from the base, in its direction, is not put down to chance."""
        spread = max(self._spread, self._base_spread)  # a queue makes latencies more alike
        return difference > max(errors * math.sqrt(self._noise(spread)), _LEAST)

    def _seems_to_queue(self, mean: float) -> bool:
        noise = self._noise(self._spread)
        return mean - self._base > max(self._tolerance, _DOUBTFUL * math.sqrt(noise))

    # --- the scale ------------------------------------------------------------------------------------

    def _follow_scale(self) -> None:
        """Keep the bound of short latencies where it was beside the base."""
        if abs(self._base - math.log(self._least) - self._base_above_least) > _MOVED:
            self._least = max(_FLOOR, math.exp(self._base - self._base_above_least))

    # --- the base -------------------------------------------------------------------------------------

    def _remember(self, mean: float) -> None:
        """Take a window into the base, no more than a push at a time."""
        self._weight = min(_MEMORY, self._weight + self._count)
        self._base += min(max(mean - self._base, -_PUSH), _PUSH) * self._count / self._weight
        self._base_spread += (self._spread - self._base_spread) * _FRESH
        if abs(mean - self._base) < self._tolerance:
            self._known = self._exact

    def _correct(self, mean: float) -> None:
        """Believe a window as much as all before it, and look again soon."""
        self._weight = min(self._weight, self._count)
        self._weight += self._count
        self._base += (mean - self._base) * self._count / self._weight
        self._probe_after = _PROBE_AFTER[0]

    # --- what follows from a window -------------------------------------------------------------------

    def _after_probe(self, mean: float, resume: float) -> float:
        """Learn the base from a window at a lower limit, and go back."""
        difference, fell = mean - self._base, self._full - mean
        follows = -math.log(_PROBE)
        self._resume = None
        self._since_probe = 0
        if self._is_unlikely(-difference, _UNLIKELY):  # there was a queue, and perhaps still is
            self._correct(mean)
            self._since_probe = self._probe_after
            return self._exact * math.exp(self._tolerance)
        clear = self._spread * math.sqrt(2 / self._count) < follows  # else such a fall could not be seen
        if clear and fell < _FOLLOWS * follows:  # the latency is not the limit's doing
            if self._is_unlikely(difference, _DOUBTFUL):
                if self._suspected:  # twice: a queue that is still draining looks like this once
                    self._correct(mean)
                self._suspected = not self._suspected
                self._since_probe = self._probe_after - _SOON
                return resume
            self._remember(self._full)
        self._remember(mean)
        self._suspected = False
        self._probe_after = min(_PROBE_AFTER[1], 2 * self._probe_after)
        if fell > 2 * _FOLLOWS * follows and difference < 0:
            return min(resume, self._exact * math.exp(self._tolerance))
        return resume

    def _after_window(self, mean: float, in_flight: int) -> float:
        """Step up or down by how far the latency is from the base; now and then, begin a probe."""
        self._learn(mean)
        free = in_flight < _USED * self.current  # it is not the limit that holds the records back
        step = self._step(mean)
        limit = self._exact * math.exp(step)
        if step > 0:
            limit = self._exact if free else self._below_ceiling(limit)
        elif step < 0 and free:
            limit = min(self._exact, in_flight * math.exp(step))
        self._full = mean
        if self._since_probe >= self._probe_after and not (self._doubling or free):
            self._resume = limit
            limit = min(limit, self._exact) * _PROBE
        return limit

    def _learn(self, mean: float) -> None:
        """Take what tells of the base into it."""
        difference = mean - self._base
        if self._exact < _WELL_BELOW * self._known and difference > self._tolerance:
            self._correct(mean)  # no queue is to be had here: the base has changed
        elif self._doubling and difference < self._tolerance:
            self._remember(mean)
        elif self._is_unlikely(-difference, _UNLIKELY):
            self._correct(mean)
        elif difference < 0 and self._weight < _MEMORY // 2:  # little is known of it yet
            self._remember(mean)

    def _step(self, mean: float) -> float:
        """The logarithm of what the limit is to be multiplied by."""
        noise = self._noise(self._spread)
        difference = (mean - self._base) * _PRIOR / (_PRIOR + noise)
        stopped = self._in_doubt and self._seems_to_queue(mean)
        self._in_doubt = False
        self._calm = self._calm + 1 if difference < self._tolerance / 2 else 0
        if stopped:
            self._doubling = False
            return max(-_DOUBLE, self._tolerance - difference)
        if self._doubling:
            if 2 * self._exact > self._double_to:
                self._doubling, self._double_to = False, math.inf
            return _DOUBLE if difference < self._tolerance else 0.0
        gain = _GAIN if difference > self._tolerance else _GAIN_BELOW
        step = min(_UP, max(_DOWN, (self._tolerance - difference) * gain))
        return max(step, _STRIDE) if step > 0 and self._calm >= _STRIDES else step

    def _below_ceiling(self, limit: float) -> float:
        """Grow only by one where there have been drops, until there are none."""
        if self._ceiling == math.inf:
            return limit
        careful = _NEAR_CEILING * self._ceiling
        if self._exact < careful:
            return min(limit, careful)
        self._doubling = False
        limit = min(limit, self._exact + 1)
        if limit > _BEYOND_CEILING * self._ceiling:
            self._ceiling = math.inf
        return limit
