"""The library in one class: an event table in, recommendations out, in the user's own ids."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from cigf.config import merge_settings, read_toml
from cigf.data.options import PrepareOptions
from cigf.data.prepare import build_split
from cigf.data.readers import Source, read_events, read_test_pairs
from cigf.data.splitting import Part
from cigf.errors import ConfigError, did_you_mean
from cigf.experiment.config import ExperimentConfig
from cigf.experiment.evaluating import evaluate_scorer
from cigf.experiment.training import fit_split, save_fitted
from cigf.inference.events import Events, Ids
from cigf.inference.recommender import TrainedRecommender
from cigf.ranking import Only
from cigf.training.events import Listener

Frame = Any
"""A Polars frame, or a pandas one where the events were pandas."""

_READING = ("user_col", "item_col", "behavior_col", "time_col", "on_error")
_PARAMETERS = ("behaviors", "model", *_READING, "mapping", "split", "config", "seed", "device")


class MultiBehaviorRecommender:
    """Learns from an event log and recommends items, in the manners of scikit-learn.

    The constructor stores, `fit` learns, and what was learned has a trailing underscore.

    Args:
        behaviors: Names in funnel order; the last is the target.
        model: Name of the model; None: that of `config`, else cigf.
        user_col: Column of the user ids; None finds it by its name, and so for the others.
        item_col: Column of the item ids.
        behavior_col: Column of the behaviors.
        time_col: Column of the times, if there are any.
        on_error: "fail" refuses rows that cannot be used, "skip" leaves them out.
        mapping: Values of the behavior column to behavior names.
        split: "none" learns from all target pairs but a few for validation; "last", "time" and
            "random" also hold out test pairs, for `evaluate`.
        config: An experiment file (TOML).
        seed: Seed of every random choice; None: that of `config`, else 0.
        device: "auto", "cpu" or "cuda".
        options: Options of the sections, over those of `config`, such as training__epochs=20.

    Example:
        >>> import polars as pl
        >>> from cigf import MultiBehaviorRecommender
        >>> events = pl.read_csv("events.csv")  # user_id, item_id, behavior, timestamp
        >>> shop = MultiBehaviorRecommender(["view", "cart", "buy"], training__epochs=3)
        >>> shop.fit(events).recommend(["u0001"], k=5).columns
        ['user_id', 'item_id', 'score', 'rank']
        >>> shop.similar_items(events["item_id"].first(), k=3).columns
        ['item_id', 'score', 'rank']
        >>> sorted(shop.evaluate(part="valid")["metrics"])
        ['1+99', 'full']
        >>> shop.save("shop.model")
    """

    def __init__(
        self,
        behaviors: Sequence[str] = ("view", "cart", "buy"),
        *,
        model: str | None = None,
        user_col: str | None = None,
        item_col: str | None = None,
        behavior_col: str | None = None,
        time_col: str | None = None,
        on_error: Literal["fail", "skip"] = "fail",
        mapping: Mapping[str, str] | None = None,
        split: Literal["none", "last", "time", "random"] = "none",
        config: Path | str | None = None,
        seed: int | None = None,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        **options: Any,
    ) -> None:
        self.behaviors = behaviors
        self.model = model
        self.user_col = user_col
        self.item_col = item_col
        self.behavior_col = behavior_col
        self.time_col = time_col
        self.on_error = on_error
        self.mapping = mapping
        self.split = split
        self.config = config
        self.seed = seed
        self.device = device
        self.options = options

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's arguments, as scikit-learn's `clone` wants them."""
        return {**{name: getattr(self, name) for name in _PARAMETERS}, **self.options}

    def set_params(self, **params: Any) -> "MultiBehaviorRecommender":
        """Change constructor arguments; what was learned stays until the next `fit`."""
        for name, value in params.items():
            if name in _PARAMETERS:
                setattr(self, name, value)
            else:
                self.options = {**self.options, name: value}
        return self

    def fit(
        self, events: Source, test: Source | None = None, *, listener: Listener | None = None
    ) -> "MultiBehaviorRecommender":
        """Learn from an event log.

        Args:
            events: A Polars, pandas or Arrow frame, or files.
            test: Held-out target pairs, where they are given; then `split` is not used.
            listener: Hears of the progress.

        Raises:
            DataError: The events cannot be used.
            ConfigError: An option is unknown or not allowed.
        """
        experiment = self.experiment()
        split_by = "test_file" if test is not None else self.split
        options = self._prepare_options(split_by, experiment.seed)
        held_out = None if test is None else read_test_pairs(test, options)
        split, self.report_ = build_split(read_events(events, options), options, held_out)
        with tempfile.TemporaryDirectory(prefix="cigf-") as name:
            folder = Path(name)
            fitted = fit_split(
                split, experiment, folder / "checkpoints", device=self.device, listener=listener
            )
            save_fitted(folder / "artifact", fitted, split, experiment)
            self.recommender_ = TrainedRecommender.load(folder / "artifact")
        self.split_, self.fitted_, self.experiment_ = split, fitted, experiment
        self.pandas_ = _is_pandas(events)
        return self

    def recommend(
        self, users: Ids | None = None, k: int = 10, *, only: Only = "all", **options: Any
    ) -> Frame:
        """Return the best k items of some users (default: all).

        Args:
            users: External ids.
            k: Length of the lists.
            only: "new" leaves out what a user has touched, "touched" keeps nothing else.
            options: behavior, exclude, allow, deny, scores and fallback of
                `TrainedRecommender.recommend`.

        Returns:
            Columns user_id, item_id, score, rank.
        """
        recommender = self._fitted()
        wanted = recommender.users if users is None else users
        return self._frame(recommender.recommend(wanted, k, only=only, **options))

    def recommend_for(self, events: Events, k: int = 10, **options: Any) -> Frame:
        """Return the best k items of users given by what they did, new users and events too.

        Args:
            events: Of one user, a mapping from behaviors to item ids; of several, a frame.
            k: Length of the lists.
            options: user, history and the others of `TrainedRecommender.recommend_for`.
        """
        return self._frame(self._fitted().recommend_for(events, k, **options))

    def similar_items(self, item: Any, k: int = 10) -> Frame:
        """Return the k items nearest to an item: columns item_id, score, rank."""
        return self._frame(self._fitted().similar_items(item, k))

    def similar_users(self, user: Any, k: int = 10) -> Frame:
        """Return the k users nearest to a user: columns user_id, score, rank."""
        return self._frame(self._fitted().similar_users(user, k))

    def evaluate(
        self, part: Part | None = None, *, behavior: str | None = None, n_bootstrap: int = 0
    ) -> dict[str, Any]:
        """Judge the model on held-out pairs, beside popularity and the touched-first rule.

        Args:
            part: "test" or "valid"; None: test, where test pairs were held out or given.
            behavior: Whose held-out pairs; None for the target's.
            n_bootstrap: Resamples for 95 % intervals; 0 for none.

        Returns:
            As `cigf evaluate --json` prints it: n, metrics and reference by protocol and group.

        Raises:
            DataError: Nothing is held out.
        """
        scorer = self._fitted().artifact.scorer(behavior)
        if part is None:
            part = "test" if any(map(len, self.split_.test.values())) else "valid"
        measured = evaluate_scorer(
            scorer, self.split_, part=part, behavior=behavior, n_bootstrap=n_bootstrap
        )
        return {"split": part, **measured}

    def save(self, path: Path | str, *, force: bool = False) -> None:
        """Write what was learned as an artifact folder.

        Raises:
            OutputError: `path` exists and `force` is off, or it cannot be written.
        """
        self._fitted().artifact.save(Path(path), force=force)

    @staticmethod
    def load(path: Path | str) -> TrainedRecommender:
        """Load what `save` or `cigf train` wrote.

        Raises:
            ArtifactError: It is damaged, or something else.
        """
        return TrainedRecommender.load(path)

    def _fitted(self) -> TrainedRecommender:
        if not hasattr(self, "recommender_"):
            raise ConfigError("this recommender has not learned anything yet; call fit first")
        return self.recommender_

    def _frame(self, frame: pl.DataFrame) -> Frame:
        if not self.pandas_:
            return frame
        import pandas

        # By way of lists, because Polars' own way needs pyarrow, which is not a dependency.
        return pandas.DataFrame(frame.to_dict(as_series=False))

    def _prepare_options(self, split: str, seed: int) -> PrepareOptions:
        values = {name: getattr(self, name) for name in _READING}
        values |= {"behaviors": tuple(self.behaviors), "mapping": dict(self.mapping or {})}
        return PrepareOptions.parse({**values, "split": split, "seed": seed})

    def experiment(self) -> ExperimentConfig:
        """Return the configuration that `fit` trains by.

        Raises:
            ConfigError: An option is unknown or not allowed.
        """
        values = merge_settings(read_toml(Path(self.config)) if self.config else {}, ())
        for name, value in self.options.items():
            section, _, option = name.partition("__")
            if not option:
                hint = did_you_mean(name, _PARAMETERS)
                raise ConfigError(
                    f"{name} is not an argument of MultiBehaviorRecommender{hint}; options of "
                    "sections are written with two underscores: training__epochs=20"
                )
            values.setdefault(section, {})[option] = value
        if self.model is not None:
            values.setdefault("model", {})["name"] = self.model
        if self.seed is not None:
            values["seed"] = self.seed
        return ExperimentConfig.parse(values)


def _is_pandas(events: Source) -> bool:
    return type(events).__module__.partition(".")[0] == "pandas"
