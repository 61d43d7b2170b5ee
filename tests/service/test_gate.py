import asyncio
import io
import json
import time

import pytest

from cigf.service.app import build_app
from cigf.service.settings import Tokens
from cigf.service.telemetry import Log
from service.serving import NOW

CALLS = ["/recommend/u3", "/recommend/u3?only=new", "/models", "/metrics", "/openapi.json", "/x"]


@pytest.mark.parametrize("path", CALLS)
def test_a_token_is_asked_for(start, path):
    server = start(token="secret")
    for header in ("", "Bearer", "Bearer secre", "Bearer secrett", "Basic secret", "Bearer \xe9"):
        reply = server.client.get(path, headers={"Authorization": header.encode("latin-1")})
        assert reply.status_code == 401
        assert reply.headers["www-authenticate"] == "Bearer"
    reply = server.client.get(path, headers={"Authorization": "bearer secret"})
    assert reply.status_code == (404 if path == "/x" else 200)


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz"])
def test_health_and_the_page_need_no_token(start, path):
    assert start(token="secret").client.get(path).status_code == 200


def test_admin_calls_need_a_token_of_their_own(start):
    server = start(token="user")
    message = server.refused(server.post("/models/reload", status=403))
    assert "start the server with CIGF_ADMIN_TOKEN" in message


def test_the_users_token_is_no_admin_token(start):
    server = start(token="user", admin="admin")
    for token, status in (("user", 401), ("admin", 200)):
        headers = {"Authorization": f"Bearer {token}"}
        server.post("/models/reload", status=status, headers=headers)


def test_an_empty_token_is_none():
    assert Tokens.from_environment({"CIGF_TOKEN": "", "CIGF_ADMIN_TOKEN": "a"}) == Tokens(None, "a")


def test_tokens_are_not_shown():
    assert "secret" not in repr(Tokens("secret", "secret"))


def test_the_log_tells_neither_ids_nor_events_nor_tokens(start):
    server = start(token="hush")
    headers = {"Authorization": "Bearer hush"}
    event = {"user_id": "someone", "item_id": "something", "behavior": "view"}
    server.post("/events", {"events": [event]}, headers=headers)
    server.get("/recommend/someone", headers=headers)
    server.get("/recommend/someone?k=x", status=422, headers=headers)
    server.get("/made-up/someone", status=404, headers=headers)
    server.get("/recommend/someone", status=401)
    lines = [json.loads(line) for line in server.logged.splitlines()]
    assert [line["status"] for line in lines] == [200, 200, 422, 404, 401]
    assert [line["route"] for line in lines] == [
        "/events",
        "/recommend/{user}",
        "/recommend/{user}",
        "other",
        "other",
    ]
    assert lines[0]["time"] == "2025-01-01T00:00:00.250+00:00"
    for word in ("someone", "something", "hush", "made-up"):
        assert word not in server.logged


def test_an_unexpected_error_is_told_to_the_log_only(server, monkeypatch):
    def fail(*arguments):
        raise ZeroDivisionError("of user u" + str(3))

    monkeypatch.setattr(server.service.models, "get", fail)
    assert server.refused(server.get("/similar/101", status=500)).endswith("its log says why")
    assert "ZeroDivisionError" in server.logged
    assert "u3" not in server.logged


def test_a_quiet_log_still_tells_of_errors_and_reloads(start, monkeypatch):
    server = start(admin="secret", requests=False)
    server.get("/models")
    server.post("/models/reload", headers={"Authorization": "Bearer secret"})
    monkeypatch.setattr(server.service.models, "get", lambda name: 1 // 0)
    server.get("/similar/101", status=500)
    lines = [json.loads(line) for line in server.logged.splitlines()]
    assert [line["event"] for line in lines] == ["reloaded", "error"]


def call(app, path, *, method="GET", receive=None, headers=()):
    """Ask an app as a server would; return its messages."""
    sent = []

    async def nothing():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": list(headers),
        "client": ("test", 1),
        "server": ("test", 2),
    }
    return app(scope, receive or nothing, send), sent


def app_of(service, **tokens):
    return build_app(service, Tokens(**tokens), lambda: NOW)


def test_a_body_that_does_not_come_in_time(make):
    async def never():
        await asyncio.sleep(60)

    app, headers = app_of(make(timeout=0.05)), [(b"content-length", b"9")]
    answer, sent = call(app, "/recommend", method="POST", receive=never, headers=headers)
    asyncio.run(answer)
    assert sent[0]["status"] == 408


def test_an_answer_that_does_not_come_in_time(make, monkeypatch):
    service = make(timeout=0.05)

    async def never(*arguments):
        await asyncio.sleep(60)

    monkeypatch.setattr("cigf.service.routes.asyncio.to_thread", never)
    answer, sent = call(app_of(service), "/similar/101")
    asyncio.run(answer)
    assert sent[0]["status"] == 503
    assert (b"retry-after", b"1") in sent[0]["headers"]


def test_who_waits_when_the_server_ends_is_told(make, monkeypatch):
    async def never(*arguments):
        await asyncio.sleep(60)

    monkeypatch.setattr("cigf.service.routes.asyncio.to_thread", never)

    async def ask_and_end():
        answer, sent = call(app_of(make()), "/similar/101")
        task = asyncio.create_task(answer)
        await asyncio.sleep(0.05)
        task.cancel()
        await task
        return sent

    start, body = asyncio.run(ask_and_end())
    assert start["status"] == 503
    assert b"the server is stopping" in body["body"]


def test_a_reload_takes_as_long_as_it_takes(make, monkeypatch):
    service = make(timeout=0.05)
    reload = service.models.reload

    def slow():
        time.sleep(0.2)
        return reload()

    monkeypatch.setattr(service.models, "reload", slow)
    output = io.BytesIO()
    app = build_app(service, Tokens(admin="a"), lambda: NOW, Log(lambda: NOW, output.write))
    headers = [(b"authorization", b"Bearer a")]
    answer, sent = call(app, "/models/reload", method="POST", headers=headers)
    asyncio.run(answer)
    assert sent[0]["status"] == 200
    assert b'"event":"reloaded"' in output.getvalue()


def test_too_many_requests_at_the_same_time(make, monkeypatch):
    app = app_of(make(max_concurrency=2))
    release = asyncio.Event()

    async def wait(*arguments):
        await release.wait()
        return [], []

    monkeypatch.setattr("cigf.service.routes.asyncio.to_thread", wait)

    async def ask_three():
        calls = [call(app, "/similar/101") for _ in range(3)]
        health, healthy = call(app, "/healthz")
        tasks = [asyncio.create_task(answer) for answer, _ in calls]
        await asyncio.sleep(0.02)
        await health
        release.set()
        await asyncio.gather(*tasks)
        return [sent[0]["status"] for _, sent in calls], healthy[0]["status"]

    assert asyncio.run(ask_three()) == ([200, 200, 429], 200)
