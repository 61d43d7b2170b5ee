"""The public class, used as a newcomer would."""

import doctest
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

import cigf.api
from cigf import MultiBehaviorRecommender, TrainedRecommender
from cigf.data.synthetic import generate_log
from cigf.errors import ArtifactError, ConfigError, DataError, OutputError, UnknownIdError

BEHAVIORS = ["view", "cart", "buy"]
QUICK = {"training__epochs": 2, "training__evaluate_every": 1, "model__embedding_size": 4}


@pytest.fixture(scope="module")
def events():
    return generate_log(61, 43, 3001, generator=np.random.default_rng(0))


@pytest.fixture(scope="module")
def fitted(events):
    return MultiBehaviorRecommender(BEHAVIORS, split="last", **QUICK).fit(events)


def test_the_example_of_the_docstring_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = generate_log(61, 43, 3001, generator=np.random.default_rng(0))
    ids = pl.col("user_id").str.replace("u", "u00")
    log.with_columns(ids).write_csv("events.csv")
    example = doctest.DocTestFinder().find(
        cigf.api.MultiBehaviorRecommender, globs={}, module=cigf.api
    )
    tests = [test for test in example if test.examples]
    assert len(tests) == 1
    runner = doctest.DocTestRunner()
    runner.run(tests[0])
    assert runner.summarize() == (0, len(tests[0].examples))
    assert TrainedRecommender.load("shop.model").users.len() == 61


def test_the_constructor_only_stores():
    recommender = MultiBehaviorRecommender(["nonsense"], model="none", training__epochs=-1)
    assert recommender.get_params()["behaviors"] == ["nonsense"]
    assert recommender.get_params()["training__epochs"] == -1


def test_a_clone_has_the_same_parameters():
    original = MultiBehaviorRecommender(BEHAVIORS, user_col="who", **QUICK)
    clone = MultiBehaviorRecommender(**original.get_params())
    assert clone.get_params() == original.get_params()


def test_parameters_can_be_changed():
    recommender = MultiBehaviorRecommender(BEHAVIORS, **QUICK)
    same = recommender.set_params(seed=5, training__epochs=7)
    assert same is recommender
    assert recommender.get_params()["seed"] == 5
    assert recommender.get_params()["training__epochs"] == 7
    assert QUICK["training__epochs"] == 2


def test_nothing_is_answered_before_fit():
    for call in ("recommend", "similar_items", "similar_users", "evaluate", "save"):
        arguments = () if call in ("recommend", "evaluate") else ("x",)
        with pytest.raises(ConfigError, match="not learned anything yet; call fit first"):
            getattr(MultiBehaviorRecommender(BEHAVIORS), call)(*arguments)


def test_fit_returns_itself_and_keeps_what_it_learned(fitted):
    assert isinstance(fitted.recommender_, TrainedRecommender)
    assert fitted.report_.n_users == 61
    assert fitted.fitted_.training.epochs == 2


def test_recommendations_are_those_of_the_trained_recommender(fitted):
    users = ["u03", "u17"]
    options = {"behavior": "cart", "exclude": []}
    frame = fitted.recommend(users, 3, only="new", **options)
    assert frame.equals(fitted.recommender_.recommend(users, 3, only="new", **options))
    assert frame["user_id"].to_list() == ["u03"] * 3 + ["u17"] * 3


def test_without_users_all_are_answered(fitted):
    assert fitted.recommend(k=1)["user_id"].to_list() == fitted.recommender_.users.to_list()


@pytest.mark.parametrize("users", ["u03", ["u03"], np.array(["u03"]), pd.Series(["u03"])])
def test_users_may_come_in_many_forms(fitted, users):
    assert fitted.recommend(users, 2).equals(fitted.recommend(pl.Series(["u03"]), 2))


def test_neighbors(fitted):
    item = fitted.recommender_.items[0]
    assert fitted.similar_items(item, 2).columns == ["item_id", "score", "rank"]
    assert fitted.similar_users("u03", 2).columns == ["user_id", "score", "rank"]


def test_evaluation_stands_beside_the_references(fitted):
    result = fitted.evaluate(n_bootstrap=20)
    assert result["split"] == "test"
    assert set(result["reference"]) == {"popularity", "touched_first"}
    low, high = result["intervals"]["full"]["all"]["hr@10"]
    assert low <= result["metrics"]["full"]["all"]["hr@10"] <= high


def test_without_test_pairs_the_validation_pairs_judge(events):
    recommender = MultiBehaviorRecommender(BEHAVIORS, **QUICK).fit(events)
    assert recommender.evaluate()["split"] == "valid"
    with pytest.raises(DataError, match="no pairs of behavior 'buy' are held out"):
        recommender.evaluate("test")


def test_given_test_pairs_are_held_out(events):
    buys = events.filter(pl.col("behavior") == "buy")
    test = buys.unique("user_id", keep="last", maintain_order=True).head(9)
    keys = ["user_id", "item_id", "behavior"]
    rest = events.join(test, on=keys, how="anti")
    frame = test.select("user_id", "item_id")
    recommender = MultiBehaviorRecommender(BEHAVIORS, on_error="skip", **QUICK).fit(rest, frame)
    assert recommender.evaluate()["n"]["all"] == 9


