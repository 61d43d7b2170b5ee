"""Figures say what the tables say, in files that do not change by themselves."""

import builtins
import importlib
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import polars as pl
import pytest

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, build_matrix
from cigf.data.describe import describe
from cigf.data.ids import IdMap
from cigf.errors import MissingExtraError, OutputError
from cigf.reports import figures
from cigf.reports.figures import draw_activity, draw_overlaps, save_description, save_figure


def make_description(n_behaviors=3, n_users=11, n_items=13, seed=0):
    generator = np.random.default_rng(seed)
    matrices = []
    for depth in range(n_behaviors):
        n = max(60 // (depth + 1), 5)
        users, items = generator.integers(0, n_users, n), generator.integers(0, n_items, n)
        matrices.append(build_matrix(users, items, (n_users, n_items)))
    return describe(
        Dataset(
            Behaviors(tuple(f"b{k}" for k in range(n_behaviors))),
            IdMap(pl.Series(range(n_users)), "user"),
            IdMap(pl.Series(range(n_items)), "item"),
            tuple(matrices),
            (None,) * n_behaviors,
        )
    )


def test_activity_curves_are_the_share_of_users_with_at_least_so_many():
    description = make_description()
    (axes,) = draw_activity(description).axes
    assert "(%)" in axes.get_ylabel()
    assert "interactions per user" in axes.get_xlabel()
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["b0", "b1", "b2"]
    for name, line in zip(description.behavior_names, axes.get_lines(), strict=True):
        own = description.activity.filter(pl.col("behavior") == name)
        x, y = line.get_data()
        for count in range(1, int(max(x)) + 1):
            drawn = y[np.searchsorted(x, count, side="right") - 1]
            users = own.filter(pl.col("n_interactions") >= count)["n_users"].sum()
            assert drawn == pytest.approx(100 * users / 11)


def test_curves_differ_in_color_and_dashes():
    (axes,) = draw_activity(make_description(4)).axes
    lines = axes.get_lines()
    assert len({line.get_color() for line in lines}) == 4
    assert len({line.get_linestyle() for line in lines}) == 4


def test_overlap_bars_and_dots_follow_the_table():
    description = make_description()
    bars, dots = draw_overlaps(description).axes
    present = description.overlaps.filter(pl.col("n_pairs") > 0)
    present = present.sort("n_pairs", descending=True)
    pairs, users = bars.containers[:2]
    assert [bar.get_height() for bar in pairs] == present["n_pairs"].to_list()
    assert [bar.get_height() for bar in users] == present["n_users"].to_list()
    for line, row in zip(dots.get_lines(), present.to_dicts(), strict=True):
        assert list(line.get_ydata()) == [k for k in range(3) if row[f"b{k}"]]
    assert [label.get_text() for label in dots.get_yticklabels()] == ["b0", "b1", "b2"]


def test_many_subsets_are_cut_and_the_title_says_so():
    description = make_description(6, seed=3)
    n_present = (description.overlaps["n_pairs"] > 0).sum()
    assert n_present > figures.MAX_SUBSETS
    bars, _ = draw_overlaps(description).axes
    left_out = n_present - figures.MAX_SUBSETS
    assert f"({left_out} smaller subsets not shown)" in bars.get_title()


def test_a_behavior_that_nobody_shows(tmp_path):
    none = build_matrix(np.empty(0, np.int64), np.empty(0, np.int64), (2, 3))
    some = build_matrix(np.array([0]), np.array([2]), (2, 3))
    users, items = IdMap(pl.Series(range(2)), "user"), IdMap(pl.Series(range(3)), "item")
    data = Dataset(Behaviors(("view", "buy")), users, items, (none, some), (None, None))
    assert len(save_description(describe(data), tmp_path, formats=("png",))) == 2


@pytest.mark.parametrize(
    ("count", "text"), [(7, "7"), (9_999, "9999"), (12_345, "12.3k"), (1_234_567, "1.23M")]
)
def test_short_numbers(count, text):
    assert figures._short(count) == text


def test_files(tmp_path):
    written = save_description(make_description(), tmp_path / "figures")
    names = ["activity.svg", "activity.png", "overlaps.svg", "overlaps.png"]
    assert [path.name for path in written] == names
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == sorted(names)
    for path in written:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
        else:
            text = "".join(ElementTree.parse(path).getroot().itertext())
            assert "log scale" in text


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    first = save_description(make_description(), tmp_path / "a", formats=("svg",))
    second = save_description(make_description(), tmp_path / "b", formats=("svg",))
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_global_settings_are_left_alone(tmp_path):
    before = dict(matplotlib.rcParams)
    save_description(make_description(), tmp_path, formats=("svg",))
    assert dict(matplotlib.rcParams) == before


def test_an_existing_file_is_refused(tmp_path):
    path = tmp_path / "activity.svg"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        save_figure(draw_activity(make_description()), path, force=False)
    assert path.read_text() == "mine"


def test_missing_extra(monkeypatch):
    real = builtins.__import__

    def without_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "cigf.reports.figures")
    monkeypatch.setattr(builtins, "__import__", without_matplotlib)
    with pytest.raises(MissingExtraError, match=r"pip install 'cigf\[report\]'"):
        importlib.import_module("cigf.reports.figures")
