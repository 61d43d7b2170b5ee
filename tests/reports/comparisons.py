"""A small report by hand: figures chosen so that every value can be read off."""

import numpy as np

from cigf.evaluation.over_seeds import Difference, Measured
from cigf.reports.comparison import GROUPS, PROTOCOLS, SHOWN, Report, Row

NAMES = tuple((p, g, m) for p in PROTOCOLS for g in GROUPS for m in (*SHOWN, "mrr"))
NAN = float("nan")


def measured(first, second=None, new=True):
    """All figures are `first` and `second` by seed; those of new pairs may be undefined."""
    seeds = [first] if second is None else [first, second]
    values = np.array(
        [[seed if new or name[1] != "new" else NAN for name in NAMES] for seed in seeds]
    )
    return Measured(NAMES, {"all": 3}, values, np.tile(values.mean(0), (3, 1)))


def difference(model, p_bootstrap, p_wilcoxon, name=("full", "all", "ndcg@10")):
    ps = (p_bootstrap, p_wilcoxon)
    return Difference(name, "b_est", model, -0.125, -0.25, 0.0, *ps, *ps)


REPORT = Report(
    title="Comparison",
    lead="b_est is best.",
    rows=[
        Row("popularity", True, measured(0.25), 1),
        Row("b_est", False, measured(0.5, 0.75), 2, 7.0, 1.5, 1234.5, 300.0),
        Row("odd", False, measured(0.25, new=False), 2, 3.0, 1.0, 2.0, None, "seed 1 failed: a|b"),
        Row("lost", False, None, 2, remark="seed 0 failed: <nan>"),
    ],
    tests=[difference("popularity", 0.0001, 0.01), difference("odd", 0.2, 0.04)],
    facts={"dataset": "D & E", "seeds": "0, 1"},
    notes=["Nothing was selected on test."],
)
