"""Fair timing: in every round each case runs once, in the same order, in one process.

A machine that is shared swings by a factor of two between runs, and hardly at all between two
samples that follow each other. So only quotients within a round are compared, and their median is
the result.
"""

import gc
import math
import statistics
from collections.abc import Callable, Mapping
from time import perf_counter

Samples = dict[str, list[float]]


def interleave(
    cases: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    seconds: float = 0.004,
    multiple: int = 1,
) -> Samples:
    """Time each case once per round.

    Args:
        cases: What is called, by name.
        rounds: How often all cases run.
        seconds: A case is repeated within a sample until it lasts about this long.
        multiple: The repeats of a sample are a multiple of this.

    Returns:
        Seconds per call, a sample per round.
    """
    repeats = {name: _repeats(case, seconds, multiple) for name, case in cases.items()}
    samples: Samples = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            gc.collect()
            samples[name].append(_time(case, repeats[name]) / repeats[name])
    return samples


def _repeats(case: Callable[[], object], seconds: float, multiple: int) -> int:
    _time(case, multiple)  # the first call pays for what is set up once
    return multiple * max(1, math.ceil(seconds / _time(case, multiple)))


def _time(case: Callable[[], object], repeats: int) -> float:
    start = perf_counter()
    for _ in range(repeats):
        case()
    return perf_counter() - start


def ratio(samples: Samples, name: str, base: str) -> float:
    """Return the median of the per-round quotients of two cases."""
    return statistics.median(a / b for a, b in zip(samples[name], samples[base], strict=True))
