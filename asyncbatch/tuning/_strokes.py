"""The parts that charts are drawn of, as plotly.js reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asyncbatch.tuning._page import INK

Figure = dict[str, Any]


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


def end_label(x: float, y: float, text: str, colour: str) -> Figure:
    """The name of a line, at its end; y is the logarithm on a logarithmic axis, as plotly wants it."""
    name = label("x", x, "y", y, f" {text}", xanchor="left")
    return {**name, "yanchor": "middle", "font": {"color": colour, "size": 13}}
