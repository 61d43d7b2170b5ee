"""A partitioned model is the model: its losses, gradients and steps are those of one process."""

import math
import re
from dataclasses import fields

import numpy as np
import pytest
import torch
from on_threads import on_threads

from cigf import compiled
from cigf.data.dataset import touched_pairs
from cigf.data.splitting import Candidates
from cigf.data.tasks import RankingTask
from cigf.distributed import sending
from cigf.distributed.graph import RankGraph
from cigf.distributed.memory import MemoryRanks
from cigf.distributed.model import RankModel, check_divisible, share_of
from cigf.distributed.partition import Partition, local_rows
from cigf.distributed.ranking import rank_share
from cigf.distributed.setting import RankSetting
from cigf.errors import ConfigError, DivergedError
from cigf.graph import needed, propagation
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Sizes
from cigf.models.registry import build_model, parse_model_config
from cigf.ranking import rank_counts
from cigf.sampling.config import SamplingConfig
from cigf.sampling.users import UserSampler
from cigf.shapes import Nodes
from cigf.testing.toy import random_matrices
from cigf.training.config import TrainingConfig
from cigf.training.events import Listener
from cigf.training.trainer import Trainer

MATRICES = random_matrices(n_users=13, n_items=17)
SAMPLING = SamplingConfig(batch_size=5, positives_per_user=3)
DEEP = {"n_layers": 3, "embedding_size": 5, "score_scale": 3.0}
MODELS = [
    ("cigf", DEEP),
    ("cigf", {**DEEP, "chain": "paper", "n_heads": 2, "normalization": "symmetric"}),
    ("cigf", {**DEEP, "chain": "independent", "head": "bilinear", "n_layers": 1}),
    (
        "cigf",
        {**DEEP, "aggregator": "gcn", "n_heads": 2, "head": "mmoe", "normalization": "column"},
    ),
    ("lightgcn", {"embedding_size": 5}),
    ("lightgcn-m", {"embedding_size": 5, "batch_l2": 0.5}),
]


def build(name="cigf", options=DEEP, dtype=torch.float32):
    sizes = Sizes(13, 17, len(MATRICES))
    return build_model(name, parse_model_config(name, options), sizes, 3).to(dtype)


def sampler(model, config=SAMPLING):
    return UserSampler(MATRICES, config, 0, learns=model.learns)


def whole_gradients(model):
    """Gradients of a rank's model, its tables' of all nodes."""
    tables = model.tables()
    return {
        name: p.grad if p.grad is None or name not in tables else model.whole(p.grad, tables[name])
        for name, p in model.inner.named_parameters()
    }


def assert_ranks_agree(n_ranks, built, batch, model, losses, tolerance):
    """Ranks have a whole model's losses, and together the gradients that it now has.

    Two ranks both ways: in shared memory, where each computes what its own rows send back, and by
    messages, where all compute it of gradients.
    """

    def ask(ranks):
        partition = Partition.by_edges(MATRICES, ranks.size)
        part = RankModel(build(*built), partition, ranks)
        found = part(rank_graph(partition, ranks, built[2]), batch)
        found.sum().backward()
        return found.detach(), whole_gradients(part)

    for memory in [False, True] if n_ranks == 2 else [False]:
        for found, gradients in on_threads(n_ranks, ask, memory=memory):
            torch.testing.assert_close(found, losses.detach(), **tolerance)
            for parameter, p in model.named_parameters():
                if p.grad is None:
                    assert gradients[parameter] is None
                else:
                    torch.testing.assert_close(gradients[parameter], p.grad, **tolerance)


@pytest.mark.parametrize(("name", "options"), MODELS)
@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("kernels", [False, True])
def test_losses_and_gradients(name, options, n_ranks, kernels):
    # In double precision only rounding errors far below the gradients are left.
    dtype = torch.float32 if kernels else torch.float64
    tolerance = {"rtol": 1e-3, "atol": 1e-5} if kernels else {"rtol": 1e-9, "atol": 1e-11}
    model = build(name, options, dtype)
    batch = next(sampler(model).epoch(0))
    with compiled.switched(on=kernels):
        losses = model(graph_of(dtype), batch)
        losses.sum().backward()

        assert_ranks_agree(n_ranks, (name, options, dtype), batch, model, losses, tolerance)


FEW = SamplingConfig(batch_size=2, positives_per_user=1)


