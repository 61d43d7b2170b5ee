"""Each published format ends as the same dataset, or in one clear error."""

import pickle

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from cigf.data.dataset_store import load_split
from cigf.data.imports import ImportOptions, import_release, read_ghcf, read_mbgmn, read_recbole
from cigf.errors import DataError, OutputError

VIEWS = {0: [0, 1, 2], 1: [3, 4], 2: [0, 4, 6], 3: [5], 4: [1, 6]}
CARTS = {0: [1], 1: [3], 2: [4, 6]}
BUYS = {0: [1], 1: [3], 2: [6], 3: [5, 0], 4: [2]}
TEST = {0: 2, 2: 4, 4: 6}
SHAPE = (5, 7)


def to_matrix(lists, times=None):
    users = [u for u, items in lists.items() for _ in items]
    items = [i for items in lists.values() for i in items]
    data = np.ones(len(users)) if times is None else times + np.arange(len(users))
    return csr_matrix((data.astype(np.int32), (users, items)), shape=SHAPE)


def write_mbgmn(folder, times=None, **behaviors):
    folder.mkdir()
    for name, lists in behaviors.items():
        (folder / f"trn_{name}").write_bytes(pickle.dumps(to_matrix(lists, times), protocol=3))
    held_out = [TEST.get(user) for user in range(SHAPE[0])]
    (folder / "tst_int").write_bytes(pickle.dumps(held_out, protocol=3))
    return folder


def write_ghcf(folder, **behaviors):
    folder.mkdir()
    for name, lists in behaviors.items():
        lines = [" ".join(map(str, [user, *items])) for user, items in lists.items()]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


def pairs(interactions, behavior):
    chosen = interactions.events.filter(pl.col("behavior") == behavior)
    return sorted(chosen.select("user_id", "item_id").iter_rows())


def flat(lists):
    return sorted((u, i) for u, items in lists.items() for i in items)


@pytest.fixture
def mbgmn(tmp_path):
    return write_mbgmn(tmp_path / "mbgmn", buy=BUYS, pv=VIEWS, cart=CARTS)


@pytest.fixture
def ghcf(tmp_path):
    test = {user: [item] for user, item in TEST.items()}
    return write_ghcf(tmp_path / "ghcf", train=BUYS, pv=VIEWS, cart=CARTS, test=test)


@pytest.mark.parametrize("release", ["mbgmn", "ghcf"])
def test_both_formats_hold_the_same(release, request):
    reader = {"mbgmn": read_mbgmn, "ghcf": read_ghcf}[release]
    interactions, test = reader(request.getfixturevalue(release), ImportOptions())
    assert interactions.behaviors.names == ("pv", "cart", "buy")
    assert not interactions.has_times
    for name, lists in [("pv", VIEWS), ("cart", CARTS), ("buy", BUYS)]:
        assert pairs(interactions, name) == flat(lists)
    assert pairs(test, "buy") == sorted(TEST.items())
    assert len(test) == 3


@pytest.mark.parametrize("release", ["mbgmn", "ghcf"])
def test_dataset_folder(release, request, tmp_path):
    path, out = request.getfixturevalue(release), tmp_path / "dataset"
    report = import_release(release, path, out)
    assert report.n_pairs == {"pv": 11, "cart": 4, "buy": 6}
    assert report.n_test == {"buy": 3}
    split = load_split(out)
    assert split.train.users.ids.to_list() == [0, 1, 2, 3, 4]
    assert split.train.items.ids.to_list() == [0, 1, 2, 3, 4, 5, 6]
    assert split.test["buy"].users.tolist() == [0, 2, 4]
    assert split.test["buy"].items.tolist() == [2, 4, 6]
    with pytest.raises(OutputError, match="exists already"):
        import_release(release, path, out)
    import_release(release, path, out, ImportOptions(force=True))


@pytest.mark.parametrize(
    ("behaviors", "names", "left_out"),
    [
        (("view", "cart", "buy"), ("view", "cart", "buy"), None),
        (("buy",), ("buy",), "cart, pv"),
        (("cart", "pv", "buy"), ("cart", "pv", "buy"), None),
    ],
)
def test_behaviors_are_chosen_and_named_by_the_user(mbgmn, behaviors, names, left_out):
    interactions, _ = read_mbgmn(mbgmn, ImportOptions(behaviors=behaviors))
    assert interactions.behaviors.names == names
    expected = {"pv": VIEWS, "view": VIEWS, "cart": CARTS, "buy": BUYS}
    for name in names:
        assert pairs(interactions, name) == flat(expected[name])
    warning = f"left out, as not among the behaviors asked for: {left_out}"
    assert interactions.warnings == ((warning,) if left_out else ())


