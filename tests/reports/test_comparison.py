"""The report of a comparison says the same in every format, also where runs are missing."""

import math
from dataclasses import replace

import polars as pl
from comparisons import REPORT

from browsing import check_page
from cigf.reports.comparison import (
    cost_table,
    difference_table,
    page,
    quality_table,
    results_frame,
    write_report,
)
from cigf.reports.page import Strong, render


def rows(table):
    return {row[0]: row[1:] for row in table.rows}


def test_figures_have_mean_and_deviation_and_the_best_stands_out():
    found = rows(quality_table(REPORT, "full"))
    deviation = f"{math.sqrt(2 * 0.125**2):.4f}"[1:]
    assert found["popularity"] == [".2500"] * 6 + ["rule"]
    assert found["b_est"] == [f".6250 ± {deviation}"] * 6 + ["2 of 2"]
    assert found["odd"] == [".2500"] * 4 + ["", ""] + ["1 of 2"]
    assert found["lost"] == [""] * 6 + ["0 of 2"]
    assert all(isinstance(cell, Strong) for cell in found["b_est"][:6])
    assert not any(isinstance(cell, Strong) for name in ("odd", "lost") for cell in found[name])


def test_costs_leave_out_rules_and_keep_failures():
    found = rows(cost_table(REPORT))
    assert found["b_est"] == ["7.0", "1.5", "1,234.5", "300.0", ""]
    assert found["lost"] == ["", "", "", "", "seed 0 failed: <nan>"]
    assert "popularity" not in found


def test_a_difference_counts_where_both_tests_agree():
    found = rows(difference_table(REPORT, "full", "all", "ndcg@10"))
    assert found["popularity"] == [
        "-0.1250",
        "-0.2500 to +0.0000",
        "< 0.001",
        "0.010",
        "significant",
    ]
    assert found["odd"][-1] == "tests disagree"
    assert difference_table(REPORT, "1+99", "all", "ndcg@10").rows == []


def test_every_figure_stands_in_the_results():
    frame = results_frame(REPORT)
    one = frame.row(
        by_predicate=(pl.col("model") == "b_est")
        & (pl.col("protocol") == "1+99")
        & (pl.col("group") == "new")
        & (pl.col("metric") == "mrr"),
        named=True,
    )
    assert (one["mean"], one["n_seeds"]) == (0.625, 2)
    undefined = frame.filter((pl.col("model") == "odd") & (pl.col("group") == "new"))
    assert undefined["mean"].null_count() == undefined.height > 0


def test_all_files_are_written(tmp_path):
    written = write_report(REPORT, tmp_path)
    assert sorted(written) == sorted(tmp_path.iterdir())
    markdown = (tmp_path / "report.md").read_text()
    assert "| b\\_est | **.6250 ± .1768** |" in markdown
    assert "seed 1 failed: a\\|b" in markdown
    assert "- dataset: D & E" in markdown
    latex = (tmp_path / "report.tex").read_text()
    assert r"b\_est & \textbf{.6250 $\pm$ .1768} &" in latex
    costs = pl.read_csv(tmp_path / "costs.csv")
    assert costs["model"].to_list() == ["b_est", "odd", "lost"]
    tests = pl.read_csv(tmp_path / "tests.csv")
    assert tests["holm_wilcoxon"].to_list() == [0.01, 0.04]


def test_without_any_run_there_is_still_a_report(tmp_path):
    empty = replace(REPORT, rows=REPORT.rows[-1:], tests=[])
    write_report(empty, tmp_path)
    assert "Are the differences" not in render(page(empty))
    assert "seed 0 failed: &lt;nan&gt;" in (tmp_path / "report.html").read_text()


def test_the_page_holds_in_a_browser(tmp_path, browser):
    write_report(REPORT, tmp_path)
    check_page(browser, tmp_path / "report.html", n_charts=2)
