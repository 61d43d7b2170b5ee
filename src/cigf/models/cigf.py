"""CIGF: Compressed Interaction Graph based Framework (Guo et al., WWW 2023).

doi 10.1145/3543507.3583312. CIGCN turns each behavior's data into features, MESI learns from
every behavior's labels without letting their gradients conflict.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn

from cigf.config import ModelConfig
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.gather_sum import Edges
from cigf.graph.needed import items_of, renumbered, steps_for, worthwhile
from cigf.graph.newcomers import Newcomers
from cigf.graph.propagation import POWERS, Normalization, propagate_all
from cigf.models.base import EMBEDDINGS, Memory, MultiTaskRecommender, Representations, Sizes
from cigf.nn.aggregators import AggregatorName, build_aggregator
from cigf.nn.attention import AttentionVariant, build_attention
from cigf.nn.experts import GatedExpertsHead, mmoe_experts, ple_experts
from cigf.nn.heads import BilinearHead, Head, HeadInput, MESIHead, SharedBottomHead
from cigf.nn.init import xavier_uniform
from cigf.nn.interaction import CHAINS, CIGCN, ChainName
from cigf.nn.recording import Recording, Replay
from cigf.shapes import Batch, Nodes

_ITEMS = "items."
"""How the names of the items' kept vectors begin; the number of the call follows."""

_SENT = "item_degrees"
"""The items' degrees to the power that they send with."""

HeadName = Literal["mesi", "bilinear", "shared-bottom", "mmoe", "ple"]


class CIGFConfig(ModelConfig):
    """Hyperparameters of `CIGF`; the defaults are the published program's."""

    embedding_size: PositiveInt = 16
    """Dimension D of an embedding."""
    n_layers: PositiveInt = 2
    """Layers L: the order of the longest relation."""
    n_heads: PositiveInt = 1
    """Attention heads H of CIGCN."""
    chain: ChainName = "reference"
    """Which way relations grow: as the published program, as the paper's eq. 8, or "independent"
    (each behavior's graph alone: the paper's "w/o CIGCN")."""
    attention: AttentionVariant = "node+behavior+layer"
    """What the attention weights depend on (table 4)."""
    aggregator: AggregatorName = "lightgcn"
    """Read-out of a layer (figure 6)."""
    normalization: Normalization = "row"
    """Weights of edges: row is D^-1 A."""
    head: HeadName = "mesi"
    """Multi-task head (table 5); bilinear is the paper's "w/o MESI"."""
    head_input: HeadInput = "average"
    """What heads with one input are fed; MESI has its own inputs and ignores it."""
    n_experts: PositiveInt = 3
    """Experts of the mmoe head."""
    n_specific_experts: PositiveInt = 1
    """Experts of each task in the ple head."""
    n_shared_experts: PositiveInt = 1
    """Experts of all tasks in the ple head."""
    score_scale: PositiveFloat = 300.0
    """Factor of every score: how sharp the loss is."""


