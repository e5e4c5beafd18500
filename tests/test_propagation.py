"""Who sent a request: the parts that need no framework."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.context import Context

from otel_session import config, propagation, tallies, visits
from otel_session.config import Config
from otel_session.propagation import Incoming, identify, load_callable, response_headers
from otel_session.recent_ids import RecentIds


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    yield
    config.activate(None)


def _incoming(peer: str | None = "10.1.2.3", **headers: str) -> Incoming:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Incoming(named.get, peer, {}, over_tls=False)


@pytest.mark.parametrize(
    ("trusted", "peer", "believed"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8,fd00::/8", "fd00::1", True),
        ("10.0.0.0/8", "", False),
        ("10.0.0.0/8", "unix:", False),
        ("*", "", True),
        ("", "10.1.2.3", False),
    ],
)
def test_trusted_peers(trusted: str, peer: str, *, believed: bool) -> None:
    """Baggage is believed by the address at the other end, whatever that address looks like."""
    context = baggage.set_baggage("session.id", "theirs", Context())

    identity = identify(_incoming(peer, baggage="session.id=theirs"), context, Config.load({}, trusted_baggage=trusted))

    assert (identity.session_id == "theirs") is believed
    assert identity.confirmed is believed


def test_ambient_baggage_is_no_inbound_baggage() -> None:
    """A session in the context's baggage that no header brought is not taken for the client's."""
    context = baggage.set_baggage("session.id", "ambient", Context())

    identity = identify(_incoming(), context, Config.load({}, trusted_baggage="*"))

    assert identity.session_id != "ambient"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(), st.text(), st.text(), st.text())
def test_any_headers(cookie: str, correlation: str, sent: str, named: str) -> None:
    """Whatever the headers hold there is an identity whose ids may travel."""
    found = identify(
        _incoming(cookie=f"otel_session={cookie}", x_correlation_id=correlation, baggage=sent, x_visit=named),
        Context(),
        Config.load({}, source="header:X-Visit", trusted_baggage="*"),
    )

    for one in (found.correlation_id, found.session_id):
        assert one is None or propagation.ids.is_valid_id(one)


def test_refusals_are_counted_by_source() -> None:
    """Each refused value counts once, under the word for where it came from."""
    before = dict(tallies.refused())
    hostile = {
        "cookie": "otel_session=x",
        "x_correlation_id": "a b",
        "x_request_id": "c d",
        "baggage": "session.id=a b",
    }

    identify(_incoming(**hostile), Context(), Config.load({}))

    after = tallies.refused()
    gained = {source: after[source] - before.get(source, 0) for source in ("cookie", "correlation", "baggage")}
    assert gained == {"cookie": 1, "correlation": 2, "baggage": 1}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of ids from outside is remembered up to a limit."""
    monkeypatch.setattr(propagation, "_adopted", RecentIds())
    chosen = Config.load({}, source="header:X-Visit")
    for number in range(25_500):
        identify(_incoming(x_visit=f"v{number}"), Context(), chosen)

    assert len(propagation._adopted) == 5_500


def test_headers_are_kept_while_they_are_of_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """A known Cookie header is kept until the cookie is rewritten, a minute by default; then memory is free of it."""
    now, chosen = 1_800_000_000.0, Config.load({})
    monkeypatch.setattr(propagation.time, "time", lambda: now)
    monkeypatch.setattr(propagation, "_kept", {})

    def visit() -> dict[str, str]:
        known = visits.Visit(visits.ids.new_secret(), int(now) - 500, int(now))
        header = f"otel_session={known.cookie_value()}"
        identify(_incoming(cookie=header), Context(), chosen)
        return {"HTTP_COOKIE": header}

    environs = [visit() for _ in range(100)]
    assert all(propagation.identify_again(one, chosen) for one in environs)
    now += 61
    assert not any(propagation.identify_again(one, chosen) for one in environs)
    latest = visit()

    assert propagation.identify_again(latest, chosen)
    assert len(propagation._kept) == 1


def test_cookie_given_once() -> None:
    """However many layers ask for headers, the cookie is written by one of them, and refused while not allowed."""
    visit = visits.new_visit(1_800_000_000)
    identity = propagation.Identity(visit.session_id, "c-1", visit=visit, set_cookie=True)

    def asked(*, allowed: bool) -> list[str]:
        return [name for name, _ in response_headers(identity, Config(), cookie_allowed=allowed)]

    assert asked(allowed=False) == ["X-Correlation-ID"]
    assert asked(allowed=True) == ["X-Correlation-ID", "Set-Cookie"]
    assert asked(allowed=True) == ["X-Correlation-ID"]


def test_load_callable() -> None:
    """A callable is named by module and path, and a wrong name says so."""
    assert load_callable("os.path:join")("a", "b") == "a/b"
    assert load_callable("collections:OrderedDict.fromkeys")(["a"]) == {"a": None}
    with pytest.raises(AttributeError):
        load_callable("os:no_such_function")


def test_expired_cookie_with_the_cookie_off() -> None:
    """With the cookie off an expired visit has no successor, for nobody could be told of it."""
    over = visits.Visit(b"\x01" * 16, 1_700_000_000, 1_700_000_000)

    identity = identify(
        _incoming(cookie=f"otel_session={over.cookie_value()}"), Context(), Config.load({}, cookie=False)
    )

    assert identity.session_id is None
    assert identity.correlation_id.startswith("req_")
