"""The benchmarks run on a toy log, and what they compare with is the same model."""

import gzip
import json
import re
import statistics
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.sparse import csr_array
from torch.autograd import DeviceType

from cigf.data.dataset_store import load_split
from cigf.evaluation.over_seeds import load_counts
from cigf.experiment.cells import run_cell
from cigf.experiment.comparing import Comparison
from cigf.experiment.config import load_experiment
from cigf.experiment.entries import read_entries
from cigf.graph.bipartite import BehaviorGraph
from cigf.inference.artifact import load_artifact
from cigf.inference.opened import open_artifact
from cigf.models.base import Sizes
from cigf.models.registry import build_model, parse_model_config
from cigf.sampling.config import SamplingConfig
from cigf.testing.toy import one_batch, random_matrices
from cigf.training.config import TrainingConfig
from cigf.training.events import Listener
from cigf.training.optimizers import build_optimizer

# Benchmarks are no part of the installed package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import (
    bench_ablations,
    bench_catalog,
    bench_gpu,
    bench_kills,
    bench_order,
    bench_ranks,
    bench_scale,
    bench_soak,
    rank_steps,
    results_page,
    scale_model,
    scale_parts,
)
from benchmarks.__main__ import MODULES, main
from benchmarks.bench_epoch import full_loss
from benchmarks.common import ROOT, Figure, Options, trained_run
from benchmarks.load import as_fast_as_possible, at_rate, get
from benchmarks.power_law import IJCAI, TAOBAO, Size, write_dataset
from benchmarks.process import measure
from benchmarks.scale_model import Shape
from benchmarks.served import Served
from benchmarks.shop import small_artifact
from benchmarks.straightforward import Straightforward, sample, step_seconds

L2 = 0.07
N_USERS, N_ITEMS = 23, 131
RENAMED = {
    "attention": "convolution.attention.weight",
    "attention_bias": "convolution.attention.bias",
    "gate": "head.gate",
    "gate_bias": "head.gate_bias",
}


@pytest.fixture
def matrices():
    return random_matrices()


def toy_model(matrices, **options):
    config = parse_model_config("cigf", {"embedding_size": 5, "score_scale": 7.0, **options})
    model = build_model("cigf", config, Sizes(*matrices[0].shape, len(matrices)), seed=1)
    with torch.no_grad():
        for parameter in model.parameters():  # biases begin at 0, which would hide an error
            parameter += 0.1 * torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(2)
            )
    return model


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # PyTorch 2.11 asks for them
@pytest.mark.parametrize("n_layers", [1, 2, 3])
def test_the_straightforward_version_has_the_same_loss_and_gradients(matrices, n_layers):
    model = toy_model(matrices, n_layers=n_layers)
    plain = Straightforward(model, matrices, L2)
    batch = one_batch(matrices)
    ours = full_loss(model, BehaviorGraph.build(matrices), batch, L2)
    theirs = plain.loss(batch)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=0)
    ours.backward()
    theirs.backward()
    expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    for name, parameter in plain.named_parameters():
        wanted = expected.get(RENAMED.get(name, name), torch.zeros(()))
        found = torch.zeros(()) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found, wanted.expand_as(found), rtol=1e-4, atol=1e-5)


def test_the_l2_term_in_its_loss_is_the_one_in_our_optimizer(matrices):
    model = toy_model(matrices)
    plain = Straightforward(model, matrices, L2)
    batch = one_batch(matrices)
    options = TrainingConfig.parse({"optimizer": "sgd", "learning_rate": 0.01, "l2": L2})
    optimizer = build_optimizer(model, options)
    losses = model.loss(model.encode(BehaviorGraph.build(matrices), batch.users), batch)
    losses.sum().backward()
    optimizer.step()
    plain.loss(batch).backward()
    torch.optim.SGD(plain.parameters(), 0.01).step()
    state = model.state_dict()
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(
            parameter.detach(), state[RENAMED.get(name, name)], rtol=1e-4, atol=1e-6
        )


def test_other_parts_of_the_model_are_refused(matrices):
    with pytest.raises(ValueError, match="only the default parts"):
        Straightforward(toy_model(matrices, head="bilinear"), matrices, L2)


