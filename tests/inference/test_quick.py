import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cigf.inference.artifact import load_artifact
from cigf.inference.neighbors import nearest
from cigf.inference.opened import open_artifact
from cigf.inference.quick import ItemFactors, UserFactors, best
from cigf.inference.quick_model import Ask, QuickModel
from cigf.inference.quick_neighbors import QuickNeighbors
from cigf.inference.quick_scores import FactorScores
from cigf.inference.torch_side import ScorerScores
from cigf.ranking import ScoreFactors, top_k
from inference.inference_toys import N_ITEMS, N_USERS, random_history, write_artifact


def slow_best(scores, k):
    order = sorted(range(len(scores)), key=lambda n: (-scores[n], n))
    return [n for n in order if scores[n] > -np.inf][:k]


@given(
    scores=arrays(
        np.float32,
        st.integers(0, 40),
        elements=st.sampled_from([-np.inf, -1.0, 0.0, 0.5, 2.0]),
    ),
    k=st.integers(1, 12),
)
def test_the_best_in_a_total_order(scores, k):
    assert best(scores, k).tolist() == slow_best(scores, k)


@pytest.mark.parametrize("n", [1023, 4096, 20011])
@pytest.mark.parametrize("values", [3, 1000, 10**6])
def test_the_best_of_many(n, values):
    generator = np.random.default_rng(n + values)
    scores = generator.integers(0, values, n).astype(np.float32)
    scores[generator.random(n) < 0.3] = -np.inf
    for k in (1, 7, 100):
        assert best(scores, k).tolist() == slow_best(scores, k)


@pytest.mark.parametrize("n", [7, 20011])
def test_what_is_no_number_is_never_among_the_best(n):
    scores = np.arange(n, dtype=np.float32)
    scores[[2, n - 1]] = np.nan
    assert best(scores, 3).tolist() == [n - 2, n - 3, n - 4]
    assert best(np.full(n, np.nan, np.float32), 3).tolist() == []


def test_stretches_without_a_number_shorten_no_list():
    scores = np.zeros(5000, np.float32)
    scores[:2048] = np.nan
    scores[[2048, 2049, 3072]] = [5, 4.5, 4]
    assert best(scores, 3).tolist() == [2048, 2049, 3072]


def random_factors(generator, gated, spread=1.0):
    def draw(*shape):
        return torch.from_numpy(generator.normal(size=shape).astype(np.float32))

    gates = (spread * draw(11, 3), spread * draw(23, 3)) if gated else (None, None)
    return ScoreFactors(draw(11, 3, 5), draw(23, 3, 5), *gates, item_bias=draw(23), scale=7.0)


def quick(factors):
    parts = (factors.items, factors.item_gates, factors.item_bias)
    items = ItemFactors.build(*(None if p is None else p.numpy() for p in parts), factors.scale)
    users = [
        UserFactors(
            factors.users[row].numpy(),
            None if factors.user_gates is None else factors.user_gates[row].numpy(),
        )
        for row in range(11)
    ]
    return items, users


@pytest.mark.parametrize("n_users", [1, 2, 5, 6, 11])
@pytest.mark.parametrize(("gated", "spread"), [(False, 1.0), (True, 1.0), (True, 80.0)])
def test_the_same_scores_as_in_torch(gated, spread, n_users):
    factors = random_factors(np.random.default_rng(0), gated, spread)
    items, users = quick(factors)
    expected = factors.block(torch.arange(n_users)).numpy()
    np.testing.assert_allclose(items.score(users[:n_users]), expected, rtol=2e-4, atol=2e-4)


def test_neighbors_are_those_of_torch():
    rows = torch.from_numpy(np.random.default_rng(0).normal(size=(13, 3, 5)).astype(np.float32))
    cosines, order = nearest(rows, 4, 6)
    found, values = QuickNeighbors(rows.numpy()).nearest(4, 6)
    assert found.tolist() == order
    np.testing.assert_allclose(values, cosines.numpy(), rtol=1e-5)


@pytest.fixture
def artifact(tmp_path):
    write_artifact(tmp_path / "artifact", random_history())
    return load_artifact(tmp_path / "artifact")


def quick_model(artifact):
    opened, names = open_artifact(artifact.path), artifact.history.behaviors.names
    return QuickModel(opened.history, lambda b: FactorScores(opened.factors(names[b]), b))


@pytest.mark.parametrize("behavior", range(3))
@pytest.mark.parametrize("only", ["all", "new", "touched"])
@pytest.mark.parametrize("excluded", [(), (2,), (0, 1)])
def test_lists_are_those_of_top_k(artifact, behavior, only, excluded):
    model, history = quick_model(artifact), artifact.history
    seen = [history.interactions[b].toarray() for b in excluded]
    hidden = np.clip(sum(seen, np.zeros((N_USERS, N_ITEMS))), 0, 1)
    asks = [
        Ask(behavior, 4, model.known(row), row, only=only, excluded=excluded, deny=np.array([3]))
        for row in range(N_USERS)
    ]
    items, _ = top_k(
        artifact.scorer(history.behaviors.names[behavior]),
        np.arange(N_USERS),
        4,
        seen=type(history.target)(hidden.astype(np.float32)),
        touched=history.touched(behavior),
        only=only,
        deny=np.array([3]),
    )
    for ranked, row in zip(model.rank(asks), items, strict=True):
        assert ranked.items.tolist() == [item for item in row if item >= 0]


def test_only_allowed_items_are_listed(artifact):
    model = quick_model(artifact)
    (ranked,) = model.rank([Ask(2, 5, model.known(0), 0, allow=np.array([1, 4]))])
    assert set(ranked.items.tolist()) == {1, 4}


def test_who_is_unknown_and_did_nothing_gets_what_is_popular(artifact):
    model = quick_model(artifact)
    nothing = (np.empty(0, np.int64),) * 3
    ask = Ask(2, 3, nothing)
    assert ask.is_popularity
    (ranked,) = model.rank([ask])
    counts = np.asarray(artifact.history.target.sum(axis=0)).ravel()
    assert ranked.items.tolist() == slow_best(counts, 3)
    assert ranked.scores.tolist() == counts[ranked.items].tolist()


def test_asks_for_several_behaviors_keep_their_order(artifact):
    model = quick_model(artifact)
    asks = [Ask(b, 3, model.known(row), row) for row, b in enumerate([2, 0, 2, 1, 0])]
    for ask, ranked in zip(asks, model.rank(asks), strict=True):
        (alone,) = model.rank([ask])
        assert alone.items.tolist() == ranked.items.tolist()


def test_a_scorer_without_factors_gives_the_same(artifact):
    scorer = artifact.scorer()
    scores = ScorerScores(scorer, 2)
    found = scores.score([scores.trained(3), scores.trained(5)])
    expected = [scorer.block(torch.tensor([row])).numpy() for row in (3, 5)]
    np.testing.assert_array_equal(found, np.concatenate(expected))
