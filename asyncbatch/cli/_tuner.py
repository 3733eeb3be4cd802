"""What `asyncbatch tune` does: find what to tune, run the study with a progress bar, show and write it."""

import contextlib
import importlib.metadata
import io
import json
import logging
import os
import platform
import shlex
import sys
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from asyncbatch import AsyncBatchError, BatchHandler, EventSource, InvalidEventError, shutdown
from asyncbatch.cli._events import STDIN, read_events
from asyncbatch.cli._exits import Exit, InputError
from asyncbatch.cli._sample import make_sample
from asyncbatch.cli._target import is_batch_handler, load_target
from asyncbatch.tuning import (
    LatenciesError,
    NothingToTuneError,
    OnProgress,
    Plan,
    Study,
    as_json,
    line_to_paste,
    read_latencies,
    simulated_handler,
    study_page,
    summary,
    tune,
    write,
)
from asyncbatch.tuning import Progress as Step
from asyncbatch.tuning._tables import Rows, comparison_rows, limit_rows, settings_rows

_MORE = "Confidence is low: a longer --time-budget, more --rounds or more --records make it surer."
SAMPLE_RECORDS = 1_000
SAMPLE_KEYS = 100
UNBOUNDED = 140
ROOM_FOR_ALL = 110
LEFT_OUT_WHERE_NARROW = ("rounds", "in flight", "memory", "limit at the end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What is tuned.

    Attributes:
        name: Its name, for people.
        handler: The handler.
        event: An event for it.
        is_real: Whether the handler is somebody's, and not made of latencies.
    """

    name: str
    handler: BatchHandler[Any]
    event: object
    is_real: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """Where results are written.

    Attributes:
        json_file: All figures as JSON; `-` is standard output.
        html_file: The report.
        open_report: Whether to show the report.
    """

    json_file: str | None
    html_file: str | None
    open_report: bool


def find_subject(
    target: str | None,
    file: str | None,
    source: str | None,
    latencies: str | None,
    *,
    keys: int | None,
    seed: int,
) -> Subject:
    """Find the handler and the event.

    Raises:
        InputError: one of them cannot be used.
    """
    if file is not None:
        event = read_events(file)[0].event
    else:
        source = source or EventSource.SQS.value
        event = make_sample(source, SAMPLE_RECORDS, keys or SAMPLE_KEYS, seed)
    if latencies is not None:
        name = "standard input" if latencies == STDIN else latencies
        try:
            text = sys.stdin.read() if latencies == STDIN else Path(latencies).read_text("utf-8")
            measured = read_latencies(text)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{name} cannot be read: {error}.") from error
        except LatenciesError as error:
            raise InputError(f"{name}: {error}") from error
        handler = simulated_handler(measured, None if source is None else EventSource(source), seed=seed)
        return Subject(name=f"latencies of {name}", handler=handler, event=event, is_real=False)
    assert target is not None, "the command has checked it"  # noqa: S101 - narrows a type
    found = load_target(target)
    if not is_batch_handler(found):
        raise InputError(
            f"{target} is no handler of asyncbatch's, and has no limit: put @batch_handler on a function of one "
            "record."
        )
    return Subject(name=target, handler=found, event=event, is_real=True)


def make_plan(**options: Any) -> Plan:
    """The plan of these options.

    Raises:
        InputError: one is out of its range.
    """
    try:
        return Plan(**options)
    except AsyncBatchError as error:
        raise InputError(str(error)) from error


def run(subject: Subject, plan: Plan, outputs: Outputs, *, virtual_time: bool) -> Exit:
    """Run the study, show it, and write what was asked for.

    Returns:
        The command's exit code.

    Raises:
        InputError: the event or the plan cannot be used, or a file cannot be written.
    """
    errors = Console(stderr=True, highlight=False)
    # What is written to a file, or read by a program, has no width; COLUMNS says one.
    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else UNBOUNDED
    console = errors if outputs.json_file == STDIN else Console(highlight=False, width=width)
    if subject.is_real and not virtual_time:
        errors.print(
            f"Calling {subject.name} for real, thousands of times. Ctrl-C ends it.",
            style="yellow",
            soft_wrap=True,
        )
    began = time.perf_counter()
    try:
        with _progress(errors, subject.name) as tell, _quiet():
            study = tune(subject.handler, subject.event, plan, virtual_time=virtual_time, on_progress=tell)
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except NothingToTuneError as nothing:
        errors.print(str(nothing), soft_wrap=True)
        return Exit.SOME_DID_NOT
    except InvalidEventError as error:
        raise InputError(str(error)) from error
    finally:
        shutdown()
    details = _details(time.perf_counter() - began)
    _show(console, study)
    _write(console, study, subject.name, outputs, details)
    return Exit.ALL_SUCCEEDED


@contextlib.contextmanager
def _progress(console: Console, name: str) -> Generator[OnProgress]:
    columns = (
        TextColumn(name, style="bold"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)

        def tell(step: Step) -> None:
            bar.update(task, description=step.stage, completed=step.done, total=step.total)

        yield tell


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Let a handler that prints, and the engine's warnings of failures, not flood the terminal."""
    logger = logging.getLogger("asyncbatch")
    before, logger.disabled = logger.disabled, True
    try:
        with contextlib.redirect_stdout(io.StringIO()) as _:
            yield
    finally:
        logger.disabled = before


def _show(console: Console, study: Study) -> None:
    console.print(_table(limit_rows(study), console.width))
    console.print()
    console.print(Text(summary(study), style="bold"), soft_wrap=True)
    console.print(Text(f"\n    {line_to_paste(study)}\n", style="green"))
    if study.recommendation.confidence == "low":
        console.print(f"  {_MORE}", style="yellow", soft_wrap=True)
    for sentence in study.recommendation.why:
        console.print(f"  {sentence}", soft_wrap=True)
    console.print()
    console.print(
        _table(Rows(("set", "to", "because"), settings_rows(study), -1), console.width, text_columns=3)
    )
    for note in study.sizing.notes:
        console.print(f"  {note}", soft_wrap=True)
    console.print()
    console.print(_table(comparison_rows(study), console.width, text_columns=1))


def _table(rows: Rows, width: int, text_columns: int = 0) -> Table:
    """Draw rows; where there is little room, the columns that can best be missed are left out."""
    table = Table(box=None, padding=(0, 1), header_style="dim")
    shown = [
        number
        for number, name in enumerate(rows.head)
        if width >= ROOM_FOR_ALL or name not in LEFT_OUT_WHERE_NARROW
    ]
    for number in shown:
        is_text = 0 < number < text_columns
        longest = max((len(row[number]) for row in rows.rows), default=0)  # only heads are broken
        table.add_column(
            rows.head[number],
            justify="left" if number < text_columns else "right",
            min_width=None if is_text else longest,
        )
    for number, row in enumerate(rows.rows):
        table.add_row(*[row[each] for each in shown], style="bold green" if number == rows.marked else "")
    return table


def _write(console: Console, study: Study, name: str, outputs: Outputs, details: dict[str, str]) -> None:
    try:
        if outputs.json_file is not None:
            text = json.dumps({**as_json(study), "target": name, "details": details}, indent=2)
            if outputs.json_file == STDIN:
                click.echo(text)
            else:
                Path(outputs.json_file).write_text(text + "\n", "utf-8")
        if outputs.html_file is not None:
            report = Path(outputs.html_file)
            write(study_page(study, name, details), report)
            console.print(f"\nReport: {report}", soft_wrap=True)
            if outputs.open_report:
                click.launch(str(report))
    except OSError as error:
        raise InputError(f"{error.filename} cannot be written: {error.strerror}.") from error


def _details(duration: float) -> dict[str, str]:
    versions: Sequence[str] = ("asyncbatch", "scipy", "plotly")
    return {
        "command": shlex.join(["asyncbatch", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "took": f"{duration:.0f} s",
        "machine": f"{platform.platform()}, {os.cpu_count()} processors",
        "versions": ", ".join(
            [f"Python {platform.python_version()}"]
            + [f"{name} {importlib.metadata.version(name)}" for name in versions]
        ),
    }