@pytest.fixture(params=["mbgmn", "ghcf"])
def release(request):
    """A published folder and its reader."""
    reader = {"mbgmn": read_mbgmn, "ghcf": read_ghcf}[request.param]
    return request.getfixturevalue(request.param), reader


def test_target_moves_last(release):
    path, reader = release
    interactions, _ = reader(path, ImportOptions(target="cart", split="last"))
    assert interactions.behaviors.names == ("pv", "buy", "cart")
    interactions, _ = reader(path, ImportOptions(behaviors=("buy", "pv"), target="buy"))
    assert interactions.behaviors.names == ("pv", "buy")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"target": "cart"}, "'buy', not of the target 'cart'"),
        ({"behaviors": ("pv", "order", "cart")}, "'order', not of the target 'cart'"),
        ({"behaviors": ("pv", "cart")}, "'buy', not of the target 'cart'"),
        ({"target": "cart", "split": "test_file"}, "'buy', not of the target 'cart'"),
    ],
)
def test_purchases_are_no_test_pairs_of_another_target(release, options, named):
    path, reader = release
    with pytest.raises(DataError, match=f"test pairs are of {named}; make .* or choose .* --split"):
        reader(path, ImportOptions(**options))


def test_held_out_pairs_join_the_events_where_others_are_held_out(release):
    path, reader = release
    options = ImportOptions(behaviors=("pv", "buy", "cart"), split="last")
    interactions, test = reader(path, options)
    assert test is None
    assert interactions.behaviors.names == ("pv", "buy", "cart")
    assert pairs(interactions, "buy") == sorted([*flat(BUYS), *TEST.items()])
    assert pairs(interactions, "cart") == flat(CARTS)
    assert interactions.warnings[-1].startswith("the 3 published test pairs are events like all")


@pytest.mark.parametrize("split", ["last", "random", "none"])
def test_another_split_needs_no_more_than_its_name(request, split, tmp_path):
    for name in ("mbgmn", "ghcf"):
        path, out = request.getfixturevalue(name), tmp_path / f"{name}-dataset"
        report = import_release(name, path, out, ImportOptions(split=split, test_share=0.5))
        assert report.n_events == 11 + 4 + 6 + 3
        assert report.n_pairs["buy"] + report.n_test.get("buy", 0) == 9


def test_held_out_pairs_of_a_behavior_not_asked_for_are_counted(release):
    path, reader = release
    interactions, test = reader(path, ImportOptions(behaviors=("pv", "cart"), split="none"))
    assert test is None
    assert pairs(interactions, "cart") == flat(CARTS)
    assert interactions.dropped == {"published test pairs of a behavior not asked for": 3}


def test_held_out_pairs_without_times_do_not_join_events_with_times(tmp_path):
    folder = write_mbgmn(tmp_path / "tmall", times=1_511_539_200, fav=CARTS, buy=BUYS)
    interactions, test = read_mbgmn(folder, ImportOptions(split="last"))
    assert test is None
    assert pairs(interactions, "buy") == flat(BUYS)
    assert interactions.dropped == {"published test pairs without times": 3}


def test_held_out_pairs_are_of_the_last_behavior_where_no_funnel_knows_one(tmp_path):
    folder = write_mbgmn(tmp_path / "yelp", tip=VIEWS, pos=BUYS)
    _, test = read_mbgmn(folder, ImportOptions(behaviors=("tip", "pos")))
    assert pairs(test, "pos") == sorted(TEST.items())
    with pytest.raises(DataError, match="are of 'pos', not of the target 'tip'"):
        read_mbgmn(folder, ImportOptions(behaviors=("tip", "pos"), target="tip"))


def test_train_file_is_the_target_whatever_its_name(ghcf):
    interactions, test = read_ghcf(ghcf, ImportOptions(behaviors=("pv", "cart", "order")))
    assert pairs(interactions, "order") == flat(BUYS)
    assert pairs(test, "order") == sorted(TEST.items())


def test_times_are_kept_where_every_behavior_has_them(tmp_path):
    folder = write_mbgmn(tmp_path / "tmall", times=1_511_539_200, fav=CARTS, buy=BUYS)
    interactions, _ = read_mbgmn(folder, ImportOptions())
    first = interactions.events.filter(pl.col("behavior") == "buy")["timestamp"][0]
    assert first == 1_511_539_200_000
    (folder / "trn_fav").write_bytes(pickle.dumps(to_matrix(CARTS), protocol=3))
    assert not read_mbgmn(folder, ImportOptions())[0].has_times


def test_without_held_out_pairs_the_split_is_made_here(mbgmn, ghcf, tmp_path):
    (mbgmn / "tst_int").unlink()
    (ghcf / "test.txt").unlink()
    for name, folder in [("mbgmn", mbgmn), ("ghcf", ghcf)]:
        report = import_release(name, folder, tmp_path / f"{name}-dataset")
        assert report.n_test == {"buy": 1}


