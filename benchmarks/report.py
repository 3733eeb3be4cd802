"""A result as a page to read: charts with intervals and targets, tables, and text that says what is seen."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from asyncbatch.tuning._page import Cell, Chart, KeyFigure, Page, Section, Table, write
from benchmarks import charts
from benchmarks.figures import Figure
from benchmarks.handlers import NEVER_WAITS, WAITS_ONCE
from benchmarks.results import Result, Run
from benchmarks.sections import SECTIONS
from benchmarks.tables import cell, verdict

X_TITLES = {"x": "ratio (1 = as dear as what it is compared with)", "ms": "milliseconds", "MiB": "MiB"}


def write_report(result: Result, path: Path) -> None:
    """Write the page to a file, which is replaced."""
    write(page(result), path)


def page(result: Result) -> Page:
    """Make the page."""
    first = result.runs[0]
    return Page(
        title="What asyncbatch costs",
        lead=_lead(result),
        key_figures=list(_key_figures(first)),
        sections=[_targets(result.runs), *_interpreters(result.runs), *_measured(first)],
        details={
            "Command": result.command,
            "When": result.created,
            **{name.capitalize(): text for name, text in result.machine.items()},
            **{
                f"Python {run.python}": f"{run.effort}, {run.seconds:.0f} s; "
                + ", ".join(f"{name} {version}" for name, version in run.versions.items())
                for run in result.runs
            },
            "Method": (
                "Replies are checked, then all engines run in turn in every round; quotients are taken within "
                "a round, and the figure is their median. Intervals are exact 95 % intervals of the median. "
                "A question mark stands where the interval holds the target."
            ),
        },
    )


def aimed(runs: Sequence[Run]) -> list[Figure]:
    """Return all figures that have targets."""
    return [
        figure
        for run in runs
        for part in run.figures.values()
        for figure in part
        if figure.target is not None
    ]


def _lead(result: Result) -> str:
    figures = aimed(result.runs)
    missed = [figure for figure in figures if not figure.is_met]
    clear = sum(figure.is_clear for figure in missed)
    versions = ", ".join(run.python for run in result.runs)
    text = f"{len(figures) - len(missed)} of {len(figures)} targets are reached on Python {versions}."
    if missed:
        text += (
            f" Of the {len(missed)} misses {clear} are clear; the others lie within what can be told apart."
        )
    return (
        text
        + " Below 1 is cheaper than what asyncbatch is compared with, most often Powertools' async processor."
    )


def _key_figures(run: Run) -> Iterator[KeyFigure]:
    wanted = (
        ("calls", f"{NEVER_WAITS}, 1,000 records", "asyncbatch", "of Powertools' time for 1,000 records"),
        ("calls", f"{WAITS_ONCE}, 10 records", "asyncbatch", "of Powertools' time for 10 records"),
        (
            "memory",
            "reads JSON, waits 5 ms, 10,000 records, to Powertools",
            "asyncbatch, limit 100",
            "of its memory",
        ),
        ("imports", "after awslambdaric.bootstrap", "asyncbatch", "of asyncio's import and first run"),
    )
    for section, case, subject, label in wanted:
        figure = find(run, section, case, subject)
        if figure is not None:
            interval = (
                "" if figure.interval is None else f"; {figure.interval[0]:.2f} to {figure.interval[1]:.2f}"
            )
            yield KeyFigure(f"{figure.value:.2f}", label, f"{case.removesuffix(', to Powertools')}{interval}")


def find(run: Run, section: str, case: str, subject: str) -> Figure | None:
    """Return a figure of a run; None where it was not measured."""
    for figure in run.figures.get(section, ()):
        if (figure.case, figure.subject) == (case, subject):
            return figure
    return None


def _targets(runs: Sequence[Run]) -> Section:
    rows: dict[tuple[str, str, str], dict[str, Figure]] = {}
    for run in runs:
        for name, part in run.figures.items():
            for figure in aimed_of(part):
                rows.setdefault((name, figure.case, figure.subject), {})[run.python] = figure
    table = Table(
        head=["section", "case", "of", *[f"{run.python}" for run in runs]],
        rows=[[*key, *[_target_cell(row.get(run.python)) for run in runs]] for key, row in rows.items()],
        text_columns=3,
        caption="The median, half its 95 % interval, what it may be at most, and whether it is.",
    )
    return Section("Targets", [table])


def aimed_of(figures: Sequence[Figure]) -> list[Figure]:
    return [figure for figure in figures if figure.target is not None]


def _target_cell(figure: Figure | None) -> str | Cell:
    if figure is None:
        return ""
    text = f"{cell(figure)} ≤ {figure.target:.4g} {verdict(figure)}"
    return Cell(text, "good" if figure.is_met else "bad")


def _interpreters(runs: Sequence[Run]) -> Iterator[Section]:
    """Show the figures that every interpreter has, beside each other."""
    if len(runs) < 2:
        return
    figures = [
        Figure(case=figure.case, subject=f"Python {run.python}", samples=figure.samples)
        for run in runs
        for figure in run.figures.get("calls", ())
        if figure.subject == "asyncbatch" and figure.records in {10, 1_000}
    ]
    if figures:
        title = "From 3.12 on tasks start eagerly: a handler that never waits costs no turn of the loop"
        chart = Chart(
            title,
            charts.in_rows(figures, "ratio to Powertools"),
            "The whole call on every interpreter.",
            charts.height(figures),
        )
        yield Section("Interpreters", [chart])


def _measured(run: Run) -> Iterator[Section]:
    for name, figures in run.figures.items():
        section = SECTIONS[name]
        drawn = _over_records if section.chart == "sizes" else _in_rows
        yield Section(section.title, [section.text, *drawn(figures), _table(figures)])


def _over_records(figures: Sequence[Figure]) -> Iterator[Chart]:
    for handler, part in groupby(figures, lambda figure: figure.handler):
        shown = list(part)
        yield Chart(
            f"The handler {handler}: {_seen(shown)}",
            charts.over_records(shown, "ratio to Powertools"),
            "Both axes are logarithmic; lower is cheaper. Bars are 95 % intervals, dashes targets for asyncbatch.",
            height=460,
        )


def _in_rows(figures: Sequence[Figure]) -> Iterator[Chart]:
    for unit in dict.fromkeys(figure.unit for figure in figures):
        shown = [figure for figure in figures if figure.unit == unit]
        yield Chart(
            _seen(shown),
            charts.in_rows(shown, X_TITLES[unit]),
            "Further left is cheaper. Bars are 95 % intervals, upright dashes targets.",
            height=charts.height(shown),
        )


def _seen(figures: Sequence[Figure]) -> str:
    """Say between what the figures lie that are asyncbatch's, and whether targets are missed."""
    ours = (
        aimed_of(figures)
        or [figure for figure in figures if figure.subject.startswith("asyncbatch")]
        or figures
    )
    low, high = min(ours, key=lambda each: each.value), max(ours, key=lambda each: each.value)
    subject = ours[0].subject if len({each.subject for each in ours}) == 1 else "ours"
    spans = f"{low.value:.2f}" if low is high else f"{low.value:.2f} to {high.value:.2f}"
    unit = "" if low.unit == "x" else f" {low.unit}"
    missed = [figure for figure in ours if figure.is_met is False]
    text = f"{subject} at {spans}{unit}"
    if not aimed_of(ours):
        return text
    missed_of = f"{len(missed)} of {len(aimed_of(ours))} targets missed"
    return f"{text}; {missed_of if missed else 'every target reached'}"


def _table(figures: Sequence[Figure]) -> Table:
    subjects = list(dict.fromkeys(figure.subject for figure in figures))
    rows: dict[str, dict[str, Figure]] = {}
    for figure in figures:
        rows.setdefault(figure.case, {})[figure.subject] = figure
    return Table(
        head=["case", *subjects],
        rows=[[case, *[cell(row.get(subject)) for subject in subjects]] for case, row in rows.items()],
        caption="Medians, and half their 95 % intervals in per cent.",
    )
