import json
import shutil

import numpy as np
import pytest
import torch
from inference_toys import N_BEHAVIORS, N_ITEMS, N_USERS, random_history, write_artifact
from safetensors.torch import load_file, save_file

from cigf.data.dataset import build_matrix
from cigf.errors import ArtifactError, ConfigError, DataError, OutputError
from cigf.inference.artifact import find_artifact, load_artifact
from cigf.inference.manifest import describe_files, read_manifest, write_manifest
from cigf.inference.recommender import TrainedRecommender


def rewrite(folder, **changes):
    """Change the manifest, and let it describe the files as they are now."""
    manifest = read_manifest(folder)
    (folder / "manifest.json").unlink()
    files = {"files": describe_files(folder)}
    write_manifest(folder, manifest.model_copy(update={**files, **changes}))


def test_what_is_loaded_is_what_was_saved(tmp_path, history):
    model, encoded = write_artifact(tmp_path / "a", history)
    artifact = load_artifact(tmp_path / "a")
    assert torch.equal(artifact.representations.users, encoded.users)
    assert torch.equal(artifact.representations.items, encoded.items)
    for name, tensor in model.state_dict().items():
        assert torch.equal(artifact.model.state_dict()[name], tensor)
    assert artifact.memory.keys() == {"items.1", "item_degrees"}
    assert artifact.history.fingerprint == history.fingerprint
    assert artifact.history.users == history.users
    assert artifact.history.items == history.items
    assert not any(p.requires_grad for p in artifact.model.parameters())


def test_a_folder_with_a_pattern_s_marks_in_its_name_is_read_itself(tmp_path, history):
    write_artifact(tmp_path / "a[1]", history)
    assert load_artifact(tmp_path / "a[1]").history.users == history.users


def test_the_graph_is_that_of_the_history_without_what_was_withheld(tmp_path):
    history, withheld = random_history(seed=0), random_history(seed=1).interactions
    kept = [a.toarray() * b.toarray() for a, b in zip(history.interactions, withheld, strict=True)]
    withheld = (empty(), *(build_matrix(*each.nonzero(), each.shape) for each in kept[1:]))
    write_artifact(tmp_path / "a", history, withheld=withheld)
    artifact = load_artifact(tmp_path / "a")
    assert sorted(path.name for path in (tmp_path / "a" / "withheld").iterdir()) == [
        f"{behavior}.{part}.npy" for behavior in (1, 2) for part in ("indices", "indptr")
    ]
    for behavior, (known, less) in enumerate(zip(history.interactions, withheld, strict=True)):
        expected = known.toarray() - less.toarray()
        assert (artifact.learned.interactions[behavior].toarray() == expected).all()
        degrees = artifact.graph.to_users[behavior].degrees.numpy()
        assert (degrees == expected.sum(1)).all()
    artifact.save(tmp_path / "copy")
    assert describe_files(tmp_path / "copy") == describe_files(tmp_path / "a")


def empty():
    none = np.empty(0, dtype=np.int64)
    return build_matrix(none, none, (N_USERS, N_ITEMS))


def test_what_was_withheld_must_fit_the_manifest(tmp_path, history):
    write_artifact(tmp_path / "a", history, withheld=(empty(), empty(), history.target))
    np.save(tmp_path / "a" / "withheld" / "2.indptr.npy", np.arange(N_USERS + 1)[::-1])
    rewrite(tmp_path / "a")
    with pytest.raises(ArtifactError, match=r"withheld/2\.indptr\.npy: indptr and indices do not"):
        load_artifact(tmp_path / "a")


@pytest.mark.parametrize("behavior", [None, "view", "add/cart", "buy"])
def test_scores_are_those_of_the_model(tmp_path, history, behavior):
    model, encoded = write_artifact(tmp_path / "a", history)
    users = torch.arange(N_USERS)
    index = 2 if behavior is None else history.behaviors.index(behavior)
    expected = model.scorer(encoded, index).block(users)
    found = load_artifact(tmp_path / "a").scorer(behavior).block(users)
    torch.testing.assert_close(found, expected.detach(), rtol=0, atol=0)
    assert found.shape == (N_USERS, N_ITEMS)


def test_scores_can_be_computed_elsewhere(artifact_folder):
    artifact = load_artifact(artifact_folder)
    there = artifact.scorer(device="meta")
    assert there.device.type == "meta"
    assert {each.device.type for each in artifact.model.parameters()} == {"cpu"}
    assert artifact.scorer().device.type == "cpu"


def test_known_users_are_ranked_elsewhere_and_folded_in_ones_here(artifact_folder):
    recommender = TrainedRecommender.load(artifact_folder, "meta")
    with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
        recommender.recommend(recommender.users, 3)  # "meta" computes nothing
    folded = recommender.fold_in({"buy": [recommender.items[1]]})
    assert recommender.recommend_for(folded, 3).height == 3


def test_an_unknown_behavior_has_no_scorer(artifact_folder):
    with pytest.raises(DataError, match=r"behavior 'bye' .* did you mean buy"):
        load_artifact(artifact_folder).scorer("bye")


