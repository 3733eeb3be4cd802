"""Figures as tables on a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, rows, subjects, with_target
from benchmarks.results import Result
from benchmarks.sections import SECTIONS


def show(result: Result, console: Console) -> None:
    """Print a table per section of the first interpreter, then every target on every interpreter."""
    first, *_others = result.runs
    for section, figures in first.figures.items():
        console.print(_section(f"{section}: {SECTIONS[section].title}", figures))
    console.print(_targets(result))


def cell(figure: Figure | None) -> str:
    """Return the median and the larger half of the interval around it, in the same unit."""
    if figure is None:
        return ""
    digits, unit = (2, "") if figure.unit == "x" else (1, f" {figure.unit}")
    if figure.interval in {None, (1.0, 1.0)}:
        return f"{figure.value:.{digits}f}{unit}"
    return f"{figure.value:.{digits}f} ±{figure.half_interval:.{digits}f}{unit}"


def verdict(figure: Figure) -> str:
    """Say whether the target is reached; with a question mark where the interval holds the target."""
    if figure.is_met is None:
        return ""
    return ("pass" if figure.is_met else "miss") + ("" if figure.is_clear else "?")


def target(figure: Figure | None) -> str:
    """Return the median, what it may be at most, and the verdict."""
    return "" if figure is None else f"{cell(figure)} ≤ {figure.target:.4g} {verdict(figure)}"


def _section(title: str, figures: Sequence[Figure]) -> Table:
    columns = subjects(figures)
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("case", no_wrap=True)
    for name in (*columns, "target", ""):
        table.add_column(name, justify="right")
    for case, row in rows(figures).items():
        aimed = with_target(row.values())
        targets = dict.fromkeys(f"≤ {figure.target:.4g}" for figure in aimed)
        verdicts = " ".join(_coloured(figure, verdict(figure)) for figure in aimed)
        table.add_row(case, *[cell(row.get(name)) for name in columns], " ".join(targets), verdicts)
    return table


def _targets(result: Result) -> Table:
    """Make the table of all targets: a row for each, a column for each interpreter."""
    table = Table(title="Targets", title_justify="left", header_style="bold")
    table.add_column("")
    for run in result.runs:
        table.add_column(run.python, justify="right")
    for key, row in result.targets().items():
        cells = [_coloured(row.get(run.python), target(row.get(run.python))) for run in result.runs]
        table.add_row(": ".join(key), *cells)
    return table


def _coloured(figure: Figure | None, text: str) -> str:
    colour = "red" if figure is not None and figure.is_met is False else "green"
    return f"[{colour}]{text}[/]"
