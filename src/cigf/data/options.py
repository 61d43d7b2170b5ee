"""Options of reading and preparing an event log: each is described here and nowhere else."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from cigf.config import Config
from cigf.data.behaviors import Behaviors
from cigf.errors import DataError, did_you_mean


class ReadOptions(Config):
    """How an event log is to be understood."""

    other_behaviors: ClassVar[str] = "prepare and train anew with it in --behaviors"
    """What a user can do about a behavior that is none of these."""

    behaviors: tuple[str, ...] = ("view", "cart", "buy")
    """Behavior names in funnel order, shallow to deep; the last is the target unless `target` says
    otherwise."""
    target: str | None = None
    """The behavior to predict, if it is not the last one."""
    mapping: dict[str, str] = Field(default_factory=dict)
    """Behavior values of the log to behavior names, such as {"pv": "view"}; a value mapped to ""
    is left out."""
    user_col: str | None = None
    """Column of the user ids; None: found by its name."""
    item_col: str | None = None
    """Column of the item ids; None: found by its name."""
    behavior_col: str | None = None
    """Column of the behaviors; None: found by its name."""
    time_col: str | None = None
    """Column of the times; None: found by its name, if there is one; "": the log's times are
    not to be used."""
    column_names: tuple[str, ...] | None = None
    """Names of the columns of CSV files that have no header line."""
    default_behavior: str | None = None
    """Behavior of all rows of a source that has no behavior column."""
    on_error: Literal["fail", "skip"] = "fail"
    """What to do with rows that cannot be used: stop, or leave them out and report how many."""
    query: str | None = None
    """SQL query to run on sources that are databases."""

    def ordered_behaviors(self) -> Behaviors:
        """Return the behaviors with the target last.

        Raises:
            DataError: The target is not among the behaviors, or a name stands twice.
        """
        target = self.target
        if target is None:
            return Behaviors(self.behaviors)
        if target not in self.behaviors:
            raise DataError(
                f"target {target!r} is not among the behaviors"
                f"{did_you_mean(target, self.behaviors)} (behaviors: {', '.join(self.behaviors)}); "
                "name it in --behaviors or choose one of them"
            )
        return Behaviors((*(name for name in self.behaviors if name != target), target))


class PrepareOptions(ReadOptions):
    """How a dataset is made from an event log."""

    other_behaviors: ClassVar[str] = "name it in --behaviors"
    """See `ReadOptions`, which are those of events for a model that is trained already."""

    split: Literal["test_file", "last", "time", "random", "none"] | None = None
    """How test pairs are chosen; None: the given test file, else the last target pair of each user
    (a random one where the log has no times)."""
    min_interactions: PositiveInt = 1
    """Users and items with fewer pairs are left out, repeatedly until none is left (k-core)."""
    min_behavior: str | None = None
    """Count only pairs of this behavior for `min_interactions`; None: pairs of any behavior."""
    test_share: float = Field(default=0.1, gt=0, lt=1)
    """Share of the target events after the cut (time split) or of target pairs (random split)."""
    valid_share: float = Field(default=0.2, ge=0, lt=1)
    """Share of the users with enough target pairs who give one to validation; in a time split, the
    share of the remaining target events that lie in the validation window."""
    hold_out: tuple[str, ...] | None = None
    """Behaviors whose pairs the splits last and random hold out besides the target's."""
    n_candidates: PositiveInt = 99
    """Sampled items that a held-out item competes with in the protocol 1+99; where it is evaluated
    with candidates of another seed than `candidate_seed`, they are 99."""
    candidate_seed: int = Field(default=0, ge=0)
    """Seed of the stored candidates."""
    seed: int = Field(default=0, ge=0)
    """Seed of every random choice of the split."""
    force: bool = False
    """Replace an existing dataset folder."""
