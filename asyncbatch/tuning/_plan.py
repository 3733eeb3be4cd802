"""What a sweep is asked to do, and which limits it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from asyncbatch import InvalidOptionError
from asyncbatch.tuning._run import Run

HIGHEST: Final = 1_000
"""No further: a thousand records in flight need a thousand sockets, and Lambda has 1,024 file descriptors.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""
GROWS: Final = 1.1
"""Twice the limit has to give a tenth more throughput to be worth another doubling."""
BUSY: Final = 0.5
"""Where fewer than half of the slots are used, something else than the limit bounds the batch."""
SPOILED: Final = 0.1
"""A tenth of the records dropped or timed out: beyond, there is nothing to find."""
FEW: Final = 8
"""Up to this limit runs are short, and a step that gives nothing may be chance."""
AROUND: Final = (0.6, 0.8, 0.9, 1.0, 1.15, 1.35, 1.7)
"""The limits to run around a first guess of the knee, as multiples of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to measure.

    Args:
        limits: The limits to run; None to look for them.
        records: Records of a run; None for 40 times the limit, from 60 to 600, or eight times the limit if that
            is more: a run has to last much longer than a record.
        rounds: How often each limit is run.
        warm_up: How many rounds before them do not count.
        record_timeout: Seconds for one record, in place of the engine's; None for the engine's.
        time_budget: Seconds after which no further round is begun; None for no bound.
        batch_size: The batch size that is in use or wanted; None to have one recommended.
        seed: What is drawn, is drawn from it.

    Raises:
        InvalidOptionError: an option is out of range.
    """

    limits: Sequence[int] | None = None
    records: int | None = None
    rounds: int = 5
    warm_up: int = 1
    record_timeout: float | None = None
    time_budget: float | None = None
    batch_size: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        limits = self.limits
        if limits is not None and (not limits or min(limits) < 1):
            raise InvalidOptionError("limits", "must be whole numbers from 1 on")
        for name, value, least in (
            ("records", self.records, 2),
            ("rounds", self.rounds, 1),
            ("warm_up", self.warm_up, 0),
            ("batch_size", self.batch_size, 1),
        ):
            if value is not None and value < least:
                raise InvalidOptionError(name, f"must be at least {least}, but is {value}")
        if self.time_budget is not None and self.time_budget <= 0:
            raise InvalidOptionError("time_budget", f"must be above 0 s, but is {self.time_budget:g}")

    def size(self, limit: int) -> int:
        """Records of a run at a limit."""
        return self.records or max(60, min(40 * limit, 600), 8 * limit)


def goes_on(runs: Sequence[Run], highest: int) -> bool:
    """Whether looking for the knee goes on to twice the last limit.

    Args:
        runs: One run for each limit so far, each limit twice the one before.
        highest: The limit that makes sense at most.
    """
    last = runs[-1]
    if last.limit >= highest or _is_spoiled(last):
        return False
    flat = 0
    for run, before in zip(reversed(runs), reversed(runs[:-1]), strict=False):
        if run.throughput >= GROWS * before.throughput and run.in_flight >= BUSY * run.limit:
            break
        flat += 1
    return flat < (1 if last.limit > FEW else 2)


def chosen_limits(runs: Sequence[Run], highest: int) -> tuple[int, ...]:
    """The limits to run in rounds: those that were looked at, and more around the first guess of the knee."""
    sound = [run for run in runs if run.tally.succeeded and not _is_spoiled(run)]
    limits = {run.limit for run in runs}
    if sound:
        guess = max(run.throughput for run in sound) * min(float(run.latencies.mean()) for run in sound)
        limits |= {max(1, min(highest, round(guess * factor))) for factor in AROUND}
    return tuple(sorted(limits))


def _is_spoiled(run: Run) -> bool:
    return run.tally.drops + run.tally.timeouts > SPOILED * run.tally.tried
