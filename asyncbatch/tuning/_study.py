"""A study of a handler: sweep, recommendation, what goes with it, and what adaptive limits would have done."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncbatch import BatchHandler, EventSource, Skipped, Succeeded
from asyncbatch._events import read_event
from asyncbatch.limits import is_overload
from asyncbatch.testing import LambdaContext, VirtualClock
from asyncbatch.tuning._adaptive import Trace, trace_limits
from asyncbatch.tuning._batches import Batches, LaneShape
from asyncbatch.tuning._figures import LimitFigures
from asyncbatch.tuning._plan import Plan
from asyncbatch.tuning._recommendation import Recommendation, recommend
from asyncbatch.tuning._run import LAMBDA_TIMEOUT, IsDrop
from asyncbatch.tuning._sizing import BATCH_SIZES, Sizing, bytes_per_record, size_batch
from asyncbatch.tuning._sweep import OnProgress, Progress, Sweep, with_limit

ADAPTIVE_RECORDS: Final = (1_000, 5_000)
"""An adaptive limit needs some hundred records to find its way; more show whether it stays there."""
ADAPTIVE_SHARE: Final = 0.05
"""Of the time budget, for each batch of an adaptive limit."""
TIMELINE: Final = 200
"""Records of the batch whose timeline is shown: more bars than that cannot be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A record in a timeline.

    Attributes:
        lane: Its lane, from 0.
        started: Seconds from the first start.
        ended: Likewise.
        succeeded: Whether it succeeded.
    """

    lane: int
    started: float
    ended: float
    succeeded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What was measured, and what follows.

    Attributes:
        source: The event source.
        current: The limit that the handler has now; None if it is an adaptive one.
        virtual: Whether it ran on the virtual clock.
        points: The figures of every limit that was run, ascending.
        lanes: How the records of the runs are spread over lanes.
        ordered: Whether records share lanes.
        recommendation: The limit, and why.
        chosen: The figures at the recommended limit.
        sizing: Batch size and timeouts.
        traces: What adaptive limits did.
        timeline: A batch at the recommended limit.
    """

    source: EventSource
    current: int | None
    virtual: bool
    points: Sequence[LimitFigures]
    lanes: LaneShape
    ordered: bool
    recommendation: Recommendation
    chosen: LimitFigures
    sizing: Sizing
    traces: Sequence[Trace]
    timeline: Sequence[Bar]

    @property
    def best(self) -> LimitFigures:
        """The limit with the most throughput, of those that were run without too many drops."""
        sound = [point for point in self.points if point.limit <= self.recommendation.acceptable]
        return max(sound, key=lambda point: point.throughput)


def tune(
    handler: BatchHandler[Any],
    event: object,
    plan: Plan | None = None,
    *,
    virtual_time: bool = False,
    on_progress: OnProgress | None = None,
) -> Study:
    """Find the limit for a handler by running it, many times.

    Args:
        handler: The handler; it is called for real, with the event's records under new identifiers.
        event: An event with records as the handler gets them.
        plan: What to measure.
        virtual_time: Run on a virtual clock, for handlers that only simulate; every result is then the same each
            time.
        on_progress: Is told how far it is.

    Raises:
        InvalidEventError: the event cannot be processed.
        InvalidOptionError: the plan's record timeout is out of its range.
        NothingToTuneError: the measurements say nothing about a limit.
        RunningLoopError: an event loop runs in this thread.
    """
    plan = plan or Plan()
    tell = on_progress or _tell_nobody
    with _old_garbage_left_alone():
        if not virtual_time:
            return _study(handler, event, plan, LambdaContext, tell, virtual=False)
        with VirtualClock() as clock:

            def context(timeout: float) -> LambdaContext:
                return LambdaContext(timeout, clock=clock.time)

            return _study(handler, event, plan, context, tell, virtual=True)


