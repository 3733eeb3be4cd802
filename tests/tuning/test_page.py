import json
import re

import pytest

from asyncbatch.tuning._page import (
    BLUE,
    Cell,
    Chart,
    KeyFigure,
    Page,
    Section,
    Table,
    render,
    write,
)

LINE = {
    "data": [{"type": "scatter", "x": [1, 2], "y": [3.0, float("nan")], "line": {"color": BLUE}}],
    "layout": {},
}


def page(*blocks, **changes):
    return Page(title="T", lead="L", sections=[Section("S", blocks)], **changes)


def outside_scripts(text: str) -> str:
    return re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)


def test_everything_is_in_the_file_and_nothing_may_be_loaded():
    text = render(page(Chart("C", LINE)))
    assert "default-src 'none'" in text
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=", text)
    assert "@import" not in outside_scripts(text)
    assert "url(" not in outside_scripts(text)


def test_plotly_is_in_the_page_once_however_many_charts():
    one, two, none = (len(render(page(*[Chart("C", LINE)] * count))) for count in (1, 2, 0))
    assert none < 20_000
    assert one > 1_000_000
    assert two - one < 2_000


def test_the_figure_is_in_the_page_as_json_and_ends_no_script():
    figure = {"data": [{"type": "bar", "name": "</script><b>", "y": [1, float("nan")]}], "layout": {}}
    text = render(page(Chart("C", figure)))
    [found] = re.findall(r'<script type="application/json">(.*?)</script>', text)
    assert json.loads(found)["data"][0] == {"type": "bar", "name": "</script><b>", "y": [1, None]}


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda bad: Page(bad, "L"), id="title"),
        pytest.param(lambda bad: Page("T", bad), id="lead"),
        pytest.param(lambda bad: Page("T", "L", [KeyFigure(bad, "l")]), id="key figure"),
        pytest.param(lambda bad: Page("T", "L", [KeyFigure("v", "l", bad)]), id="note"),
        pytest.param(lambda bad: Page("T", "L", details={"command": bad}), id="details"),
        pytest.param(page, id="text"),
        pytest.param(lambda bad: page(Chart(bad, LINE)), id="chart's title"),
        pytest.param(lambda bad: page(Chart("C", LINE, bad)), id="chart's caption"),
        pytest.param(lambda bad: page(Table([bad], [])), id="head"),
        pytest.param(lambda bad: page(Table(["h"], [[bad]])), id="cell"),
        pytest.param(lambda bad: page(Table(["h"], [[Cell(bad, "bad")]])), id="cell that stands out"),
    ],
)
def test_no_text_is_taken_as_html(made):
    text = outside_scripts(render(made('<img src=x onerror="alert(1)">')))
    assert "<img" not in text
    assert "&lt;img" in text


def test_texts_are_markdown_without_images():
    text = outside_scripts(
        render(page("Use `n=2`: [why](https://example.com).\n\n![x](https://example.com/x.png)"))
    )
    assert "<code>n=2</code>" in text
    assert '<a href="https://example.com">why</a>' in text
    assert "<img" not in text


def test_numbers_stand_to_the_right_of_the_text_and_marked_rows_are_marked():
    table = Table(["name", "n"], [["a", "1"], ["b", Cell("2", "bad")]], marked=frozenset({1}))
    text = outside_scripts(render(page(table)))
    assert '<th scope="col">name</th><th scope="col" class="number">n</th>' in text
    assert '<tr><td class="">a</td><td class="number">1</td></tr>' in text
    assert '<tr class="marked"><td class="">b</td><td class="number bad">2</td></tr>' in text


def test_a_row_of_the_wrong_length_is_named():
    with pytest.raises(ValueError, match="Row 1 of a table has 1 cells for 2 columns"):
        render(page(Table(["a", "b"], [["1", "2"], ["3"]])))


def test_write_makes_the_folder_and_replaces_the_file(tmp_path):
    file = tmp_path / "new" / "report.html"
    write(Page("First", "L"), file)
    write(Page("Second ✓", "L"), file)
    text = file.read_text("utf-8")
    assert "Second ✓" in text
    assert "First" not in text
