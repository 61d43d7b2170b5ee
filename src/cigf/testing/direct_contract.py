"""The contract of models that are computed in one go; subclass it once per model."""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest
import torch

from cigf.data.dataset import Matrix
from cigf.errors import ConfigError
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Recommender
from cigf.models.direct import DirectRecommender
from cigf.testing.scoring import Done, ScoringContract
from cigf.testing.toy import all_scores, one_batch, permuted, random_matrices


class DirectContract(ScoringContract):
    """What holds for every `DirectRecommender`; see `ScoringContract`."""

    by_number: ClassVar[bool] = False
    """Whether numbers matter: they break ties, or draws are made for them."""
    seed: ClassVar[int] = 0

    def train(
        self,
        model: Recommender,
        matrices: Sequence[Matrix],
        n_steps: int,
        rate: float = 0.01,
        done: Done | None = None,
    ) -> None:
        """Compute the model."""
        assert isinstance(model, DirectRecommender)
        model.fit(BehaviorGraph.build(matrices), self.seed, lambda: None)

    def ready(self, matrices: Sequence[Matrix]) -> Recommender:
        """Build a model and compute it."""
        model = self.build(matrices)
        self.train(model, matrices, 1)
        return model

    def test_encoding_some_users_equals_encoding_all(self) -> None:
        """A selection of users gets the scores that encoding everybody gives."""
        matrices = random_matrices()
        model, graph = self.ready(matrices), BehaviorGraph.build(matrices)
        users = torch.tensor([5, 0, 3])
        for behavior in self.predicted(matrices):
            some, everybody = (
                model.scorer(model.encode(graph, wanted), behavior) for wanted in (users, None)
            )
            torch.testing.assert_close(some.block(torch.arange(3)), everybody.block(users))
            mixed = everybody.with_users(some)
            torch.testing.assert_close(mixed.block(torch.arange(3)), everybody.block(users))

    def test_renaming_only_permutes_scores(self) -> None:
        """Renaming users and items permutes the score matrix."""
        if self.by_number:
            pytest.skip("here the numbers of users and items matter")
        matrices = random_matrices()
        generator = np.random.default_rng(1)
        users, items = (generator.permutation(n) for n in matrices[0].shape)
        renamed = permuted(matrices, users, items)
        expected = all_scores(self.ready(matrices), matrices)[users][:, items]
        found = all_scores(self.ready(renamed), renamed)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)

    def test_same_seed_same_bits(self) -> None:
        """The model is a function of data and seed."""
        matrices = random_matrices()
        first, again = (all_scores(self.ready(matrices), matrices) for _ in range(2))
        assert (first == again).all()

    def test_every_part_is_announced(self) -> None:
        """`fit` calls as often as `n_parts` says."""
        graph = BehaviorGraph.build(random_matrices())
        model, calls = self.build(random_matrices()), []
        assert isinstance(model, DirectRecommender)
        model.fit(graph, self.seed, lambda: calls.append(1))
        assert len(calls) == model.n_parts(graph)

    def test_nodes_without_edges_get_finite_scores(self) -> None:
        """User 0 and item 0 have no edges; an empty behavior has none at all."""
        empty = random_matrices()[0] * 0
        empty.eliminate_zeros()
        matrices = (empty, *random_matrices()[1:])
        assert np.isfinite(all_scores(self.ready(matrices), matrices)).all()

    def test_there_are_no_steps(self) -> None:
        """It has no loss, and says so."""
        matrices = random_matrices()
        model, batch = self.ready(matrices), one_batch(matrices)
        with pytest.raises(ConfigError, match="is not learned in steps"):
            model.loss(model.encode(BehaviorGraph.build(matrices)), batch)
