"""Normalized propagation: the graphs of all behaviors as one step of a layer.

Axes: B behaviors, H attention heads, C chains per behavior, D embedding size; "rows" are the
receiving nodes and "columns" the sending ones.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from cigf import compiled
from cigf.graph import fused
from cigf.graph.bipartite import BehaviorGraph
from cigf.graph.fastest import fastest
from cigf.graph.gather_sum import gather, scatter
from cigf.graph.side import Side
from cigf.graph.stack import Bundle
from cigf.shapes import Nodes

Normalization = Literal["row", "column", "symmetric", "none"]
"""D^-1 A (the releases call it "left"), A D^-1 ("right"), D^-1/2 A D^-1/2, or A itself."""

POWERS: dict[str, tuple[float, float]] = {
    "row": (-1.0, 0.0),
    "column": (0.0, -1.0),
    "symmetric": (-0.5, -0.5),
    "none": (0.0, 0.0),
}
"""Powers of the receiver's and of the sender's degree that weight an edge."""


BLOCK_ROWS = 1 << 16
"""Rows that are mixed at once where no gradient is wanted."""


def propagate_all(graph: BehaviorGraph, normalization: Normalization) -> "Propagation":
    """Return the propagation for all users: built once per graph, whose edges never change."""
    known: dict[str, Propagation] = graph.derived
    if normalization not in known:
        known[normalization] = propagate(graph, normalization)
    return known[normalization]


def propagate(
    graph: BehaviorGraph,
    normalization: Normalization,
    users: Int[Tensor, "_u"] | None = None,
    items: Int[Tensor, "_i"] | None = None,
    senders: Int[Tensor, "_s"] | None = None,
) -> "Propagation":
    """Return the propagation for some nodes, of whichever kind the graph's is."""
    build = graph.propagation or Propagation
    found: Propagation = build(graph, normalization, users, items, senders)
    return found


class Propagation:
    """Normalized graphs R^b of all behaviors, for all nodes or for some.

    Args:
        graph: The graphs.
        normalization: How edges are weighted.
        users: Receiving users whose rows are wanted, in their order; all when None.
        items: The same of items.
        senders: Items that send, in their order, all neighbors of `users` among them; all when
            None. Of users, all send.
    """

    def __init__(
        self,
        graph: BehaviorGraph,
        normalization: Normalization,
        users: Int[Tensor, "_u"] | None = None,
        items: Int[Tensor, "_i"] | None = None,
        senders: Int[Tensor, "_s"] | None = None,
    ) -> None:
        receive, send = POWERS[normalization]
        received = graph.degree_powers(receive)
        sent = graph.degree_powers(send) if send else None
        to_users, to_items = graph.to_users, graph.to_items
        self.users, self.items = users, items
        to_some = received.users, sent.items if sent else None
        self.to_users = _side(to_users, to_items, to_some, (users, senders), graph.halves)
        to_some = received.items, sent.users if sent else None
        self.to_items = _side(to_items, to_users, to_some, (items, None), graph.halves)

    def mix(self, x: Nodes, weights: Nodes) -> Nodes:
        """Send all chains through all graphs and mix the results (CIGF eqs. 6-9).

        `out[r, h*C + c, k] = sum over b of weights[r, h, k, b] * (R^b x[:, c, k])[r]`.

        Args:
            x: Senders' chains, each side (columns, C, B, D).
            weights: Receivers' attention, each side (rows, H, B, B): head, chain, graph.

        Returns:
            Receivers' chains, each side (rows, H * C, B, D).
        """
        return Nodes(
            mix_side(self.to_users, x.items, weights.users),
            mix_side(self.to_items, x.users, weights.items),
        )

    def own(self, x: Nodes) -> Nodes:
        """Send each behavior's chains through that behavior's graph alone.

        Args:
            x: Senders' chains, each side (columns, C, B, D), or (columns, C, 1, D) where all
                behaviors start from the same vectors.

        Returns:
            Receivers' chains, each side (rows, C, B, D).
        """
        return Nodes(own_side(self.to_users, x.items), own_side(self.to_items, x.users))


