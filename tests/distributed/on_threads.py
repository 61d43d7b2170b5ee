"""Ranks as threads of this process, which talk through Gloo like processes do."""

from datetime import timedelta
from threading import Thread

from torch import distributed

from cigf.distributed.exchange import GroupRanks
from cigf.distributed.memory import MemoryRanks

TIMEOUT = timedelta(seconds=60)


def on_threads(n_ranks, function, *, memory=False, timeout=TIMEOUT):
    """Run `function(ranks)` on every rank; return what each returned, or raise the first error."""
    store, results, errors = distributed.HashStore(), [None] * n_ranks, []

    def work(rank):
        ranks = None
        try:
            group = distributed.ProcessGroupGloo(store, rank, n_ranks, timeout)
            ranks = GroupRanks(group, timeout)
            if memory:
                ranks = MemoryRanks(ranks)
            results[rank] = function(ranks)
        except BaseException as error:
            errors.append(error)
            if ranks is not None:
                ranks.abandon()

    threads = [Thread(target=work, args=(rank,)) for rank in range(n_ranks)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
