import io
from contextlib import closing

import pytest
from rich.console import Console

from cigf.cli.progress import TrainingProgress, duration
from cigf.training.events import EpochRecord

METRIC = "ndcg@10/full"


def run(console, *, resumed=0):
    """Report two epochs of three steps each, the second one validated."""
    with closing(TrainingProgress(METRIC, console)) as progress:
        progress.on_start(2 + resumed, 3, resumed)
        for epoch in (1 + resumed, 2 + resumed):
            for step in (1, 2, 3):
                progress.on_step(epoch, step, 100)
            metrics = {METRIC: 0.25} if epoch == 2 + resumed else None
            losses = {"view": 0.5, "buy": 0.25}
            progress.on_epoch(EpochRecord(epoch, 2.0, losses, 1e-3, 300, metrics, True))
        progress.on_end("all epochs done")
    return progress


def plain_console():
    return Console(file=io.StringIO(), width=200)


def test_without_a_terminal_each_epoch_is_one_plain_line():
    console = plain_console()
    progress = run(console)
    lines = console.file.getvalue().splitlines()
    assert lines[0].startswith(
        "epoch 1/2  loss 0.7500 (view 0.5000, buy 0.2500)  150 pairs/s  left "
    )
    assert f"  {METRIC} 0.2500 best  150 pairs/s  left 0:00" in lines[1]
    assert lines[2:] == ["Training ended: all epochs done"]
    assert progress.epoch == 2
    assert "\x1b" not in console.file.getvalue()


def test_a_resumed_run_says_from_where():
    console = plain_console()
    run(console, resumed=7)
    lines = console.file.getvalue().splitlines()
    assert lines[0] == "Resumed after epoch 7"
    assert lines[1].startswith("epoch 8/9")


def test_on_a_terminal_only_validated_epochs_stay():
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    run(console)
    text = console.file.getvalue()
    assert "epoch 2/2  loss 0.7500" in text
    assert "epoch 1/2  loss" not in text
    assert "pairs/s" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # cursor hidden, then shown


def test_the_cursor_comes_back_after_an_error():
    console = Console(file=io.StringIO(), width=120, force_terminal=True)

    def interrupted():
        with closing(TrainingProgress(METRIC, console)) as progress:
            progress.on_start(2, 3, 0)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert console.file.getvalue().count("\x1b[?25h") == 1


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00"), (7.4, "0:07"), (754.0, "12:34"), (3723.0, "1:02:03")]
)
def test_durations(seconds, text):
    assert duration(seconds) == text
