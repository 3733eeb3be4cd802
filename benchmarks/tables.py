"""Figures as tables on a terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.results import Result, Run
from benchmarks.sections import SECTIONS


def show(result: Result, console: Console) -> None:
    """Print a table per section of the first interpreter, then every target on every interpreter."""
    first, *_others = result.runs
    for section, figures in first.figures.items():
        console.print(_section(f"{section}: {SECTIONS[section].title}", figures))
    console.print(_targets(result.runs))


def cell(figure: Figure | None) -> str:
    """Return the median and half the interval around it, in per cent of it."""
    if figure is None:
        return ""
    value = f"{figure.value:.2f}" if figure.unit == "x" else f"{figure.value:.1f} {figure.unit}"
    if figure.interval is None or not figure.value or figure.interval == (1.0, 1.0):
        return value
    half = max(abs(end - figure.value) for end in figure.interval) / abs(figure.value)
    return f"{value} ±{half:.0%}"


def verdict(figure: Figure) -> str:
    """Say whether the target is reached; with a question mark where the interval holds the target."""
    if figure.is_met is None:
        return ""
    return ("pass" if figure.is_met else "miss") + ("" if figure.is_clear else "?")


def _section(title: str, figures: Sequence[Figure]) -> Table:
    subjects = list(dict.fromkeys(figure.subject for figure in figures))
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("case")
    for subject in (*subjects, "target", ""):
        table.add_column(subject, justify="right")
    for case in dict.fromkeys(figure.case for figure in figures):
        row = {figure.subject: figure for figure in figures if figure.case == case}
        aimed = [figure for figure in row.values() if figure.target is not None]
        targets = dict.fromkeys(f"≤ {figure.target:.4g}" for figure in aimed)
        verdicts = " ".join(_coloured(figure) for figure in aimed)
        table.add_row(case, *[cell(row.get(subject)) for subject in subjects], " ".join(targets), verdicts)
    return table


def _targets(runs: Sequence[Run]) -> Table:
    """Make the table of all targets: a row for each, a column for each interpreter."""
    table = Table(title="Targets", title_justify="left", header_style="bold")
    table.add_column("")
    for run in runs:
        table.add_column(run.python, justify="right")
    rows: dict[str, dict[str, Figure]] = {}
    for run in runs:
        for section, figures in run.figures.items():
            for figure in figures:
                if figure.target is not None:
                    label = f"{section}: {figure.case}: {figure.subject}"
                    rows.setdefault(label, {})[run.python] = figure
    for label, figures_of in rows.items():
        table.add_row(label, *[_aimed(figures_of.get(run.python)) for run in runs])
    return table


def _aimed(figure: Figure | None) -> str:
    return "" if figure is None else f"{cell(figure)} ≤ {figure.target:.4g} {_coloured(figure)}"


def _coloured(figure: Figure) -> str:
    colour = "red" if figure.is_met is False else "green"
    return f"[{colour}]{verdict(figure)}[/]"
