"""What TensorBoard reads of a run, also of one that was stopped and resumed."""

import importlib
import json
import sys
from contextlib import closing

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cigf.data.dataset_store import save_split
from cigf.data.synthetic import checkerboard
from cigf.errors import MissingExtraError
from cigf.experiment.config import load_experiment
from cigf.experiment.tensorboard import TensorBoard
from cigf.experiment.training import train_run
from cigf.training.events import EpochRecord, Listener, Listeners

RECORD = EpochRecord(
    epoch=1,
    seconds=2.0,
    losses={"view": 0.75, "buy": 0.5},
    learning_rate=0.125,
    pairs=22,
    metrics={"ndcg@10/1+99": 0.25, "hr@5/full/new": 0.0625},
)


def curves(folder):
    """Steps and values by tag, with whatever TensorBoard drops dropped."""
    events = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


def write(folder, epochs, shift=0.0):
    """One part of a run: `epochs`, with losses that tell the parts apart."""
    with closing(TensorBoard(folder)) as board:
        board.on_start(7, 1, epochs[0] - 1)
        for epoch in epochs:
            board.on_epoch(EpochRecord(epoch, 1.0, {"buy": epoch + shift}, 0.5, 3))
        board.on_end("done")


def test_every_value_of_an_epoch_is_written(tmp_path):
    with closing(TensorBoard(tmp_path)) as board:
        board.on_start(1, 1, 0)
        board.on_epoch(RECORD)
        assert curves(tmp_path) == {  # already, as the run may be killed now
            "loss": [(1, 1.25)],
            "loss/view": [(1, 0.75)],
            "loss/buy": [(1, 0.5)],
            "learning_rate": [(1, 0.125)],
            "pairs_per_second": [(1, 11.0)],
            "valid/ndcg@10/1+99": [(1, 0.25)],
            "valid/hr@5/full/new": [(1, 0.0625)],
        }


def test_epochs_that_are_run_again_replace_what_was_written_of_them(tmp_path):
    write(tmp_path, (1, 2, 3, 4, 5))
    write(tmp_path, (4, 5, 6), shift=100.0)
    steps = [(1, 1.0), (2, 2.0), (3, 3.0), (4, 104.0), (5, 105.0), (6, 106.0)]
    assert curves(tmp_path)["loss/buy"] == steps


def test_nothing_is_written_before_training_begins(tmp_path):
    with closing(TensorBoard(tmp_path / "curves")):
        pass
    assert not (tmp_path / "curves").exists()


class StopIn(Listener):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_step(self, epoch, step, n_pairs):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def test_a_stopped_and_resumed_run_has_one_curve(tmp_path):
    save_split(checkerboard(), tmp_path / "data")
    run = tmp_path / "run"
    config = load_experiment(None, ["training.epochs=5", "training.evaluate_every=2"])
    with pytest.raises(KeyboardInterrupt), closing(TensorBoard(run / "tensorboard")) as board:
        train_run(tmp_path / "data", run, config, listener=Listeners(board, StopIn(4)))
    assert [step for step, _ in curves(run / "tensorboard")["loss"]] == [1, 2, 3]
    with closing(TensorBoard(run / "tensorboard")) as board:
        train_run(tmp_path / "data", run, resume=True, listener=board)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = curves(run / "tensorboard")
    assert found["loss"] == [
        (epoch, pytest.approx(line["loss"])) for epoch, line in enumerate(lines, 1)
    ]
    assert [step for step, _ in found["valid/ndcg@10/1+99"]] == [2, 4]


def test_missing_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "cigf.experiment.tensorboard")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    with pytest.raises(MissingExtraError, match=r"tensorboard, .* pip install 'cigf\[track\]'"):
        importlib.import_module("cigf.experiment.tensorboard")
