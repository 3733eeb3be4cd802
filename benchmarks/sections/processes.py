"""Whole processes in milliseconds, by pyperf: what a command that only imports a library takes."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyperf

from benchmarks.cases import Case, Section
from benchmarks.effort import Effort
from benchmarks.figures import Figure

VALUES = 3

PROGRAMS = {
    "nothing": "pass",
    "import asyncio": "import asyncio",
    "import asyncbatch": "import asyncbatch",
    "import Powertools' batch": "import aws_lambda_powertools.utilities.batch",
}


def cases(effort: Effort) -> Iterator[Case]:
    for name in PROGRAMS:
        yield Case(name, partial(_measure, name, effort))


def _measure(name: str, effort: Effort) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "result.json")
        workers = max(1, effort.processes // VALUES)
        extent = [f"--processes={workers}", f"--values={VALUES}", "--warmups=1", "--loops=1"]
        command = [sys.executable, "-m", "pyperf", "command", "--quiet", "--copy-env", *extent]
        program = [sys.executable, "-c", PROGRAMS[name]]
        subprocess.run(
            [*command, "--output", str(result), "--", *program], check=True, stdout=subprocess.DEVNULL
        )
        seconds = pyperf.Benchmark.load(str(result)).get_values()
    yield Figure(
        case=name, subject="whole process", samples=tuple(1_000 * each for each in seconds), unit="ms"
    )


SECTION = Section(
    title="Whole processes: start, import, end",
    text=(
        "Measured by pyperf (`pyperf command`), one program after another: absolute times, which other work on "
        "the machine moves. Compare programs by the section before this one."
    ),
    cases=cases,
    in_lots=False,
)