@contextlib.contextmanager
def _old_garbage_left_alone() -> Generator[None]:
    """Let the collection before each run see only what is new: all that is imported takes it 80 ms."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _study(
    handler: BatchHandler[Any],
    event: object,
    plan: Plan,
    context: Callable[[float], LambdaContext],
    tell: OnProgress,
    *,
    virtual: bool,
) -> Study:
    handler = with_limit(handler, plan, handler.engine.concurrency)
    batches = Batches(event, handler.engine, seed=plan.seed if virtual else None)
    is_drop = _drops_of(handler)
    sweep = Sweep(handler, batches, plan, is_drop=is_drop, context=context, tell=tell)
    points = sweep.run()
    sample = batches.make(sweep.size(points[-1].limit))
    lanes = batches.lanes(sample)
    source = batches.source
    in_use = plan.batch_size or BATCH_SIZES[source][0]
    recommendation = recommend(points, lanes, in_use, seed=plan.seed)
    limit = recommendation.limit
    chosen = next((point for point in points if point.limit == limit), None)
    if chosen is None:
        chosen = sweep.confirm(limit)
        points = sorted([*points, chosen], key=lambda point: point.limit)
    sizing = size_batch(chosen, source, bytes_per_record(sample, lanes.records), batch_size=plan.batch_size)
    traces = list(trace_limits(handler, sweep, _adaptive_size(plan, chosen), tell))
    tell(Progress(stage="a batch for the timeline", done=0, total=1))
    return Study(
        source=source,
        current=handler.engine.concurrency if isinstance(handler.engine.concurrency, int) else None,
        virtual=virtual,
        points=points,
        lanes=lanes,
        ordered=lanes.lanes < lanes.records,
        recommendation=recommendation,
        chosen=chosen,
        sizing=sizing,
        traces=traces,
        timeline=_timeline(
            with_limit(handler, plan, limit),
            batches,
            min(TIMELINE, sizing.batch_size),
            context(LAMBDA_TIMEOUT),
        ),
    )


def _tell_nobody(_: Progress) -> None:
    """Nobody wants to know how far it is."""


def _drops_of(handler: BatchHandler[Any]) -> IsDrop:
    """What the handler's own limit takes for "too much"; the usual where it has a plain number."""
    limit = handler.engine.concurrency
    return is_overload if isinstance(limit, int) else limit.is_drop


def _adaptive_size(plan: Plan, chosen: LimitFigures) -> int:
    low, high = ADAPTIVE_RECORDS
    size = max(low, min(high, 50 * chosen.limit))
    if plan.time_budget is not None:
        size = min(size, round(chosen.throughput * plan.time_budget * ADAPTIVE_SHARE))
    return max(size, 2 * chosen.limit)


def _timeline(handler: BatchHandler[Any], batches: Batches, size: int, context: LambdaContext) -> list[Bar]:
    """One batch, with every record in its lane; where each record has a lane of its own, in the next free slot."""
    event = batches.make(size)
    outcomes = handler.run(event, context).outcomes
    keys = batches.lane_keys(read_event(event, handler.engine.source))
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    bars = [
        Bar(
            lane=numbers[keys[outcome.position]],
            started=outcome.started,
            ended=outcome.ended,
            succeeded=isinstance(outcome, Succeeded),
        )
        for outcome in outcomes
        if not isinstance(outcome, Skipped) and outcome.started is not None and outcome.ended is not None
    ]
    zero = min((bar.started for bar in bars), default=0.0)
    bars = [dataclasses.replace(bar, started=bar.started - zero, ended=bar.ended - zero) for bar in bars]
    return _in_slots(bars) if len(numbers) == len(keys) else bars


def _in_slots(bars: Sequence[Bar]) -> list[Bar]:
    free_at: list[float] = []
    placed: list[Bar] = []
    for bar in sorted(bars, key=lambda each: (each.started, each.ended)):
        slot = next((slot for slot, time in enumerate(free_at) if time <= bar.started), len(free_at))
        free_at[slot : slot + 1] = [bar.ended]
        placed.append(dataclasses.replace(bar, lane=slot))
    return placed
