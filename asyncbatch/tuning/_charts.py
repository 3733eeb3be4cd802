"""The charts of a study, as plotly.js reads them: `data` and `layout`."""

# Some overloads of numpy's and scipy's functions have unknown parts:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from asyncbatch.tuning._figures import LimitFigures
from asyncbatch.tuning._page import BLUE, GREEN, GREY, OCHRE, ORANGE, PAPER, PURPLE
from asyncbatch.tuning._strokes import Figure, end_labels, label, line, rule
from asyncbatch.tuning._study import Bar, Study

TRACE_COLOURS: Final = (BLUE, ORANGE, PURPLE)
SMOOTH: Final = 200
MOST_STEPS: Final = 1_500
ROOM: Final = 0.15
"""Decades above and below latencies: where all are the same, the axis would show their last digits."""
HEIGHT: Final = 270
"""Pixels of a plot without its axes, roughly."""


def throughput_chart(study: Study) -> Figure:
    """Throughput against limit: every round, the medians, the law, the asymptotes and the recommendation."""
    points = study.points
    knee = study.recommendation.knee
    grid = np.unique(np.concatenate((np.linspace(1, points[-1].limit, SMOOTH), [knee.limit]))).tolist()
    data = [
        line("asymptotes", grid, [min(n / knee.latency, knee.capacity) for n in grid], GREY, dash="dot"),
        _dots("a round", points),
        line(
            "median of the rounds",
            [point.limit for point in points],
            [point.throughput for point in points],
            BLUE,
            mode="lines+markers",
            unit="/s",
        ),
    ]
    law = study.recommendation.law
    if law is not None:
        name = f"Universal Scalability Law (R² {law.goodness:.2f})"
        data.insert(1, line(name, grid, [law.throughput(n) for n in grid], OCHRE, dash="dash"))
    return {
        "data": data,
        "layout": {
            "xaxis": _LIMIT_AXIS,
            "yaxis": {"title": {"text": "records that succeeded per second"}, "rangemode": "tozero"},
            **_mark(study),
        },
    }


def latency_chart(study: Study) -> Figure:
    """Latency percentiles against limit."""
    points = [point for point in study.points if point.tally.succeeded]
    limits = [point.limit for point in points]
    data: list[Figure] = []
    ends: list[tuple[float, float, str, str]] = []
    for percent, colour in ((50, BLUE), (95, OCHRE), (99, ORANGE)):
        name = f"p{percent}"
        millis = [1e3 * (point.latency(percent) or 0.0) for point in points]
        data.append(line(name, limits, millis, colour, mode="lines+markers", unit=" ms"))
        ends.append((limits[-1], math.log10(max(millis[-1], 1e-6)), name, colour))
    drawn = [value for each in data for value in each["y"] if value > 0]
    low, high = math.log10(min(drawn)) - ROOM, math.log10(max(drawn)) + ROOM
    mark = _mark(study)
    return {
        "data": data,
        "layout": {
            "showlegend": False,
            "margin": {"r": 50},
            "xaxis": _LIMIT_AXIS,
            "yaxis": {
                "title": {"text": "latency of a record (ms, logarithmic)"},
                "type": "log",
                "range": [low, high],
                "dtick": "D2",
                "tickformat": ",~g",
            },
            "shapes": mark["shapes"],
            "annotations": [*mark["annotations"], *end_labels(ends, HEIGHT / (high - low))],
        },
    }


def failure_chart(study: Study) -> Figure:
    """Shares of records that did not succeed, by kind, against limit."""
    limits = [str(point.limit) for point in study.points]
    kinds = (
        ("dropped (throttled)", "drops", ORANGE),
        ("timed out", "timeouts", OCHRE),
        ("failed otherwise", "errors", PURPLE),
        ("not finished", "unfinished", GREY),
    )
    data = [
        {
            "type": "bar",
            "name": name,
            "x": limits,
            "y": [100 * getattr(point.tally, kind) / point.tally.tried for point in study.points],
            "marker": {"color": colour},
            "hovertemplate": "%{y:.1f} % " + name + "<extra></extra>",
        }
        for name, kind, colour in kinds
        if any(getattr(point.tally, kind) for point in study.points)
    ]
    return {
        "data": data,
        "layout": {
            "barmode": "stack",
            "showlegend": True,
            "xaxis": {"title": {"text": "limit (most records in flight)"}, "type": "category"},
            "yaxis": {"title": {"text": "share of the records (%)"}, "rangemode": "tozero"},
        },
    }


