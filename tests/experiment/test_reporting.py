import re

import numpy as np
import polars as pl
import pytest

from browsing import check_page
from cigf.errors import ArtifactError, DataError, OutputError
from cigf.experiment.evaluating import evaluate_run
from cigf.experiment.reporting import write_report
from cigf.inference.recommender import TrainedRecommender
from command_line import run as command


@pytest.fixture(scope="module")
def written(trained, tmp_path_factory):
    page = tmp_path_factory.mktemp("report") / "report.html"
    return page, write_report(trained, page, n_bootstrap=50)


def test_the_figures_are_those_of_an_evaluation(written, trained):
    _, facts = written
    expected = evaluate_run(trained, n_bootstrap=0)
    quality = facts.quality
    assert quality.n_pairs == expected["n"]
    for name, metrics in {"model": expected["metrics"], **expected["reference"]}.items():
        for protocol, groups in metrics.items():
            for group, values in groups.items():
                for metric in quality.names:
                    found = quality.measured[name][protocol][group].get(metric)
                    assert values[metric] == (None if found is None else found.value)
                    assert found is None or found.low <= found.value <= found.high


def test_groups_are_parts_of_the_tested_users(written):
    quality = written[1].quality
    for groups in (quality.by_activity, quality.by_correlation):
        assert len(groups) > 1
        assert sum(group.n_users for group in groups) == quality.n_users
        mean = sum(g.n_users * g.values["model"].value for g in groups) / quality.n_users
        assert mean == pytest.approx(quality.value("model", "all").value)


def test_differences_are_those_of_the_means(written):
    quality = written[1].quality
    for (rule, protocol, group), difference in quality.differences.items():
        mine, theirs = (
            quality.measured[name][protocol][group]["ndcg@10"].value for name in ("model", rule)
        )
        assert difference.mean == pytest.approx(mine - theirs)
        assert difference.low <= difference.mean <= difference.high


def test_examples_show_what_was_last_and_what_was_held_out(written, trained, events):
    served = TrainedRecommender.load(trained)
    log = pl.read_csv(events).with_columns(pl.col("item_id").cast(pl.String))
    users = written[1].users
    assert len(users) == 4
    for each in users:
        own = log.filter(user_id=each.user, behavior="buy").sort("timestamp", "item_id")
        order = own.unique("item_id", keep="last").sort("timestamp")["item_id"].to_list()
        assert len(each.wanted) == 1
        assert each.history["buy"] == [i for i in order[::-1] if i not in each.wanted][:6]
        expected = served.recommend([each.user], 6, only="new")["item_id"].to_list()
        assert each.recommended["discover"] == expected


def test_the_share_of_the_catalog_that_lists_show_is_counted(written, trained):
    facts, served = written[1], TrainedRecommender.load(trained)
    shown = served.recommend(served.users, 10)["item_id"].n_unique()
    assert facts.shown_items == shown / len(served.items)
    assert facts.listed_users == len(served.users)


def test_options_name_what_is_not_the_default(written):
    changed = {(section, name) for section, name, _, other in written[1].options if other}
    assert changed == {("training", "epochs"), ("training", "evaluate_every")}


def test_the_page_holds_together_in_a_browser(written, browser):
    page, _ = written
    check_page(browser, page, n_charts=10)


def test_the_same_run_gives_the_same_page(written, trained, tmp_path):
    write_report(trained, tmp_path / "again.html", n_bootstrap=50)
    assert (tmp_path / "again.html").read_bytes() == written[0].read_bytes()


def test_a_page_is_replaced_only_by_force(written, trained):
    with pytest.raises(OutputError, match="exists already"):
        write_report(trained, written[0], force=False)


def test_a_run_must_be_finished_and_its_dataset_there(trained, dataset, tmp_path, events):
    with pytest.raises(ArtifactError, match="not the folder of a run"):
        write_report(tmp_path, tmp_path / "report.html")
    with pytest.raises(DataError, match="not a dataset folder"):
        write_report(trained, tmp_path / "report.html", dataset=tmp_path)
    command("data", "prepare", events, "--out", tmp_path / "other", "--split", "random")
    with pytest.raises(DataError, match="its training data are not those of the run"):
        write_report(trained, tmp_path / "report.html", dataset=tmp_path / "other")
    assert not (tmp_path / "report.html").exists()


def test_a_model_without_relations_judged_on_nothing_has_a_report_too(tmp_path, events):
    dataset, run, page = tmp_path / "dataset", tmp_path / "run", tmp_path / "report.html"
    none = ("--split", "none", "--valid-share", 0)
    command("data", "prepare", events, "--out", dataset, *none)
    quick = ("--set", "training.epochs=1")
    command("train", dataset, "--out", run, "--model", "lightgcn", *quick)
    facts = write_report(run, page, n_users=1)
    assert facts.quality is None
    assert facts.relations is None
    assert facts.gates is None
    html = page.read_text()
    assert "Nothing was held out." in html
    assert html.count("<figure>") == 3
    assert not re.search("nan", html, re.IGNORECASE)
    assert np.isfinite(facts.shown_items)


def test_a_model_computed_in_one_go_has_a_report(tmp_path, events):
    dataset, run, page = tmp_path / "dataset", tmp_path / "run", tmp_path / "report.html"
    command("data", "prepare", events, "--out", dataset, "--time-col", "")
    command("train", dataset, "--out", run, "--model", "item-knn")
    facts = write_report(run, page, n_users=1, n_bootstrap=20)
    assert facts.has_times is False
    html = page.read_text()
    assert "The log has no times." in html
    assert "computed in one go" in html
    assert "Training loss" not in html
