import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inference_toys import N_ITEMS, N_USERS, random_history, write_artifact

from cigf.errors import ArtifactError, ConfigError, DataError, UnknownIdError
from cigf.inference.checks import check_choice
from cigf.inference.recommender import TrainedRecommender

BEHAVIORS = ("view", "add/cart", "buy")


def did(history, behavior, user, item):
    return bool(history.interactions[behavior].toarray()[user, item])


def slow_recommend(recommender, user, k, only, behavior, excluded, allow, deny):
    """One user, one item after the other."""
    history = recommender.artifact.history
    scores = recommender.artifact.scorer(BEHAVIORS[behavior]).block(torch.tensor([user]))[0]
    eligible = []
    for item, external in enumerate(history.items.ids.to_list()):
        touched = any(did(history, b, user, item) for b in range(3) if b != behavior)
        touched = touched and not did(history, behavior, user, item)
        if any(did(history, b, user, item) for b in excluded):
            continue
        if (only == "touched" and not touched) or (only == "new" and touched):
            continue
        if (allow is not None and external not in allow) or external in (deny or []):
            continue
        eligible.append((-float(scores[item]), item, external))
    return [external for _, _, external in sorted(eligible)[:k]]


ITEM_SETS = st.none() | st.lists(st.sampled_from(range(100, 107)), min_size=1, unique=True)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    users=st.lists(st.integers(0, N_USERS - 1), max_size=5),
    k=st.integers(1, N_ITEMS + 2),
    only=st.sampled_from(["all", "touched", "new"]),
    behavior=st.integers(0, 2),
    excluded=st.none() | st.sets(st.integers(0, 2)),
    allow=ITEM_SETS,
    deny=ITEM_SETS,
)
def test_lists_are_those_of_the_slow_twin(
    recommender, users, k, only, behavior, excluded, allow, deny
):
    found = recommender.recommend(
        [f"u{user}" for user in users],
        k,
        only=only,
        behavior=BEHAVIORS[behavior],
        exclude=None if excluded is None else [BEHAVIORS[b] for b in excluded],
        allow=allow,
        deny=deny,
    )
    hidden = {behavior} if excluded is None else excluded
    expected = []
    for user in users:
        items = slow_recommend(recommender, user, k, only, behavior, hidden, allow, deny)
        expected += [(f"u{user}", item, rank) for rank, item in enumerate(items, 1)]
    assert found.select("user_id", "item_id", "rank").rows() == expected


def test_scores_are_the_models_and_descend(recommender):
    frame = recommender.recommend(["u3"], N_ITEMS)
    history = recommender.artifact.history
    scorer = recommender.artifact.scorer()
    rows = torch.from_numpy(history.items.find(frame["item_id"]).copy())
    expected = scorer.pairs(torch.full_like(rows, 3), rows)
    np.testing.assert_allclose(frame["score"].to_numpy(), expected.numpy(), rtol=1e-5)
    assert frame["score"].is_sorted(descending=True)


def test_by_default_the_target_is_predicted_and_its_items_left_out(recommender):
    explicit = recommender.recommend(["u1"], 7, behavior="buy", exclude=["buy"])
    assert recommender.recommend(["u1"], 7).equals(explicit)


def test_the_types_of_ids_are_kept(recommender):
    frame = recommender.recommend(["u1", "u0"], 2)
    assert frame.schema == {
        "user_id": pl.String,
        "item_id": pl.Int64,
        "score": pl.Float32,
        "rank": pl.Int32,
    }
    assert frame["user_id"].to_list() == ["u1", "u1", "u0", "u0"]


def test_integer_users_are_found_by_their_text(tmp_path):
    history = random_history(user_ids=list(range(200, 211)))
    write_artifact(tmp_path / "a", history)
    recommender = TrainedRecommender.load(tmp_path / "a")
    frame = recommender.recommend(["203", "207"], 3)
    assert frame.equals(recommender.recommend(pl.Series([203, 207]), 3))
    assert frame["user_id"].dtype == pl.Int64