def adaptive_chart(study: Study) -> Figure:
    """The limit over time of every adaptive limit, from a cold start."""
    data: list[Figure] = []
    limit = study.recommendation.limit
    ends: list[tuple[float, float, str, str]] = []
    labels = [label("x domain", 0.01, "y", limit, f"recommended: {limit:,}", xanchor="left")]
    for trace, colour in zip(study.traces, TRACE_COLOURS, strict=False):
        last = trace.moves[-1][1]
        moves = [*_thinned(trace.moves), (trace.run.duration, last)]
        curve = line(trace.name, [at for at, _ in moves], [each for _, each in moves], colour)
        curve["line"]["shape"] = "hv"
        data.append(curve)
        ends.append((trace.run.duration, last, trace.name, colour))
    top = max(each for trace in study.traces for _, each in trace.moves)
    return {
        "data": data,
        "layout": {
            "showlegend": False,
            "margin": {"r": 120},
            "xaxis": {"title": {"text": "seconds since the first record started"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "limit (most records in flight)"}, "rangemode": "tozero"},
            "shapes": [rule("x domain", (0, 1), "y", (limit, limit))],
            "annotations": [*labels, *end_labels(ends, HEIGHT / top)],
        },
    }


def timeline_chart(study: Study) -> Figure:
    """The records of a batch as bars, by lane."""
    bars = study.timeline
    what = "lane" if study.ordered else "slot"
    data: list[Figure] = []
    for good, name, colour in ((True, "succeeded", GREEN), (False, "did not succeed", ORANGE)):
        own = [bar for bar in bars if bar.succeeded == good]
        if not own:
            continue
        data.append(
            {
                "type": "bar",
                "orientation": "h",
                "name": name,
                "base": [1e3 * bar.started for bar in own],
                "x": [1e3 * (bar.ended - bar.started) for bar in own],
                "y": [bar.lane + 1 for bar in own],
                "marker": {"color": colour, "line": {"width": 0.5, "color": PAPER}},
                "hovertemplate": f"{what} %{{y}}: %{{x:.1f}} ms, from %{{base:.1f}} ms on<extra>{name}</extra>",
            }
        )
    return {
        "data": data,
        "layout": {
            "barmode": "overlay",
            "bargap": 0.25,
            "showlegend": len(data) > 1,
            "xaxis": {
                "title": {"text": "milliseconds since the first record started"},
                "rangemode": "tozero",
            },
            "yaxis": {"title": {"text": what}, "autorange": "reversed", "dtick": _step(bars)},
        },
    }


_LIMIT_AXIS: Final[Mapping[str, Any]] = {
    "title": {"text": "limit (most records in flight)"},
    "rangemode": "tozero",
}


def _dots(name: str, points: Sequence[LimitFigures]) -> Figure:
    return {
        "type": "scatter",
        "name": name,
        "mode": "markers",
        "x": [point.limit for point in points for _ in point.runs],
        "y": [run.throughput for point in points for run in point.runs],
        "marker": {"color": BLUE, "size": 5, "opacity": 0.35},
        "hoverinfo": "skip",
    }


def _mark(study: Study) -> Figure:
    """A vertical line at the recommended limit, and its name."""
    limit = study.recommendation.limit
    side = "right" if limit > 0.7 * study.points[-1].limit else "left"  # where there is room for it
    return {
        "shapes": [rule("x", (limit, limit), "y domain", (0, 1))],
        "annotations": [label("x", limit, "y domain", 0.02, f" recommended: {limit:,} ", xanchor=side)],
    }


def _thinned(moves: Sequence[tuple[float, int]]) -> Sequence[tuple[float, int]]:
    """Every so-manieth move, where there are more than a screen has points."""
    return moves[:: max(1, len(moves) // MOST_STEPS)]


def _step(bars: Sequence[Bar]) -> int:
    """So many lanes from tick to tick that there are about a dozen ticks."""
    lanes = max((bar.lane for bar in bars), default=0) + 1
    return max(1, lanes // 12)