def test_unknown_format(tmp_path):
    with pytest.raises(DataError, match=r"'mb-gmn' is not known; did you mean mbgmn\?"):
        import_release("mb-gmn", tmp_path, tmp_path / "out")


def test_missing_behavior(mbgmn):
    with pytest.raises(DataError, match=r"nothing for behavior 'fav'.*it holds: buy, cart, pv"):
        read_mbgmn(mbgmn, ImportOptions(behaviors=("fav", "buy")))


def test_two_files_for_one_behavior(tmp_path):
    folder = write_mbgmn(tmp_path / "d", pv=VIEWS, click=CARTS, buy=BUYS)
    with pytest.raises(DataError, match="several files for one behavior"):
        read_mbgmn(folder, ImportOptions(behaviors=("view", "buy")))


def test_a_behavior_without_a_known_place(tmp_path):
    folder = write_mbgmn(tmp_path / "yelp", tip=VIEWS, pos=BUYS)
    with pytest.raises(DataError, match="place of pos, tip in the funnel is not known"):
        read_mbgmn(folder, ImportOptions())
    interactions, _ = read_mbgmn(folder, ImportOptions(behaviors=("tip", "pos")))
    assert interactions.behaviors.names == ("tip", "pos")


def test_lists_without_items_and_blank_lines(ghcf):
    (ghcf / "cart.txt").write_text("0 1\n1\n\n2 4 6\n")
    interactions, _ = read_ghcf(ghcf, ImportOptions())
    assert pairs(interactions, "cart") == [(0, 1), (2, 4), (2, 6)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 1\n1 x 3\n", "cart.txt: line 2: '1 x 3'; numbers from 0 up"),
        ("0 1\n1 -3\n", "line 2: '1 -3'; numbers from 0 up"),
        ("0 99999999999999999999999\n", "line 1: '0 999"),
        ("0 " + "1 x" * 50, r"line 1: '0 1 x1 x.*\.\.\.'; numbers"),
        ("0\n1\n", "holds no pair; lines must be: user item"),
        ("", "holds no pair"),
        ("0 1\n1 2\u00e9\n", "not an adjacency list"),
    ],
)
def test_broken_adjacency_list(ghcf, text, message):
    (ghcf / "cart.txt").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_ghcf(ghcf, ImportOptions())


def test_folder_of_another_format(tmp_path):
    with pytest.raises(DataError, match=r"no train\.txt in it"):
        read_ghcf(tmp_path, ImportOptions())
    with pytest.raises(DataError, match="no such folder"):
        read_ghcf(tmp_path / "missing", ImportOptions())


RATED = (
    "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "7\t11\t1\t881250949\n7\t13\t3\t881250950\n7\t17\t5\t881250951\n"
    "9\t11\t4\t881250952\n9\t13\t2\t881250953\n"
)


@pytest.fixture
def inter(tmp_path):
    path = tmp_path / "log.inter"
    path.write_text(RATED)
    return path


def test_ratings_become_behaviors(inter):
    interactions, test = read_recbole(inter, ImportOptions())
    assert test is None
    assert interactions.behaviors.names == ("dislike", "neutral", "like")
    assert pairs(interactions, "dislike") == [(7, 11), (9, 13)]
    assert pairs(interactions, "neutral") == [(7, 13)]
    assert pairs(interactions, "like") == [(7, 17), (9, 11)]
    assert interactions.events["timestamp"][0] == 881_250_949_000


def test_folder_with_one_inter_file(inter, tmp_path):
    assert len(read_recbole(tmp_path, ImportOptions())[0]) == 5
    (tmp_path / "second.inter").write_text(RATED)
    with pytest.raises(DataError, match=r"found: log\.inter, second\.inter; name the file"):
        read_recbole(tmp_path, ImportOptions())


def test_an_inter_file_with_a_pattern_s_marks_in_its_name(tmp_path):
    (tmp_path / "log[1].inter").write_text(RATED)
    assert len(read_recbole(tmp_path, ImportOptions())[0]) == 5


def test_other_ratings_and_other_order(inter):
    options = ImportOptions(ratings="good:3-5, bad:1-2")
    interactions, _ = read_recbole(inter, options)
    assert interactions.behaviors.names == ("good", "bad")
    assert pairs(interactions, "good") == [(7, 13), (7, 17), (9, 11)]


def test_some_of_the_rated_behaviors(inter):
    interactions, _ = read_recbole(inter, ImportOptions(behaviors=("like",)))
    assert interactions.behaviors.names == ("like",)
    assert pairs(interactions, "like") == [(7, 17), (9, 11)]
    assert interactions.dropped == {"ratings of behaviors not asked for": 3}
    assert interactions.warnings[-1].endswith("not among the behaviors asked for: dislike, neutral")
    with pytest.raises(DataError, match=r"nothing for behavior 'likes'; did you mean like\?"):
        read_recbole(inter, ImportOptions(behaviors=("likes",)))


