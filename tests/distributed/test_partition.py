"""Whose nodes are whose."""

import numpy as np
import pytest
import torch

from cigf.distributed.partition import Partition, Rows, local_rows
from cigf.testing.toy import random_matrices

MATRICES = random_matrices(n_users=13, n_items=17)


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 4, 23])
def test_every_node_has_one_owner_and_ranks_have_about_the_same(n_ranks):
    work = np.random.default_rng(0).zipf(1.5, 101).clip(max=500)
    rows = Rows.balanced(work, n_ranks)
    assert np.sort(np.concatenate(rows.owned)).tolist() == list(range(101))
    sizes = [len(owned) for owned in rows.owned]
    assert max(sizes) - min(sizes) <= 1
    assert rows.n_rows == max(sizes)
    loads = [work[owned].sum() for owned in rows.owned]
    assert max(loads) - min(loads) <= work.max()
    assert all((np.diff(owned) > 0).all() for owned in rows.owned)


def test_edges_of_all_behaviors_count():
    partition = Partition.by_edges(MATRICES, 2)
    edges = sum(matrix.toarray() for matrix in MATRICES)
    for rows, work in ((partition.users, edges.sum(1)), (partition.items, edges.sum(0))):
        first, second = (work[owned].sum() for owned in rows.owned)
        assert abs(first - second) <= work.max()


@pytest.mark.parametrize("n_ranks", [1, 2, 5, 19])
def test_shares_make_the_whole(n_ranks):
    rows = Rows.balanced(np.arange(13)[::-1].copy(), n_ranks)
    whole = torch.randn(13, 3, generator=torch.Generator().manual_seed(0))
    shares = [rows.share(rank, whole) for rank in range(n_ranks)]
    assert {tuple(share.shape) for share in shares} == {(rows.n_rows, 3)}
    table = torch.cat(shares)
    assert torch.equal(rows.restored(table), whole)
    assert table.count_nonzero() == whole.count_nonzero()  # rows of no node are zeros


def test_local_rows():
    rows = Rows((np.array([1, 4]), np.array([0, 2, 3])))
    nodes = torch.tensor([3, 1, 4, 0])
    assert local_rows(rows, 0, nodes).tolist() == [-1, 0, 1, -1]
    assert local_rows(rows, 1, nodes).tolist() == [2, -1, -1, 0]
