"""A result as a page to read: charts with intervals and targets, tables, and text that says what is seen."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from asyncbatch.tuning._page import Cell, Chart, KeyFigure, Page, Section, Table, write
from benchmarks import charts
from benchmarks.engines import ASYNCBATCH_DEFAULT
from benchmarks.figures import Figure, rows, subjects, with_target
from benchmarks.handlers import NEVER_WAITS, READS_AND_WAITS, WAITS_ONCE
from benchmarks.results import Result, Run
from benchmarks.sections import SECTIONS
from benchmarks.tables import cell, verdict

NO_BREAK = "\N{NO-BREAK SPACE}"
UNITS = {"ms": "milliseconds", "MiB": "MiB"}


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
        sections=[
            *_missed(result),
            *_interpreters(result.runs),
            *_measured(first),
            _all_targets(result),
        ],
        details={
            "Command": result.command,
            "When": result.created,
            **{name.capitalize(): text for name, text in result.machine.items()},
            **{
                f"Python {run.python}": f"{run.effort}, {sum(run.seconds.values()):.0f} s; "
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


def _lead(result: Result) -> str:
    figures = with_target(figure for _, figure in result.figures())
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
        ("calls", f"{NEVER_WAITS}, 1,000 records", "asyncbatch", "of Powertools' time"),
        ("calls", f"{WAITS_ONCE}, 10 records", "asyncbatch", "of Powertools' time"),
        ("memory", f"{READS_AND_WAITS}, 10,000 records, to Powertools", ASYNCBATCH_DEFAULT, "of its memory"),
        ("imports", "after awslambdaric.bootstrap", "asyncbatch", "of asyncio's import and a bare loop"),
    )
    for section, case, subject, label in wanted:
        figure = find(run, section, case, subject)
        if figure is not None:
            note = case.removesuffix(", to Powertools")
            value = f"{figure.value:.2f}"
            yield KeyFigure(value, label, f"{note}; ±{figure.half_interval:.2f}" if figure.interval else note)


def find(run: Run, section: str, case: str, subject: str) -> Figure | None:
    """Return a figure of a run; None where it was not measured."""
    for figure in run.figures.get(section, ()):
        if (figure.case, figure.subject) == (case, subject):
            return figure
    return None


def _missed(result: Result) -> Iterator[Section]:
    missed = [(key, figure) for key, figure in result.figures() if figure.is_met is False]
    if not missed:
        return
    table = Table(
        head=["Python", "section", "case", "of", "figure", "target", ""],
        rows=[
            [
                key.python,
                key.section,
                key.case,
                key.subject,
                cell(figure),
                f"{figure.target:.4g}",
                _miss(figure),
            ]
            for key, figure in missed
        ],
        text_columns=4,
        caption="The median, the larger half of its 95 % interval, and what it may be at most.",
    )
    yield Section("What misses its target", [table])


def _miss(figure: Figure) -> Cell:
    return Cell(verdict(figure), "bad" if figure.is_clear else "quiet")


def _all_targets(result: Result) -> Section:
    versions = [run.python for run in result.runs]
    table = Table(
        head=["section", "case", "of", *versions],
        rows=[
            [*key, *[_target_cell(row.get(version)) for version in versions]]
            for key, row in result.targets().items()
        ],
        text_columns=3,
        caption="The median, the larger half of its 95 % interval, and what it may be at most.",
    )
    return Section("Every target", [table])


def _target_cell(figure: Figure | None) -> str | Cell:
    if figure is None:
        return ""
    sign = "≤" if figure.is_met else ">"
    return Cell(f"{cell(figure)} {sign} {figure.target:.4g}", "good" if figure.is_met else "bad")


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
    for handler in dict.fromkeys(figure.handler for figure in figures):
        shown = [figure for figure in figures if figure.handler == handler]
        yield Chart(
            f"The handler {handler}: {_seen(shown)}",
            charts.over_records(shown, "ratio to Powertools"),
            "Both axes are logarithmic; lower is cheaper. Bars are 95 % intervals, dashes targets for asyncbatch.",
            height=460,
        )


def _in_rows(figures: Sequence[Figure]) -> Iterator[Chart]:
    for unit, base in dict.fromkeys((figure.unit, figure.base) for figure in figures):
        shown = [figure for figure in figures if (figure.unit, figure.base) == (unit, base)]
        yield Chart(
            _seen(shown),
            charts.in_rows(shown, UNITS.get(unit, f"ratio to {base}")),
            "Further left is cheaper. Bars are 95 % intervals, upright dashes targets.",
            height=charts.height(shown),
        )


def _seen(figures: Sequence[Figure]) -> str:
    """Say between what the figures lie that are asyncbatch's, and whether targets are missed."""
    ours = (
        with_target(figures) or [each for each in figures if each.subject.startswith("asyncbatch")] or figures
    )
    ours = [each for each in ours if each.subject == "asyncbatch"] or ours
    low, high = min(ours, key=lambda each: each.value), max(ours, key=lambda each: each.value)
    spans = f"{low.value:.2f}" if low is high else f"{low.value:.2f} to {high.value:.2f}"
    beside = f" of {low.base}" if low.base else f" {low.unit}"
    names = subjects(ours)
    text = f"{names[0] if len(names) == 1 else 'asyncbatch'} at {spans}{beside}"
    aimed = with_target(ours)
    missed = sum(not figure.is_met for figure in aimed)
    if not aimed:
        return text
    return f"{text}; " + (f"{missed} of {len(aimed)} targets missed" if missed else "every target reached")


def _table(figures: Sequence[Figure]) -> Table:
    columns = subjects(figures)
    return Table(
        head=["case", *columns],
        rows=[
            [case.replace(" ", NO_BREAK), *[cell(row.get(name)) for name in columns]]
            for case, row in rows(figures).items()
        ],
        caption="Medians, and the larger halves of their 95 % intervals.",
    )
