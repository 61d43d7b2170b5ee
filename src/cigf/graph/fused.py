"""Propagation by kernels: what `graph.propagation` does, in fewer and larger pieces.

The gradients are the same wherever the kernels run; what they are is behind `Sums`.
Axes: B behaviors, H attention heads, C chains per behavior, D embedding size, F width of a table.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from cigf.graph.side import Side


@dataclass(frozen=True)
class Room:
    """Where several write what their rows send back, side by side.

    Args:
        table: Of all rows.
        first: Where the rows of this one begin.
    """

    table: Float[Tensor, "B _rows F"]
    first: int


@runtime_checkable
class Sums(Protocol):
    """Kernels of one kind of device: `graph.cpu_sums` and `graph.gpu_sums` are modules of it.

    Tables that rows read may be of another precision than the sums; then a kind of device brings
    its own factors into the scales.
    """

    def each(
        self, side: Side, tables: Float[Tensor, "_tables columns F"]
    ) -> Float[Tensor, "rows B F"]:
        """Sum each row's neighbors under each behavior, times the row's scale.

        Args:
            side: Who receives from whom.
            tables: What each behavior sends; one for all, or one for each.
        """
        ...

    def mix(
        self,
        side: Side,
        tables: Float[Tensor, "_tables columns C B D"],
        weights: Float[Tensor, "rows H B B"],
    ) -> tuple[Float[Tensor, "rows B C B D"], Float[Tensor, "rows H C B D"]]:
        """Return what `each` does, and its sum over the behaviors by weight.

        Where a row has no edges under a behavior, nothing sensible is in the first.
        """
        ...

    def to_send(
        self, side: Side, gradient: Float[Tensor, "rows C B D"]
    ) -> tuple[Float[Tensor, "B rows F"], Float[Tensor, "columns B"]]:
        """Return what the rows' gradient of `each` sends back; and by what scale."""
        ...

    def mix_backward(
        self,
        side: Side,
        gradient: Float[Tensor, "rows H C B D"],
        weights: Float[Tensor, "rows H B B"],
        gathered: Float[Tensor, "rows B C B D"],
        *,
        sends: bool = True,
    ) -> tuple[Float[Tensor, "rows H B B"], Float[Tensor, "B _sent F"], Float[Tensor, "columns B"]]:
        """Return the weights' gradient, what the rows send back, and by what scale.

        Args:
            side: Who receives from whom.
            gradient: Of what `mix` returned.
            weights: Of its weights.
            gathered: What it gathered.
            sends: Whether the rows send anything back; where not, the second has no rows.
        """
        ...

    def send_back(
        self, side: Side, sent: Float[Tensor, "B rows F"], scale: Float[Tensor, "columns B"]
    ) -> Float[Tensor, "columns F"]:
        """Send rows back along their edges, and add the behaviors up."""
        ...

    def send_back_each(
        self, side: Side, sent: Float[Tensor, "B rows F"], scale: Float[Tensor, "columns B"]
    ) -> Float[Tensor, "columns B F"]:
        """Send rows back along their edges."""
        ...


def mix(side: Side, x: Tensor, weights: Tensor, sums: Sums) -> Tensor:
    """Mix one direction; see `propagation.mix_side`, also for shapes."""
    out: Tensor = _Mix.apply(x, weights, side, sums)  # type: ignore[no-untyped-call]
    return out


def own(side: Side, x: Tensor, sums: Sums) -> Tensor:
    """Send one direction; see `propagation.own_side`, also for shapes."""
    out: Tensor = _Own.apply(x, side, sums)  # type: ignore[no-untyped-call]
    return out


def mixed(side: Side, x: Tensor, weights: Tensor, sums: Sums) -> tuple[Tensor, Tensor]:
    """Return what `Sums.mix` does, of senders as they are; no gradient."""
    return sums.mix(side, x[None] if side.send is None else _by_sender(x, side.send), weights)


def sent_by_own(side: Side, x: Tensor, sums: Sums) -> Tensor:
    """Return what `own` does; no gradient."""
    out = sums.each(side, _tables(side, x).flatten(2))
    return out.view(*out.shape[:2], x.shape[1], x.shape[3]).transpose(1, 2)


class _Own(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, side: Side, sums: Sums) -> Tensor:
        ctx.side, ctx.sums, ctx.shape = side, sums, x.shape
        return sent_by_own(side, x, sums)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        side: Side = ctx.side
        sums: Sums = ctx.sums
        columns, chains, n_tables, size = ctx.shape
        sent, scale = sums.to_send(side, gradients[0].contiguous())
        if n_tables == 1:  # all behaviors began with the same vectors
            total = sums.send_back(side, sent, scale)
            return total.view(columns, chains, 1, size), None, None
        each = sums.send_back_each(side, sent, scale)
        return each.reshape(columns, -1, chains, size).transpose(1, 2), None, None


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, side: Side, sums: Sums) -> Tensor:
        weights = weights.contiguous()
        gathered, out = mixed(side, x, weights, sums)
        ctx.side, ctx.sums, ctx.shape = side, sums, x.shape
        ctx.save_for_backward(weights, gathered)
        return out.flatten(1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        side: Side = ctx.side
        sums: Sums = ctx.sums
        weights, gathered = ctx.saved_tensors
        gradient = gradients[0].contiguous().view(*weights.shape[:2], *ctx.shape[1:])
        sends = ctx.needs_input_grad[0]
        weight_gradient, sent, scale = sums.mix_backward(
            side, gradient, weights, gathered, sends=sends
        )
        if not sends:
            return None, weight_gradient, None, None
        return sums.send_back(side, sent, scale).view(ctx.shape), weight_gradient, None, None


def _tables(side: Side, x: Tensor) -> Tensor:
    """What each behavior sends, (B, columns, C, D); (1, ...) where that is the same for all."""
    if side.send is None:
        return x.permute(2, 0, 1, 3)
    return x.permute(2, 0, 1, 3) * side.send.t()[:, :, None, None]


def _by_sender(x: Tensor, scale: Tensor) -> Tensor:
    """Scale the same rows for every behavior: (columns, ...) to (B, columns, ...)."""
    return x * scale.t().view(scale.shape[1], -1, *[1] * (x.dim() - 1))