def test_all_users_in_blocks_are_all_users_at_once(recommender):
    blocks = list(recommender.recommend_all(3, block_size=4, only="new"))
    assert len(blocks) == 3
    assert pl.concat(blocks).equals(recommender.recommend(recommender.users, 3, only="new"))


def test_nobody_gets_nothing(recommender):
    frame = recommender.recommend([], 3)
    assert frame.height == 0
    assert frame.columns == ["user_id", "item_id", "score", "rank"]


def test_unknown_users_are_refused_and_named(recommender):
    users = ["u1", "x1", "x2", "x3", "x4"]
    with pytest.raises(
        UnknownIdError, match=r"4 of 5 user ids are not .* \(11 are\): 'x1', 'x2', 'x3', \.\.\."
    ):
        recommender.recommend(users)


def popularity(history, behavior=2):
    counts = history.interactions[behavior].toarray().sum(axis=0)
    return [100 + item for item in sorted(range(N_ITEMS), key=lambda item: (-counts[item], item))]


def test_unknown_users_get_what_is_popular(recommender, history):
    frame = recommender.recommend(["u1", "nobody"], 4, fallback="popularity")
    unknown = frame.filter(pl.col("fallback"))
    assert unknown["user_id"].unique().to_list() == ["nobody"]
    assert unknown["item_id"].to_list() == popularity(history)[:4]
    known = frame.filter(~pl.col("fallback")).drop("fallback")
    assert known.equals(recommender.recommend(["u1"], 4))


def test_what_is_popular_is_limited_too(recommender, history):
    frame = recommender.recommend(
        ["nobody"], 9, behavior="view", allow=[100, 103, 106], deny=[103], fallback="popularity"
    )
    best = [item for item in popularity(history, 0) if item in (100, 106)]
    assert frame["item_id"].to_list() == best


def test_unknown_users_have_touched_nothing(recommender):
    options = {"fallback": "popularity"}
    assert recommender.recommend(["nobody"], 4, only="touched", **options).height == 0
    assert recommender.recommend(["nobody"], 4, only="new", **options).height == 4


def test_the_popular_answer_keeps_ids_of_another_type(tmp_path):
    write_artifact(tmp_path / "a", random_history(user_ids=list(range(200, 211))))
    recommender = TrainedRecommender.load(tmp_path / "a")
    frame = recommender.recommend(["203", "x"], 1, fallback="popularity")
    assert frame["user_id"].to_list() == ["203", "x"]
    frame = recommender.recommend([203, 999], 1, fallback="popularity")
    assert frame["user_id"].to_list() == [203, 999]


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        (pd.Series([203, None]), [203, None]),
        (pd.Series([203.0, 99.0]), [203, 99]),
        ([203.0, 203.5], ["203", "203.5"]),
        ([203, "0099"], ["203", "0099"]),
    ],
)
def test_unknown_users_keep_the_ids_that_they_came_with(tmp_path, users, expected):
    for kind in (int, str):
        history = random_history(user_ids=list(map(kind, range(200, 211))))
        write_artifact(tmp_path / kind.__name__, history)
        recommender = TrainedRecommender.load(tmp_path / kind.__name__)
        frame = recommender.recommend(users, 1, fallback="popularity")
        named = expected if kind is int else [each and str(each) for each in expected]
        assert frame["user_id"].to_list() == named
        assert frame["fallback"].to_list() == [False, True]


def test_an_id_out_of_a_frame_is_one_id(tmp_path):
    write_artifact(tmp_path / "a", random_history(user_ids=list(range(200, 211))))
    recommender = TrainedRecommender.load(tmp_path / "a")
    expected = recommender.recommend([203], 2)
    for user in (np.int64(203), np.int32(203), np.float64(203), np.str_("203")):
        assert recommender.recommend(user, 2).equals(expected)
    assert recommender.recommend_for({"view": np.int64(101)}, 2, user=np.int64(203)).height == 2


