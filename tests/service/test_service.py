import shutil
import weakref
from threading import Event as Flag

import pytest

from cigf.errors import (
    ArtifactError,
    ConfigError,
    DataError,
    OverloadedError,
    StoppingError,
    UnknownIdError,
)
from cigf.inference.indexing import index_artifact
from cigf.inference.recommender import TrainedRecommender
from cigf.service.asked import ListOptions, ListRequest
from cigf.service.event_log import Event
from cigf.service.late import Late
from cigf.service.recent import Recent
from cigf.service.worker import Worker
from inference.inference_toys import random_history, write_artifact


def lists(service, *users, done=None, model=None, **options):
    request = ListRequest(users, ListOptions(**options), done or {}, model)
    return service.recommend(request).result(10)


@pytest.mark.parametrize("only", ["all", "new", "touched"])
@pytest.mark.parametrize("exclude", [None, (), ("view", "buy")])
def test_lists_are_those_of_the_recommender(service, folder, only, exclude):
    recommender = TrainedRecommender.load(folder)
    users = recommender.users.to_list()
    found = lists(service, *users, k=4, only=only, exclude=exclude)
    expected = recommender.recommend(users, 4, only=only, exclude=exclude)
    for user, each in zip(users, found, strict=True):
        rows = expected.filter(user_id=user)
        assert each.items == rows["item_id"].to_list()
        # The terms of a score are in the thousands here, and float32 rounds each by 1e-4.
        assert each.scores == pytest.approx(rows["score"].to_list(), rel=1e-5, abs=1e-3)
        assert (each.user, each.fallback, each.folded) == (user, False, False)


def test_limits_on_items(service):
    (found,) = lists(service, "u3", allow=("101", "104", "no such"), deny=("104",), exclude=())
    assert found.items == [101]
    with pytest.raises(UnknownIdError, match="allow: the model knows none of the 1 items"):
        lists(service, "u3", allow=("no such",))


def test_an_unknown_user_gets_what_is_popular(service, folder):
    (found,) = lists(service, "nobody", k=3)
    expected = TrainedRecommender.load(folder).recommend("nobody", 3, fallback="popularity")
    assert found.items == expected["item_id"].to_list()
    assert found.fallback


def test_what_was_bought_is_no_longer_recommended(service):
    (before,) = lists(service, "u3")
    bought = str(before.items[0])
    service.add_events([Event("u3", bought, "buy", 0)]).result(10)
    (after,) = lists(service, "u3")
    assert before.items[0] not in after.items
    assert after.folded


def test_what_is_done_now_counts_beside_what_was_posted(service):
    service.add_events([Event("u3", "101", "buy", 0)]).result(10)
    (found,) = lists(service, "u3", done={"buy": ("102",), "view": ("103",)}, exclude=("buy",))
    assert not {101, 102} & set(found.items)


def test_events_of_training_change_nothing(service):
    history = random_history()
    row = history.interactions[0].indices[history.interactions[0].indptr[3]]
    service.add_events([Event("u3", str(100 + row), "view", 0)]).result(10)
    (found,) = lists(service, "u3")
    assert not found.folded


def test_events_survive_a_restart(make):
    first = make()
    first.add_events([Event("u3", "101", "buy", 0), Event("u4", "?", "view", 1)]).result(10)
    first.close()
    second = make()
    assert second.n_events == 2
    assert 101 not in lists(second, "u3")[0].items


def test_behaviors_that_no_model_has(service):
    with pytest.raises(DataError, match="'lend'"):
        service.add_events([Event("u3", "101", "lend", 0)])
    with pytest.raises(DataError, match="'lend'"):
        lists(service, "u3", done={"lend": ("101",)})
    with pytest.raises(DataError, match="'lend'"):
        lists(service, "u3", behavior="lend")
    assert service.n_events == 0


def test_events_need_a_file(make):
    with pytest.raises(ConfigError, match="start it with --events FILE"):
        make(events=False).add_events([Event("u3", "101", "buy", 0)])


