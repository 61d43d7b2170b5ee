"""From a dataset to lists: train, evaluate, recommend and similar, and each wrong way."""

import json
import re
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
import torch

from cigf.experiment import devices
from cigf.inference.recommender import TrainedRecommender
from command_line import N_USERS, QUICK, fails, run


def test_train_says_what_it_wrote_and_what_comes_next(trained, tmp_path, dataset):
    result = run("train", dataset, "--out", tmp_path / "run", *QUICK)
    lines = result.stderr.splitlines()
    assert re.match(r"epoch 1/2  loss [\d.]+ \(view .*\)  ndcg@10/1\+99 0\.\d+", lines[0])
    assert any(line.startswith(f"Wrote {tmp_path / 'run'}: epoch ") for line in lines)
    assert f"    cigf evaluate {tmp_path / 'run'}" in lines
    assert result.stdout == ""


def test_train_prints_json(tmp_path, dataset):
    result = run("train", dataset, "--out", tmp_path / "run", *QUICK, "--json")
    report = json.loads(result.stdout)
    assert report["epochs"] == 2
    assert "ndcg@10/1+99" in report["valid"]


def test_train_reads_an_experiment_file_and_lays_settings_over_it(tmp_path, dataset):
    path = tmp_path / "x.toml"
    path.write_text("[model]\nembedding_size = 4\n[training]\nepochs = 5\n")
    run("train", dataset, "--out", tmp_path / "run", "--config", path, *QUICK)
    artifact = TrainedRecommender.load(tmp_path / "run").artifact
    assert artifact.manifest.config["embedding_size"] == 4
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--set", "training.epoch=3"), "training.epoch is not an option; did you mean epochs?"),
        (("--set", "trainingg.epochs=3"), "trainingg is not a section; did you mean training?"),
        (("--set", "training.epochs"), "must have the form section.key=value"),
        (("--set", "training.epochs=-1"), "training.epochs: Input should be greater than 0"),
        (("--model", "cigff"), "model 'cigff' is unknown; did you mean cigf?"),
        (("--config", "nowhere.toml"), "nowhere.toml: no such configuration file"),
        (("--set", "training.metric=ndcg"), "ndcg"),
        (("--set", "training.metric=hr@3/full"), "hr@3"),
    ],
)
def test_train_refuses_and_writes_nothing(tmp_path, dataset, options, message):
    assert message in fails("train", dataset, "--out", tmp_path / "run", *options)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_train_refuses_a_device_that_is_not_there(tmp_path, dataset):
    message = fails("train", dataset, "--out", tmp_path / "run", "--device", "cuda")
    assert "no GPU is usable here" in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize("command", [("evaluate",), ("recommend", "--all")])
def test_those_who_rank_refuse_a_device_that_is_not_there(trained, command):
    name, *options = command
    assert "no GPU is usable here" in fails(name, trained, *options, "--device", "cuda")


def test_many_users_are_ranked_on_the_device_that_is_named(trained, monkeypatch):
    monkeypatch.setattr(devices, "choose_device", lambda name: torch.device("meta"))
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        run("recommend", trained, "--all")


def test_a_few_users_are_ranked_on_the_cpu(trained):
    """Whatever the device, which would take longer to wake up."""
    run("recommend", trained, "--user", "u03", "--device", "cuda")


def test_train_replaces_only_by_force(trained, dataset):
    assert "exists already" in fails("train", dataset, "--out", trained)


def test_train_writes_curves_for_tensorboard_if_asked(trained, tmp_path, dataset):
    assert not (trained / "tensorboard").exists()
    run("train", dataset, "--out", tmp_path / "run", *QUICK, "--tensorboard")
    (events,) = (tmp_path / "run" / "tensorboard").iterdir()
    assert b"loss/buy" in events.read_bytes()


