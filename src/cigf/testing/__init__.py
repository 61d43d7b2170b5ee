"""Contract suites that every model passes, importable by users.

from cigf.testing import RecommenderContract

class TestMyModel(RecommenderContract):
    name = "my-model"
"""

from cigf.testing.contract import RecommenderContract
from cigf.testing.direct_contract import DirectContract

__all__ = ["DirectContract", "RecommenderContract"]
