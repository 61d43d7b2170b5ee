"""What holds for the scores of every model, however it is computed.

Axes: U users, I items.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from cigf.data.dataset import Matrix
from cigf.data.synthetic import checkerboard
from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.inference.artifact import load_artifact, save_artifact
from cigf.models.base import Recommender, Sizes
from cigf.models.registry import build_model, parse_model_config
from cigf.testing.toy import all_scores, permuted, random_matrices, toy_dataset

Done = Callable[[list[float]], bool]
"""Called with the losses of all steps so far; tells whether to end."""


class ScoringContract(ABC):
    """Scores, representations and artifacts.

    Subclasses set `name`, and `options` where the defaults are not meant; models with a slow,
    obvious twin override `dense_scores`.
    """

    name: ClassVar[str]
    options: ClassVar[Mapping[str, Any]] = {}
    learning_rate: ClassVar[float] = 0.01
    personal: ClassVar[bool] = True
    """Whether users can get different rankings; a model that cannot need not solve the board."""

    def build(self, matrices: Sequence[Matrix], seed: int = 0) -> Recommender:
        """Build the model for some data."""
        n_users, n_items = matrices[0].shape
        config = parse_model_config(self.name, self.options)
        return build_model(self.name, config, Sizes(n_users, n_items, len(matrices)), seed)

    @abstractmethod
    def train(
        self,
        model: Recommender,
        matrices: Sequence[Matrix],
        n_steps: int,
        rate: float = 0.01,
        done: Done | None = None,
    ) -> None:
        """Train, until it is `done` at the latest after some steps."""

    def ready(self, matrices: Sequence[Matrix]) -> Recommender:
        """Build a model that gives scores."""
        return self.build(matrices)

    def predicted(self, matrices: Sequence[Matrix]) -> range:
        """The behaviors that the model predicts."""
        n = len(matrices)
        model = self.build(matrices)
        return range(n - 1, n) if model.learns == "target" else range(n)

    def dense_scores(
        self, model: Recommender, matrices: Sequence[Matrix], behavior: int
    ) -> NDArray[np.float64] | None:
        """Compute all scores (U, I) by a slow, obvious twin in float64; None if there is none."""
        return None

    def test_finds_the_withheld_item_of_the_checkerboard(self) -> None:
        """Trained on the board, the model comes to rank the withheld item first for every user.

        Withheld items are among the negatives, so a model that learns single pairs by heart may
        later rank them low again: what counts is that it gets there.
        """
        if not self.personal:
            pytest.skip("this model gives every user the same ranking")
        split = checkerboard()
        matrices = split.train.interactions
        model = self.build(matrices)
        held_out = split.test[split.train.behaviors.target_name]

        def finds_all() -> bool:
            scores = all_scores(model, matrices)
            scores[split.train.target.toarray() > 0] = -np.inf
            return bool((scores.argmax(1)[held_out.users] == held_out.items).all())

        def now_and_then(losses: list[float]) -> bool:
            return len(losses) % 15 == 0 and finds_all()

        self.train(model, matrices, 150, self.learning_rate, now_and_then)
        assert finds_all()

    def test_equals_its_dense_twin(self) -> None:
        """The fast scores of every task are those of the slow formula."""
        matrices = random_matrices()
        model = self.build(matrices)
        self.train(model, matrices, 3)
        for behavior in self.predicted(matrices):
            expected = self.dense_scores(model, matrices, behavior)
            if expected is None:
                pytest.skip("this model has no dense twin")
            found = all_scores(model, matrices, behavior)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

    def test_encoding_some_users_equals_encoding_all(self) -> None:
        """A selection of users gets the rows that encoding everybody gives."""
        matrices = random_matrices()
        model, graph = self.ready(matrices).eval(), BehaviorGraph.build(matrices)
        users = torch.tensor([5, 0, 3])
        everybody, some = model.encode(graph), model.encode(graph, users)
        torch.testing.assert_close(some.users, everybody.users[users])
        torch.testing.assert_close(some.items, everybody.items)

    def test_renaming_only_permutes_scores(self) -> None:
        """With tables renamed alike, renaming users and items permutes the score matrix."""
        matrices = random_matrices()
        generator = np.random.default_rng(1)
        users, items = (generator.permutation(n) for n in matrices[0].shape)
        model = self.build(matrices)
        renamed = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in renamed.parameters():
                for order in (users, items):
                    if parameter.shape[:1] == (len(order),):
                        parameter.copy_(parameter[torch.from_numpy(order)])
        expected = all_scores(model, matrices)[users][:, items]
        found = all_scores(renamed, permuted(matrices, users, items))
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    def test_one_by_one_equals_batch(self) -> None:
        """A block of users scores as its users one by one, and as pairs."""
        matrices = random_matrices()
        model, graph = self.ready(matrices).eval(), BehaviorGraph.build(matrices)
        with torch.no_grad():
            scorer = model.scorer(model.encode(graph), len(matrices) - 1)
            block = scorer.block(torch.arange(graph.n_users))
            single = torch.cat([scorer.block(torch.tensor([u])) for u in range(graph.n_users)])
            users = torch.arange(graph.n_users).repeat_interleave(graph.n_items)
            items = torch.arange(graph.n_items).repeat(graph.n_users)
            pairs = scorer.pairs(users, items).view(graph.n_users, graph.n_items)
        torch.testing.assert_close(single, block, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(pairs, block, rtol=1e-4, atol=1e-5)

    def test_saved_and_loaded_scores_are_the_same(self, tmp_path: Path) -> None:
        """An artifact gives the bits that were saved."""
        matrices = random_matrices()
        model = self.build(matrices)
        self.train(model, matrices, 2)
        model.eval()
        with torch.no_grad():
            representations = model.encode(BehaviorGraph.build(matrices))
        save_artifact(
            tmp_path / "artifact",
            model=model,
            model_name=self.name,
            config=parse_model_config(self.name, self.options).model_dump(mode="json"),
            representations=representations,
            history=toy_dataset(matrices),
        )
        loaded = load_artifact(tmp_path / "artifact").scorer()
        found = loaded.block(torch.arange(len(representations.users))).numpy()
        assert (found == all_scores(model, matrices)).all()

    def test_users_folded_in_with_their_events_get_their_rows(self) -> None:
        """A model that keeps something for it represents known users as training did."""
        matrices = random_matrices()
        model, graph = self.ready(matrices).eval(), BehaviorGraph.build(matrices)
        self.train(model, matrices, 2)
        model.eval()
        users = torch.tensor([5, 0, 3])
        events = [edges.select(users) for edges in graph.to_users]
        with torch.no_grad():
            memory = model.remember(graph)
            if not memory:
                with pytest.raises(ConfigError, match="cannot represent users by events"):
                    model.fold_in(memory, events, users)
                return
            found = model.fold_in(memory, events, users)
            expected = model.encode(graph, users).users
        torch.testing.assert_close(found, expected)

    def test_misspelled_options_are_refused(self) -> None:
        """An unknown option is an error that names the closest known one."""
        known = next(iter(parse_model_config(self.name, self.options).model_dump()), None)
        if known is None:
            with pytest.raises(ConfigError, match="n_layers is not an option"):
                parse_model_config(self.name, {"n_layers": 1})
            return
        with pytest.raises(ConfigError, match=f"did you mean {known}"):
            parse_model_config(self.name, {f"{known}s": 1})
