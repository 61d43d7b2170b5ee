"""The same numbers on a GPU as on the CPU, whose results the other tests check against dense twins.

Run with `make test-gpu` (`pytest -m gpu`) where there is a CUDA device; skipped elsewhere.
"""

import json

import numpy as np
import polars as pl
import pytest
import torch

from cigf.data.tasks import RankingTask
from cigf.graph import gather_sum, gpu_edges, propagation
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.fastest import measured
from cigf.graph.propagation import Propagation
from cigf.inference.artifact import load_artifact
from cigf.models.registry import build_model, parse_model_config
from cigf.nn.heads import MESIHead
from cigf.ranking import ScoreFactors, rank_counts, top_k
from cigf.sampling.build import build_sampler
from cigf.sampling.config import SamplingConfig
from cigf.sampling.on_device import DeviceUserSampler
from cigf.sampling.users import UserSampler
from cigf.shapes import Nodes
from cigf.testing.toy import random_matrices
from cigf.training.batch_losses import batch_losses
from cigf.training.config import TrainingConfig
from cigf.training.optimizers import build_optimizer
from command_line import QUICK, run
from distributed.processes import run_ranks
from models.cigf_toys import build

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here"),
]

U, I, B, D = 101, 157, 3, 16  # noqa: E741  # the axis legend's letters
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
DEVICES = ("cpu", "cuda")


@pytest.fixture(scope="module")
def matrices():
    return random_matrices(n_users=U, n_items=I, n_behaviors=B)


def agree(found):
    """What the devices found is the same to 1e-4."""
    for mine, theirs in zip(*found.values(), strict=True):
        torch.testing.assert_close(theirs.cpu(), mine.cpu(), **CLOSE)


@pytest.fixture(params=["kernels", "operations"])
def way(request, monkeypatch):
    """How a GPU propagates: both ways, whichever is the faster here."""

    def chosen(operation, sizes, ways, device):
        return request.param if request.param in ways else next(iter(ways))

    for module in (gather_sum, propagation):
        monkeypatch.setattr(module, "fastest", chosen)
    monkeypatch.setattr(gpu_edges, "PIECE", 16)  # so that there are rows in pieces


@pytest.mark.parametrize("normalization", ["row", "symmetric"])
@pytest.mark.parametrize("some", [False, True])
def test_propagation(matrices, normalization, some, way):
    x, weights = torch.randn(U + I, 1, B, D), torch.randn(U + I, 1, B, B)
    found = {}
    for device in DEVICES:
        users = torch.tensor([4, 0, 90], device=device) if some else None
        items = torch.tensor([2, 3, 100], device=device) if some else None
        step = Propagation(BehaviorGraph.build(matrices, device), normalization, users, items)
        leaves = [each.to(device).requires_grad_() for each in (x, weights)]
        nodes, mixed_by = (Nodes(each[:U], each[U:]) for each in leaves)
        if some:
            mixed_by = Nodes(mixed_by.users[users], mixed_by.items[items])
        parts = [*step.own(nodes), *step.mix(nodes, mixed_by)]
        total = sum(part.square().sum() for part in parts)
        found[device] = [*parts, *torch.autograd.grad(total, leaves)]
    agree(found)


def test_rows_of_half_precision(matrices, way):
    graph = BehaviorGraph.build(matrices, "cuda").in_halves()
    x = Nodes(torch.randn(U, 1, B, D, device="cuda"), torch.randn(I, 1, B, D, device="cuda"))
    exact = Propagation(BehaviorGraph.build(matrices, "cuda"), "row").own(x)
    for found, expected in zip(Propagation(graph, "row").own(x), exact, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-3 * float(expected.abs().max()))


def test_every_way_to_sum_along_edges(matrices):
    edges = BehaviorGraph.build(matrices, "cuda").to_items[0]
    x = torch.randn(U, D)
    expected = torch.from_numpy(matrices[0].T.toarray()).float() @ x
    ways = gather_sum._ways(x.cuda())
    assert len(ways) >= 2
    for sums in ways.values():
        torch.testing.assert_close(sums(edges, x.cuda()).cpu(), expected, **CLOSE)


def test_the_faster_way_is_measured_once(matrices):
    before = len(measured())
    graph = BehaviorGraph.build(matrices, "cuda")
    x = Nodes(torch.randn(U, 1, B, D, device="cuda"), torch.randn(I, 1, B, D, device="cuda"))
    for _ in range(2):
        Propagation(graph, "row").own(x)
    found = measured()[before:]
    assert len({(each.operation, each.sizes) for each in found}) == len(found)
    assert all(0 < seconds < 60 for each in found for seconds in each.seconds.values())


@pytest.fixture(scope="module")
def config():
    return SamplingConfig(batch_size=17, positives_per_user=5)


def test_the_loss_of_mesi(matrices, config):
    head = MESIHead(B, D, 300.0, torch.Generator().manual_seed(0))
    users, items = torch.randn(17, B, D), torch.randn(I, B, D)
    found = {}
    for device in DEVICES:
        model = build_model_with(matrices, head).to(device)
        batch = next(UserSampler(matrices, config, 0, device).epoch(0))
        leaves = [each.to(device).requires_grad_() for each in (users, items)]
        losses = model._by_scores(*leaves, batch.pairs)
        found[device] = [losses, *torch.autograd.grad(losses.sum(), leaves)]
    agree(found)


