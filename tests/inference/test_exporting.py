import json
import re
import sys
from pathlib import Path

import faiss
import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
import torch
from inference_toys import CONFIG, EVERY, N_ITEMS, N_USERS, make, random_history, write_artifact
from safetensors import safe_open
from safetensors.numpy import load_file

from cigf.data.ids import IdMap
from cigf.errors import ConfigError, DataError, MissingExtraError, OutputError
from cigf.inference.artifact import load_artifact
from cigf.inference.export_factors import ExportedFactors, ExportFacts, exported_factors
from cigf.inference.exporting import export, write_onnx
from cigf.inference.onnx_graph import save_scorer
from cigf.inference.recommender import TrainedRecommender
from cigf.models.registry import parse_model_config
from cigf.ranking import ScoreFactors

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "exporting.md"
SCRIPTS = [
    block
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    if "np.exp" in block
]


WHICH = PAGE.read_text().partition("## Which models")[2].partition("All others")[0]


@pytest.fixture
def texts(tmp_path):
    """An artifact whose users and items are texts, with a user as in the scripts."""
    users = [f"u{row}" for row in range(N_USERS - 1)] + ["u0017"]
    items = [f"tea {'ö' * row}" for row in range(N_ITEMS)]
    write_artifact(tmp_path / "texts", random_history(3, users, items))
    return TrainedRecommender.load(tmp_path / "texts")


