"""The commands on data, in the order of a newcomer, and each wrong way to type them."""

import json
import re

import polars as pl
import pytest
import torch
from typer.testing import CliRunner

from cigf import compiled
from cigf.cli.main import app
from cigf.data.checks import Finding
from command_line import N_USERS, fails, run


def test_generate_says_what_it_wrote_and_what_comes_next(tmp_path):
    out = tmp_path / "log.parquet"
    result = run("data", "generate", "--interactions", 101, "--users", 7, "--out", out)
    assert result.stderr.splitlines() == [
        f"Wrote {out}: 101 events",
        "Next:",
        f"    cigf data prepare {out} --behaviors view,cart,buy --out DATASET",
    ]
    assert pl.read_parquet(out).height == 101
    assert "exists already" in fails("data", "generate", "--out", out)


def test_the_same_seed_generates_the_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        sizes = ("--users", 7, "--items", 5, "--interactions", 101, "--seed", seed)
        run("data", "generate", *sizes, "--out", tmp_path / f"{name}.csv.gz")
    first, same, other = ((tmp_path / f"{name}.csv.gz").read_bytes() for name in "abc")
    assert first == same
    assert first != other


def test_a_log_can_be_a_folder_of_parquet_files(tmp_path):
    sizes = ("--users", 7, "--items", 5, "--interactions", 101)
    run("data", "generate", *sizes, "--out", tmp_path / "log.parquet")
    result = run("data", "generate", *sizes, "--files", 3, "--out", tmp_path / "log")
    assert f"Wrote {tmp_path / 'log'}: 101 events" in result.stderr
    parts = [pl.read_parquet(file) for file in sorted((tmp_path / "log").iterdir())]
    assert [part.height for part in parts] == [33, 34, 34]
    assert pl.concat(parts).equals(pl.read_parquet(tmp_path / "log.parquet"))
    assert "exists already" in fails("data", "generate", "--files", 3, "--out", tmp_path / "log")


def test_more_files_than_events_are_refused(tmp_path):
    sizes = ("--users", 7, "--items", 5, "--interactions", 3, "--files", 4)
    assert "--files 4: more than the 3 events" in fails(
        "data", "generate", *sizes, "--out", tmp_path / "log"
    )


def test_prepare_prints_counts(tmp_path, events):
    out = tmp_path / "d"
    result = run("data", "prepare", events, "--out", out)
    assert f"{N_USERS} users, 43 items" in " ".join(result.stdout.split())
    assert f"cigf train {out} --out RUN" in result.stderr
    assert f"Wrote {out}" in result.stderr


def test_prepare_prints_json(tmp_path, events):
    result = run("data", "prepare", events, "--out", tmp_path / "d", "--json")
    report = json.loads(result.stdout)
    assert report["n_users"] == N_USERS
    assert report["dataset"] == str(tmp_path / "d")


def test_prepare_passes_its_options_on(tmp_path, events):
    names = {"user_id": "who", "item_id": "what", "behavior": "how", "timestamp": "when"}
    log = pl.read_csv(events).rename(names)
    test = log.filter(pl.col("how") == "buy").unique("who", maintain_order=True).head(5)
    rest = log.join(test, on=["who", "what", "how"], how="anti")
    rest.with_columns(pl.col("how").replace({"view": "A"})).write_csv(tmp_path / "log.csv")
    test.select("who", "what").write_csv(tmp_path / "test.csv")
    columns = ("--user-col", "who", "--item-col", "what", "--behavior-col", "how")
    result = run(
        *("data", "prepare", tmp_path / "log.csv", "--out", tmp_path / "d", "--json"),
        *("--test", tmp_path / "test.csv", *columns, "--time-col", "when"),
        *("--map", "A=view", "--behaviors", "buy,view,cart", "--target", "buy"),
        *("--valid-share", "0", "--on-error", "skip"),
    )
    report = json.loads(result.stdout)
    assert list(report["n_pairs"]) == ["view", "cart", "buy"]
    assert report["n_test"] == {"buy": 5}
    assert sum(report["n_valid"].values()) == 0


def test_prepare_reads_a_database(tmp_path, events):
    import sqlite3

    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("create table log (user_id, item_id, behavior, timestamp)")
        rows = pl.read_csv(events).rows()
        connection.executemany("insert into log values (?, ?, ?, ?)", rows)
    connection.close()
    uri = f"sqlite:///{tmp_path}/shop.db"
    query = "select * from log where item_id != 'tea-03'"
    options = ("--query", query, "--connection", uri)
    result = run("data", "prepare", *options, "--out", tmp_path / "d", "--json")
    expected = pl.read_csv(events).filter(pl.col("item_id") != "tea-03")
    assert json.loads(result.stdout)["n_items"] == expected["item_id"].n_unique()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--behaviors", "view,buy"), "unknown behavior 'cart'"),
        (("--target", "bye"), "target 'bye' is not among the behaviors; did you mean buy?"),
        (("--user-col", "userid"), "column 'userid' not found; did you mean user_id?"),
        (("--map", "view"), "'view' must have the form value=behavior"),
    ],
)
def test_prepare_refuses_and_writes_nothing(tmp_path, events, options, message):
    assert message in fails("data", "prepare", events, "--out", tmp_path / "d", *options)
    assert list(tmp_path.iterdir()) == []