@pytest.mark.parametrize("options", [each for name, each in MODELS if name == "cigf"])
@pytest.mark.parametrize("n_layers", [1, 2, 4])
@pytest.mark.parametrize("n_ranks", [1, 2, 4])
@pytest.mark.parametrize("kernels", [False, True])
def test_items_that_are_not_read_change_nothing(monkeypatch, options, n_layers, n_ranks, kernels):
    # Whatever they save: on so small a graph nothing would be left out.
    monkeypatch.setattr(needed, "_WORTHWHILE", 2.0)
    options, dtype = {**options, "n_layers": n_layers}, torch.float32 if kernels else torch.float64
    tolerance = {"rtol": 1e-3, "atol": 1e-5} if kernels else {"rtol": 1e-9, "atol": 1e-11}
    model = build("cigf", options, dtype)
    batch = next(sampler(model, FEW).epoch(0))
    with compiled.switched(on=kernels):
        # By one process that leaves out nothing.
        losses = model.loss(model.encode(graph_of(dtype), batch.users), batch)
        losses.sum().backward()

        assert_ranks_agree(n_ranks, ("cigf", options, dtype), batch, model, losses, tolerance)


def test_ranks_leave_out_the_same_items_as_one_process(monkeypatch):
    monkeypatch.setattr(needed, "_WORTHWHILE", 2.0)
    model = build()
    batch = next(sampler(model, FEW).epoch(0))
    items = needed.items_of(batch, 17)
    whole = needed.steps_for(BehaviorGraph.build(MATRICES), "row", 3, batch.users, items)

    def ask(ranks):
        setting = RankSetting(MATRICES, ranks, "cpu")
        part = setting.model(build())
        share = share_of(batch, setting.partition, ranks.rank).batch
        steps = needed.steps_for(setting.graph, "row", 3, share.users, part.read(batch))
        owned = setting.partition.items.owned[ranks.rank]
        return [
            None if step.items is None else owned[step.items.numpy()].tolist() for step in steps
        ]

    found = on_threads(3, ask)
    assert [each[0] for each in found] == [None] * 3
    for layer in (1, 2):
        assert sorted(item for each in found for item in each[layer]) == whole[layer].items.tolist()


@pytest.mark.parametrize(("name", "options"), MODELS)
@pytest.mark.parametrize("kernels", [False, True])
def test_a_rank_without_users_of_a_batch_takes_part(name, options, kernels):
    model = build(name, options)
    batch = next(sampler(model, SamplingConfig(batch_size=1, positives_per_user=3)).epoch(0))
    tolerance = {"rtol": 1e-3, "atol": 1e-5}
    with compiled.switched(on=kernels):
        losses = model(BehaviorGraph.build(MATRICES), batch)
        losses.sum().backward()

        def ask(ranks):
            setting = RankSetting(MATRICES, ranks, "cpu")
            part = setting.model(build(name, options))
            found = part(setting.graph, batch)
            found.sum().backward()
            n_users = len(share_of(batch, setting.partition, ranks.rank).batch.users)
            return n_users, found.detach(), whole_gradients(part)

        shares = on_threads(3, ask)
    assert sorted(n_users for n_users, _, _ in shares) == [0, 0, 1]
    for _, found, gradients in shares:
        torch.testing.assert_close(found, losses.detach(), **tolerance)
        for parameter, p in model.named_parameters():
            torch.testing.assert_close(gradients[parameter], p.grad, **tolerance)


@pytest.mark.parametrize("memory", [False, True])
def test_rows_of_half_precision_are_those_of_one_process(memory):
    options = {**DEEP, "embedding_size": 8}  # a width that kernels halve
    model = build(options=options)
    batch = next(sampler(model).epoch(0))
    graph = BehaviorGraph.build(MATRICES)

    def ask(ranks):
        partition = Partition.by_edges(MATRICES, ranks.size)
        part = RankModel(build(options=options), partition, ranks)
        found = part(RankGraph.of(MATRICES, partition, ranks).in_halves(), batch)
        found.sum().backward()
        return found.detach(), whole_gradients(part)

    with compiled.switched(on=True):
        single, half = model(graph, batch), model(graph.in_halves(), batch)
        half.sum().backward()
        assert not torch.allclose(single, half, rtol=1e-6)
        for found, gradients in on_threads(2, ask, memory=memory):
            torch.testing.assert_close(found, half.detach(), rtol=1e-6, atol=0.0)
            for name, p in model.named_parameters():
                # On the way back rows are of single precision.
                torch.testing.assert_close(gradients[name], p.grad, rtol=0.0, atol=2e-3)


