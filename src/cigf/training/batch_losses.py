"""The losses of a batch, in the whole graph or in the batch's own."""

from torch import Tensor
from torch.func import functional_call

from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Recommender
from cigf.sampling.subgraph_batches import SubgraphBatch
from cigf.shapes import Batch


def batch_losses(model: Recommender, graph: BehaviorGraph, batch: Batch) -> Tensor:
    """Return one loss per behavior, shape (B,).

    In a sub-graph the model is one of fewer nodes: their rows stand in for its tables, and pass
    their gradients on to them.

    Args:
        model: The model.
        graph: The whole graph.
        batch: The sampled pairs; a `SubgraphBatch` brings its own graph.
    """
    if not isinstance(batch, SubgraphBatch):
        losses: Tensor = model(graph, batch)
        return losses
    rows = {
        name: model.get_parameter(name).index_select(0, getattr(batch.nodes, side))
        for name, side in model.node_tables.items()
    }
    inner = batch.graph.in_halves() if graph.halves else batch.graph
    inside: Tensor = functional_call(model, rows, (inner, batch))
    return inside
