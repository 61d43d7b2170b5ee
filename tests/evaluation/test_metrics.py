import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cigf.errors import ConfigError
from cigf.evaluation.metrics import METRICS, Rankings, measure, metric_names


def rankings(*lists):
    ranks = np.array([rank for ranks in lists for rank in ranks], dtype=np.int64)
    return Rankings(ranks, np.cumsum([0, *map(len, lists)]))


def slowly(name, ranks, k):
    """Walk down a list of relevances, one place at a time."""
    if not ranks:
        return math.nan
    relevant = [place in ranks for place in range(1, k + 1)]
    hits = sum(relevant)
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(len(ranks), k) + 1))
    gain = sum(1 / math.log2(place + 1) for place in range(1, k + 1) if place in ranks)
    precisions = [sum(relevant[:place]) / place for place in range(1, k + 1) if place in ranks]
    return {
        "hr": float(hits > 0),
        "recall": hits / len(ranks),
        "precision": hits / k,
        "ndcg": gain / ideal,
        "map": sum(precisions) / min(len(ranks), k),
    }[name]


@settings(max_examples=60, deadline=None)
@given(
    lists=st.lists(st.lists(st.integers(1, 13), unique=True, max_size=7), max_size=5),
    k=st.integers(1, 11),
)
def test_metrics_equal_a_walk_down_the_list(lists, k):
    for name in METRICS:
        expected = [slowly(name, ranks, k) for ranks in lists]
        np.testing.assert_allclose(measure(rankings(*lists), f"{name}@{k}"), expected)
    expected = [1 / min(ranks) if ranks else math.nan for ranks in lists]
    np.testing.assert_allclose(measure(rankings(*lists), "mrr"), expected)


@pytest.mark.parametrize("metric", METRICS)
def test_a_cut_off_far_beyond_the_last_rank_costs_nothing(metric):
    lists = rankings([1, 7, 3], [], [12])
    expected = measure(lists, f"{metric}@13") * (13e-12 if metric == "precision" else 1.0)
    np.testing.assert_allclose(measure(lists, f"{metric}@1000000000000"), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ndcg@10", [1.0, 0.5, 1 / math.log2(11), 0.0]),
        ("hr@10", [1, 1, 1, 0]),
        ("precision@10", [0.1, 0.1, 0.1, 0]),
        ("map@10", [1, 1 / 3, 1 / 10, 0]),
        ("mrr", [1, 1 / 3, 1 / 10, 1 / 11]),
    ],
)
def test_one_relevant_item_at_ranks_1_3_10_and_11(name, expected):
    np.testing.assert_allclose(measure(rankings([1], [3], [10], [11]), name), expected)


def test_names_of_metrics_at_cutoffs():
    names = metric_names(["hr", "mrr", "ndcg"], [5, 10])
    assert names == ("hr@5", "hr@10", "mrr", "ndcg@5", "ndcg@10")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ndgc@10", "metric 'ndgc@10' is not known; did you mean ndcg"),
        ("ndcg", "metric 'ndcg' has no cut-off; write it as ndcg@10"),
        ("hr@0", "metric 'hr@0' has no cut-off"),
    ],
)
def test_unknown_metrics_are_refused(name, message):
    with pytest.raises(ConfigError, match=message):
        measure(rankings([1]), name)
