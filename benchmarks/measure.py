"""Measure one section in this process, and say what was found as lines of JSON.

``python -m benchmarks.measure EFFORT SECTION [CASE...]`` is what a run starts, with every interpreter, for every
section: asyncio keeps the room that a large batch took in its sets of tasks, and whoever walks them later pays.
"""

import gc
import json
import sys
from collections.abc import Collection
from dataclasses import asdict

from benchmarks.effort import EFFORTS
from benchmarks.engines import prepare
from benchmarks.sections import SECTIONS


def measure(effort: str, section: str, only: Collection[str]) -> None:
    """Print a line when a case begins, and one for each of its figures.

    Args:
        effort: Name of the effort.
        section: Name of the section.
        only: Names of the cases; empty for all.
    """
    prepare()
    gc.collect()
    gc.freeze()  # what is loaded would be searched before every sample
    chosen, extent = SECTIONS[section], EFFORTS[effort]
    for case in chosen.cases(extent if chosen.in_lots else extent.in_one_lot()):
        if not only or case.name in only:
            print(json.dumps({"case": case.name}), flush=True)
            for figure in case.measure():
                print(json.dumps({"case": case.name, "figure": asdict(figure)}), flush=True)


if __name__ == "__main__":
    measure(sys.argv[1], sys.argv[2], sys.argv[3:])
