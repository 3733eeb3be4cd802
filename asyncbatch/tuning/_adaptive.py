"""What adaptive limits would have done: each from a cold start, on the same handler."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from asyncbatch import BatchHandler
from asyncbatch.hooks import HookEvent, LimitChanged
from asyncbatch.limits import AdaptiveLimit, AIMDLimit, Gradient2Limit, Limit
from asyncbatch.tuning._run import Run
from asyncbatch.tuning._sweep import OnProgress, Progress, Sweep

LIMITS: Final[Mapping[str, Callable[[], Limit]]] = {
    "AdaptiveLimit": AdaptiveLimit,
    "AIMDLimit": AIMDLimit,
    "Gradient2Limit": Gradient2Limit,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A run of an adaptive limit, from a cold start.

    Attributes:
        name: The limit's class.
        run: What came of it.
        warm: What came of the next batch, with what the limit had learnt.
        moves: The limit over time: seconds from the first start, and the limit from then on.
    """

    name: str
    run: Run
    warm: Run
    moves: Sequence[tuple[float, int]]

    @property
    def mean(self) -> float:
        """The limit on average over the time of the run."""
        times = [min(time, self.run.duration) for time, _ in self.moves] + [self.run.duration]
        spans = [later - time for time, later in pairwise(times)]
        total = sum(spans)
        if not total:
            return float(self.moves[-1][1])
        return sum(span * limit for span, (_, limit) in zip(spans, self.moves, strict=True)) / total


def trace_limits(handler: BatchHandler[Any], sweep: Sweep, size: int, tell: OnProgress) -> Iterator[Trace]:
    """Run two batches with each adaptive limit, the first from a cold start.

    Args:
        handler: The handler.
        sweep: Makes the batches, and measures.
        size: Records of each batch.
        tell: Is told how far this is.
    """
    for done, (name, make) in enumerate(LIMITS.items()):
        tell(Progress(stage=f"what {name} does", done=done, total=len(LIMITS)))
        yield _trace(name, make(), handler, sweep, size)


def _trace(name: str, limit: Limit, handler: BatchHandler[Any], sweep: Sweep, size: int) -> Trace:
    moves: list[tuple[float, int]] = []
    first = limit.current

    def note(event: HookEvent) -> None:
        if isinstance(event, LimitChanged):
            moves.append((asyncio.get_running_loop().time(), event.new))

    engine = dataclasses.replace(handler.engine, concurrency=limit, hooks=(*handler.engine.hooks, note))
    run = sweep.measure(BatchHandler(handler.handler, engine), size)
    cold = list(moves)
    warm = sweep.measure(BatchHandler(handler.handler, engine), size)
    return Trace(
        name=name,
        run=run,
        warm=warm,
        moves=[(0.0, first), *((max(0.0, at - run.began), new) for at, new in cold)],
    )
