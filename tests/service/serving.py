"""A server in this process, asked without a network."""

import io

from starlette.testclient import TestClient

from cigf.service.app import build_app
from cigf.service.settings import Tokens
from cigf.service.telemetry import Log

NOW = 1_735_689_600.25


class Server:
    def __init__(self, service, *, token=None, admin=None, requests=True):
        self.service = service
        self.output = io.BytesIO()
        log = Log(lambda: NOW, self.output.write, requests=requests)
        app = build_app(service, Tokens(token, admin), lambda: NOW, log)
        self.client = TestClient(app, raise_server_exceptions=False)

    def __enter__(self):
        self.client.__enter__()
        return self

    def __exit__(self, *error):
        self.client.__exit__(*error)

    @property
    def logged(self):
        return self.output.getvalue().decode()

    def get(self, path, status=200, **options):
        return self._checked(self.client.get(path, **options), status)

    def post(self, path, body=None, status=200, **options):
        return self._checked(self.client.post(path, json=body, **options), status)

    def _checked(self, reply, status):
        assert reply.status_code == status, reply.text
        if status >= 400:
            assert set(reply.json()) == {"error"}
            assert set(reply.json()["error"]) == {"code", "message"}
        return reply.json()

    def refused(self, reply):
        return reply["error"]["message"]
