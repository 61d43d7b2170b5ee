"""The GPU's kernels, interpreted on the CPU, against PyTorch's operations; and compiled for GPUs.

`test_propagation.py` holds them to dense products; here are long rows, selections and halves.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array

from cigf.compiled import switched
from cigf.distributed.selection import Selection
from cigf.distributed.sending import Receivers
from cigf.graph import gather_sum, gpu_edges
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gpu_edges import GPUEdges
from cigf.graph.propagation import Propagation
from cigf.sampling.config import SamplingConfig
from cigf.sampling.users import UserSampler
from cigf.shapes import Nodes
from cigf.testing.toy import random_matrices
from cigf.training.batch_losses import batch_losses
from interpreted import OLD_TRITON, interpreted
from models.cigf_toys import build

U, I, B, D, H = 7, 11, 3, 5, 2  # noqa: E741  # the axis legend's letters
PIECE = 8
LONG = 20 * PIECE + 3

pytestmark = OLD_TRITON


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    interpreted(monkeypatch)
    monkeypatch.setattr(gpu_edges, "PIECE", PIECE)


def long_rows():
    """A user with 21 pieces of edges, one with exactly a piece, one with a few, one without."""
    generator = np.random.default_rng(0)
    matrices = []
    for degrees in ([LONG, 0, PIECE, 3], [2, 0, PIECE + 1, 5]):
        rows = np.repeat(np.arange(4), degrees)
        columns = np.concatenate([generator.permutation(LONG)[:n] for n in degrees])
        matrices.append(csr_array((np.ones(len(rows)), (rows, columns)), shape=(4, LONG)))
    return matrices


def outcomes(matrices, users, items, senders, *, chains, size, normalization="row", halves=False):
    """Outputs and gradients of `own` and `mix` by the kernels, and by PyTorch's operations."""
    n_users, n_items = matrices[0].shape
    n_behaviors = len(matrices)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n_users + n_items, chains, n_behaviors, size, generator=generator)
    weights = torch.randn(n_users + n_items, H, n_behaviors, n_behaviors, generator=generator)
    found = []
    for on in (True, False):
        graph = BehaviorGraph.build(matrices)
        step = Propagation(graph.in_halves() if halves else graph, normalization, users, items)
        if senders is not None:
            step = Propagation(graph, normalization, users, items, senders)
        leaves = [each.clone().requires_grad_() for each in (x, weights)]
        nodes, mixed_by = (Nodes(each[:n_users], each[n_users:]) for each in leaves)
        nodes = Nodes(nodes.users, some(nodes.items, senders))
        mixed_by = Nodes(some(mixed_by.users, users), some(mixed_by.items, items))
        with switched(on=on):
            parts = [*step.own(nodes), *step.mix(nodes, mixed_by)]
            total = sum((part * torch.arange(1, size + 1)).square().sum() for part in parts)
            found.append([*parts, *torch.autograd.grad(total, leaves)])
    return found


def some(x, rows):
    return x if rows is None else x[rows]


def agree(mine, theirs, tolerance=1e-5):
    for first, second in zip(mine, theirs, strict=True):
        largest = float(second.detach().abs().max()) if second.numel() else 0.0
        torch.testing.assert_close(first, second, rtol=0, atol=tolerance * max(largest, 1.0))


@pytest.mark.parametrize("users", [None, [2, 0], [3, 1]])
def test_rows_longer_than_a_piece(users):
    chosen = None if users is None else torch.tensor(users)
    items = torch.tensor([0, 4])
    agree(*outcomes(long_rows(), chosen, items, None, chains=1, size=4))


@pytest.mark.parametrize("normalization", ["row", "symmetric"])
@pytest.mark.parametrize("users", [[4, 0, 6], [5], []])
def test_some_receive_and_some_send(normalization, users):
    matrices = random_matrices(n_users=U, n_items=I, n_behaviors=B)
    chosen = torch.tensor(users, dtype=torch.int64)
    items = torch.tensor([2, 3, 9])
    neighbors = [e.select(chosen).indices for e in BehaviorGraph.build(matrices).to_users]
    senders = torch.unique(torch.cat([items, *neighbors]))
    options = {"chains": 2, "size": D, "normalization": normalization}
    agree(*outcomes(matrices, chosen, items, senders, **options))


@pytest.mark.parametrize("normalization", ["row", "symmetric"])
def test_rows_of_half_precision(normalization):
    matrices = random_matrices(n_users=U, n_items=I, n_behaviors=B)
    mine, theirs = outcomes(
        matrices, None, None, None, chains=1, size=16, normalization=normalization, halves=True
    )
    agree(mine, theirs, 5e-3)
    assert not torch.allclose(mine[0], theirs[0], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30])
def test_halves_of_any_magnitude(scale):
    graph = BehaviorGraph.build(random_matrices(n_users=U, n_items=I, n_behaviors=B))
    x = Nodes(scale * torch.randn(U, 1, 1, 16), scale * torch.randn(I, 1, 1, 16))
    exact, rounded = (Propagation(each, "row").own(x) for each in (graph, graph.in_halves()))
    for first, second in zip(rounded, exact, strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=2e-3 * scale)


