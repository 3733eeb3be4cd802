"""Coverage-guided fuzzing of events: `make fuzz`.

An input is a case as JSON text (`Case`). A mutation reads it, does something to the tree of its event or to its
other words, and writes it again, so that every input is an event that Lambda could pass, and a person can read it.
What reaches code of the package that none reached before is kept in `.venv-fuzz/corpus`; a case that the oracle
complains of is written to `.venv-fuzz/crash-*`. Arguments are libFuzzer's.
"""

import random
import sys
import warnings
from pathlib import Path

try:
    import atheris
except ImportError as error:
    sys.exit(f"make fuzz needs atheris, which has wheels for CPython 3.11 to 3.13 on Linux x86-64: {error}")

HERE = Path(__file__).parent
WORK = HERE.parents[1] / ".venv-fuzz"

with atheris.instrument_imports(include=["asyncbatch"]):
    # Those that are loaded where they are first used are named, to be instrumented too.
    from runs import run_case, virtual_time

    import asyncbatch._dynamodb
    import asyncbatch._nested
    import asyncbatch._outcomes
    import asyncbatch._payloads
    import asyncbatch.hooks  # noqa: F401 - likewise

from cases import Case, changed_case, fresh_case  # noqa: E402 - it would load the package without its counters
from oracle import complaints  # noqa: E402 - likewise


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Another case made of a case; the same where the other would be too long."""
    rng = random.Random(seed)
    case = Case.read(data)
    other = fresh_case(rng) if case is None or rng.random() < FRESH else changed_case(case, rng)
    text = other.text().encode()
    return text if len(text) <= max_size else data


FRESH = 0.02
"""How often a case is not made of another."""


def run_input(data: bytes) -> None:
    case = Case.read(data)
    if case is None:
        return
    found = complaints(run_case(case))
    if found:
        raise AssertionError("\n".join(found))


def main() -> None:
    warnings.simplefilter("ignore")  # cases leave coroutines unawaited on purpose
    corpus = WORK / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    usual = ["-max_len=2048", "-print_final_stats=1", f"-artifact_prefix={WORK}/"]
    own = [each for each in sys.argv[1:] if not each.startswith("-")]
    folders = own or [str(corpus), str(HERE / "corpus")]
    options = [each for each in sys.argv[1:] if each.startswith("-")]
    atheris.Setup([sys.argv[0], *usual, *options, *folders], run_input, custom_mutator=mutate)
    with virtual_time():
        atheris.Fuzz()


if __name__ == "__main__":
    main()
