"""CIGF once more, slowly: dense matrices, explicit sums, float64.

Heads (H > 1) are expanded into all H^(l-1) products of eq. 8, one chain each.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from cigf.data.dataset import Matrix
from cigf.models.cigf import CIGF, CIGFConfig

Array = NDArray[np.float64]


def leaky(z: Array) -> Array:
    return np.where(z > 0, z, 0.1 * z)


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def adjacency(matrix: Matrix, normalization: str) -> Array:
    """The (N, N) block matrix of eq. 5, normalized; rows without edges stay zero."""
    y = matrix.toarray().astype(np.float64)
    n_users, n_items = y.shape
    a = np.block([[np.zeros((n_users, n_users)), y], [y.T, np.zeros((n_items, n_items))]])
    degrees = a.sum(1)
    with np.errstate(divide="ignore"):
        inverse = np.where(degrees > 0, 1 / degrees, 0.0)
    root = np.sqrt(inverse)
    return {
        "row": inverse[:, None] * a,
        "column": a * inverse[None, :],
        "symmetric": root[:, None] * a * root[None, :],
        "none": a,
    }[normalization]


def weights_of(model: CIGF) -> dict[str, Array]:
    return {k: v.detach().numpy().astype(np.float64) for k, v in model.state_dict().items()}


def attention(
    config: CIGFConfig,
    w: dict[str, Array],
    x: Array,
    layer: int,
    head: int,
    k: int,
    n_behaviors: int,
) -> Array:
    """a_k^l of one head, (N, B): eq. 9 for each of the five variants of table 4."""
    weight = w["convolution.attention.weight"]
    if config.attention == "global":
        return np.tile(leaky(weight[head]), (len(x), 1))
    place = layer - 2 if "layer" in config.attention else 0
    chain = k if "behavior" in config.attention else 0
    bias = w["convolution.attention.bias"][place, head, chain]
    return leaky(x @ weight[place, head, chain] + bias)


def read_out(config: CIGFConfig, w: dict[str, Array], h: Array, x: Array, layer: int) -> Array:
    def transform(name: str, z: Array) -> Array:
        prefix = f"convolution.aggregator.{name}"
        return leaky(z @ w[f"{prefix}.weight"][layer - 1] + w[f"{prefix}.bias"][layer - 1])

    if config.aggregator == "lightgcn":
        return h
    if config.aggregator == "lr-gccf":
        return leaky(h)
    g = transform("transform", h)
    return g if config.aggregator == "gcn" else g + transform("affinity", x * g)


def chains(
    config: CIGFConfig, w: dict[str, Array], r: Sequence[Array], x: Array, k: int, layer: int
) -> list[Array]:
    """All explicit chains h_k^layer: one for each choice of a head at every layer 2..layer."""
    n_behaviors = len(r)
    if config.chain == "independent":
        return [np.linalg.matrix_power(r[k], layer) @ x]
    found = []
    for heads in product(range(config.n_heads), repeat=layer - 1):
        z = r[k] @ x if config.chain == "reference" else x
        for depth, head in enumerate(heads, start=2):
            a = attention(config, w, x, depth, head, k, n_behaviors)
            z = sum(np.diag(a[:, j]) @ r[j] @ z for j in range(n_behaviors))
        found.append(z if config.chain == "reference" else r[k] @ z)
    return found


def representations(model: CIGF, matrices: Sequence[Matrix]) -> Array:
    """x_k* of all nodes, (N, B, D): eqs. 12 and 13 as they are printed."""
    config, w = model.config, weights_of(model)
    r = [adjacency(matrix, config.normalization) for matrix in matrices]
    x = np.concatenate([w["user_embedding"], w["item_embedding"]])
    result = []
    for k in range(len(matrices)):
        layers = [x]
        for layer in range(1, config.n_layers + 1):
            read = [read_out(config, w, h, x, layer) for h in chains(config, w, r, x, k, layer)]
            layers.append(sum(read) + layers[-1])
        result.append(sum(layers))
    return np.stack(result, axis=1)


def pair_score(model: CIGF, x: Array, y: Array, task: int) -> float:
    """The head's score of one pair from its (B, D) representations, by the printed formula."""
    config, w = model.config, weights_of(model)
    if config.head == "mesi":
        gate = softmax(w["head.gate"].T @ np.concatenate([x[task], y[task]]) + w["head.gate_bias"])
        o = sum(gate[j] * (x[j] * y[j]) for j in range(len(x)))
        return float(config.score_scale * o.sum())
    fused = {
        "average": lambda z: z.mean(0),
        "sum": lambda z: z.sum(0),
        "separate": lambda z: z[task],
    }[config.head_input]
    x, y = fused(x), fused(y)
    joined = np.concatenate([x, y])
    if config.head == "bilinear":
        return float(config.score_scale * (x * y * w["head.relation"][task]).sum())
    if config.head == "shared-bottom":
        return float(config.score_scale * (w["head.tower"][task] @ joined + w["head.bias"][task]))
    n_tasks = len(w["head.bias"])
    experts = range(config.n_experts)
    if config.head == "ple":
        own, shared = config.n_specific_experts, config.n_shared_experts
        experts = [task * own + e for e in range(own)] + [n_tasks * own + e for e in range(shared)]
    gate = softmax(w[f"head.gates.{task}"].T @ joined + w[f"head.gate_bias.{task}"])
    outputs = [leaky(w["head.experts"][e].T @ joined + w["head.expert_bias"][e]) for e in experts]
    mixed = sum(g * output for g, output in zip(gate, outputs, strict=True))
    return float(config.score_scale * (w["head.towers"][task] @ mixed + w["head.bias"][task]))


def scores(model: CIGF, matrices: Sequence[Matrix], task: int) -> Array:
    """All scores of one task, (U, I), pair by pair."""
    nodes = representations(model, matrices)
    n_users, n_items = matrices[0].shape
    return np.array(
        [
            [pair_score(model, nodes[u], nodes[n_users + i], task) for i in range(n_items)]
            for u in range(n_users)
        ]
    )
