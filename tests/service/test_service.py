import shutil
from threading import Event as Flag

import pytest

from cigf.errors import ArtifactError, ConfigError, DataError, OverloadedError, UnknownIdError
from cigf.inference.recommender import TrainedRecommender
from cigf.service.asked import ListOptions, ListRequest
from cigf.service.event_log import Event
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
        assert each.scores == pytest.approx(rows["score"].to_list(), rel=1e-5, abs=1e-5)
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
