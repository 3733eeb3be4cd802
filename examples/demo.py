"""`make demo`: thousands of records of every event source, through the handlers of this folder.

The demo plays the event source: it delivers batches, reads the replies, and delivers again what
they name. A record that failed twice goes to the dead-letter queue. At the end every record is
either done or there, and the order of every lane was kept; if not, the exit code is 1.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from asyncbatch import (
    BatchHandler,
    BatchReport,
    EventSource,
    Failed,
    Outcome,
    Skipped,
    Succeeded,
    shutdown,
)
from asyncbatch.cli._display import Progress, show_id
from asyncbatch.cli._invocation import Caller
from asyncbatch.cli._target import is_batch_handler, load_target
from asyncbatch.testing import sample_event

HERE = Path(__file__).parent
ATTEMPTS = 2
SEQUENTIAL_RUNS = 100  # of each handler, one at a time, to know what that costs

NOTES = f"""
  calls  invocations, with those that delivered again what a reply named
  dead   failed {ATTEMPTS} times, and went to the dead-letter queue
  named  item identifiers in all replies; a stream's has its checkpoint alone
  lanes  message groups, keys, partitions: each was seen to keep its order
  *      estimated: {SEQUENTIAL_RUNS} handler runs or more with concurrency=1, scaled;
         the call that each handler makes is a sleep of 5 ms"""

Event = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """One event source: its example, and the shape of what is delivered."""

    source: EventSource
    example: str
    batches: int
    size: int
    keys: int

    def event(self, number: int) -> Event:
        """Make batch `number`."""
        return sample_event(self.source, self.size, keys=self.keys, seed=number)


JOBS = (
    Job(EventSource.SQS, "sqs.py", batches=5, size=2000, keys=1),
    Job(EventSource.SQS_FIFO, "sqs_fifo.py", batches=300, size=10, keys=5),  # FIFO's largest
    Job(EventSource.KINESIS, "kinesis.py", batches=10, size=300, keys=60),
    Job(EventSource.DYNAMODB, "dynamodb.py", batches=10, size=300, keys=60),
    Job(EventSource.KAFKA, "kafka.py", batches=10, size=300, keys=60),
)


@dataclass
class Tally:
    """What became of the records of one job."""

    done: int = 0
    dead: int = 0
    invocations: int = 0
    runs: int = 0  # of the handler; a redelivery may run it again
    seconds: float = 0.0
    sequential: float = 0.0
    named: int = 0
    checkpoints: list[object] = field(default_factory=list[object])
    lanes: set[object] = field(default_factory=set[object])
    disordered: int = 0


def main() -> int:
    """Run every job, then show one table."""
    console = Console(highlight=False, soft_wrap=True)
    tallies = {job: run(job, console) for job in JOBS}
    shutdown()
    console.print()
    console.print(table(tallies))
    console.print(NOTES, style="dim")
    console.print("\n  the last checkpoint of each stream", style="dim")
    for job, tally in tallies.items():
        if tally.checkpoints:
            console.print(f"  {job.source.value:<9} {tally.checkpoints[-1]}", style="dim")
    kept = all(
        tally.done + tally.dead == job.batches * job.size and not tally.disordered
        for job, tally in tallies.items()
    )
    console.print("\n[green]no record lost, every order kept[/]" if kept else "\n[red]BROKEN[/]")
    return 0 if kept else 1


def run(job: Job, console: Console) -> Tally:
    """Deliver all batches of a job, each until nothing of it is left."""
    console.print(
        f"[dim]$[/] asyncbatch invoke examples/{job.example} --sample {job.source.value} "
        f"-n {job.size} --keys {job.keys}  [dim]x {job.batches}[/]"
    )
    handler = load_target(str(HERE / job.example))
    if not is_batch_handler(handler):
        raise TypeError(f"{job.example} has no batch handler")
    tally = Tally(sequential=seconds_per_record(job, handler))
    progress = Progress(Console(stderr=True), job.source.value)
    caller = Caller(handler, timeout=30, hook=progress)
    with progress.live():
        for number in range(job.batches):
            deliver(caller, job.event(number), tally)
    return tally


def deliver(caller: Caller, event: Event, tally: Tally) -> None:
    """Deliver one batch, then again and again what its replies name, as an event source does."""
    attempts = Counter[str]()
    done: set[str] = set()
    left: Event | None = event
    while left is not None:
        invocation = caller.call("demo", left)
        report = invocation.report
        if report is None or invocation.failure is not None:
            raise SystemExit(f"The invocation failed: {invocation.failure}")
        tally.invocations += 1
        tally.seconds += invocation.duration
        tally.named += len(report.failures)
        tally.checkpoints += [report.checkpoint] if report.checkpoint else []
        watch_order(report, tally)
        for outcome in report.outcomes:
            tally.runs += not isinstance(outcome, Skipped)
            if isinstance(outcome, Failed):
                attempts[show_id(outcome.id)] += 1
            elif isinstance(outcome, Succeeded):
                done.add(show_id(outcome.id))
        again = list(named(report))
        dead = {show_id(o.id) for o in again if attempts[show_id(o.id)] >= ATTEMPTS}
        tally.dead += len(dead)
        left = event_of(left, [o for o in again if show_id(o.id) not in dead])
    tally.done += len(done)


def named(report: BatchReport) -> Iterator[Outcome]:
    """Yield what comes again: the records a reply names, or a stream from its checkpoint on."""
    if report.checkpoint is None:
        failures = {show_id(identifier) for identifier in report.failures}
        yield from (outcome for outcome in report.outcomes if show_id(outcome.id) in failures)
        return
    first = next(o.position for o in report.outcomes if o.id == report.checkpoint)
    yield from report.outcomes[first:]


def event_of(event: Event, outcomes: list[Outcome]) -> Event | None:
    """Return an event of these records alone; None if there are none."""
    if not outcomes:
        return None
    if "Records" in event:
        return {**event, "Records": [outcome.record.raw for outcome in outcomes]}
    partitions: dict[str, list[Any]] = {}
    for outcome in outcomes:
        partitions.setdefault(lane_of(outcome)[0], []).append(outcome.record.raw)
    return {**event, "records": partitions}


def lane_of(outcome: Outcome) -> tuple[str, Any]:
    """Return what orders a record: its key, for Kafka inside its partition."""
    partition = outcome.id["partition"] if isinstance(outcome.id, dict) else ""
    return partition, outcome.record.key


def watch_order(report: BatchReport, tally: Tally) -> None:
    """Check every lane: one record after another, and none after one that did not succeed."""
    lanes: dict[tuple[str, Any], list[Outcome]] = {}
    for outcome in report.outcomes:
        if outcome.record.key is not None:  # SQS standard has no order
            lanes.setdefault(lane_of(outcome), []).append(outcome)
    tally.lanes |= lanes.keys()
    for lane in lanes.values():
        for before, after in pairwise(lane):
            if isinstance(after, Skipped):
                continue
            in_order = isinstance(before, Succeeded) and before.ended <= (after.started or 0)
            tally.disordered += not in_order


def seconds_per_record(job: Job, handler: BatchHandler[Any]) -> float:
    """Measure the same handler with one record in flight."""
    one_by_one = BatchHandler(handler.handler, replace(handler.engine, concurrency=1))
    caller = Caller(one_by_one, timeout=30, hook=lambda _: None)
    runs, seconds = 0, 0.0
    while runs < SEQUENTIAL_RUNS:
        invocation = caller.call("sequential", sample_event(job.source, 20, keys=1, seed=runs))
        if invocation.report is None:
            raise SystemExit(f"The invocation failed: {invocation.failure}")
        runs += sum(not isinstance(outcome, Skipped) for outcome in invocation.report.outcomes)
        seconds += invocation.duration
    return seconds / runs


def table(tallies: dict[Job, Tally]) -> Table:
    """Lay out what became of everything."""
    shown = Table(box=None, padding=(0, 1), header_style="bold")
    shown.add_column("source", no_wrap=True)
    for name in ("records", "calls", "done", "dead", "named", "lanes", "time", "1 by 1*", "gain"):
        shown.add_column(name, justify="right", no_wrap=True)
    for job, tally in tallies.items():
        sequential = tally.sequential * tally.runs
        shown.add_row(
            job.source.value,
            f"{job.batches * job.size:,}",
            f"{tally.invocations:,}",
            f"[green]{tally.done:,}[/]",
            f"[red]{tally.dead:,}[/]",
            f"{tally.named:,}",
            order_of(tally),
            f"{tally.seconds:.2f} s",
            f"{sequential:.1f} s",
            f"[bold]{sequential / tally.seconds:.0f} x[/]",
        )
    return shown


def order_of(tally: Tally) -> str:
    """Say how many lanes kept their order."""
    if tally.disordered:
        return "[red]broken[/]"
    return f"{len(tally.lanes)}" if tally.lanes else "none"


if __name__ == "__main__":
    sys.exit(main())
