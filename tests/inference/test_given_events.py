"""Users given by their events: who they are, what counts as theirs, what they are recommended."""

import shutil

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from inference_toys import CONFIG, N_ITEMS, random_history, write_artifact

from cigf.errors import ArtifactError, ConfigError, DataError, UnknownIdError
from cigf.inference.manifest import describe_files, read_manifest, write_manifest
from cigf.inference.recommender import TrainedRecommender
from cigf.models.cigf import CIGF

HEADS = ["mesi", "bilinear", "shared-bottom", "mmoe", "ple"]
TWO = {"user_id": ["a", "u3", "a"], "item_id": [101, 104, 102], "behavior": ["view", "buy", "view"]}


def events_of(recommender, user):
    frame = recommender.history(user)
    return {name: group["item_id"] for (name,), group in frame.group_by("behavior")}


@pytest.mark.parametrize("row", range(4))
@pytest.mark.parametrize("on_history", ["add", "replace"])
def test_a_known_user_with_her_events_of_training_is_herself(recommender, row, on_history):
    events = events_of(recommender, f"u{row}")
    folded = recommender.fold_in(events, user=f"u{row}", history=on_history)
    expected = recommender.artifact.representations.users[row]
    torch.testing.assert_close(folded.vectors[0], expected)


def test_events_are_added_to_what_is_known_or_replace_it(recommender):
    added = recommender.fold_in({"view": [100, 103]}, user="u2")
    replaced = recommender.fold_in({"view": [100, 103]}, user="u2", history="replace")
    (matrix,) = added.events.history.interactions[:1]
    known = recommender.artifact.history.interactions[0].toarray()[2]
    expected = known.copy()
    expected[[0, 3]] = 1
    np.testing.assert_array_equal(matrix.toarray()[0], expected)
    assert replaced.events.history.interactions[0].indices.tolist() == [0, 3]
    assert replaced.events.history.interactions[2].nnz == 0
    assert not torch.equal(added.vectors, replaced.vectors)


@pytest.mark.parametrize("head", HEADS)
def test_lists_are_those_of_the_folded_vectors(tmp_path, head):
    write_artifact(tmp_path / "a", random_history(), config={**CONFIG, "head": head})
    recommender = TrainedRecommender.load(tmp_path / "a")
    frame = recommender.recommend_for(
        {"view": [101, 105], "buy": [102]}, N_ITEMS, user="new", scores=["view"]
    )
    artifact = recommender.artifact
    vectors = recommender.fold_in({"view": [101, 105], "buy": [102]}).vectors
    together = type(artifact.representations)(vectors, artifact.representations.items)
    for name, behavior in (("score", 2), ("score_view", 0)):
        expected = artifact.model.scorer(together, behavior).block(torch.tensor([0]))[0]
        found = dict(frame.select("item_id", name).rows())
        assert found.keys() == set(range(100, 107)) - {102}
        for item, score in found.items():
            assert score == pytest.approx(expected[item - 100].item(), rel=1e-4, abs=1e-6)
    assert frame["score"].is_sorted(descending=True)
    assert frame["user_id"].unique().to_list() == ["new"]


def test_her_own_events_say_what_is_new_touched_and_excluded(recommender):
    events = {"view": [101, 105], "buy": [102]}

    def items(**options):
        return set(recommender.recommend_for(events, N_ITEMS, **options)["item_id"])

    assert items(only="touched") == {101, 105}
    assert items(only="new") == {100, 103, 104, 106}
    assert items(exclude=["view", "buy"]) == {100, 103, 104, 106}
    assert items(exclude=[]) == set(range(100, 107))
    assert items(allow=[100, 101, 102], deny=[100]) == {101}
    assert items(behavior="view") == {100, 102, 103, 104, 106}


@pytest.mark.parametrize("frame", [pl.DataFrame, pd.DataFrame])
def test_several_users_in_a_frame_are_the_users_one_by_one(recommender, frame):
    together = recommender.recommend_for(frame(TWO), 3)
    alone = [
        recommender.recommend_for({"view": [101, 102]}, 3, user="a"),
        recommender.recommend_for({"buy": 104}, 3, user="u3"),
    ]
    columns = ["user_id", "item_id", "rank"]
    assert together.select(columns).rows() == pl.concat(alone).select(columns).rows()


def test_a_frame_without_users_is_of_one(recommender):
    frame = pl.DataFrame(TWO).drop("user_id")
    alone = recommender.recommend_for(frame, 3, user="a")
    assert alone["user_id"].to_list() == ["a"] * 3
    nobody = recommender.recommend_for(frame, 3)
    assert nobody["user_id"].to_list() == [None] * 3
    assert nobody.drop("user_id").equals(alone.drop("user_id"))


def test_folded_users_can_be_asked_for_again(recommender):
    folded = recommender.fold_in(pl.DataFrame(TWO))
    again = recommender.recommend_for(folded, 3, only="new")
    assert again.equals(recommender.recommend_for(pl.DataFrame(TWO), 3, only="new"))