def test_an_inter_file_with_behaviors(inter, tmp_path):
    inter.write_text(
        "user_id:token\titem_id:token\taction:token\n"
        "u1\ti1\tpv\nu1\ti2\tbuy\nu2\ti1\tcart\nu2\ti1\tbuy\n"
    )
    interactions, _ = read_recbole(inter, ImportOptions())
    assert interactions.behaviors.names == ("pv", "cart", "buy")
    assert pairs(interactions, "buy") == [("u1", "i2"), ("u2", "i1")]
    renamed, _ = read_recbole(inter, ImportOptions(behaviors=("view", "cart", "buy")))
    assert pairs(renamed, "view") == [("u1", "i1")]


def test_import_recbole_writes_a_dataset(inter, tmp_path):
    inter.write_text(RATED + "7\t19\t4\t881250960\n")
    report = import_release("recbole", inter, tmp_path / "dataset")
    assert report.n_pairs["like"] == 2
    split = load_split(tmp_path / "dataset")
    assert split.train.behaviors.target_name == "like"
    assert split.train.items.external(split.test["like"].items).to_list() == [19]


def test_ratings_in_no_range(inter):
    inter.write_text(RATED + "9\t19\t3.5\t881250954\n9\t17\t0\t881250955\n")
    with pytest.raises(DataError, match=r"2 ratings are in no range of --ratings, such as 0, 3\.5"):
        read_recbole(inter, ImportOptions())
    with pytest.raises(DataError, match=r"log\.inter: lines 7, 8: 2 ratings"):
        read_recbole(inter, ImportOptions())
    interactions, _ = read_recbole(inter, ImportOptions(on_error="skip"))
    assert len(interactions) == 5
    assert interactions.dropped == {"ratings in no range": 2}


@pytest.mark.parametrize("rating", ["good", "", "nan"])
def test_ratings_that_are_no_numbers(inter, rating):
    inter.write_text(RATED + f"9\t19\t{rating}\t881250954\n")
    with pytest.raises(DataError, match=f"{rating!r} is not a number"):
        read_recbole(inter, ImportOptions())
    with pytest.raises(DataError, match=r"log\.inter: line 7: rating .* \(1 such rows\); correct"):
        read_recbole(inter, ImportOptions())
    interactions, _ = read_recbole(inter, ImportOptions(on_error="skip"))
    assert len(interactions) == 5
    assert interactions.dropped == {"ratings that are no numbers": 1}


@pytest.mark.parametrize(
    ("ratings", "message"),
    [
        ("like", "'like' is no range; write name:lowest-highest"),
        ("like:4-x", "'like:4-x' is no range"),
        (":4-5", "':4-5' is no range"),
        ("like:5-4", "'like:5-4' is no range"),
        ("bad:1-3,good:3-5", "bad and good overlap"),
        ("good:1-2,good:3", "good stands twice"),
    ],
)
def test_broken_ratings_option(inter, ratings, message):
    with pytest.raises(DataError, match=message):
        read_recbole(inter, ImportOptions(ratings=ratings))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user_id,item_id\n1,2\n", "is not name:type"),
        ("user_id:token\titem_id:text\n1\t2\n", "column 'item_id:text' of the first line"),
        ("user_id:token\titem_id:token\n1\t2\n", "neither a behavior nor a rating column"),
        ("user_id:token\titem_id:token\titem_id:float\n1\t2\t3\n", "2 columns are called item_id"),
        ("", "not an .inter file"),
    ],
)
def test_files_that_are_not_atomic(inter, text, message):
    inter.write_text(text)
    with pytest.raises(DataError, match=message):
        read_recbole(inter, ImportOptions())


def test_missing_inter_file(tmp_path):
    with pytest.raises(DataError, match=r"not an \.inter file"):
        read_recbole(tmp_path / "missing.inter", ImportOptions())


@pytest.mark.data
def test_real_beibei(data_folder, tmp_path):
    report = import_release("mbgmn", data_folder / "beibei-buy", tmp_path / "out")
    assert (report.n_users, report.n_items) == (21_716, 7_977)
    assert report.n_pairs == {"buy": 282_860}
    assert report.n_test == {"buy": 10_000}


@pytest.mark.data
def test_real_ml_100k(data_folder, tmp_path):
    report = import_release("recbole", data_folder / "ml-100k" / "ml-100k.inter", tmp_path / "out")
    assert (report.n_users, report.n_items, report.n_events) == (943, 1_682, 100_000)
    assert list(report.n_pairs) == ["dislike", "neutral", "like"]
