import pytest

from cigf.inference.recommender import TrainedRecommender
from cigf.service.asked import ListOptions
from cigf.service.model import ServedModel
from inference.inference_toys import EVERY, make


@pytest.mark.parametrize(("name", "config"), EVERY)
def test_every_model_is_served_with_the_lists_of_recommend(tmp_path, name, config):
    artifact = make(tmp_path / "a", name, config)
    expected = TrainedRecommender(artifact).recommend(["u3"], 4)
    served = ServedModel.load("shop", tmp_path / "a")
    ask = served.ask("u3", {}, ListOptions(k=4))
    answer = served.answer("u3", ask, *served.quick.rank([ask]))
    assert answer.items == expected["item_id"].to_list()
    assert answer.scores == pytest.approx(expected["score"].to_list(), rel=1e-4, abs=1e-4)
