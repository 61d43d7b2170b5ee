"""The contract that every model keeps; subclass it once per model and configuration."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from cigf.data.dataset import Matrix
from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Recommender
from cigf.models.registry import fixed_options, model_entry, parse_model_config
from cigf.sampling.subgraph_batches import SubgraphBatch, restricted
from cigf.shapes import Batch, Nodes
from cigf.testing.scoring import Done, ScoringContract
from cigf.testing.toy import all_scores, one_batch, random_matrices, train_steps
from cigf.training.batch_losses import batch_losses


class RecommenderContract(ScoringContract):
    """What holds for every model that is learned in steps; see `ScoringContract`."""

    inert: ClassVar[frozenset[str]] = frozenset()
    """Parameters that the options leave unused, so that they get no gradient."""

    def batch(self, matrices: Sequence[Matrix]) -> Batch:
        """Sample a batch with all users, as the model's authors do."""
        learns = self.build(matrices).learns
        return one_batch(matrices, learns=learns, sampling=self.sampling())

    def sampling(self) -> Mapping[str, Any]:
        """The model's own options of the sampler."""
        config = parse_model_config(self.name, self.options)
        fixed = fixed_options(self.name, config).get("sampling", {})
        return {**model_entry(self.name).defaults.get("sampling", {}), **fixed}

    def train(
        self,
        model: Recommender,
        matrices: Sequence[Matrix],
        n_steps: int,
        rate: float = 0.01,
        done: Done | None = None,
    ) -> None:
        """Train on new batches, until it is `done` at the latest after some steps."""
        train_steps(model, matrices, n_steps, rate, sampling=self.sampling(), done=done)

    def test_same_seed_same_bits(self) -> None:
        """Building and training are functions of the seed."""
        matrices = random_matrices()
        models = [self.build(matrices, seed) for seed in (3, 3, 4)]
        for model in models:
            self.train(model, matrices, 2)
        first, again, other = (all_scores(model, matrices) for model in models)
        assert (first == again).all()
        assert (first != other).any()

    def test_nodes_without_edges_get_finite_scores(self) -> None:
        """User 0 and item 0 have no edges; an empty behavior has none at all."""
        empty = random_matrices()[0] * 0
        empty.eliminate_zeros()
        matrices = (empty, *random_matrices()[1:])
        model = self.build(matrices)
        batch = self.batch(matrices)
        loss = model(BehaviorGraph.build(matrices), batch)
        assert torch.isfinite(loss).all()
        assert np.isfinite(all_scores(model, matrices)).all()

    def test_every_parameter_learns(self) -> None:
        """Every parameter gets a finite gradient that is not all zero."""
        matrices = random_matrices()
        model, batch = self.build(matrices), self.batch(matrices)
        # Biases of gates can be at a symmetric point at first: a few steps leave it.
        self.train(model, matrices, 3)
        model.zero_grad()
        losses = model(BehaviorGraph.build(matrices), batch)
        losses.sum().backward()
        for name, parameter in model.named_parameters():
            if name in self.inert:
                continue
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().sum() > 0, name

    def test_one_batch_can_be_learned_by_heart(self) -> None:
        """The loss of a fixed batch falls far below its start."""
        matrices = random_matrices()
        model = self.build(matrices)
        batch = self.batch(matrices)

        def far_below(losses: list[float]) -> bool:
            return losses[-1] < 0.5 * losses[0]

        assert far_below(
            train_steps(model, matrices, 150, self.learning_rate, batch, done=far_below)
        )

    def test_a_subgraph_is_a_model_of_fewer_nodes(self) -> None:
        """Losses and gradients inside a sub-graph are those of a model with its rows alone."""
        matrices = random_matrices()
        model = self.build(matrices).eval()
        if not model.node_tables:
            pytest.skip("this model cannot be trained on sub-graphs")
        nodes = (np.array([0, 2, 3, 6]), np.array([1, 2, 4, 7, 9]))
        inside = [restricted(matrix, *nodes) for matrix in matrices]
        batch, graph = self.batch(inside), BehaviorGraph.build(inside)
        fewer, sides = self.build(inside).eval(), Nodes(*map(torch.from_numpy, nodes))
        tables = {
            name: model.get_parameter(name)[getattr(sides, side)]
            for name, side in model.node_tables.items()
        }
        fewer.load_state_dict({**model.state_dict(), **tables})
        drawn = {each.name: getattr(batch, each.name) for each in fields(batch)}
        found = batch_losses(
            model, BehaviorGraph.build(matrices), SubgraphBatch(**drawn, nodes=sides, graph=graph)
        )
        expected = batch_losses(fewer, graph, batch)
        torch.testing.assert_close(found, expected)
        for losses in (found, expected):
            losses.sum().backward()  # type: ignore[no-untyped-call]
        for name, side in model.node_tables.items():
            whole, part = model.get_parameter(name).grad, fewer.get_parameter(name).grad
            assert whole is not None
            torch.testing.assert_close(whole[getattr(sides, side)], part)
            assert whole.count_nonzero() == whole[getattr(sides, side)].count_nonzero()

    def test_encode_and_loss_leave_no_state(self) -> None:
        """Calling them twice gives the same, and changes nothing in the model."""
        matrices = random_matrices()
        model, graph, batch = (
            self.build(matrices),
            BehaviorGraph.build(matrices),
            self.batch(matrices),
        )
        before = copy.deepcopy(model.state_dict())
        attributes = set(vars(model))
        losses = []
        for _ in range(2):
            with torch.random.fork_rng([]):
                torch.manual_seed(0)
                losses.append(model(graph, batch))
        assert torch.equal(losses[0], losses[1])
        assert set(vars(model)) == attributes
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name]), name
