"""The parts that charts are drawn of, as plotly.js reads them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from asyncbatch.tuning._page import INK

Figure = dict[str, Any]

LINE: Final = 16
"""Pixels from one line of text to the next."""


def line(
    name: str,
    x: Sequence[float],
    y: Sequence[float],
    colour: str,
    *,
    dash: str = "solid",
    mode: str = "lines",
    unit: str = "",
) -> Figure:
    """A line through points; without a unit, one that says nothing when it is pointed at."""
    return {
        "type": "scatter",
        "name": name,
        "mode": mode,
        "x": list(x),
        "y": list(y),
        "line": {"color": colour, "width": 2, "dash": dash},
        "marker": {"color": colour, "size": 6},
        "hovertemplate": f"limit %{{x:,}}: %{{y:,.4~g}}{unit}<extra>{name}</extra>" if unit else None,
        "hoverinfo": None if unit else "skip",
    }


def rule(xref: str, x: tuple[float, float], yref: str, y: tuple[float, float]) -> Figure:
    """A thin straight line behind the others, on axes as plotly names them: `x`, or `x domain` from 0 to 1."""
    return {
        "type": "line",
        "xref": xref,
        "x0": x[0],
        "x1": x[1],
        "yref": yref,
        "y0": y[0],
        "y1": y[1],
        "line": {"color": INK, "width": 1.5},
        "layer": "below",
    }


def label(xref: str, x: float, yref: str, y: float, text: str, *, xanchor: str) -> Figure:
    """A text at a place."""
    return {
        "xref": xref,
        "x": x,
        "yref": yref,
        "y": y,
        "text": text,
        "showarrow": False,
        "xanchor": xanchor,
        "yanchor": "bottom",
        "font": {"color": INK, "size": 13},
    }


def end_labels(ends: Sequence[tuple[float, float, str, str]], pixels: float) -> list[Figure]:
    """The names of lines at their ends, moved apart where they would overlap.

    Args:
        ends: For each line where it ends, its name and its colour; y is the logarithm on a logarithmic axis, as
            plotly wants it.
        pixels: How high one unit of y is drawn, roughly.
    """
    labels: list[Figure] = []
    lowest = -math.inf
    for x, y, text, colour in sorted(ends, key=lambda end: end[1]):
        lowest = max(y * pixels, lowest + LINE)
        name = label("x", x, "y", y, f" {text}", xanchor="left")
        place = {"yanchor": "middle", "yshift": lowest - y * pixels}
        labels.append({**name, **place, "font": {"color": colour, "size": 13}})
    return labels