def _side(
    complete: Bundle,
    reverse: Bundle,
    scales: tuple[Tensor, Tensor | None],
    chosen: tuple[Tensor | None, Tensor | None],
    halves: bool,
) -> Side:
    """One direction with the receivers' and senders' scales of those that are chosen."""
    (receive, send), (rows, columns) = scales, chosen
    receive = receive if rows is None else receive[rows]
    send = send if send is None or columns is None else send[columns]
    return Side(complete, reverse, receive, send, rows, columns, halves)


def mix_side(
    side: Side, x: Float[Tensor, "columns C _B D"], weights: Float[Tensor, "rows H B B"]
) -> Float[Tensor, "rows HC B D"]:
    """Mix one direction; see `Propagation.mix`. Of x, one behavior's chains may stand for all.

    Where no gradient is wanted, in blocks of rows: what was gathered for them, B times as large as
    the result, is then needed for one block at a time.
    """
    learns = torch.is_grad_enabled() and (x.requires_grad or weights.requires_grad)
    if learns or len(weights) <= BLOCK_ROWS:
        return _mix(side, x, weights)
    out = x.new_empty(len(weights), weights.shape[1] * x.shape[1], weights.shape[2], x.shape[3])
    for rows, block in _blocks(side):
        out[rows] = _mix(block, x, weights[rows])
    return out


