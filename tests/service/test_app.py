import json
import time

import pytest

from inference.inference_toys import random_history, write_artifact

SESSION = [{"item_id": 101, "behavior": "view"}]


def test_a_list(server):
    answer = server.get("/recommend/u3?k=2")
    assert answer["user_id"] == "u3"
    assert [item["rank"] for item in answer["items"]] == [1, 2]
    assert (answer["model"], answer["fallback"], answer["folded"]) == ("shop", False, False)


@pytest.mark.parametrize("query", ["", "?k=1", "?k=99"])
@pytest.mark.parametrize("user", ["u3", "nobody", "a%2Fb", "%C3%BC"])
def test_the_short_way_gives_the_same_bytes(server, user, query):
    short = server.client.get(f"/recommend/{user}{query}")
    long = server.client.get(f"/recommend/{user}{query or '?'}&only=all")
    assert short.status_code == 200
    assert short.content == long.content
    assert short.headers == long.headers


def test_options_of_a_list(server):
    touched = server.get("/recommend/u3?only=touched&exclude=buy&behavior=buy&model=shop")
    new = server.get("/recommend/u3?only=new&exclude=buy")
    listed = [{item["item_id"] for item in answer["items"]} for answer in (touched, new)]
    assert listed[0]
    assert not listed[0] & listed[1]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("k=0", "k: Input should be greater than or equal to 1"),
        ("k=101", "k: Input should be less than or equal to 100"),
        ("k=9999", "k: Input should be less than or equal to 100"),
        ("k=x", "k: Input should be a valid integer"),
        ("only=old", "only: Input should be 'all', 'touched' or 'new'"),
        ("behavior=lend", "'lend'"),
        ("exclude=lend", "'lend'"),
    ],
)
def test_wrong_options(server, query, message):
    assert message in server.refused(server.get(f"/recommend/u3?{query}", status=422))


def test_what_there_is_not(server):
    assert "there is no such model" in server.refused(
        server.get("/recommend/u3?model=x", status=404)
    )
    assert "this item is not in the model" in server.refused(server.get("/similar/x", status=404))
    server.get("/nowhere", status=404)
    server.get("/events", status=405)
    server.get(f"/recommend/{'x' * 257}", status=422)


def test_lists_of_several_users(server):
    answer = server.post("/recommend", {"users": ["u3", "nobody"], "k": 2, "deny": [101]})
    assert [each["user_id"] for each in answer["lists"]] == ["u3", "nobody"]
    assert [each["fallback"] for each in answer["lists"]] == [False, True]
    assert 101 not in [item["item_id"] for each in answer["lists"] for item in each["items"]]


