"""The sweep: a handler at many limits, in rounds that each run every limit once."""

from __future__ import annotations

import dataclasses
import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncbatch import BatchHandler
from asyncbatch.testing import LambdaContext
from asyncbatch.tuning._batches import Batches
from asyncbatch.tuning._figures import LimitFigures
from asyncbatch.tuning._plan import HIGHEST, Plan, chosen_limits, goes_on
from asyncbatch.tuning._run import LAMBDA_TIMEOUT, IsDrop, Run, measure
from asyncbatch.tuning._spared import Notes, spared

# Where there is a time budget, a run is made short enough for so many in each round, ...
RUNS: Final = 14
# ... but no shorter than some flights, each as long as a record: the start and the end are two.
FEWEST_FLIGHTS: Final = 4
FEWEST: Final = 10
LATE: Final = 1.2
"""So many time budgets may be used up before the recommended limit is run fewer times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the tuner is.

    Attributes:
        stage: What it does, for people.
        done: Steps done in this stage.
        total: Steps of this stage; None while it is not known.
    """

    stage: str
    done: int
    total: int | None


OnProgress = Callable[[Progress], None]


class Sweep:
    """Runs a handler at many limits.

    Args:
        handler: The handler, with its engine.
        batches: Makes the batches.
        plan: What to measure.
        is_drop: Whether an error says "too much".
        context: Makes Lambda's context with so many seconds left.
        tell: Is told how far the sweep is.
    """

    def __init__(
        self,
        handler: BatchHandler[Any],
        batches: Batches,
        plan: Plan,
        *,
        is_drop: IsDrop,
        context: Callable[[float], LambdaContext],
        tell: OnProgress,
    ) -> None:
        self._handler: Final = handler
        self._batches: Final = batches
        self._plan: Final = plan
        self._is_drop: Final = is_drop
        self._context: Final = context
        self._tell: Final = tell
        self._began: Final = time.perf_counter()
        self._pace = 0.0  # seconds of a record, roughly

    def run(self) -> list[LimitFigures]:
        """Look for the limits, warm up, and run the rounds."""
        plan = self._plan
        self._learn_pace()
        looked_at: Sequence[Run] = ()
        if plan.limits is None:
            highest = self.highest()
            looked_at = list(self._look(highest))
            limits = chosen_limits(looked_at, highest)
        else:
            limits = tuple(sorted(set(plan.limits)))
        # The look was a round already: connections are open, caches are filled.
        warm_up = max(0, plan.warm_up - 1) if looked_at else plan.warm_up
        rounds = list(self._rounds(limits, warm_up))[warm_up:]
        memory = {limit: self._memory(limit) for limit in limits}
        return [
            LimitFigures(limit=limit, runs=[each[limit] for each in rounds], memory=memory[limit])
            for limit in limits
        ]

    def highest(self) -> int:
        """The limit that makes sense at most: there is no more to have in flight than there are lanes."""
        known = self._batches.make(8 * HIGHEST)
        return max(1, min(HIGHEST, self._batches.lanes(known).lanes))

    def confirm(self, limit: int) -> LimitFigures:
        """Run a limit that was not among those of the rounds, as often."""
        runs: list[Run] = []
        for number in range(self._plan.rounds):
            self._tell(Progress(stage=f"confirming limit {limit}", done=number, total=self._plan.rounds))
            runs.append(self.once(limit, self.size(limit)))
            if self._is_over(LATE):
                break
        return LimitFigures(limit=limit, runs=runs, memory=self._memory(limit))

    def size(self, limit: int) -> int:
        """Records of a run at a limit; fewer of a slow handler, so that the time budget lasts for some rounds."""
        size, budget = self._plan.size(limit), self._plan.time_budget
        if budget is None or self._plan.records is not None or not self._pace:
            return size
        flights = budget / (RUNS * (self._plan.rounds + 1)) / self._pace
        return min(size, max(FEWEST, round(limit * max(flights, FEWEST_FLIGHTS))))

    def once(self, limit: int, size: int) -> Run:
        """Run one batch at a limit."""
        return self.measure(self._at(limit), size)

    def measure(self, handler: BatchHandler[Any], size: int) -> Run:
        """Run one batch."""
        event = self._batches.make(size)
        notes: Notes = {}
        handler = self._spared(handler, notes)
        gc.collect()  # what the run before left is not this one's
        return measure(handler, event, self._context(LAMBDA_TIMEOUT), self._is_drop, notes)

    def _at(self, limit: int) -> BatchHandler[Any]:
        return with_limit(self._handler, self._plan, limit)

    def _spared(self, handler: BatchHandler[Any], notes: Notes) -> BatchHandler[Any]:
        return spared(handler, self._is_drop, notes) if self._batches.halts else handler

    def _learn_pace(self) -> None:
        """Run a few records, to learn how long one takes; connections are opened, too."""
        self._tell(Progress(stage="a first run", done=0, total=None))
        run = self.once(FEWEST, FEWEST)
        self._pace = float(run.latencies.mean()) if len(run.latencies) else run.duration

    def _look(self, highest: int) -> Iterator[Run]:
        runs: list[Run] = []
        limit = 1
        while True:
            self._tell(Progress(stage=f"looking for the knee, limit {limit}", done=len(runs), total=None))
            runs.append(self.once(limit, self.size(limit)))
            yield runs[-1]
            if not goes_on(runs, highest) or self._is_over(0.5):
                return
            limit = min(2 * limit, highest)

    def _rounds(self, limits: Sequence[int], warm_up: int) -> Iterator[dict[int, Run]]:
        total = warm_up + self._plan.rounds
        for number in range(total):
            began = time.perf_counter()
            results: dict[int, Run] = {}
            for step, limit in enumerate(limits):
                kind = "warming up" if number < warm_up else f"round {number - warm_up + 1}"
                done = number * len(limits) + step
                self._tell(Progress(stage=f"{kind}, limit {limit}", done=done, total=total * len(limits)))
                results[limit] = self.once(limit, self.size(limit))
            yield results
            if number >= warm_up and self._is_over(1.0, time.perf_counter() - began):
                return

    def _is_over(self, share: float, needed: float = 0.0) -> bool:
        """Whether a share of the time budget is used up, or would be by what takes so many seconds more."""
        budget = self._plan.time_budget
        return budget is not None and time.perf_counter() - self._began + needed > share * budget

    def _memory(self, limit: int) -> int:
        """Bytes that a batch takes beyond its event; a run of its own, for tracing memory takes time."""
        self._tell(Progress(stage=f"memory, limit {limit}", done=0, total=None))
        event = self._batches.make(max(FEWEST, 2 * limit))
        handler = self._spared(self._at(limit), {})
        context = self._context(LAMBDA_TIMEOUT)
        gc.collect()
        tracing = tracemalloc.is_tracing()
        if not tracing:
            tracemalloc.start()
        try:
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            handler.run(event, context)
            return max(0, tracemalloc.get_traced_memory()[1] - before)
        finally:
            if not tracing:
                tracemalloc.stop()


def with_limit(handler: BatchHandler[Any], plan: Plan, limit: Any) -> BatchHandler[Any]:
    """The handler with another limit, and with the plan's record timeout.

    Args:
        handler: The handler.
        plan: The plan.
        limit: A number, or an adaptive limit.
    """
    timeout = handler.engine.record_timeout if plan.record_timeout is None else plan.record_timeout
    return BatchHandler(
        handler.handler, dataclasses.replace(handler.engine, concurrency=limit, record_timeout=timeout)
    )
