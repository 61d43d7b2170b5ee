"""Explanations in external ids."""

import pytest
from inference_toys import N_ITEMS, random_history, write_artifact

from cigf.data.dataset import build_matrix
from cigf.errors import ConfigError, DataError, UnknownIdError
from cigf.inference.recommender import TrainedRecommender


def test_without_an_item_the_first_recommendation_is_explained(recommender):
    found = recommender.explain("u3")
    best = recommender.recommend("u3", 1)
    assert (found.user, found.item, found.behavior) == ("u3", best["item_id"][0], "buy")
    assert found.score == pytest.approx(best["score"][0], rel=1e-5)
    assert found.shares["share"].sum() == pytest.approx(found.score, rel=1e-3)


@pytest.mark.parametrize("behavior", ["view", "add/cart", "buy"])
def test_every_task_can_be_explained(recommender, behavior):
    found = recommender.explain("u3", 104, behavior=behavior, k=2)
    assert (found.item, found.behavior) == (104, behavior)
    assert found.paths.height <= 2


def test_ids_are_found_by_their_text(recommender):
    assert recommender.explain("u3", "104").item == 104


def test_only_what_was_learned_from_has_shares(tmp_path):
    history = random_history()
    withheld = [build_matrix(*(m * 0).nonzero(), m.shape) for m in history.interactions[:2]]
    target = history.target
    last = build_matrix(*(each[-1:] for each in target.nonzero()), target.shape)
    user = target.nonzero()[0][-1]
    write_artifact(tmp_path / "a", history, withheld=(*withheld, last))
    found = TrainedRecommender.load(tmp_path / "a").explain(f"u{user}", 104)
    events = found.shares.filter(behavior="buy")["item_id"].unique()
    assert len(events) == target.indptr[user + 1] - target.indptr[user] - 1


def test_wrong_questions_are_refused(recommender):
    with pytest.raises(UnknownIdError, match="user 'x' is not known"):
        recommender.explain("x")
    with pytest.raises(UnknownIdError, match="item 999 is not known"):
        recommender.explain("u3", 999)
    with pytest.raises(ConfigError, match="k: 0 given"):
        recommender.explain("u3", k=0)
    with pytest.raises(DataError, match="did you mean view"):
        recommender.explain("u3", behavior="views")


def test_who_bought_everything_is_told_to_name_an_item(tmp_path):
    history = random_history()
    bought = history.target.toarray()
    bought[4] = 1
    full = build_matrix(*bought.nonzero(), bought.shape)
    matrices = (*history.interactions[:2], full)
    everything = type(history)(
        history.behaviors, history.users, history.items, matrices, history.times
    )
    write_artifact(tmp_path / "a", everything)
    recommender = TrainedRecommender.load(tmp_path / "a")
    with pytest.raises(DataError, match="nothing is left to recommend; name an item"):
        recommender.explain("u4")
    assert recommender.explain("u4", 100 + N_ITEMS - 1).score is not None
