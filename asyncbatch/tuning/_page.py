"""A report as one HTML file that loads nothing from elsewhere: text, tables and plotly charts from dataclasses.

Texts are Markdown (CommonMark, without HTML and images). Everything else is escaped.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal

from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from plotly.io.json import to_json_plotly  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]
from plotly.offline import get_plotlyjs  # pyright: ignore[reportMissingTypeStubs] - plotly ships no types

# Okabe and Ito's colours, which colour-blind people can tell apart (https://jfly.uni-koeln.de/color/), a little
# darker where they are thin on white. The page shows the second of each pair on a dark ground.
BLUE: Final = "#0072b2"
ORANGE: Final = "#d55e00"
GREEN: Final = "#00855f"
PURPLE: Final = "#a8467f"
OCHRE: Final = "#9a6a00"
GREY: Final = "#68717a"
INK: Final = "#1d2328"
ON_DARK: Final = {
    BLUE: "#56b4e9",
    ORANGE: "#ff9357",
    GREEN: "#3fcb9f",
    PURPLE: "#e39bc8",
    OCHRE: "#e8bd55",
    GREY: "#98a2ac",
    INK: "#e4e8eb",
}

Tone = Literal["good", "bad", "quiet"]


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """One of the few numbers that a reader should take home.

    Attributes:
        value: The number with its unit, short: ``"21"``, ``"1,940/s"``.
        label: What it is.
        note: What it is to be compared with.
    """

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell that stands out.

    Attributes:
        text: What it says.
        tone: How it stands out.
    """

    text: str
    tone: Tone


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first columns are text, and the others numbers, aligned to the right.

    Attributes:
        head: The names of the columns, with units.
        rows: The cells, already formatted, one for each column.
        caption: What the table shows, Markdown.
        text_columns: How many columns are text.
        marked: The rows to be seen first, counted from 0.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    caption: str = ""
    text_columns: int = 1
    marked: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    Write colours as the constants of this module: a dark ground swaps them. Fonts, grid and margins are
    the page's, unless the layout says them itself. Give the axes titles with units.

    Attributes:
        title: What is seen, as a statement.
        figure: ``data`` and ``layout`` as plotly.js has them: a dict, or `to_plotly_json()` of a plotly figure.
        caption: What the chart shows and how to read it, Markdown; also what is read to people who cannot see it.
        height: Pixels.
    """

    title: str
    figure: Mapping[str, Any]
    caption: str = ""
    height: int = 360


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page.

    Attributes:
        heading: Its heading.
        blocks: What it holds, in order; a string is Markdown.
    """

    heading: str
    blocks: Sequence[str | Table | Chart]


@dataclass(frozen=True, slots=True)
class Page:
    """A report.

    Attributes:
        title: What the report is about.
        lead: What it found, in a sentence or two of Markdown.
        key_figures: The numbers to take home; three or four.
        sections: The evidence.
        details: How it came about: machine, versions, command.
    """

    title: str
    lead: str
    key_figures: Sequence[KeyFigure] = ()
    sections: Sequence[Section] = ()
    details: Mapping[str, str] = field(default_factory=dict[str, str])


def render(page: Page) -> str:
    """The page as HTML, about 5 MB: plotly.js is in it, once.

    Raises:
        ValueError: A table's row has not one cell for each column.
    """
    for section in page.sections:
        for block in section.blocks:
            if isinstance(block, Table):
                _check(block)
    here = files("asyncbatch.tuning")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["markdown"] = _markdown
    environment.filters["inline"] = _inline
    environment.filters["figure_json"] = _figure_json
    template = environment.from_string((here / "_page.html.jinja").read_text("utf-8"))
    has_charts = any(isinstance(block, Chart) for section in page.sections for block in section.blocks)
    return template.render(
        page=page,
        style=_trusted((here / "_page.css").read_text("utf-8")),
        plotly=_trusted(get_plotlyjs()) if has_charts else None,
        script=_trusted((here / "_page.js").read_text("utf-8")),
        palette=_trusted(json.dumps(ON_DARK)),
    )


def write(page: Page, path: Path) -> None:
    """Write the page to a file.

    Args:
        page: The page.
        path: The file, which is replaced; its folder is made.

    Raises:
        ValueError: A table's row has not one cell for each column.
        OSError: The file cannot be written.
    """
    text = render(page)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def _check(table: Table) -> None:
    for number, row in enumerate(table.rows):
        if len(row) != len(table.head):
            raise ValueError(
                f"Row {number} of a table has {len(row)} cells for {len(table.head)} columns: {row}"
            )


def _markdown(text: str) -> Markup:
    return _trusted(_reader().render(text))


def _inline(text: str) -> Markup:
    return _trusted(_reader().renderInline(text))


def _figure_json(chart: Chart) -> Markup:
    return _trusted(str(to_json_plotly(dict(chart.figure))))  # a script's end cannot be in it: "<" is escaped


def _reader() -> MarkdownIt:
    # An image would be loaded from somewhere.
    return MarkdownIt("commonmark", {"html": False}).disable("image")


def _trusted(text: str) -> Markup:
    """Mark what needs no escape: our own files, plotly's, and what markdown-it and plotly escaped."""
    return Markup(text)  # noqa: S704 - see above
