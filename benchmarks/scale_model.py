"""Memory and time of large graphs by formula: what docs/scaling.md says, in numbers.

Letters: U users, I items, N = U + I, B behaviors, D embedding size, L layers, E pairs of all
behaviors. A vector of one node under all behaviors has B D floats; a sum over edges reads one for
each edge and direction.
"""

from dataclasses import dataclass

from cigf.compiled import n_threads

_FLOAT, _INT = 4, 4
_MB = 1 << 20

PROCESS = 330 * _MB
"""Python with PyTorch, Polars and compiled kernels, before any data."""

BLOCK_ROWS = 1 << 16
"""Rows that inference computes at once: see `graph.fused`."""


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
        return _FLOAT * self.nodes * self.behaviors * self.size


def graph_bytes(shape: Shape) -> int:
    """Both directions' columns, and where each row begins and ends: 8 E + 40 N B."""
    per_row = 2 * _INT + 2 * 8 + 4 * _FLOAT  # offsets twice over; starts and stops; degree powers
    return 2 * _INT * shape.pairs + per_row * shape.nodes * shape.behaviors


def log_bytes(shape: Shape) -> int:
    """The log's matrices beside the graph: columns, ones and offsets, 8 E."""
    return (_INT + _FLOAT) * shape.pairs + _INT * shape.users * shape.behaviors


def weight_bytes(shape: Shape) -> int:
    """Embeddings, their gradient and Adam's two means: 16 N D."""
    return 4 * _FLOAT * shape.nodes * shape.size


def training_bytes(shape: Shape) -> int:
    """Peak of training on the whole graph."""
    mixed = max(shape.layers - 1, 0)
    kept = (1 + mixed * (1 + shape.behaviors)) * shape.wide  # chains, and what was gathered
    passing = (2 + shape.behaviors) * shape.wide  # two gradients, and what is sent back
    held = graph_bytes(shape) + log_bytes(shape) + weight_bytes(shape)
    return PROCESS + held + kept + passing


def ranking_bytes(shape: Shape, threads: int | None = None) -> int:
    """Peak of ranking users in the whole catalog."""
    block = 32 * shape.items * _FLOAT * 2.3 * (threads or n_threads())
    factors = 3 * shape.wide
    return int(PROCESS + factors + block + 5 * 8 * shape.pairs)
