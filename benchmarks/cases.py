"""What a section of the benchmarks is made of: cases, each of which gives figures."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from benchmarks.effort import Effort
from benchmarks.figures import Figure


@dataclass(frozen=True)
class Case:
    """Something that is measured in one go.

    Args:
        name: What the progress bar says.
        measure: Measures it.
    """

    name: str
    measure: Callable[[], Iterable[Figure]]


@dataclass(frozen=True)
class Section:
    """One kind of cost, measured in a process of its own.

    Args:
        title: What is measured and what it is divided by.
        text: What a reader has to know to understand it.
        cases: Lists the cases for an effort; nothing is measured yet.
        chart: How the report draws it: over the number of records, or as points in rows.
        in_lots: Whether the rounds are spread over several processes; not where every sample has its own, nor
            where making the batches takes longer than timing them.
    """

    title: str
    text: str
    cases: Callable[[Effort], Iterator[Case]]
    chart: str = "rows"
    in_lots: bool = True
