"""How much is measured: everything, a quick look, or just enough to see that the harness works."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Effort:
    """The extent of a run.

    Args:
        sizes: Records per batch.
        rounds: Rounds in one process; batches of 10,000 get a third.
        processes: Rounds of fresh processes.
        large: Records of the large batch, beside a tenth of it, in scaling and memory.
    """

    sizes: tuple[int, ...]
    rounds: int
    processes: int
    large: int = 10_000

    def rounds_for(self, size: int) -> int:
        """Return the rounds for batches of this size."""
        return self.rounds if size < 10_000 else max(1, self.rounds // 3)


EFFORTS = {
    "full": Effort(sizes=(10, 100, 1_000, 10_000), rounds=15, processes=10),
    "quick": Effort(sizes=(10, 1_000), rounds=7, processes=5),
    "smoke": Effort(sizes=(10,), rounds=1, processes=1, large=200),
}