def test_train_without_tensorboard_leaves_an_old_run_alone(trained, dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard.writer", None)
    monkeypatch.delitem(sys.modules, "cigf.experiment.tensorboard", raising=False)
    message = fails("train", dataset, "--out", trained, "--tensorboard", "--force")
    assert message.endswith("install it with: pip install 'cigf[track]'")
    assert (trained / "artifact" / "manifest.json").exists()


def test_train_needs_a_dataset(tmp_path, events):
    assert "not a dataset folder" in fails("train", tmp_path, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_only_a_run_can_be_resumed(tmp_path, dataset):
    message = fails("train", dataset, "--out", tmp_path / "run", "--resume")
    assert "not the folder of a run" in message


def test_evaluate_prints_tables(trained):
    result = run("evaluate", trained)
    assert "test, full" in result.stdout
    assert "test, 1+99" in result.stdout
    assert "touched_first" in result.stdout
    assert "ndcg@10" in result.stdout
    assert f"Wrote {trained / 'evaluation.json'}" in result.stderr


def test_evaluate_prints_json_and_writes_each_users_figures(trained, tmp_path):
    table = tmp_path / "users.parquet"
    options = ("--k", "3,7", "--protocol", "full", "--per-user", table, "--bootstrap", 20)
    result = run("evaluate", trained, *options, "--json")
    values = json.loads(result.stdout)
    assert values == json.loads((trained / "evaluation.json").read_text())
    assert list(values["metrics"]) == ["full"]
    assert set(values["reference"]) == {"popularity", "touched_first"}
    all_pairs = values["metrics"]["full"]["all"]
    users = pl.read_parquet(table)
    assert all_pairs["ndcg@7"] == pytest.approx(users["ndcg@7/full/all"].mean())
    low, high = values["intervals"]["full"]["all"]["hr@3"]
    assert low <= all_pairs["hr@3"] <= high
    assert "exists already" in fails("evaluate", trained, "--per-user", table)
    run("evaluate", trained, *options, "--force")


def test_evaluate_judges_validation_pairs_too(trained):
    values = json.loads(run("evaluate", trained, "--part", "valid", "--json").stdout)
    assert values["split"] == "valid"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--k", "ten"), "--k ten: must be positive integers"),
        (("--protocol", "ful"), "did you mean full"),
        (("--behavior", "bye"), "did you mean buy?"),
        (("--behavior", "view"), "no pairs of behavior 'view' are held out"),
        (("--dataset", "nowhere"), "not a dataset folder"),
    ],
)
def test_evaluate_refuses(trained, options, message):
    assert message in fails("evaluate", trained, *options)


@pytest.mark.parametrize(
    "command", [("evaluate",), ("recommend", "--all"), ("similar", "--item=x")]
)
def test_commands_on_a_run_need_a_run(tmp_path, command):
    name, *options = command
    message = fails(name, tmp_path / "nothing", *options)
    assert "no such folder" in message or "not the folder of a run" in message


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".jsonl"])
def test_recommend_writes_the_lists_of_all_users(trained, tmp_path, ending):
    out = tmp_path / f"recs{ending}"
    result = run("recommend", trained, "--all", "--k", 4, "--out", out)
    assert result.stdout == ""
    assert f"Wrote {out}: {4 * N_USERS} recommendations" in result.stderr
    read = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}[ending]
    recommender = TrainedRecommender.load(trained)
    expected = recommender.recommend(recommender.users, 4)
    columns = ["user_id", "item_id", "rank"]
    assert read(out).select(columns).rows() == expected.select(columns).rows()
    assert "exists already" in fails("recommend", trained, "--all", "--out", out)
    run("recommend", trained, "--all", "--out", out, "--force")


def test_recommend_prints_a_table_or_json(trained):
    users = ("--user", "u03", "--user", "u17", "--k", 2)
    table = run("recommend", trained, *users).stdout
    rows = json.loads(run("recommend", trained, *users, "--json").stdout)
    assert [row["user_id"] for row in rows] == ["u03", "u03", "u17", "u17"]
    assert all(row["item_id"] in table for row in rows)


def test_recommend_reads_files_of_ids(trained, tmp_path):
    (tmp_path / "users.txt").write_text("u17\nu03\n")
    recommender = TrainedRecommender.load(trained)
    some = recommender.items.head(9)
    (tmp_path / "allow.csv").write_text("item_id\n" + "\n".join(some.head(6)) + "\n")
    (tmp_path / "deny.txt").write_text("\n".join(some.head(2)) + "\n")
    files = ("--allow", tmp_path / "allow.csv", "--deny", tmp_path / "deny.txt")
    options = ("--exclude", "", "--only", "all", "--behavior", "cart", "--json")
    users = ("--users", tmp_path / "users.txt")
    rows = json.loads(run("recommend", trained, *users, *files, *options).stdout)
    assert [row["user_id"] for row in rows] == ["u17"] * 4 + ["u03"] * 4
    assert {row["item_id"] for row in rows} == set(some[2:6])
    (tmp_path / "deny.txt").write_text("")
    more = json.loads(run("recommend", trained, *users, *files, *options).stdout)
    assert {row["item_id"] for row in more} == set(some[:6])


def test_recommend_answers_unknown_users_if_asked_to(trained):
    options = ("--user", "nobody", "--k", 3)
    assert "'nobody'" in fails("recommend", trained, *options)
    rows = json.loads(
        run("recommend", trained, *options, "--fallback", "popularity", "--json").stdout
    )
    assert [row["fallback"] for row in rows] == [True] * 3


