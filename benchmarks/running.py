"""Run the benchmarks with one interpreter after another, every section in a process of its own."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter

from benchmarks.effort import EFFORTS
from benchmarks.figures import Figure
from benchmarks.results import Run, figure_of, python_version
from benchmarks.sections import SECTIONS

ROOT = Path(__file__).parents[1]
SHOWN_OF_AN_ERROR = 2_000


class RunError(Exception):
    """Raised when an interpreter cannot be used, or what it measures does not work."""


@dataclass(frozen=True)
class Plan:
    """What one interpreter is to measure.

    Args:
        python: The interpreter's path.
        versions: Of the interpreter and of what it measures.
        effort: Name of the effort.
        sections: Names of the sections.
    """

    python: str
    versions: dict[str, str]
    effort: str
    sections: tuple[str, ...]

    @property
    def version(self) -> str:
        """The interpreter's version without the patch."""
        return python_version(self.versions)

    def cases(self) -> int:
        """Return how many cases there are, counted once for every process that measures them."""
        return sum(
            _lots(self.effort, name)
            for name in self.sections
            for _ in SECTIONS[name].cases(EFFORTS[self.effort])
        )


def plan(effort: str, only: Sequence[str], others: Sequence[str]) -> list[Plan]:
    """Say what is to be measured, with this interpreter and with others.

    Args:
        effort: Name of the effort for this interpreter; it names the one for the others.
        only: Names of sections; empty for all.
        others: Paths of interpreters that can import this package and what it measures.

    Raises:
        RunError: An interpreter cannot.
    """
    wanted = [(sys.executable, effort)]
    if EFFORTS[effort].others:
        wanted += [(python, EFFORTS[effort].others) for python in others]
    plans = [
        Plan(python, _versions(python), name, _sections(only, EFFORTS[name].sections))
        for python, name in wanted
    ]
    versions = [each.version for each in plans]
    twice = sorted({version for version in versions if versions.count(version) > 1})
    if twice:
        raise RunError(
            f"Python {', '.join(twice)} is given twice: one interpreter of each version can be measured"
        )
    return plans


def _sections(only: Sequence[str], of_effort: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        name for name in SECTIONS if (not only or name in only) and (not of_effort or name in of_effort)
    )


def _versions(python: str) -> dict[str, str]:
    try:
        done = subprocess.run(
            [python, "-m", "benchmarks.machine"], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise RunError(f"{python} cannot be started: {error.strerror}") from error
    if done.returncode:
        raise RunError(f"{python} cannot run the benchmarks:\n{done.stderr[-SHOWN_OF_AN_ERROR:]}")
    versions: dict[str, str] = json.loads(done.stdout)
    missing = [name for name, version in versions.items() if version == "not installed"]
    if missing:
        raise RunError(f"{python} lacks {', '.join(missing)}; `make bench` makes environments that have all")
    return versions


def measure(plan: Plan, on_case: Callable[[str, str], object]) -> Run:
    """Measure with one interpreter, every section in processes of its own.

    Args:
        plan: What.
        on_case: Is told the section and the case when one begins.

    Raises:
        RunError: Something that was to be measured did not work; nothing of it is kept.
    """
    run = Run(versions=plan.versions, effort=plan.effort)
    for section in plan.sections:
        start = perf_counter()
        run.figures[section] = _measured(plan, section, partial(on_case, section))
        run.seconds[section] = perf_counter() - start
    return run


def _measured(plan: Plan, section: str, on_case: Callable[[str], object]) -> list[Figure]:
    """Measure in several processes, then again what its target cannot be told from."""
    found: dict[tuple[str, str, str], Figure] = {}
    for _lot in range(_lots(plan.effort, section)):
        _add(found, _lot_of(plan, section, (), on_case))
    for _lot in range(EFFORTS[plan.effort].more_lots):
        unclear = dict.fromkeys(case for (case, *_), figure in found.items() if not figure.is_clear)
        if unclear:
            _add(found, _lot_of(plan, section, unclear, on_case))
    return list(found.values())


def _lots(effort: str, section: str) -> int:
    return EFFORTS[effort].lots if SECTIONS[section].in_lots else 1


def _add(found: dict[tuple[str, str, str], Figure], lot: Iterable[tuple[str, Figure]]) -> None:
    for case, figure in lot:
        key = (case, figure.case, figure.subject)
        known = found.get(key)
        found[key] = figure if known is None else known.with_more(figure)


def _lot_of(
    plan: Plan, section: str, cases: Iterable[str], on_case: Callable[[str], object]
) -> list[tuple[str, Figure]]:
    command = [plan.python, "-m", "benchmarks.measure", plan.effort, section, *cases]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, cwd=ROOT, env=_environment(), stdout=subprocess.PIPE, stderr=errors, text=True
        ) as process,
    ):
        try:
            figures = list(_read(process.stdout or (), on_case))
        except BaseException:  # an interrupt, too: the other process would go on measuring
            process.kill()
            raise
        if process.wait():
            errors.seek(0)
            text = errors.read()[-SHOWN_OF_AN_ERROR:]
            raise RunError(f"{section} broke off on Python {plan.version}:\n{text}")
    return figures


def _environment() -> dict[str, str]:
    """Return this process's environment; hash seeds are fixed, so that two runs have the same dictionaries."""
    return os.environ | {"PYTHONHASHSEED": "0"}


def _read(lines: Iterable[str], on_case: Callable[[str], object]) -> Iterator[tuple[str, Figure]]:
    for line in lines:
        said = json.loads(line)
        if "figure" in said:
            yield said["case"], figure_of(said["figure"])
        else:
            on_case(said["case"])
