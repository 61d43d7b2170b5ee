"""The report of a run from facts written down here."""

from dataclasses import replace

import polars as pl
import pytest

from cigf.data.describe import Description
from cigf.reports.cautions import cautions, percent
from cigf.reports.charts import Value
from cigf.reports.page import render
from cigf.reports.run_facts import Difference, Quality, RunFacts, UserGroup, UserLists
from cigf.reports.run_page import duration, run_page


def description(**changes):
    behaviors = pl.DataFrame(
        {
            "behavior": ["view", "buy"],
            "n_pairs": [400, 30],
            "density": [0.1, 0.01],
            "n_users": [61, 20],
            "n_items": [43, 12],
            "mean_per_user": [6.5, 0.5],
            "median_per_user": [5.0, 0.0],
            "max_per_user": [20, 3],
            "target_share": [0.05, 1.0],
        }
    )
    activity = pl.DataFrame(
        {"behavior": ["view"] * 3, "n_interactions": [0, 1, 20], "n_users": [1, 30, 30]}
    )
    overlaps = pl.DataFrame(
        {"subset": ["view", "buy", "view + buy"], "n_pairs": [380, 0, 20], "n_users": [60, 0, 15]}
    )
    held_out = pl.DataFrame(
        {"part": ["test"], "behavior": ["buy"], "n_pairs": [1000], "n_users": [900]}
    )
    fields = (behaviors, activity, overlaps, held_out)
    return Description(61, 43, *fields, "test: the last <pair>")


def measured(value):
    groups = {
        group: {
            "hr@10": Value(value, value - 0.02, value + 0.02),
            "ndcg@10": Value(value / 2, value / 2 - 0.01, value / 2 + 0.01),
        }
        for group in ("all", "touched", "new")
    }
    return {"full": groups, "1+99": groups}


QUALITY = Quality(
    part="test",
    k=10,
    n_pairs={"all": 1000, "touched": 400, "new": 600},
    n_users=900,
    measured={
        "model": measured(0.4),
        "popularity": measured(0.1),
        "touched_first": measured(0.3),
    },
    differences={
        (rule, protocol, group): Difference(0.1, 0.05, 0.15)
        for rule in ("popularity", "touched_first")
        for protocol in ("full", "1+99")
        for group in ("all", "touched", "new")
    },
    by_activity=[
        UserGroup("1 to 5", 450, {"model": Value(0.5, 0.45, 0.55)}),
        UserGroup("6 to 99", 450, {"model": Value(0.3, 0.25, 0.35)}),
    ],
    by_correlation=[],
    protocol="full",
)


def epoch(number, loss, value=None):
    metrics = None if value is None else {"ndcg@10/1+99": value}
    return {"epoch": number, "loss": loss, "losses": {"view": loss, "buy": 0.0}, "metrics": metrics}


FACTS = RunFacts(
    run="runs/one",
    model="cigf",
    info={"epochs": 3, "train_seconds": 90.0, "selected_epoch": 2, "seed": 7, "reason": "done"},
    options=[("seed", "", "7", True), ("training", "epochs", "3", False)],
    epochs=[epoch(1, 3.0, 0.1), epoch(2, 2.0, 0.195), epoch(3, 1.9, 0.194)],
    metric="ndcg@10/1+99",
    description=description(),
    dropped={},
    has_times=True,
    quality=QUALITY,
    shown_items=0.5,
    listed_users=61,
    relations=None,
    gates=None,
    users=[UserLists("u<1>", {"buy": ["tea-1"]}, {"discover": ["tea-2", "tea-3"]}, ["tea-3"])],
)


def with_quality(**changes):
    return replace(FACTS, quality=replace(QUALITY, **changes))


def with_difference(rule, group, low, high):
    changed = {(rule, "full", group): Difference((low + high) / 2, low, high)}
    return with_quality(differences={**QUALITY.differences, **changed})


def test_a_run_in_which_nothing_stands_out_has_no_cautions():
    assert cautions(FACTS) == []
    assert "Nothing that stands out was found." in render(run_page(FACTS))