def test_many_items_are_searched_by_the_index_of_the_artifact(make, folder, monkeypatch):
    index_artifact(folder)
    found = []
    for many in (7, 8):
        monkeypatch.setattr("cigf.service.model.MANY_ITEMS", many)
        model = make({"shop": folder}, events=False).models.get(None)
        found.append(list(model.quick.indexed))
    assert found == [[2], []]


def test_models_by_name(make, folder, tmp_path):
    write_artifact(tmp_path / "other", random_history(1), seed=1)
    service = make({"a": folder, "b": tmp_path / "other"})
    assert lists(service, "u3")[0].model.name == "a"
    assert lists(service, "u3", model="b")[0].model.name == "b"
    with pytest.raises(UnknownIdError, match="there is no such model; there are a, b"):
        lists(service, "u3", model="shop")


def test_a_reload_replaces_all_models_at_once(make, folder, tmp_path):
    service = make()
    before = service.models.get(None)
    assert service.models.reload()[0].version == before.version
    write_artifact(folder, random_history(1), seed=1, force=True)
    (after,) = service.models.reload()
    assert after.version != before.version
    assert service.models.get("shop") is after
    # Whoever holds the old one can still use it.
    assert before.similar("101", 2)[0]


def test_a_model_that_was_replaced_is_gone_after_the_reload(service):
    before = weakref.ref(service.models.get(None))
    lists(service, "u3", done={"view": ("101",)})
    service.models.reload()
    assert before() is None


def test_a_reload_that_fails_leaves_everything(make, folder):
    service = make()
    before = service.models.get(None)
    shutil.rmtree(folder)
    with pytest.raises(ArtifactError, match="no such folder"):
        service.models.reload()
    assert service.models.get(None) is before
    assert lists(service, "u3")[0].items


def test_large_requests_are_computed_by_the_worker(make, monkeypatch):
    monkeypatch.setattr("cigf.service.service._QUICK", 0)
    slow = make()
    assert [found.user for found in lists(slow, "u3", "nobody", "u5")] == ["u3", "nobody", "u5"]


@pytest.mark.parametrize("quick", [0, 50_000])
def test_a_product_has_no_more_users_than_the_limit_says(make, monkeypatch, quick):
    monkeypatch.setattr("cigf.service.service._QUICK", quick)
    service = make(max_users_at_once=3)
    users = [f"u{n}" for n in range(10)]
    one_by_one = [lists(service, user)[0].items for user in users]
    quick_model, sizes = service.models.get(None).quick, []
    real = quick_model.rank
    monkeypatch.setattr(quick_model, "rank", lambda asks: sizes.append(len(asks)) or real(asks))
    assert [found.items for found in lists(service, *users)] == one_by_one
    assert sizes == [3, 3, 3, 1]


def test_a_service_can_be_closed_twice(service):
    service.close()
    service.close()
    assert not service.is_open


def test_jobs_that_wait_are_done_together_up_to_a_size():
    began, go, sizes = Flag(), Flag(), []

    def work(jobs):
        began.set()
        go.wait(10)
        sizes.append(len(jobs))
        return [-job for job in jobs]

    worker = Worker(work, capacity=9, most=4, name="test")
    futures = [worker.submit(0)]
    began.wait(10)
    futures += [worker.submit(n, size=2) for n in (1, 2, 3)]
    go.set()
    assert [future.result(10) for future in futures] == [0, -1, -2, -3]
    worker.close()
    assert sizes == [1, 2, 1]


def test_a_full_queue_refuses():
    began, go = Flag(), Flag()

    def work(jobs):
        began.set()
        go.wait(10)
        return jobs

    worker = Worker(work, capacity=1, most=1, name="test")
    first = worker.submit("a")
    began.wait(10)
    second = worker.submit("b")
    with pytest.raises(OverloadedError, match="too many requests"):
        worker.submit("c")
    go.set()
    assert (first.result(10), second.result(10)) == ("a", "b")
    worker.close()