def test_allowed_items_may_be_unknown_but_not_all(recommender):
    assert recommender.recommend(["u1"], 1, exclude=[], allow=[103, 999])["item_id"][0] == 103
    with pytest.raises(UnknownIdError, match="1 of 1 item ids are not in this model"):
        recommender.recommend(["u1"], 1, allow=[999])


def test_denied_items_may_all_be_unknown_or_none(recommender):
    expected = recommender.recommend(["u1"], 3)
    for deny in ([999], ["x"], []):
        assert recommender.recommend(["u1"], 3, deny=deny).equals(expected)


def test_lists_have_a_length(recommender):
    with pytest.raises(ConfigError, match="k: 0 given"):
        recommender.recommend(["u1"], k=0)


@pytest.mark.parametrize("k", [10**12, 10**20])
def test_lists_hold_all_items_at_most(recommender, k):
    options = {"exclude": [], "fallback": "popularity"}
    frame = recommender.recommend(["u1", "nobody"], k, **options)
    assert frame.equals(recommender.recommend(["u1", "nobody"], N_ITEMS, **options))
    assert frame.height == 2 * N_ITEMS


def test_choices_are_checked_without_run_time_types_too():
    check_choice("only", "new", ("all", "new"))
    with pytest.raises(ConfigError, match=r"only: 'news' given; did you mean new.* one of all"):
        check_choice("only", "news", ("all", "new"))


def test_unknown_behaviors_are_refused(recommender):
    with pytest.raises(DataError, match="did you mean view"):
        recommender.recommend(["u1"], behavior="views")
    with pytest.raises(DataError, match="did you mean view"):
        recommender.recommend(["u1"], exclude=["views"])


def slow_similar(vectors, row):
    cosines = []
    for other, vector in enumerate(vectors.double().numpy()):
        parts = [
            a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
            for a, b in zip(vector, vectors[row].double().numpy(), strict=True)
        ]
        cosines.append((-np.mean(parts), other))
    return sorted(pair for pair in cosines if pair[1] != row)


@pytest.mark.parametrize(("method", "external"), [("similar_items", 104), ("similar_users", "u4")])
def test_neighbors_are_those_of_the_slow_twin(recommender, method, external):
    frame = getattr(recommender, method)(external, 4)
    encoded = recommender.artifact.representations
    vectors = encoded.items if method == "similar_items" else encoded.users
    expected = slow_similar(vectors, 4)[:4]
    ids = recommender.items if method == "similar_items" else recommender.users
    assert frame.to_series(0).to_list() == [ids[row] for _, row in expected]
    np.testing.assert_allclose(frame["score"].to_numpy(), [-c for c, _ in expected], rtol=1e-5)
    assert frame["rank"].to_list() == [1, 2, 3, 4]


def test_neighbors_are_at_most_all_others(recommender):
    assert recommender.similar_items(100, 50).height == N_ITEMS - 1
    with pytest.raises(ConfigError, match="k: 0 given"):
        recommender.similar_items(100, 0)


def test_neighbors_of_the_unknown_are_refused(recommender):
    with pytest.raises(UnknownIdError, match="item 999 is not known"):
        recommender.similar_items(999)
    with pytest.raises(UnknownIdError, match="user 'x' is not known"):
        recommender.similar_users("x")


@pytest.mark.parametrize("row", range(N_USERS))
def test_the_history_is_all_that_a_user_did_deepest_first(recommender, history, row):
    frame = recommender.history(f"u{row}")
    expected = [
        (BEHAVIORS[b], 100 + item)
        for b in (2, 1, 0)
        for item in range(N_ITEMS)
        if did(history, b, row, item)
    ]
    assert frame.rows() == expected
    assert frame.schema == {"behavior": pl.String, "item_id": pl.Int64}


def test_loading_from_nowhere(tmp_path):
    with pytest.raises(ArtifactError, match="no such folder"):
        TrainedRecommender.load(tmp_path / "x")
