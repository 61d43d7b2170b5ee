"""Heads of gated non-linear experts: MMOE and PLE.

Their first layers act on [x || y] and hence split into a user's and an item's part; what follows
is per pair, so a catalog is scored in bounded chunks of items.
Axes: n pairs, b users of a block, I items, B behaviors, D embedding size, E experts.
"""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from cigf.nn.attention import SLOPE
from cigf.nn.heads import FUSIONS, Head, HeadInput
from cigf.nn.init import xavier_uniform
from cigf.ranking import Scorer

_PAIRS_PER_CHUNK = 1 << 17
"""Pairs scored at once; with 3 experts of width 32 this is about 50 MB."""


class GatedExpertsHead(Head):
    """o_k = t_k . sum_j softmax_j(in V_k + v_k) LeakyReLU(in W_j + b_j) + c_k, in = [x || y].

    Args:
        n_behaviors: B, the number of tasks.
        n_experts: All experts of the head.
        embedding_size: D; an expert's output has width 2 D.
        scale: Factor of the score.
        head_input: What x and y are.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        n_behaviors: int,
        n_experts: int,
        embedding_size: int,
        scale: float,
        head_input: HeadInput,
        generator: torch.Generator,
    ) -> None:
        super().__init__(scale)
        self.fuse = FUSIONS[head_input]
        width = 2 * embedding_size
        self.experts = nn.Parameter(xavier_uniform((n_experts, width, width), generator))
        self.expert_bias = nn.Parameter(torch.zeros(n_experts, width))
        gates = [
            nn.Parameter(xavier_uniform((width, len(self.visible(task))), generator))
            for task in range(n_behaviors)
        ]
        self.gates = nn.ParameterList(gates)
        self.gate_bias = nn.ParameterList(torch.zeros(gate.shape[1]) for gate in gates)
        self.towers = nn.Parameter(xavier_uniform((n_behaviors, width), generator))
        self.bias = nn.Parameter(torch.zeros(n_behaviors))

    @abstractmethod
    def visible(self, task: int) -> Sequence[int]:
        """Return the experts that the gate of a task chooses from."""

    def score(
        self, x: Float[Tensor, "n B D"], y: Float[Tensor, "n B D"], behavior: int
    ) -> Float[Tensor, "n"]:
        """Score pairs."""
        return self._combine(self.user_part(x, behavior) + self.item_part(y, behavior), behavior)

    def scorer(
        self, users: Float[Tensor, "U B D"], items: Float[Tensor, "I B D"], behavior: int
    ) -> Scorer:
        """Return a scorer that works in chunks."""
        return ExpertsScorer(self, users, items, behavior)

    def user_part(self, x: Tensor, behavior: int) -> Float[Tensor, "n P"]:
        """The user's share of all first-layer outputs of one task: experts, then gate."""
        size = x.shape[2]
        return self.fuse(x, behavior) @ self._first(behavior)[:size]

    def item_part(self, y: Tensor, behavior: int) -> Float[Tensor, "n P"]:
        """The item's share, biases included."""
        size = y.shape[2]
        experts = self.expert_bias[list(self.visible(behavior))].flatten()
        bias = torch.cat([experts, self.gate_bias[behavior]])
        return self.fuse(y, behavior) @ self._first(behavior)[size:] + bias

    def gate_weights(
        self, x: Float[Tensor, "n B D"], y: Float[Tensor, "n B D"], behavior: int
    ) -> Float[Tensor, "n E"]:
        """Return how much a task's gate gives to each expert that it sees."""
        visible = len(self.visible(behavior))
        parts = self.user_part(x, behavior) + self.item_part(y, behavior)
        return parts[:, -visible:].softmax(-1)

    def _first(self, behavior: int) -> Tensor:
        experts = self.experts[list(self.visible(behavior))].permute(1, 0, 2).flatten(1)
        return torch.cat([experts, self.gates[behavior]], dim=1)

    def _combine(self, parts: Tensor, behavior: int) -> Tensor:
        visible = len(self.visible(behavior))
        hidden = nn.functional.leaky_relu(parts[..., :-visible], SLOPE)
        gate = parts[..., -visible:].softmax(-1)
        tower = self.towers[behavior]
        outputs = hidden.view(*hidden.shape[:-1], visible, len(tower)) @ tower
        scores: Tensor = self.scale * ((gate * outputs).sum(-1) + self.bias[behavior])
        return scores

    def grid(
        self, users: Float[Tensor, "b P"], items: Float[Tensor, "I P"], behavior: int
    ) -> Float[Tensor, "b I"]:
        """Score users' parts with items' parts, all with all, in chunks of items."""
        step = max(1, _PAIRS_PER_CHUNK // max(1, len(users)))
        chunks = [
            self._combine(users[:, None] + chunk[None], behavior)
            for chunk in torch.split(items, step)
        ]
        return torch.cat(chunks, dim=1)


class MMOEHead(GatedExpertsHead):
    """Multi-gate mixture of experts: all tasks choose among all experts (Ma et al., KDD 2018)."""

    def visible(self, task: int) -> Sequence[int]:
        """All experts."""
        return range(len(self.experts))


class PLEHead(GatedExpertsHead):
    """One level of progressive layered extraction (Tang et al., RecSys 2020).

    A task's gate chooses among its own experts and the shared ones. "PLC" in the CIGF paper.

    Args:
        n_behaviors: B.
        n_specific: Experts of each task.
        n_shared: Experts of all tasks.
        embedding_size: D.
        scale: Factor of the score.
        head_input: What x and y are.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        n_behaviors: int,
        n_specific: int,
        n_shared: int,
        embedding_size: int,
        scale: float,
        head_input: HeadInput,
        generator: torch.Generator,
    ) -> None:
        self._sizes = (n_behaviors, n_specific, n_shared)
        n_experts = n_behaviors * n_specific + n_shared
        super().__init__(n_behaviors, n_experts, embedding_size, scale, head_input, generator)

    def visible(self, task: int) -> Sequence[int]:
        """The task's own experts, then the shared ones."""
        n_behaviors, n_specific, n_shared = self._sizes
        own = range(task * n_specific, (task + 1) * n_specific)
        shared = range(n_behaviors * n_specific, n_behaviors * n_specific + n_shared)
        return [*own, *shared]


class ExpertsScorer(Scorer):
    """Scores the catalog with a head of experts; first layers are computed once per node."""

    def __init__(
        self,
        head: GatedExpertsHead,
        users: Float[Tensor, "U B D"],
        items: Float[Tensor, "I B D"],
        behavior: int,
    ) -> None:
        self._head = head
        self._behavior = behavior
        with torch.no_grad():
            self._users = head.user_part(users, behavior)
            self._items = head.item_part(items, behavior)

    @property
    def n_users(self) -> int:
        """U."""
        return len(self._users)

    @property
    def n_items(self) -> int:
        """I."""
        return len(self._items)

    @torch.no_grad()
    def block(self, users: Int[Tensor, "b"]) -> Float[Tensor, "b I"]:
        """Score some users with all items."""
        return self._head.grid(self._users[users], self._items, self._behavior)

    @torch.no_grad()
    def pairs(self, users: Int[Tensor, "n"], items: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Score some pairs."""
        return self._head._combine(self._users[users] + self._items[items], self._behavior)