def test_wide_rows_are_shared_by_several_programs():
    matrices = random_matrices(n_users=U, n_items=I, n_behaviors=B)
    agree(*outcomes(matrices, torch.tensor([1, 5]), torch.tensor([0]), None, chains=7, size=19))


@pytest.mark.parametrize("name", ["kernel", "embedding_bag", "CSR product"])
@pytest.mark.parametrize("matrices", [random_matrices(n_users=U, n_items=I), long_rows()])
def test_every_way_to_sum_along_edges_is_the_dense_product(name, matrices):
    ways = {
        "kernel": gather_sum.gather_by_kernel,
        "embedding_bag": gather_sum.gather_by_bag,
        "CSR product": gather_sum.gather_by_product,
    }
    edges = BehaviorGraph.build(matrices).to_users[0]
    x = torch.randn(edges.n_columns, D)
    dense = torch.from_numpy(matrices[0].toarray()).float()
    torch.testing.assert_close(ways[name](edges, x), dense @ x, rtol=1e-4, atol=1e-4)


def test_without_edges_every_row_is_zero():
    nothing = csr_array((U, I))
    edges = BehaviorGraph.build([nothing]).to_users[0]
    assert (gather_sum.gather(edges, torch.randn(I, D)) == 0).all()
    assert (gather_sum.gather_by_kernel(edges, torch.randn(I, D)) == 0).all()


def test_a_gpu_has_three_ways_and_the_kernel_comes_first(monkeypatch):
    x = torch.randn(I, D)
    assert list(gather_sum._ways(x)) == ["kernel", "embedding_bag"]
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    assert list(gather_sum._ways(x)) == ["kernel", "embedding_bag", "CSR product"]
    with switched(on=False):
        assert list(gather_sum._ways(x)) == ["embedding_bag", "CSR product"]


def test_a_rank_sends_back_by_kernels():
    edges = BehaviorGraph.build(random_matrices(n_users=U, n_items=I, n_behaviors=B)).to_items
    chosen = Selection(torch.tensor([0, 2, 3, 5, 6]), rank=0, n_ranks=1, n_rows=U)
    for each in (None, chosen):
        n_rows = U if each is None else len(each.columns)
        back = Receivers(edges, torch.ones(n_rows, B), torch.rand(I, B), each)
        sent = torch.randn(B, n_rows, D)
        found = []
        for on in (True, False):
            with switched(on=on):
                found.append([back.total(sent), back.each(sent)])
        agree(*found)


def test_edges_on_a_gpu_are_not_copied():
    edges = BehaviorGraph.build(random_matrices(n_users=U, n_items=I, n_behaviors=B)).to_users
    every = GPUEdges.of(edges)
    assert every.indices.data_ptr() == edges[0].indices.data_ptr()
    some = every.select(torch.tensor([3, 1]), None)
    assert some.indices.data_ptr() == edges[0].indices.data_ptr()
    assert (some.stops - some.starts).tolist() == [e.degrees[[3, 1]].tolist() for e in edges]


@pytest.mark.parametrize("shapes", ["few", pytest.param("all", marks=pytest.mark.slow)])
def test_every_kernel_compiles_for_a_gpu(tmp_path, shapes):
    """Without a GPU: down to machine code, none of whose numbers spill out of the registers."""
    variables = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    # On Python 3.13, of how triton rewrites loops.
    strict = ["-W", "error", "-W", "ignore:AnnAssign.__init__ missing:DeprecationWarning"]
    done = subprocess.run(
        [sys.executable, *strict, Path(__file__).with_name("compile_for_gpu.py"), "90", shapes],
        env={**variables, "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    kernels = {"gather", "mix_backward", "mix_forward", "sum_pieces"}
    assert {line.split()[0] for line in lines} == {"_nothing", *kernels}
    assert [line for line in lines if not line.endswith("spilled 0")] == []


def test_edges_of_one_step_alone_are_brought_into_no_other_form(monkeypatch):
    edges = BehaviorGraph.build(random_matrices(n_users=U, n_items=I)).to_users[0]
    monkeypatch.setattr(gather_sum, "gather_by_kernel", lambda edges, x: x[:1] * 0 - 7)
    x = torch.randn(I, D)
    assert (gather_sum.gather(edges, x) == -7).all()
    assert (gather_sum.gather(edges.select(torch.tensor([4, 0])), x) != -7).all()


@pytest.mark.parametrize("options", [{"n_layers": 3}, {"chain": "paper", "n_heads": 2}])
def test_a_training_step_has_the_same_losses_and_gradients(options):
    matrices = random_matrices(n_users=U, n_items=I, n_behaviors=B)
    graph = BehaviorGraph.build(matrices)
    model = build(matrices, {"embedding_size": D, "score_scale": 5.0, **options})
    batch = next(UserSampler(matrices, SamplingConfig(batch_size=4), 0).epoch(0))
    found = []
    for on in (True, False):
        with switched(on=on):
            losses = batch_losses(model, graph, batch)
            model.zero_grad()
            losses.sum().backward()
        found.append([losses.detach(), *(each.grad.clone() for each in model.parameters())])
    agree(*found)
