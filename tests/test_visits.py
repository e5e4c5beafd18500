"""The cookie's value: what it holds, what is refused, and the visit after one that is over."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_session import ids, visits

NOW = 1_800_000_000.0


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(min_size=16, max_size=16), st.integers(0, 10**6), st.integers(0, 10**6), st.booleans())
def test_round_trip(secret: bytes, age_s: int, idle_s: int, followed: bool) -> None:
    """Every visit is read back from its cookie as it was, and its value is safe in a cookie."""
    previous = "0f" * 16 if followed else None
    visit = visits.Visit(secret, int(NOW) - age_s - idle_s, int(NOW) - idle_s, previous)

    value = visit.cookie_value()

    assert visits.parse(value, NOW) == visit
    assert len(value) <= 80
    assert not set(value) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=200))
def test_any_text(value: str) -> None:
    """Any text is read or refused, without an exception."""
    found = visits.parse(value, NOW)

    assert found is None or isinstance(found, visits.Visit)


GOOD = visits.Visit(b"\x00" * 16, int(NOW) - 60, int(NOW)).cookie_value()


@pytest.mark.parametrize(
    "value",
    [
        "",
        GOOD[:-1],
        GOOD + "0",
        GOOD + ".",
        GOOD + "\n",
        " " + GOOD,
        "2" + GOOD[1:],
        GOOD.upper(),
        GOOD.replace("A", "=", 1),
        f"{GOOD}.{'g' * 32}",
        f"{GOOD}.{'0' * 31}",
        f"1.{'A' * 22}.{int(NOW):08x}.{int(NOW) - 1:08x}",
        f"1.{'A' * 22}.{int(NOW):08x}.{int(NOW) + 301:08x}",
        f"1.{'A' * 22}.{int(NOW):08x}.ffffffffffff",
    ],
)
def test_refused(value: str) -> None:
    """A value of another form, last used before it began, or used in the future, is none of ours."""
    assert visits.parse(GOOD, NOW) is not None
    assert visits.parse(value, NOW) is None


def test_public_id_is_one_way() -> None:
    """The public id is a hash: of 32 hex digits, another for each secret, with nothing of the secret in it."""
    visit = visits.new_visit(NOW)

    assert visit.session_id == ids.session_id_of(visit.secret)
    assert len(visit.session_id) == 32
    assert visit.secret.hex() != visit.session_id
    assert len({visits.new_visit(NOW).session_id for _ in range(100)}) == 100


def test_confirmed_when_used() -> None:
    """A visit is confirmed by its first use after the beginning, in the same second too."""
    visit = visits.new_visit(NOW)

    assert not visit.confirmed
    assert visit.used(int(NOW)).confirmed
    assert visit.used(int(NOW) + 60).last_s == int(NOW) + 60


@pytest.mark.parametrize(
    ("age_s", "idle_s", "reason"),
    [(1_800, 1_800, None), (1_801, 1_801, "idle"), (14_400, 0, None), (14_401, 0, "lifetime")],
)
def test_ended(age_s: int, idle_s: int, reason: str | None) -> None:
    """A visit is over after its idle time or its longest time, not at it."""
    visit = visits.Visit(b"\x00" * 16, int(NOW) - age_s, int(NOW) - idle_s)

    assert visit.ended(NOW, idle_s=1_800, lifetime_s=14_400) == reason


def test_next_visit() -> None:
    """The next visit is the same wherever it is worked out at about the same time, later another one."""
    over = visits.new_visit(NOW)

    after, again = (visits.next_visit(over, NOW + at, idle_s=1_800) for at in (1, 2))
    later = visits.next_visit(over, NOW + 5_000, idle_s=1_800)

    assert after.session_id == again.session_id
    assert len({over.session_id, after.session_id, later.session_id}) == 3
    assert after.previous_id == over.session_id
    assert not after.confirmed


def test_cost() -> None:
    """Reading a cookie takes microseconds, and refusing a hostile one of 60,000 characters no longer."""
    hostile = "1." + "A" * 60_000
    began = time.process_time()
    for _ in range(1_000):
        visits.parse(hostile, NOW)

    assert time.process_time() - began < 0.5
