"""What a study is shown as: sentences, rows, JSON and charts that plotly accepts."""

import dataclasses
import itertools
import json
import math

import pytest

from asyncbatch import EventSource
from asyncbatch.testing import SimulatedBackend, sample_event
from asyncbatch.tuning import Plan, Reason, as_json, line_to_paste, study_page, summary, tune
from asyncbatch.tuning._explanations import per_second, seconds
from asyncbatch.tuning._page import BLUE, Chart, Table, render
from asyncbatch.tuning._strokes import end_labels
from asyncbatch.tuning._tables import comparison_rows, limit_rows, settings_rows, size_of

from .conftest import calling


@pytest.fixture(scope="module")
def ordered():
    """A study in which lanes are the bound."""
    event = sample_event(EventSource.SQS_FIFO, 40, keys=4)
    return tune(calling(SimulatedBackend(servers=20)), event, Plan(rounds=2), virtual_time=True)


def blocks(page, kind):
    return [block for section in page.sections for block in section.blocks if isinstance(block, kind)]


def test_the_recommendation_is_a_sentence_and_a_line_to_paste(study):
    limit = study.recommendation.limit
    assert summary(study).startswith(f"Use a limit of {limit}: ")
    assert line_to_paste(study) == f"@batch_handler(concurrency={limit})"


@pytest.mark.parametrize(
    ("further", "said"), [(-1, False), (0, False), (3, True)], ids=["lower", "same", "higher"]
)
def test_more_throughput_is_offered_at_a_higher_limit_only(study, further, said):
    recommendation = dataclasses.replace(
        study.recommendation, reason=Reason.KNEE, for_throughput=study.recommendation.limit + further
    )
    slower = [dataclasses.replace(run, throughput=0.8 * study.best.throughput) for run in study.chosen.runs]
    chosen = dataclasses.replace(study.chosen, runs=slower)
    text = summary(dataclasses.replace(study, recommendation=recommendation, chosen=chosen))
    assert ("has up to 25% more" in text) is said


def test_the_page_has_the_charts_and_plotly_accepts_them(study, ordered):
    from plotly.graph_objects import Figure

    for each, charts in ((study, 5), (ordered, 4)):
        found = blocks(study_page(each, "app:handler", {"command": "asyncbatch tune"}), Chart)
        assert len(found) == charts
        for chart in found:
            figure = Figure(chart.figure)  # it raises at what is none
            assert chart.caption
            assert figure.data
            assert figure.layout.xaxis.title.text
            assert figure.layout.yaxis.title.text


def test_the_page_can_be_written_and_names_what_was_tuned(study):
    text = render(study_page(study, "app:<handler>", {"command": "asyncbatch tune"}))
    assert "<h1>app:&lt;handler&gt;: how many records in flight?</h1>" in text
    assert "asyncbatch tune" in text


def test_the_page_says_why_and_marks_the_recommended_row(study):
    page = study_page(study, "app:handler", {})
    for sentence in study.recommendation.why:
        assert sentence in page.sections[0].blocks
    limits = next(table for table in blocks(page, Table) if table.head[0] == "limit")
    [marked] = limits.marked
    assert limits.rows[marked][0] == str(study.recommendation.limit)


def test_what_was_refused_is_shown(study):
    titles = [chart.title for chart in blocks(study_page(study, "app:handler", {}), Chart)]
    assert "Records that did not succeed" in titles


def test_lanes_are_shown_where_there_are_any(study, ordered):
    assert any("lanes" in text for text in blocks(study_page(ordered, "app:handler", {}), str))
    assert {bar.lane for bar in ordered.timeline} == {0, 1, 2, 3}
    titles = [chart.title for chart in blocks(study_page(ordered, "app:handler", {}), Chart)]
    assert "10 records, by lane" in titles
    assert not any("by lane" in chart.title for chart in blocks(study_page(study, "x", {}), Chart))


def test_rows_have_a_cell_for_each_column(study):
    for rows in (limit_rows(study), comparison_rows(study)):
        assert all(len(row) == len(rows.head) for row in rows.rows)
    assert [row[0] for row in settings_rows(study)][:2] == ["concurrency", "BatchSize"]


def test_json_has_all_figures_and_survives_a_round_trip(study):
    made = as_json(study)
    again = json.loads(json.dumps(made, allow_nan=False))
    assert again == made
    assert made["format"] == "asyncbatch.tune/1"
    assert made["recommendation"]["limit"] == study.recommendation.limit
    assert made["recommendation"]["knee"]["low"] <= made["recommendation"]["knee"]["limit"]
    assert [limit["limit"] for limit in made["limits"]] == [point.limit for point in study.points]
    assert all(len(limit["throughput_of_rounds"]) == 3 for limit in made["limits"])
    assert sum(made["limits"][-1]["records"].values()) > 0
    assert [each["name"] for each in made["adaptive"]] == ["AdaptiveLimit", "AIMDLimit", "Gradient2Limit"]


def test_names_at_the_ends_of_lines_do_not_overlap():
    ends = [(1.0, 20.0, "a", BLUE), (1.0, 20.0, "b", BLUE), (1.0, 21.0, "c", BLUE), (1.0, 90.0, "d", BLUE)]
    labels = end_labels(ends, 3.0)
    heights = [3.0 * label["y"] + label["yshift"] for label in labels]
    assert all(above - below >= 16 for below, above in itertools.pairwise(heights))
    assert labels[-1]["yshift"] == 0


def test_what_is_infinite_is_null_in_json(study):
    law = dataclasses.replace(study.recommendation.law, coherency=0.0, errors=(1.0, math.inf, math.inf))
    recommendation = dataclasses.replace(study.recommendation, law=law)
    made = as_json(dataclasses.replace(study, recommendation=recommendation))
    json.dumps(made, allow_nan=False)
    assert made["recommendation"]["law"]["peak"] is None
    assert made["recommendation"]["law"]["errors"] == [1.0, None, None]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (seconds(0.0123), "12.3 ms"),
        (seconds(4.567), "4.57 s"),
        (per_second(1940.4), "1,940/s"),
        (per_second(3.214), "3.21/s"),
        (size_of(640_000), "640 KB"),
        (size_of(2_400_000), "2.4 MB"),
        (size_of(None), ""),
    ],
)
def test_figures_have_three_digits_and_units(text, wanted):
    assert text == wanted
