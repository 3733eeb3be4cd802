"""Keep few of the cases that fuzzing found: as many as together reach everything that all of them reach.

    .venv/bin/python tests/fuzzing/keep_corpus.py

It reads `.venv-fuzz/corpus`, which `make fuzz` fills, and the kept corpus; it writes the latter anew and empties
the former, which would take a minute to be read. Everything means each step from line to line in the package, and
each way in which a case ended.
"""

import hashlib
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import Any

from cases import Case
from oracle import complaints
from runs import Seen, run_case, virtual_time

import asyncbatch

HERE = Path(__file__).parent
KEPT = HERE / "corpus"
FOUND = HERE.parents[1] / ".venv-fuzz" / "corpus"
MOST = 200
PACKAGE = str(Path(asyncbatch.__file__).parent)

Reached = frozenset[tuple[object, ...]]


def reached_by(case: Case) -> Reached:
    """The steps between lines of the package that a case takes, and how it ends."""
    steps: set[tuple[object, ...]] = set()

    def trace(frame: FrameType, event: str, argument: object) -> Any:
        name = frame.f_code.co_filename
        if not name.startswith(PACKAGE):
            return None
        last = frame.f_lineno

        def trace_lines(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal last
            if event == "line":
                steps.add((name, last, frame.f_lineno))
                last = frame.f_lineno
            return trace_lines

        return trace_lines

    sys.settrace(trace)
    try:
        seen = run_case(case)
    finally:
        sys.settrace(None)
    if complaints(seen):
        sys.exit(f"this case has to be mended first: {case.text()}")
    return frozenset(steps | {ending(seen)})


def ending(seen: Seen) -> tuple[object, ...]:
    problem = str(getattr(seen.error, "problem", ""))[:20]
    named = bool(seen.reply and seen.reply["batchItemFailures"])
    return seen.case.entry, type(seen.error).__name__, problem, named


def chosen(reached: dict[str, Reached]) -> list[str]:
    """The texts that add most, shorter ones first, until nothing is added."""
    rest, left = set[tuple[object, ...]]().union(*reached.values()), dict(reached)
    texts: list[str] = []
    while rest and left and len(texts) < MOST:
        best = max(sorted(left), key=lambda text: (len(left[text] & rest), -len(text)))
        rest -= left.pop(best)
        texts.append(best)
    return texts


def main() -> None:
    warnings.simplefilter("ignore")  # cases leave coroutines unawaited on purpose
    files = [*KEPT.glob("*"), *FOUND.glob("*")]
    cases = [case for path in files if (case := Case.read(path.read_bytes())) is not None]
    with virtual_time():
        for case in cases[:20]:
            reached_by(case)  # what is imported late is imported now
        reached = {case.text(): reached_by(case) for case in cases}
    texts = chosen({text: steps for text, steps in reached.items() if len(text) <= 2047})
    for path in files:
        path.unlink()
    for text in texts:
        name = hashlib.sha256(text.encode()).hexdigest()[:12]
        (KEPT / f"{name}.json").write_text(text + "\n")
    total = len(frozenset().union(*reached.values()))
    print(f"{len(cases)} cases reach {total} steps, and {len(texts)} are kept")  # noqa: T201 - it is a command


if __name__ == "__main__":
    main()
