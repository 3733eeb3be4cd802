"""How much is dropped: lately, and usually, whatever the limit is."""

from __future__ import annotations

from typing import Final, final

# The weight of the newest sample: in what tells of an outage, and in what tells of a limit that is too high.
_LATELY: Final = 0.1
_RECENTLY: Final = 0.02
# A drop where there are none usually is one too many; where there are some, it takes twice the share, recently.
_ONE: Final = 0.005
_TIMES: Final = 2.0
# An outage: where little is dropped usually, so much lately (seven in a row), and where much is, more.
_OUTAGE: Final = 0.5
_OUTAGE_TIMES: Final = 1.5
_MOST: Final = 0.9
# The usual share rests on so many samples that were no drops, whatever was seen, and forgets half after so many.
_DOUBT: Final = 100
_MEMORY: Final = 1_000


@final
class DropShares:
    """Tells drops that a limit is to blame for from those that happen at every limit.

    A record in a hundred may time out for reasons of its own. A limit that fell for each would starve; so drops
    are counted where the limit is safely below the place at which it was last cut: what is dropped there is usual.
    """

    def __init__(self) -> None:
        self._lately = 0.0
        self._recently = 0.0
        self._seen = 0.0
        self._dropped = 0.0

    @property
    def usual(self) -> float:
        """The share that is dropped whatever the limit is."""
        return self._dropped / (self._seen + _DOUBT)

    def passed(self, number: int, *, below: bool) -> None:
        """Note records that were not dropped.

        Args:
            number: How many.
            below: Whether the limit was safely below the place where it was last cut.
        """
        self._lately *= (1 - _LATELY) ** number
        self._recently *= (1 - _RECENTLY) ** number
        if below:
            self._count(number, 0)

    def dropped(self, *, below: bool) -> None:
        """Note a record that was dropped."""
        self._lately += (1 - self._lately) * _LATELY
        self._recently += (1 - self._recently) * _RECENTLY
        if below and not self.is_outage:
            self._count(1, 1)

    @property
    def is_outage(self) -> bool:
        """Whether so much was dropped lately that nothing seems to get through."""
        return self._lately > min(_MOST, _OUTAGE + _OUTAGE_TIMES * self.usual)

    @property
    def is_too_much(self) -> bool:
        """Whether more was dropped recently than usually."""
        return self._recently > _ONE + _TIMES * self.usual

    def _count(self, seen: int, dropped: int) -> None:
        self._seen += seen
        self._dropped += dropped
        if self._seen > _MEMORY:
            self._seen /= 2
            self._dropped /= 2