def test_a_model_of_the_target_alone_says_so(artifact_folder, monkeypatch):
    artifact = load_artifact(artifact_folder)
    monkeypatch.setattr(type(artifact.model), "learns", "target")
    with pytest.raises(ConfigError, match="cigf predicts buy alone; view given"):
        artifact.scorer("view")
    assert artifact.scorer("buy").n_users == N_USERS


def test_equal_input_gives_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_artifact(tmp_path / name, random_history())
    first, second = (describe_files(tmp_path / name) for name in ("a", "b"))
    assert first == second
    assert len(first) == 8 + 2 * N_BEHAVIORS


def test_other_weights_give_other_bytes(tmp_path, history):
    for seed in (0, 1):
        write_artifact(tmp_path / str(seed), history, seed)
    assert describe_files(tmp_path / "0") != describe_files(tmp_path / "1")


def test_an_existing_folder_is_replaced_only_by_force(artifact_folder, history):
    with pytest.raises(OutputError, match=r"exists already.*--force"):
        write_artifact(artifact_folder, history)
    write_artifact(artifact_folder, history, seed=1, force=True)
    assert load_artifact(artifact_folder).manifest.metadata == {"seed": 1}


def test_a_loaded_artifact_saves_itself_with_the_same_bytes(tmp_path, artifact_folder):
    load_artifact(artifact_folder).save(tmp_path / "copy")
    assert describe_files(tmp_path / "copy") == describe_files(artifact_folder)


def test_the_card_says_what_it_predicts_and_with_which_options(artifact_folder):
    card = (artifact_folder / "MODEL_CARD.md").read_text()
    assert "| predicts | buy |" in card
    assert "11 users and 7 items" in card
    assert "- embedding_size: 5" in card


def test_a_run_stands_for_its_artifact(tmp_path, artifact_folder):
    assert find_artifact(tmp_path) == artifact_folder
    assert load_artifact(tmp_path).path == artifact_folder


def test_a_run_without_artifact_is_to_be_finished(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"no artifact yet.*--resume"):
        load_artifact(tmp_path)


def test_a_missing_folder(tmp_path):
    with pytest.raises(ArtifactError, match="nowhere: no such folder"):
        load_artifact(tmp_path / "nowhere")


def test_a_folder_of_something_else(tmp_path):
    with pytest.raises(ArtifactError, match=r"there is no manifest\.json"):
        load_artifact(tmp_path)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "representations.safetensors", "users.arrow", "MODEL_CARD.md"]
)
def test_a_truncated_file_is_named(artifact_folder, name):
    path = artifact_folder / name
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ArtifactError, match=f"{name}: truncated or altered: .* bytes"):
        load_artifact(artifact_folder)


def test_an_altered_file_is_named(artifact_folder):
    path = artifact_folder / "seen" / "1.indices.npy"
    content = bytearray(path.read_bytes())
    content[-4] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=r"1\.indices\.npy: altered: its sha256"):
        load_artifact(artifact_folder)


def test_a_missing_file_is_named(artifact_folder):
    (artifact_folder / "items.arrow").unlink()
    with pytest.raises(ArtifactError, match=r"items\.arrow: missing"):
        load_artifact(artifact_folder)


def test_a_newer_format_is_refused(artifact_folder):
    rewrite(artifact_folder, format_version=2)
    with pytest.raises(ArtifactError, match=r"format version 2 is newer .* update cigf"):
        load_artifact(artifact_folder)


def test_another_format_is_refused(artifact_folder):
    rewrite(artifact_folder, format="something")
    with pytest.raises(ArtifactError, match="not the manifest of an artifact"):
        load_artifact(artifact_folder)


def test_a_truncated_manifest(artifact_folder):
    path = artifact_folder / "manifest.json"
    path.write_text(path.read_text()[:-9])
    with pytest.raises(ArtifactError, match=r"manifest\.json: truncated or damaged"):
        load_artifact(artifact_folder)


def test_a_manifest_that_lacks_a_field(artifact_folder):
    path = artifact_folder / "manifest.json"
    values = json.loads(path.read_text())
    del values["behaviors"]
    path.write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match="damaged: behaviors is required"):
        load_artifact(artifact_folder)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd"])
def test_a_manifest_that_points_elsewhere(artifact_folder, name):
    manifest = read_manifest(artifact_folder)
    entry = next(iter(manifest.files.values()))
    files = {"files": {name: entry}}
    write_manifest(artifact_folder, manifest.model_copy(update=files))
    with pytest.raises(ArtifactError, match="leaves the folder"):
        load_artifact(artifact_folder)


def replace_tensor(path, name, change):
    tensors = load_file(path)
    tensors[name] = change(tensors[name])
    save_file({k: t.contiguous() for k, t in tensors.items()}, path)


def test_an_array_of_another_shape(artifact_folder):
    path = artifact_folder / "representations.safetensors"
    replace_tensor(path, "users", lambda users: users[:-1])
    rewrite(artifact_folder)
    with pytest.raises(ArtifactError, match=r"users is float32 \(10, 3, 5\).*\(11, 3, 5\)"):
        load_artifact(artifact_folder)


