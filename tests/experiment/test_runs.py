"""Runs from a dataset folder to an evaluated artifact, killed and resumed on the way."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cigf.data.dataset_store import load_split, save_split
from cigf.data.options import PrepareOptions
from cigf.data.prepare import prepare
from cigf.data.synthetic import checkerboard, generate_log
from cigf.distributed.exchange import Ranks
from cigf.distributed.trainer import RankTrainer
from cigf.errors import ArtifactError, ConfigError, DataError, OutputError
from cigf.experiment import cells, evaluating, training
from cigf.experiment.config import load_experiment
from cigf.experiment.devices import choose_device
from cigf.experiment.evaluating import evaluate_references, evaluate_run
from cigf.experiment.training import train_run
from cigf.graph.bipartite import BehaviorGraph
from cigf.inference.artifact import load_artifact
from cigf.training.checkpoints import Checkpoints
from cigf.training.events import Listener
from cigf.training.trainer import Trainer

QUICK = [
    "training.learning_rate=0.01",
    "training.epochs=12",
    "training.evaluate_every=2",
    "sampling.batch_size=5",
]


@pytest.fixture
def dataset(tmp_path):
    save_split(checkerboard(), tmp_path / "data")
    return tmp_path / "data"


def quick(*settings):
    return load_experiment(None, [*QUICK, *settings])


class StopAt(Listener):
    def __init__(self, epoch):
        self.epoch = epoch

    def on_step(self, epoch, step, n_pairs):
        if epoch == self.epoch:
            raise KeyboardInterrupt


class OneRank(Ranks):
    """All that is asked of several, answered by one."""

    def gather(self, *own):
        return own

    def reduce(self, table):
        return table

    def abandon(self):
        pass


def model_bits(run):
    return load_file(run / "artifact" / "model.safetensors")


def same_bits(one, two):
    first, second = model_bits(one), model_bits(two)
    return all(torch.equal(first[name], second[name]) for name in first)


def test_a_run_ends_with_everything_in_its_folder(dataset, tmp_path):
    fitted = train_run(dataset, tmp_path / "run", quick("training.epochs=150"))
    run = tmp_path / "run"
    info = json.loads((run / "run.json").read_text())
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert info["status"] == "finished"
    assert info["epochs"] == len(lines) == fitted.training.epochs
    assert lines[1]["metrics"]["ndcg@10/1+99"] > 0
    assert load_experiment(run / "config.toml") == quick("training.epochs=150")
    result = evaluate_run(run)
    assert result["n"] == {"all": 13, "touched": 0, "new": 13}
    assert result["metrics"]["full"]["all"]["hr@1"] == 1.0  # the board has one right answer
    assert result["reference"]["popularity"]["full"]["all"]["hr@1"] < 1.0
    assert set(result["reference"]) == {"popularity", "touched_first"}
    assert json.loads((run / "evaluation.json").read_text()) == result


@pytest.mark.parametrize("learned", ["train", "all"])
def test_the_artifact_knows_the_graph_of_its_representations(tmp_path, learned):
    log = generate_log(61, 43, 3001, generator=np.random.default_rng(0))
    prepare(log, tmp_path / "data", PrepareOptions())
    settings = quick("training.epochs=2", f"data.train_on={learned}")
    train_run(tmp_path / "data", tmp_path / "run", settings)
    artifact = load_artifact(tmp_path / "run")
    assert (artifact.learned.target.nnz < artifact.history.target.nnz) == (learned == "train")
    with torch.no_grad():
        encoded = artifact.model.encode(artifact.graph)
    assert torch.equal(encoded.users, artifact.representations.users)
    assert torch.equal(encoded.items, artifact.representations.items)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(dataset, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_run(dataset, tmp_path / name, quick(f"seed={seed}"))
    assert same_bits(tmp_path / "a", tmp_path / "b")
    assert not same_bits(tmp_path / "a", tmp_path / "c")


def test_interrupted_and_resumed_gives_the_bits_of_one_never_stopped(dataset, tmp_path):
    train_run(dataset, tmp_path / "whole", quick())
    for epoch in (3, 8):
        with pytest.raises(KeyboardInterrupt):
            train_run(
                dataset,
                tmp_path / "parts",
                None if epoch > 3 else quick(),
                resume=epoch > 3,
                listener=StopAt(epoch),
            )
    assert not (tmp_path / "parts" / "artifact").exists()
    with pytest.raises(ArtifactError, match="this run has no artifact yet"):
        evaluate_run(tmp_path / "parts")
    train_run(dataset, tmp_path / "parts", resume=True)
    assert same_bits(tmp_path / "whole", tmp_path / "parts")

    def epochs(run):
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        return [(line["epoch"], line["losses"]) for line in lines]

    assert epochs(tmp_path / "whole") == epochs(tmp_path / "parts")


TRAIN = """
import sys
from pathlib import Path
from cigf.experiment.config import load_experiment
from cigf.experiment.training import train_run
dataset, run, *settings = sys.argv[1:]
resume = Path(run, "run.json").exists()
config = None if resume else load_experiment(None, settings)
train_run(Path(dataset), Path(run), config, resume=resume)
"""


def test_killed_at_random_moments_and_resumed_gives_the_same_bits(dataset, tmp_path):
    settings = [*QUICK, "training.epochs=36", "training.checkpoint_seconds=0.01"]
    train_run(dataset, tmp_path / "whole", load_experiment(None, settings))
    run = tmp_path / "killed"
    command = [sys.executable, "-c", TRAIN, str(dataset), str(run), *settings]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    kills = 0
    for delay in (0.05, 0.11, 0.17):
        process = subprocess.Popen(command, env=environment)
        deadline = time.monotonic() + 60
        # Wait until this part of the run makes progress, then kill it in the middle.
        last = run / "checkpoints" / "last.safetensors"
        seen = last.stat().st_mtime_ns if last.exists() else 0
        while time.monotonic() < deadline and process.poll() is None:
            if last.exists() and last.stat().st_mtime_ns != seen:
                break
            time.sleep(0.005)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills  # at least one came before the end
    subprocess.run(command, env=environment, check=True)
    assert same_bits(tmp_path / "whole", run)


class _Stop(Listener):
    """Ends a run in the middle of its third epoch."""

    def on_step(self, epoch, step, n_pairs):
        if (epoch, step) == (3, 2):
            raise KeyboardInterrupt


@pytest.mark.parametrize("kind", ["budget", "neighbors"])
def test_a_run_on_subgraphs_goes_on_with_the_same_bits(dataset, tmp_path, kind):
    sizes = ("users_per_subgraph=3", "subgraph_nodes=1", "neighbors_per_node=1")
    config = quick(f"sampling.subgraph={kind}", *(f"sampling.{size}" for size in sizes))
    train_run(dataset, tmp_path / "whole", config)
    with pytest.raises(KeyboardInterrupt):
        train_run(dataset, tmp_path / "stopped", config, listener=_Stop())
    train_run(dataset, tmp_path / "stopped", resume=True)
    assert same_bits(tmp_path / "whole", tmp_path / "stopped")
    train_run(dataset, tmp_path / "full", quick())
    assert not same_bits(tmp_path / "whole", tmp_path / "full")


def test_a_model_that_knows_no_subgraphs_says_so_before_training(dataset, tmp_path):
    config = load_experiment(None, ["model.name=dmf", "sampling.subgraph=budget"])
    with pytest.raises(ConfigError, match=r"sampling\.subgraph: model 'dmf' cannot be trained"):
        train_run(dataset, tmp_path / "run", config)


def test_an_existing_run_is_not_overwritten(dataset, tmp_path):
    train_run(dataset, tmp_path / "run", quick("training.epochs=1"))
    with pytest.raises(OutputError, match=r"exists already; .* --force"):
        train_run(dataset, tmp_path / "run", quick())
    train_run(dataset, tmp_path / "run", quick("training.epochs=2"), force=True)
    assert json.loads((tmp_path / "run" / "run.json").read_text())["epochs"] == 2


def test_resuming_needs_a_run(dataset, tmp_path):
    with pytest.raises(ArtifactError, match=r"not the folder of a run \(no run\.json\)"):
        train_run(dataset, tmp_path / "nothing", resume=True)
    assert not (tmp_path / "nothing").exists()


def test_resuming_with_another_configuration_is_refused(dataset, tmp_path):
    train_run(dataset, tmp_path / "run", quick("training.epochs=1"))
    with pytest.raises(ArtifactError, match="of other data or another configuration"):
        train_run(dataset, tmp_path / "run", quick("training.epochs=2"), resume=True)


def test_learning_from_all_pairs_validates_nothing(dataset, tmp_path):
    fitted = train_run(dataset, tmp_path / "run", quick("data.train_on=all", "training.epochs=2"))
    assert fitted.valid is None
    assert fitted.training.selected_epoch == 2


def test_an_old_run_survives_a_new_one_that_is_refused(dataset, tmp_path):
    train_run(dataset, tmp_path / "run", quick("training.epochs=1"))
    with pytest.raises(ConfigError, match="device 'tpu' is unknown"):
        train_run(dataset, tmp_path / "run", quick(), device="tpu", force=True)
    assert (tmp_path / "run" / "artifact" / "manifest.json").exists()


@pytest.mark.parametrize(
    ("settings", "ranks", "message"),
    [
        (["model.name=dmf", "sampling.subgraph=budget"], None, "'dmf' cannot be trained on sub-"),
        (["sampling.subgraph=budget", "sampling.unit=interactions"], None, "grows around users"),
        (["sampling.subgraph=budget"], OneRank(0, 1), "not supported on several ranks"),
        (["model.name=ngcf"], OneRank(0, 1), "NGCF cannot be trained on several ranks"),
    ],
)
def test_an_old_run_survives_options_that_do_not_go_together(
    dataset, tmp_path, settings, ranks, message
):
    run = tmp_path / "run"
    train_run(dataset, run, quick("training.epochs=1"))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=message):
        train_run(dataset, run, load_experiment(None, settings), force=True, ranks=ranks)
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_metric_of_a_group_can_select(dataset, tmp_path):
    fitted = train_run(dataset, tmp_path / "run", quick("training.metric=ndcg@10/full/new"))
    assert fitted.valid["ndcg@10/full/new"] > 0


def test_another_dataset_is_refused(dataset, tmp_path):
    train_run(dataset, tmp_path / "run", quick("training.epochs=1"))
    save_split(checkerboard(n_users=19), tmp_path / "other")
    with pytest.raises(DataError, match="its training data are not those of the run"):
        evaluate_run(tmp_path / "run", dataset=tmp_path / "other")


def test_per_user_values_are_written(dataset, tmp_path):
    import polars as pl

    train_run(dataset, tmp_path / "run", quick("training.epochs=1"))
    result = evaluate_run(tmp_path / "run", per_user=tmp_path / "users.parquet", n_bootstrap=50)
    table = pl.read_parquet(tmp_path / "users.parquet")
    assert len(table) == 13
    mean = table["ndcg@10/full/all"].mean()
    assert mean == pytest.approx(result["metrics"]["full"]["all"]["ndcg@10"])
    low, high = result["intervals"]["full"]["all"]["ndcg@10"]
    assert low <= mean <= high


def test_references_need_no_model(dataset):
    result = evaluate_references(checkerboard())
    assert set(result) == {"popularity", "touched_first"}


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    with pytest.raises(
        ConfigError, match="device 'tpu' is unknown; devices are auto, cpu and cuda"
    ):
        choose_device("tpu")
    if not torch.cuda.is_available():
        assert choose_device("auto") == torch.device("cpu")
        with pytest.raises(ConfigError, match="no GPU is usable here"):
            choose_device("cuda")


def test_a_damaged_run_file_is_refused(dataset, tmp_path):
    train_run(dataset, tmp_path / "run", quick("training.epochs=1"))
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"run\.json: damaged"):
        evaluate_run(tmp_path / "run")


ELSEWHERE = torch.device("meta")
"""A device that computes nothing, and says so when it is asked to."""


def asked():
    return pytest.raises((NotImplementedError, RuntimeError), match="meta")


def test_a_fitted_model_is_left_on_the_cpu(dataset, tmp_path, monkeypatch):
    brought, bring = [], torch.nn.Module.cpu
    monkeypatch.setattr(torch.nn.Module, "cpu", lambda self: brought.append(self) or bring(self))
    fitted = train_run(dataset, tmp_path / "run", quick("training.epochs=1"))
    assert brought == [fitted.model]


def test_a_run_is_judged_on_the_device_that_is_named(dataset, tmp_path, monkeypatch):
    cell = cells.CellFolder(tmp_path)
    train_run(dataset, cell.run, quick("training.epochs=1"))
    with asked():
        cells._rank(cell, load_split(dataset), ELSEWHERE)
    monkeypatch.setattr(evaluating, "choose_device", lambda name: ELSEWHERE)
    with asked():
        evaluate_run(cell.run)


@pytest.mark.parametrize(("trainer", "there"), [(Trainer, True), (RankTrainer, False)])
def test_ranks_draw_on_the_cpu_what_all_draw_alike(dataset, tmp_path, monkeypatch, trainer, there):
    class Built(Exception):
        pass

    def build(*arguments, on_device, learns):
        assert on_device is there
        raise Built

    learned = load_split(dataset).train
    monkeypatch.setattr(training, "build_sampler", build)
    graph, model = BehaviorGraph.build(learned.interactions), training._fresh(learned, quick())
    kept = Checkpoints(tmp_path / "checkpoints", "")
    with pytest.raises(Built):
        training._fit(model, learned, quick(), graph, None, kept, None, trainer)
