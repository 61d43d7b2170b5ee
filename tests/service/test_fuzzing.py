"""Nothing that a caller may send makes the server fail: what OpenAPI describes, and what not."""

from json import dumps

import pytest
import schemathesis

# Imported before a server runs: Python 3.11 can fail where two threads read source at once.
import schemathesis.specs.openapi.schemas
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from cigf.service.service import RecommenderService
from cigf.service.settings import Limits
from inference.inference_toys import random_history, write_artifact
from service.serving import Server

# In tests beartype checks the types, and draws the entries it looks at with `random`, also in the
# server's threads; Hypothesis takes that for the strategy's doing if a case is drawn just then.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module")

QUICK = settings(
    max_examples=10,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
CALLS = [
    "GET /recommend/{user}",
    "POST /recommend",
    "GET /similar/{item}",
    "GET /explain/{user}",
    "GET /explain/{user}/{item}",
    "POST /events",
    "GET /models",
    "POST /models/reload",
    "GET /healthz",
    "GET /readyz",
    "GET /metrics",
]


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzzing")
    write_artifact(folder / "shop", random_history())
    made = RecommenderService({"shop": folder / "shop"}, folder / "events.jsonl", Limits())
    yield made
    made.close()


@pytest.fixture(scope="module")
def server(service):
    with Server(service, admin="admin") as started:
        started.client.headers["Authorization"] = "Bearer admin"
        yield started


@pytest.fixture(scope="module")
def schema(server):
    return schemathesis.openapi.from_dict(server.get("/openapi.json"))


def test_all_calls_are_tried(schema):
    found = {f"{call.ok().method.upper()} {call.ok().path}" for call in schema.get_all_operations()}
    assert found == set(CALLS)


@pytest.mark.parametrize("call", CALLS)
def test_what_the_document_describes_never_fails(server, schema, call):
    method, path = call.split()

    @QUICK
    @given(case=schema[path][method].as_strategy())
    def ask(case):
        asked = case.as_transport_kwargs(base_url="http://testserver")
        assert not asked.pop("cookies", None)
        headers = {name: value for name, value in (asked.pop("headers") or {}).items() if value}
        headers = {**server.client.headers, **headers}
        as_sent = {name: value.encode("latin-1") for name, value in headers.items()}
        reply = server.client.request(headers=as_sent, **asked)
        assert reply.status_code < 500, reply.text

    ask()


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(["u3", "101", "view", "buy", "new", 101, 2**63 - 1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
NAMES = ["users", "events", "k", "only", "behavior", "exclude", "allow", "deny", "scores", "model"]
EVENT = st.fixed_dictionaries(
    {},
    optional={
        "user_id": VALUES,
        "item_id": VALUES,
        "behavior": st.sampled_from(["view", "buy", "add/cart", "lend"]) | VALUES,
        "timestamp": VALUES,
    },
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES | st.lists(EVENT, max_size=3))


@pytest.mark.parametrize("path", ["/recommend", "/events"])
@settings(QUICK, max_examples=25)
@given(body=BODIES | st.fixed_dictionaries({"events": st.lists(EVENT, min_size=1)}))
def test_no_body_makes_it_fail(server, path, body):
    # The client's own encoder refuses what is no JSON.
    assert server.client.post(path, content=dumps(body)).status_code < 500


@settings(QUICK, max_examples=25)
@given(body=st.binary(max_size=50))
def test_no_bytes_make_it_fail(server, body):
    assert server.client.post("/recommend", content=body).status_code < 500


@settings(QUICK, max_examples=40)
@given(
    path=st.sampled_from(["/recommend/", "/similar/", "/explain/", "/explain/u3/", "/"]),
    rest=st.text(st.characters(exclude_characters="?#", exclude_categories=["Cs", "Cc"])),
    query=st.text(st.characters(max_codepoint=126, min_codepoint=32), max_size=20),
)
def test_no_path_makes_it_fail(server, path, rest, query):
    assert server.client.get(f"{path}{rest}", params=query).status_code < 500
