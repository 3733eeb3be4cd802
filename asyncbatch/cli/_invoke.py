"""`asyncbatch invoke`: call a handler as Lambda would."""

import json
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console

from asyncbatch import BatchReport, Failed, Skipped, shutdown
from asyncbatch.cli._display import Progress, Summary, name_of, reason_of, started_of
from asyncbatch.cli._events import NamedEvent, read_events
from asyncbatch.cli._exits import Exit
from asyncbatch.cli._invocation import Caller, Failure, Invocation
from asyncbatch.cli._sample import SOURCES, make_sample, sample_options
from asyncbatch.cli._target import load_target


@click.command(short_help="Call a handler as Lambda would.")
@click.argument("target")
@click.option(
    "--event",
    "files",
    multiple=True,
    metavar="FILE",
    help="Event file, JSON or JSON Lines; - is standard input. Give it again for more.",
)
@click.option("--sample", "source", type=SOURCES, help="Make the event instead of reading it.")
@sample_options
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds that an invocation may take, as the function's setting.",
)
@click.option("--json", "as_json", is_flag=True, help="Write outcomes as JSON too, and no table.")
@click.option("--quiet", is_flag=True, help="Write nothing but the response, and errors.")
@click.pass_context
def invoke(  # one parameter per option, as click wants it
    ctx: click.Context,
    *,
    target: str,
    files: tuple[str, ...],
    source: str | None,
    size: int | None,
    keys: int | None,
    seed: int | None,
    timeout: float,
    as_json: bool,
    quiet: bool,
) -> None:
    """Call the handler TARGET as AWS Lambda would, and show what became of each record.

    TARGET is module:function or path/file.py:function. Without a function it is lambda_handler.

    \b
    asyncbatch invoke app:lambda_handler --event event.json
    asyncbatch invoke app.py:lambda_handler --sample sqs -n 1000
    asyncbatch invoke app.py --event first.json --event more.jsonl

    Several events are several invocations of one process, as in a warm environment: the event
    loop and what a lifespan opened are kept. Standard output has the responses alone, one in a
    line; progress and tables go to standard error.

    \b
    Exit codes:
      0  all records succeeded
      1  some records did not succeed; the reply names them
      2  the command was wrong: no such handler, a bad event file, a bad option
      3  an invocation failed: the handler raised, replied what is not JSON, or was late
      130  Ctrl-C
    """  # noqa: D301 - click's mark for "do not rewrap"
    events = _events(ctx, files, source, (size, keys, seed))
    handler = load_target(target)
    console = Console(stderr=True, quiet=quiet or as_json, highlight=False)
    progress = Progress(console, target)
    summary = Summary(console)
    caller = Caller(handler, timeout=timeout, hook=progress)
    worst = Exit.ALL_SUCCEEDED
    try:
        for origin, event in events:
            with progress.live():
                invocation = caller.call(origin, event)
            worst = max(worst, invocation.exit)
            summary.add(invocation)
            _write(invocation, as_json=as_json)
    except KeyboardInterrupt:
        worst = Exit.INTERRUPTED
    finally:
        shutdown()
    summary.show()
    ctx.exit(worst)


def _events(
    ctx: click.Context,
    files: tuple[str, ...],
    source: str | None,
    shape: tuple[int | None, int | None, int | None],
) -> list[NamedEvent]:
    if bool(files) == (source is not None):
        raise click.UsageError(
            "Say which event, one way: --event FILE, or --sample SOURCE to have one made.", ctx
        )
    if source is not None:
        return [NamedEvent("sample", make_sample(source, *shape))]
    if any(value is not None for value in shape):
        raise click.UsageError("-n, --keys and --seed shape a --sample; --event is as it is.", ctx)
    return [event for file in files for event in read_events(file)]


def _write(invocation: Invocation, *, as_json: bool) -> None:
    """Write the response on standard output; an error on standard error."""
    if as_json:
        click.echo(json.dumps(_as_json(invocation)))
    elif invocation.reply is not None:
        click.echo(invocation.reply)
    if invocation.failure is not None:
        click.echo(_error_text(invocation.origin, invocation.failure), err=True)


def _error_text(origin: str, failure: Failure) -> str:
    return f"Invocation failed ({origin})\n{failure.stack}{failure.type}: {failure.message}"


def _as_json(invocation: Invocation) -> dict[str, Any]:
    report, failure = invocation.report, invocation.failure
    return {
        "response": None if invocation.reply is None else json.loads(invocation.reply),
        "error": None if failure is None else {"errorType": failure.type, "errorMessage": failure.message},
        "counts": None if report is None else _counts(report),
        "outcomes": None if report is None else list(_outcomes(report)),
    }


def _counts(report: BatchReport) -> dict[str, int]:
    counts = report.counts
    return {
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "skipped": counts.skipped,
    }


def _outcomes(report: BatchReport) -> Iterator[dict[str, Any]]:
    """Yield one object per record; times are seconds since the first record started."""
    starts = [started_of(outcome) for outcome in report.outcomes]
    zero = min((start for start in starts if start is not None), default=0.0)
    for outcome, start in zip(report.outcomes, starts, strict=True):
        yield {
            "position": outcome.position,
            "id": outcome.id,
            "outcome": name_of(outcome),
            "reason": reason_of(outcome),
            "started": _since(zero, start),
            "ended": _since(zero, None if isinstance(outcome, Skipped) else outcome.ended),
            "message": outcome.message if isinstance(outcome, Failed) else None,
        }


def _since(zero: float, moment: float | None) -> float | None:
    return None if moment is None else round(moment - zero, 6)
