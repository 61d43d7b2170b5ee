"""CIGF written the straightforward way: what the epoch time of the package is compared to.

The same model, loss and sampling protocol, as one would first write them down in PyTorch: the
normalized adjacency of all nodes as a coordinate list with float values; each of the K chains sent
through each of the K graphs by itself, for all nodes; scores pair by pair, gates included; the L2
term computed over the whole tables in the loss; and pairs drawn one by one in Python, negatives by
rejection.

Axes: N nodes (users first), K behaviors, D embedding size, n pairs.
"""

import time
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, softplus

from cigf.data.dataset import Matrix
from cigf.models.cigf import CIGF, CIGFConfig
from cigf.sampling.config import SamplingConfig
from cigf.shapes import Batch, Pairs
from cigf.training.config import TrainingConfig

SLOPE = 0.1
COVERED = CIGFConfig()
"""Only the default composition of parts is written down here; sizes and scale may differ."""
FREE = {"embedding_size", "n_layers", "score_scale"}


class Straightforward(nn.Module):
    """The program.

    Args:
        model: Whose weights and sizes are copied.
        interactions: Training pairs of each behavior.
        l2: Weight of the L2 term.

    Raises:
        ValueError: The model is composed of other parts than the default ones.
    """

    def __init__(self, model: CIGF, interactions: Sequence[Matrix], l2: float) -> None:
        super().__init__()
        if model.config.model_dump(exclude=FREE) != COVERED.model_dump(exclude=FREE):
            raise ValueError("the straightforward version has only the default parts of CIGF")
        weights = model.state_dict()

        def copied(name: str) -> nn.Parameter:
            return nn.Parameter(weights[name].clone())

        self.user_embedding = copied("user_embedding")
        self.item_embedding = copied("item_embedding")
        self.attention = copied("convolution.attention.weight")
        self.attention_bias = copied("convolution.attention.bias")
        self.gate = copied("head.gate")
        self.gate_bias = copied("head.gate_bias")
        self.n_layers, self.scale, self.l2 = model.config.n_layers, model.config.score_scale, l2
        self.adjacencies = [normalized_adjacency(matrix) for matrix in interactions]

    def encode(self) -> list[Tensor]:
        """Return the representations (N, D) of all nodes under each behavior."""
        x = torch.cat([self.user_embedding, self.item_embedding])
        chains = [torch.sparse.mm(adjacency, x) for adjacency in self.adjacencies]
        layers = [h + x for h in chains]
        totals = [x + layer for layer in layers]
        for number in range(2, self.n_layers + 1):
            chains = [self._next(chain, x, k, number) for k, chain in enumerate(chains)]
            layers = [h + before for h, before in zip(chains, layers, strict=True)]
            totals = [total + layer for total, layer in zip(totals, layers, strict=True)]
        return totals

    def _next(self, chain: Tensor, x: Tensor, k: int, number: int) -> Tensor:
        """Send one chain through every graph and add up by the receivers' attention."""
        weight, bias = self.attention[number - 2, 0, k], self.attention_bias[number - 2, 0, k]
        attention = leaky_relu(x @ weight + bias, SLOPE)
        mixed = torch.zeros_like(chain)
        for j, adjacency in enumerate(self.adjacencies):
            mixed = mixed + attention[:, j : j + 1] * torch.sparse.mm(adjacency, chain)
        return mixed

    def score(self, nodes: list[Tensor], users: Tensor, items: Tensor, task: int) -> Tensor:
        """Score n pairs for one task."""
        places = items + len(self.user_embedding)
        x = torch.stack([each[users] for each in nodes], dim=1)
        y = torch.stack([each[places] for each in nodes], dim=1)
        gate = torch.cat([x[:, task], y[:, task]], dim=1) @ self.gate + self.gate_bias
        mixed = (gate.softmax(1).unsqueeze(2) * (x * y)).sum(1)
        return self.scale * mixed.sum(1)

    def loss(self, batch: Batch) -> Tensor:
        """Return the whole loss: BPR of each behavior, and L2."""
        nodes = self.encode()
        tables = (self.user_embedding, self.item_embedding, self.attention, self.gate)
        total = self.l2 * torch.stack([table.square().sum() for table in tables]).sum()
        for task, pairs in enumerate(batch.pairs):
            if len(pairs.rows):
                users = batch.users[pairs.rows]
                positive = self.score(nodes, users, pairs.positives, task)
                negative = self.score(nodes, users, pairs.negatives, task)
                total = total + softplus(negative - positive).mean()
        return total


def normalized_adjacency(matrix: Matrix) -> Tensor:
    """Return D^-1 A of all nodes, (N, N), as a coordinate list."""
    n_users, n_items = matrix.shape
    users, items = matrix.nonzero()
    rows = np.concatenate([users, items + n_users])
    columns = np.concatenate([items + n_users, users])
    values = 1.0 / np.bincount(rows)[rows]
    return torch.sparse_coo_tensor(
        torch.from_numpy(np.stack([rows, columns]).astype(np.int64)),
        torch.from_numpy(values.astype(np.float32)),
        (n_users + n_items, n_users + n_items),
        check_invariants=True,
    ).coalesce()


def sample(
    interactions: Sequence[Matrix],
    users: NDArray[np.int64],
    most: int,
    generator: np.random.Generator,
) -> Batch:
    """Draw the pairs of a batch one by one."""
    drawn = [_draw(matrix, users, most, generator) for matrix in interactions]
    return Batch(torch.from_numpy(users), tuple(drawn))


def _draw(
    matrix: Matrix, users: NDArray[np.int64], most: int, generator: np.random.Generator
) -> Pairs:
    rows, positives, negatives = [], [], []
    labels = matrix[users].toarray()
    for row, label in enumerate(labels):
        liked = np.flatnonzero(label)
        if not 0 < len(liked) < len(label):
            continue
        for positive in generator.choice(liked, min(most, len(liked))):
            negative = generator.integers(len(label))
            while label[negative]:
                negative = generator.integers(len(label))
            rows.append(row)
            positives.append(positive)
            negatives.append(negative)
    return Pairs(
        *(torch.tensor(values, dtype=torch.int64) for values in (rows, positives, negatives))
    )


def step_seconds(
    program: Straightforward,
    interactions: Sequence[Matrix],
    sampling: SamplingConfig,
    training: TrainingConfig,
    n_steps: int,
) -> list[float]:
    """Train some steps, the first of them to warm up; return the seconds of the others."""
    generator = np.random.default_rng(0)
    optimizer = torch.optim.Adam(program.parameters(), training.learning_rate)
    order = generator.permutation(len(program.user_embedding))
    seconds = []
    for step in range(1 + n_steps):
        start = time.perf_counter()
        users = np.take(
            order, np.arange(sampling.batch_size) + step * sampling.batch_size, mode="wrap"
        )
        batch = sample(interactions, users, sampling.positives_per_user, generator)
        optimizer.zero_grad()
        program.loss(batch).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seconds.append(time.perf_counter() - start)
    return seconds[1:]
