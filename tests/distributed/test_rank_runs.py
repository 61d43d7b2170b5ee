"""Whole runs on several ranks: processes that talk through Gloo."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from socket import socket

import polars as pl
import pytest
import torch
from processes import run_ranks
from safetensors.torch import load_file

from cigf.errors import ArtifactError
from cigf.experiment.config import load_experiment
from cigf.experiment.folder import RunFolder
from cigf.experiment.training import train_run
from cigf.training.checkpoints import Checkpoints
from cigf.training.shards import find_shards, read_shards
from command_line import run

OPTIONS = ["training.epochs=3", "training.evaluate_every=1", "sampling.batch_size=16"]
OPTIONS += ["model.embedding_size=5", "training.learning_rate=0.01"]
SETTINGS = [word for option in OPTIONS for word in ("--set", option)]
STEPS = 4  # an epoch's


@pytest.fixture(scope="module")
def alone(dataset, tmp_path_factory):
    """The run of one process, without torchrun."""
    out = tmp_path_factory.mktemp("alone") / "run"
    train_run(dataset, out, load_experiment(None, OPTIONS), device="cpu")
    return out


@pytest.fixture(scope="module")
def killed(dataset, tmp_path_factory):
    """A run of two ranks of which one was killed in the second epoch, and what they printed."""
    folder = tmp_path_factory.mktemp("killed")
    words = ["train", dataset, "--out", folder / "run", *SETTINGS]
    codes, printed = run_ranks(2, *words, out=folder / "first", dies={1: STEPS + 2})
    return folder / "run", codes, printed


def copied(run_folder, target):
    shutil.copytree(run_folder, target)
    return target


def assert_same(run_folder, other):
    """Losses, metrics, and the artifact are those of another run."""
    for mine, theirs in zip(lines(run_folder), lines(other), strict=True):
        assert mine["losses"] == pytest.approx(theirs["losses"], rel=1e-4)
        assert mine["metrics"] == theirs["metrics"]
        assert (mine["pairs"], mine["best"]) == (theirs["pairs"], theirs["best"])
    infos = [RunFolder(each).read_info() for each in (run_folder, other)]
    assert all(info["status"] == "finished" for info in infos)
    assert infos[0]["valid"] == infos[1]["valid"]
    names = sorted(path.name for path in (other / "artifact").glob("*.safetensors"))
    assert sorted(path.name for path in (run_folder / "artifact").glob("*.safetensors")) == names
    for name in names:
        mine, theirs = (load_file(each / "artifact" / name) for each in (run_folder, other))
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-5)


def lines(run_folder):
    return [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]


def test_a_rank_that_dies_ends_the_run_with_one_message(killed):
    _, codes, ((_, first), (_, second)) = killed
    assert codes == [1, -9]
    *_, message = first.splitlines()
    assert message.startswith("Error: rank 1 of 2 has ended; what was learned until the last check")
    assert first.count("Error") == 1
    assert second == ""


def test_only_rank_0_prints_and_writes(killed):
    run_folder, _, ((_, first), (_, second)) = killed
    assert "epoch 1/3" in first
    assert second == ""
    assert len(lines(run_folder)) == 1
    assert RunFolder(run_folder).read_info()["status"] == "training"


def test_three_ranks_go_on_where_two_were_stopped(dataset, alone, killed, tmp_path):
    target = copied(killed[0], tmp_path / "run")
    words = ["train", dataset, "--out", target, "--resume", "--json"]
    codes, ((out, first), *others) = run_ranks(3, *words, out=tmp_path / "again")
    assert codes == [0, 0, 0], first
    assert "Resumed after epoch 1" in first
    assert json.loads(out)["epochs"] == 3
    assert others == [("", "")] * 2
    assert_same(target, alone)


def test_one_process_goes_on_where_two_ranks_were_stopped(dataset, alone, killed, tmp_path):
    target = copied(killed[0], tmp_path / "run")
    train_run(dataset, target, resume=True)
    assert_same(target, alone)
    assert find_shards(target / "checkpoints", "last") is None  # replaced by a later one


def test_of_two_checkpoints_the_later_one_counts(dataset, killed, tmp_path):
    target = copied(killed[0], tmp_path / "run")
    stopped = target / "checkpoints"
    shards = find_shards(stopped, "last")
    saved = {path.name: path.read_bytes() for path in shards.path.iterdir()}
    pointer = (stopped / "last-shards.json").read_bytes()
    train_run(dataset, target, resume=True)
    shards.path.mkdir()
    for name, data in saved.items():
        (shards.path / name).write_bytes(data)
    (stopped / "last-shards.json").write_bytes(pointer)
    checkpoints = Checkpoints(stopped, shards.metadata["fingerprint"])
    assert checkpoints._load("last")[0].epoch == 3
    (stopped / "last.safetensors").write_bytes(b"half")
    with pytest.raises(ArtifactError, match=r"last\.safetensors: not a readable checkpoint"):
        checkpoints._load("last")
    (stopped / "last.safetensors").unlink()
    assert checkpoints._load("last")[0].epoch == 1


def test_damaged_shards(killed, tmp_path):
    target = copied(killed[0], tmp_path / "run") / "checkpoints"
    found = find_shards(target, "last")
    part = sorted(found.path.iterdir())[0]
    part.write_bytes(part.read_bytes()[:50])
    with pytest.raises(ArtifactError, match="not a readable checkpoint"):
        read_shards(found)
    (target / "last-shards.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"last-shards.json: not a readable checkpoint"):
        find_shards(target, "last")


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.parametrize("missing", [0, 1])
def test_missing_shards(killed, tmp_path, name, missing):
    target = copied(killed[0], tmp_path / "run") / "checkpoints"
    found = find_shards(target, name)
    files = sorted(found.path.iterdir())
    assert len(files) == 2
    files[missing].unlink()
    with pytest.raises(ArtifactError, match=r"not a readable checkpoint \(a file is missing: "):
        read_shards(found)


def test_evaluating_and_recommending_are_shared(alone, tmp_path):
    run("evaluate", alone, "--per-user", tmp_path / "one.parquet")
    wanted = RunFolder(alone).evaluation.read_text()
    RunFolder(alone).evaluation.unlink()
    words = ["evaluate", alone, "--per-user", tmp_path / "two.parquet"]
    codes, ((_, first), second) = run_ranks(2, *words, out=tmp_path / "evaluate")
    assert codes == [0, 0], first
    assert second == ("", "")
    assert RunFolder(alone).evaluation.read_text() == wanted
    assert pl.read_parquet(tmp_path / "one.parquet").equals(
        pl.read_parquet(tmp_path / "two.parquet")
    )

    run("recommend", alone, "--all", "--out", tmp_path / "lists.parquet")
    words = ["recommend", alone, "--all", "--out", tmp_path / "shared.parquet"]
    codes, ((_, first), second) = run_ranks(2, *words, out=tmp_path / "recommend")
    assert codes == [0, 0], first
    assert second == ("", "")
    lists, shared = (pl.read_parquet(tmp_path / f"{name}.parquet") for name in ("lists", "shared"))
    assert shared.equals(lists)


def test_what_all_ranks_refuse_is_told_once(dataset, killed, tmp_path):
    words = ["train", dataset, "--out", killed[0]]
    codes, ((_, first), (_, second)) = run_ranks(2, *words, out=tmp_path / "refused")
    assert codes == [2, 2] or codes == [2, 1]
    assert first.startswith(f"Error: {killed[0]} exists already; ")
    assert second == ""


def test_other_commands_are_not_shared(dataset, tmp_path, monkeypatch):
    for name, value in {
        "RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "x",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    result = run("doctor", dataset, code=2)
    assert "cigf doctor: 2 processes were started for it" in result.stderr
    monkeypatch.setenv("RANK", "1")
    assert run("doctor", dataset, code=2).stderr == ""


def test_torchrun_starts_again_what_was_killed(dataset, alone, tmp_path):
    program = Path(__file__).with_name("dying.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "--max-restarts", "1"]
    command += ["--log-dir", str(tmp_path / "logs")]  # else it leaves a folder behind
    command += [str(program), "train", str(dataset), "--out", str(tmp_path / "run"), *SETTINGS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Error: rank 1 of 2 has ended") <= 1
    assert "Resumed after epoch 1" in done.stderr
    assert_same(tmp_path / "run", alone)


def test_two_launchers_start_again_what_was_killed_by_one(dataset, alone, tmp_path):
    """As on two machines: the one whose process was not killed counts no restart."""
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--rdzv-id", "two"]
    launcher += ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}"]
    launcher += ["--nproc-per-node", "1", "--max-restarts", "1"]
    launcher += ["--log-dir", str(tmp_path / "logs")]
    command = ["train", str(dataset), "--out", str(tmp_path / "run"), *SETTINGS]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    dying = str(Path(__file__).with_name("dying.py"))
    started = [
        subprocess.Popen(
            [*launcher, *program, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**environment, "DIES": dies},
        )
        for program, dies in ((["-m", "cigf"], ""), ([dying], "always"))
    ]
    try:
        printed = [process.communicate(timeout=120)[1] for process in started]
    finally:
        for process in started:
            process.terminate()
    assert [process.returncode for process in started] == [0, 0], printed
    assert "Resumed after epoch 1" in "".join(printed)
    assert_same(tmp_path / "run", alone)
