"""Measure one section in this process, and say what was found as lines of JSON.

``python -m benchmarks.measure EFFORT SECTION`` is what a run starts, with every interpreter, for every section:
asyncio keeps the room that a large batch took in its sets of tasks, and whoever walks them later pays for it.
"""

import gc
import importlib
import json
import sys
from dataclasses import asdict

from benchmarks.effort import EFFORTS
from benchmarks.engines import prepare
from benchmarks.intervals import FEWEST
from benchmarks.sections import SECTIONS


def measure(effort: str, section: str) -> None:
    """Print a line when a case begins, and one for each of its figures."""
    prepare()
    if EFFORTS[effort].rounds >= FEWEST:
        freeze()
    for case in SECTIONS[section].cases(EFFORTS[effort]):
        print(json.dumps({"case": case.name}), flush=True)
        for figure in case.measure():
            print(json.dumps({"figure": asdict(figure)}), flush=True)


def freeze() -> None:
    """Take what is loaded out of the garbage collector's sight: it would be searched before every sample."""
    importlib.import_module("scipy.stats")  # by far the most of it, and used by none that are measured
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    measure(sys.argv[1], sys.argv[2])