class CIGF(MultiTaskRecommender):
    """CIGCN with a multi-task head.

    Args:
        config: The hyperparameters.
        sizes: Numbers of users, items and behaviors.
        generator: Source of the initial weights.
    """

    node_tables = EMBEDDINGS
    loss_tables = ()

    def __init__(self, config: CIGFConfig, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        size = config.embedding_size
        self.user_embedding = nn.Parameter(xavier_uniform((sizes.n_users, size), generator))
        self.item_embedding = nn.Parameter(xavier_uniform((sizes.n_items, size), generator))
        attention = build_attention(
            config.attention,
            sizes.n_behaviors,
            size,
            config.n_layers,
            config.n_heads,
            generator,
        )
        aggregator = build_aggregator(config.aggregator, config.n_layers, size, generator)
        self.convolution = CIGCN(CHAINS[config.chain], attention, aggregator)
        self.head = build_head(config, sizes.n_behaviors, generator)
        self.in_kernels = aggregator.linear and isinstance(self.head, MESIHead)

    def forward(self, graph: BehaviorGraph, batch: Batch) -> Float[Tensor, "B"]:
        """Return the losses of a batch; of the last layers, only what they read is computed."""
        wanted = items_of(batch, graph.n_items)
        representations, items = self.encode_read(graph, batch.users, wanted)
        return self.loss(representations, renumbered(batch, items, graph.n_items))

    def encode_read(
        self, graph: BehaviorGraph, users: Int[Tensor, "u"], items: Int[Tensor, "i"]
    ) -> tuple[Representations, Int[Tensor, "i"] | None]:
        """Leave out items that are not read, where that saves time."""
        if self.config.chain == "paper":  # which reads the first layers' rows in all layers
            return self.encode(graph, users), None
        some = worthwhile(graph, items)
        return self.encode(graph, users, some), some

    def encode(
        self,
        graph: BehaviorGraph,
        users: Int[Tensor, "u"] | None = None,
        items: Int[Tensor, "i"] | None = None,
    ) -> Representations:
        """Propagate the embeddings through CIGCN.

        Args:
            graph: All behaviors' training edges.
            users: Users whose rows are wanted, in that order; all when None.
            items: The same of items, ascending; not with the paper's chain.
        """
        steps = steps_for(graph, self.config.normalization, self.config.n_layers, users, items)
        nodes = self.convolution(steps, Nodes(self.user_embedding, self.item_embedding))
        return Representations(nodes.users, nodes.items)

    def remember(self, graph: BehaviorGraph) -> Memory:
        """Keep the items' vectors of every layer but the first, which are their embeddings."""
        normalization = self.config.normalization
        recording = Recording(propagate_all(graph, normalization), self.item_embedding)
        ego = Nodes(self.user_embedding, self.item_embedding)
        self.convolution([recording] * self.config.n_layers, ego)
        memory = {f"{_ITEMS}{call}": vectors for call, vectors in recording.kept.items()}
        memory[_SENT] = graph.degree_powers(POWERS[normalization][1]).items
        return memory

    def fold_in(
        self, memory: Memory, events: Sequence[Edges], users: Int[Tensor, "u"]
    ) -> Float[Tensor, "u B D"]:
        """Run CIGCN for the users alone, from the items' kept vectors.

        An unknown user's own embedding is zero, which ranks better than the mean of the users'
        (measured in `benchmarks/bench_fold_in.py`).
        """
        own = self.user_embedding[users.clamp(min=0)] * (users >= 0)[:, None]
        kept = {int(name.removeprefix(_ITEMS)): x for name, x in memory.items() if _ITEMS in name}
        replay = Replay(kept, self.item_embedding[:, None, None])
        step = Newcomers(events, self.config.normalization, memory[_SENT], replay)
        ego = Nodes(own, self.item_embedding[:0])
        users_alone: Tensor = self.convolution([step] * self.config.n_layers, ego).users
        return users_alone

    def regularized(self) -> list[nn.Parameter]:
        """Embeddings, attention weights and gate weights; no biases (eq. 17)."""
        attention = self.convolution.attention.weight
        return [
            self.user_embedding,
            self.item_embedding,
            attention,
            *self.head.regularized(),
        ]


def build_head(config: CIGFConfig, n_behaviors: int, generator: torch.Generator) -> Head:
    """Build the multi-task head that the configuration names."""
    size, scale, fed = config.embedding_size, config.score_scale, config.head_input

    def gated(visible: list[list[int]]) -> Head:
        return GatedExpertsHead(visible, size, scale, fed, generator)

    specific, shared = config.n_specific_experts, config.n_shared_experts
    builders: dict[HeadName, Callable[[], Head]] = {
        "mesi": lambda: MESIHead(n_behaviors, size, scale, generator),
        "bilinear": lambda: BilinearHead(n_behaviors, size, scale, fed, generator),
        "shared-bottom": lambda: SharedBottomHead(n_behaviors, size, scale, fed, generator),
        "mmoe": lambda: gated(mmoe_experts(n_behaviors, config.n_experts)),
        "ple": lambda: gated(ple_experts(n_behaviors, specific, shared)),
    }
    return builders[config.head]()
