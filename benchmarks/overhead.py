"""Measure the overhead of asyncbatch: ``python -m benchmarks.overhead --help``."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks import calls, facade, idle, imports, memory, scaling, starvation
from benchmarks.effort import EFFORTS
from benchmarks.figures import Figure, show, write
from benchmarks.subjects import prepare

SECTIONS = {
    "calls": calls,
    "facade": facade,
    "scaling": scaling,
    "idle": idle,
    "starvation": starvation,
    "memory": memory,
    "imports": imports,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, show, write; with ``--check`` a missed target is exit code 1."""
    options = _parse(arguments)
    effort = "smoke" if options.smoke else "quick" if options.quick else "full"
    progress = Console(stderr=True, highlight=False)
    prepare()
    figures: list[Figure] = []
    for name in options.only or SECTIONS:
        for figure in SECTIONS[name].measure(EFFORTS[effort]):
            figures.append(figure)
            progress.print(f"[dim]{name}: {figure.case}: {figure.subject}[/] {figure.value:.2f}")
    console = Console(width=None if sys.stdout.isatty() else 160)
    show(figures, console)
    write(options.json, figures, effort)
    missed = sum(figure.met is False for figure in figures)
    wanted = sum(figure.target is not None for figure in figures)
    console.print(f"{wanted - missed} of {wanted} targets reached; figures in {options.json}")
    return 1 if options.check and missed else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead",
        description="Measure the overhead of asyncbatch beside other ways to process a batch.",
    )
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="fewer sizes and rounds: a minute")
    extent.add_argument("--smoke", action="store_true", help="only show that everything runs")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        default=Path(f"benchmarks/results/python-{sys.version_info[0]}.{sys.version_info[1]}.json"),
        help="where the figures go (%(default)s)",
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
