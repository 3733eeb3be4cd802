"""The result of a run, and the file that it is kept in."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure

SHAPE = 1
"""Version of the file's shape; it goes up when a reader of the old one would go wrong."""

DIGITS = 6
"""Significant digits of a sample: far beyond what one is worth."""


Targets = dict[tuple[str, str, str], dict[str, Figure]]


class ResultError(Exception):
    """Raised for a file that is no result of the benchmarks."""


@dataclass(frozen=True)
class Key:
    """What a figure is of; the same in every run.

    Args:
        python: Version of the interpreter, without the patch: ``3.13``.
        section: Name of the section.
        case: The figure's case.
        subject: The figure's subject.
    """

    python: str
    section: str
    case: str
    subject: str

    def __str__(self) -> str:
        return f"{self.python}, {self.section}: {self.case}: {self.subject}"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was measured with one interpreter.

    Args:
        versions: Of the interpreter and of what was measured.
        effort: How much was measured.
        figures: What was found, by section, in the order of measurement.
        seconds: How long each section took.
    """

    versions: Mapping[str, str]
    effort: str
    figures: dict[str, list[Figure]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def python(self) -> str:
        """The interpreter's version without the patch."""
        return python_version(self.versions)


def python_version(versions: Mapping[str, str]) -> str:
    """Return an interpreter's version without the patch: ``3.13``."""
    return ".".join(versions["python"].split(".")[:2])


@dataclass(frozen=True, kw_only=True)
class Result:
    """What was measured at one time, on one machine.

    Args:
        created: When, ISO 8601.
        command: With which command.
        machine: On what.
        runs: One for each interpreter, the one that was measured most first.
    """

    created: str
    command: str
    machine: Mapping[str, str]
    runs: list[Run]

    def targets(self) -> Targets:
        """Return the figures with targets: by section, case and subject, then by interpreter."""
        table: Targets = {}
        for key, figure in self.figures():
            if figure.target is not None:
                table.setdefault((key.section, key.case, key.subject), {})[key.python] = figure
        return table

    def figures(self) -> Iterator[tuple[Key, Figure]]:
        """Return every figure with its key."""
        for run in self.runs:
            for section, figures in run.figures.items():
                for figure in figures:
                    yield Key(run.python, section, figure.case, figure.subject), figure


def write(result: Result, path: Path) -> None:
    """Write a result as JSON; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        "shape": SHAPE,
        "created": result.created,
        "command": result.command,
        "machine": dict(result.machine),
        "runs": [
            {
                "versions": dict(run.versions),
                "effort": run.effort,
                "seconds": {name: round(seconds, 1) for name, seconds in run.seconds.items()},
                "figures": {
                    name: [_to_json(each) for each in figures] for name, figures in run.figures.items()
                },
            }
            for run in result.runs
        ],
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def read(path: Path) -> Result:
    """Read a result.

    Raises:
        ResultError: The file is no result, or of another shape.
    """
    try:
        content = json.loads(path.read_text())
        shape = content["shape"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{path} is no result of `python -m benchmarks run`: {error!r}") from error
    if shape != SHAPE:
        raise ResultError(f"{path} has shape {shape}, and this version reads {SHAPE}: measure again")
    return Result(
        created=content["created"],
        command=content["command"],
        machine=content["machine"],
        runs=[
            Run(
                versions=run["versions"],
                effort=run["effort"],
                seconds=run["seconds"],
                figures={
                    name: [figure_of(each) for each in figures] for name, figures in run["figures"].items()
                },
            )
            for run in content["runs"]
        ],
    )


def _to_json(figure: Figure) -> dict[str, Any]:
    """Return what the figure was made of, and what was made of it for whoever reads the file."""
    samples = [float(f"{sample:.{DIGITS}g}") for sample in figure.samples]
    return asdict(figure) | {
        "samples": samples,
        "median": figure.value,
        "interval": figure.interval,
        "met": figure.is_met,
    }


def figure_of(content: Mapping[str, Any]) -> Figure:
    """Return the figure that was written as JSON."""
    derived = {"median", "interval", "met"}
    made_of = {name: value for name, value in content.items() if name not in derived}
    return Figure(**made_of | {"samples": tuple(content["samples"])})
