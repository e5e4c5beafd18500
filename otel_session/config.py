"""One frozen Config: arguments first, then the environment, then defaults. The only reader of `os.environ`."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from otel_session import _limits
from otel_session import environment_variables as env
from otel_session._checks import TrustedBaggage, checked
from otel_session.exceptions import ConfigError

_log = logging.getLogger("otel_session")


def environment() -> Mapping[str, str]:
    """The process's environment; the one place where it is touched."""
    return os.environ


def set_default(name: str, value: str) -> None:
    """Set a variable that others read (the SDK, child processes), unless it is set."""
    os.environ.setdefault(name, value)


@contextmanager
def overridden(variables: Mapping[str, str]) -> Iterator[None]:
    """Give variables that others read another value for the time of a block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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
        user: Who the user is: `auto` (Flask-Login's id when it is there), `session:NAME` (that entry of Flask's
            session), `callable:MODULE:FUNCTION` (called without arguments inside the request, returns an id or None),
            or `off`.
        user_form: `hash` exports a keyed hash as `user.hash`, `raw` the id itself as `user.id`.
        threads: Whether threads started in a request belong to its session.
        log_format: What the handlers of the standard `logging` write: `json` makes stream and file handlers write JSON
            lines, `prefix` puts the short session id in front of each line, `off` leaves them as they are.
        masked_keys: Further keys whose values are masked in metadata, `extra=` fields and span attributes made of
            them: regular expressions separated by commas, found anywhere in the key, in capitals or not.
        metadata_max_chars: Characters of a text in metadata or an `extra=` field; the rest is cut off.
        detached: What is done about attributes read after their ORM session ended: `observe` tells of them, `load_only`
            loads them too (it needs the provider), `off` does neither.
        detached_provider: Gives an ORM session to load them with: `MODULE:FUNCTION`, called without arguments; in
            Python a callable such as a `sessionmaker` or a `scoped_session`.
        detached_budget: Most attributes loaded so in one trace.
        store: Path of the local telemetry file.
        store_max_bytes: Bytes the file may take; the oldest sessions go first.
        store_max_age_s: Seconds after which telemetry is deleted from the file.
        queue_max_bytes: Bytes of spans, and of log records, that may wait for one destination.
        queue_max_age_s: Seconds that they may wait while it cannot be reached.
        pool_leak_s: Seconds after which a database connection that is still out of its pool raises the leak alarm.
        pool_opened_at: Whether each checkout remembers where the application asked for the connection; some µs each.
        gc_freeze: Whether what zero-code start-up loaded is put out of the garbage collector's sight (`gc.freeze()`).
        viewer_url: Address of a session's page, `{session_id}` in it, that pages may link to.
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
    log_format: str = "off"
    masked_keys: tuple[str, ...] = ()
    metadata_max_chars: int = 1_024
    detached: str = "observe"
    detached_provider: str | Callable[[], Any] | None = None
    detached_budget: int = 100
    store: Path | None = None
    store_max_bytes: int = 512 * 1024 * 1024
    store_max_age_s: float = 7 * 86_400.0
    queue_max_bytes: int = 64 * 1024 * 1024
    queue_max_age_s: float = 600.0
    pool_leak_s: float = 60.0
    pool_opened_at: bool = False
    gc_freeze: bool = True
    viewer_url: str | None = None
    build_stamp: Path | None = None

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, **arguments: Any) -> Config:
        """Read the settings.

        Args:
            environ: Variables to read; the process's own by default.
            **arguments: Fields by name, as text or as the field's type; they win over the environment. None counts
                as not given.

        Raises:
            ConfigError: A value cannot be used, contradicts another, or there is no such setting.
        """
        variables = environment() if environ is None else environ
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(arguments) - known):
            raise ConfigError(f"There is no setting {unknown[0]!r}; the settings are {', '.join(sorted(known))}.")
        _refuse_unknown_variables(variables)
        values: dict[str, Any] = {}
        for name in known:
            variable = "OTEL_SESSION_" + name.upper()
            if arguments.get(name) is not None:
                values[name] = checked(name, f"{name}=", arguments[name])
            elif variables.get(variable, "").strip():
                values[name] = checked(name, f"{variable} is ", variables[variable].strip())
        loaded = cls(**values)
        if loaded.detached == "load_only" and loaded.detached_provider is None:
            raise ConfigError(
                "OTEL_SESSION_DETACHED is 'load_only', and nothing gives it an ORM session to load with; "
                "expected OTEL_SESSION_DETACHED_PROVIDER to be MODULE:FUNCTION."
            )
        _limits.refuse_contradictions(loaded.queue_max_age_s, variables)
        if loaded.lifetime_s < loaded.idle_s:
            return replace(loaded, idle_s=loaded.lifetime_s)
        return loaded

    @property
    def store_path(self) -> Path:
        """Where the local telemetry file is: the setting, else the user's state folder.

        Raises:
            ConfigError: Nothing is set, and this user has no home folder.
        """
        if self.store is not None:
            return self.store
        state = environment().get("XDG_STATE_HOME", "")
        if os.path.isabs(state):
            base = Path(state)
        else:
            try:
                base = Path("~/.local/state").expanduser()
            except RuntimeError as error:  # a container's user without an entry in /etc/passwd
                raise ConfigError(
                    "OTEL_SESSION_STORE is not set, and this user has no home folder; expected the path of a file."
                ) from error
        return base / "otel-session" / "telemetry.db"


def _refuse_unknown_variables(variables: Mapping[str, str]) -> None:
    known = {getattr(env, name) for name in dir(env) if name.startswith("OTEL_")}
    for name in variables:
        if name.startswith("OTEL_SESSION_") and name not in known and not name.startswith(_TEST_SETUP):
            import difflib  # here: start-up needs it only to fail

            meant = difflib.get_close_matches(name, known, 1)
            guess = f" Did you mean {meant[0]}?" if meant else ""
            raise ConfigError(
                f"{name} is set, and there is no such setting.{guess} The settings are {', '.join(sorted(known))}."
            )


# The project's own test set-up takes these.
_TEST_SETUP = ("OTEL_SESSION_REQUIRE_", "OTEL_SESSION_BACKENDS", "OTEL_SESSION_TEMPO_BIN")


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
        linger_s()
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
    return frozenset(
        w.strip() for w in variables.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",") if w.strip()
    )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"})


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
        known_methods: HTTP methods that may name spans and metrics (`OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS`,
            comma-separated, instead of the default ones); others count as `_OTHER`.
        exception_events: Whether exceptions become span events (`OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN` is not
            `logs`).
    """

    excluded: re.Pattern[str] | None
    request_headers: re.Pattern[str] | None
    response_headers: re.Pattern[str] | None
    sanitize: re.Pattern[str] | None
    known_methods: frozenset[str]
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
        methods = variables.get("OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS", "").strip()
        return cls(
            excluded=_patterns(variables, flask if flask in variables else "OTEL_PYTHON_EXCLUDED_URLS"),
            request_headers=_patterns(variables, prefix + "SERVER_REQUEST", whole=True),
            response_headers=_patterns(variables, prefix + "SERVER_RESPONSE", whole=True),
            sanitize=_patterns(variables, prefix + "SANITIZE_FIELDS", whole=True),
            known_methods=frozenset(m.strip() for m in methods.split(",") if m.strip()) if methods else _METHODS,
            exception_events=exception_events(variables),
        )


def exception_events(environ: Mapping[str, str] | None = None) -> bool:
    """Whether exceptions become span events: `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN` is not `logs`."""
    variables = environment() if environ is None else environ
    return variables.get("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", "").strip() != "logs"


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


def linger_s(environ: Mapping[str, str] | None = None) -> float:
    """`OTEL_BSP_SCHEDULE_DELAY` in seconds (default 5): longest time that a span waits for others to go with it."""
    return _limits.linger_s(environment() if environ is None else environ)