@pytest.mark.parametrize("options", [{"user": "u1"}, {"history": "replace"}])
def test_how_folded_users_are_folded_in_cannot_be_said_later(recommender, options):
    folded = recommender.fold_in({"view": [101]})
    with pytest.raises(ConfigError, match="folded in already; give both to fold_in"):
        recommender.recommend_for(folded, **options)


def test_more_users_than_are_looked_up_one_by_one(recommender):
    """Their rows come from a join, which gives an array that may not be written."""
    users = [f"u{row}" for row in range(70)]
    events = pl.DataFrame({"user_id": users, "item_id": [101] * 70, "behavior": ["view"] * 70})
    found = recommender.recommend_for(events, 2)
    few = recommender.recommend_for(events.head(20), 2)
    assert found.filter(pl.col("user_id").is_in(users[:20])).equals(few)


def test_users_that_a_missing_one_made_decimals(recommender):
    odd = pd.DataFrame({**TWO, "user_id": [17, None, 17]})
    assert recommender.fold_in(odd).events.ids.to_list() == [17]


def test_items_and_users_without_a_value_are_passed_over(recommender):
    odd = {
        "user_id": ["a", None, "a", "a"],
        "item_id": [101, 102, None, 999],
        "behavior": ["view", "view", "view", "buy"],
    }
    folded = recommender.fold_in(pl.DataFrame(odd))
    assert [m.indices.tolist() for m in folded.events.history.interactions] == [[1], [], []]


def test_unknown_users_without_a_known_item_are_refused_or_get_what_is_popular(recommender):
    events = pl.DataFrame({**TWO, "item_id": [901, 104, 902]})
    with pytest.raises(UnknownIdError, match=r"1 of 2 users are not .* in it: 'a'; fallback"):
        recommender.recommend_for(events)
    frame = recommender.recommend_for(events, 3, fallback="popularity", scores=["view"])
    assert frame["fallback"].to_list() == [True] * 3 + [False] * 3
    popular = recommender.recommend(["x"], 3, fallback="popularity", scores=["view"])
    columns = ["item_id", "score", "score_view"]
    assert frame.head(3).select(columns).equals(popular.select(columns))
    views = recommender.artifact.history.interactions[0].toarray().sum(axis=0)
    counts = [views[item - 100] for item in popular["item_id"]]
    assert popular["score_view"].to_list() == counts


def test_a_known_user_without_events_is_answered(recommender):
    assert recommender.recommend_for({}, 2, user="u1")["user_id"].to_list() == ["u1", "u1"]


def test_what_is_wrong_with_events_is_said(recommender):
    with pytest.raises(DataError, match="did you mean view"):
        recommender.fold_in({"views": [101]})
    with pytest.raises(DataError, match="did you mean view"):
        recommender.fold_in(pl.DataFrame({"item_id": [101], "behavior": ["views"]}))
    with pytest.raises(DataError, match=r"column 'behavior' not found .columns: item_id"):
        recommender.fold_in(pl.DataFrame({"item_id": [101]}))
    with pytest.raises(ConfigError, match="the events have a column user_id"):
        recommender.fold_in(pl.DataFrame(TWO), user="a")


def test_an_artifact_of_an_earlier_version_cannot_fold_in(artifact_folder):
    manifest = read_manifest(artifact_folder)
    for name in ("memory.safetensors", "manifest.json"):
        (artifact_folder / name).unlink()
    files = describe_files(artifact_folder)
    write_manifest(artifact_folder, manifest.model_copy(update={"files": files}))
    recommender = TrainedRecommender.load(artifact_folder)
    assert recommender.recommend(["u1"], 2).height == 2
    with pytest.raises(ArtifactError, match="earlier version of cigf wrote it; train again"):
        recommender.fold_in({"view": [101]})


def test_a_model_that_cannot_fold_in_says_so(recommender, monkeypatch):
    monkeypatch.setattr(CIGF, "fold_in", super(CIGF, CIGF).fold_in)
    with pytest.raises(ConfigError, match="cannot represent users by events"):
        recommender.fold_in({"view": [101]})


def test_scores_of_behaviors_stand_beside_the_score(recommender):
    frame = recommender.recommend(["u3", "u1"], 4, scores=["add/cart", "buy"])
    assert frame.columns == ["user_id", "item_id", "score", "rank", "score_add/cart", "score_buy"]
    np.testing.assert_allclose(frame["score_buy"], frame["score"], rtol=1e-5)
    scorer = recommender.artifact.scorer("add/cart")
    users = torch.tensor([3] * 4 + [1] * 4)
    expected = scorer.pairs(users, torch.from_numpy(frame["item_id"].to_numpy() - 100))
    np.testing.assert_allclose(frame["score_add/cart"], expected.numpy(), rtol=1e-5)
    with pytest.raises(DataError, match="did you mean view"):
        recommender.recommend(["u3"], scores=["views"])


def test_a_copy_of_an_artifact_folds_in_too(tmp_path, recommender):
    recommender.artifact.save(tmp_path / "copy")
    copy = TrainedRecommender.load(shutil.move(tmp_path / "copy", tmp_path / "moved"))
    events = {"buy": [104]}
    assert torch.equal(copy.fold_in(events).vectors, recommender.fold_in(events).vectors)
