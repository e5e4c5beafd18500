"""The propagators: every framework under an official HTTP instrumentation, and whatever a carrier may hold."""

import json
import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import default_getter, default_setter

from otel_session import config, visits
from otel_session import context as here
from otel_session.context import Identity
from otel_session.propagators import (
    BothResponsePropagators,
    SessionPropagator,
    SessionResponsePropagator,
    carried_header,
    incoming_of,
)
from tests.environments import python_with

SCRIPT = pathlib.Path(__file__).with_name("frameworks.py")


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    config.activate(config.Config.load({}))
    yield
    config.activate(None)


@pytest.mark.parametrize("framework", ["fastapi", "django"])
def test_frameworks(framework: str) -> None:
    """Under the official instrumentation a browser's requests share one id, get the cookie and their correlation id."""
    contrib = ("fastapi", "django")
    python = python_with(*contrib, "httpx", *(f"opentelemetry-instrumentation-{name}" for name in contrib))
    done = subprocess.run([python, str(SCRIPT), framework], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)

    assert told["statuses"] == [200, 200, 404, 200]
    assert told["cookies"] == [False, True, True, False]
    assert len(set(told["session ids"][1:])) == 1
    assert set(told["inside"]) == set(told["session ids"][1:])
    assert told["confirmed"] == [None, None, True, True]
    assert told["correlation ids"] == told["returned"]
    assert told["events"] == ["session.start"]


CARRIERS: list[Any] = [
    {"REQUEST_METHOD": "GET", "REMOTE_ADDR": "10.0.0.1", "HTTP_X_REQUEST_ID": "abc", "wsgi.url_scheme": "https"},
    {"type": "http", "client": ("10.0.0.1", 5), "scheme": "https", "host": "shop", "x-request-id": "abc"},
    {"host": "shop", "x-request-id": "abc", "x-forwarded-proto": "https"},
]


@pytest.mark.parametrize("carrier", CARRIERS, ids=["wsgi", "asgi", "headers"])
def test_carriers(carrier: Any) -> None:
    """A WSGI environ, an ASGI scope and plain headers of a request tell the same."""
    identity = here.current(SessionPropagator().extract(carrier))

    assert identity is not None
    assert identity.correlation_id == "abc"
    assert identity.session_id is not None
    assert identity.over_tls


def test_messages() -> None:
    """A broker's message begins no session; it continues one only when messages are trusted."""
    propagator = SessionPropagator()
    context = baggage.set_baggage("session.id", "theirs", Context())
    carrier = {"baggage": "session.id=theirs"}

    unknown = here.current(propagator.extract(carrier, context))
    config.activate(config.Config.load({}, trusted_baggage="messages"))
    trusted = here.current(propagator.extract(carrier, context))

    assert unknown is not None
    assert unknown.session_id is None
    assert trusted is not None
    assert trusted.session_id == "theirs"


def test_whoever_is_there_stays() -> None:
    """A context that has somebody in it already is given back as it is."""
    context = here.put(Identity("mine"))

    assert SessionPropagator().extract({"host": "shop"}, context) is context


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(
            ["host", "cookie", "baggage", "x-request-id", "type", "client", "REQUEST_METHOD", "HTTP_COOKIE"]
        ),
        st.one_of(st.text(), st.none(), st.integers(), st.binary(), st.lists(st.text())),
    )
)
def test_any_carrier(carrier: Any) -> None:
    """Whatever a carrier holds, a context comes back and nothing is raised."""
    assert isinstance(SessionPropagator().extract(carrier, Context()), Context)


def test_injects_nothing() -> None:
    """The propagator itself writes no header: the baggage propagator carries the ids."""
    carrier: dict[str, str] = {}
    SessionPropagator().inject(carrier, here.put(Identity("mine")))

    assert carrier == {}
    assert SessionPropagator().fields == set()


