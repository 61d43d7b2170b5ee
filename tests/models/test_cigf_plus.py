"""CIGF+ keeps the contract and equals its dense twin; its lessons hide what they teach."""

from typing import ClassVar

from cigf.testing import RecommenderContract
from reference import cigf_plus as reference


class TestCIGFPlus(RecommenderContract):
    name = "cigf-plus"
    options: ClassVar = {
        "embedding_size": 3,
        "hidden_size": 5,
        "n_sampled": 7,
        "n_rehearsals": 2,
        "score_scale": 1.0,
    }

    def dense_scores(self, model, matrices, behavior):
        return reference.scores(model, matrices, behavior)