def _blocks(side: Side) -> Iterator[tuple[slice, Side]]:
    n_rows = len(side.receive)
    rows = side.rows
    if rows is None:
        rows = torch.arange(n_rows, device=side.receive.device)
    for start in range(0, n_rows, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        yield block, replace(side, rows=rows[block], receive=side.receive[block])


def _mix(side: Side, x: Tensor, weights: Tensor) -> Tensor:
    x = x.expand(-1, -1, weights.shape[2], -1)
    if compiled.usable(x, weights):
        from cigf.graph import cpu_sums  # needs numba

        return fused.mix(side, x, weights, cpu_sums)
    if compiled.usable_on_gpu(x, weights):
        from cigf.graph import gpu_sums  # needs triton

        return _by_fastest(
            "mix", partial(fused.mix, sums=gpu_sums), _mix_by_operations, side, x, weights
        )
    return _mix_by_operations(side, x, weights)


def _mix_by_operations(side: Side, x: Tensor, weights: Tensor) -> Tensor:
    scaled = weights * side.receive_by_chain
    out: Tensor = _WeightedGatherSum.apply(x, scaled, side)  # type: ignore[no-untyped-call]
    return out


def own_side(side: Side, x: Float[Tensor, "columns C _B D"]) -> Float[Tensor, "rows C B D"]:
    """Send one direction; see `Propagation.own`."""
    if compiled.usable(x):
        from cigf.graph import cpu_sums  # needs numba

        return fused.own(side, x, cpu_sums)
    if compiled.usable_on_gpu(x):
        from cigf.graph import gpu_sums  # needs triton

        return _by_fastest("own", partial(fused.own, sums=gpu_sums), _own_by_operations, side, x)
    return _own_by_operations(side, x)


def _own_by_operations(side: Side, x: Tensor) -> Tensor:
    out: Tensor = _OwnGatherSum.apply(x, side)  # type: ignore[no-untyped-call]
    return out


def _by_fastest(
    operation: str,
    kernels: Callable[..., Tensor],
    operations: Callable[..., Tensor],
    side: Side,
    *tensors: Tensor,
) -> Tensor:
    """Propagate along one direction by what is the fastest on this device for such sizes."""
    ways = {"kernels": kernels, "operations": operations}
    learns = torch.is_grad_enabled() and any(each.requires_grad for each in tensors)

    def trial(way: Callable[..., Tensor]) -> None:
        given = [each.detach().requires_grad_(learns and each.requires_grad) for each in tensors]
        out = way(side, *given)
        if learns:
            leaves = [each for each in given if each.requires_grad]
            torch.autograd.grad(out, leaves, torch.ones_like(out))

    sizes = int(learns), *side.receive.shape, *(n for each in tensors for n in each.shape)
    trials = {name: partial(trial, way) for name, way in ways.items()}
    return ways[fastest(operation, sizes, trials, tensors[0].device)](side, *tensors)


def _sent(side: Side, behavior: int, x: Tensor) -> Tensor:
    """Scale the senders for one behavior; x is (columns, ...)."""
    if side.send is None:
        return x
    return x * side.send[:, behavior].view(-1, *[1] * (x.dim() - 1))


class _WeightedGatherSum(torch.autograd.Function):
    """Fused so that no (rows, H, C, B, D) tensor is kept per behavior except what was gathered."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, side: Side) -> Tensor:
        rows = len(weights)
        out: Tensor | None = None
        gathered = []
        for behavior, edges in enumerate(side.edges):
            sums = gather(edges, _sent(side, behavior, x).flatten(1)).view(rows, 1, *x.shape[1:])
            weight = weights[:, :, None, :, behavior, None]
            out = sums * weight if out is None else out.addcmul_(sums, weight)
            gathered.append(sums)
        ctx.side = side
        ctx.save_for_backward(weights, *gathered)
        assert out is not None  # there is at least one behavior
        return out.flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:
        side: Side = ctx.side
        weights, *gathered = ctx.saved_tensors
        rows, heads = weights.shape[:2]
        shape = gathered[0].shape[2:]
        gradient = gradients[0].reshape(rows, heads, *shape)
        x_gradient: Tensor | None = None
        weight_gradient = torch.empty_like(weights)
        for behavior, (edges, back) in enumerate(zip(side.edges, side.transposed, strict=True)):
            weight_gradient[..., behavior] = _sum_last(gradient * gathered[behavior]).sum(2)
            if not ctx.needs_input_grad[0]:
                continue
            per_row = gradient * weights[:, :, None, :, behavior, None]
            per_row = per_row.sum(1) if heads > 1 else per_row
            sent = scatter(edges, back, per_row.flatten(1)).view(-1, *shape)
            x_gradient = _add(x_gradient, _sent(side, behavior, sent))
        return x_gradient, weight_gradient, None


class _OwnGatherSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, side: Side) -> Tensor:
        ctx.side, ctx.shared = side, x.shape[2] == 1 and len(side.edges) > 1
        rows, width = side.edges[0].n_rows, x.shape[1] * x.shape[3]
        out = x.new_empty(rows, x.shape[1], len(side.edges), x.shape[3])
        for behavior, edges in enumerate(side.edges):
            chain = x[:, :, 0 if ctx.shared else behavior].reshape(-1, width)
            sums = gather(edges, _sent(side, behavior, chain))
            sums = sums.view(rows, x.shape[1], x.shape[3])
            torch.mul(sums, side.receive[:, behavior, None, None], out=out[:, :, behavior])
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        side: Side = ctx.side
        sent, total = [], None
        for behavior, (edges, back) in enumerate(zip(side.edges, side.transposed, strict=True)):
            per_row = gradients[0][:, :, behavior] * side.receive[:, behavior, None, None]
            received = scatter(edges, back, per_row.flatten(1))
            received = _sent(side, behavior, received).view(-1, *per_row.shape[1:])
            if ctx.shared:  # all behaviors began with the same vectors
                total = _add(total, received)
            else:
                sent.append(received)
        return (torch.stack(sent, dim=2) if total is None else total[:, :, None]), None


def _add(total: Tensor | None, term: Tensor) -> Tensor:
    return term if total is None else total.add_(term)


def _sum_last(x: Float[Tensor, "*axes D"]) -> Float[Tensor, "*axes"]:
    """Sum over the last, short axis as a matrix product: faster than a reduction.

    Flat, because a product of more than two axes may take a far slower way.
    """
    flat = x.reshape(-1, x.shape[-1])
    return flat.mv(flat.new_ones(flat.shape[1])).view(x.shape[:-1])
