"""How sure a median is.

The interval is that of the sign test, exact for every distribution: its ends are samples, chosen by the
binomial distribution (W. J. Conover, Practical Nonparametric Statistics, 3rd edition, section 3.2).
"""

import statistics
from collections.abc import Sequence
from typing import Any

CONFIDENCE = 0.95
FEWEST = 6
"""With fewer samples even the lowest and the highest hold the median less often: 1 - 2 / 2**5 is 94 %."""

Interval = tuple[float, float]


def median_interval(samples: Sequence[float]) -> Interval | None:
    """Return the interval that holds the median with 95 % confidence.

    Args:
        samples: What was measured, a value per round; rounds are taken as independent.

    Returns:
        Its lower and its upper end; None for fewer samples than `FEWEST`.
    """
    if len(samples) < FEWEST:
        return None
    from scipy import stats  # noqa: PLC0415 - a second to import, and not for what a process per case measures

    found: Any = stats.quantile_test(samples, p=0.5).confidence_interval(CONFIDENCE)
    return float(found.low), float(found.high)


def quotients(samples: Sequence[float], base: Sequence[float]) -> tuple[float, ...]:
    """Divide within rounds.

    Args:
        samples: A value per round.
        base: What they are compared with, from the same rounds.
    """
    return tuple(a / b for a, b in zip(samples, base, strict=True))


def median(samples: Sequence[float]) -> float:
    """Return the middle sample, or the mean of the two."""
    return statistics.median(samples)
