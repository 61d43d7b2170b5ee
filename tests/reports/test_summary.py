import json
import re
from html.parser import HTMLParser

import pytest

from cigf.errors import ArtifactError
from cigf.reports.summary import UserLists, summary_page, write_summary

REPORT = {
    "n_users": 1234,
    "n_items": 56,
    "n_events": 7890,
    "n_pairs": {"view": 4000, "buy": 300},
    "n_valid": {"buy": 20},
    "n_test": {"buy": 1000},
    "split": "the last <pair> of each user",
}


def figures(value):
    return {"hr@10": value, "ndcg@10": value / 2, "mrr": None}


def groups(value):
    return {"all": figures(value), "touched": figures(value + 0.1), "new": figures(value - 0.1)}


EVALUATION = {
    "split": "test",
    "n": {"all": 1000, "touched": 800, "new": 200},
    "metrics": {"full": groups(0.3), "1+99": groups(0.6)},
    "intervals": {"full": {"all": {"hr@10": [0.25, 0.35]}}},
    "reference": {
        "popularity": {"full": groups(0.2), "1+99": groups(0.4)},
        "touched_first": {"full": groups(0.25), "1+99": groups(0.8)},
    },
}
EPOCHS = [
    {"epoch": 1, "loss": 2.0, "seconds": 1.5, "metrics": None},
    {"epoch": 2, "loss": 1.0, "seconds": 1.5, "metrics": {"ndcg@10/1+99": 0.4}},
    {"epoch": 3, "loss": 0.5, "seconds": 1.5, "metrics": {"ndcg@10/1+99": 0.5}},
]
EXAMPLE = UserLists("u<1>", {"buy": ["tea-1"], "view": []}, {"discover": ["tea-2", "tea & milk"]})


class Tables(HTMLParser):
    """Collects the rows of all tables, and checks that tags are closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.rows = [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "circle", "line", "path", "polyline"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        if tag not in ("circle", "line", "path", "polyline"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "td":
            self.rows[-1].append(data)


def test_the_page_shows_the_data_and_every_figure_beside_the_references():
    rows = Tables(summary_page(REPORT, EVALUATION, EPOCHS, [EXAMPLE])).rows
    assert ["view", "4,000", "0", "0"] in rows
    assert ["buy", "300", "20", "1,000"] in rows
    assert ["all (1,000)", "model", "0.300 [0.250, 0.350]", "0.150"] in rows
    assert ["all (1,000)", "touched first", "0.250", "0.125"] in rows
    assert ["new (200)", "popularity", "0.100", "0.050"] in rows
    assert ["discover", "tea-2, tea & milk"] in rows
    assert ["view", "-"] in rows


def test_ids_and_texts_are_escaped():
    page = summary_page(REPORT, EVALUATION, EPOCHS, [EXAMPLE])
    assert "u&lt;1&gt;" in page
    assert "tea &amp; milk" in page
    assert "the last &lt;pair&gt;" in page


def test_nothing_is_loaded_from_elsewhere():
    page = summary_page(REPORT, EVALUATION, EPOCHS)
    assert not re.search(r"<script|<link|src=|https?://", page)


def test_parts_without_data_are_left_out():
    page = summary_page({}, EVALUATION, [])
    assert "<h2>Data" not in page
    assert "<svg" not in page
    assert "Recommendations" not in page
    assert page.count("<h2>") == 1


def test_the_curves_are_those_of_the_epochs():
    page = summary_page(REPORT, EVALUATION, EPOCHS)
    assert page.count("<svg") == 2
    assert "validation ndcg@10/1+99" in page
    assert "3 epochs, 4.5 s of training" in page


@pytest.fixture
def folders(tmp_path):
    run, dataset = tmp_path / "run", tmp_path / "dataset"
    run.mkdir()
    dataset.mkdir()
    (dataset / "manifest.json").write_text(json.dumps({"extra": {"report": REPORT}}))
    (run / "evaluation.json").write_text(json.dumps(EVALUATION))
    (run / "metrics.jsonl").write_text("".join(json.dumps(e) + "\n" for e in EPOCHS))
    return run, dataset


def test_the_page_is_made_of_the_files_of_a_run(tmp_path, folders):
    write_summary(*folders, tmp_path / "summary.html", examples=[EXAMPLE])
    page = (tmp_path / "summary.html").read_text()
    assert page == summary_page(REPORT, EVALUATION, EPOCHS, [EXAMPLE])


def test_a_missing_file_is_named(tmp_path, folders):
    (folders[0] / "evaluation.json").unlink()
    with pytest.raises(ArtifactError, match=r"evaluation\.json: cannot be read"):
        write_summary(*folders, tmp_path / "summary.html")
    assert not (tmp_path / "summary.html").exists()


def test_a_damaged_file_is_named(tmp_path, folders):
    (folders[0] / "evaluation.json").write_text('{"n": ')
    with pytest.raises(ArtifactError, match=r"evaluation\.json: truncated or damaged"):
        write_summary(*folders, tmp_path / "summary.html")
