"""The parts of a reproduction: what each table and figure shows of the data or trained models."""

from collections.abc import Callable

from cigf.experiment.experiments import Experiment, Kind
from cigf.experiment.parts.context import Context
from cigf.experiment.parts.data import activity, overlaps
from cigf.experiment.parts.inside import gates, gradients, relations
from cigf.experiment.parts.quality import groups, quality
from cigf.experiment.parts.seconds import seconds
from cigf.reports.reproduction import Part

__all__ = ["PARTS", "Context"]

PARTS: dict[Kind, Callable[[Experiment, Context], Part]] = {
    "quality": quality,
    "relations": relations,
    "seconds": seconds,
    "activity": activity,
    "groups": groups,
    "gates": gates,
    "overlaps": overlaps,
    "gradients": gradients,
}
