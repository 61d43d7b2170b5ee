"""Memory and time of large graphs by formula: what docs/scaling.md says, in numbers.

Letters: U users, I items, N = U + I, B behaviors, D embedding size, L layers, E pairs of all
behaviors. A vector of one node under all behaviors has B D floats; a sum over edges reads one for
each edge and direction.
"""

from dataclasses import dataclass

_MB = 1 << 20

READ = 30_000
"""Items that the last layer but one has to give: those of a step's 12,000 pairs, and what its 256
users did."""

GAPS = 1.4
"""What memory that is kept for the next step holds beyond what is in use: from measurements."""

PROCESS = 330 * _MB
"""Python with PyTorch, Polars and compiled kernels, before any data."""


@dataclass(frozen=True)
class Shape:
    """A log and a model.

    Args:
        users: U.
        items: I.
        behaviors: B.
        pairs: E.
        size: D.
        layers: L.
    """

    users: int
    items: int
    behaviors: int
    pairs: int
    size: int = 16
    layers: int = 2

    @property
    def nodes(self) -> int:
        """N."""
        return self.users + self.items

    @property
    def wide(self) -> int:
        """Bytes of all nodes' vectors under all behaviors: 4 N B D."""
        return 4 * self.nodes * self.behaviors * self.size


def graph_bytes(shape: Shape) -> float:
    """Both directions' columns, and where each row begins and ends: 8 E + 40 N B."""
    return 8.0 * shape.pairs + 40.0 * shape.nodes * shape.behaviors


def log_bytes(shape: Shape) -> float:
    """The log's matrices beside the graph, columns and ones: 8 E."""
    return 8.0 * shape.pairs


def weight_bytes(shape: Shape) -> float:
    """Embeddings, their gradient and Adam's two means: 16 N D."""
    return 16.0 * shape.nodes * shape.size


def computed(shape: Shape) -> list[float]:
    """Share of the nodes whose rows each layer from the second to the last but one computes."""
    before = (shape.users + min(shape.items, READ)) / shape.nodes
    return [1.0] * (shape.layers - 3) + [before] if shape.layers > 2 else []


def training_bytes(shape: Shape) -> float:
    """Peak of training on the whole graph.

    W = 4 N B D bytes are all nodes' vectors. Kept for the gradient are the first layer's, and of
    each later layer's share of rows their vectors, what was gathered (B times as much) and three
    times the attention's weights (B / D as much); in passing there are two gradients, and what is
    sent back (B times the largest share); two fifths more for the gaps in the kept memory.
    """
    shares, behaviors = computed(shape), shape.behaviors
    per_layer = 1.0 + behaviors + 3.0 * behaviors / shape.size
    kept = 1.0 + per_layer * sum(shares)
    passing = 2.0 + behaviors * max(shares, default=1.0 / behaviors)
    held = graph_bytes(shape) + log_bytes(shape) + weight_bytes(shape)
    return PROCESS + held + GAPS * (kept + passing) * shape.wide


def encoding_bytes(shape: Shape) -> float:
    """Peak of representing all nodes: graph, log, embeddings; two layers, their sum, attention."""
    held = graph_bytes(shape) + log_bytes(shape) + weight_bytes(shape) / 4.0
    return PROCESS + held + (3.0 + 4.0 * shape.behaviors / shape.size) * shape.wide


def ranking_bytes(shape: Shape) -> float:
    """Peak of ranking: finding what users have touched sorts all pairs, 40 E beside the log."""
    return PROCESS + log_bytes(shape) + 40.0 * shape.pairs + shape.wide