def test_the_same_seed_gives_the_same_scores(events, fitted):
    again = MultiBehaviorRecommender(BEHAVIORS, split="last", **QUICK).fit(events)
    assert again.recommend(k=4).equals(fitted.recommend(k=4))
    other = MultiBehaviorRecommender(BEHAVIORS, split="last", seed=1, **QUICK).fit(events)
    assert not other.recommend(k=4).equals(fitted.recommend(k=4))


@pytest.mark.parametrize("offset", [None, 10_000_000_000])
def test_pandas_in_pandas_out_with_the_same_answers(events, fitted, offset):
    frame = pd.DataFrame(events.to_dict(as_series=False))
    if offset is not None:  # integer ids
        frame["user_id"] = frame["user_id"].str[1:].astype(int) + offset
    recommender = MultiBehaviorRecommender(BEHAVIORS, split="last", **QUICK).fit(frame)
    wanted = ["u03", "u17"] if offset is None else [offset + 3, offset + 17]
    found = recommender.recommend(wanted, 2)
    assert isinstance(found, pd.DataFrame)
    expected = fitted.recommend(["u03", "u17"], 2)
    assert found["item_id"].tolist() == expected["item_id"].to_list()
    assert found["user_id"].tolist() == [wanted[0]] * 2 + [wanted[1]] * 2
    assert isinstance(recommender.similar_users(wanted[0], 2), pd.DataFrame)


def test_columns_and_values_can_be_named(events, fitted):
    names = {"user_id": "who", "item_id": "what", "behavior": "how", "timestamp": "when"}
    how = pl.col("how").replace({"view": "A", "cart": "B", "buy": "C"})
    recommender = MultiBehaviorRecommender(
        BEHAVIORS,
        user_col="who",
        item_col="what",
        behavior_col="how",
        time_col="when",
        mapping={"A": "view", "B": "cart", "C": "buy"},
        split="last",
        **QUICK,
    )
    recommender.fit(events.rename(names).with_columns(how))
    assert recommender.recommend(k=2).equals(fitted.recommend(k=2))


def test_what_is_saved_is_loaded_elsewhere(tmp_path, fitted):
    fitted.save(tmp_path / "model")
    loaded = MultiBehaviorRecommender.load(tmp_path / "model")
    assert loaded.recommend(["u03"], 5).equals(fitted.recommend(["u03"], 5))
    with pytest.raises(OutputError, match="exists already"):
        fitted.save(tmp_path / "model")
    with pytest.raises(ArtifactError, match="no such folder"):
        MultiBehaviorRecommender.load(tmp_path / "other")


def test_options_come_from_a_file_and_are_laid_over_it(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text('seed = 3\n[model]\nname = "cigf"\nn_layers = 3\n[training]\nepochs = 5\n')
    recommender = MultiBehaviorRecommender(BEHAVIORS, config=path, training__epochs=1)
    experiment = recommender.experiment()
    assert (experiment.seed, experiment.training.epochs) == (3, 1)
    assert experiment.model.model_dump()["n_layers"] == 3
    assert recommender.set_params(seed=4).experiment().seed == 4


def test_the_seed_of_the_file_is_that_of_the_split_too(tmp_path, events):
    path = tmp_path / "x.toml"
    path.write_text("seed = 5\n")
    log = events.drop("timestamp")

    def held_out(**seed):
        fitted = MultiBehaviorRecommender(BEHAVIORS, split="random", **QUICK, **seed).fit(log)
        return fitted.split_.test["buy"].items.tolist()

    assert held_out(config=path) == held_out(seed=5)
    assert held_out(config=path) != held_out()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 3}, "epochs is not an argument of MultiBehaviorRecommender"),
        ({"behaviours": 3}, "behaviours is not an argument .*; did you mean behaviors"),
        ({"training__epoch": 3}, r"training\.epoch is not an option; did you mean epochs"),
        ({"trainingg__epochs": 3}, "trainingg is not a section; did you mean training"),
        ({"model": "cigff"}, "model 'cigff' is unknown; did you mean cigf"),
    ],
)
def test_misspelled_options_get_a_suggestion(events, options, message):
    with pytest.raises(ConfigError, match=message):
        MultiBehaviorRecommender(BEHAVIORS, **options).fit(events)


def test_bad_events_are_refused(events):
    with pytest.raises(DataError, match="column 'item_id' not found"):
        MultiBehaviorRecommender(BEHAVIORS).fit(events.drop("item_id"))
    with pytest.raises(DataError, match="unknown behavior 'cart'"):
        MultiBehaviorRecommender(["view", "buy"]).fit(events)


def test_unknown_users_are_refused(fitted):
    with pytest.raises(UnknownIdError, match="'nobody'"):
        fitted.recommend("nobody")


def test_training_leaves_no_folder_behind(tmp_path, monkeypatch, events):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recommender = MultiBehaviorRecommender(BEHAVIORS, **QUICK).fit(events)
    assert list(tmp_path.iterdir()) == []
    assert recommender.recommend("u03", 1).height == 1
