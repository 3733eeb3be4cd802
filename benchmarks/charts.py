"""Figures as plotly charts: lines over the number of records, and points in rows."""

from collections.abc import Iterable, Sequence
from itertools import cycle, product
from typing import Any

from asyncbatch.tuning._page import BLUE, GREEN, GREY, INK, OCHRE, ORANGE, PURPLE
from benchmarks.figures import Figure

COLOURS = {"asyncbatch": BLUE, "Powertools": ORANGE, "sequential": GREY}
OTHER_COLOURS = (GREEN, PURPLE, OCHRE, INK)
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "triangle-down", "x", "cross", "star", "hexagon")
ROW = 30
"""Pixels between two rows."""


def over_records(figures: Sequence[Figure], y_title: str) -> dict[str, Any]:
    """Draw a line for every subject, over the number of records on a logarithmic axis.

    Args:
        figures: Of one handler, with their number of records.
        y_title: What is drawn, with its unit.
    """
    subjects = _subjects(figures)
    styles = _styles(subjects)
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": subject,
            "x": [figure.records for figure in each],
            "y": [figure.value for figure in each],
            "error_y": _error(each),
            "line": {"color": styles[subject][0], "dash": styles[subject][1], "width": 2},
            "marker": {"color": styles[subject][0], "symbol": styles[subject][2], "size": 7},
            "hovertemplate": f"{subject}: %{{y:.3g}}<extra></extra>",
        }
        for subject, each in subjects.items()
    ]
    aimed = [figure for figure in figures if figure.target is not None]
    if aimed:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "target for asyncbatch",
                "x": [figure.records for figure in aimed],
                "y": [figure.target for figure in aimed],
                "marker": {"color": INK, "symbol": "line-ew-open", "size": 22, "line": {"width": 2.5}},
                "hovertemplate": "target: ≤ %{y:.3g}<extra></extra>",
            }
        )
    sizes = sorted({figure.records or 0 for figure in figures})
    return {
        "data": data,
        "layout": {
            "xaxis": {
                "type": "log",
                "title": {"text": "records in the batch"},
                "tickvals": sizes,
                "ticktext": [f"{size:,}" for size in sizes],
            },
            "yaxis": {"type": "log", "title": {"text": y_title}, **_decimal_ticks(figures)},
            "shapes": [_one("h")],
            "hovermode": "x unified",
        },
    }


def in_rows(figures: Sequence[Figure], x_title: str) -> dict[str, Any]:
    """Draw a point with its interval for every figure, a row for every case.

    Args:
        figures: Of one unit.
        x_title: What is drawn, with its unit.
    """
    rows = list(dict.fromkeys(figure.case for figure in figures))
    subjects = _subjects(figures)
    styles = _styles(subjects)
    data: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "markers",
            "name": subject,
            "y": [figure.case for figure in each],
            "x": [figure.value for figure in each],
            "error_x": _error(each),
            "marker": {"color": styles[subject][0], "symbol": styles[subject][2], "size": 9},
            "hovertemplate": f"{subject}: %{{x:.3g}}<extra>%{{y}}</extra>",
        }
        for subject, each in subjects.items()
    ]
    aimed = [figure for figure in figures if figure.target is not None]
    if aimed:
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": "target",
                "y": [figure.case for figure in aimed],
                "x": [figure.target for figure in aimed],
                "marker": {"color": INK, "symbol": "line-ns-open", "size": 16, "line": {"width": 2.5}},
                "hovertemplate": "target: ≤ %{x:.3g}<extra>%{y}</extra>",
            }
        )
    values = [figure.value for figure in figures]
    is_wide = min(values) > 0 and max(values) / min(values) > 5
    axis = {"type": "log", **_decimal_ticks(figures)} if is_wide else {"rangemode": "tozero"}
    return {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": x_title}, **axis},
            "yaxis": {"categoryorder": "array", "categoryarray": rows[::-1], "ticks": ""},
            "shapes": [_one("v")] if figures[0].unit == "x" else [],
        },
    }


def height(figures: Sequence[Figure]) -> int:
    """Return the pixels that points in rows need, with the axis and the legend."""
    subjects, rows = len(_subjects(figures)), len({figure.case for figure in figures})
    return 110 + ROW * rows + 22 * (1 + subjects // 4)


def _subjects(figures: Iterable[Figure]) -> dict[str, list[Figure]]:
    subjects: dict[str, list[Figure]] = {}
    for figure in figures:
        subjects.setdefault(figure.subject, []).append(figure)
    return subjects


def _styles(subjects: Iterable[str]) -> dict[str, tuple[str, str, str]]:
    """Give every subject a colour, a dash and a symbol; those of asyncbatch have its colour."""
    others = iter(product(("solid", "dash", "dot"), OTHER_COLOURS))
    symbols = cycle(SYMBOLS)
    styles: dict[str, tuple[str, str, str]] = {}
    for subject in subjects:
        known = next((name for name in COLOURS if subject.startswith(name)), None)
        if known is None:
            dash, colour = next(others)
        else:
            dash, colour = "solid" if subject == known else "dot", COLOURS[known]
        styles[subject] = (colour, dash, next(symbols))
    return styles


def _error(figures: Sequence[Figure]) -> dict[str, Any]:
    """Return the distances from the medians to the ends of their intervals."""
    intervals = [figure.interval or (figure.value, figure.value) for figure in figures]
    return {
        "type": "data",
        "symmetric": False,
        "array": [high - figure.value for figure, (_, high) in zip(figures, intervals, strict=True)],
        "arrayminus": [figure.value - low for figure, (low, _) in zip(figures, intervals, strict=True)],
        "thickness": 1.5,
        "width": 4,
    }


def _decimal_ticks(figures: Iterable[Figure]) -> dict[str, Any]:
    """Write 0.2 where plotly's logarithmic axes write 2."""
    values = [figure.value for figure in figures] + [figure.target or figure.value for figure in figures]
    steps = [digit * 10.0**exponent for exponent in range(-3, 5) for digit in (1, 2, 5)]
    ticks = [step for step in steps if min(values) / 2 <= step <= max(values) * 2]
    return {"tickvals": ticks, "ticktext": [f"{tick:,g}" for tick in ticks]}


def _one(direction: str) -> dict[str, Any]:
    """Draw a line at 1: as dear as what it is compared with."""
    along, across = ("x", "y") if direction == "h" else ("y", "x")
    return {
        "type": "line",
        f"{along}0": 0,
        f"{along}1": 1,
        f"{along}ref": "paper",
        f"{across}0": 1,
        f"{across}1": 1,
        "line": {"color": GREY, "width": 1, "dash": "dot"},
        "layer": "below",
    }
