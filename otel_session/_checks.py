"""What each setting may be: text or a value in, the checked value out."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from otel_session._patterns import lazily
from otel_session.exceptions import ConfigError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TOKEN = lazily(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 token: header and cookie names
_DOMAIN = lazily(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_CALLABLE = lazily(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", re.ASCII)


class TrustedBaggage(NamedTuple):
    """Whose inbound baggage may name the session: client networks, message brokers, or everybody."""

    networks: tuple[Network, ...] = ()
    messages: bool = False
    everybody: bool = False

    def covers(self, address: str | None) -> bool:
        """Whether a peer with this IP address is trusted; None stands for a message without a peer."""
        if self.everybody:
            return True
        if address is None:
            return self.messages
        if not self.networks:
            return False
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(peer in network for network in self.networks)


def checked(name: str, where: str, value: Any) -> Any:
    """The value of a field of `Config`, as the field's type.

    Args:
        name: The field.
        where: How the message begins: `OTEL_SESSION_IDLE_S is ` or `idle_s=`.
        value: As text or as the field's type.

    Raises:
        ConfigError: It cannot be used; the message says what was expected.
    """
    check, expected = _CHECKS[name]
    try:
        return check(value)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        shown = "(hidden)" if name == "secret" else repr(value)
        raise ConfigError(f"{where}{shown}; expected {expected}.") from error


def _one_of(*words: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        word = str(value).lower()
        if word not in words:
            raise ValueError(word)
        return word

    return check


def _switch(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"on": True, "true": True, "1": True, "yes": True, "off": False, "false": False, "0": False, "no": False}
    try:
        return words[value.lower()]
    except KeyError:
        raise ValueError(value) from None


def _seconds(value: Any) -> float:
    number = float(value)
    if not 1 <= number <= 10**9:
        raise ValueError(value)
    return number


def _count(value: Any) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d{1,7}", str(value)) or not 1 <= int(value) <= 10**6:
        raise ValueError(value)
    return int(value)


_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


def _bytes(value: Any) -> int:
    match = re.fullmatch(r"(\d+)\s*([kmg]?)(?:i?b)?", str(value).lower())
    if match is None or int(match[1]) * _UNITS[match[2]] < 1024**2:
        raise ValueError(value)
    return int(match[1]) * _UNITS[match[2]]


def _matching(pattern: re.Pattern[str]) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if pattern.fullmatch(value) is None:
            raise ValueError(value)
        return str(value)

    return check


def _source(value: Any) -> str:
    kind, _, rest = str(value).partition(":")
    if kind in ("cookie", "app", "baggage", "none") and not rest:
        return kind
    if (kind == "header" and _TOKEN.fullmatch(rest)) or (kind == "callable" and _CALLABLE.fullmatch(rest)):
        return f"{kind}:{rest}"
    raise ValueError(value)


def _user(value: Any) -> str:
    word = str(value)
    if (
        word in ("auto", "off")
        or (word.startswith("session:") and word[8:])
        or (word.startswith("callable:") and _CALLABLE.fullmatch(word[9:]))
    ):
        return word
    raise ValueError(value)


def _provider(value: Any) -> Any:
    if callable(value) or _CALLABLE.fullmatch(value):
        return value
    raise ValueError(value)


def _patterns(value: Any) -> tuple[str, ...]:
    words = value.split(",") if isinstance(value, str) else list(value)
    kept = tuple(word.strip() for word in words if word.strip())
    for word in kept:
        try:
            matches_all = re.compile(word, re.IGNORECASE).search("") is not None
        except re.error as error:
            raise ValueError(word) from error
        if matches_all:  # it would mask every key
            raise ValueError(word)
    return kept


def _cookie_path(value: Any) -> str:
    if not re.fullmatch(r"/[\x21-\x3a\x3c-\x7e]*", value):
        raise ValueError(value)
    return str(value)


def _trusted(value: Any) -> TrustedBaggage:
    if isinstance(value, TrustedBaggage):
        return value
    words = [w.strip() for w in value.split(",") if w.strip()]
    networks = tuple(ipaddress.ip_network(w, strict=False) for w in words if w not in ("*", "messages"))
    return TrustedBaggage(networks, "messages" in words, "*" in words)


def _path(value: Any) -> Path:
    try:
        path = Path(value).expanduser()
    except RuntimeError as error:  # ~nobody
        raise ValueError(value) from error
    if path == Path() or "\0" in str(path):
        raise ValueError(value)
    return path


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(value)
    return value


def _viewer_url(value: Any) -> str:
    # It is put into pages as a link: nothing in it may end one there.
    if not re.fullmatch(r"https?://[^\s()<>\"'\\]+", value, re.ASCII) or "{session_id}" not in value:
        raise ValueError(value)
    return str(value)


def _secret(value: Any) -> str:
    if not isinstance(value, str) or len(value) < 16:
        raise ValueError("too short")
    return value


_SECONDS = (_seconds, "a number of seconds from 1 to 1000000000")
_SWITCH = (_switch, "on or off")
_CHECKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "source": (_source, "cookie, app, header:NAME, baggage, callable:MODULE:FUNCTION or none"),
    "app_key": (_text, "the name of an entry in the application's session"),
    "cookie": _SWITCH,
    "cookie_name": (_matching(_TOKEN), "a cookie name (letters, digits and !#$%&'*+.^_`|~-)"),
    "cookie_domain": (_matching(_DOMAIN), "a domain name such as example.com"),
    "cookie_path": (_cookie_path, "a path that begins with / and has no space or semicolon"),
    "cookie_secure": (_one_of("auto", "always", "never"), "auto, always or never"),
    "idle_s": _SECONDS,
    "lifetime_s": _SECONDS,
    "baggage": _SWITCH,
    "gc_freeze": _SWITCH,
    "trusted_baggage": (_trusted, "networks such as 10.0.0.0/8, the word messages, or *, separated by commas"),
    "secret": (_secret, "a secret of at least 16 characters"),
    "user": (_user, "auto, off, session:NAME or callable:MODULE:FUNCTION"),
    "user_form": (_one_of("hash", "raw"), "hash or raw"),
    "threads": _SWITCH,
    "log_format": (_one_of("off", "json", "prefix"), "off, json or prefix"),
    "masked_keys": (_patterns, "regular expressions separated by commas, none of which matches an empty key"),
    "metadata_max_chars": (_count, "a whole number from 1 to 1000000"),
    "detached": (_one_of("observe", "load_only", "off"), "observe, load_only or off"),
    "detached_provider": (_provider, "MODULE:FUNCTION or, in Python, a callable; it gives an ORM session"),
    "detached_budget": (_count, "a whole number from 1 to 1000000"),
    "store": (_path, "the path of a file"),
    "store_max_bytes": (_bytes, "a size of at least 1 MiB, such as 536870912, 512MiB or 2g"),
    "store_max_age_s": _SECONDS,
    "queue_max_bytes": (_bytes, "a size of at least 1 MiB, such as 67108864, 64MiB or 1g"),
    "queue_max_age_s": _SECONDS,
    "pool_leak_s": _SECONDS,
    "pool_opened_at": _SWITCH,
    "viewer_url": (_viewer_url, "an http or https address with {session_id} where a session's id belongs"),
    "build_stamp": (_path, "the path of a build_stamp.json"),
}
