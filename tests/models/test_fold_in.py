"""Users represented by events alone: equal to training's rows where those were its events."""

import numpy as np
import pytest
import torch
from cigf_toys import VARIANTS, build, encode

from cigf.data.dataset import build_matrix
from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import Edges
from cigf.models.base import Recommender
from cigf.testing.toy import random_matrices
from reference import cigf as reference


def edges_of(matrix):
    offsets, indices = (torch.from_numpy(x).int() for x in (matrix.indptr, matrix.indices))
    return Edges(offsets, indices, matrix.shape[1])


@torch.no_grad()
def fold_in(model, matrices, events, users):
    memory = model.remember(BehaviorGraph.build(matrices))
    return model.fold_in(memory, [edges_of(each) for each in events], torch.tensor(users))


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_known_users_with_their_events_of_training_get_their_rows(options):
    matrices = random_matrices()
    model = build(matrices, options)
    users = [5, 0, 3, 5]
    found = fold_in(model, matrices, [matrix[users] for matrix in matrices], users)
    torch.testing.assert_close(found, encode(model, matrices).users[users], rtol=1e-5, atol=1e-5)


def newcomers_twin(model, matrices, rows):
    """A newcomer as one more user, whom the items do not notice: dense, one layer at a time.

    Only for the reference chain with one head, row normalization and plain read-out.
    """
    config, w = model.config, reference.weights_of(model)
    n_users, own = len(w["user_embedding"]), np.zeros(config.embedding_size)
    x = np.concatenate([w["user_embedding"], w["item_embedding"]])
    r = [reference.adjacency(matrix, "row") for matrix in matrices]
    shares = [row / max(row.sum(), 1) for row in rows]
    result = []
    for k in range(len(matrices)):
        total, layer_sum = own, own
        for layer in range(1, config.n_layers + 1):
            if layer == 1:
                h = shares[k] @ w["item_embedding"]
            else:
                (before,) = reference.chains(config, w, r, x, k, layer - 1)
                a = reference.attention(config, w, own[None], layer, 0, k, len(matrices))[0]
                h = sum(a[j] * (shares[j] @ before[n_users:]) for j in range(len(matrices)))
            total = h + total
            layer_sum = layer_sum + total
        result.append(layer_sum)
    return np.stack(result)


@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_an_unknown_user_has_her_events_and_no_embedding_of_her_own(n_layers):
    matrices = random_matrices()
    model = build(matrices, {"n_layers": n_layers, "embedding_size": 5})
    generator = np.random.default_rng(2)
    rows = [generator.random(11) < share for share in (0.5, 0.3, 0.0)]
    events = [build_matrix(*np.nonzero(row[None]), (1, 11)) for row in rows]
    (found,) = fold_in(model, matrices, events, [-1])
    np.testing.assert_allclose(found, newcomers_twin(model, matrices, rows), rtol=1e-4, atol=1e-4)


def test_users_together_are_users_one_by_one():
    matrices = random_matrices()
    model = build(matrices, {"n_layers": 3})
    users = [5, -1, 3]
    events = [matrix[[5, 2, 4]] for matrix in matrices]
    together = fold_in(model, matrices, events, users)
    alone = [fold_in(model, matrices, [e[[n]] for e in events], [u]) for n, u in enumerate(users)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-5, atol=1e-5)


def test_more_events_give_another_row():
    matrices = random_matrices()
    model = build(matrices, {})
    events = [matrix[[5]] for matrix in matrices]
    before = fold_in(model, matrices, events, [5])
    events[0] = build_matrix(np.zeros(11, int), np.arange(11), (1, 11))
    after = fold_in(model, matrices, events, [5])
    assert (before - after).abs().max() > 1e-3


@pytest.mark.parametrize("chain", ["reference", "paper", "independent"])
def test_no_more_is_kept_than_is_received(chain):
    matrices = random_matrices()
    model = build(matrices, {"chain": chain, "n_layers": 3})
    memory = model.remember(BehaviorGraph.build(matrices))
    # Layer 1 receives the embeddings themselves, which the model has.
    assert len([name for name in memory if name.startswith("items.")]) == 2


def test_a_model_that_cannot_says_so():
    matrices = random_matrices()
    model = build(matrices, {})
    assert Recommender.remember(model, BehaviorGraph.build(matrices)) == {}
    with pytest.raises(ConfigError, match="CIGF cannot represent users by events"):
        Recommender.fold_in(model, {}, [edges_of(m) for m in matrices], torch.tensor([0]))
