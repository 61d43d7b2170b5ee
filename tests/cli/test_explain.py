"""`cigf explain` on a trained run, and each wrong way."""

import json

import pytest

from cigf.inference.recommender import TrainedRecommender
from command_line import fails, run


def test_explain_says_why_the_first_recommendation_is_there(trained):
    recommender = TrainedRecommender.load(trained)
    found = recommender.explain("u03", k=3)
    assert found.item == recommender.recommend("u03", 1)["item_id"][0]
    result = run("explain", trained, "--user", "u03", "--k", 3)
    shown = " ".join(result.stdout.split())
    for part in (f"item {found.item}: buy score", "expert gate share", "average user"):
        assert part in shown
    heaviest = found.relations["walk"][0]
    assert " > ".join(heaviest) in shown
    assert all(text in shown for text in found.paths["text"])
    assert "all shares add up to the score" in result.stderr


def test_explain_prints_json(trained):
    item = TrainedRecommender.load(trained).items[7]
    options = ("--user", "u17", "--item", item, "--behavior", "cart", "--json")
    found = json.loads(run("explain", trained, *options).stdout)
    assert (found["user"], found["item"], found["behavior"]) == ("u17", item, "cart")
    total = sum(row["share"] for row in found["layers"])
    assert total == pytest.approx(found["score"], rel=1e-3, abs=1e-3)
    assert {len(row["relation"]) for row in found["relations"]} == {2}
    assert [row["expert"] for row in found["experts"]] == ["view", "cart", "buy"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--user", "nobody"), "user 'nobody' is not known"),
        (("--user", "u03", "--item", "nothing"), "item 'nothing' is not known"),
        (("--user", "u03", "--behavior", "bye"), "did you mean buy?"),
    ],
)
def test_explain_refuses(trained, options, message):
    assert message in fails("explain", trained, *options)
