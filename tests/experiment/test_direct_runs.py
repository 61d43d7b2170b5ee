"""Runs of models that are computed in one go: the same folder, artifact and answers as others."""

import json

import numpy as np
import pytest
import torch

from cigf.cli.progress import TrainingProgress
from cigf.data.options import PrepareOptions
from cigf.data.prepare import prepare
from cigf.data.synthetic import generate_log
from cigf.errors import ConfigError
from cigf.experiment.config import load_experiment
from cigf.experiment.evaluating import evaluate_run
from cigf.experiment.tensorboard import scalars
from cigf.experiment.training import train_run
from cigf.inference.recommender import TrainedRecommender
from cigf.service.model import ServedModel
from cigf.training.events import EpochRecord


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("direct")
    log = generate_log(61, 43, 3001, generator=np.random.default_rng(0))
    prepare(log, folder / "data", PrepareOptions())
    for name in ("item-knn", "popularity"):
        train_run(folder / "data", folder / name, load_experiment(None, [], name))
    return folder


def test_a_run_is_one_epoch_with_its_validation(runs):
    (line,) = (runs / "item-knn" / "metrics.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["losses"] == {}
    assert record["metrics"]["hr@10/full"] > 0
    assert json.loads((runs / "item-knn" / "run.json").read_text())["status"] == "finished"


def test_it_is_evaluated_like_any_other(runs):
    result = evaluate_run(runs / "popularity", n_bootstrap=0)
    ours = result["metrics"]["full"]["all"]["hr@10"]
    # The reference also knows the pairs that validation had withheld.
    assert ours == pytest.approx(result["reference"]["popularity"]["full"]["all"]["hr@10"], abs=0.1)


def test_users_folded_in_with_their_events_get_their_lists(runs):
    recommender = TrainedRecommender.load(runs / "item-knn")
    user = recommender.users[3]
    learned = recommender.artifact.learned
    row = learned.users.row(user)
    events = {
        name: learned.items.external(matrix[[row]].indices.astype(np.int64)).to_list()
        for name, matrix in zip(learned.behaviors, learned.interactions, strict=True)
    }
    bought = recommender.history(user).filter(behavior="buy")["item_id"].to_list()
    expected = recommender.recommend([user], 5)
    found = recommender.recommend_for(events, 5, user=user, history="replace", deny=bought)
    assert found["item_id"].to_list() == expected["item_id"].to_list()
    assert len(recommender.recommend_for({"view": events["view"]}, 5)) == 5


def test_similar_items_are_by_the_models_own_measure(runs):
    recommender = TrainedRecommender.load(runs / "item-knn")
    item = recommender.items[0]
    similar = recommender.similar_items(item, 3)
    cosines = recommender.artifact.model.similar_items(0)
    assert similar["score"].to_list() == torch.topk(cosines, 3).values.tolist()
    items, scores = ServedModel.load("shop", runs / "item-knn").similar(str(item), 3)
    assert (items, scores) == (similar["item_id"].to_list(), similar["score"].to_list())
    with pytest.raises(ConfigError, match="item-knn has no vectors of users"):
        recommender.similar_users(recommender.users[0], 3)
    with pytest.raises(ConfigError, match="Popularity knows no similarity"):
        TrainedRecommender.load(runs / "popularity").similar_items(item, 3)


def test_progress_and_curves_say_nothing_of_losses():
    record = EpochRecord(1, 2.0, {}, 0.0, 0, {"ndcg@10/full": 0.25}, best=True)
    progress = TrainingProgress("ndcg@10/full")
    progress.on_start(1, 3, 0)
    assert progress._line(record) == "epoch 1/1  ndcg@10/full 0.2500 best  left 0:00"
    assert scalars(record) == {"valid/ndcg@10/full": 0.25}