def test_its_sampling_follows_the_published_protocol(matrices):
    users = np.array([3, 0, 5, 1])  # user 0 has nothing
    batch = sample(matrices, users, 4, np.random.default_rng(0))
    for matrix, pairs in zip(matrices, batch.pairs, strict=True):
        dense = matrix.toarray()[users]
        rows = pairs.rows.numpy()
        assert dense[rows, pairs.positives].all()
        assert not dense[rows, pairs.negatives].any()
        counts = np.bincount(rows, minlength=len(users))
        np.testing.assert_array_equal(counts, np.minimum(dense.sum(1), 4))


def test_its_steps_learn(matrices):
    plain = Straightforward(toy_model(matrices), matrices, 0.0)
    batch = one_batch(matrices)
    before = plain.loss(batch).item()
    sampling = SamplingConfig.parse({"batch_size": 3, "positives_per_user": 4})
    training = TrainingConfig.parse({"learning_rate": 0.01})
    seconds = step_seconds(plain, matrices, sampling, training, n_steps=29)
    assert len(seconds) == 29
    assert min(seconds) > 0
    assert plain.loss(batch).item() < before


def test_the_memory_of_a_process_is_its_own_and_not_its_parent_s():
    ballast = np.ones(30_000_000)  # 240 MB in this process
    small = measure([sys.executable, "-S", "-c", "pass"])["peak_mb"]
    large = measure([sys.executable, "-S", "-c", "x = b'x' * 100_000_000"])
    assert ballast[-1] == 1.0
    assert small < 60
    assert 90 < large["peak_mb"] - small < 140
    assert 0 < large["seconds"] < 20


def test_a_command_that_fails_is_no_measurement():
    with pytest.raises(SystemExit, match=r"exit code 3\nnot today"):
        measure([sys.executable, "-c", "import sys; print('not today', file=sys.stderr); exit(3)"])


def test_a_figure_tells_whether_it_keeps_its_bound():
    line = Figure("epoch", 1.14159, "s", values=(1.1, 1.2), must=1.2).line(7)
    assert line == "  epoch    1.14 s      must: <= 1.2 s  (1.10 1.20)"
    assert Figure("hr", 0.58, must=0.59, at_least=True).line(2).endswith("must: >= 0.59  MISSED")
    assert Figure("hr", 0.59, must=0.59, at_least=True).kept
    assert Figure("fast", None, "s", must=60).line(4) == "  fast  never       must: <= 60 s  MISSED"


def test_without_data_the_reason_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("CIGF_DATA", str(tmp_path / "nowhere"))
    assert main([]) == 0
    assert "Nothing measured: there is no" in capsys.readouterr().out


def test_an_unknown_benchmark_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["epoch", "speed"])
    assert "'speed' is not a benchmark; there are prepare, " in capsys.readouterr().err


@pytest.fixture(scope="module")
def toy_data(tmp_path_factory):
    """A log in the form of the real one, and a work folder that the tests share."""
    folder = tmp_path_factory.mktemp("benchmarks")
    generator = np.random.default_rng(5)
    taobao = folder / "taobao15k"
    taobao.mkdir()
    lines, test = ["user_id,item_id,behavior"], ["user_id,item_id"]
    for user in range(N_USERS):
        items = generator.permutation(N_ITEMS)
        test.append(f"{user},{items[0]}")
        for behavior, start, stop in (("view", 0, 19), ("cart", 5, 13), ("buy", 7, 12)):
            lines += [f"{user},{item},{behavior}" for item in items[start:stop]]
    lines += [f"0,{item},view" for item in range(N_ITEMS)]
    with gzip.open(taobao / "events.csv.gz", "wt") as file:
        file.write("\n".join([*lines, *lines[-3:]]) + "\n")
    (taobao / "test.csv").write_text("\n".join(test) + "\n")
    return folder


