"""A study as rows of text, for the terminal and the page alike."""

# Some overloads of numpy's and scipy's functions have unknown parts:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from asyncbatch.tuning._explanations import per_second, seconds
from asyncbatch.tuning._figures import LimitFigures
from asyncbatch.tuning._run import Floats, Run, Tally
from asyncbatch.tuning._study import Study

LIMITS_HEAD = (
    "limit",
    "throughput",
    "rounds",
    "p50",
    "p95",
    "p99",
    "dropped",
    "timed out",
    "failed",
    "in flight",
    "memory",
)
COMPARISON_HEAD = (
    "limit",
    "throughput",
    "of best",
    "p50",
    "p99",
    "dropped or timed out",
    "mean limit",
    "limit at the end",
)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of cells, and which of them is the recommended limit's.

    Attributes:
        head: The names of the columns.
        rows: The cells.
        marked: The row to be seen first.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    marked: int


def limit_rows(study: Study) -> Rows:
    """A row for each limit that was run."""
    marked = next(
        number for number, point in enumerate(study.points) if point.limit == study.recommendation.limit
    )
    return Rows(LIMITS_HEAD, [_limit_row(point) for point in study.points], marked)


def comparison_rows(study: Study) -> Rows:
    """The recommended limit, the one with the most throughput, and the adaptive ones from a cold start."""
    best = study.best
    rows = [_fixed_row("recommended", study.chosen, best), _fixed_row("most throughput", best, best)]
    for trace in study.traces:
        rows.append(_adaptive_row(f"{trace.name}, cold", trace.run, best, f"{trace.mean:,.1f}"))
        rows.append(_adaptive_row(f"{trace.name}, next batch", trace.warm, best, ""))
    return Rows(COMPARISON_HEAD, rows, 0)


def settings_rows(study: Study) -> Sequence[tuple[str, str, str]]:
    """What to set: the setting, its value, and why."""
    sizing = study.sizing
    rows = [
        (
            "concurrency",
            f"{study.recommendation.limit:,}",
            "of the handler: @batch_handler(concurrency=...)",
        ),
        (
            "BatchSize",
            f"{sizing.batch_size:,}",
            f"takes {seconds(sizing.duration)}, {1 - sizing.efficiency:.0%} of it for its start and its end",
        ),
    ]
    if sizing.batching_window is not None:
        rows.append(
            (
                "MaximumBatchingWindowInSeconds",
                f"at least {sizing.batching_window}",
                "batches of more than 10 need one",
            )
        )
    rows.append(
        (
            "function timeout",
            f"{sizing.function_timeout} s",
            "three times a usual batch, and two seconds for the deadline's margin",
        )
    )
    if sizing.visibility_timeout is not None:
        rows.append(
            (
                "visibility timeout",
                f"{sizing.visibility_timeout} s",
                "AWS: at least six times the function's timeout, and the batching window",
            )
        )
    return rows


def size_of(amount: int | None) -> str:
    """Bytes with a unit that suits them: `640 KB`."""
    if amount is None:
        return ""
    return f"{amount / 1e6:,.1f} MB" if amount >= 1e6 else f"{amount / 1e3:,.0f} KB"  # noqa: PLR2004 - a million


def _limit_row(point: LimitFigures) -> tuple[str, ...]:
    low, high = point.spread
    tally = point.tally
    return (
        f"{point.limit:,}",
        per_second(point.throughput),
        f"{per_second(low)[:-2]} to {per_second(high)[:-2]}",
        *_percentiles(point.latencies, 50, 95, 99),
        _share(tally.drops, tally),
        _share(tally.timeouts, tally),
        _share(tally.errors + tally.unfinished, tally),
        f"{point.in_flight:,.1f}",
        size_of(point.memory),
    )


def _fixed_row(name: str, point: LimitFigures, best: LimitFigures) -> tuple[str, ...]:
    return (
        f"{point.limit:,}, {name}",
        per_second(point.throughput),
        f"{point.throughput / best.throughput:.0%}",
        *_percentiles(point.latencies, 50, 99),
        _share(point.tally.drops + point.tally.timeouts, point.tally),
        f"{point.limit:,}",
        f"{point.limit:,}",
    )


def _adaptive_row(name: str, run: Run, best: LimitFigures, mean: str) -> tuple[str, ...]:
    return (
        name,
        per_second(run.throughput),
        f"{run.throughput / best.throughput:.0%}",
        *_percentiles(run.latencies, 50, 99),
        _share(run.tally.drops + run.tally.timeouts, run.tally),
        mean,
        f"{run.limit:,}",
    )


def _percentiles(latencies: Floats, *percents: float) -> list[str]:
    if not len(latencies):
        return ["-"] * len(percents)
    return [seconds(float(np.percentile(latencies, percent))) for percent in percents]


def _share(count: int, tally: Tally) -> str:
    return f"{count / tally.tried:.1%}" if count else "0"
