"""Who is here: in the context, in baggage, in threads and tasks, and nowhere else."""

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Iterator

import pytest
from opentelemetry import baggage
from opentelemetry import context as otel_context
from opentelemetry.context import Context

import otel_session
from otel_session import config
from otel_session import context as here
from otel_session.context import Identity


@pytest.fixture(autouse=True)
def _own_context() -> Iterator[None]:
    token = otel_context.attach(Context())
    yield
    otel_context.detach(token)
    config.activate(None)


def test_bound_session() -> None:
    """A block bound to a session has its id, a correlation id and both in baggage; afterwards nobody is there."""
    with otel_session.bound_session("run-1") as identity:
        assert otel_session.current_session() == "run-1"
        assert otel_session.get_correlation_id() == identity.correlation_id
        assert baggage.get_all() == {"session.id": "run-1", "correlation.id": identity.correlation_id}

    assert otel_session.current_session() is otel_session.get_correlation_id() is None
    assert baggage.get_all() == {}


def test_bound_session_inside_another() -> None:
    """Bound blocks nest, and an exception unbinds."""
    with otel_session.bound_session("outer"):
        with contextlib.suppress(KeyError), otel_session.bound_session("inner", correlation_id="c-1"):
            assert (otel_session.current_session(), otel_session.get_correlation_id()) == ("inner", "c-1")
            raise KeyError
        assert otel_session.current_session() == "outer"


@pytest.mark.parametrize("bad", ["", "a b", "x" * 129, 'a"'])
def test_bad_ids_raise(bad: str) -> None:
    """An id that could not travel is refused at once, with words that say what is expected."""
    with pytest.raises(ValueError, match="expected 1 to 128"), otel_session.bound_session(bad):
        pass
    with pytest.raises(ValueError, match="expected 1 to 128"):
        otel_session.set_correlation_id(bad)


def test_correlation_without_request() -> None:
    """Outside of a request a correlation id can be set, is made when asked for, and stays."""
    assert otel_session.get_correlation_id() is None
    made = otel_session.ensure_correlation_id()
    assert otel_session.ensure_correlation_id() == otel_session.get_correlation_id() == made

    otel_session.set_correlation_id("order-7")

    assert otel_session.get_correlation_id() == baggage.get_baggage("correlation.id") == "order-7"
    assert otel_session.new_correlation_id() == otel_session.get_correlation_id() != "order-7"


def test_no_baggage_when_told() -> None:
    """With baggage off neither a bound session nor a correlation id set in code goes into baggage."""
    config.activate(config.Config.load({}, baggage=False))

    with otel_session.bound_session("run-1"):
        otel_session.set_correlation_id("order-7")
        assert baggage.get_all() == {}


def test_put_replaces_foreign_ids() -> None:
    """Ids in the baggage of a context are replaced, or removed where there is none of ours to put; others stay."""
    foreign = Context()
    for name in ("session.id", "correlation.id", "tenant"):
        foreign = baggage.set_baggage(name, "theirs", foreign)

    known = baggage.get_all(here.put(Identity("mine", "c-1"), foreign))
    unknown = baggage.get_all(here.put(Identity(None, "c-1"), foreign))
    silent = baggage.get_all(here.put(Identity("mine", "c-1"), foreign, in_baggage=False))

    assert known == {"session.id": "mine", "correlation.id": "c-1", "tenant": "theirs"}
    assert unknown == {"correlation.id": "c-1", "tenant": "theirs"}
    assert silent == {"tenant": "theirs"}


def test_without_identity() -> None:
    """A context can be cleared of who is in it."""
    assert here.current(here.without_identity(here.put(Identity("mine")))) is None


def test_copied_context_and_tasks() -> None:
    """`copy_context` and asyncio tasks keep the right session, many at a time."""
    with otel_session.bound_session("copied"):
        copied = contextvars.copy_context()
    assert copied.run(otel_session.current_session) == "copied"
    assert otel_session.current_session() is None

    async def one(name: str) -> bool:
        with otel_session.bound_session(name):
            inner = asyncio.create_task(asyncio.sleep(0, otel_session.current_session()))
            await asyncio.sleep(0.001)
            return otel_session.current_session() == await inner == name

    async def many() -> list[bool]:
        return await asyncio.gather(*(one(f"s{n}") for n in range(200)))

    assert all(asyncio.run(many()))


def test_sessions_never_mix() -> None:
    """64 threads that work on 1,000 sessions always see their own."""
    wrong: list[str] = []
    numbers = iter(range(1_000))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            with otel_session.bound_session(f"s{number}"):
                for _ in range(5):
                    time.sleep(0)
                    if otel_session.current_session() != f"s{number}":
                        wrong.append(f"s{number}")

    threads = [threading.Thread(target=work) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []
    assert next(numbers, None) is None


def test_twin_has_an_end() -> None:
    """The copy for helper threads counts until its deadline and no longer."""
    identity = Identity("mine", "c-1", confirmed=True)
    identity.set_user("user.hash", "u")

    alive, gone = identity.until(time.monotonic() + 60), identity.until(time.monotonic() - 1)

    assert alive.attributes == identity.attributes
    assert here.current(here.put(alive)) is alive
    assert here.current(here.put(gone)) is None


def test_attributes() -> None:
    """All spans get the ids and the user; the request's own also gets whether it is confirmed and what came before."""
    identity = Identity("mine", "c-1", previous_id="before", confirmed=True)
    identity.set_user("user.hash", "u")

    assert identity.attributes == {"session.id": "mine", "correlation.id": "c-1", "user.hash": "u"}
    assert identity.request_attributes() == {
        **identity.attributes,
        "session.previous_id": "before",
        "otel_session.session.confirmed": True,
    }
