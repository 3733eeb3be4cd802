"""Lets worlds live, as many as are asked for, and tells which of them broke a law.

``make soak`` runs millions. A seed that broke one becomes a test in ``test_worlds.py``.
"""

import argparse
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "engine")]
CHUNK = 250


def break_laws(start: int, stop: int) -> list[str]:
    """The worlds of these seeds that broke a law, a line for each."""
    from invariants import broken_laws
    from worlds import lives

    warnings.simplefilter("ignore")  # a record's handler that was killed may leave a coroutine unawaited
    lines = []
    for seed in range(start, stop):
        try:
            broken = broken_laws(lives(seed))
        except Exception as error:
            broken = [f"{type(error).__name__}: {error}"[:300]]
        if broken:
            lines.append(f"seed {seed}: {broken[0]}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=20_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    began = time.monotonic()
    broken: list[str] = []
    lived = 0
    with ProcessPoolExecutor(options.jobs) as pool:
        end = options.first + options.worlds
        chunks = {
            pool.submit(break_laws, start, min(start + CHUNK, end)): min(CHUNK, end - start)
            for start in range(options.first, end, CHUNK)
        }
        for chunk in as_completed(chunks):
            lived += chunks[chunk]
            broken += chunk.result()
            if sys.stderr.isatty():
                rate = lived / (time.monotonic() - began)
                print(f"\r{lived} worlds, {rate:.0f} a second, {len(broken)} broken", end="", file=sys.stderr)
    print(*sorted(broken), sep="\n")
    print(f"{lived} worlds lived in {time.monotonic() - began:.0f} s; {len(broken)} broke a law")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
