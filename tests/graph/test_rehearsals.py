"""Rehearsals hide one target interaction of each user, in both directions, and nothing else."""

import numpy as np
import pytest
import torch

from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.cooccurrence import matrices_of, matrix_of
from cigf.graph.rehearsals import NOTHING, rehearsals
from cigf.testing.toy import random_matrices


@pytest.fixture(scope="module")
def made():
    matrices = random_matrices(n_users=13)
    graph = BehaviorGraph.build(matrices)
    return matrices, graph, rehearsals(graph, 5, 1.0, np.random.default_rng(0))


def test_what_is_hidden_is_missing_and_was_there(made):
    matrices, _, several = made
    for each in several:
        *others, target = (m.toarray() for m in matrices_of(each.graph))
        for found, original in zip(others, matrices[:-1], strict=True):
            np.testing.assert_array_equal(found, original.toarray())
        missing = matrices[-1].toarray() - target
        expected = np.zeros_like(missing)
        for user, item in enumerate(each.hidden.tolist()):
            if item != NOTHING:
                expected[user, item] = 1
        np.testing.assert_array_equal(missing, expected)


def test_both_directions_lack_the_same_edges(made):
    for each in made[2]:
        to_users, to_items = (
            matrix_of(side[-1]) for side in (each.graph.to_users, each.graph.to_items)
        )
        np.testing.assert_array_equal(to_users.toarray(), to_items.toarray().T)


def test_interactions_take_turns(made):
    matrices, _, several = made
    for user, count in enumerate(np.diff(matrices[-1].indptr)):
        hidden = [int(each.hidden[user]) for each in several]
        assert len(set(hidden)) == (1 if count == 0 else min(count, len(several)))
        assert (count == 0) == (NOTHING in hidden)


def test_a_share_of_the_users_hides(made):
    graph = made[1]
    several = rehearsals(graph, 400, 0.25, np.random.default_rng(0))
    who = graph.to_users[-1].degrees > 0
    hides = torch.stack([each.hidden[who] != NOTHING for each in several]).float().mean()
    assert 0.22 < hides.item() < 0.28
