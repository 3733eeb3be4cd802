"""Fair timing: in every round each case runs once, in the same order, in one process.

A machine that is shared swings by a factor of two between runs, and hardly at all between two
samples that follow each other. So only quotients within a round are compared, and their median is
the result. What never sleeps is timed in CPU seconds: on an idle machine they are those of the wall,
and elsewhere they leave out what other processes took in between.
"""

import gc
import math
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter, process_time
from typing import Any

Samples = dict[str, list[float]]
Clock = Callable[[], float]

CPU: Clock = process_time
WALL: Clock = perf_counter
SAMPLE_SECONDS = 0.004
# A share of the repeats is not timed: whoever comes after its like finds its code in the processor's caches, and
# the collection has emptied what the interpreter keeps at hand. Of two names for the same code the second was 7 %
# faster without.
_WARMING = 10


def interleave(
    cases: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    clock: Clock = CPU,
    seconds: float = SAMPLE_SECONDS,
    multiple: int = 1,
) -> Samples:
    """Time each case once per round.

    Args:
        cases: What is called, by name.
        rounds: How often all cases run.
        clock: Reads seconds; `WALL` for what sleeps.
        seconds: A case is repeated within a sample until it lasts about this long.
        multiple: The repeats of a sample are a multiple of this.

    Returns:
        Seconds per call, a sample per round.
    """
    timed = partial(_time, clock)
    repeats = {name: _repeats(timed, case, seconds, multiple) for name, case in cases.items()}
    samples: Samples = {name: [] for name in cases}
    for _round in range(rounds):
        for name, case in cases.items():
            gc.collect()
            timed(case, repeats[name] // _WARMING)
            samples[name].append(timed(case, repeats[name]) / repeats[name])
    return samples


def _repeats(timed: Callable[[Any, int], float], case: object, seconds: float, multiple: int) -> int:
    timed(case, multiple)  # the first call pays for what is set up once
    return multiple * max(1, math.ceil(seconds / timed(case, multiple)))


def _time(clock: Clock, case: Callable[[], object], repeats: int) -> float:
    start = clock()
    for _ in range(repeats):
        case()
    return clock() - start
