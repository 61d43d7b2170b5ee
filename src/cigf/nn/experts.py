"""Heads of gated non-linear experts: MMOE and PLE.

Their first layers act on [x || y] and hence split into a user's and an item's part; what follows
is per pair, so a catalog is scored in bounded chunks of items.
Axes: n pairs, U users, I items, B behaviors, D embedding size, E experts of the head.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cigf.nn.attention import SLOPE
from cigf.nn.heads import FUSIONS, Head, HeadInput, Parts
from cigf.nn.init import xavier_uniform
from cigf.ranking import PartsScorer, Scorer


class GatedExpertsHead(Head):
    """o_k = t_k . sum_j softmax_j(in V_k + v_k) LeakyReLU(in W_j + b_j) + c_k, in = [x || y].

    Which experts a task's gate chooses from is what MMOE and PLE differ in.

    Args:
        visible: For each task, the experts that its gate chooses from.
        embedding_size: D; an expert's output has width 2 D.
        scale: Factor of the score.
        head_input: What x and y are.
        generator: Source of the initial weights.
    """

    def __init__(
        self,
        visible: Sequence[Sequence[int]],
        embedding_size: int,
        scale: float,
        head_input: HeadInput,
        generator: torch.Generator,
    ) -> None:
        super().__init__(scale)
        self.visible = [list(experts) for experts in visible]
        self.fuse = FUSIONS[head_input]
        width, n_experts = 2 * embedding_size, 1 + max(map(max, self.visible))
        self.experts = nn.Parameter(xavier_uniform((n_experts, width, width), generator))
        self.expert_bias = nn.Parameter(torch.zeros(n_experts, width))
        self.gates = nn.ParameterList(
            xavier_uniform((width, len(experts)), generator) for experts in self.visible
        )
        self.gate_bias = nn.ParameterList(torch.zeros(len(experts)) for experts in self.visible)
        self.towers = nn.Parameter(xavier_uniform((len(self.visible), width), generator))
        self.bias = nn.Parameter(torch.zeros(len(self.visible)))

    def user_parts(self, x: Float[Tensor, "n B D"]) -> Parts:
        """The user's share of each task's first layers: all experts' outputs, then the gate's."""
        size, fed = x.shape[2], self.fuse(x)
        return tuple(fed[:, task] @ self._first(task)[:size] for task in range(len(self.visible)))

    def item_parts(self, y: Float[Tensor, "n B D"]) -> Parts:
        """The item's share, biases included."""
        size, fed = y.shape[2], self.fuse(y)
        return tuple(
            torch.addmm(self._first_bias(task), fed[:, task], self._first(task)[size:])
            for task in range(len(self.visible))
        )

    def score(self, users: Parts, items: Parts, behavior: int) -> Float[Tensor, "n"]:
        """Combine the shares of pairs."""
        return self.combine(users[behavior] + items[behavior], behavior)

    def scorer(
        self, users: Float[Tensor, "U B D"], items: Float[Tensor, "I B D"], behavior: int
    ) -> Scorer:
        """Return a scorer that works in chunks; first layers are computed once per node."""
        with torch.no_grad():
            mine, theirs = self.user_parts(users)[behavior], self.item_parts(items)[behavior]

        def combine(x: Tensor, y: Tensor) -> Tensor:
            return self.combine(x + y, behavior)

        return PartsScorer(mine, theirs, combine, mine.shape[1])

    def gate_weights(
        self, x: Float[Tensor, "n B D"], y: Float[Tensor, "n B D"], behavior: int
    ) -> Float[Tensor, "n E"]:
        """Return how much a task's gate gives to each expert that it sees."""
        shares = self.user_parts(x)[behavior] + self.item_parts(y)[behavior]
        return shares[:, -len(self.visible[behavior]) :].softmax(-1)

    def combine(self, shares: Float[Tensor, "*pairs _"], behavior: int) -> Float[Tensor, "*pairs"]:
        """Gate the experts' outputs and apply the task's tower."""
        visible, tower = len(self.visible[behavior]), self.towers[behavior]
        hidden = nn.functional.leaky_relu(shares[..., :-visible], SLOPE)
        gate = shares[..., -visible:].softmax(-1)
        outputs = hidden.reshape(*hidden.shape[:-1], visible, len(tower)) @ tower
        scores: Tensor = self.scale * ((gate * outputs).sum(-1) + self.bias[behavior])
        return scores

    def _first(self, task: int) -> Float[Tensor, "_in _out"]:
        experts = self.experts[self.visible[task]].permute(1, 0, 2).flatten(1)
        return torch.cat([experts, self.gates[task]], dim=1)

    def _first_bias(self, task: int) -> Float[Tensor, "_out"]:
        return torch.cat([self.expert_bias[self.visible[task]].flatten(), self.gate_bias[task]])


def mmoe_experts(n_behaviors: int, n_experts: int) -> list[list[int]]:
    """Every task chooses among all experts: MMOE (Ma et al., KDD 2018)."""
    return [list(range(n_experts)) for _ in range(n_behaviors)]


def ple_experts(n_behaviors: int, n_specific: int, n_shared: int) -> list[list[int]]:
    """A task chooses among its own experts and the shared ones: one level of PLE.

    Tang et al., RecSys 2020; "PLC" in the CIGF paper. The tasks' own experts come first.
    """
    own = n_behaviors * n_specific
    shared = list(range(own, own + n_shared))
    return [
        [*range(task * n_specific, (task + 1) * n_specific), *shared] for task in range(n_behaviors)
    ]
