"""Ids: made, checked, shortened, hashed."""

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_session import ids


def test_correlation_ids() -> None:
    """A correlation id is `req_` and 12 hex digits, another each time."""
    made = {ids.new_correlation_id() for _ in range(1_000)}

    assert len(made) == 1_000
    assert all(re.fullmatch("req_[0-9a-f]{12}", one) for one in made)
    assert all(map(ids.is_valid_id, made))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(max_size=300))
def test_valid_ids_are_harmless(text: str) -> None:
    """What passes the check can stand in a header, in baggage and in a log line as it is."""
    if ids.is_valid_id(text):
        assert text.isascii()
        assert text.isprintable()
        assert 1 <= len(text) <= 128
        assert not set(text) & set(" ,;\"'\\%<>&(){}")


@pytest.mark.parametrize("text", ["a", "A1", "0af7-651.9_16:c@d/e=f+g~h", "x" * 128])
def test_valid(text: str) -> None:
    """Ids as others write them pass."""
    assert ids.is_valid_id(text)


@pytest.mark.parametrize("text", ["", "x" * 129, "a b", "-a", ".a", "a\n", "ä", "a,b", "a;b", 'a"b', "a%20b", "\x00"])
def test_invalid(text: str) -> None:
    """Others do not."""
    assert not ids.is_valid_id(text)


def test_short_ids() -> None:
    """Ours are cut to 8, run ids stay whole, ids from outside are hashed because they may begin alike."""
    assert ids.short_id("a1b2c3d4" * 4) == "a1b2c3d4"
    assert ids.short_id("20250115_143022_scheduled") == "20250115_143022_scheduled"
    outside = {ids.short_id(f"customer-session-{n}") for n in range(100)}
    assert len(outside) == 100
    assert all(re.fullmatch("[0-9a-f]{8}", one) for one in outside)


def test_keyed_hash() -> None:
    """The same value and key give the same 32 hex digits; another value or key gives others; any text is taken."""
    made = ids.keyed_hash("ada", "key")

    assert made == ids.keyed_hash("ada", b"key")
    assert re.fullmatch("[0-9a-f]{32}", made)
    assert len({made, ids.keyed_hash("ada", "other"), ids.keyed_hash("bob", "key"), ids.keyed_hash("\ud800", "k")}) == 4


def test_derivations_differ() -> None:
    """From one secret, the public id and the next secret have nothing in common: the one does not give the other."""
    secret = bytes(range(16))

    derived = {ids.session_id_of(secret), ids.next_secret(secret, 1).hex(), ids.next_secret(secret, 2).hex()}

    assert len(derived) == 3
    assert len(ids.next_secret(secret, 1)) == ids.SECRET_BYTES
