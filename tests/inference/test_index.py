import json
import sys

import numpy as np
import polars as pl
import pytest

from cigf.data.behaviors import Behaviors
from cigf.data.dataset import Dataset, build_matrix
from cigf.data.ids import IdMap
from cigf.errors import ArtifactError, ConfigError, DataError, MissingExtraError, OutputError
from cigf.inference import index
from cigf.inference.index import build_index, load_index
from cigf.inference.indexing import index_artifact
from cigf.inference.opened import Factors, open_artifact
from cigf.inference.quick_model import Ask, QuickModel
from cigf.inference.quick_scores import FactorScores
from inference.inference_toys import EVERY, make, random_history, write_artifact

N_USERS, N_ITEMS = 13, 5003


def clustered(gates=0.0, bias=False):
    """Factors of items that come in groups, as trained ones do, of very different lengths."""
    generator = np.random.default_rng(3)
    centers = generator.normal(size=(31, 2, 5))
    groups = generator.integers(0, 31, N_ITEMS)
    items = centers[groups] + 0.4 * generator.normal(size=(N_ITEMS, 2, 5))
    items *= generator.gamma(4.0, 0.25, (N_ITEMS, 1, 1))
    users = centers[:N_USERS] + 0.4 * generator.normal(size=(N_USERS, 2, 5))
    logits = [gates * generator.normal(size=(n, 2)) for n in (N_USERS, N_ITEMS)]
    parts = [users, items, *(logits if gates else (None, None))]
    parts.append(0.5 * generator.normal(size=N_ITEMS) if bias else None)
    return Factors(*(None if part is None else part.astype(np.float32) for part in parts), 7.0)


def history():
    generator = np.random.default_rng(0)
    matrices = [
        build_matrix(*np.nonzero(generator.random((N_USERS, N_ITEMS)) < 0.01), (N_USERS, N_ITEMS))
        for _ in range(2)
    ]
    ids = [IdMap(pl.Series("id", range(n)), e) for e, n in (("user", N_USERS), ("item", N_ITEMS))]
    return Dataset(Behaviors(("view", "buy")), *ids, tuple(matrices), (None, None))


@pytest.mark.parametrize(("gates", "bias"), [(0.0, False), (0.5, False), (0.0, True)])
def test_most_of_the_best_are_found(gates, bias):
    factors = clustered(gates, bias)
    index, scores = build_index(factors, "v", "buy"), FactorScores(factors, 1)
    assert len(index) == N_ITEMS
    found = []
    for row in range(N_USERS):
        user = scores.trained(row)
        candidates = index.find(user, 300)
        assert len(candidates) <= 300
        assert (np.diff(candidates) > 0).all()
        exact = np.argsort(-scores.score([user])[0])[:10]
        found.append(np.isin(exact, candidates).mean())
    assert np.mean(found) > 0.9


@pytest.mark.parametrize("bias", [False, True])
def test_indexed_vectors_are_of_one_length(bias):
    """Only then is the nearest vector the one with the largest inner product."""
    lengths = np.linalg.norm(index._item_side(clustered(bias=bias), None), axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=1e-5)


def test_all_cells_find_everything():
    factors = clustered()
    index, scores = build_index(factors, "v", "buy", n_probes=10**6), FactorScores(factors, 1)
    assert index.find(scores.trained(0), N_ITEMS).tolist() == list(range(N_ITEMS))


ASKS = [
    {},
    {"only": "new", "deny": np.arange(0, N_ITEMS, 2)},
    {"only": "touched"},
    {"only": "touched", "allow": np.arange(900)},
    {"allow": np.array([3, 5, 77, 4000]), "scores": (1, 1)},
    {"excluded": (0, 1), "k": 40},
]


