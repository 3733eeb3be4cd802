"""The page of a study: what is recommended, the evidence, and how it was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from asyncbatch.tuning import _charts
from asyncbatch.tuning._explanations import per_second, seconds
from asyncbatch.tuning._page import Chart, KeyFigure, Page, Section, Table
from asyncbatch.tuning._recommendation import Reason
from asyncbatch.tuning._study import Study
from asyncbatch.tuning._tables import Rows, comparison_rows, limit_rows, settings_rows

WORTH_SAYING: Final = 0.05
"""Rounds differ by as much."""


def summary(study: Study) -> str:
    """The recommendation in a sentence or two."""
    made, chosen, best = study.recommendation, study.chosen, study.best
    p99 = chosen.latency(99)
    use = (
        f"Use a limit of {made.limit:,}: {per_second(chosen.throughput)} at a p99 of {seconds(p99 or 0.0)}. "
        f"{_HEADLINES[made.reason]} Confidence: {made.confidence}."
    )
    gain = best.throughput / chosen.throughput - 1
    is_higher = made.for_throughput > made.limit and made.reason in {Reason.KNEE, Reason.SERIAL}
    if gain < WORTH_SAYING or not is_higher:
        return use
    return f"{use} If records may take longer, limit {made.for_throughput:,} has up to {gain:.0%} more."


def line_to_paste(study: Study) -> str:
    """The decorator with the recommended limit."""
    return f"@batch_handler(concurrency={study.recommendation.limit})"


def study_page(study: Study, target: str, details: Mapping[str, str]) -> Page:
    """The page of a study.

    Args:
        study: The study.
        target: The name of what was tuned.
        details: Machine, versions, command.
    """
    return Page(
        title=f"{target}: how many records in flight?",
        lead=f"{summary(study)}\n\n```python\n{line_to_paste(study)}\n```",
        key_figures=list(_key_figures(study)),
        sections=[
            Section("Why this limit", [*study.recommendation.why, *_knee_charts(study)]),
            Section("Every limit that was run", list(_limits_blocks(study))),
            Section("What goes with it", list(_settings_blocks(study))),
            Section("What an adaptive limit would have done", list(_adaptive_blocks(study))),
            Section("A batch at the recommended limit", list(_timeline_blocks(study))),
            Section("Method", list(_method(study))),
        ],
        details=details,
    )


_HEADLINES: Final[Mapping[Reason, str]] = {
    Reason.KNEE: "More in flight only wait for one another.",
    Reason.DROPS: "Beyond it records are dropped, time out or fail.",
    Reason.LANES: "There are no more lanes to have in flight: the limit is not what bounds it.",
    Reason.SERIAL: "More in flight gives no more throughput than one at a time.",
    Reason.BATCH: "Nothing slowed down up to there: the batch itself is the bound.",
}


_THROUGHPUT_TITLES: Final[Mapping[Reason, str]] = {
    Reason.KNEE: "Throughput stops growing at the knee",
    Reason.DROPS: "Throughput grows until records are refused",
    Reason.LANES: "Throughput stops growing where lanes run out",
    Reason.SERIAL: "Throughput does not grow with the limit",
    Reason.BATCH: "Throughput grows with the limit, up to the last one",
}


def _key_figures(study: Study) -> Iterator[KeyFigure]:
    made, chosen, best = study.recommendation, study.chosen, study.best
    now = "an adaptive limit" if study.current is None else f"{study.current:,}"
    yield KeyFigure(f"{made.limit:,}", "recommended limit", f"now: {now}")
    yield KeyFigure(
        per_second(chosen.throughput),
        "records per second",
        f"the most of any limit: {per_second(best.throughput)}, at {best.limit:,}",
    )
    least = float(np.median(study.points[0].latencies))
    yield KeyFigure(
        seconds(chosen.latency(50) or 0.0),
        "median latency of a record",
        f"at limit {study.points[0].limit:,}: {seconds(least)}",
    )
    yield KeyFigure(
        f"{study.sizing.batch_size:,}", "records of a batch", f"done in {seconds(study.sizing.duration)}"
    )


def _knee_charts(study: Study) -> Iterator[Chart]:
    knee = study.recommendation.knee
    yield Chart(
        _THROUGHPUT_TITLES[study.recommendation.reason],
        _charts.throughput_chart(study),
        "Each pale dot is one round. The dotted asymptotes are what would be had if nobody waited, and the "
        f"most that was had; they cross at {knee.limit:,.1f}. The dashed curve is the Universal Scalability "
        "Law: smooth, so it "
        "cannot follow a sharp corner.",
        420,
    )
    yield Chart(
        "Latency: half, 95 and 99 of 100 records take less",
        _charts.latency_chart(study),
        "Flat while records do not wait for one another; from the knee on it rises with the limit.",
        360,
    )


def _limits_blocks(study: Study) -> Iterator[str | Table | Chart]:
    runs = len(study.chosen.runs)
    yield _table(
        limit_rows(study),
        f"Medians of {runs} rounds; latencies of all their records that succeeded; *in flight* is the "
        "average while "
        "records waited to be started; *memory* is what a batch takes at its peak, beyond its event.",
        0,
    )
    if any(point.tally.succeeded < point.tally.tried for point in study.points):
        yield Chart(
            "Records that did not succeed",
            _charts.failure_chart(study),
            "By kind. None of them counts as throughput.",
            300,
        )
    held_back = study.chosen.tally.held_back
    if held_back:
        yield (
            f"At the recommended limit, {held_back:,} records were not started, because one before them "
            "failed: they count neither as failures nor as throughput."
        )
    if study.ordered:
        lanes = study.lanes
        yield (
            f"Lanes: {lanes.records:,} records of a run are in {lanes.lanes:,} lanes, the longest "
            f"{lanes.skew:.1f} times the mean. The longest lane alone lets at most {lanes.bound:.1f} records "
            "be in flight on average."
        )


def _settings_blocks(study: Study) -> Iterator[str | Table]:
    yield Table(["setting", "value", "because"], settings_rows(study), text_columns=3)
    yield from study.sizing.notes
    yield (
        "Sources: AWS's pages on "
        "[SQS](https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html), on [event source "
        "mappings](https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html) and on "
        "[quotas](https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html). The function's "
        "own concurrency multiplies the limit: ten functions at once have ten times as many records in "
        "flight."
    )


def _adaptive_blocks(study: Study) -> Iterator[str | Table | Chart]:
    yield (
        "Each adaptive limit began as it is made, knowing nothing, and had one long batch to find its way. "
        "The fixed limits had all the rounds above."
    )
    yield Chart(
        "Limit over time, from a cold start",
        _charts.adaptive_chart(study),
        "The horizontal line is the recommended fixed limit.",
        380,
    )
    yield _table(
        comparison_rows(study),
        "Fixed and adaptive. *Cold* is the batch above; the next batch goes on with what was learnt.",
        1,
    )


def _timeline_blocks(study: Study) -> Iterator[str | Chart]:
    lanes = max((bar.lane for bar in study.timeline), default=0) + 1
    rows = "lane" if study.ordered else "slot"
    yield Chart(
        f"{len(study.timeline):,} records, by {rows}",
        _charts.timeline_chart(study),
        (
            "Each bar is a record; the records of a lane follow one another."
            if study.ordered
            else "Each bar is a record, from its start to its end, in the first slot that was free."
        )
        + " Where rows run out on the right, fewer records are in flight: the batch's tail.",
        max(240, min(640, 90 + 14 * lanes)),
    )


def _method(study: Study) -> Iterator[str]:
    clock = "on a virtual clock, so that it is the same every time" if study.virtual else "in real time"
    yield (
        f"The handler was run {clock}. Limits were doubled from 1 on until throughput stopped growing, then "
        "more were put around the first guess of the knee. Each round ran every limit once, so that "
        "whatever else went on meets all limits alike. Throughput counts records that succeeded, while "
        "others still waited to be started: the end of a batch, with fewer and fewer in flight, is left out "
        "of it and comes into the batch size."
    )
    if study.ordered:
        yield (
            "Here a record that fails holds back others. While measuring, errors of the handler were noted "
            "and held nothing back, or little would have been left to measure; they count as failures. "
            "Drops and timeouts did hold back."
        )
    yield (
        "The knee is where the asymptotes cross, most throughput times least latency (Denning and Buzen, "
        "1978): by Little's law as many records as can be in flight without waiting for one another. The "
        "limit with the greatest power, throughput over latency (Kleinrock, 1979), confirms it. The "
        "interval comes from drawing the rounds again, 500 times. The Universal Scalability Law is "
        "Gunther's (2007), fitted by scipy."
    )


def _table(rows: Rows, caption: str, text_columns: int) -> Table:
    return Table(rows.head, rows.rows, caption, text_columns, frozenset({rows.marked}))
