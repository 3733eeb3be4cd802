"""A figure: something measured, how sure it is, and the target it has to reach."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from benchmarks.intervals import Interval, median, median_interval, quotients
from benchmarks.rounds import Samples


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One measurement.

    Args:
        case: Under which conditions; a row of the section's table.
        subject: Of what; a column of the section's table.
        samples: What was measured, a value per round.
        unit: ``x`` for a ratio, else a unit of time or memory.
        base: What a ratio is to.
        target: What the median may be at most; None for a figure that is only shown.
        records: Records per batch, where charts go by that.
        handler: The kind of handler, where charts go by that.
        absolute: The fastest sample in microseconds; an order of magnitude, for the result file alone.
    """

    case: str
    subject: str
    samples: tuple[float, ...]
    unit: str = "x"
    base: str | None = None
    target: float | None = None
    records: int | None = None
    handler: str | None = None
    absolute: float | None = None

    @cached_property
    def value(self) -> float:
        """The median of the samples."""
        return median(self.samples)

    @cached_property
    def interval(self) -> Interval | None:
        """Where the median lies with 95 % confidence; None where there are too few samples."""
        return median_interval(self.samples)

    def with_more(self, other: "Figure") -> "Figure":
        """Return this figure with the samples of another measurement of the same, too."""
        both = [each.absolute for each in (self, other) if each.absolute is not None]
        return replace(self, samples=self.samples + other.samples, absolute=min(both, default=None))

    @property
    def half_interval(self) -> float:
        """The larger distance from the median to an end of its interval; 0 where there is none."""
        low, high = self.interval or (self.value, self.value)
        return max(self.value - low, high - self.value)

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        return None if self.target is None else self.value <= self.target

    @property
    def is_clear(self) -> bool:
        """Whether the whole interval agrees with the verdict."""
        if self.target is None or self.interval is None:
            return True
        return not self.interval[0] <= self.target < self.interval[1]


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What the figures of a case have in common.

    Args:
        case: Under which conditions; a row of the section's table.
        records: Records per batch, where charts go by that.
        handler: The kind of handler, where charts go by that.
        per: What absolute times are divided by; 1 for the whole call.
    """

    case: str
    records: int | None = None
    handler: str | None = None
    per: int = 1


def ratios(
    samples: Samples, base: str, targets: Mapping[str, float | None], conditions: Conditions
) -> Iterator[Figure]:
    """Make a figure of every case's quotients with one of them.

    Args:
        samples: Seconds per round, by name.
        base: The case that all are divided by.
        targets: What the quotients may be at most, by name; a name that is missing has none.
        conditions: Under which they were measured.
    """
    for name in samples:
        yield Figure(
            case=conditions.case,
            subject=name,
            samples=quotients(samples[name], samples[base]),
            base=base,
            target=targets.get(name),
            records=conditions.records,
            handler=conditions.handler,
            absolute=min(samples[name]) * 1e6 / conditions.per,
        )


def with_target(figures: Iterable[Figure]) -> list[Figure]:
    """Return the figures that have a target."""
    return [figure for figure in figures if figure.target is not None]


def rows(figures: Iterable[Figure]) -> dict[str, dict[str, Figure]]:
    """Arrange figures as a table: by case, then by subject."""
    table: dict[str, dict[str, Figure]] = {}
    for figure in figures:
        table.setdefault(figure.case, {})[figure.subject] = figure
    return table


def subjects(figures: Iterable[Figure]) -> list[str]:
    """Return what the figures are of, each once."""
    return list(dict.fromkeys(figure.subject for figure in figures))
