"""Which rows the paper's experiments have, and that equal ones are one."""

import pytest

from cigf.errors import ConfigError
from cigf.experiment.entries import read_entries
from cigf.experiment.experiments import EXPERIMENTS, Variant, choose, entry_of, models_of
from cigf.reports.published import QUALITY, SECONDS, published_data


def test_all_stands_for_all_and_the_order_is_the_papers():
    assert choose(["all"]) == list(EXPERIMENTS.values())
    assert [each.name for each in choose(["figure-7", "table-3"])] == ["table-3", "figure-7"]


def test_an_unknown_experiment_is_refused():
    with pytest.raises(ConfigError, match=r"'tabel-3' is unknown; did you mean table-3\?"):
        choose(["table-3", "tabel-3"])


def test_equal_options_make_equal_rows():
    bases = {entry.name: entry for entry in read_entries(["cigf", "ghcf"])}
    heads = {v.label: entry_of(v, bases) for v in EXPERIMENTS["table-5"].variants}
    parts = {v.label: entry_of(v, bases) for v in EXPERIMENTS["table-3"].variants}
    depths = {v.label: entry_of(v, bases) for v in EXPERIMENTS["figure-7"].variants}
    assert heads["bilinear"] == parts["w/o MESI"]
    assert heads["MESI"] == parts["CIGF"] == depths["L = 2"] == bases["cigf"]
    assert parts["base model"].name == "cigf,chain=independent,head=bilinear"
    assert parts["base model"].config.model.chain == "independent"
    assert depths["L = 5"].config.model.n_layers == 5
    assert entry_of(Variant("ghcf", "ghcf"), bases) == bases["ghcf"]


def test_every_option_of_an_experiment_is_one():
    there, _ = models_of(choose(["all"]))
    bases = {entry.name: entry for entry in read_entries(there)}
    for experiment in choose(["all"]):
        rows = [entry_of(v, bases).name for v in experiment.variants if v.model in bases]
        assert len(set(rows)) == len(rows)


def test_models_that_are_not_there_are_told_apart():
    found = [EXPERIMENTS["table-2"], EXPERIMENTS["tables-7-8"]]
    there, missing = models_of(found)
    assert {"cigf", "ghcf", "lightgcn"} <= set(there)
    assert set(there) | set(missing) == {v.model for each in found for v in each.variants}


def test_published_figures_are_found_by_the_sizes_of_the_data():
    beibei = published_data(21_716, 7_977, ("pv", "cart", "buy"))
    assert (beibei.name, beibei.is_whole) == ("Beibei", True)
    assert not published_data(21_716, 7_977, ("buy",)).is_whole
    assert published_data(21_716, 7_978, ("pv", "cart", "buy")) is None
    assert beibei.quality("MESI") == beibei.quality("CIGF") == (0.7, 0.443)
    assert beibei.quality("L = 3") is None
    assert beibei.seconds("ghcf") == (8.31, 9.88)
    ijcai = published_data(423_423, 874_328, ("click", "fav", "cart", "buy"))
    assert ijcai.quality("ghcf") is None  # out of memory


def test_every_row_of_the_papers_tables_has_its_figures():
    for name in ("table-2", "table-3", "table-4", "table-5"):
        for variant in EXPERIMENTS[name].variants:
            assert published_data(147_894, 99_037, "abcd").quality(variant.label), variant
    assert set(SECONDS) == {variant.label for variant in EXPERIMENTS["tables-7-8"].variants}
    figures = [each for row in QUALITY.values() for each in row if each is not None]
    assert all(0.1 < ndcg < hr < 1 for hr, ndcg in figures)
