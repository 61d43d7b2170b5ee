"""The composition root: the only place that joins data, model, training and evaluation."""
