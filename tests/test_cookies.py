"""Finding our cookie in a Cookie header, and judging who may keep a response."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_session import cookies


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("v=1", ["1"]),
        ("a=b; v=1; c=d", ["1"]),
        ("a=b;v=1", ["1"]),
        ("v=1; v=2", ["1", "2"]),
        ("xv=1; v2=2; a=v=3", []),
        ("V=1", []),
        ("v=", [""]),
        ("v", []),
        ("v= 1 ;a=b", ["1"]),
        ("", []),
    ],
)
def test_values_in(header: str, found: list[str]) -> None:
    """Cookies of exactly our name are found, wherever they stand."""
    assert list(cookies.values_in(header, "v")) == found


def test_bounded() -> None:
    """Of a header full of cookies of our name only eight are looked at."""
    assert len(list(cookies.values_in("v=1; " * 10_000, "v"))) == 8


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.text(), st.text(), st.text())
def test_judging_never_raises(control: str, expires: str, modified: str) -> None:
    """Whatever an application writes into its cache headers, there is an answer."""
    assert cookies.publicly_cacheable(control, expires, modified) in (True, False)
    assert cookies.publicly_cacheable(None, expires, modified) in (True, False)