def test_who_comes_when_the_worker_is_closed_is_told_at_once():
    worker = Worker(lambda jobs: jobs, capacity=1, most=1, name="test")
    worker.close()
    with pytest.raises(StoppingError, match="the server is stopping"):
        worker.submit("late")


def test_each_caller_is_told_of_an_error():
    def work(jobs):
        if "bad" in jobs:
            raise ValueError("broken")
        return [ConfigError("no") if job == "wrong" else job for job in jobs]

    worker = Worker(work, capacity=9, most=1, name="test")
    with pytest.raises(ValueError, match="broken"):
        worker.submit("bad").result(10)
    with pytest.raises(ConfigError, match="no"):
        worker.submit("wrong").result(10)
    assert worker.submit("good").result(10) == "good"
    worker.close()


def events_of(history, row):
    """What a user did in training, as posted events of hers."""
    return {
        name: tuple(
            str(100 + item) for item in matrix.indices[slice(*matrix.indptr[row : row + 2])]
        )
        for name, matrix in zip(history.behaviors, history.interactions, strict=True)
    }


def test_new_events_change_a_users_vector(service, folder):
    done = {"view": ("101", "102"), "add/cart": ("105",)}
    for name, items in done.items():
        service.add_events([Event("u3", item, name, 0) for item in items]).result(10)
    (found,) = lists(service, "u3", k=4, exclude=())
    expected = TrainedRecommender.load(folder).recommend_for(done, 4, user="u3", exclude=())
    assert found.items == expected["item_id"].to_list()
    assert found.scores == pytest.approx(expected["score"].to_list(), rel=1e-4, abs=1e-4)
    assert (found.fallback, found.folded) == (False, True)


@pytest.mark.parametrize("user", ["nobody", None])
def test_whoever_did_something_gets_a_list_of_her_own(service, folder, user):
    done = {"view": ("101", "104"), "buy": ("103", "no such item")}
    (found,) = lists(service, user, done=done, k=4)
    expected = TrainedRecommender.load(folder).recommend_for(done, 4, user=user)
    assert found.items == expected["item_id"].to_list()
    assert found.scores == pytest.approx(expected["score"].to_list(), rel=1e-4, abs=1e-4)
    assert (found.user, found.fallback, found.folded) == (user, False, True)


def test_who_did_what_the_model_does_not_know_gets_what_is_popular(service):
    (found,) = lists(service, "nobody", done={"view": ("no such item",)})
    assert (found.fallback, found.folded) == (True, False)


def test_who_did_again_what_she_did_in_training_gets_the_same_list(service):
    (before,) = lists(service, "u3", k=5)
    (after,) = lists(service, "u3", k=5, done=events_of(random_history(), 3))
    assert (after.items, after.scores) == (before.items, before.scores)
    assert not after.folded


def test_until_all_is_loaded_users_are_as_in_training(service, monkeypatch):
    model, go = service.models.get(None), Flag()
    monkeypatch.setattr("cigf.service.model.PATIENCE", 0.01)
    monkeypatch.setattr(model, "torch", Late(lambda: go.wait(10), "test"))
    (before,) = lists(service, "u3", exclude=())
    known, unknown = lists(service, "u3", "nobody", done={"view": ("101", "104")}, exclude=())
    assert (known.scores, known.folded, known.fallback) == (before.scores, True, False)
    assert (unknown.folded, unknown.fallback) == (True, True)
    go.set()


def damage(folder):
    """Alter a file that is first looked at when torch's side of the model is loaded."""
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_where_the_rest_cannot_be_loaded_users_are_as_in_training(make, folder):
    damage(folder)
    service = make()
    (before,) = lists(service, "u3", exclude=())
    known, unknown = lists(service, "u3", "nobody", done={"view": ("101", "104")}, exclude=())
    assert (known.scores, known.folded, known.fallback) == (before.scores, True, False)
    assert (unknown.folded, unknown.fallback) == (True, True)
    with pytest.raises(ArtifactError, match=r"model\.safetensors"):
        service.explain(service.models.get(None), "u3", None, None, 5).result(10)


