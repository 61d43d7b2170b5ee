"""Plots draw what they are given, in files and on pages."""

from cigf.reports.plots import Curve, Plot, draw, page_figure

BARS = Plot(
    "bars",
    "Models",
    "model",
    "NDCG@10",
    ["a", "a long name"],
    [Curve("here", [0.25, None], [0.125, None]), Curve("paper", [0.5, 0.75])],
)
LINES = Plot(
    "lines", "Depth", "layers L", "HR@10", [1, 2, 3], [Curve("HR", [0.1, None, 0.3])], True
)


def test_markers_stand_at_their_places_with_their_spreads():
    (axes,) = draw(BARS).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "a long name"]
    assert (axes.get_xlabel(), axes.get_ylabel(), axes.get_title()) == (
        "model",
        "NDCG@10",
        "Models",
    )
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["here", "paper"]
    here, paper = (container.lines[0].get_data() for container in axes.containers)
    assert list(here[1]) == [0.25]
    assert list(paper[1]) == [0.5, 0.75]
    assert round(here[0][0]) == 0
    assert [round(x) for x in paper[0]] == [0, 1]
    (segments,) = axes.containers[0].lines[2]
    assert segments.get_segments()[0][:, 1].tolist() == [0.125, 0.375]


def test_curves_differ_in_color_and_marker():
    (axes,) = draw(BARS).axes
    lines = [container.lines[0] for container in axes.containers]
    assert len({line.get_color() for line in lines}) == 2
    assert len({line.get_marker() for line in lines}) == 2


def test_lines_go_along_numbers():
    (axes,) = draw(LINES).axes
    (container,) = axes.containers
    x, y = container.lines[0].get_data()
    assert (list(x), list(y)) == ([1, 3], [0.1, 0.3])
    assert axes.get_legend() is None


def test_pages_show_the_same():
    shown = page_figure(BARS)
    assert shown.title == "Models"
    assert shown.chart.legend == ("here", "paper")
    assert "NDCG@10" in shown.chart.svg
    lines = page_figure(LINES)
    assert "layers L" in lines.chart.svg
    assert lines.title == "Depth: HR@10"


def test_a_curve_without_values_is_left_out():
    empty = Plot(
        "x", "X", "x", "y", [1, 2], [Curve("a", [None, None]), Curve("b", [1.0, 2.0])], True
    )
    assert len(draw(empty).axes[0].containers) == 1
    assert page_figure(empty).chart.legend == ()
