"""The kept corpus, without a fuzzer: cases that together reach what fuzzing has reached so far."""

from collections import Counter
from pathlib import Path

import pytest
from cases import Case
from oracle import complaints
from runs import run_case

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.json"))

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def test_every_kept_case_is_one_and_small() -> None:
    assert 0 < len(CORPUS) <= 200
    for path in CORPUS:
        assert path.stat().st_size <= 2048
        assert Case.read(path.read_bytes()) is not None, path.name


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_kept_case_loses_nothing(path: Path) -> None:
    case = Case.read(path.read_bytes())
    assert case is not None
    assert complaints(run_case(case)) == []


def test_the_corpus_goes_everywhere() -> None:
    """A corpus that no longer fits the package is refused at its door, and proves nothing."""
    ends: Counter[str] = Counter()
    for path in CORPUS:
        case = Case.read(path.read_bytes())
        assert case is not None
        seen = run_case(case)
        ends[type(seen.error).__name__ if seen.error else "reply"] += 1
        ends["some handlers ran"] += bool(seen.started)
        ends["some records are named"] += bool(seen.reply and seen.reply["batchItemFailures"])
    wanted = {
        "reply",
        "InvalidEventError",
        "SequenceOrderError",
        "FailedBatchError",
        "UnreportableRecordError",
    }
    assert wanted | {"some handlers ran", "some records are named"} <= set(+ends)