def _somebody() -> Any:
    visit = visits.new_visit(1_800_000_000)
    identity = Identity(visit.session_id, "c-1", visit=visit, set_cookie=True)
    return identity, here.put(identity, Context())


class _Append:
    def set(self, carrier: Any, key: str, value: str) -> None:
        carrier.append((key, value))


class _AppendBytes:
    def set(self, carrier: Any, key: str, value: str) -> None:
        carrier["headers"].append((key.lower().encode(), value.encode()))


def test_response_headers() -> None:
    """Correlation id and cookie are added to WSGI lists, ASGI messages and mappings, the cookie once."""
    wsgi: list[tuple[str, str]] = []
    asgi: dict[str, Any] = {"type": "http.response.start", "status": 200, "headers": []}
    mapping: dict[str, str] = {}
    for carrier, setter in ((wsgi, _Append()), (asgi, _AppendBytes()), (mapping, default_setter)):
        _, context = _somebody()
        for _ in range(2):
            SessionResponsePropagator().inject(carrier, context, setter)

    assert [name for name, _ in wsgi] == ["X-Correlation-ID", "Set-Cookie"]
    assert [name for name, _ in asgi["headers"]] == [b"x-correlation-id", b"set-cookie"]
    assert sorted(mapping) == ["Set-Cookie", "X-Correlation-ID"]
    assert mapping["X-Correlation-ID"] == "c-1"


@pytest.mark.parametrize(
    "carrier",
    [
        {"type": "http.response.start", "status": 304, "headers": []},
        {"type": "http.response.start", "status": 200, "headers": [(b"Cache-Control", b"public")]},
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"expires", b"Fri, 01 Jan 2100 00:00:00 GMT")],
        },
    ],
)
def test_no_cookie_for_caches(carrier: Any) -> None:
    """A response that a shared cache may keep, or that renews one, gets the correlation id and no cookie."""
    identity, context = _somebody()

    SessionResponsePropagator().inject(carrier, context, _AppendBytes())

    assert carried_header(carrier, "x-correlation-id") == "c-1"
    assert carried_header(carrier, "set-cookie") is None
    assert identity.set_cookie


def test_another_cookie_in_a_mapping() -> None:
    """Where the setter would join two cookies with a comma, the application's stays whole and ours waits."""
    identity, context = _somebody()
    carrier = {"set-cookie": "theirs=1"}

    SessionResponsePropagator().inject(carrier, context, default_setter)

    assert carrier["set-cookie"] == "theirs=1"
    assert "Set-Cookie" not in carrier
    assert identity.set_cookie


def test_our_instrumentor_answers() -> None:
    """Where an instrumentor of ours adds the headers, the response propagator adds none."""
    identity, context = _somebody()
    identity.answering = True
    carrier: list[tuple[str, str]] = []

    SessionResponsePropagator().inject(carrier, context, _Append())

    assert carrier == []


def test_both_response_propagators() -> None:
    """A response propagator that was there before is asked first, and ours after it."""

    class Theirs:
        def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
            setter.set(carrier, "Server-Timing", "x")

    carrier: list[tuple[str, str]] = []
    BothResponsePropagators(Theirs()).inject(carrier, _somebody()[1], _Append())  # type: ignore[arg-type]

    assert [name for name, _ in carrier] == ["Server-Timing", "X-Correlation-ID", "Set-Cookie"]


@pytest.mark.parametrize("carrier", [None, 7, "text", object(), [1], {"headers": 5}])
def test_odd_response_carriers(carrier: Any) -> None:
    """A carrier of another kind raises nothing."""
    SessionResponsePropagator().inject(carrier, _somebody()[1], default_setter)


def test_cookie_headers_are_joined() -> None:
    """HTTP/2 clients may send several Cookie headers; all of them are looked at."""
    incoming = incoming_of({"host": "shop", "cookie": ["a=b", "otel_session=x"]}, default_getter)

    assert incoming.header("cookie") == "a=b; otel_session=x"
