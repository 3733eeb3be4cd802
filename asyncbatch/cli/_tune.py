"""`asyncbatch tune`: find the limit for a handler by running it."""

from typing import cast

import click

from asyncbatch.cli._exits import InputError
from asyncbatch.cli._sample import SOURCES

_LIBRARIES = {"jinja2", "markdown_it", "numpy", "plotly", "scipy"}


class _Limits(click.ParamType[tuple[int, ...]]):
    """Whole numbers with commas between them."""

    name = "limits"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        if isinstance(value, tuple):  # click converts a default that is converted already
            return cast("tuple[int, ...]", value)
        parts = str(value).split(",")
        if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
            self.fail(f"{value!r} is no list of whole numbers from 1 on, as 1,2,5,10 is.", param, ctx)
        return tuple(int(part) for part in parts)


@click.command(short_help="Find the limit for a handler by running it.")
@click.argument("target", required=False)
@click.option(
    "--event", "file", metavar="FILE", help="Event to take records from, JSON; - is standard input."
)
@click.option("--sample", "source", type=SOURCES, help="Make the event instead of reading it.")
@click.option(
    "--latencies",
    metavar="FILE",
    help="Simulate a handler that takes as long as these seconds: one a line, or JSON, a list or lists by how "
    'many were in flight ({"1": [0.1, 0.12], "8": [0.3]}).',
)
@click.option("--virtual-time", is_flag=True, help="Run on a virtual clock, for handlers that only simulate.")
@click.option("--limits", type=_Limits(), metavar="1,2,5", help="Limits to run.  [default: looks for them]")
@click.option(
    "--records", type=click.IntRange(min=2), help="Records of a run.  [default: grows with the limit]"
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Runs of each limit."
)
@click.option(
    "--warm-up", type=click.IntRange(min=0), default=1, show_default=True, help="Rounds that do not count."
)
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds for one record.")
@click.option(
    "--time-budget",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds after which no further round begins.  [default: 120; none in virtual time]",
)
@click.option("--batch-size", type=click.IntRange(min=1), help="Batch size that is set, to be kept.")
@click.option("--keys", type=click.IntRange(min=1), help="Lanes of a --sample.  [default: 100]")
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed, the same sample.")
@click.option("--json", "json_file", metavar="FILE", help="Write all figures as JSON; - is standard output.")
@click.option("--html", "html_file", metavar="FILE", help="Write a report with charts, which opens offline.")
@click.option("--open", "open_report", is_flag=True, help="Open the report in the browser.")
@click.pass_context
def tune(  # one parameter per option, as click wants it
    ctx: click.Context,
    *,
    target: str | None,
    file: str | None,
    source: str | None,
    latencies: str | None,
    virtual_time: bool,
    limits: tuple[int, ...] | None,
    records: int | None,
    rounds: int,
    warm_up: int,
    timeout: float | None,
    time_budget: float | None,
    batch_size: int | None,
    keys: int | None,
    seed: int,
    json_file: str | None,
    html_file: str | None,
    open_report: bool,
) -> None:
    """Find how many records the handler TARGET should have in flight.

    It CALLS THE HANDLER FOR REAL, thousands of times, with the records of the event under new
    identifiers: use a test environment. What the handler prints is not shown.

    TARGET is module:function or path/file.py:function, a function under @batch_handler.

    \b
    asyncbatch tune app:lambda_handler --event event.json --html report.html
    asyncbatch tune app.py --sample sqs-fifo --keys 20 --limits 1,2,5,10
    asyncbatch tune examples/tuning.py --sample sqs --virtual-time
    asyncbatch tune --latencies seconds.txt --sample sqs --batch-size 100

    Limits are doubled from 1 on until throughput stops growing, then more are run around the
    knee, in rounds that each run every limit. Recommended is the knee, not the limit with the
    most throughput: beyond it records only wait for one another. Records that are dropped or
    time out (what the handler's own limit takes for that, else timeouts and throttling) bound it.

    \b
    Exit codes:
      0  a limit is recommended
      1  nothing can be recommended; the message says why
      2  the command was wrong: no such handler, a bad event file, a bad option
      130  Ctrl-C
    """  # noqa: D301 - click's mark for "do not rewrap"
    _check(ctx, target, file, source, latencies)
    if file is not None and keys is not None:
        raise click.UsageError("--keys shapes a --sample; --event is as it is.", ctx)
    if open_report and html_file is None:
        raise click.UsageError("--open opens the report: say where to write it, --html FILE.", ctx)
    try:
        from asyncbatch.cli import _tuner  # noqa: PLC0415 - scipy and plotly are an extra, and take a second
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name not in _LIBRARIES:
            raise
        raise InputError(
            f'asyncbatch tune needs {name}, which is not installed: pip install "asyncbatch[tune]"'
        ) from missing
    subject = _tuner.find_subject(target, file, source, latencies, keys=keys, seed=seed)
    virtual = virtual_time or latencies is not None
    if time_budget is None and not virtual:
        time_budget = 120.0
    plan = _tuner.make_plan(
        limits=limits,
        records=records,
        rounds=rounds,
        warm_up=warm_up,
        record_timeout=timeout,
        time_budget=time_budget,
        batch_size=batch_size,
        seed=seed,
    )
    outputs = _tuner.Outputs(json_file=json_file, html_file=html_file, open_report=open_report)
    ctx.exit(_tuner.run(subject, plan, outputs, virtual_time=virtual))


def _check(
    ctx: click.Context, target: str | None, file: str | None, source: str | None, latencies: str | None
) -> None:
    if (target is None) == (latencies is None):
        raise click.UsageError("Say what to tune, one way: a TARGET, or --latencies FILE.", ctx)
    if latencies is None and (file is None) == (source is None):
        raise click.UsageError(
            "Say which event, one way: --event FILE, or --sample SOURCE to have one made.", ctx
        )
    if file is not None and source is not None:
        raise click.UsageError("--event and --sample are two ways to one event: use one of them.", ctx)