def test_an_array_of_another_type(artifact_folder):
    path = artifact_folder / "representations.safetensors"
    replace_tensor(path, "items", lambda items: items.double())
    rewrite(artifact_folder)
    with pytest.raises(ArtifactError, match="items is float64"):
        load_artifact(artifact_folder)


def test_an_array_that_is_not_in_the_manifest(artifact_folder):
    path = artifact_folder / "representations.safetensors"
    save_file({**load_file(path), "more": torch.zeros(2)}, path)
    rewrite(artifact_folder)
    with pytest.raises(ArtifactError, match="more is not in the manifest"):
        load_artifact(artifact_folder)


def test_an_array_that_is_not_in_the_file(artifact_folder):
    path = artifact_folder / "representations.safetensors"
    save_file({"users": load_file(path)["users"]}, path)
    rewrite(artifact_folder)
    with pytest.raises(ArtifactError, match="items is in the manifest but not in the file"):
        load_artifact(artifact_folder)


def test_representations_of_other_users_than_the_manifest_counts(artifact_folder, history):
    path = artifact_folder / "representations.safetensors"
    replace_tensor(path, "users", lambda users: users[:-1])
    arrays = dict(read_manifest(artifact_folder).arrays)
    entry = arrays["representations.safetensors:users"]
    shape = {"shape": (N_USERS - 1, *entry.shape[1:])}
    arrays["representations.safetensors:users"] = entry.model_copy(update=shape)
    rewrite(artifact_folder, arrays=arrays)
    with pytest.raises(ArtifactError, match=r"users is \(10, 3, 5\).* demands \(11, B, D\)"):
        load_artifact(artifact_folder)


@pytest.mark.parametrize(("field", "n"), [("n_users", 13), ("n_items", 13)])
def test_other_ids_than_the_manifest_counts(artifact_folder, field, n):
    rewrite(artifact_folder, **{field: n})
    with pytest.raises(ArtifactError, match="ids, the manifest says 13"):
        load_artifact(artifact_folder)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("indices", lambda values: values + N_ITEMS),
        ("indices", lambda values: -values - 1),
        ("indptr", lambda values: values[::-1].copy()),
        ("indptr", lambda values: values + 1),
        ("indptr", lambda values: np.where(np.arange(len(values)) == 1, values[-1], values)),
    ],
)
def test_histories_that_are_no_matrix(artifact_folder, part, change):
    path = artifact_folder / "seen" / f"0.{part}.npy"
    np.save(path, change(np.load(path)))
    rewrite(artifact_folder)
    with pytest.raises(ArtifactError, match=r"0\.indptr\.npy: .* do not describe a \(11, 7\)"):
        load_artifact(artifact_folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("users.arrow", "not a table of ids"),
        ("representations.safetensors", "not a safetensors file"),
        ("seen/0.indptr.npy", "not a NumPy array"),
    ],
)
def test_files_of_another_kind(artifact_folder, name, message):
    (artifact_folder / name).write_bytes(b"something else")
    rewrite(artifact_folder)
    with pytest.raises(ArtifactError, match=f"{name}: {message}"):
        load_artifact(artifact_folder)


def test_a_pickle_in_place_of_an_array_is_not_opened(artifact_folder):
    np.save(artifact_folder / "seen" / "0.indptr.npy", np.array([{}]), allow_pickle=True)
    rewrite(artifact_folder)
    with pytest.raises(ArtifactError, match="not a NumPy array"):
        load_artifact(artifact_folder)


def test_a_model_that_does_not_exist(artifact_folder):
    rewrite(artifact_folder, model="cigff")
    with pytest.raises(ArtifactError, match=r"cannot be built: .* did you mean cigf"):
        load_artifact(artifact_folder)


def test_options_that_do_not_exist(artifact_folder):
    rewrite(artifact_folder, config={"n_layer": 2})
    with pytest.raises(ArtifactError, match=r"cannot be built: .* did you mean n_layers"):
        load_artifact(artifact_folder)


def test_options_of_another_shape_than_the_parameters(artifact_folder):
    rewrite(artifact_folder, config={"embedding_size": 3})
    with pytest.raises(ArtifactError, match=r"model\.safetensors: does not fit the manifest"):
        load_artifact(artifact_folder)


def test_histories_of_another_type(artifact_folder):
    path = artifact_folder / "seen" / "0.indices.npy"
    np.save(path, np.load(path).astype(np.int64))
    arrays = dict(read_manifest(artifact_folder).arrays)
    entry = arrays["seen/0.indices.npy"]
    arrays["seen/0.indices.npy"] = entry.model_copy(update={"dtype": "int64"})
    rewrite(artifact_folder, arrays=arrays)
    with pytest.raises(ArtifactError, match="do not describe a"):
        load_artifact(artifact_folder)


def test_a_folder_that_was_moved_still_loads(tmp_path, artifact_folder):
    shutil.move(artifact_folder, tmp_path / "elsewhere")
    assert load_artifact(tmp_path / "elsewhere").history.n_users == N_USERS
