"""The figures of the two READMEs, written from a result between markers, so that they cannot drift."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.engines import ASYNCBATCH_DEFAULT, POWERTOOLS
from benchmarks.figures import Figure, rows, subjects
from benchmarks.handlers import NEVER_WAITS, READS_AND_WAITS, WAITS_ONCE
from benchmarks.report import find
from benchmarks.results import Result, Run
from benchmarks.running import ROOT
from benchmarks.tables import cell, target

BEGIN, END = "<!-- figures: written by `python -m benchmarks figures` -->", "<!-- end of figures -->"
MAIN_README, README = ROOT / "README.md", ROOT / "benchmarks" / "README.md"
MEMORY = f"{READS_AND_WAITS}, 10,000 records"


class ReadmeError(Exception):
    """Raised when figures have no place, or a figure is missing."""


def figures_block(result: Result) -> str:
    """Return the figures for the benchmarks' README, as Markdown."""
    return "\n".join(_lines(result))


def _lines(result: Result) -> Iterator[str]:
    first = result.runs[0]
    machine = result.machine
    yield f"`{result.command}`, {result.created[:10]}, on {machine['processor']}, {machine['cores']} cores,"
    yield f"{machine['platform']}; {', '.join(f'{name} {version}' for name, version in first.versions.items())}."
    yield ""
    yield f"Targets: {_reached(result)}. A question mark: the interval holds the target."
    yield ""
    yield from _targets(result)
    yield ""
    yield f"The whole call on {first.python}, every engine, ratio to Powertools:"
    yield ""
    yield from _calls(first)


def _reached(result: Result) -> str:
    parts: list[str] = []
    for run in result.runs:
        figures = [row[run.python] for row in result.targets().values() if run.python in row]
        parts.append(f"{sum(figure.is_met is True for figure in figures)} of {len(figures)} on {run.python}")
    return ", ".join(parts)


def _targets(result: Result) -> Iterator[str]:
    versions = [run.python for run in result.runs]
    yield f"| section | case | of | {' | '.join(versions)} |"
    yield "|---|---|---|" + "--:|" * len(versions)
    for key, row in result.targets().items():
        yield f"| {' | '.join(key)} | {' | '.join(target(row.get(version)) for version in versions)} |"


def _calls(run: Run) -> Iterator[str]:
    figures = run.figures.get("calls", [])
    columns = subjects(figures)
    yield f"| case | {' | '.join(columns)} |"
    yield "|---|" + "--:|" * len(columns)
    for case, row in rows(figures).items():
        yield f"| {case} | {' | '.join(cell(row.get(name)) for name in columns)} |"


def sentence(result: Result) -> str:
    """Return the sentence of the main README.

    Raises:
        ReadmeError: A figure that it names was not measured.
    """
    run = result.runs[0]
    small, large, small_waits, large_waits = (
        _value(run, "calls", f"{handler}, {size} records", "asyncbatch")
        for handler in (NEVER_WAITS, WAITS_ONCE)
        for size in ("10", "1,000")
    )
    memory, peer = (
        f"{_figure(run, 'memory', MEMORY, name).value:.1f}" for name in (ASYNCBATCH_DEFAULT, POWERTOOLS)
    )
    lines = (
        "The whole call beside Powertools for AWS Lambda's async batch processor, at equal concurrency in one run",
        f"on {run.python} (below 1 is faster): {small} at 10 records, {large} at 1,000 for handlers that never",
        f"wait; {small_waits} and {large_waits} for ones that wait once; {memory} MiB beside {peer} at 10,000.",
        "`make bench` measures it on your machine, and [more](benchmarks/README.md).",
    )
    return "\n".join(lines)


def _value(run: Run, section: str, case: str, subject: str) -> str:
    return f"{_figure(run, section, case, subject).value:.2f}"


def _figure(run: Run, section: str, case: str, subject: str) -> Figure:
    figure = find(run, section, case, subject)
    if figure is None:
        raise ReadmeError(
            f"the result has no figure of {subject} in “{section}: {case}”: measure with standard effort"
        )
    return figure


def replace_figures(path: Path, block: str) -> None:
    """Write a block between the markers of a file.

    Raises:
        ReadmeError: The file has not one pair of markers.
    """
    text = path.read_text()
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ReadmeError(f"{path} needs one line “{BEGIN}” and one “{END}”, around its figures")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n{block}\n{END}{after}")
