"""One frozen Config: arguments first, then the environment, then defaults. The only reader of `os.environ`."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from otel_session import environment_variables as env
from otel_session.exceptions import ConfigError

_log = logging.getLogger("otel_session")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 token: header and cookie names
_DOMAIN = re.compile(r"\.?[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_CALLABLE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*", re.ASCII)


def environment() -> Mapping[str, str]:
    """The process's environment; the one place where it is touched."""
    return os.environ


def set_default(name: str, value: str) -> None:
    """Set a variable that others read (the SDK, child processes), unless it is set."""
    os.environ.setdefault(name, value)


@dataclass(frozen=True, slots=True)
class TrustedBaggage:
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


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, checked. `Config.load()` makes one; `config.active()` is the one in force.

    Each field's variable is `OTEL_SESSION_` and the field's name in capitals.

    Attributes:
        source: Where the session id comes from: `cookie` (our own), `app` (the application's own session, as a keyed
            hash), `header:NAME`, `baggage`, `callable:MODULE:FUNCTION` (called with the WSGI environ or ASGI scope,
            returns an id or None), or `none`.
        app_key: With source `app`: the entry of the application's session that identifies it; by default the id of a
            server-side session.
        cookie: Whether our own cookie may be set.
        cookie_name: Name of the cookie.
        cookie_domain: Domain of the cookie; by default the host alone.
        cookie_path: Path of the cookie.
        cookie_secure: `auto` (Secure when the request came over TLS), `always` or `never`.
        idle_s: Seconds without a request after which a session is over.
        lifetime_s: Seconds after which a session is over in any case.
        baggage: Whether session and correlation id are sent on as W3C baggage.
        trusted_baggage: Comma-separated networks (`10.0.0.0/8`), `messages` and `*`: whose baggage is believed.
        secret: Key for hashing ids of the application's session and of users; by default Flask's SECRET_KEY.
        user: Who the user is: `auto` (Flask-Login's id when it is there), `callable:MODULE:FUNCTION`, or `off`.
        user_form: `hash` exports a keyed hash as `user.hash`, `raw` the id itself as `user.id`.
        threads: Whether threads started in a request belong to its session.
        store: Path of the local telemetry file.
        store_max_bytes: Bytes the file may take; the oldest sessions go first.
        store_max_age_s: Seconds after which telemetry is deleted from the file.
        build_stamp: Path of `build_stamp.json`; by default it is looked for.
    """

    source: str = "cookie"
    app_key: str | None = None
    cookie: bool = True
    cookie_name: str = "otel_session"
    cookie_domain: str | None = None
    cookie_path: str = "/"
    cookie_secure: str = "auto"
    idle_s: float = 1_800.0
    lifetime_s: float = 14_400.0
    baggage: bool = True
    trusted_baggage: TrustedBaggage = field(default_factory=TrustedBaggage)
    secret: str | None = field(default=None, repr=False)
    user: str = "auto"
    user_form: str = "hash"
    threads: bool = True
    store: Path | None = None
    store_max_bytes: int = 512 * 1024 * 1024
    store_max_age_s: float = 7 * 86_400.0
    build_stamp: Path | None = None

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **arguments: Any) -> Config:
        """Read the settings.

        Args:
            environ: Variables to read; the process's own by default.
            **arguments: Fields by name, as text or as the field's type; they win over the environment.

        Raises:
            ConfigError: A value cannot be used, or there is no such setting.
        """
        variables = environment() if environ is None else environ
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(arguments) - known):
            raise ConfigError(f"There is no setting {unknown[0]!r}; the settings are {', '.join(sorted(known))}.")
        _refuse_unknown_variables(variables)
        values: dict[str, Any] = {}
        for name in known:
            variable = "OTEL_SESSION_" + name.upper()
            if name in arguments:
                values[name] = _checked(name, f"{name}=", arguments[name])
            elif variables.get(variable, "").strip():
                values[name] = _checked(name, f"{variable} is ", variables[variable].strip())
        loaded = cls(**values)
        if loaded.lifetime_s < loaded.idle_s:
            return replace(loaded, idle_s=loaded.lifetime_s)
        return loaded

    @property
    def store_path(self) -> Path:
        """Where the local telemetry file is: the setting, else the user's state folder."""
        if self.store is not None:
            return self.store
        state = environment().get("XDG_STATE_HOME", "")
        base = Path(state) if os.path.isabs(state) else Path("~/.local/state").expanduser()
        return base / "otel-session" / "telemetry.db"


def _refuse_unknown_variables(variables: Mapping[str, str]) -> None:
    known = {getattr(env, name) for name in dir(env) if name.startswith("OTEL_")}
    for name in variables:
        if name.startswith("OTEL_SESSION_") and name not in known and not name.startswith(_OTHERS):
            raise ConfigError(
                f"{name} is set, and there is no such setting; the settings are {', '.join(sorted(known))}."
            )


# Read by other rooms: the build stamp's explicit values, and what the test set-up takes.
_OTHERS = ("OTEL_SESSION_BUILD_", "OTEL_SESSION_REQUIRE_", "OTEL_SESSION_BACKENDS", "OTEL_SESSION_TEMPO_BIN")


def _checked(name: str, where: str, value: Any) -> Any:
    check, expected = _CHECKS[name]
    try:
        return check(value)
    except (ValueError, TypeError, AttributeError) as error:
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
    if word in ("auto", "off") or (word.startswith("callable:") and _CALLABLE.fullmatch(word[9:])):
        return word
    raise ValueError(value)


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
    return Path(value).expanduser()


def _secret(value: Any) -> str:
    if len(value) < 16:
        raise ValueError("too short")
    return str(value)


_SECONDS = (_seconds, "a number of seconds from 1 to 1000000000")
_SWITCH = (_switch, "on or off")
_CHECKS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "source": (_source, "cookie, app, header:NAME, baggage, callable:MODULE:FUNCTION or none"),
    "app_key": (str, "the name of an entry in the application's session"),
    "cookie": _SWITCH,
    "cookie_name": (_matching(_TOKEN), "a cookie name (letters, digits and !#$%&'*+.^_`|~-)"),
    "cookie_domain": (_matching(_DOMAIN), "a domain name such as example.com"),
    "cookie_path": (_cookie_path, "a path that begins with / and has no space or semicolon"),
    "cookie_secure": (_one_of("auto", "always", "never"), "auto, always or never"),
    "idle_s": _SECONDS,
    "lifetime_s": _SECONDS,
    "baggage": _SWITCH,
    "trusted_baggage": (_trusted, "networks such as 10.0.0.0/8, the word messages, or *, separated by commas"),
    "secret": (_secret, "a secret of at least 16 characters"),
    "user": (_user, "auto, off or callable:MODULE:FUNCTION"),
    "user_form": (_one_of("hash", "raw"), "hash or raw"),
    "threads": _SWITCH,
    "store": (_path, "the path of a file"),
    "store_max_bytes": (_bytes, "a size of at least 1 MiB, such as 536870912, 512MiB or 2g"),
    "store_max_age_s": _SECONDS,
    "build_stamp": (_path, "the path of a build_stamp.json"),
}

