"""cigf: multi-behavior recommendation, from an event log to the next purchase.

The public names load on first use, so that `import cigf` costs milliseconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cigf.api import MultiBehaviorRecommender as MultiBehaviorRecommender
    from cigf.errors import CigfError as CigfError
    from cigf.inference.recommender import TrainedRecommender as TrainedRecommender

_PUBLIC = {
    "CigfError": "cigf.errors",
    "MultiBehaviorRecommender": "cigf.api",
    "TrainedRecommender": "cigf.inference.recommender",
}

__all__ = ["CigfError", "MultiBehaviorRecommender", "TrainedRecommender", "__version__"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'cigf' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
