"""What the command shows on standard error: live progress, then a table of outcomes."""

import contextlib
import time
from collections import Counter
from collections.abc import Generator, Iterator

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from asyncbatch import EventSource, Failed, FailureReason, Outcome, Skipped, Succeeded
from asyncbatch._records import ItemIdentifier
from asyncbatch.cli._invocation import Invocation
from asyncbatch.hooks import BatchStarted, HookEvent, RecordEnded, RecordStarted

SHOWN_FAILURES = 5
REFRESHES_PER_SECOND = 12

RAISED = FailureReason.RAISED

KEYS = {
    EventSource.SQS_FIFO: "message group",
    EventSource.KINESIS: "partition key",
    EventSource.DYNAMODB: "item key",
    EventSource.KAFKA: "message key",
}

STYLES = {"succeeded": "green", "failed": "red", "skipped": "yellow"}


class Progress:
    """Live counts over the invocations of a command; a hook, and what rich draws of it.

    Args:
        console: Where to draw.
        label: What is being called.
    """

    def __init__(self, console: Console, label: str) -> None:
        self._console = console
        self._label = label
        self._size = 0
        self._in_flight = 0
        self._outcomes = Counter[type[Outcome]]()
        self._started = time.perf_counter()

    def __call__(self, event: HookEvent) -> None:
        """Count what happened; rich reads the counts from its own thread."""
        match event:
            case RecordStarted():
                self._in_flight += 1
            case RecordEnded(outcome=outcome):
                self._outcomes[type(outcome)] += 1
                self._in_flight -= started_of(outcome) is not None
            case BatchStarted(size=size):
                self._size += size
                self._in_flight = 0
            case _:
                pass

    @contextlib.contextmanager
    def live(self) -> Generator[None]:
        """Draw while the block runs, on a terminal; elsewhere do nothing."""
        if not self._console.is_terminal:
            yield
            return
        with Live(
            console=self._console,
            get_renderable=self._render,
            refresh_per_second=REFRESHES_PER_SECOND,
            transient=True,
        ):
            yield

    def _render(self) -> RenderableType:
        ended = self._outcomes.total()
        failed = self._outcomes[Failed]
        row = Table.grid(padding=(0, 2), expand=True)
        row.add_column(no_wrap=True)
        row.add_column(ratio=1)
        for _ in range(4):
            row.add_column(no_wrap=True, justify="right")
        row.add_row(
            Text(self._label, style="bold"),
            ProgressBar(total=max(self._size, 1), completed=ended),
            Text(f"{self._outcomes[Succeeded]:,} done", style="green"),
            Text(f"{failed:,} failed", style="red" if failed else "dim"),
            Text(f"{self._in_flight:,} in flight", style="cyan"),
            Text(f"{time.perf_counter() - self._started:.1f} s", style="dim"),
        )
        return row


class Summary:
    """Gathers the invocations of a command and shows what became of their records.

    Args:
        console: Where to write.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._counts = Counter[tuple[str, str]]()
        self._failures: list[tuple[int, Failed]] = []
        self._invocations = 0

    def add(self, invocation: Invocation) -> None:
        """Take note of one invocation, and write its line."""
        self._invocations += 1
        if invocation.report is not None:
            for outcome in invocation.report.outcomes:
                self._counts[name_of(outcome), reason_of(outcome) or ""] += 1
                if isinstance(outcome, Failed) and len(self._failures) < SHOWN_FAILURES:
                    self._failures.append((self._invocations, outcome))
        self._console.print(self._line(invocation), soft_wrap=True)
        for notice in invocation.notices:
            self._console.print(Text(f"     {notice}", style="yellow"), soft_wrap=True)

    def show(self) -> None:
        """Write the table of outcomes and the first failures."""
        if self._counts:
            self._console.print(self._outcome_table())
        if self._failures:
            self._console.print(*self._failure_lines(), sep="\n", soft_wrap=True)

    def _line(self, invocation: Invocation) -> Text:
        line = Text(f"{self._invocations:>3}  ", style="dim")
        line.append(invocation.origin, style="bold")
        for part in _facts(invocation):
            line.append("  ·  ", style="dim")
            line.append(part)
        return line

    def _outcome_table(self) -> Table:
        table = Table(box=None, padding=(0, 2), header_style="dim")
        table.add_column("outcome")
        table.add_column("reason")
        table.add_column("records", justify="right")
        for (name, reason), count in sorted(self._counts.items(), key=_worst_last):
            table.add_row(name, reason, f"{count:,}", style=STYLES[name])
        return table

    def _failure_lines(self) -> Iterator[Text]:
        """Yield a line per failure, and beneath it what was raised and where."""
        total = sum(count for (name, _), count in self._counts.items() if name == "failed")
        yield Text(f"\n  failures ({len(self._failures)} of {total:,})", style="red")
        for number, failed in self._failures:
            call = f"call {number}, " if self._invocations > 1 else ""
            yield Text(f"  {call}position {failed.position}, {show_id(failed.id)}")
            where = failed.trace.rpartition(" > ")[2] if failed.reason is RAISED else ""
            yield Text(f"    {failed.message}" + (f"  ({where})" if where else ""), style="dim")


def name_of(outcome: Outcome) -> str:
    """Return `succeeded`, `failed` or `skipped`."""
    return type(outcome).__name__.lower()


def reason_of(outcome: Outcome) -> str | None:
    """Return why the record did not succeed; None if it did."""
    return None if isinstance(outcome, Succeeded) else outcome.reason.value


def started_of(outcome: Outcome) -> float | None:
    """Return when the record's handler was started; None if it never was."""
    return None if isinstance(outcome, Skipped) else outcome.started


def show_id(identifier: ItemIdentifier) -> str:
    """Return an item identifier for people; Kafka's is an object."""
    if isinstance(identifier, dict):
        return f"{identifier['partition']}@{identifier['offset']}"
    return str(identifier)


def counted(number: int, name: str) -> str:
    """Return `1 record`, `2,000 records`."""
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _worst_last(row: tuple[tuple[str, str], int]) -> tuple[int, str]:
    (name, reason), _ = row
    return list(STYLES).index(name), reason


def _facts(invocation: Invocation) -> Iterator[str]:
    """Yield the parts of an invocation's line."""
    report = invocation.report
    if report is not None:
        if report.source is not None:
            yield report.source.value
        yield counted(report.counts.total, "record")
        keys = len({outcome.record.key for outcome in report.outcomes} - {None})
        if report.source in KEYS and keys:
            yield counted(keys, KEYS[report.source])
    if invocation.failure is None:
        yield _reply(invocation)
    yield f"{invocation.duration:.3f} s"
    yield f"{max(invocation.remaining, 0):.1f} s left"
    if report is not None and report.still_running:
        yield f"still running: {', '.join(map(show_id, report.still_running[:SHOWN_FAILURES]))}"


def _reply(invocation: Invocation) -> str:
    if invocation.report is not None and invocation.report.checkpoint is not None:
        return f"checkpoint {invocation.report.checkpoint}"
    if invocation.response is None:
        return "replied nothing, which AWS takes as success"
    return f"reply names {len(invocation.named):,}"
