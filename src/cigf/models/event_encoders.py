"""Encoders of users' events under one behavior: a set, or a sequence.

Axes: u users, I items, T places of a sequence, D embedding size.
"""

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from cigf.graph.gather_sum import Edges, gather_sum
from cigf.nn.init import uniform, xavier_uniform

EncoderName = Literal["set", "gru"]
"""Whether the order of events counts."""

USERS_AT_ONCE = 2048
"""Users whose sequences are encoded at once, which bounds memory."""


class Attention(nn.Module):
    """Logits v tanh(x W + b) of vectors (Bahdanau et al., 2015).

    Args:
        size: D.
        generator: Source of the initial weights.
    """

    def __init__(self, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(xavier_uniform((size, size), generator))
        self.bias = nn.Parameter(torch.zeros(size))
        self.vector = nn.Parameter(xavier_uniform((size, 1), generator))

    def forward(self, x: Float[Tensor, "*axes D"]) -> Float[Tensor, "*axes"]:
        """Return one logit for each vector."""
        return (torch.tanh(x @ self.weight + self.bias) @ self.vector)[..., 0]


class EventsEncoder(nn.Module, ABC):
    """Users' events under one behavior as one vector each; zeros without events.

    Args:
        size: D.
        generator: Source of the initial weights.
    """

    def __init__(self, size: int, generator: torch.Generator) -> None:
        super().__init__()
        self.attention = Attention(size, generator)

    @abstractmethod
    def forward(
        self, items: Float[Tensor, "I D"], events: Edges, transposed: Edges | None
    ) -> Float[Tensor, "u D"]:
        """Encode.

        Args:
            items: The items' vectors.
            events: Edges from items to users; for sequences, a user's in the order of time.
            transposed: The same by item, or None.
        """


class SetEncoder(EventsEncoder):
    """The attention's mean of the items' own vectors: their order is nothing.

    An item's logit is the same for every user, so the mean is a ratio of two sums along the edges.
    """

    def forward(
        self, items: Float[Tensor, "I D"], events: Edges, transposed: Edges | None
    ) -> Float[Tensor, "u D"]:
        """Sum weighted vectors and weights, and divide."""
        logits = self.attention(items)
        weights = (logits - logits.max().detach()).exp()[:, None]
        sums = gather_sum(events, transposed, torch.cat([items * weights, weights], dim=1))
        totals = sums[:, -1:]
        return sums[:, :-1] / torch.where(totals > 0, totals, 1.0)


class SequenceEncoder(EventsEncoder):
    """The attention's mean of a GRU's states over a user's last T events.

    Args:
        size: D.
        generator: Source of the initial weights.
        length: T.
    """

    def __init__(self, size: int, generator: torch.Generator, length: int) -> None:
        super().__init__(size, generator)
        self.length = length
        # Torch's own initial weights come from its global source, which must not notice.
        with torch.random.fork_rng([]):
            self.gru = nn.GRU(size, size, batch_first=True)
        with torch.no_grad():
            for parameter in self.gru.parameters():
                parameter.copy_(uniform(parameter.shape, size**-0.5, generator))

    def forward(
        self, items: Float[Tensor, "I D"], events: Edges, transposed: Edges | None
    ) -> Float[Tensor, "u D"]:
        """Run the GRU over padded sequences; what stands in the padding gets no weight."""
        places, there = last_events(events, self.length)
        parts = [
            self._encode(items, some, present)
            for some, present in zip(
                torch.split(places, USERS_AT_ONCE), torch.split(there, USERS_AT_ONCE), strict=True
            )
        ]
        return torch.cat([items[:0], *parts])

    def _encode(
        self, items: Float[Tensor, "I D"], places: Int[Tensor, "u T"], there: Bool[Tensor, "u T"]
    ) -> Float[Tensor, "u D"]:
        states, _ = self.gru(nn.functional.embedding(places, items))
        logits = self.attention(states).masked_fill(~there, -torch.inf)
        # A user without events has a softmax of nothing: 0, not NaN.
        weights = logits.masked_fill(~there.any(1, keepdim=True), 0.0).softmax(1) * there
        return torch.einsum("ut,utd->ud", weights, states)


def last_events(events: Edges, length: int) -> tuple[Int[Tensor, "u T"], Bool[Tensor, "u T"]]:
    """Return each user's last events, the oldest of them first, and which places hold one."""
    counts = events.degrees.long().clamp(max=length)
    width = max(1, int(counts.max()) if len(counts) else 1)
    steps = torch.arange(width, device=counts.device)
    there = steps < counts[:, None]
    ends = events.offsets[1:].long()
    places = (ends - counts)[:, None] + steps
    safe = torch.where(there, places, 0)
    found = events.indices.long()[safe] if len(events.indices) else torch.zeros_like(safe)
    return torch.where(there, found, 0), there
