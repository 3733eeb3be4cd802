"""The benchmarks run; what they measure is for `make bench`, not for a test."""

import json
import math
import random
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from scipy import stats

from benchmarks import running
from benchmarks.__main__ import main
from benchmarks.comparison import compare
from benchmarks.engines import WrongReplyError, check_reply
from benchmarks.figures import Conditions, Figure, ratios
from benchmarks.intervals import median_interval
from benchmarks.readme import BEGIN, END, MAIN_README, README, ReadmeError, replace_figures
from benchmarks.report import page
from benchmarks.results import Result, Run, read, write
from benchmarks.rounds import interleave
from benchmarks.running import RunError, plan
from benchmarks.sections import SECTIONS
from benchmarks.tables import cell, verdict

ROOT = Path(__file__).parents[1]
slow = pytest.mark.timeout(240)  # whichever runs first measures every section, each in a process of its own


# --- the whole run ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmarks")
    files = ["--json", str(folder / "result.json"), "--html", str(folder / "report.html")]
    command = [sys.executable, "-m", "benchmarks", "run", "--effort", "smoke", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "targets reached" in done.stdout
    return folder


@slow
def test_the_smallest_run_has_figures_of_every_section(smoke: Path):
    content = json.loads((smoke / "result.json").read_text())
    [run] = content["runs"]
    assert list(run["figures"]) == list(SECTIONS)
    assert all(run["figures"].values())
    assert run["versions"]["python"].startswith(f"3.{sys.version_info[1]}.")
    assert all(figure["samples"] for part in run["figures"].values() for figure in part)


@slow
def test_the_smallest_run_writes_a_report_with_every_section(smoke: Path):
    text = (smoke / "report.html").read_text()
    assert text.count('<figure class="chart">') >= len(SECTIONS)
    for section in SECTIONS.values():
        assert section.title.replace("'", "&#39;") in text


@slow
def test_a_result_is_read_as_it_was_written(smoke: Path, tmp_path: Path):
    result = read(smoke / "result.json")
    write(result, tmp_path / "again.json")
    assert read(tmp_path / "again.json") == result


@slow
def test_a_result_shown_again_has_its_targets(smoke: Path):
    shown = CliRunner().invoke(main, ["figures", str(smoke / "result.json")])
    assert shown.exit_code == 0, shown.output
    assert "Targets" in shown.output


# --- what is not measured -----------------------------------------------------------------------------


def test_an_engine_that_names_the_wrong_records_is_not_timed():
    check_reply("right", {"batchItemFailures": [{"itemIdentifier": "a"}]}, ["a"])
    with pytest.raises(WrongReplyError, match="wrong: its reply names 0 failed records, and 1 had to fail"):
        check_reply("wrong", {"batchItemFailures": []}, ["a"])
    with pytest.raises(WrongReplyError, match="other: its reply names 1 failed records, and 1 had to fail"):
        check_reply("other", {"batchItemFailures": [{"itemIdentifier": "b"}]}, ["a"])
    with pytest.raises(WrongReplyError, match="nothing: returned a NoneType"):
        check_reply("nothing", None)


def test_a_run_whose_engine_is_wrong_breaks_off_and_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    broken = "import benchmarks.engines as e; e.ENGINES['gather'] = lambda *_: lambda event, context: None"
    (tmp_path / "sitecustomize.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    files = ["--json", str(tmp_path / "r.json"), "--html", str(tmp_path / "r.html")]
    done = CliRunner().invoke(main, ["run", "--effort", "smoke", "--only", "calls", *files])
    assert done.exit_code == 1
    assert "gather: returned a NoneType, not a partial batch response" in done.output
    assert not (tmp_path / "r.json").exists()


@pytest.mark.parametrize(
    ("python", "message"),
    [
        pytest.param("/no/such/python", "/no/such/python cannot be started", id="none"),
        pytest.param("/bin/false", "/bin/false cannot run the benchmarks", id="fails"),
        pytest.param(sys.executable, "is given twice", id="twice"),
    ],
)
def test_an_interpreter_that_cannot_measure_is_refused_before_anything_runs(python: str, message: str):
    with pytest.raises(RunError, match=message):
        plan("smoke", (), (python,))


def test_what_is_measured_can_be_chosen():
    [here] = plan("smoke", ("idle", "calls"), ())
    assert here.sections == ("calls", "idle")
    assert here.cases() == 5


# --- rounds and intervals -----------------------------------------------------------------------------


def test_every_round_runs_every_case_once_in_the_same_order():
    calls: list[str] = []
    cases = {name: lambda name=name: calls.append(name) for name in ("a", "b")}
    samples = interleave(cases, rounds=3, seconds=0)
    assert "".join(calls) == "aabb" + "ab" * 3  # two calls each to warm up and to find how many fill a sample
    assert [len(each) for each in samples.values()] == [3, 3]


def measured(
    monkeypatch: pytest.MonkeyPatch, *, targets: dict[str, float]
) -> tuple[Run, list[tuple[str, ...]]]:
    """Run a plan whose processes are replaced: each says six samples about 0.5 for every case."""
    asked: list[tuple[str, ...]] = []

    def lot(_plan: object, _section: str, cases: Iterable[str], _on_case: object) -> list[tuple[str, Figure]]:
        asked.append(tuple(cases))
        samples = (0.48, 0.49, 0.5, 0.5, 0.51, 0.52)
        return [
            (name, Figure(case=name, subject="s", samples=samples, target=target))
            for name, target in targets.items()
            if name in asked[-1] or not asked[-1]
        ]

    monkeypatch.setattr(running, "_lot_of", lot)
    wanted = running.Plan("python", {"python": "3.13.0"}, "standard", ("calls",))
    return running.measure(wanted, lambda *_: None), asked


def test_rounds_are_spread_over_processes(monkeypatch: pytest.MonkeyPatch):
    run, asked = measured(monkeypatch, targets={"a": 0.9})
    assert asked == [()] * 4
    assert [len(figure.samples) for figure in run.figures["calls"]] == [24]


def test_a_case_whose_interval_holds_its_target_is_measured_longer_within_a_bound(
    monkeypatch: pytest.MonkeyPatch,
):
    run, asked = measured(monkeypatch, targets={"clear": 0.9, "near": 0.5})
    assert asked == [()] * 4 + [("near",)] * 2
    assert [len(figure.samples) for figure in run.figures["calls"]] == [24, 36]


def test_quotients_are_taken_within_a_round():
    samples = {"ours": [1.0, 20.0, 3.0], "theirs": [2.0, 40.0, 1.0]}
    ours, theirs = ratios(samples, "theirs", {"ours": 0.6}, Conditions(case="c"))
    assert ours.samples == (0.5, 0.5, 3.0)
    assert ours.value == 0.5
    assert ours.is_met
    assert theirs.samples == (1.0, 1.0, 1.0)


# Ranks of the interval's ends, from tables of the binomial distribution: 1 - 2 * P(X < rank) >= 0.95.
@pytest.mark.parametrize(
    ("count", "low", "high"),
    [
        pytest.param(6, 1, 6, id="6"),
        pytest.param(9, 2, 8, id="9"),
        pytest.param(13, 3, 11, id="13"),
        pytest.param(15, 4, 12, id="15"),
        pytest.param(25, 8, 18, id="25"),
    ],
)
def test_the_interval_of_a_median_ends_at_the_samples_that_the_binomial_tables_say(count, low, high):
    samples = [float(rank) for rank in range(1, count + 1)]
    random.Random(1).shuffle(samples)
    assert median_interval(samples) == (low, high)
    covered = 1 - 2 * sum(math.comb(count, rank) for rank in range(low)) / 2**count
    assert covered >= 0.95


def test_fewer_than_six_samples_have_no_interval():
    assert median_interval([1.0, 2.0, 3.0, 4.0, 5.0]) is None


def test_the_interval_holds_the_true_median_as_often_as_it_says():
    rng = random.Random(1)
    held = 0
    for _ in range(300):
        low, high = median_interval([rng.expovariate(1) for _ in range(13)])
        held += low <= math.log(2) <= high
    # 97.8 % is the exact coverage of the third and the eleventh of 13 samples.
    assert stats.binomtest(held, 300, 0.978).pvalue > 0.001


@pytest.mark.parametrize(
    ("target", "said"),
    [
        pytest.param(0.4, "pass", id="clearly below"),
        pytest.param(0.34, "pass?", id="below, within the interval"),
        pytest.param(0.32, "miss?", id="above, within the interval"),
        pytest.param(0.2, "miss", id="clearly above"),
        pytest.param(None, "", id="no target"),
    ],
)
def test_a_verdict_says_whether_it_is_sure(target: float | None, said: str):
    figure = Figure(case="c", subject="s", samples=(0.30, 0.31, 0.33, 0.33, 0.33, 0.34, 0.35), target=target)
    assert verdict(figure) == said
    assert cell(figure) == "0.33 ±0.03"


# --- comparing ----------------------------------------------------------------------------------------


def result_of(*figures: Figure) -> Result:
    run = Run(versions={"python": "3.13.0"}, effort="quick", figures={"calls": list(figures)})
    return Result(created="2026-01-01", command="c", machine={"processor": "p"}, runs=[run])


def drawn(subject: str, median: float, seed: int, spread: float = 0.03) -> Figure:
    rng = random.Random(seed)
    samples = tuple(median * rng.lognormvariate(0, spread) for _ in range(13))
    return Figure(case="c", subject=subject, samples=samples)


def test_a_change_is_told_from_chance():
    names = [f"same {number}" for number in range(40)]
    old = [drawn(name, 0.5, seed) for seed, name in enumerate(names)]
    new = [drawn(name, 0.5, seed + 100) for seed, name in enumerate(names)]
    old += [drawn("faster", 0.5, 1_001), drawn("slower", 0.5, 1_002)]
    new += [drawn("faster", 0.4, 1_003), drawn("slower", 0.6, 1_004)]
    changes = {each.key.subject: each for each in compare(result_of(*old), result_of(*new), smallest=0)}
    assert [name for name, each in changes.items() if each.is_real] == ["faster", "slower"]
    faster = changes["faster"]
    assert faster.relative == pytest.approx(-0.2, abs=0.04)
    assert faster.interval[0] < -0.2 < faster.interval[1] < 0


def test_a_change_too_small_to_matter_is_not_called_real():
    old, new = drawn("s", 0.5, 1, spread=0.001), drawn("s", 0.51, 2, spread=0.001)
    [change] = compare(result_of(old), result_of(new))
    assert change.interval[0] > 0
    assert change.is_real is False
    [change] = compare(result_of(old), result_of(new), smallest=0.01)
    assert change.is_real is True


def test_what_others_are_divided_by_and_what_only_one_result_has_is_not_compared():
    base, gone, come = (
        Figure(case="c", subject=name, samples=(1.0,) * 9) for name in ("base", "gone", "come")
    )
    assert compare(result_of(base, gone), result_of(base, replace(come, samples=(2.0,) * 9))) == []


def test_one_sample_is_compared_but_not_judged():
    old, new = (Figure(case="c", subject="s", samples=(value,), unit="MiB") for value in (2.0, 1.0))
    [change] = compare(result_of(old), result_of(new))
    assert (change.relative, change.interval, change.is_real) == (-0.5, None, None)


def test_the_command_compares_two_files(tmp_path: Path):
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    write(result_of(drawn("ours", 0.5, 1)), old)
    write(result_of(drawn("ours", 0.7, 2)), new)
    shown = CliRunner().invoke(main, ["compare", str(old), str(new)])
    assert shown.exit_code == 0, shown.output
    assert "1 of 1 figures changed: 0 less, 1 more" in shown.output
    assert CliRunner().invoke(main, ["compare", str(old), str(new), "--check"]).exit_code == 1
    assert CliRunner().invoke(main, ["compare", str(new), str(old), "--check"]).exit_code == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("", "is no result", id="empty"),
        pytest.param("[]", "is no result", id="other JSON"),
        pytest.param('{"shape": 99}', "has shape 99", id="another shape"),
    ],
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, content: str, message: str):
    file = tmp_path / "file.json"
    file.write_text(content)
    refused = CliRunner().invoke(main, ["compare", str(file), str(file)])
    assert refused.exit_code == 1
    assert message in refused.output


# --- what is written from a result --------------------------------------------------------------------


def test_a_report_names_its_misses():
    met = Figure(case="met", subject="asyncbatch", samples=(0.5,) * 9, target=0.6, records=10, handler="h")
    missed = replace(met, case="missed", samples=(0.7,) * 9)
    assert page(result_of(met, missed)).lead.startswith("1 of 2 targets are reached on Python 3.13.")


@pytest.mark.parametrize("readme", [MAIN_README, README], ids=lambda path: path.parent.name)
def test_both_readmes_have_a_place_for_figures(readme: Path):
    text = readme.read_text()
    assert (text.count(BEGIN), text.count(END)) == (1, 1)
    assert text.index(BEGIN) < text.index(END)


def test_figures_replace_those_that_stood_there(tmp_path: Path):
    file = tmp_path / "README.md"
    file.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    replace_figures(file, "new")
    replace_figures(file, "newer")
    assert file.read_text() == f"before\n{BEGIN}\nnewer\n{END}\nafter\n"
    file.write_text("no place")
    with pytest.raises(ReadmeError, match="needs one line"):
        replace_figures(file, "new")
