"""Many cells at a time: order, memory, failures, and that none is left behind."""

import pytest
from grids import Ended

from cigf.experiment.cells import CellFolder, Outcome, Progress
from cigf.experiment.config import ExperimentConfig
from cigf.experiment.running import Cell, Watcher, folder_of, has_room, run_cells

MB = 2**20


@pytest.fixture
def cells(tmp_path):
    made = []
    for seed in range(2):
        for row in ("a", "b"):
            folder = folder_of(tmp_path, row, seed)
            folder.begin(ExperimentConfig(seed=seed))
            made.append(Cell(row, seed, ExperimentConfig(seed=seed), folder))
    return made


def finish(cell):
    cell.folder.ranks.touch()
    cell.folder.end(Outcome("finished"))


class Slow:
    """Ends at the third look."""

    def __init__(self, cell, alive):
        self.cell, self.alive, self.looks = cell, alive, 0
        alive.append(self)

    def poll(self):
        self.looks += 1
        if self.looks < 3:
            return None
        finish(self.cell)
        return 0

    def close(self):
        self.alive.remove(self)

    stop = close


class Diary(Watcher):
    def __init__(self):
        self.lines = []

    def on_plan(self, cells):
        self.lines.append(len(cells))

    def on_start(self, cell):
        self.lines.append(f"+{cell.name}")

    def on_end(self, cell, outcome):
        self.lines.append(f"{cell.name} {outcome.status} {outcome.error}".strip())


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    monkeypatch.setattr("cigf.experiment.running._BETWEEN_LOOKS", 0.0)


def test_as_many_run_at_a_time_as_were_asked_for(cells):
    alive, most = [], []

    def start(cell):
        process = Slow(cell, alive)
        most.append(len(alive))
        return process

    run_cells(cells, start, jobs=3)
    assert most == [1, 2, 3, 3]
    assert alive == []
    assert all(cell.folder.is_finished() for cell in cells)


def test_finished_cells_are_kept_and_failed_ones_tried_again(cells):
    finish(cells[0])
    cells[1].folder.end(Outcome("failed", "before"))
    diary = Diary()

    def start(cell):
        assert cell.folder.outcome() is None  # the old failure is forgotten
        finish(cell)
        return Ended(0)

    run_cells(cells, start, watcher=diary)
    assert diary.lines[:3] == [4, "+b, seed 0", "b, seed 0 finished"]
    assert len(diary.lines) == 7


@pytest.mark.parametrize(
    ("code", "log", "message"),
    [
        (-9, "", "killed by signal 9, perhaps for want of memory"),
        (-15, "", "killed by signal 15"),
        (1, "Traceback\nImportError: torch\n\n", "ImportError: torch"),
        (3, "", "exit code 3"),
    ],
)
def test_one_that_dies_does_not_take_the_others_down(cells, code, log, message):
    diary = Diary()

    def start(cell):
        if cell.row == "a":
            cell.folder.log.write_text(log)
            return Ended(code)
        finish(cell)
        return Ended(0)

    run_cells(cells, start, watcher=diary)
    assert f"a, seed 1 failed {message}" in diary.lines
    assert "b, seed 1 finished" in diary.lines
    assert cells[0].folder.outcome().error == message


def test_none_is_left_running_when_it_is_stopped(cells):
    alive = []

    class Impatient(Watcher):
        def on_look(self, running):
            if len(running) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cells(cells, lambda cell: Slow(cell, alive), jobs=2, watcher=Impatient())
    assert alive == []


def test_memory_decides_whether_one_more_begins(cells):
    a, b, later_a, later_b = cells
    assert has_room(b, [], cells, lambda: 0)  # one always runs
    assert has_room(b, [a], cells, lambda: None)  # the system does not say
    assert not has_room(b, [a], cells, lambda: 2000 * MB)  # 1024 each, until something is known
    assert has_room(b, [a], cells, lambda: 2100 * MB)
    a.folder.write_progress(Progress(peak_mb=300.0))
    assert not has_room(later_a, [b], cells, lambda: 599 * MB)  # b may need as much as a
    assert has_room(later_a, [b], cells, lambda: 601 * MB)
    b.folder.write_progress(Progress(peak_mb=900.0))
    assert has_room(later_a, [b], cells, lambda: 301 * MB)  # b has what it needs
    assert not has_room(later_b, [a], cells, lambda: 899 * MB)


def test_a_missing_or_damaged_file_is_no_progress(tmp_path):
    folder = CellFolder(tmp_path)
    assert folder.progress() == Progress()
    (tmp_path / "progress.json").write_text("{")
    assert folder.progress() == Progress()
    assert folder.outcome() is None
