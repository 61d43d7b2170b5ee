from urllib.parse import quote

import pytest

from cigf.inference.recommender import TrainedRecommender
from inference.inference_toys import random_history, write_artifact


def test_why_a_user_gets_an_item(server, folder):
    answer = server.get("/explain/u3/104?k=2&behavior=view")
    expected = TrainedRecommender.load(folder).explain("u3", 104, behavior="view", k=2).to_json()
    assert (answer.pop("user_id"), answer.pop("item_id")) == ("u3", 104)
    assert (answer.pop("model"), answer.pop("behavior")) == ("shop", "view")
    assert answer.pop("version")
    assert sum(layer["share"] for layer in answer["layers"]) == pytest.approx(answer["score"], 1e-4)
    assert answer["paths"] == expected["paths"]
    assert set(answer) == {"score", "paths", "layers", "experts", "relations"}


def test_without_an_item_it_is_the_first_of_her_list(server):
    first = server.get("/recommend/u3?k=1")["items"][0]["item_id"]
    assert server.get("/explain/u3")["item_id"] == first


def test_ids_with_slashes(start, make, tmp_path):
    users = ["a/b", *(f"u{row}" for row in range(1, 11))]
    items = ["x/y", *(f"i{row}" for row in range(1, 7))]
    write_artifact(tmp_path / "other", random_history(user_ids=users, item_ids=items))
    server = start(make({"other": tmp_path / "other"}))
    assert server.get("/explain/a%2Fb")["user_id"] == "a/b"
    answer = server.get("/explain/a%2Fb/x%2Fy")
    assert (answer["user_id"], answer["item_id"]) == ("a/b", "x/y")
    assert "as %2F" in server.refused(server.get("/explain/a/b/x", status=422))


def test_ids_that_begin_or_end_with_a_slash(start, make, tmp_path):
    users = ["/a", "b/", "/", "l" * 250, *(f"u{row}" for row in range(4, 11))]
    items = ["/x", "y/", "/", "m/" * 125, *(f"i{row}" for row in range(4, 7))]
    write_artifact(tmp_path / "other", random_history(user_ids=users, item_ids=items))
    server = start(make({"other": tmp_path / "other"}))
    for user in users[:4]:
        path = f"/explain/{quote(user, safe='')}"
        assert server.get(path)["user_id"] == user
        for item in items[:4]:
            answer = server.get(f"{path}/{quote(item, safe='')}")
            assert (answer["user_id"], answer["item_id"]) == (user, item)


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("/explain/nobody", 404, "this user is not in the model"),
        ("/explain/u3/999", 404, "this item is not in the model"),
        ("/explain/u3?model=x", 404, "there is no such model"),
        ("/explain/u3?behavior=lend", 422, "'lend'"),
        ("/explain/u3?k=0", 422, "k: Input should be greater"),
        ("/explain/u3/", 422, "item: String should have at least 1 character"),
        ("/explain//101", 422, "user: String should have at least 1 character"),
        (f"/explain/{'x' * 200}%2F{'y' * 200}", 422, "an id has 1 to 256 characters"),
    ],
)
def test_what_cannot_be_explained(server, path, status, message):
    assert message in server.refused(server.get(path, status=status))


def test_models_whose_scores_are_no_sums(start, make, tmp_path):
    config = {"embedding_size": 5, "aggregator": "gcn"}
    write_artifact(tmp_path / "other", random_history(), config=config)
    server = start(make({"other": tmp_path / "other"}))
    answer = server.get("/explain/u3", status=501)
    assert answer["error"]["code"] == "not_explainable"
    assert "cannot be explained" in server.refused(answer)
