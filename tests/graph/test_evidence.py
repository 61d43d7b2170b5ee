"""Evidence: shared parts of a rehearsal are those of the whole graph, and nothing is missing."""

import numpy as np
import pytest

from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.evidence import Counting, Evidence, feature_groups, standardized
from cigf.graph.lessons import Lesson
from cigf.graph.rehearsals import NOTHING, Rehearsal, rehearsals
from cigf.graph.relations import relations_of_pairs, relations_with_items
from cigf.testing.toy import random_matrices

HOW = Counting(n_neighbors=4, user_power=0.5, n_coordinates=3)


@pytest.fixture(scope="module")
def rehearsal():
    graph = BehaviorGraph.build(random_matrices(n_users=13))
    return graph, rehearsals(graph, 1, 0.8, np.random.default_rng(0))[0]


def test_evidence_of_a_rehearsal_is_that_of_its_graph(rehearsal):
    graph, each = rehearsal
    shared = Evidence(each.graph, HOW, Evidence(graph, HOW))
    alone = Evidence(each.graph, HOW)
    np.testing.assert_array_equal(shared.relations, alone.relations)
    np.testing.assert_array_equal(shared.features, alone.features)
    assert shared.features.shape == (len(shared.pairs[0]), sum(feature_groups(3, 3).values()))


def test_relations_are_products(rehearsal):
    evidence = Evidence(rehearsal[0], HOW)
    users, items = np.array([1, 1, 4, 12]), np.array([3, 5, 0, 10])
    found = relations_of_pairs(evidence.done, evidence.related, (users, items))
    columns = [each.tocsc() for each in evidence.related]
    sampled = relations_with_items([each[users] for each in evidence.done], columns, items)
    for k, done in enumerate(evidence.done):
        for j, near in enumerate(evidence.related):
            product = done.toarray() @ near.toarray()
            np.testing.assert_allclose(found[:, k, j], product[users, items], rtol=1e-6)
            np.testing.assert_allclose(sampled[:, :, k, j], product[users][:, items], rtol=1e-6)


def test_an_item_keeps_its_own_nearest(rehearsal):
    for near in Evidence(rehearsal[0], HOW).related:
        assert (near.toarray() > 0).sum(0).max() == HOW.n_neighbors
        assert (near.diagonal() == 0).all()


def test_standardized_columns_have_mean_0_and_deviation_1():
    table = np.array([[1.0, 5.0], [3.0, 5.0], [9.0, 9.0]], np.float32)
    chosen = np.array([True, True, False])
    expected = np.array([[-1.0, 0.0], [1.0, 0.0], [7.0, 4.0]])
    np.testing.assert_allclose(standardized(table, chosen), expected)
    assert (standardized(table, ~chosen & chosen) == 0).all()


def test_rounding_is_no_deviation():
    """Whatever the mean of equal values is rounded to, they stay equal to it."""
    table = np.full((70_001, 8), np.log(1e-3, dtype=np.float32) * np.arange(1, 9), np.float32)
    table[0] += 1.0
    chosen = np.arange(len(table)) > 0
    found = standardized(table, chosen)
    np.testing.assert_allclose(found, np.where(chosen, 0.0, 1.0)[:, None] + found * 0, atol=1e-4)


def test_a_lesson_separates_what_is_hidden(rehearsal):
    graph, each = rehearsal
    evidence = Evidence(each.graph, HOW, Evidence(graph, HOW))
    lesson = Lesson(Rehearsal(each.graph, each.hidden), evidence)
    users = (each.hidden != NOTHING).nonzero()[:, 0]
    listed = lesson.listed(users)
    touched = evidence.touched.toarray() > 0
    bought = evidence.done[-1].toarray() > 0
    for row, user in enumerate(users.tolist()):
        hidden = int(each.hidden[user])
        expected = np.flatnonzero(touched[user] & ~bought[user])
        found = listed.items[listed.owners == row].tolist()
        assert found == [item for item in expected if item != hidden]
        assert bool(lesson.is_new(users)[row]) == (not touched[user, hidden])
        assert lesson.knows(users, each.hidden[users])[row, row]
        assert lesson.n_unknown(users)[row] == (~(touched | bought)[user]).sum()