@pytest.mark.parametrize("options", ASKS)
def test_lists_with_an_index_are_those_without(options):
    factors, data = clustered(0.5), history()
    scores = FactorScores(factors, 1)
    index = build_index(factors, "v", "buy", n_probes=10**6)
    exact = QuickModel(data, lambda b: scores)
    quick = QuickModel(data, lambda b: scores, {1: index}, many=1)
    asks = [
        Ask(**{"behavior": 1, "k": 7, "known": exact.known(row), "row": row, **options})
        for row in range(N_USERS)
    ]
    for found, expected in zip(quick.rank(asks), exact.rank(asks), strict=True):
        assert found.items.tolist() == expected.items.tolist()
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-4)
        assert [len(each) for each in found.others] == [len(each) for each in expected.others]


def test_who_has_too_few_candidates_gets_an_exact_list():
    factors, data = clustered(), history()
    scores = FactorScores(factors, 1)

    class Nothing:
        def find(self, user, n):
            return np.arange(3)

    exact = QuickModel(data, lambda b: scores)
    quick = QuickModel(data, lambda b: scores, {1: Nothing()}, many=1)
    ask = Ask(1, 5, exact.known(0), 0)
    assert quick.rank([ask])[0].items.tolist() == exact.rank([ask])[0].items.tolist()


@pytest.fixture
def folder(tmp_path):
    write_artifact(tmp_path / "a", random_history())
    return tmp_path / "a"


def test_an_artifact_gets_an_index(folder):
    path, found = index_artifact(folder)
    assert (path, found.users, found.recall) == (folder / "index", 11, 1.0)
    opened = open_artifact(folder)
    index = load_index(folder, opened.manifest.version)
    assert (len(index), index.about.behavior) == (7, "buy")
    scores = FactorScores(opened.factors("buy"), 2)
    assert index.find(scores.trained(3), 7).tolist() == list(range(7))
    with pytest.raises(OutputError, match="exists already"):
        index_artifact(folder)
    index_artifact(folder, "view", force=True)
    assert load_index(folder, opened.manifest.version).about.behavior == "view"


@pytest.mark.parametrize(("name", "config"), EVERY)
def test_every_model_whose_scores_are_factors_gets_an_index(tmp_path, name, config):
    make(tmp_path / "a", name, config)
    behaviors = open_artifact(tmp_path / "a").manifest.factors
    for behavior in behaviors:
        assert index_artifact(tmp_path / "a", behavior, force=True)[1].users == 11
    if not behaviors:
        with pytest.raises(ConfigError, match=f"{name}: the scores of buy are no factors"):
            index_artifact(tmp_path / "a")


def test_an_artifact_without_an_index(folder):
    assert load_index(folder, "v") is None


def test_behaviors_that_cannot_be_indexed(folder, tmp_path):
    with pytest.raises(DataError, match="'lend'"):
        index_artifact(folder, "lend")
    write_artifact(tmp_path / "b", random_history(), config={"head": "mmoe"})
    with pytest.raises(ConfigError, match="the scores of buy are no factors"):
        index_artifact(tmp_path / "b")


def test_an_index_of_another_model(folder):
    index_artifact(folder)
    with pytest.raises(ArtifactError, match=r"of another model .*; build it again: cigf index"):
        load_index(folder, "something")


def test_a_damaged_index(folder):
    index_artifact(folder)
    version = open_artifact(folder).manifest.version
    about, vectors = folder / "index" / "index.json", folder / "index" / "items.faiss"
    vectors.write_bytes(vectors.read_bytes()[:-1] + b"?")
    with pytest.raises(ArtifactError, match=r"items\.faiss: missing or altered"):
        load_index(folder, version)
    values = json.loads(about.read_text())
    about.write_text(json.dumps({**values, "format": "other"}))
    with pytest.raises(ArtifactError, match="not an index"):
        load_index(folder, version)
    about.write_text(json.dumps({**values, "more": 1}))
    with pytest.raises(ArtifactError, match="not the description of an index"):
        load_index(folder, version)


def test_without_faiss_the_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'cigf\[ann\]'"):
        index_artifact(folder)
