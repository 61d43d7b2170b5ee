import io

import polars as pl
from rich.console import Console

from cigf.cli.row_progress import RowProgress


def watch(console, sizes):
    frames = [pl.DataFrame({"a": range(size)}) for size in sizes]
    with RowProgress(sum(sizes), console) as progress:
        return [frame.height for frame in progress.watch(iter(frames))]


def test_without_a_terminal_each_tenth_is_one_plain_line():
    console = Console(file=io.StringIO(), width=80)
    assert watch(console, [300, 500, 10, 390]) == [300, 500, 10, 390]
    assert console.file.getvalue() == "300 of 1,200 events\n800 of 1,200 events\n"


def test_a_single_piece_says_nothing():
    console = Console(file=io.StringIO(), width=80)
    watch(console, [1200])
    assert console.file.getvalue() == ""


def test_on_a_terminal_there_is_a_bar():
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    watch(console, [300, 900])
    text = console.file.getvalue()
    assert "1,200 of 1,200 events" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1