@pytest.mark.parametrize("memory", [False, True])
def test_ranks_that_share_memory_write_what_their_rows_send_back(monkeypatch, memory):
    asked, plain = [], MemoryRanks.side_by_side

    def side_by_side(ranks, *shape):
        asked.append(ranks.rank)
        return plain(ranks, *shape)

    monkeypatch.setattr(MemoryRanks, "side_by_side", side_by_side)
    batch = next(sampler(build()).epoch(0))

    def ask(ranks):
        part, graph = rank_part(ranks)
        part(graph, batch).sum().backward()

    with compiled.switched(on=True):
        on_threads(2, ask, memory=memory)
    # Both ways back through two of three layers, and one, from items, through the last.
    assert sorted(asked) == ([0] * 5 + [1] * 5 if memory else [])


def test_where_nothing_learns_rows_are_mixed_in_blocks(monkeypatch):
    monkeypatch.setattr(sending, "_SideBySide", None)  # which knows no blocks
    monkeypatch.setattr(propagation, "BLOCK_ROWS", 3)
    expected = build().encode(BehaviorGraph.build(MATRICES))

    def ask(ranks):
        part, graph = rank_part(ranks)
        return part.represent(graph, all_users=True)

    with compiled.switched(on=True):
        for found in on_threads(2, ask, memory=True):
            torch.testing.assert_close(found.users, expected.users.detach(), rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found.items, expected.items.detach(), rtol=1e-4, atol=1e-5)


def rank_part(ranks):
    partition = Partition.by_edges(MATRICES, ranks.size)
    return RankModel(build(), partition, ranks), RankGraph.of(MATRICES, partition, ranks)


def graph_of(dtype):
    graph = BehaviorGraph.build(MATRICES)
    return as_type(graph, dtype)


def rank_graph(partition, ranks, dtype):
    return as_type(RankGraph.of(MATRICES, partition, ranks), dtype)


def as_type(graph, dtype):
    """Let the powers of degrees, which are floats, be of a type."""
    plain = graph.degree_powers
    graph.degree_powers = lambda power: Nodes(*(each.to(dtype) for each in plain(power)))
    return graph


def test_a_share_holds_its_own_users_pairs():
    partition = Partition.by_edges(MATRICES, 2)
    batch = next(sampler(build()).epoch(0))
    shares = [share_of(batch, partition, rank) for rank in range(2)]
    nodes = [partition.users.owned[rank][share.batch.users] for rank, share in enumerate(shares)]
    assert sorted([*nodes[0], *nodes[1]]) == sorted(batch.users.tolist())
    torch.testing.assert_close(shares[0].weights + shares[1].weights, torch.ones(3).double())
    items = torch.empty(2 * partition.items.n_rows, dtype=torch.int64)
    items[partition.items.places] = torch.arange(17)
    for behavior, whole in enumerate(batch.pairs):
        triples = zip(batch.users[whole.rows], whole.positives, whole.negatives, strict=True)
        wanted = sorted((int(u), int(p), int(n)) for u, p, n in triples)
        found = []
        for mine, share in zip(nodes, shares, strict=True):
            pairs = share.batch.pairs[behavior]
            users = torch.from_numpy(mine)[pairs.rows]
            chosen = zip(users, items[pairs.positives], items[pairs.negatives], strict=True)
            found += [(int(u), int(p), int(n)) for u, p, n in chosen]
        assert sorted(found) == wanted


def test_a_rank_holds_its_part_of_the_edges():
    whole = BehaviorGraph.build(MATRICES)

    def held(graph):
        return sum(len(edges.indices) for edges in (*graph.to_users, *graph.to_items))

    def ask(ranks):
        return held(RankGraph.of(MATRICES, Partition.by_edges(MATRICES, ranks.size), ranks))

    parts = on_threads(3, ask)
    assert sum(parts) == held(whole)
    assert max(parts) < 0.5 * held(whole)


def test_gather_sum_and_merged_edges():
    x = Nodes(torch.randn(13, 5), torch.randn(17, 5))
    whole = BehaviorGraph.build(MATRICES)
    wanted = [graph.gather_sum(0, x) for graph in (whole, whole.only(1), whole.union())]

    def ask(ranks):
        partition = Partition.by_edges(MATRICES, ranks.size)
        graph = RankGraph.of(MATRICES, partition, ranks)
        own = Nodes(
            partition.users.share(ranks.rank, x.users), partition.items.share(ranks.rank, x.items)
        )
        found = []
        for each in (graph, graph.only(1), graph.union()):
            sums = each.gather_sum(0, own)
            found.append(
                Nodes(
                    partition.users.restored(ranks.gather(sums.users)[0]),
                    partition.items.restored(ranks.gather(sums.items)[0]),
                )
            )
        return found

    for found in on_threads(2, ask):
        torch.testing.assert_close(found, wanted)


class Losses(Listener):
    def __init__(self):
        self.records = []

    def on_epoch(self, record):
        self.records.append(record)


