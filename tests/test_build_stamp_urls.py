"""Addresses of remotes: credentials out, one web address in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_session.build_stamp._urls import repository_url

SAME = "https://example.com/org/app"


@pytest.mark.parametrize(
    "remote",
    [
        "https://example.com/org/app",
        "https://example.com/org/app.git",
        "https://example.com/org/app.git/",
        "https://EXAMPLE.com/org/app",
        "HTTPS://example.com/org/app",
        "https://user@example.com/org/app.git",
        "https://user:secret@example.com/org/app.git",
        "https://:secret@example.com/org/app.git",
        "https://oauth2:glpat-secret@example.com/org/app.git",
        "https://us@er:sec@ret@example.com/org/app.git",
        "https://user:sec%2Fret@example.com/org/app.git",
        "https://example.com/org/app.git?private_token=secret",
        "https://example.com/org/app.git#secret",
        "git@example.com:org/app.git",
        "git@example.com:/org/app.git",
        "example.com:org/app.git",
        "secret@example.com:org/app",
        "ssh://git@example.com/org/app.git",
        "ssh://git:secret@example.com:2222/org/app.git",
        "git+ssh://git@example.com:22/org/app.git",
        "git://example.com:9418/org/app.git",
        "  https://example.com/org/app.git\n",
    ],
)
def test_every_form_of_one_remote_gives_one_address(remote: str) -> None:
    """https, ssh and scp-like forms, with or without credentials, all become the same web address."""
    assert repository_url(remote) == SAME


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("http://user:secret@git.local:3000/org/app.git", "http://git.local:3000/org/app"),
        ("https://example.com:8443/org/app", "https://example.com:8443/org/app"),
        ("https://[2001:db8::1]:8443/org/app", "https://[2001:db8::1]:8443/org/app"),
        ("git@[2001:db8::1]:org/app.git", "https://[2001:db8::1]/org/app"),
        ("https://example.com/group/sub.group/my.app.git", "https://example.com/group/sub.group/my.app"),
        ("git@build_host:app.git", "https://build_host/app"),
    ],
)
def test_what_belongs_to_the_address_stays(remote: str, expected: str) -> None:
    """The web server's port, IPv6 hosts, nested groups and dots in names are kept."""
    assert repository_url(remote) == expected


@pytest.mark.parametrize(
    "remote",
    [
        None,
        "",
        "/srv/git/app.git",
        "../app",
        "file:///srv/git/app.git",
        "C:\\repos\\app",
        "C:/repos/app",
        "\\\\server\\share\\app",
        "ext::sh -c secret",
        "codecommit::eu-west-1://profile@app",
        "https://",
        "https://example.com",
        "https://example.com/.git",
        "https://user:sec/ret@example.com/org/app.git",
        "https://user:sec#ret@example.com/org/app.git",
        "https://user:123#ret@example.com/org/app.git",
        "https://user:123?ret@example.com/org/app.git",
        "https://user:sec\\ret@example.com/org/app.git",
        "user:secret@example.com:org/app.git",
        "https://exam ple.com/org/app",
        "https://example.com/org/a\x00pp",
        "https://example.com/org/a\ud800pp",
        "https://example.com:port/org/app",
        "ftp://example.com/org/app",
        "https://example.com/" + "a" * 3000,
    ],
)
def test_what_is_no_address_or_may_hold_credentials_is_left_out(remote: str | None) -> None:
    """Local paths, remote helpers, broken addresses and unescaped passwords give nothing."""
    assert repository_url(remote) is None


_word = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="@"), min_size=6, max_size=30)


@given(
    secret=_word,
    form=st.sampled_from(["https://u:{}@h.example/o/a.git", "https://{}@h.example/o/a", "ssh://u:{}@h.example/o/a"]),
)
def test_no_password_comes_through_whatever_is_in_it(secret: str, form: str) -> None:
    """For any password of printable characters, escaped or not, none of it is in the result."""
    assert repository_url(form.format(secret)) in (None, "https://h.example/o/a")


@given(st.text(max_size=200))
def test_any_text_is_taken(text: str) -> None:
    """No text raises, and what comes out is a web address without an @ and without a blank."""
    address = repository_url(text)
    assert address is None or (address.startswith(("https://", "http://")) and not set(address) & set("@ \n\\"))