@pytest.mark.parametrize(
    ("facts", "heading", "words"),
    [
        (
            with_difference("popularity", "new", -0.2, -0.1),
            "Popularity beats the model for discoveries.",
            "HR@10 (full): the model 40 %, popularity 10 %.",
        ),
        (
            with_difference("touched_first", "all", -0.2, -0.1),
            "The touched-first rule beats the model over all pairs.",
            "the model 40 %, the touched-first rule 30 %",
        ),
        (
            with_difference("popularity", "all", -0.01, 0.02),
            "The model and popularity cannot be told apart over all pairs.",
            "The interval of the difference in NDCG holds zero.",
        ),
        (
            with_quality(n_pairs={"all": 1000, "touched": 820, "new": 180}),
            "82 % of the held-out pairs are of items the user had met before.",
            "Read touched pairs and discoveries apart",
        ),
        (
            with_quality(n_pairs={"all": 1000, "touched": 900, "new": 100}),
            "Only 100 held-out pairs are new.",
            "rough",
        ),
        (
            with_quality(n_users=61),
            "Only 61 users were tested.",
            "HR@10 lies between 38 % and 42 % with 95 % confidence",
        ),
        (with_quality(part="valid"), "These are validation pairs.", "a little too good"),
        (replace(FACTS, quality=None), "Nothing was held out.", "cannot say"),
        (replace(FACTS, has_times=False), "The log has no times.", "gaps"),
        (
            replace(FACTS, epochs=[epoch(1, 3.0, 0.1), epoch(2, 2.0, 0.2), epoch(3, 1.0, 0.15)]),
            "The model began to overfit.",
            "After epoch 2 the loss fell from 2.000 to 1.000, but ndcg@10/1+99 on the validation "
            "pairs fell from 0.200 to 0.150. Epoch 2 was kept.",
        ),
        (
            replace(FACTS, epochs=[epoch(1, 3.0, 0.1), epoch(2, 2.0, 0.2)]),
            "The last validated epoch is the best one.",
            "still rising in epoch 2",
        ),
        (
            replace(FACTS, epochs=[epoch(1, 3.0), epoch(2, 2.0)]),
            "No epoch was validated.",
            "The last one",
        ),
        (
            replace(FACTS, epochs=[epoch(1, 3.0, 0.1), epoch(2, 2.0, 0.3), epoch(3, 1.9, 0.3)]),
            "The test is clearly below the validation.",
            "0.300 on the validation pairs of the kept epoch, 0.200 on the test pairs",
        ),
        (
            replace(FACTS, shown_items=4 / 43),
            "The lists show 9.3 % of the catalog.",
            "hold 4 of 43 items",
        ),
    ],
)
def test_what_stands_out_is_said(facts, heading, words):
    found = dict(cautions(facts))
    assert words in found[heading]
    assert heading in render(run_page(facts))


def test_rules_that_beat_the_model_alike_are_named_together():
    worse = Difference(-0.1, -0.2, -0.05)
    both = {(rule, "full", "touched"): worse for rule in ("popularity", "touched_first")}
    facts = with_quality(differences={**QUALITY.differences, **both})
    ((heading, words),) = cautions(facts)
    assert heading == ("The touched-first rule and popularity beat the model for touched pairs.")
    assert "the model 40 %, the touched-first rule 30 %, popularity 10 %" in words


def test_the_answer_stands_first():
    page = run_page(FACTS)
    assert page.lead.endswith(
        "Of 1,000 held-out ones it puts 40 % among the first 10 of the whole catalog; popularity "
        "10 % and touched first 30 %."
    )
    (cards,) = page.blocks
    assert ("HR@10, discoveries", "40 %", "popularity: 10 %") in cards.cards
    assert ("Training", "90.0 s", "3 epochs") in cards.cards


def test_every_section_is_there_and_those_without_content_are_not():
    assert [section.id for section in run_page(FACTS).sections] == [
        "careful", "quality", "served", "users", "training", "data", "settings",
    ]  # fmt: skip
    bare = replace(FACTS, quality=None, users=[], epochs=[])
    assert [section.id for section in run_page(bare).sections] == ["careful", "data", "settings"]
    assert "Nothing was held out to judge it by" in run_page(bare).lead


def test_what_a_user_went_on_to_take_is_marked():
    html = render(run_page(FACTS))
    assert "tea-<wbr>3 <em>taken next</em>" in html
    assert "tea-<wbr>2</li>" in html
    assert "User u&lt;1&gt;" in html
    assert "Test: the last &lt;pair&gt;." in html


def test_groups_are_compared_and_chance_is_named():
    html = render(run_page(FACTS))
    assert "serves users with 1 to 5 interactions best (HR@10 50 %)" in html
    assert "may be chance" not in html
    close = [replace(each, values={"model": Value(0.4, 0.1, 0.7)}) for each in QUALITY.by_activity]
    assert "may be chance" in render(run_page(with_quality(by_activity=close)))
    alone = with_quality(by_activity=close[:1])
    assert "too few users to tell groups apart" in render(run_page(alone))


def test_options_that_are_not_defaults_are_marked():
    *_, settings = run_page(FACTS).sections
    note, table = settings.blocks[1].blocks
    assert note.text == "Marked: not the default of this model."
    assert table.marked == [0]
    same = replace(FACTS, options=[("seed", "", "0", False)])
    assert "All are defaults." in render(run_page(same))


@pytest.mark.parametrize(
    ("seconds", "words"), [(1.26, "1.3 s"), (600, "10.0 min"), (9000, "2.5 h")]
)
def test_times_have_fitting_units(seconds, words):
    assert duration(seconds) == words


def test_small_shares_have_a_digit_more():
    assert (percent(0.0312), percent(0.312)) == ("3.1 %", "31 %")
