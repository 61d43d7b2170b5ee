import threading

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from cigf.data.tasks import RankingTask
from cigf.ranking import ScoreFactors, rank_counts, top_k
from cigf.ranking.shares import in_shares

CPU = torch.device("cpu")


@pytest.fixture
def two_threads(monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr("cigf.ranking.shares.SMALLEST_SHARE", 2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("n_rows", [0, 1, 3, 17])
def test_shares_cover_all_rows_in_order(two_threads, n_rows):
    parts = in_shares(lambda share: list(range(n_rows))[share], n_rows, CPU)
    assert [row for part in parts for row in part] == list(range(n_rows))


def test_each_share_has_one_thread_and_the_caller_keeps_hers(two_threads):
    seen = in_shares(lambda _: (threading.get_ident(), torch.get_num_threads()), 17, CPU)
    assert len(seen) == 8
    assert {n_threads for _, n_threads in seen} == {1}
    assert threading.get_ident() not in {thread for thread, _ in seen}
    assert torch.get_num_threads() == 2


def test_other_devices_get_one_share(two_threads):
    assert in_shares(lambda share: share, 17, torch.device("meta")) == [slice(0, 17)]


def test_an_error_in_a_share_is_raised_and_the_threads_restored(two_threads):
    def fail(share):
        raise ValueError("no scores")

    with pytest.raises(ValueError, match="no scores"):
        in_shares(fail, 17, CPU)
    assert torch.get_num_threads() == 2


def test_shares_do_not_change_ranks_and_lists(two_threads):
    n_users, n_items = 31, 13
    generator = torch.Generator().manual_seed(0)
    draw = [
        torch.randint(-3, 4, (n, 2, 3), generator=generator).float() for n in (n_users, n_items)
    ]
    factors = ScoreFactors(*(x.requires_grad_() for x in draw))
    nothing = csr_array((n_users, n_items), dtype=np.float32)
    users = np.repeat(np.arange(n_users), 2)
    items = np.stack([np.arange(n_users) % n_items, (np.arange(n_users) + 5) % n_items], 1).ravel()
    task = RankingTask(users, items, nothing, nothing)
    shared, lists = rank_counts(factors, task), top_k(factors, np.arange(n_users), 3)
    torch.set_num_threads(1)
    alone, expected = rank_counts(factors, task), top_k(factors, np.arange(n_users), 3)
    np.testing.assert_array_equal(shared.full_all, alone.full_all)
    np.testing.assert_array_equal(lists[0], expected[0])
    np.testing.assert_array_equal(lists[1], expected[1])
