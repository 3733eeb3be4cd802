"""How much is measured: everything, what five minutes allow, a quick look, or just a sign of life."""

from dataclasses import dataclass

LARGE = 10_000
ROUNDS_OF_LARGE = 9


@dataclass(frozen=True, kw_only=True)
class Effort:
    """The extent of a run.

    Args:
        sizes: Records per batch, for the handlers and engines that are told apart by size.
        few_sizes: Records per batch, for all others.
        rounds: Rounds in one process; large batches get fewer.
        most_rounds: How often that many rounds may follow while an interval holds its target.
        processes: Rounds of fresh processes.
        large: Records of the large batch in scaling and memory.
        huge: Records of the batch that shows whether lanes stay linear.
        slow_up_to: Largest batch for the engines that take ten times as long as the others.
        peers: Whether every engine is measured, or only asyncbatch and Powertools.
        sections: Names of the sections; empty for all.
        others: Name of the effort for interpreters beside the first; empty for none.
    """

    sizes: tuple[int, ...]
    few_sizes: tuple[int, ...]
    rounds: int
    most_rounds: int
    processes: int
    large: int = 10_000
    huge: int = 100_000
    slow_up_to: int = 1_000
    peers: bool = True
    sections: tuple[str, ...] = ()
    others: str = ""

    def rounds_for(self, size: int) -> int:
        """Return the rounds for batches of this size."""
        return self.rounds if size < LARGE else min(self.rounds, max(ROUNDS_OF_LARGE, self.rounds // 2))


EFFORTS = {
    "full": Effort(
        sizes=(1, 10, 100, 1_000, 10_000),
        few_sizes=(10, 100, 1_000, 10_000),
        rounds=40,
        most_rounds=3,
        processes=25,
        slow_up_to=10_000,
        others="standard",
    ),
    "standard": Effort(
        sizes=(1, 10, 100, 1_000, 10_000),
        few_sizes=(10, 1_000),
        rounds=20,
        most_rounds=2,
        processes=9,
        others="reduced",
    ),
    "reduced": Effort(
        sizes=(10, 1_000),
        few_sizes=(10, 1_000),
        rounds=12,
        most_rounds=1,
        processes=9,
        peers=False,
        sections=("calls", "lanes", "features", "memory", "imports"),
    ),
    "quick": Effort(
        sizes=(10, 1_000),
        few_sizes=(10, 1_000),
        rounds=9,
        most_rounds=1,
        processes=6,
        huge=10_000,
        peers=False,
    ),
    "smoke": Effort(
        sizes=(10,),
        few_sizes=(10,),
        rounds=1,
        most_rounds=0,
        processes=1,
        large=200,
        huge=200,
        others="smoke",
    ),
}
