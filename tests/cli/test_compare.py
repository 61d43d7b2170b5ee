"""cigf compare: in this process with cells run in it, and once for real, stopped and continued."""

import io
import json
import re
import signal
import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest
from rich.console import Console

from cigf.cli.comparison_progress import ComparisonProgress
from cigf.experiment.cell_process import _environment, start_processes
from cigf.experiment.cells import CellFolder, Outcome, Progress, run_cell
from cigf.experiment.config import ExperimentConfig
from cigf.experiment.running import Cell, folder_of
from command_line import fails, run

QUICK = ("--set", "training.epochs=2", "--set", "training.evaluate_every=1")


class Ended:
    def __init__(self, code):
        self.code = code

    def poll(self):
        return self.code

    def stop(self):
        pass

    close = stop


@pytest.fixture
def in_process(monkeypatch):
    """Run cells here: a process of its own costs seconds to start."""

    def start_here(dataset, device, jobs):
        return lambda cell: Ended(run_cell(dataset, cell.folder, device).status != "finished"), 1

    monkeypatch.setattr("cigf.experiment.cell_process.start_processes", start_here)


def test_compare_prints_tables_and_names_what_it_wrote(dataset, tmp_path, in_process):
    out = tmp_path / "out"
    options = ("--models", "autorec,lightgcn", "--seeds", 1, "--out", out, *QUICK)
    result = run("compare", dataset, *options)
    assert "lightgcn, seed 0: started" in result.stderr
    assert re.search(r"autorec, seed 0: hr@10/full 0\.\d+.* MB \(1/2\)", result.stderr)
    assert f"Wrote {out / 'report.html'}" in result.stderr
    for words in ("touched-first", "lightgcn", "NDCG@10 new", "peak MB"):
        assert words in result.stdout
    before = (out / "report.html").read_bytes()
    again = run("compare", dataset, *options)
    assert "2 of 2 runs are finished already" in again.stderr
    assert again.stdout == result.stdout
    values = json.loads(run("compare", dataset, "--out", out, "--only-report", "--json").stdout)
    assert {row["model"] for row in values["costs"]} == {"autorec", "lightgcn"}
    assert len(values["tests"]) == 3 * 12  # two rules and a model, in every figure
    run("compare", dataset, *options)
    assert (out / "report.html").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--models", "cigff"), "model 'cigff' is unknown; did you mean cigf?"),
        ((), "give --models A,B,C to compare, or --only-report"),
        (("--only-report", "--models", "cigf"), "give it no models or options"),
        (("--only-report",), "is not the folder of a comparison"),
        (("--models", "cigf", "--device", "tpu"), "tpu"),
    ],
)
def test_compare_refuses_and_writes_nothing(dataset, tmp_path, options, message):
    result = run("compare", dataset, "--out", tmp_path / "out", *options, code=2)
    assert message in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_take_the_data_says_so_before_training(tmp_path, events):
    run(
        "data",
        "prepare",
        events,
        "--behaviors",
        "buy",
        "--on-error",
        "skip",
        "--out",
        tmp_path / "b",
    )
    message = fails("compare", tmp_path / "b", "--models", "dmf,nmtr", "--out", tmp_path / "out")
    assert "nmtr: this model combines several behaviors" in message
    assert not (tmp_path / "out").exists()


def test_threads_are_shared_by_the_processes_unless_the_environment_says_so(tmp_path, monkeypatch):
    assert _environment({"HOME": "/"}, 3) == {"HOME": "/", "OMP_NUM_THREADS": "3"}
    assert _environment({"OMP_NUM_THREADS": "7"}, 3)["OMP_NUM_THREADS"] == "7"
    monkeypatch.setattr("cigf.experiment.cell_process.n_cores", lambda: 5)
    assert start_processes(tmp_path, "cpu", None)[1] == 5
    assert start_processes(tmp_path, "cuda", None)[1] == 1
    assert start_processes(tmp_path, "cpu", 2)[1] == 2


@pytest.fixture
def two(tmp_path):
    cells = []
    for row in ("a", "b[0]"):
        folder = folder_of(tmp_path, row, 0)
        folder.begin(ExperimentConfig())
        cells.append(Cell(row, 0, ExperimentConfig(), folder))
    return cells


FIGURES = {f"{m}/{p}": 0.25 for m in ("hr@10", "ndcg@10") for p in ("full", "1+99")}


def watch(console, cells):
    one, other = cells
    with closing(ComparisonProgress(console)) as progress:
        progress.on_plan(cells)
        for cell in cells:
            progress.on_start(cell)
        other.folder.write_progress(Progress(epoch=3, n_epochs=7))
        progress._drawn = -100.0
        progress.on_look(cells)
        progress.on_end(one, Outcome("finished", seconds=2.5, peak_mb=300.0, figures=FIGURES))
        progress.on_end(other, Outcome("failed", "the loss became nan [0]"))
    return console.file.getvalue()


def test_without_a_terminal_each_event_is_one_plain_line(two):
    two[1].folder.write_progress(Progress(epoch=2, n_epochs=7))
    lines = watch(Console(file=io.StringIO(), width=200), two).splitlines()
    assert lines == [
        "a, seed 0: started",
        "b[0], seed 0: goes on after epoch 2",
        "a, seed 0: hr@10/full 0.2500, hr@10/1+99 0.2500, ndcg@10/full 0.2500, "
        "ndcg@10/1+99 0.2500; 2.5 s, 300 MB (1/2)",
        "b[0], seed 0: failed: the loss became nan [0]",
    ]


def test_on_a_terminal_a_table_is_drawn(two):
    text = watch(Console(file=io.StringIO(), width=120, force_terminal=True), two)
    assert "seed 0: epoch 3/7" in text
    assert "2 of 2 runs" in text
    assert "1 failed" in text
    assert "b[0], seed 0: failed" in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # cursor hidden, then shown


def wait_for(condition, seconds=90):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_control_c_stops_all_processes_and_says_how_to_go_on(dataset, tmp_path):
    out = tmp_path / "out"
    words = ["compare", dataset, "--models", "autorec", "--seeds", 2, "--out", out, "--jobs", 1]
    settings = ["--set", "training.epochs=100000", "--set", "training.patience=0"]
    command = [sys.executable, "-m", "cigf", *map(str, words), *settings]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    folder = CellFolder(out / "cells" / "autorec" / "seed-0")
    wait_for(lambda: folder.progress().epoch >= 2 or process.poll() is not None)
    children = psutil.Process(process.pid).children()
    assert "another process is at work in it" in fails(*words, *settings)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert re.search(r"stopped with 0 of 2 runs finished.* Go on with the same command", err)
    assert "Traceback" not in err
    assert len(children) == 1
    assert not any(child.is_running() for child in children)
    assert folder.outcome() is None  # to be continued
