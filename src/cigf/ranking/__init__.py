"""One way to score and to rank: factors, counted ranks of held-out items, and top-k lists."""

from cigf.ranking.counts import rank_counts
from cigf.ranking.factors import Corrections, ScoreFactors
from cigf.ranking.parts import NodesScorer, PartsScorer
from cigf.ranking.related import RelatedScorer
from cigf.ranking.scorer import Scorer
from cigf.ranking.sparse import SparseScorer
from cigf.ranking.topk import NO_ITEM, Only, top_k

__all__ = [
    "NO_ITEM",
    "Corrections",
    "NodesScorer",
    "Only",
    "PartsScorer",
    "RelatedScorer",
    "ScoreFactors",
    "Scorer",
    "SparseScorer",
    "rank_counts",
    "top_k",
]