def test_a_session_without_a_user(server):
    answer = server.post("/recommend", {"events": SESSION, "exclude": ["view"]})
    (found,) = answer["lists"]
    assert found["user_id"] is None
    assert found["folded"]
    assert 101 not in [item["item_id"] for item in found["items"]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "give users, or the events of one user"),
        ({"users": ["u3", "u4"], "events": SESSION}, "give users, or the events of one user"),
        ({"users": []}, "users: List should have at least 1 item"),
        ({"users": ["u3"], "K": 3}, "K: Extra inputs are not permitted"),
        ({"users": [True]}, "users.0"),
        ({"users": [""]}, "users.0"),
        ({"users": [2**63]}, "users.0"),
        ({"users": ["u3"], "k": 101}, "k: at most 100"),
        ({"users": ["u3"], "behavior": "lend"}, "'lend'"),
        ({"events": [{"item_id": 1, "behavior": "lend"}]}, "'lend'"),
    ],
)
def test_wrong_bodies(server, body, message):
    answer = server.post("/recommend", body, status=422)
    assert message in server.refused(answer)
    assert answer["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("text", [b"{", b"\xff", b'{"users": ["\\ud800"]}', b"9" * 5000, b"[]"])
def test_bodies_that_are_no_bodies(server, text):
    reply = server.client.post("/recommend", content=text)
    assert reply.status_code in (400, 422)
    assert reply.json()["error"]["message"]


def test_too_much_at_once(start, make):
    server = start(make(max_users=2, max_events=2, max_items=2, max_body=900))
    for body, message in [
        ({"users": ["a", "b", "c"]}, "users: 3 given; at most 2 at a time"),
        ({"events": SESSION * 3}, "events: 3 given"),
        ({"users": ["a"], "allow": [1, 2, 3]}, "allow: 3 given"),
        ({"users": ["a"], "deny": [1, 2, 3]}, "deny: 3 given"),
        ({"users": ["a" * 999]}, "the body is too large; at most 900 bytes"),
    ]:
        assert message in server.refused(server.post("/recommend", body, status=413))
    event = {"user_id": "u", "item_id": "i", "behavior": "view"}
    assert "events: 3 given" in server.refused(
        server.post("/events", {"events": [event] * 3}, status=413)
    )


def test_a_body_without_a_length_is_limited_too(start, make):
    server = start(make(max_body=900))
    reply = server.client.post("/recommend", content=iter([b" " * 500, b" " * 500]))
    assert reply.status_code == 413


def test_scores_of_other_behaviors(server):
    answer = server.get("/recommend/u3?scores=view&scores=buy&k=2")
    assert [item["scores"]["buy"] for item in answer["items"]] == pytest.approx(
        [item["score"] for item in answer["items"]], rel=1e-4
    )
    (found,) = server.post("/recommend", {"users": ["u3"], "scores": ["view"]})["lists"]
    assert set(found["items"][0]["scores"]) == {"view"}
    assert found["items"][0]["scores"]["view"] == answer["items"][0]["scores"]["view"]
    assert "scores" not in server.get("/recommend/u3")["items"][0]


def test_events_count_for_the_next_list(server):
    first = server.get("/recommend/u3")["items"][0]["item_id"]
    event = {"user_id": "u3", "item_id": first, "behavior": "buy"}
    assert server.post("/events", {"events": [event]}) == {"accepted": 1}
    after = server.get("/recommend/u3")
    assert first not in [item["item_id"] for item in after["items"]]
    assert after["folded"]


def test_events_get_the_servers_time_where_they_have_none(server, tmp_path):
    event = {"user_id": 3, "item_id": 101, "behavior": "view"}
    server.post("/events", {"events": [event, {**event, "timestamp": 5}]})
    lines = map(json.loads, (tmp_path / "events.jsonl").read_text().splitlines())
    assert [line["timestamp"] for line in lines] == [1_735_689_600_250, 5]


def test_the_log_says_what_was_torn(start, make, tmp_path):
    (tmp_path / "events.jsonl").write_text('{"user_id":"u')
    server = start(make())
    (line,) = map(json.loads, server.logged.splitlines())
    assert (line["event"], line["bytes"]) == ("torn", 13)
    assert line["moved_to"].endswith("events.jsonl.torn")


def test_the_log_says_once_what_cannot_be_loaded(start, make, folder, monkeypatch):
    monkeypatch.setattr("cigf.service.app._LATER", 0.0)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    server = start(make())
    body = {"users": ["u3"], "events": SESSION}
    for _ in range(2):
        server.post("/recommend", body)
    server.get("/explain/u3", status=409)
    until = time.monotonic() + 10
    while "not loaded" not in server.logged and time.monotonic() < until:
        time.sleep(0.01)  # who waits for it is told before the log is
    lines = [line for line in map(json.loads, server.logged.splitlines()) if "model" in line]
    assert [(line["event"], line["model"]) for line in lines] == [("not loaded", "shop")]
    assert "model.safetensors" in lines[0]["message"]


def test_similar_items(server):
    answer = server.get("/similar/101?k=3")
    assert len(answer["items"]) == 3
    assert answer["items"][0]["score"] >= answer["items"][1]["score"]


def test_models_and_reload(start, make, folder):
    server = start(make(), admin="secret")
    (before,) = server.get("/models")["models"]
    assert (before["users"], before["items"], before["kind"]) == (11, 7, "cigf")
    write_artifact(folder, random_history(1), seed=1, force=True)
    assert server.get("/models")["models"] == [before]
    bearer = {"Authorization": "Bearer secret"}
    (after,) = server.post("/models/reload", headers=bearer)["models"]
    assert after["version"] != before["version"]
    assert server.get("/recommend/u3")["version"] == after["version"]
    assert '"event":"reloaded"' in server.logged
    (folder / "manifest.json").unlink()
    server.post("/models/reload", status=409, headers=bearer)
    assert server.get("/recommend/u3")["version"] == after["version"]


def test_health(server):
    assert server.get("/healthz") == server.get("/readyz") == {"status": "ok"}
    server.service.close()
    server.get("/readyz", status=503)
    server.get("/healthz")


def test_metrics(server):
    server.get("/recommend/u3")
    server.get("/recommend/u4?only=new")
    server.get("/recommend/u4?only=old", status=422)
    text = server.client.get("/metrics").text
    line = 'cigf_requests_total{method="GET",route="/recommend/{user}",status='
    assert f'{line}"200"}} 2.0' in text
    assert f'{line}"422"}} 1.0' in text
    assert "cigf_requests_in_flight 1.0" in text
    assert "u3" not in text


def test_the_page_asks_nobody_else(server):
    reply = server.client.get("/")
    assert reply.status_code == 200
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "http" not in reply.text.replace("http-equiv", "")


def test_the_document_of_the_interface(server):
    document = server.get("/openapi.json")
    assert set(document["paths"]) == {
        "/recommend",
        "/recommend/{user}",
        "/similar/{item}",
        "/explain/{user}",
        "/explain/{user}/{item}",
        "/events",
        "/models",
        "/models/reload",
        "/metrics",
        "/healthz",
        "/readyz",
    }
    assert document["components"]["schemas"]["ListBody"]["examples"]
    assert "400" in document["paths"]["/recommend"]["post"]["responses"]
    assert document["paths"]["/models/reload"]["post"]["security"] == [{"admin": []}]
    assert "security" not in document["paths"]["/healthz"]["get"]
