"""Two results beside each other: what changed, by how much, and which changes are more than chance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.table import Table

from benchmarks.figures import Figure
from benchmarks.intervals import CONFIDENCE, Interval, median
from benchmarks.results import Key, Result

FALSE_DISCOVERIES = 1 - CONFIDENCE
SMALLEST = 0.05
"""What two runs of the same code differ by: how memory is laid out is drawn anew for every process."""
RESAMPLES = 1_000


@dataclass(frozen=True, kw_only=True)
class Change:
    """A figure in two results.

    Args:
        key: Of what.
        old: The figure before.
        new: The figure after.
        relative: New over old, less 1; None where that says nothing, for the old one is not positive.
        interval: Where the relative change lies with 95 % confidence; None with too few samples.
        is_real: Whether it is more than chance and more than `SMALLEST`; None with too few samples.
    """

    key: Key
    old: Figure
    new: Figure
    relative: float | None
    interval: Interval | None = None
    is_real: bool | None = None


def compare(old: Result, new: Result, smallest: float = SMALLEST) -> list[Change]:
    """Compare every figure that both results have.

    Rank sums tell whether two sets of samples differ (Mann and Whitney's test). Of the changes called real, one in
    twenty is expected to be chance, however many figures there are (Benjamini and Hochberg's procedure).

    Args:
        old: The result before.
        new: The result after.
        smallest: The smallest relative change that is called real.
    """
    before = dict(old.figures())
    changes = [_change(key, before[key], figure) for key, figure in new.figures() if key in before]
    return _judged([each for each in changes if not _is_base(each)], smallest)


def _is_base(change: Change) -> bool:
    """Whether it is what others are divided by: always 1."""
    return {*change.old.samples, *change.new.samples} == {1.0}


def _change(key: Key, old: Figure, new: Figure) -> Change:
    relative = new.value / old.value - 1 if old.value > 0 else None
    is_sure = relative is not None and old.interval is not None and new.interval is not None
    interval = _interval(old.samples, new.samples) if is_sure else None
    return Change(key=key, old=old, new=new, relative=relative, interval=interval)


def _interval(old: Sequence[float], new: Sequence[float]) -> Interval:
    """Return the bootstrap's interval of the relative change of the median."""
    import numpy as np  # noqa: PLC0415 - as scipy
    from scipy import stats  # noqa: PLC0415 - as in intervals

    def relative(old: Any, new: Any, axis: int) -> Any:
        return np.median(new, axis=axis) / np.median(old, axis=axis) - 1

    found = stats.bootstrap(
        (old, new),
        relative,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(1),
    ).confidence_interval
    return float(found.low), float(found.high)


def _judged(changes: list[Change], smallest: float) -> list[Change]:
    from scipy import stats  # noqa: PLC0415 - as in intervals

    tested = [each for each in changes if each.interval is not None]
    if not tested:
        return changes
    chances = [stats.mannwhitneyu(each.new.samples, each.old.samples).pvalue for each in tested]
    adjusted = dict(zip((each.key for each in tested), stats.false_discovery_control(chances), strict=True))
    return [
        replace(each, is_real=bool(adjusted[each.key] <= FALSE_DISCOVERIES) and _is_large(each, smallest))
        if each.key in adjusted
        else each
        for each in changes
    ]


def _is_large(change: Change, smallest: float) -> bool:
    return change.relative is not None and abs(change.relative) >= smallest


# --- shown ----------------------------------------------------------------------------------------------------


def tables(changes: Sequence[Change]) -> Iterator[Table]:
    """Make a table for each interpreter and section."""
    parts: dict[tuple[str, str], list[Change]] = {}
    for change in changes:
        parts.setdefault((change.key.python, change.key.section), []).append(change)
    for (python, section), part in parts.items():
        table = Table("case", "", title=f"{python}, {section}", title_justify="left", header_style="bold")
        for name in ("old", "new", "change", "95 %", ""):
            table.add_column(name, justify="right")
        for change in part:
            table.add_row(change.key.case, change.key.subject, *cells(change))
        yield table


def cells(change: Change) -> tuple[str, str, str, str, str]:
    """Return old, new, relative change, its interval, and the verdict."""
    unit = "" if change.new.unit == "x" else f" {change.new.unit}"
    relative = "" if change.relative is None else f"{change.relative:+.1%}"
    interval = "" if change.interval is None else f"{change.interval[0]:+.1%} to {change.interval[1]:+.1%}"
    return (
        f"{median(change.old.samples):.3g}{unit}",
        f"{change.new.value:.3g}{unit}",
        relative,
        interval,
        _says(change),
    )


def _says(change: Change) -> str:
    if change.is_real is None:
        return "[dim]too few samples[/]"
    if not change.is_real:
        return ""
    return "[green]less[/]" if (change.relative or 0) < 0 else "[red]more[/]"


def summary(changes: Sequence[Change]) -> str:
    """Say how many changes are real."""
    real = [each for each in changes if each.is_real]
    less = sum((each.relative or 0) < 0 for each in real)
    untold = sum(each.is_real is None for each in changes)
    return (
        f"{len(real)} of {len(changes)} figures changed: {less} less, {len(real) - less} more"
        f" ({untold} have too few samples to tell)"
    )


def differences(old: Result, new: Result) -> Iterator[str]:
    """Say what else changed between the two results: then figures may differ for that reason."""
    if old.machine["processor"] != new.machine["processor"]:
        yield f"the machine: {old.machine['processor']}, then {new.machine['processor']}"
    before = {run.python: run for run in old.runs}
    for run in new.runs:
        known = before.get(run.python)
        if known is None:
            yield f"Python {run.python} is in the new result only"
            continue
        for name, version in run.versions.items():
            if known.versions.get(name) != version:
                yield f"{name} on {run.python}: {known.versions.get(name)}, then {version}"
        if known.effort != run.effort:
            yield f"effort on {run.python}: {known.effort}, then {run.effort}"