def figures_of(name, data, capsys, repeats=2, *more):
    arguments = [name, *more, "--data", str(data), "--work", str(data / "work")]
    arguments += ["--repeats", str(repeats)]
    assert main([*arguments, "--seeds", "3,5", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["benchmark"] == name
    assert printed["machine"]["torch"] == torch.__version__
    return {figure["name"]: figure for figure in printed["figures"]}


def test_epoch(toy_data, capsys):
    found = figures_of("epoch", toy_data, capsys)
    ours, plain = found["epoch, median"], found["straightforward, one step"]
    assert len(ours["values"]) == len(plain["values"]) == 2
    assert found["straightforward, 1 steps"]["value"] == pytest.approx(plain["value"])
    assert found["times quicker"]["value"] == pytest.approx(plain["value"] / ours["value"])
    assert found["relative difference of the losses"]["value"] < 1e-4


def test_step(toy_data, capsys):
    found = figures_of("step", toy_data, capsys, repeats=1)
    parts = ("propagation", "propagation, gradient", "scoring", "optimizer, L2 inside")
    whole = found["whole step, its sampling not counted"]["value"]
    glue = found["glue: the whole less its parts"]["value"]
    assert whole == pytest.approx(glue + sum(found[part]["value"] for part in parts))
    assert found["operations"]["value"] < found["operations without compiled kernels"]["value"]
    floors = [found[f"{name}: floor"]["value"] for name in ("scoring", "optimizer", "sampling")]
    propagation = found["propagation and its gradient: floor"]["value"]
    assert found["all: floor"]["value"] == pytest.approx(propagation + sum(floors))


def interpreter(path, line):
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
    return str(path)


def test_recbole(toy_data, capfd, tmp_path):
    stand_in = Path(__file__).with_name("recbole_stand_in")
    line = f'PYTHONPATH="{stand_in}" exec "{sys.executable}" "$@"'
    python = interpreter(tmp_path / "python", line)
    found = figures_of("recbole", toy_data, capfd, 2, "--python", python)
    ours, theirs = found["epoch, median"], found["RecBole's epoch, median"]
    assert len(ours["values"]) == len(theirs["values"]) == 2
    assert found["times quicker"]["value"] == pytest.approx(theirs["value"] / ours["value"])
    assert found["pairs of an epoch"]["value"] == found["RecBole's pairs"]["value"] == N_USERS * 5
    assert found["relative difference of the vectors"]["value"] < 1e-5


def test_recbole_needs_an_interpreter_that_has_it(toy_data, tmp_path):
    arguments = ["recbole", "--data", str(toy_data), "--work", str(toy_data / "work")]
    with pytest.raises(SystemExit, match="name the interpreter that has RecBole with --python"):
        main(arguments)
    python = interpreter(tmp_path / "python", "exit 7")
    with pytest.raises(SystemExit, match="recbole: the process ended with code 7"):
        main([*arguments, "--python", python])


def test_evaluate(toy_data, capsys):
    found = figures_of("evaluate", toy_data, capsys)
    assert found["largest difference to ranks by sorting"]["value"] == 0
    assert found["whole evaluation"]["value"] > 0


def test_prepare(toy_data, capsys):
    found = figures_of("prepare", toy_data, capsys, repeats=1)
    assert found["wall"]["must"] == 4.0
    assert found["peak memory"]["value"] > 10
    assert [path.name for path in (toy_data / "work").iterdir() if path.name == "prepared"] == []


def test_commands(toy_data, capsys):
    found = figures_of("commands", toy_data, capsys, repeats=1)
    assert found["--help, wall"]["value"] < found["recommend --all, wall"]["value"]
    assert found["--help, peak memory"]["value"] < found["train, peak memory"]["value"]


def test_fast(toy_data, capsys):
    found = figures_of("fast", toy_data, capsys)
    curve = found["ndcg@10/1+99, last epoch"]["values"]
    seconds = found["training of all epochs"]["values"]
    assert len(curve) == len(seconds) == found["epochs"]["value"]
    assert seconds == sorted(seconds)
    assert len(set(curve)) > 1  # every epoch has its own weights
    good = [time for time, value in zip(seconds, curve, strict=True) if value >= 0.35]
    assert found["training until ndcg@10/1+99 >= 0.350"]["value"] == (good[0] if good else None)


def test_fold_in(toy_data, capsys):
    found = figures_of("fold-in", toy_data, capsys, repeats=1)
    assert found["one user, median"]["value"] > 0
    assert found["relative difference to the trained rows"]["value"] < 1e-5
    ranked = [
        found[f"ndcg@10/1+99, {name}"]["value"] for name in ("as trained", "own embedding zero")
    ]
    assert all(0 <= value <= 1 for value in ranked)
    assert ranked[0] != found["ndcg@10/1+99, own embedding the mean"]["value"]


def test_quality_goes_on_where_it_was_stopped(toy_data, capsys):
    found = figures_of("quality", toy_data, capsys)
    mean = found["ndcg@10/1+99, mean"]
    assert mean["value"] == pytest.approx(statistics.mean(mean["values"]))
    assert mean["must"] == 0.35
    deviation = found["ndcg@10/1+99, standard deviation"]["value"]
    assert deviation == pytest.approx(statistics.stdev(mean["values"]))
    lines = toy_data / "work" / "runs" / "reference-3" / "metrics.jsonl"
    written = lines.stat().st_mtime_ns
    again = figures_of("quality", toy_data, capsys)
    assert again["ndcg@10/1+99, mean"]["values"] == mean["values"]
    assert lines.stat().st_mtime_ns == written


class StopAfterOneEpoch(Listener):
    def on_epoch(self, record):
        raise KeyboardInterrupt


def test_ablations(toy_data):
    options = Options(toy_data / "taobao15k", toy_data / "work", seeds=(3,))
    parts = ("nothing", "nearest", "nearness")
    found = bench_ablations.run(options, parts)
    names = [figure.name for figure in found if "ndcg@10/full/all" in figure.name]
    assert names[0] == "without nothing: ndcg@10/full/all"
    assert [name.split(", p ")[0].split(":")[0] for name in names[1:]] == [
        "without nearest",
        "without nearness",
    ]
    assert all(", p " in name for name in names[1:])
    # Ranks that are stored are not made again.
    stored = {path: path.stat().st_mtime_ns for path in (toy_data / "work/ablations").iterdir()}
    assert len({path.read_bytes() for path in stored}) == 3
    assert str(bench_ablations.run(options, parts)) == str(found)
    assert {path: path.stat().st_mtime_ns for path in stored} == stored


def test_a_run_that_was_stopped_is_continued(toy_data, tmp_path):
    dataset = Options(toy_data / "taobao15k", toy_data / "work").dataset
    config = load_experiment(None, ["training.epochs=3", "data.train_on=all"])
    with pytest.raises(KeyboardInterrupt):
        trained_run(dataset, tmp_path / "run", config, StopAfterOneEpoch())
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    run = trained_run(dataset, tmp_path / "run", config)
    assert run.read_info()["epochs"] == 3
    assert run.metrics.read_text().splitlines()[:1] == lines  # not trained again


def test_a_run_of_another_configuration_is_not_taken(toy_data, tmp_path):
    dataset = Options(toy_data / "taobao15k", toy_data / "work").dataset
    first = load_experiment(None, ["training.epochs=1"])
    trained_run(dataset, tmp_path / "run", first)
    with pytest.raises(SystemExit, match="of another configuration"):
        trained_run(dataset, tmp_path / "run", load_experiment(None, ["training.epochs=2"]))


def test_several_run_in_processes_of_their_own(toy_data, capfd):
    work = ["--data", str(toy_data), "--work", str(toy_data / "work"), "--repeats", "1"]
    assert main(["prepare", "evaluate", *work]) == 0
    printed = capfd.readouterr().out
    assert printed.index("prepare: ") < printed.index("evaluate: ")
    assert printed.count("processor ") >= 2


def test_acknowledged_events_survive_kills():
    found = {figure.name: figure for figure in bench_kills.run(Options(Path(), Path()), kills=2)}
    assert found["acknowledged events"].value > 0
    assert found["acknowledged events that are lost"].value == 0
    assert found["events that are there twice"].value == 0


def test_a_soak_has_no_errors_and_ends_well():
    found = {each.name: each for each in bench_soak.run(Options(Path(), Path()), seconds=2.0)}
    assert found["answers"].value > 20
    assert found["errors"].value == 0
    assert found["exit code after SIGTERM"].value == 0


def test_a_large_catalog_is_made_of_a_small_one(toy_data, tmp_path):
    artifact = load_artifact(small_artifact(tmp_path / "small", 40, 30))
    bench_catalog.write_catalog(artifact, tmp_path / "large", 500)
    large = load_artifact(tmp_path / "large")
    assert (large.history.n_users, large.history.n_items) == (40, 500)
    assert 0 < large.history.target.nnz <= artifact.history.target.nnz
    trained = artifact.representations.items.flatten(1)
    nearest = torch.cdist(large.representations.items.flatten(1), trained).min(1).values
    assert nearest.max() < torch.cdist(trained, trained).max()
    figures = bench_catalog._compared(open_artifact(tmp_path / "large").factors("buy"), 400)
    assert all(figure.value > 0 for figure in figures)


def test_steps_of_one_process(toy_data):
    dataset = Options(toy_data / "taobao15k", toy_data / "work").dataset
    found = rank_steps.measure(dataset, 1, ["sampling.batch_size=5"])
    assert len(found["seconds"]) > 1
    assert set(found["losses"]) == {"view", "cart", "buy"}
    edges = load_split(dataset).history("test").interactions
    n_integers = sum(2 * matrix.nnz + sum(matrix.shape) + 2 for matrix in edges)
    assert found["graph_mb"] == pytest.approx(4 * n_integers / 2**20)


def test_ranks_are_compared_by_medians():
    def measured(*seconds, loss=2.0, graph_mb=10.0):
        return {"seconds": seconds, "losses": {"buy": loss}, "graph_mb": graph_mb, "peak_mb": 7.0}

    alone = [measured(1.0, 2.0), measured(9.0)]
    ranks = [measured(4.0, 2.5, loss=2.1, graph_mb=5.0), measured(1.0)]
    found = {each.name: each for each in bench_ranks.compared("toy", alone, ranks)}
    assert found["toy: speed of ranks"].value == pytest.approx(2.0 / 2.5)
    assert found["toy: share of the graph"].value == 0.5
    assert found["toy: difference of losses"].value == pytest.approx(0.05)
    assert not found["toy: difference of losses"].kept


def test_growth_of_memory():
    assert bench_soak.growth([50, 90, 100, 100, 100, 100, 100, 100]) == 0
    assert bench_soak.growth([50, 90, 100, 100, 100, 110, 120, 130]) == pytest.approx(0.3)


def test_the_generator_counts_answers_and_refusals(toy_data):
    artifact = small_artifact(toy_data / "small")
    with Served(artifact) as server:
        good = as_fast_as_possible(server.port, lambda n: get(f"/recommend/u{n}"), 3, 0.3)
        bad = at_rate(server.port, lambda n: get("/nowhere"), 50, 0.3, 2)
    assert good.errors == 0
    assert good.rate == pytest.approx(len(good.latencies) / good.seconds)
    assert 0 < good.milliseconds(0.5) <= good.milliseconds(0.99)
    assert bad.errors == len(bad.latencies) == 15


def test_a_synthetic_log_has_its_size_and_a_power_law(tmp_path):
    assert (IJCAI.n_pairs, TAOBAO.n_pairs) == (36_203_512, 7_658_926)
    size = Size(700, 900, (20_000, 3_000, 500), n_held_out=100)
    write_dataset(tmp_path / "log", size)
    split = load_split(tmp_path / "log")
    assert tuple(matrix.nnz for matrix in split.train.interactions) == size.pairs
    assert split.train.behaviors.names == ("favorite", "cart", "buy")
    degrees = np.sort(np.bincount(split.train.interactions[0].indices, minlength=900))[::-1]
    assert degrees[:90].sum() > 2 * 90 * degrees.mean()
    held_out = split.test["buy"]
    assert len(held_out) == 100
    assert not split.train.target[held_out.users, held_out.items].any()
    assert size.times(0.1) == Size(70, 90, (2_000, 300, 50), 70)


def test_scale_measures_every_piece(tmp_path, monkeypatch):
    size = Size(300, 400, (3_000, 500, 400, 300), n_held_out=90)
    in_its_process = bench_scale.part

    def part(name, folder, chosen=(), repeats=1):
        if name == "encode":  # one in a process of its own, as all are when it matters
            return in_its_process(name, folder, chosen, repeats)
        return scale_parts.work(name, folder, {"set": list(chosen), "repeats": repeats})

    monkeypatch.setattr(bench_scale, "part", part)
    monkeypatch.setattr(bench_scale, "WARM_UP", 1)  # an epoch of 300 users has two steps
    options = Options(Path(), tmp_path, repeats=1)
    figures = bench_scale.run(options, size, size, [size, size.times(1.5)])
    found = {figure.name: figure for figure in figures}
    assert found["growth: slope of log seconds against log pairs"].must == 1.1
    steps = [figure for name, figure in found.items() if ", a step" in name and figure.values]
    assert len(steps) == 6  # clock and processor of two precisions, clock of two sizes
    assert all(len(figure.values) == 1 for figure in steps)
    epochs = [figure for name, figure in found.items() if "epoch of 2 steps" in name]
    assert {len(each.values) for each in epochs if "processor" in each.name} == {2}
    measured = [figure for figure in figures if figure.unit in ("s", "GB")]
    assert all(figure.value > 0 for figure in measured)
    assert sum("peak memory" in figure.name for figure in figures) == 10


def test_ranking_takes_no_more_pairs_than_it_says(tmp_path, monkeypatch):
    write_dataset(tmp_path / "log", Size(300, 400, (3_000, 500, 400, 300), n_held_out=90))
    for most, found in ((20, 20), (10_000, 90)):
        monkeypatch.setattr(scale_parts, "RANKED", most)
        assert scale_parts.work("rank", tmp_path / "log", {})["users"] == found


def test_the_page_about_scaling_says_what_the_formulas_say():
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    table = page.partition("## What fits where")[2].partition("## ")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    shapes = [
        Shape(147_894, 99_037, 4, 7_700_000, layers=4),
        Shape(423_423, 874_328, 4, 36_200_000, layers=3),
        Shape(1_750_000, 3_620_000, 4, 150_000_000, layers=3),
        Shape(11_700_000, 24_100_000, 4, 1_000_000_000, layers=3),
    ]
    formulas = scale_model.training_bytes, scale_model.ranking_bytes, scale_model.encoding_bytes
    for (_, _, layers, *said), shape in zip(rows[2:], shapes, strict=True):
        sizes = [formula(shape) / 2**30 for formula in formulas]
        assert said == [f"{size:.{1 if size < 5 else 0}f} GB" for size in sizes]
        assert int(layers) == shape.layers


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_its_benchmark_says_so(capsys):
    (figure,) = bench_gpu.run(Options(Path(), Path()))
    assert (figure.name, figure.value) == ("CUDA devices", 0)
    assert "there is no CUDA device here" in capsys.readouterr().err


def test_the_gpus_benchmark_measures_every_piece(tmp_path, monkeypatch):
    """On the CPU, where the bounds mean nothing: that it can be run where there is a GPU."""
    monkeypatch.setattr(bench_gpu, "WARM_UP", 1)  # an epoch of 300 users has two steps
    size = Size(300, 400, (3_000, 500, 400, 300), n_held_out=90)
    options = Options(Path(), tmp_path, repeats=1)
    figures = bench_gpu.run(options, size, size, "cpu")
    musts = {figure.name: figure.must for figure in figures if figure.must is not None}
    assert sorted(musts.values()) == [1.0, 1.0, 1.5, 1.5, 60.0, 60.0]
    assert all(figure.value > 0 for figure in figures if figure.unit in ("s", "ms"))
    assert sum("peak memory" in figure.name for figure in figures) == 6
    works = {figure.name: figure.value for figure in figures if "the device works" in figure.name}
    assert list(works) == [
        "cpu: IJCAI size, a step, L = 3: the device works",
        "cpu: Taobao size, a step, L = 4: the device works",
    ]
    shown = [each for each in figures if each.name.startswith("cpu: IJCAI size, a step, L = 3: ")]
    calls = shown.pop(1)
    assert calls.name.endswith("kernels and copies")
    assert calls.value > len(shown)
    assert shown[0].value > sum(each.value for each in shown[1:]) > 0.1 * shown[0].value
    assert [each.value for each in shown] == sorted((each.value for each in shown), reverse=True)


def test_named_stretches_are_no_kernels():
    def event(key, device, seconds, *, named=False):
        times = {"self_device_time_total": 1e6 * seconds, "self_cpu_time_total": 1e6}
        return SimpleNamespace(
            key=key, device_type=device, count=3, is_user_annotation=named, **times
        )

    events = [
        event("sums", DeviceType.CUDA, 2.0),
        event("Optimizer.step", DeviceType.CUDA, 5.0, named=True),
        event("aten::mm", DeviceType.CPU, 2.0),
    ]
    assert scale_parts.kernels(events) == {"sums": (2.0, 3)}
    assert scale_parts.operations(events[2:]) == {"aten::mm": (1.0, 3)}


def test_a_profiler_that_sees_nothing_is_said(capsys, monkeypatch):
    monkeypatch.setattr(scale_parts, "work", lambda *_: {"profiled_steps": 1, "operations": {}})
    bench = bench_gpu._Bench(torch.device("cpu"), "cpu", 1)
    (figure,) = bench.inside("a step", Path())
    assert (figure.name, figure.value) == ("cpu: a step: the device works", None)
    assert "the profiler saw nothing" in capsys.readouterr().err


def test_tables_of_a_page_are_made_again(toy_data, tmp_path):
    dataset = Options(toy_data / "taobao15k", toy_data / "work").dataset
    comparison = Comparison(dataset, tmp_path / "out", read_entries(["item-knn"]), range(2))
    assert run_cell(dataset, comparison.cells[1].folder, "cpu").status == "finished"
    page = tmp_path / "page.md"
    page.write_text("Before.\n<!-- all -->\nold\n<!-- end of all -->\nAfter.\n")
    results_page.main([str(page), f"all={tmp_path / 'out'}"])
    once = page.read_text()
    assert once.startswith("Before.\n<!-- all -->\n\n**full: ")
    assert once.endswith("\n<!-- end of all -->\nAfter.\n")
    (mine,) = re.findall(r"^\| item-knn \| (.*) \| 1 of 2 \|$", once, re.MULTILINE)[:1]
    counts = load_counts(comparison.cells[1].folder.ranks)
    hits = (counts.full_all < 10).mean()
    assert mine.split(" | ")[0].strip("*") == f"{hits:.4f}".removeprefix("0")
    results_page.main([str(page), f"all={tmp_path / 'out'}"])
    assert page.read_text() == once
    with pytest.raises(SystemExit, match="the page has no place for 'other'"):
        results_page.main([str(page), f"other={tmp_path / 'out'}"])


def test_every_benchmark_says_what_it_measures():
    assert all(len((module.__doc__ or "").splitlines()[0]) > 20 for module in MODULES.values())


ORDERS = ("as_they_are", "at_random", "by_degree", "by_neighbors")


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_numbers_the_same_graph_anew(name):
    matrices = random_matrices(3, 17, 29)
    users, items = getattr(bench_order, name)(matrices)
    assert sorted(users) == list(range(17))
    assert sorted(items) == list(range(29))
    for before, after in zip(
        matrices, bench_order.renumbered(matrices, (users, items)), strict=True
    ):
        found = np.zeros(before.shape)
        found[np.ix_(users, items)] = after.toarray()
        np.testing.assert_array_equal(found, before.toarray())


def test_orders_put_the_popular_first_and_neighbors_together():
    matrices = random_matrices(4, 40, 30, 2)
    total = sum(matrices).toarray()
    users, items = bench_order.by_degree(matrices)
    assert (np.diff(total.sum(1)[users]) <= 0).all()
    assert (np.diff(total.sum(0)[items]) <= 0).all()
    mixed = np.random.default_rng(1).permutation(24)
    halves = np.kron(np.eye(2), np.ones((12, 12)))[mixed]  # two groups with nothing in common
    users, _ = bench_order.by_neighbors([csr_array(halves)])
    groups = mixed[users] // 12
    assert (np.diff(groups) != 0).sum() == 1


def test_the_order_benchmark_measures_both_logs(tmp_path, monkeypatch):
    size = Size(60, 40, (300, 90, 60, 40), n_held_out=20)
    monkeypatch.setattr(bench_order, "large_dataset", lambda work: work / "taobao")
    figures = bench_order.run(Options(tmp_path, tmp_path, repeats=2), size)
    assert len(figures) == 2 * (1 + 2 * (len(ORDERS) - 1))
    assert all(figure.value > 0 for figure in figures)
    assert all(len(figure.values) in (0, 2) for figure in figures)