def test_prepare_needs_a_source(tmp_path):
    assert "none given" in fails("data", "prepare", "--out", tmp_path / "d")


def test_prepare_replaces_only_by_force(dataset, events):
    assert "exists already" in fails("data", "prepare", events, "--out", dataset)
    run("data", "prepare", events, "--out", dataset, "--force")


def test_import_makes_a_dataset(tmp_path):
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    rows = [f"{u}\t{i}\t{1 + (u + i) % 5}\t{u * 7 + i}\n" for u in range(7) for i in range(5)]
    (tmp_path / "x.inter").write_text(header + "".join(rows))
    arguments = ("data", "import", "recbole", tmp_path / "x.inter", "--out", tmp_path / "d")
    report = json.loads(run(*arguments, "--ratings", "bad:1-3,good:4-5", "--json").stdout)
    assert list(report["n_pairs"]) == ["bad", "good"]
    assert "exists already" in fails(*arguments)
    arguments = ("data", "import", "recbool", tmp_path / "x.inter", "--out", tmp_path / "e")
    assert "did you mean recbole?" in fails(*arguments)


def test_fetch_knows_its_names(tmp_path):
    assert "did you mean beibei?" in fails("data", "fetch", "beibeii", "--out", tmp_path / "d")
    message = fails("data", "fetch", "taobao", "--out", tmp_path / "d")
    assert "behind a login" in message
    assert "--from-file" in message


def test_fetch_takes_a_file_from_behind_a_login(tmp_path):
    rows = [
        f"{u},{i},1,{b},{1_500_000_000 + u + i}\n"
        for u in range(5)
        for i in range(3)
        for b in ("pv", "fav", "cart", "buy")
    ]
    (tmp_path / "UserBehavior.csv").write_text("".join(rows))
    options = ("--from-file", tmp_path / "UserBehavior.csv", "--json")
    result = run("data", "fetch", "taobao", "--out", tmp_path / "d", *options)
    assert "Terms: " in result.stderr
    assert json.loads(result.stdout)["n_users"] == 5


def test_describe_prints_tables_json_and_figures(dataset, tmp_path):
    result = run("data", "describe", dataset, "--figures", tmp_path / "figures")
    assert "exactly these behaviors" in result.stdout
    assert "view + cart + buy" in result.stdout
    assert {path.suffix for path in (tmp_path / "figures").iterdir()} == {".svg", ".png"}
    assert json.loads(run("data", "describe", dataset, "--json").stdout)["n_users"] == N_USERS
    assert "not a dataset folder" in fails("data", "describe", tmp_path)


def test_doctor_looks_at_the_installation():
    result = run("doctor")
    assert "polars" in result.stdout
    assert "GiB" in result.stdout
    assert json.loads(run("doctor", "--json").stdout)["environment"]["device"]


@pytest.mark.parametrize(
    ("lacking", "said"),
    [("", "on the GPU compiled (triton)"), ("no compiler", "torch's operations (no compiler)")],
)
def test_doctor_says_what_runs_on_a_gpu(monkeypatch, lacking, said):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(compiled, "lacking_for_gpu", lambda: lacking)
    facts = json.loads(run("doctor", "--json").stdout)["environment"]
    assert facts["device"] == "cuda: a GPU"
    assert said in facts["kernels"]


def test_doctor_looks_at_a_dataset(dataset):
    result = run("doctor", dataset)
    assert "touched" in result.stdout
    assert "popularity, full: hr@10 0." in result.stderr
    report = json.loads(run("doctor", dataset, "--json").stdout)
    assert {"sizes", "touched"} <= {finding["code"] for finding in report["findings"]}
    assert set(report["reference"]) == {"popularity", "touched_first"}


def test_doctor_fails_on_a_dataset_with_errors(dataset, monkeypatch):
    leak = [Finding("error", "leak", "test buy: 3 pairs are in training", "take them out")]
    monkeypatch.setattr("cigf.data.checks.check_split", lambda split, now: leak)
    result = run("doctor", dataset, code=1)
    assert "take them out" in result.stdout
    assert (
        json.loads(run("doctor", dataset, "--json", code=1).stdout)["findings"][0]["code"] == "leak"
    )


def test_doctor_leaves_the_references_out_where_nothing_is_held_out(tmp_path, events):
    run("data", "prepare", events, "--split", "none", "--out", tmp_path / "d")
    assert "reference" not in json.loads(run("doctor", tmp_path / "d", "--json").stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("data", "generate", "--out", "some_file/x.csv"),
        ("train", "DATASET", "--out", "some_file/run"),
        ("demo", "--out", "some_file/demo"),
        ("evaluate", "some_file"),
        ("train", "DATASET", "--out", "run", "--config", "DATASET"),
    ],
)
def test_a_path_of_another_kind_is_one_clear_line(tmp_path, monkeypatch, dataset, arguments):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some_file").touch()
    arguments = [str(dataset) if word == "DATASET" else word for word in arguments]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert re.search(r"Error: .*(directory|exists)", result.stderr.splitlines()[-1])
