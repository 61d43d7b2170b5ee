import pytest

from cigf.service.service import RecommenderService
from cigf.service.settings import Limits
from inference.inference_toys import random_history, write_artifact
from service.serving import Server


@pytest.fixture
def folder(tmp_path):
    write_artifact(tmp_path / "shop", random_history())
    return tmp_path / "shop"


@pytest.fixture
def make(folder, tmp_path):
    """Build services over the toy artifact, and close them at the end."""
    made = []

    def make_service(paths=None, *, events=True, **limits):
        log = tmp_path / "events.jsonl" if events else None
        made.append(RecommenderService(paths or {"shop": folder}, log, Limits(**limits)))
        return made[-1]

    yield make_service
    for each in made:
        each.close()


@pytest.fixture
def service(make):
    return make()


@pytest.fixture
def start(make):
    """Start servers in this process, and stop them at the end."""
    started = []

    def start_server(service=None, **options):
        started.append(Server(service or make(), **options).__enter__())
        return started[-1]

    yield start_server
    for each in started:
        each.__exit__(None, None, None)


@pytest.fixture
def server(start):
    return start()
