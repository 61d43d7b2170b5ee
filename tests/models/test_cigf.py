"""CIGF keeps the contract and equals its dense twin in every configuration."""

from typing import ClassVar

import numpy as np
import pytest
import torch
from cigf_toys import VARIANTS, build, encode

from cigf.compiled import switched
from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Sizes
from cigf.models.registry import build_model, parse_model_config
from cigf.testing import RecommenderContract
from cigf.testing.toy import one_batch, random_matrices
from reference import cigf as reference


class CIGFContract(RecommenderContract):
    name = "cigf"

    def dense_scores(self, model, matrices, behavior):
        return reference.scores(model, matrices, behavior)


class TestDefault(CIGFContract):
    pass


class TestPaperChainNGCF(CIGFContract):
    options: ClassVar = {"chain": "paper", "aggregator": "ngcf", "n_layers": 3, "n_heads": 2}


class TestPLE(CIGFContract):
    options: ClassVar = {
        "head": "ple",
        "n_specific_experts": 2,
        "n_shared_experts": 2,
        "score_scale": 30.0,
    }
    inert = frozenset({"head.bias"})


# A task's bias is the same for both items of a pair, so pairwise losses never move it.


class TestSharedBottom(CIGFContract):
    inert = frozenset({"head.bias"})
    options: ClassVar = {"head": "shared-bottom", "score_scale": 30.0}
    personal = False


class TestBase(CIGFContract):
    options: ClassVar = {"chain": "independent", "head": "bilinear"}
    inert = frozenset({"convolution.attention.weight", "convolution.attention.bias"})


