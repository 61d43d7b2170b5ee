import json

import numpy as np
import pytest
import torch
from inference_toys import EVERY, make, random_history, write_artifact

from cigf.errors import ArtifactError, ConfigError
from cigf.inference.artifact import load_artifact
from cigf.inference.manifest import read_manifest, write_manifest
from cigf.inference.opened import map_tensors, open_artifact
from cigf.inference.quick_scores import FactorScores
from cigf.inference.torch_side import TorchSide
from cigf.ranking import ScoreFactors

HEADS = [{}, {"head": "bilinear"}, {"head": "shared-bottom"}]
BEHAVIORS = ["view", "add/cart", "buy"]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("behavior", range(3))
def test_written_factors_give_the_models_scores(tmp_path, head, behavior):
    write_artifact(tmp_path / "a", random_history(), config={"embedding_size": 5, **head})
    opened, artifact = open_artifact(tmp_path / "a"), load_artifact(tmp_path / "a")
    scores = FactorScores(opened.factors(BEHAVIORS[behavior]), behavior)
    expected = artifact.scorer(BEHAVIORS[behavior]).block(torch.tensor([2, 7])).numpy()
    users = [scores.trained(2), scores.trained(7)]
    np.testing.assert_allclose(scores.score(users), expected, rtol=1e-4, atol=1e-4)
    some = scores.score_some(users[1], np.array([5, 0]))
    np.testing.assert_allclose(some, expected[1, [5, 0]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "config"), EVERY)
def test_every_model_is_opened_with_the_factors_that_its_scores_have(tmp_path, name, config):
    artifact, opened = make(tmp_path / "a", name, config), open_artifact(tmp_path / "a")
    for number, behavior in enumerate(BEHAVIORS):
        try:
            scorer = artifact.scorer(behavior)
        except ConfigError:  # it predicts the target alone
            assert opened.factors(behavior) is None
            continue
        factors = opened.factors(behavior)
        is_factors = isinstance(scorer, ScoreFactors) and scorer.corrections is None
        assert (factors is not None) == is_factors
        if factors is not None:
            scores = FactorScores(factors, number)
            found = scores.score([scores.trained(3)])[0]
            expected = scorer.block(torch.tensor([3]))[0].numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_representations_are_not_written_twice(artifact_folder):
    entry = read_manifest(artifact_folder).factors["buy"]
    assert entry.users == "representations.safetensors:users"
    assert entry.items == "representations.safetensors:items"
    assert entry.user_gates.startswith("factors.safetensors:")


def test_models_without_factors_write_none(tmp_path):
    write_artifact(tmp_path / "a", random_history(), config={"head": "mmoe"})
    opened = open_artifact(tmp_path / "a")
    assert opened.factors("buy") is None
    artifact = load_artifact(tmp_path / "a")
    scores = TorchSide.load(opened).scores(2)
    expected = artifact.scorer().block(torch.tensor([4])).numpy()
    user = scores.trained(4)
    np.testing.assert_allclose(scores.score([user]), expected)
    some = scores.score_some(user, np.array([6, 1]))
    np.testing.assert_allclose(some, expected[0, [6, 1]], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("head", [*HEADS, {"head": "mmoe"}])
def test_users_folded_in_with_their_events_of_training_score_as_trained(tmp_path, head):
    history = random_history()
    write_artifact(tmp_path / "a", history, config={"embedding_size": 5, **head})
    opened = open_artifact(tmp_path / "a")
    side = TorchSide.load(opened)
    known = [
        tuple(m.indices[m.indptr[row] : m.indptr[row + 1]].astype(np.int64) for m in matrices)
        for matrices in [history.interactions]
        for row in range(history.n_users)
    ]
    folded = side.fold([(each, row) for row, each in enumerate(known)])
    for behavior, name in enumerate(BEHAVIORS):
        factors = opened.factors(name)
        scores = side.scores(behavior) if factors is None else FactorScores(factors, behavior)
        trained = scores.score([scores.trained(row) for row in range(history.n_users)])
        again = scores.score([scores.folded(user) for user in folded])
        np.testing.assert_allclose(again, trained, rtol=1e-4, atol=1e-4)


def test_an_artifact_that_took_the_place_of_another(artifact_folder):
    opened = open_artifact(artifact_folder)
    write_artifact(artifact_folder, random_history(1), seed=1, force=True)
    with pytest.raises(ArtifactError, match="replaced since it was opened; reload the models"):
        TorchSide.load(opened)


def test_files_that_only_torch_reads_are_compared_when_it_does(artifact_folder):
    path = artifact_folder / "memory.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    opened = open_artifact(artifact_folder)
    with pytest.raises(ArtifactError, match=r"memory\.safetensors: altered"):
        TorchSide.load(opened)


def test_factors_that_are_not_there(artifact_folder):
    manifest = read_manifest(artifact_folder)
    entry = manifest.factors["buy"].model_copy(update={"users": "factors.safetensors:99"})
    write_manifest(artifact_folder, manifest.model_copy(update={"factors": {"buy": entry}}))
    opened = open_artifact(artifact_folder)
    with pytest.raises(ArtifactError, match=r"there is no array 'factors\.safetensors:99'"):
        opened.factors("buy")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        (1 << 40).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"{]",
        (50).to_bytes(8, "little") + json.dumps({"a": {"dtype": "I7"}}).encode().ljust(50),
    ],
)
def test_files_that_are_no_safetensors(artifact_folder, content):
    path = artifact_folder / "factors.safetensors"
    path.write_bytes(content)
    manifest = read_manifest(artifact_folder)
    with pytest.raises(ArtifactError, match="not a safetensors file"):
        map_tensors(path, manifest)


def test_what_was_truncated_is_named(artifact_folder):
    path = artifact_folder / "factors.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ArtifactError, match="truncated or altered"):
        open_artifact(artifact_folder)
