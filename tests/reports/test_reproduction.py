"""The page of a reproduction and its files."""

import polars as pl

from browsing import check_page
from cigf.reports.figures import new_axes
from cigf.reports.page import Table
from cigf.reports.plots import Curve, Plot
from cigf.reports.reproduction import Part, Reproduction, to_text, write_reproduction

PLOT = Plot("depth", "Depth", "layers", "HR@10", [1, 2], [Curve("HR", [0.1, 0.3])], True)
FOUND = Reproduction(
    data="toys",
    parts=[
        Part(
            "figure-7",
            "Figure 7: depth",
            [Table("Depth", ["L", "HR@10"], [["1", ".1000"], ["2", ".3000"]])],
            {"numbers": pl.DataFrame({"L": [1, 2], "hr": [0.1, 0.3]})},
            [PLOT, Plot("empty", "Empty", "x", "y", [1], [Curve("a", [None])], True)],
            notes=["It is deep."],
        ),
        Part(
            "figure-2",
            "Figure 2",
            [],
            {"numbers": pl.DataFrame({"n": [1]})},
            drawings={"activity": lambda: new_axes()[0]},
        ),
    ],
    protocol=["All alike."],
    deviations=[("Other data.", "None of the paper's <sets>.")],
    facts={"seeds": "0"},
)


def test_everything_is_written(tmp_path):
    write_reproduction(FOUND, tmp_path)
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
    assert files == {
        "report.html",
        "report.md",
        *(f"figure-7/{name}" for name in ("numbers.csv", "depth.svg", "depth.png")),
        *(f"figure-2/{name}" for name in ("numbers.csv", "activity.svg", "activity.png")),
    }
    assert pl.read_csv(tmp_path / "figure-7" / "numbers.csv")["hr"].to_list() == [0.1, 0.3]


def test_the_text_names_deviations_notes_and_pictures():
    text = to_text(FOUND)
    assert "- **Other data.** None of the paper's <sets>." in text
    assert "It is deep." in text
    assert "![Depth](figure-7/depth.svg)" in text
    assert "![activity](figure-2/activity.svg)" in text
    assert "| 2 | .3000 |" in text
    assert "- seeds: 0" in text


def test_the_page_holds_in_a_browser(tmp_path, browser):
    write_reproduction(FOUND, tmp_path)
    check_page(browser, tmp_path / "report.html", n_charts=1)
