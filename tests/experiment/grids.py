"""A toy dataset, and cells that run within the test's own process."""

import numpy as np

from cigf.data.options import PrepareOptions
from cigf.data.prepare import prepare
from cigf.data.synthetic import generate_log
from cigf.experiment.cells import run_cell

QUICK = ("training.epochs=2", "training.evaluate_every=1", "sampling.batch_size=32")


def make_dataset(folder):
    log = generate_log(61, 43, 3001, generator=np.random.default_rng(0))
    prepare(log, folder, PrepareOptions())
    return folder


class Ended:
    """A cell that has run by the time it has begun."""

    def __init__(self, code):
        self.code = code
        self.closed = False

    def poll(self):
        return self.code

    def stop(self):
        raise AssertionError("it has ended already")

    def close(self):
        self.closed = True


def inline(dataset):
    """Begin cells by running them here."""
    return lambda cell: Ended(run_cell(dataset, cell.folder, "cpu").status != "finished")
