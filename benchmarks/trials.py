"""One limit with one simulated backend, in virtual time: what a batch of thousands of records makes of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asyncbatch import BatchEngine, Failed, Skipped
from asyncbatch.hooks import HookEvent, LimitChanged, RecordEnded, RecordStarted
from asyncbatch.limits import Limit
from asyncbatch.testing import SimulatedBackend, run_virtual, sqs_event

Changes = Mapping[int, Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Sample:
    """The end of a record.

    Attributes:
        time: When, in seconds.
        latency: Seconds from start to end.
        dropped: Whether it failed.
        in_flight: Records in flight until then.
        knee: How many the backend could use.
        limit: The limit after it.
    """

    time: float
    latency: float
    dropped: bool
    in_flight: int
    knee: int
    limit: int


@dataclass(frozen=True)
class Trial:
    """What was seen.

    Args:
        samples: In the order of the records' ends.
        base: Seconds that the backend takes on average where nothing waits.
    """

    samples: Sequence[Sample]
    base: float

    def part(self, begin: int, end: int | None = None) -> "Trial":
        """Return some of the samples as a trial of its own."""
        return Trial(self.samples[begin:end], self.base)

    @property
    def throughput(self) -> float:
        """Records per second that succeeded."""
        done = sum(not sample.dropped for sample in self.samples)
        return done / (self.samples[-1].time - self.samples[0].time)

    @property
    def use(self) -> float:
        """The share of the backend's throughput that was used: its servers at work, over time.

        What `throughput` would be without the chance of single service times, beside the best fixed limit.
        """
        used = time = 0.0
        for before, sample in zip(self.samples, self.samples[1:], strict=False):
            passed = sample.time - before.time
            used += passed * min(sample.in_flight, sample.knee) / sample.knee
            time += passed
        return used / time

    @property
    def inflation(self) -> float:
        """How many times the base the latency is by Little's law, on average over the samples."""
        return sum(max(1.0, sample.in_flight / sample.knee) for sample in self.samples) / len(self.samples)

    @property
    def drops(self) -> float:
        """The share of records that failed."""
        return sum(sample.dropped for sample in self.samples) / len(self.samples)

    @property
    def settled(self) -> int | None:
        """The sample from which the next hundred have 0.9 of the use and 1.5 of the base; None for never."""
        for begin in range(0, len(self.samples) - 100, 10):
            hundred = self.part(begin, begin + 100)
            if hundred.use >= 0.9 and hundred.inflation <= 1.5:
                return begin
        return None


def live(
    limit: int | Limit, backend: SimulatedBackend, records: int, changes: Changes | None = None
) -> Trial:
    """Process one batch with a limit.

    Args:
        limit: The limit; what it has learnt stays in it.
        backend: What the handler calls.
        records: The size of the batch.
        changes: What is done after so many records, to the backend.
    """
    samples: list[Sample] = []
    in_flight = 0
    now = limit if isinstance(limit, int) else limit.current
    todo = dict(changes or {})

    def hook(event: HookEvent) -> None:
        nonlocal in_flight, now
        match event:
            case RecordStarted():
                in_flight += 1
            case LimitChanged(new=now):
                pass
            case RecordEnded(outcome=outcome):
                if (
                    not isinstance(outcome, Skipped)
                    and outcome.started is not None
                    and outcome.ended is not None
                ):
                    latency = outcome.ended - outcome.started
                    failed = isinstance(outcome, Failed)
                    samples.append(Sample(outcome.ended, latency, failed, in_flight, backend.knee, now))
                in_flight -= 1
                todo.pop(len(samples), _nothing)()
            case _:
                pass

    async def handler(_record: Any) -> None:
        await backend.call()

    engine = BatchEngine(concurrency=limit, hooks=[hook])
    run_virtual(engine.process(sqs_event([{}] * records), handler))
    return Trial(samples, backend.service_time)


def _nothing() -> None: ...
