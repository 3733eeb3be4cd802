"""How much is measured: everything, what five minutes allow, a quick look, or just a sign of life."""

from dataclasses import dataclass, replace

LARGE = 10_000


@dataclass(frozen=True, kw_only=True)
class Effort:
    """The extent of a run.

    Args:
        sizes: Records per batch, for the handlers and engines that are told apart by size.
        few_sizes: Records per batch, for all others.
        lots: Processes that a section's rounds are spread over: two differ in how their memory is laid out.
        more_lots: How many may follow for the cases whose interval holds their target.
        rounds: Rounds in each; large batches get half.
        processes: Rounds of fresh processes, in sections where every sample is one.
        large: Records of the large batch in scaling and memory.
        huge: Records of the batch that shows whether lanes stay linear.
        slow_up_to: Largest batch for the engines that take ten times as long as the others.
        peers: Whether every engine is measured, or only asyncbatch and Powertools.
        sections: Names of the sections; empty for all.
        others: Name of the effort for interpreters beside the first; empty for none.
    """

    sizes: tuple[int, ...]
    few_sizes: tuple[int, ...]
    lots: int
    more_lots: int
    rounds: int
    processes: int
    large: int = 10_000
    huge: int = 100_000
    slow_up_to: int = 1_000
    peers: bool = True
    sections: tuple[str, ...] = ()
    others: str = ""

    def rounds_for(self, size: int) -> int:
        """Return the rounds for batches of this size."""
        return self.rounds if size < LARGE else max(1, self.rounds // 2)

    def in_one_lot(self) -> "Effort":
        """Return an effort that has all its rounds in one process."""
        return replace(self, rounds=self.rounds * self.lots, lots=1)


EFFORTS = {
    "full": Effort(
        sizes=(1, 10, 100, 1_000, 10_000),
        few_sizes=(10, 100, 1_000, 10_000),
        lots=10,
        more_lots=5,
        rounds=6,
        processes=25,
        slow_up_to=10_000,
        others="standard",
    ),
    "standard": Effort(
        sizes=(1, 10, 100, 1_000, 10_000),
        few_sizes=(10, 1_000),
        lots=4,
        more_lots=2,
        rounds=5,
        processes=9,
        others="reduced",
    ),
    "reduced": Effort(
        sizes=(10, 1_000),
        few_sizes=(10, 1_000),
        lots=3,
        more_lots=1,
        rounds=4,
        processes=9,
        peers=False,
        sections=("calls", "lanes", "features", "memory", "imports"),
    ),
    "quick": Effort(
        sizes=(10, 1_000),
        few_sizes=(10, 1_000),
        lots=2,
        more_lots=1,
        rounds=5,
        processes=6,
        huge=10_000,
        peers=False,
    ),
    "smoke": Effort(
        sizes=(10,),
        few_sizes=(10,),
        lots=1,
        more_lots=0,
        rounds=1,
        processes=1,
        large=200,
        huge=200,
        others="smoke",
    ),
}
