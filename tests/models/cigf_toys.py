"""CIGF in every configuration, on toy graphs."""

import torch

from cigf.graph.bipartite import BehaviorGraph
from cigf.models.base import Sizes
from cigf.models.cigf import CIGF
from cigf.models.registry import build_model, parse_model_config

VARIANTS = [
    *(
        {"chain": c, "n_layers": n}
        for c in ("reference", "paper", "independent")
        for n in (1, 2, 3)
    ),
    *({"aggregator": a, "n_layers": 3} for a in ("lr-gccf", "gcn", "ngcf")),
    *(
        {"attention": a, "n_layers": 3}
        for a in ("global", "node", "node+layer", "node+behavior", "node+behavior+layer")
    ),
    *({"normalization": n} for n in ("row", "column", "symmetric", "none")),
    *({"n_heads": 2, "n_layers": 4, "chain": c} for c in ("reference", "paper")),
    *({"n_heads": 2, "n_layers": 3, "aggregator": a} for a in ("lr-gccf", "gcn", "ngcf")),
    *({"attention": "global", "n_heads": 3, "chain": c} for c in ("reference", "paper")),
    *(
        {"head": h, "head_input": f}
        for h in ("bilinear", "shared-bottom", "mmoe", "ple")
        for f in ("average", "sum", "separate")
    ),
    {"head": "mmoe", "n_experts": 5},
    {"head": "ple", "n_specific_experts": 2, "n_shared_experts": 3},
]


def build(matrices, options, seed=0) -> CIGF:
    n_users, n_items = matrices[0].shape
    sizes = Sizes(n_users, n_items, len(matrices))
    model = build_model("cigf", parse_model_config("cigf", options), sizes, seed)
    with torch.no_grad():  # biases begin at zero, where many mistakes hide
        for parameter in model.parameters():
            noise = torch.empty_like(parameter).normal_(generator=torch.Generator().manual_seed(1))
            parameter.add_(0.3 * noise)
    return model


@torch.no_grad()
def encode(model, matrices):
    return model.encode(BehaviorGraph.build(matrices))
