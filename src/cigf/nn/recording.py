"""What users receive in a convolution, kept, so that other users can receive it later."""

from torch import Tensor

from cigf.nn.interaction import Step
from cigf.shapes import Nodes


class Recording:
    """A step that keeps the items' vectors of each call before it does what another step does.

    Args:
        step: The step, for all users.
        known: A tensor that need not be kept: calls that receive (a view of) it are passed over.
    """

    users: None = None
    items: None = None

    def __init__(self, step: Step, known: Tensor) -> None:
        self._step = step
        self._last = known
        self._calls = 0
        self.kept: dict[int, Tensor] = {}
        """By the number of the call, from 0; a call that is not in it receives the same as the
        call before it, the first one `known`."""

    def mix(self, x: Nodes, weights: Nodes) -> Nodes:
        """See `Step`."""
        self._keep(x.items)
        return self._step.mix(x, weights)

    def own(self, x: Nodes) -> Nodes:
        """See `Step`."""
        self._keep(x.items)
        return self._step.own(x)

    def _keep(self, items: Tensor) -> None:
        if items.data_ptr() != self._last.data_ptr():
            self.kept[self._calls] = self._last = items
        self._calls += 1


class Replay:
    """Gives what a `Recording` kept, call after call.

    Args:
        kept: Its `kept`.
        known: Its `known`, in the shape (I, 1, 1, D) in which the first call receives it.
    """

    def __init__(self, kept: dict[int, Tensor], known: Tensor) -> None:
        self._kept = kept
        self._last = known
        self._calls = 0

    def __call__(self) -> Tensor:
        """Return what the next call receives."""
        self._last = self._kept.get(self._calls, self._last)
        self._calls += 1
        return self._last