_active: Config | None = None


def active() -> Config:
    """The configuration in force; read from the environment when nobody has set one.

    Raises:
        ConfigError: The environment has a value that cannot be used.
    """
    global _active
    if _active is None:
        _active = Config.load()
    return _active


def is_active() -> bool:
    """Whether a configuration is in force already."""
    return _active is not None


def activate(config: Config | None) -> None:
    """Put a configuration in force; None forgets it, so that the environment is read again."""
    global _active, _unusable
    _active, _unusable = config, False


_unusable = False


def active_or_report() -> Config | None:
    """The configuration in force; None after one log line when the environment has a value that cannot be used.

    For start-up without code: the application runs on, without telemetry.
    """
    global _unusable
    if _unusable:
        return None
    try:
        HttpConfig.load()
        return active()
    except ConfigError as error:
        _unusable = True
        _log.error("otel-session is off. %s", error)
        return None


def store_path() -> Path:
    """The local telemetry file of the configuration in force."""
    return active().store_path


def sdk_disabled(environ: Mapping[str, str] | None = None) -> bool:
    """Whether `OTEL_SDK_DISABLED` is true (OpenTelemetry specification: then nothing is recorded or injected)."""
    variables = environment() if environ is None else environ
    return variables.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"


def disabled_instrumentations(environ: Mapping[str, str] | None = None) -> frozenset[str]:
    """The names in `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS`."""
    variables = environment() if environ is None else environ
    return frozenset(w.strip() for w in variables.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",") if w)


@dataclass(frozen=True, slots=True)
class HttpConfig:
    """The official HTTP instrumentations' own variables, compiled.

    Attributes:
        excluded: Matches URLs of requests that make no span (`OTEL_PYTHON_FLASK_EXCLUDED_URLS`, else
            `OTEL_PYTHON_EXCLUDED_URLS`), or None.
        request_headers: Matches names of request headers to capture
            (`OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST`), or None.
        response_headers: The same for response headers.
        sanitize: Matches names of captured headers whose value is hidden, beside those always hidden.
        exception_events: Whether exceptions become span events (`OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN` is not
            `logs`).
    """

    excluded: re.Pattern[str] | None
    request_headers: re.Pattern[str] | None
    response_headers: re.Pattern[str] | None
    sanitize: re.Pattern[str] | None
    exception_events: bool

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> HttpConfig:
        """Read the variables.

        Raises:
            ConfigError: One of them is not a list of regular expressions.
        """
        variables = environment() if environ is None else environ
        prefix = "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_"
        flask = "OTEL_PYTHON_FLASK_EXCLUDED_URLS"
        return cls(
            excluded=_patterns(variables, flask if flask in variables else "OTEL_PYTHON_EXCLUDED_URLS"),
            request_headers=_patterns(variables, prefix + "SERVER_REQUEST", whole=True),
            response_headers=_patterns(variables, prefix + "SERVER_RESPONSE", whole=True),
            sanitize=_patterns(variables, prefix + "SANITIZE_FIELDS", whole=True),
            exception_events=variables.get("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "").strip() != "logs",
        )


def _patterns(variables: Mapping[str, str], name: str, *, whole: bool = False) -> re.Pattern[str] | None:
    words = [w.strip() for w in variables.get(name, "").split(",") if w.strip()]
    if not words:
        return None
    template = r"^(?:{})$" if whole else "{}"
    try:
        return re.compile(template.format("|".join(words)), re.IGNORECASE if whole else 0)
    except re.error as error:
        raise ConfigError(
            f"{name} is {variables[name]!r}; expected regular expressions separated by commas ({error})."
        ) from error