def test_recommend_reads_events_of_known_and_new_users(trained, tmp_path):
    recommender = TrainedRecommender.load(trained)
    items = recommender.items.head(3).to_list()
    log = tmp_path / "events.csv"
    rows = [("u17", items[0], "view"), ("new", items[1], "cart"), ("new", items[2], "view")]
    log.write_text("user_id,item_id,behavior\n" + "\n".join(map(",".join, rows)) + "\n")
    options = ("--events", log, "--k", 2, "--scores", "cart,buy")
    found = json.loads(run("recommend", trained, *options, "--json").stdout)
    events = pl.read_csv(log)
    expected = recommender.recommend_for(events, 2, scores=["cart", "buy"]).to_dicts()
    assert [row.keys() for row in found] == [row.keys() for row in expected]
    keys = ("user_id", "item_id", "rank")
    assert [[row[k] for k in keys] for row in found] == [[row[k] for k in keys] for row in expected]
    assert {row["user_id"] for row in found} == {"u17", "new"}
    message = fails("recommend", trained, "--events", log, "--all")
    assert "give exactly one of" in message
    log.write_text("user_id,item_id,behavior\nu17,x,lend\n")
    assert "unknown behavior 'lend'" in fails("recommend", trained, "--events", log)


def test_recommend_reads_logs_with_other_names(trained, tmp_path):
    item = TrainedRecommender.load(trained).items[0]
    log = tmp_path / "events.csv"
    log.write_text(f"who,what,how\nnew,{item},pv\nnew,{item},lend\n")
    named = ("--user-col", "who", "--item-col", "what", "--behavior-col", "how")
    meant = ("--map", "pv=view", "--on-error", "skip")
    done = run("recommend", trained, "--events", log, *named, *meant, "--k", 2, "--json")
    assert [row["user_id"] for row in json.loads(done.stdout)] == ["new", "new"]
    assert "1 (unknown behavior)" in done.stderr
    for alone in (named[:2], ("--on-error", "skip")):
        assert "need --events" in fails("recommend", trained, "--all", *alone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give exactly one of --user ID, --users FILE, --all and --events EVENTS"),
        (("--all", "--user", "u03"), "give exactly one of"),
        (("--all", "--out", "recs.xlsx"), "unknown ending"),
        (("--users", "nowhere.txt"), "nowhere.txt: no such file"),
        (("--all", "--behavior", "bye"), "did you mean buy?"),
    ],
)
def test_recommend_refuses(trained, options, message):
    assert message in fails("recommend", trained, *options)


def test_index_says_where_it_is_and_what_it_finds(trained):
    said = run("index", trained, "--probes", 3).stderr
    assert "artifact/index: recall of the best 10 by score" in said.replace("\n", "")
    assert "exists already" in fails("index", trained)
    assert "'lend'" in fails("index", trained, "--behavior", "lend", "--force")


def test_similar_finds_items_and_users(trained):
    recommender = TrainedRecommender.load(trained)
    item = recommender.items[0]
    rows = json.loads(run("similar", trained, "--item", item, "--k", 3, "--json").stdout)
    assert rows == recommender.similar_items(item, 3).to_dicts()
    assert (
        recommender.similar_users("u03", 1)["user_id"][0]
        in run("similar", trained, "--user", "u03", "--k", 1).stdout
    )
    assert "exactly one of --item ID and --user ID" in fails("similar", trained)
    assert "'x' is not known" in fails("similar", trained, "--item", "x")


def program(*arguments):
    return [sys.executable, "-m", "cigf", *map(str, arguments)]


def wait_for(condition, process):
    until = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_run_stopped_by_control_c_is_resumed_to_the_same_bytes(tmp_path, dataset):
    settings = ("--set", "training.epochs=40", "--set", "training.patience=0")
    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    process = subprocess.Popen(
        program("train", dataset, "--out", stopped, *settings, "--tensorboard"),
        stderr=subprocess.PIPE,
        text=True,
    )
    metrics = stopped / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and len(metrics.read_text().splitlines()) > 3, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = err.splitlines()[-1]
    assert re.match(
        r"Error: stopped in epoch \d+; .* is kept\. "
        r"Go on with: cigf train .* --resume --tensorboard$",
        last,
    )
    assert "Traceback" not in err
    assert "no artifact yet" in fails("recommend", stopped, "--all")
    result = run("train", dataset, "--out", stopped, "--resume")
    assert result.stderr.startswith("Resumed after epoch ")
    run("train", dataset, "--out", whole, *settings)
    for name in ("model.safetensors", "representations.safetensors"):
        files = [(path / "artifact" / name).read_bytes() for path in (stopped, whole)]
        assert files[0] == files[1]