def test_the_parquet_script_of_the_guide_gives_the_lists(texts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export(texts.artifact, Path("factors"), "parquet")
    names = {}
    exec(SCRIPTS[0], names)
    assert len(SCRIPTS[0].split("\n\n")[1].splitlines()) == 10
    expected = texts.recommend(["u0017"], N_ITEMS)
    assert names["ranked"]["item_id"].to_list() == expected["item_id"].to_list()
    np.testing.assert_allclose(names["ranked"]["score"], expected["score"], rtol=1e-5)


def test_the_safetensors_script_of_the_guide_gives_the_lists(texts, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export(texts.artifact, Path("factors.safetensors"), "safetensors")
    names = {}
    exec(SCRIPTS[1].replace(", 16", f", {N_USERS - 1}"), names)
    expected = texts.recommend(["u0017"], N_ITEMS)
    listed = names["item_ids"][: expected.height]  # what is hidden comes last
    assert listed == expected["item_id"].to_list()
    found = names["scores"][names["best"]][: expected.height]
    np.testing.assert_allclose(found, expected["score"], rtol=1e-5)


def test_whole_numbers_stay_whole_numbers(artifact_folder, tmp_path):
    artifact = load_artifact(artifact_folder)
    export(artifact, tmp_path / "factors", "parquet")
    items = pl.read_parquet(tmp_path / "factors" / "items.parquet")
    assert items["item_id"].to_list() == list(range(100, 100 + N_ITEMS))
    seen = pl.read_parquet(tmp_path / "factors" / "seen.parquet")
    assert seen.height == artifact.history.target.nnz
    served = TrainedRecommender(artifact)
    for (user,), own in seen.group_by("user_id"):
        bought = served.history(user).filter(behavior="buy")["item_id"]
        assert set(own["item_id"]) == set(bought)
    export(artifact, tmp_path / "f.safetensors", "safetensors")
    assert load_file(tmp_path / "f.safetensors")["item_ids"].tolist() == items["item_id"].to_list()


def test_an_export_says_what_it_is_of(artifact_folder, tmp_path):
    artifact = load_artifact(artifact_folder)
    export(artifact, tmp_path / "f.safetensors", "safetensors", behavior="add/cart")
    with safe_open(tmp_path / "f.safetensors", "numpy") as file:
        facts = json.loads(file.metadata()["cigf"])
    assert facts["behavior"] == "add/cart"
    assert (facts["n_users"], facts["n_items"], facts["n_experts"]) == (N_USERS, N_ITEMS, 3)
    assert facts["dataset"] == artifact.manifest.dataset
    export(artifact, tmp_path / "factors", "parquet", behavior="add/cart")
    assert json.loads((tmp_path / "factors" / "export.json").read_text()) == facts
    export(artifact, tmp_path / "scorer.onnx", "onnx", behavior="add/cart")
    session = onnxruntime.InferenceSession(tmp_path / "scorer.onnx")
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["cigf"]) == facts
    assert json.loads(metadata["user_ids"]) == artifact.history.users.ids.to_list()
    assert json.loads(metadata["item_ids"]) == artifact.history.items.ids.to_list()


@pytest.mark.parametrize("format", ["parquet", "safetensors", "onnx", "faiss"])
def test_equal_models_give_equal_bytes(artifact_folder, tmp_path, format):
    artifact = load_artifact(artifact_folder)
    written = []
    for name in ("a", "b"):
        export(artifact, tmp_path / name, format)
        files = (
            [tmp_path / name]
            if format not in ("parquet", "faiss")
            else sorted((tmp_path / name).iterdir())
        )
        written.append([file.read_bytes() for file in files])
    assert written[0] == written[1]


HEADS = [("cigf", {"head": head}) for head in ("bilinear", "shared-bottom", "mmoe", "ple")]
UNITS = [("nmtr", {"unit": "mlp"})]
NAMED = ("cigf", "lightgcn", "ngcf", "mbgcn", "ghcf", "matn", "dmf", "autorec", "ials", "bpr-mf")


@pytest.mark.parametrize(("name", "config"), [*EVERY, *HEADS, *UNITS])
def test_the_graph_scores_as_the_model_does_or_is_refused(name, config, tmp_path):
    artifact = make(tmp_path / "artifact", name, config)
    scorer = artifact.scorer()
    if not isinstance(scorer, ScoreFactors) or scorer.corrections is not None:
        assert config.get("head") in ("mmoe", "ple") or name not in NAMED
        with pytest.raises(ConfigError, match=f"the scores of this {name} are not made of factors"):
            export(artifact, tmp_path / "x", "parquet")
        assert not (tmp_path / "x").exists()
        return
    assert f"`{name}`" in WHICH
    write_onnx(exported_factors(artifact), tmp_path / "scorer.onnx", force=False)
    session = onnxruntime.InferenceSession(tmp_path / "scorer.onnx")
    users = np.array([3, 0, 10, 3])
    (found,) = session.run(["scores"], {"users": users})
    expected = scorer.block(torch.from_numpy(users)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("config", [CONFIG, {**CONFIG, "head": "bilinear"}])
def test_the_index_finds_the_best_items(tmp_path, config):
    """With all cells looked into, the items of the largest scores are among the few found."""
    artifact = make(tmp_path / "artifact", "cigf", config)
    export(artifact, tmp_path / "index", "faiss")
    index = faiss.read_index(str(tmp_path / "index" / "items.faiss"))
    users = pl.read_parquet(tmp_path / "index" / "users.parquet")
    assert index.ntotal == N_ITEMS
    index.nprobe = index.nlist
    found = index.search(users["query"].to_numpy(), 4)[1]
    best = artifact.scorer().block(torch.arange(N_USERS)).argmax(1).tolist()
    hits = sum(row in rows for row, rows in zip(best, found, strict=True))
    assert hits >= N_USERS - 1
    export(artifact, tmp_path / "factors", "parquet")
    assert users.drop("query").equals(pl.read_parquet(tmp_path / "factors" / "users.parquet"))


def test_opposed_gates_do_not_underflow(tmp_path):
    """Where one side's weight for an expert is e^-200 of the other's, a ratio is 0/0."""
    generator = np.random.default_rng(0)
    x, y = (generator.normal(size=(n, 2, 3)).astype(np.float32) for n in (5, 4))
    p = np.array([[0.0, 200.0]] * 5, np.float32)
    q = np.array([[200.0, 0.0], [0.0, 0.0], [0.0, 200.0], [230.0, 0.0]], np.float32)
    factors = hand_made(x, y, p, q)
    write_onnx(factors, tmp_path / "scorer.onnx", force=False)
    session = onnxruntime.InferenceSession(tmp_path / "scorer.onnx")
    (found,) = session.run(["scores"], {"users": np.arange(5)})
    ours = ScoreFactors(*map(torch.from_numpy, (x, y, p, q)), scale=2.0)
    expected = ours.block(torch.arange(5)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    products = np.einsum("ued,ied->uie", x, y)
    np.testing.assert_allclose(found[:, 0], products[:, 0].sum(1), rtol=1e-5)  # both half: 2 / 2
    np.testing.assert_allclose(found[:, 3], 2 * products[:, 3, 0], rtol=1e-5)


def hand_made(x, y, p, q):
    facts = ExportFacts("cigf", "buy", len(x), len(y), 2, 3, 2.0, "", "0")
    ids = (IdMap(pl.Series(np.arange(len(side))), "user") for side in (x, y))
    bias, seen = np.zeros(len(y), np.float32), (np.zeros(len(x) + 1, np.int64), np.zeros(0, "i4"))
    return ExportedFactors(facts, x, y, p, q, bias, *ids, seen)


def test_a_graph_that_scores_otherwise_is_not_written(artifact_folder, tmp_path, monkeypatch):
    def wrong(factors, path):
        save_scorer(factors, path)
        model = onnx.load(path)
        (bias,) = [each for each in model.graph.initializer if each.name == "bias"]
        bias.CopyFrom(onnx.numpy_helper.from_array(np.full(N_ITEMS, 9, np.float32), "bias"))
        onnx.save(model, path)

    monkeypatch.setattr("cigf.inference.onnx_graph.save_scorer", wrong)
    with pytest.raises(OutputError, match=r"scores differ from ours by 9.*nothing was written"):
        export(load_artifact(artifact_folder), tmp_path / "scorer.onnx", "onnx")
    assert not (tmp_path / "scorer.onnx").exists()


def test_a_scorer_that_does_not_fit_is_refused(artifact_folder, tmp_path, monkeypatch):
    monkeypatch.setattr("cigf.inference.onnx_graph.LARGEST", 1000)
    with pytest.raises(ConfigError, match="an ONNX file holds 2; export the factors as parquet"):
        export(load_artifact(artifact_folder), tmp_path / "scorer.onnx", "onnx")


def test_without_the_extra_the_message_says_what_to_install(artifact_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "cigf.inference.onnx_graph", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'cigf\[onnx\]'"):
        export(load_artifact(artifact_folder), tmp_path / "scorer.onnx", "onnx")


def test_what_is_wrong_is_refused_before_anything_is_written(artifact_folder, tmp_path):
    artifact, out = load_artifact(artifact_folder), tmp_path / "out"
    with pytest.raises(ConfigError, match=r"format 'parket' is unknown; did you mean parquet\?"):
        export(artifact, out, "parket")
    with pytest.raises(DataError, match="'bye'"):
        export(artifact, out, "parquet", behavior="bye")
    assert not out.exists()
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        export(artifact, out, "safetensors")
    export(artifact, out, "safetensors", force=True)
    assert load_file(out)["scale"].tolist() == [parse_model_config("cigf", CONFIG).score_scale]
