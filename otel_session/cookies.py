"""Our cookie on the wire: found in a Cookie header, written as a Set-Cookie, kept out of shared caches."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime

from otel_session.config import Config

MAX_HEADER_CHARS = 65_536
_MAX_CANDIDATES = 8


def values_in(header: str, name: str) -> Iterator[str]:
    """The values of the cookies of one name, at most 8 of them.

    A browser sends several of one name when they were set for different paths or domains. RFC 6265, 5.4: pairs are
    separated by "; ". Ours needs no unquoting, so the header is only searched, and a hostile one costs a scan.
    """
    prefix, start, found_already = name + "=", 0, 0
    while found_already < _MAX_CANDIDATES and (found := header.find(prefix, start)) >= 0:
        start = found + len(prefix)
        if found == 0 or header[found - 1] in "; ":
            found_already += 1
            end = header.find(";", start)
            yield header[start : end if end >= 0 else None].strip()


def set_cookie(value: str, settings: Config, *, over_tls: bool) -> str:
    """A Set-Cookie header's value; an empty cookie value deletes the cookie."""
    parts = [
        f"{settings.cookie_name}={value}",
        f"Path={settings.cookie_path}",
        f"Max-Age={int(settings.lifetime_s) if value else 0}",
        "HttpOnly",
        "SameSite=Lax",
    ]
    if settings.cookie_domain:
        parts.append(f"Domain={settings.cookie_domain}")
    if settings.cookie_secure == "always" or (settings.cookie_secure == "auto" and over_tls):
        parts.append("Secure")
    return "; ".join(parts)


def publicly_cacheable(cache_control: str | None, expires: str | None = None, last_modified: str | None = None) -> bool:
    """Whether a shared cache may keep a response, and would hand its Set-Cookie to other people (RFC 9111, 3 and 4.2).

    Args:
        cache_control: The response's header, or None; the same for the others.
        expires: Counts where Cache-Control gives no age; a time gone by or no time at all means stale.
        last_modified: Lets caches choose an age where nothing else does.
    """
    if cache_control is None:
        return _in_future(expires) if expires is not None else last_modified is not None
    said: dict[str, str] = {}
    for part in cache_control.lower().split(","):
        name, _, value = part.strip().partition("=")
        said[name] = value.strip('" ')
    if "private" in said or "no-store" in said:
        return False
    if "public" in said or "immutable" in said or said.get("s-maxage", "0") != "0":
        return True
    if "no-cache" in said:
        return False
    if "max-age" in said or "s-maxage" in said:
        return said.get("max-age", "0") != "0"
    return expires is not None and _in_future(expires)


def _in_future(date: str) -> bool:
    try:
        return parsedate_to_datetime(date).timestamp() > time.time()
    except (TypeError, ValueError, IndexError, OverflowError):
        return False