def trained(config, model, source, graph, build_trainer=Trainer):
    heard = Losses()
    names = ("view", "cart", "buy")
    build_trainer(config, names, graph, source, listener=heard).fit(model)
    return [record.losses for record in heard.records]


OPTIONS = {"epochs": 2, "learning_rate": 0.05, "evaluate_every": 0}


@pytest.mark.parametrize("clip", [0.0, 0.3])
@pytest.mark.parametrize("n_ranks", [1, 2, 4])
def test_training_has_the_same_losses(n_ranks, clip):
    config = TrainingConfig(**OPTIONS, gradient_clip=clip)
    model = build()
    alone = trained(config, model, sampler(model), BehaviorGraph.build(MATRICES))

    def ask(ranks):
        setting = RankSetting(MATRICES, ranks, "cpu")
        part = setting.model(build())
        source = sampler(part.inner)
        losses = trained(config, part, source, setting.graph, setting.trainer())
        return losses, part.state()

    for losses, state in on_threads(n_ranks, ask):
        for mine, theirs in zip(losses, alone, strict=True):
            assert mine == pytest.approx(theirs, rel=1e-4)
        torch.testing.assert_close(dict(state), dict(model.state_dict()), rtol=1e-3, atol=1e-5)


def test_all_ranks_stop_a_run_that_diverges():
    config = TrainingConfig(**OPTIONS)
    messages = []

    def ask(ranks):
        setting = RankSetting(MATRICES, ranks, "cpu")
        part = setting.model(build())
        row = local_rows(setting.partition.users, ranks.rank, torch.tensor([0]))
        if row >= 0:  # user 0 has no edges, so the first step's loss does not notice
            part.inner.user_embedding.data[row] = math.inf
        source = sampler(part.inner, SamplingConfig(batch_size=13))
        with pytest.raises(DivergedError) as raised:
            trained(config, part, source, setting.graph, setting.trainer())
        messages.append(str(raised.value))

    on_threads(2, ask)
    assert messages[0] == messages[1]
    assert re.match("weights of .* are no longer finite in epoch 1;", messages[0])


def toy_ranking_task():
    """Two held-out items for each of some users, with candidates."""
    free = np.argwhere(MATRICES[2].toarray() == 0)
    free = free[(free[:, 0] % 3 != 1) & (free[:, 1] % 5 < 2)]
    drawn = np.random.default_rng(0).integers(-1, 17, (2, len(free), 4)).astype(np.int32)
    touched = touched_pairs(MATRICES, 2)
    return RankingTask(free[:, 0], free[:, 1], MATRICES[2], touched, Candidates(*drawn))


def as_lists(counts):
    return {field.name: getattr(counts, field.name).tolist() for field in fields(counts)}


@pytest.mark.parametrize("n_ranks", [1, 3])
def test_ranks_of_held_out_items(n_ranks):
    model = build().eval()
    task = toy_ranking_task()
    with torch.no_grad():
        scorer = model.scorer(model.encode(BehaviorGraph.build(MATRICES)), 2)
    wanted = as_lists(rank_counts(scorer, task))

    def ask(ranks):
        setting = RankSetting(MATRICES, ranks, "cpu")
        own = setting.rank_counts(setting.model(build().eval()), 2, task)
        return as_lists(own), as_lists(rank_share(scorer, task, ranks))

    for own, shared in on_threads(n_ranks, ask):
        assert own == wanted
        assert shared == wanted


def test_the_whole_is_put_together():
    model = build().eval()
    graph = BehaviorGraph.build(MATRICES)
    with torch.no_grad():
        encoded, memory = model.encode(graph), model.remember(graph)

    def ask(ranks):
        setting = RankSetting(MATRICES, ranks, "cpu")
        part = setting.model(build().eval())
        found = part.represent(setting.graph, all_users=True)
        again = build()
        again.load_state_dict(part.state())
        part.take(part.state())
        same = part.state()
        return found, part.remember(setting.graph), dict(again.state_dict()), dict(same)

    for found, kept, state, same in on_threads(3, ask):
        torch.testing.assert_close(found.users, encoded.users)
        torch.testing.assert_close(found.items, encoded.items)
        torch.testing.assert_close(dict(kept), dict(memory))
        torch.testing.assert_close(state, dict(model.state_dict()), rtol=0, atol=0)
        torch.testing.assert_close(same, state, rtol=0, atol=0)


def test_a_model_that_cannot_be_partitioned_says_so():
    model = build("ngcf", {"embedding_size": 5})
    with pytest.raises(ConfigError, match="NGCF cannot be trained on several ranks; cigf, light"):
        check_divisible(model)
