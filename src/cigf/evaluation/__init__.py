"""Honest evaluation of rankings: protocols, groups, metrics, significance; runs without torch."""

from cigf.evaluation.evaluator import Evaluation, EvaluationTask, evaluate, evaluation_task
from cigf.evaluation.protocols import lookup

__all__ = ["Evaluation", "EvaluationTask", "evaluate", "evaluation_task", "lookup"]