def test_a_list_that_fails_fails_alone(make, monkeypatch):
    monkeypatch.setattr("cigf.service.service._QUICK", 0)
    service = make()
    model, began, go = service.models.get(None), Flag(), Flag()
    real = model.quick.rank

    def rank(asks):
        began.set()
        go.wait(10)
        if any(ask.k == 3 for ask in asks):
            raise ConfigError("not these")
        return real(asks)

    monkeypatch.setattr(model.quick, "rank", rank)
    futures = [service.recommend(ListRequest(("u3",), ListOptions(k))) for k in (1, 2, 3, 4)]
    began.wait(10)
    go.set()
    for k, future in zip((1, 2, 3, 4), futures, strict=True):
        if k == 3:
            with pytest.raises(ConfigError, match="not these"):
                future.result(10)
        else:
            assert len(future.result(10)[0].items) == k


def test_users_are_represented_once_per_event(service, monkeypatch):
    model = service.models.get(None)
    side, counts = model.torch.get(), []
    real = side.fold
    monkeypatch.setattr(side, "fold", lambda users: counts.append(len(users)) or real(users))
    service.add_events([Event("u3", "101", "buy", 0)]).result(10)
    first = lists(service, "u3", "u4", "nobody")
    assert lists(service, "u3")[0].items == first[0].items
    assert counts == [1]
    service.add_events([Event("u3", "104", "buy", 0)]).result(10)
    lists(service, "u3")
    assert counts == [1, 1]


def test_models_that_cannot_represent_users_by_events_still_hide_what_was_bought(service):
    model = service.models.get(None)
    model.opened.__dict__["can_fold_in"] = False
    (known, unknown) = lists(service, "u3", "nobody", done={"buy": ("101",)})
    assert 101 not in known.items
    assert (unknown.fallback, unknown.folded) == (True, True)


def test_scores_of_other_behaviors(service, folder):
    expected = TrainedRecommender.load(folder).recommend("u3", 3, scores=["view", "buy"])
    (found, unknown) = lists(service, "u3", "nobody", k=3, scores=("view", "buy"))
    for name in ("view", "buy"):
        values = expected[f"score_{name}"].to_list()
        assert found.others[name] == pytest.approx(values, rel=1e-4, abs=1e-4)
    assert unknown.others["buy"] == unknown.scores
    with pytest.raises(DataError, match="'lend'"):
        lists(service, "u3", scores=("lend",))


def test_models_without_factors_are_served_too(make, tmp_path):
    write_artifact(tmp_path / "other", random_history(), config={"head": "mmoe"})
    service = make({"other": tmp_path / "other"})
    done = {"view": ("101",)}
    (found, folded) = (lists(service, "u3")[0], lists(service, "u3", done=done)[0])
    recommender = TrainedRecommender.load(tmp_path / "other")
    assert found.items == recommender.recommend("u3")["item_id"].to_list()
    expected = recommender.recommend_for(done, user="u3")
    assert folded.items == expected["item_id"].to_list()


def test_who_asked_least_recently_is_forgotten():
    recent, first, second = Recent(2), {}, {}
    recent.put("u", first, 1)
    recent.put("v", first, 2)
    assert recent.get("u", first) == 1
    assert recent.get("u", second) is None
    recent.put("w", first, 3)
    assert recent.get("v", first) is None
    assert (recent.get("u", first), recent.get("w", first), len(recent)) == (1, 3, 2)


def test_what_is_late_is_loaded_once_and_its_errors_are_told():
    loaded = []
    late = Late(lambda: loaded.append(1) or len(loaded), "test")
    assert not late.is_here
    assert [late.get(), late.get(), late.start().result()] == [1, 1, 1]
    assert late.is_here
    with pytest.raises(ZeroDivisionError):
        Late(lambda: 1 // 0, "test").get()
