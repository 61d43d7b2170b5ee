import re

import pytest

from cigf.reports.charts import Row, Series, Value, bar_chart, line_chart, value_chart
from cigf.reports.svg import log_ticks, short, ticks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 0.37, [0, 0.1, 0.2, 0.3]),
        (3, 17, [5, 10, 15]),
        (0.0101, 0.0104, [0.0101, 0.0102, 0.0103, 0.0104]),
        (2, 2, [2]),
    ],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def test_ticks_of_a_logarithm_are_powers_or_the_ends():
    assert log_ticks(1, 2500) == [1, 10, 100, 1000]
    assert log_ticks(3, 40) == [3, 40]
    assert log_ticks(7, 7) == [7]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0"),
        (0.0312, "0.031"),
        (0.5, "0.5"),
        (1.25, "1.25"),
        (40, "40"),
        (1234, "1,234"),
        (12_345, "12.3k"),
        (2_000_000, "2M"),
        (-0.25, "-0.25"),
    ],
)
def test_numbers_are_short(value, words):
    assert short(value) == words


def points(svg):
    return [
        [tuple(map(float, pair.split(","))) for pair in line.split()]
        for line in re.findall(r'points="([^"]+)"', svg)
    ]


def test_lines_share_axes_and_rise_where_the_numbers_rise():
    curves = [Series("a", [(0, 0.0), (5, 1.0), (10, 4.0)]), Series("b", [(10, 2.0)])]
    chart = line_chart(curves, alt="a grows", x_label="epoch", mark=5, mark_label="kept")
    (first, second) = points(chart.svg)
    assert first[0][0] < first[1][0] < first[2][0]
    assert first[1][0] == pytest.approx((first[0][0] + first[2][0]) / 2, abs=0.1)
    assert first[0][1] > first[1][1] > first[2][1]  # y grows downward
    assert second == [(first[2][0], pytest.approx((first[0][1] + first[2][1]) / 2, abs=0.1))]
    assert chart.svg.count("<rect") == 1  # the marker of the line with one point
    assert "kept" in chart.svg
    assert chart.legend == ("a", "b")
    assert [name for name, _ in chart.legend_keys()] == ["a", "b"]


def test_a_logarithmic_axis_gives_equal_steps_to_equal_factors():
    ((one, ten, hundred),) = points(
        line_chart([Series("a", [(1, 3), (10, 2), (100, 1)])], alt="", x_label="x", log_x=True).svg
    )
    assert ten[0] - one[0] == pytest.approx(hundred[0] - ten[0], abs=0.15)


def test_a_line_alone_has_no_legend_and_a_flat_one_is_drawn():
    chart = line_chart([Series("a", [(1, 2.0), (2, 2.0)])], alt="flat", x_label="x")
    assert chart.legend == ()
    ((first, second),) = points(chart.svg)
    assert first[1] == second[1]


def test_whiskers_reach_from_low_to_high():
    rows = [Row("all", [Value(0.5, 0.25, 1.0), None]), Row("new", [Value(0.5), Value(0.0)])]
    svg = value_chart(rows, ["model", "rule"], alt="", x_label="hr@10").svg
    whisker = re.search(
        r'<line x1="([\d.]+)" y1="[\d.]+" x2="([\d.]+)" y2="[\d.]+" class="s0 whisker', svg
    )
    (low, high) = map(float, whisker.groups())
    (middle,) = {float(x) for x in re.findall(r'<circle cx="([\d.]+)"', svg)}
    assert svg.count("<circle") == 2
    assert svg.count("<rect") == 1
    assert (middle - low) / (high - low) == pytest.approx(1 / 3, abs=0.01)


def test_bars_are_as_long_as_their_values():
    rows = [Row("view", [Value(100)]), Row("buy", [Value(25)]), Row("lend", [Value(0)])]
    chart = bar_chart(rows, ["pairs"], alt="", x_label="pairs")
    widths = [float(width) for width in re.findall(r'width="([\d.]+)"', chart.svg)]
    assert widths[1] == pytest.approx(widths[0] / 4, abs=0.1)
    assert widths[2] > 0
    assert chart.legend == ()


def test_words_are_escaped_and_long_labels_shortened():
    rows = [Row("<a row of many letters>", [Value(1.0)])]
    for chart in (bar_chart, value_chart):
        svg = chart(rows, ["x"], alt='a "quote" & more', x_label="<x>").svg
        assert "&lt;a row of many le…" in svg
        assert 'aria-label="a &quot;quote&quot; &amp; more"' in svg
        assert "&lt;x&gt;" in svg
