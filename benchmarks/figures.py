"""A figure: something measured, the target it has to reach, and how both are shown."""

import json
import os
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

PEERS = ("aiometer", "anyio", "asyncbatch", "aws-lambda-powertools", "awslambdaric")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measurement.

    Args:
        section: What kind of cost.
        case: Under which conditions; a row of the section's table.
        subject: Of what; a column of the section's table.
        value: The figure itself.
        unit: ``x`` for a ratio, else a unit of time or memory.
        target: What the value may be at most; None for a figure that is only shown.
        absolute: The fastest sample, in microseconds; an order of magnitude, for the JSON alone.
    """

    section: str
    case: str
    subject: str
    value: float
    unit: str = "x"
    target: float | None = None
    absolute: float | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        return None if self.target is None else self.value <= self.target


def show(figures: Sequence[Figure], console: Console) -> None:
    """Print a table per section: cases down, subjects across, the target and the verdict last."""
    for section in dict.fromkeys(figure.section for figure in figures):
        part = [figure for figure in figures if figure.section == section]
        subjects = list(dict.fromkeys(figure.subject for figure in part))
        table = Table(title=section, title_justify="left", header_style="bold")
        table.add_column("case", no_wrap=True)
        for subject in (*subjects, "target", ""):
            table.add_column(subject, justify="right")
        for case in dict.fromkeys(figure.case for figure in part):
            row = {figure.subject: figure for figure in part if figure.case == case}
            cells = [_value(row.get(subject)) for subject in subjects]
            table.add_row(case, *cells, *_verdict(row.values()))
        console.print(table)


def _value(figure: Figure | None) -> str:
    if figure is None:
        return ""
    return f"{figure.value:.2f}" if figure.unit == "x" else f"{figure.value:.1f} {figure.unit}"


def _verdict(figures: Iterable[Figure]) -> tuple[str, str]:
    for figure in figures:
        if figure.target is not None:
            return f"<= {figure.target:g}", "[green]pass[/]" if figure.met else "[red]miss[/]"
    return "", ""


def write(path: Path, figures: Sequence[Figure], effort: str) -> None:
    """Write the figures as JSON, with what they depend on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {
        "machine": {
            "platform": platform.platform(),
            "processor": _processor(),
            "processors": os.cpu_count(),
            "load": os.getloadavg(),
        },
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PEERS},
        "effort": effort,
        "figures": [asdict(figure) | {"met": figure.met} for figure in figures],
    }
    path.write_text(json.dumps(report, indent=2) + "\n")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """Return the processor's name where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
