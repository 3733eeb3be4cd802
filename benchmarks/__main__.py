"""The benchmarks' one entry: ``python -m benchmarks --help``."""

import shlex
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import comparison
from benchmarks.effort import EFFORTS
from benchmarks.figures import with_target
from benchmarks.machine import machine
from benchmarks.readme import MAIN_README, README, ReadmeError, figures_block, replace_figures, sentence
from benchmarks.report import write_report
from benchmarks.results import Result, ResultError, read, write
from benchmarks.running import Plan, RunError, measure, plan
from benchmarks.sections import SECTIONS
from benchmarks.tables import show

RESULTS = Path("benchmarks/results")
WIDE = 170
FILE = click.Path(path_type=Path, dir_okay=False)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Measure what asyncbatch costs beside other ways to process a batch, and compare results."""


@contextmanager
def _clear_errors() -> Generator[None]:
    try:
        yield
    except (RunError, ResultError, ReadmeError) as error:
        raise click.ClickException(str(error)) from error


@main.command()
@click.option(
    "--effort",
    type=click.Choice(list(EFFORTS)),
    default="standard",
    show_default=True,
    help="How much: full takes half an hour, standard five minutes, quick one; smoke only shows that all works.",
)
@click.option(
    "--only",
    "-s",
    multiple=True,
    type=click.Choice(list(SECTIONS)),
    metavar="SECTION",
    help=f"Measure this section only; repeat it for more. Sections: {', '.join(SECTIONS)}.",
)
@click.option(
    "--also",
    multiple=True,
    metavar="PYTHON",
    help="Another interpreter that has what this one has; it measures less. Repeat it for more.",
)
@click.option("--json", "json_file", type=FILE, default=RESULTS / "result.json", show_default=True)
@click.option("--html", "html_file", type=FILE, default=RESULTS / "report.html", show_default=True)
@click.option("--check", is_flag=True, help="Exit with 1 when a target is missed.")
def run(
    *, effort: str, only: Sequence[str], also: Sequence[str], json_file: Path, html_file: Path, check: bool
) -> None:
    """Measure, print tables, write a result (JSON) and a report (HTML)."""
    with _clear_errors():
        result = _measured(plan(effort, only, also), effort, only)
    write(result, json_file)
    write_report(result, html_file)
    console = _console()
    show(result, console)
    figures = with_target(figure for _, figure in result.figures())
    missed = sum(not figure.is_met for figure in figures)
    console.print(
        f"{len(figures) - missed} of {len(figures)} targets reached; result {json_file}, report {html_file}"
    )
    if check and missed:
        sys.exit(1)


def _measured(plans: Sequence[Plan], effort: str, only: Sequence[str]) -> Result:
    created = datetime.now(UTC).isoformat(timespec="seconds")
    before = machine()
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        total = sum(each.cases() for each in plans)
        task = progress.add_task("", total=total)
        begun = -1

        def on_case(python: str, section: str, case: str) -> None:
            nonlocal begun
            begun += 1
            progress.update(task, completed=min(begun, total), description=f"{python} {section}: {case}")

        runs = [measure(each, partial(on_case, each.version)) for each in plans]
    chosen = [part for name in only for part in ("--only", name)]
    chosen += [part for each in plans[1:] for part in ("--also", each.python)]
    return Result(
        created=created,
        command=shlex.join(["python", "-m", "benchmarks", "run", "--effort", effort, *chosen]),
        machine=before,
        runs=runs,
    )


@main.command()
@click.argument("old", type=FILE)
@click.argument("new", type=FILE)
@click.option("--real", is_flag=True, help="Show only changes that are more than chance.")
@click.option(
    "--smallest",
    type=click.FloatRange(0),
    default=comparison.SMALLEST,
    show_default=True,
    help="The smallest relative change that is called real.",
)
@click.option("--check", is_flag=True, help="Exit with 1 when a real change is for the worse.")
def compare(*, old: Path, new: Path, real: bool, smallest: float, check: bool) -> None:
    """Show what changed from the result OLD to the result NEW, and which changes are real.

    More is worse for every figure. Of all changes that are called real, one in twenty is expected to be chance.
    """
    with _clear_errors():
        before, after = read(old), read(new)
    changes = comparison.compare(before, after, smallest)
    console = _console()
    for difference in comparison.differences(before, after):
        console.print(f"[yellow]also changed:[/] {difference}")
    for table in comparison.tables([each for each in changes if each.is_real or not real]):
        console.print(table)
    console.print(comparison.summary(changes))
    if check and any(each.is_real and (each.relative or 0) > 0 for each in changes):
        sys.exit(1)


@main.command()
@click.argument("result", type=FILE)
@click.option("--html", "html_file", type=FILE, help="Write the report of the result anew.")
@click.option("--readme", is_flag=True, help="Write the figures into README.md and benchmarks/README.md.")
def figures(*, result: Path, html_file: Path | None, readme: bool) -> None:
    """Show the figures of a RESULT; write its report, or the READMEs' figures, from it."""
    with _clear_errors():
        found = read(result)
        if readme:
            replace_figures(MAIN_README, sentence(found))
            replace_figures(README, figures_block(found))
    if html_file is not None:
        write_report(found, html_file)
    if not readme and html_file is None:
        show(found, _console())


def _console() -> Console:
    """Return a console that is wide enough for the tables where nothing tells its width."""
    return Console(width=None if sys.stdout.isatty() else WIDE, highlight=False)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
