import pytest
from inference_toys import random_history, write_artifact

from cigf.inference.artifact import load_artifact
from cigf.inference.recommender import TrainedRecommender


@pytest.fixture
def history():
    return random_history()


@pytest.fixture
def artifact_folder(tmp_path, history):
    write_artifact(tmp_path / "artifact", history)
    return tmp_path / "artifact"


@pytest.fixture
def recommender(artifact_folder):
    return TrainedRecommender(load_artifact(artifact_folder))