def build_model_with(matrices, head):
    model = build(matrices, {"embedding_size": D})
    model.head = head
    return model


@pytest.mark.parametrize("options", [{"n_layers": 2}, {"n_layers": 3, "chain": "paper"}])
def test_a_training_step(matrices, config, options, way):
    found = {}
    for device in DEVICES:
        model = build(matrices, {"embedding_size": D, "score_scale": 5.0, **options}).to(device)
        graph = BehaviorGraph.build(matrices, device)
        optimizer = build_optimizer(model, TrainingConfig(optimizer="sgd", learning_rate=0.1))
        batch = next(UserSampler(matrices, config, 0, device).epoch(0))  # drawn on the CPU
        losses = batch_losses(model, graph, batch)
        losses.sum().backward()
        optimizer.step()
        found[device] = [losses.detach(), *(each.detach() for each in model.parameters())]
    agree(found)


def test_ranking(matrices):
    generator = torch.Generator().manual_seed(1)
    vectors = [torch.randn(n, B, D, generator=generator) for n in (U, I)]
    gates = [torch.randn(n, B, generator=generator) for n in (U, I)]
    seen, touched = matrices[-1], matrices[0] - matrices[0].multiply(matrices[-1])
    users = np.arange(U)
    items = np.array([int(np.setdiff1d(np.arange(I), seen[[user]].indices)[0]) for user in users])
    task = RankingTask(users, items, seen, type(seen)(touched))
    found = {}
    for device in DEVICES:
        scorer = ScoreFactors(*(each.to(device) for each in (*vectors, *gates)))
        counts = rank_counts(scorer, task)
        lists, scores = top_k(scorer, users, 5, seen=seen)
        found[device] = (counts, lists, scores)
    (mine, my_lists, my_scores), (theirs, their_lists, their_scores) = found.values()
    # Equal but for scores that lie closer together than the devices' rounding.
    assert (np.abs(mine.full_all - theirs.full_all) <= 1).all()
    np.testing.assert_allclose(their_scores, my_scores, rtol=1e-4, atol=1e-5)
    assert (my_lists == their_lists).mean() > 0.98


def test_pairs_drawn_on_the_device(matrices, config):
    source = build_sampler(matrices, config, 0, "cuda")
    assert isinstance(source, DeviceUserSampler)
    for batch, again in zip(source.epoch(0), source.epoch(0), strict=True):
        for matrix, pairs, same in zip(matrices, batch.pairs, again.pairs, strict=True):
            dense, users = matrix.toarray(), batch.users[pairs.rows].cpu()
            assert (dense[users, pairs.positives.cpu()] == 1).all()
            assert (dense[users, pairs.negatives.cpu()] == 0).all()
            assert torch.equal(pairs.negatives, same.negatives)


@pytest.mark.parametrize("model", ["cigf", "cigf-plus", "lightgcn", "mbgcn", "dipn", "mb-gmn"])
def test_a_whole_run(model, dataset, tmp_path):
    """Trained and selected on the GPU; judged and listed there and on the CPU."""
    options = (*QUICK, "--set", "sampling.batch_size=16", "--model", model)
    run("train", dataset, "--out", tmp_path / "run", *options, "--device", "cuda")
    judged, listed = [], []
    for device in DEVICES:
        found = run("evaluate", tmp_path / "run", "--device", device, "--json").stdout
        judged.append(json.loads(found)["metrics"]["1+99"]["all"]["ndcg@10"])
        out = tmp_path / f"{device}.parquet"
        run("recommend", tmp_path / "run", "--all", "--out", out, "--device", device)
        listed.append(pl.read_parquet(out))
    assert judged[1] == pytest.approx(judged[0], abs=0.02)  # but for what rounding turns round
    np.testing.assert_allclose(listed[1]["score"], listed[0]["score"], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_ranks_through_nccl(n_ranks, dataset, tmp_path):
    if n_ranks > torch.cuda.device_count():
        pytest.skip(f"{n_ranks} ranks need as many GPUs")
    out, printed = tmp_path / "run", tmp_path / "printed"
    options = (*QUICK, "--set", "sampling.batch_size=16", "--device", "cuda")
    codes, said = run_ranks(n_ranks, "train", dataset, "--out", out, *options, out=printed)
    assert codes == [0] * n_ranks, said
    assert np.isfinite(load_artifact(out).representations.users).all()


def test_every_model_of_the_registry_can_be_moved(matrices):
    config = parse_model_config("lightgcn", {})
    model = build_model("lightgcn", config, _sizes(matrices), 0)
    both = [
        model.to(device).encode(BehaviorGraph.build(matrices, device)).cpu() for device in DEVICES
    ]
    torch.testing.assert_close(both[1].items, both[0].items, **CLOSE)


def _sizes(matrices):
    from cigf.models.base import Sizes

    return Sizes(*matrices[0].shape, len(matrices))