@pytest.mark.parametrize("options", VARIANTS, ids=str)
@torch.no_grad()
def test_every_variant_equals_its_dense_twin(options):
    matrices = random_matrices()
    model = build(matrices, options)
    encoded = encode(model, matrices)
    found = torch.cat([encoded.users, encoded.items]).detach().numpy()
    np.testing.assert_allclose(found, reference.representations(model, matrices), 2e-4, 2e-4)
    for task in (0, 2):
        scorer = model.scorer(encoded, task)
        expected = reference.scores(model, matrices, task)
        block = scorer.block(torch.arange(7)).detach().numpy()
        np.testing.assert_allclose(block, expected, 2e-3, 2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_training_scores_are_the_ranking_scores(options):
    matrices = random_matrices()
    model = build(matrices, options)
    encoded = encode(model, matrices)
    users, items = torch.tensor([0, 3, 6, 2]), torch.tensor([10, 0, 4, 4])
    for task in range(3):
        parts = (
            tuple(part[users] for part in model.head.user_parts(encoded.users)),
            tuple(part[items] for part in model.head.item_parts(encoded.items)),
        )
        found = model.head.score(*parts, task)
        expected = model.scorer(encoded, task).pairs(users, items)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("options", [{}, {"head": "ple"}, {"head": "bilinear"}], ids=str)
def test_scores_of_sets_are_those_of_their_pairs(options):
    matrices = random_matrices()
    model = build(matrices, options)
    encoded = encode(model, matrices)
    generator = torch.Generator().manual_seed(0)
    sizes = [5, 0, 3]
    rows = torch.randint(7, (8,), generator=generator)
    chosen = torch.randint(11, (2, 8), generator=generator)
    users = tuple(part[rows] for part in model.head.user_parts(encoded.users))
    items = tuple(part[chosen] for part in model.head.item_parts(encoded.items))
    found = model.head.score_sets(users, items, sizes)
    starts = [0, 5, 5]
    for task, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        place = slice(start, start + size)
        for each in range(2):
            pairs = rows[place], chosen[each, place]
            expected = model.scorer(encoded, task).pairs(*pairs)
            torch.testing.assert_close(found[task][each], expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"chain": "paper", "n_layers": 3},
        {"n_heads": 2, "aggregator": "ngcf", "n_layers": 3},
        {"normalization": "symmetric"},
        {"chain": "independent"},
        {"attention": "global"},
        {"head": "ple"},
        {"head": "mmoe"},
        {"head": "bilinear"},
    ],
    ids=str,
)
def test_gradients_equal_finite_differences(options):
    matrices = random_matrices(n_users=5, n_items=7)
    model = build(matrices, {**options, "embedding_size": 2, "score_scale": 2.0}).double()
    graph, batch = BehaviorGraph.build(matrices), one_batch(matrices)

    def loss():
        return model.loss(model.encode(graph, batch.users), batch).sum()

    loss().backward()
    step = 1e-6
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            continue
        flat = parameter.data.view(-1)
        for place in range(0, len(flat), max(1, len(flat) // 5)):
            before = flat[place].item()
            flat[place] = before + step
            up = loss().item()
            flat[place] = before - step
            down = loss().item()
            flat[place] = before
            numeric = (up - down) / (2 * step)
            assert parameter.grad.view(-1)[place].item() == pytest.approx(numeric, 1e-4, 1e-7), name


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_compiled_kernels_and_operations_agree(options):
    matrices = random_matrices()
    graph, batch = BehaviorGraph.build(matrices), one_batch(matrices)
    model = build(matrices, options)
    found = []
    for on in (True, False):
        with switched(on=on):
            losses = model.loss(model.encode(graph, batch.users), batch)
        gradients = torch.autograd.grad(losses.sum(), model.parameters(), allow_unused=True)
        found.append((losses, *(gradient for gradient in gradients if gradient is not None)))
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-3 * theirs.abs().max().item())


def test_one_behavior_is_lightgcn_with_residual_sums():
    matrices = random_matrices(n_behaviors=1)
    model = build(matrices, {"chain": "independent", "normalization": "symmetric", "n_layers": 2})
    r = reference.adjacency(matrices[0], "symmetric")
    x = np.concatenate([model.user_embedding.detach(), model.item_embedding.detach()])
    encoded = encode(model, matrices)
    found = torch.cat([encoded.users, encoded.items])[:, 0].detach().numpy()
    np.testing.assert_allclose(found, 3 * x + 2 * r @ x + r @ r @ x, 1e-4, 1e-5)


@torch.no_grad()
def test_gates_at_zero_average_the_experts():
    matrices = random_matrices()
    model = build(matrices, {"score_scale": 1.0})
    with torch.no_grad():
        model.head.gate.zero_()
        model.head.gate_bias.zero_()
    encoded = encode(model, matrices)
    expected = torch.einsum("ubd,ibd->ui", encoded.users, encoded.items) / 3
    torch.testing.assert_close(model.scorer(encoded, 1).block(torch.arange(7)), expected)


@torch.no_grad()
def test_shared_bottom_gives_every_user_the_same_ranking():
    matrices = random_matrices()
    model = build(matrices, {"head": "shared-bottom"})
    scores = model.scorer(encode(model, matrices), 2).block(torch.arange(7))
    order = scores.argsort(dim=1)
    assert (order == order[0]).all()


@torch.no_grad()
def test_mmoe_with_one_expert_ignores_its_gate():
    matrices = random_matrices()
    model = build(matrices, {"head": "mmoe", "n_experts": 1})
    encoded = encode(model, matrices)
    before = model.scorer(encoded, 0).block(torch.arange(7))
    with torch.no_grad():
        model.head.gates[0].add_(5.0)
    torch.testing.assert_close(model.scorer(encoded, 0).block(torch.arange(7)), before)


def test_gate_weights_sum_to_one_over_visible_experts():
    matrices = random_matrices()
    model = build(matrices, {"head": "ple", "n_specific_experts": 2, "n_shared_experts": 3})
    encoded = encode(model, matrices)
    weights = model.head.gate_weights(encoded.users[:5], encoded.items[:5], 1)
    assert weights.shape == (5, 5)
    torch.testing.assert_close(weights.sum(1), torch.ones(5))
    assert model.head.visible[1] == [2, 3, 6, 7, 8]


def test_regularized_parameters_are_those_of_equation_17():
    model = build(random_matrices(), {})
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)] for p in model.regularized()} == {
        "user_embedding",
        "item_embedding",
        "convolution.attention.weight",
        "head.gate",
    }


def test_initial_embeddings_are_xavier_uniform():
    sizes = Sizes(5000, 3000, 3)
    model = build_model("cigf", parse_model_config("cigf", {}), sizes, 0)
    bound = np.sqrt(6 / 5016)
    values = model.user_embedding.detach().numpy()
    assert np.abs(values).max() <= bound
    assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.02)


def test_unknown_model_names_the_closest():
    with pytest.raises(ConfigError, match=r"model 'cgif' is unknown; did you mean cigf\?"):
        parse_model_config("cgif", {})


def test_out_of_range_option_is_refused():
    with pytest.raises(ConfigError, match=r"model\.n_layers: .*greater than 0; given was 0"):
        parse_model_config("cigf", {"n_layers": 0})
