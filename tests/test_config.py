"""Every setting comes from an argument, the environment or a default, and is checked where it comes in."""

import dataclasses
import ipaddress
import pathlib
from typing import Any

import pytest

from otel_session import config, environment_variables
from otel_session.config import Config, HttpConfig, TrustedBaggage
from otel_session.exceptions import ConfigError

# field: (default, text in a variable, the value it makes, a value in code)
GOOD: dict[str, tuple[Any, str, Any, Any]] = {
    "source": ("cookie", "header:X-Session", "header:X-Session", "callable:app.auth:session_of"),
    "app_key": (None, "visit", "visit", "cart"),
    "cookie": (True, "off", False, False),
    "cookie_name": ("otel_session", "__Host-visit", "__Host-visit", "v"),
    "cookie_domain": (None, "example.com", "example.com", ".example.com"),
    "cookie_path": ("/", "/app", "/app", "/a/b"),
    "cookie_secure": ("auto", "ALWAYS", "always", "never"),
    "idle_s": (1800.0, "60", 60.0, 90),
    "lifetime_s": (14400.0, "7200.5", 7200.5, 86400),
    "baggage": (True, "no", False, True),
    "gc_freeze": (True, "no", False, True),
    "trusted_baggage": (
        TrustedBaggage(),
        "10.0.0.0/8, messages",
        TrustedBaggage((ipaddress.ip_network("10.0.0.0/8"),), messages=True),
        TrustedBaggage(everybody=True),
    ),
    "secret": (None, "0123456789abcdef", "0123456789abcdef", "fedcba9876543210"),
    "user": ("auto", "off", "off", "callable:app:user"),
    "user_form": ("hash", "RAW", "raw", "raw"),
    "threads": (True, "0", False, False),
    "log_format": ("off", "JSON", "json", "prefix"),
    "masked_keys": ((), "salary, patient_.*", ("salary", "patient_.*"), ("iq{1,2}",)),
    "metadata_max_chars": (1_024, "80", 80, 4_096),
    "store": (None, "/tmp/t.db", pathlib.Path("/tmp/t.db"), pathlib.Path("t.db")),
    "store_max_bytes": (512 * 1024**2, "2 GiB", 2 * 1024**3, 1024**2),
    "store_max_age_s": (604800.0, "3600", 3600.0, 60),
    "queue_max_bytes": (64 * 1024**2, "8m", 8 * 1024**2, 1024**2),
    "queue_max_age_s": (600.0, "60", 60.0, 30),
    "detached": ("observe", "OFF", "off", "observe"),
    "detached_provider": (None, "shop:make", "shop:make", "shop.database:orm_session"),
    "detached_budget": (100, "5", 5, 7),
    "pool_leak_s": (60.0, "5", 5.0, 300),
    "pool_opened_at": (False, "on", True, True),
    "viewer_url": (
        None,
        "https://v.example/{session_id}",
        "https://v.example/{session_id}",
        "http://v/?s={session_id}",
    ),
    "build_stamp": (None, "~/stamp.json", pathlib.Path("~/stamp.json").expanduser(), pathlib.Path("s.json")),
}
BAD: dict[str, list[Any]] = {
    "source": ["cookies", "header:", "header:bad name", "callable:nothing", "cookie:x", "callable:a:b()"],
    "app_key": [5],
    "cookie": ["maybe", 2],
    "cookie_name": ["two words", "a=b", "a;b", "ü", 5],
    "cookie_domain": ["exa mple", "a;b", "https://example.com", "-.-.;"],
    "cookie_path": ["app", "/a b", "/a;b", "/a\nb", 5],
    "cookie_secure": ["sometimes", True],
    "idle_s": ["soon", "0", "-1", "nan", "inf", "1e10", [], "1,5"],
    "lifetime_s": ["long", 0.5],
    "baggage": ["perhaps"],
    "gc_freeze": ["perhaps"],
    "trusted_baggage": ["everyone", "10.0.0.0/99", "300.1.1.1", 5],
    "secret": ["short", 1234567890123456, b"0123456789abcdef"],
    "user": ["flask", "callable:x", "callable:"],
    "user_form": ["plain"],
    "threads": ["x"],
    "log_format": ["text", 5],
    "masked_keys": ["(", "a*", "salary,|", 5, [5]],
    "metadata_max_chars": ["0", "long", -1],
    "store": ["~nobody_of_this_name/t.db", "a\0b", 5, "."],
    "store_max_bytes": ["1000", "lots", "-5", "1.5g", 0],
    "store_max_age_s": ["week"],
    "queue_max_bytes": ["1k"],
    "queue_max_age_s": ["0"],
    "detached": ["sometimes"],
    "detached_provider": ["nonsense"],
    "detached_budget": ["0", "many"],
    "pool_leak_s": ["0", "off"],
    "pool_opened_at": ["stack"],
    "viewer_url": [
        "v.example/{session_id}",
        "https://v.example/",
        "https://v.example/{session_id})",
        "javascript:{session_id}",
    ],
    "build_stamp": ["a\0b"],
}
FIELDS = [field.name for field in dataclasses.fields(Config)]


def variable_of(field: str) -> str:
    return "OTEL_SESSION_" + field.upper()


def test_every_field_is_covered() -> None:
    """The tables of this test name every field, and every field has its variable."""
    assert sorted(GOOD) == sorted(BAD) == sorted(FIELDS)
    variables = {name for name in dir(environment_variables) if name.startswith("OTEL_")}
    assert {variable_of(field) for field in FIELDS} <= variables
    others = variables - {variable_of(field) for field in FIELDS}
    assert all(name.startswith("OTEL_SESSION_BUILD_") for name in others)
    assert all(getattr(environment_variables, name) == name for name in variables)


@pytest.mark.parametrize("field", FIELDS)
def test_default_environment_argument(field: str) -> None:
    """Each field: its default, then the variable, then the argument, which wins; None and blanks count as not given."""
    default, text, value, argument = GOOD[field]
    environ = {variable_of(field): text}
    assert getattr(Config.load({}), field) == default
    assert getattr(Config.load({variable_of(field): "  "}), field) == default
    assert getattr(Config.load(environ), field) == value
    assert getattr(Config.load({variable_of(field): f" {text} "}), field) == value
    assert getattr(Config.load(environ, **{field: argument}), field) == argument
    assert getattr(Config.load(environ, **{field: None}), field) == value


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in BAD.items() for value in values])
def test_bad_values(field: str, value: Any) -> None:
    """Each bad value is one ConfigError that names the setting, the value and what was expected."""
    with pytest.raises(ConfigError) as caught:
        Config.load({}, **{field: value})
    shown = "(hidden)" if field == "secret" else repr(value)
    assert str(caught.value).startswith(f"{field}={shown}; expected ")
    if not isinstance(value, str):
        return
    with pytest.raises(ConfigError) as caught:
        Config.load({variable_of(field): value})
    assert str(caught.value).startswith(f"{variable_of(field)} is {shown}; expected ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"OTEL_SESSION_QUEUE_MAX_AGE_S": "5"}, "OTEL_BSP_SCHEDULE_DELAY 5000"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "700000"}, "OTEL_SESSION_QUEUE_MAX_AGE_S is 600"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "inf"}, "expected milliseconds"),
        ({"OTEL_BSP_SCHEDULE_DELAY": "-1"}, "expected milliseconds"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "100"}, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE 512"),
        ({"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "11"}, "a batch fits into"),
        ({"OTEL_BLRP_MAX_EXPORT_BATCH_SIZE": "3000"}, "OTEL_BLRP_MAX_QUEUE_SIZE is 2048"),
    ],
)
def test_contradictions(variables: dict[str, str], said: str) -> None:
    """Limits that cannot both hold are an error that names both, before anything starts."""
    with pytest.raises(ConfigError, match=said):
        Config.load(variables)


def test_limits_that_just_fit() -> None:
    """What is no contradiction is taken."""
    Config.load({"OTEL_SESSION_QUEUE_MAX_AGE_S": "6"})
    Config.load({"OTEL_BSP_MAX_QUEUE_SIZE": "10", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10"})
    Config.load({"OTEL_BSP_MAX_QUEUE_SIZE": "many"})  # OpenTelemetry says so, and takes its default


def test_secret_is_hidden() -> None:
    """A secret, right or wrong, is neither in the representation nor in the error nor in what caused it."""
    good = Config.load({}, secret="correct horse battery")
    assert good.secret == "correct horse battery"
    assert "horse" not in repr(good)
    with pytest.raises(ConfigError) as caught:
        Config.load({"OTEL_SESSION_SECRET": "too horsy"})
    assert "horsy" not in f"{caught.value}{caught.value.__cause__}"


def test_unknown_settings() -> None:
    """A misspelt variable or argument is named, with the settings there are; others' variables are left alone."""
    with pytest.raises(
        ConfigError,
        match=r"OTEL_SESSION_IDEL_S is set, and there is no .* Did you mean OTEL_SESSION_IDLE_S\? The settings",
    ):
        Config.load({"OTEL_SESSION_IDEL_S": "60"})
    with pytest.raises(ConfigError, match="OTEL_SESSION_BUILD_COMIT"):
        Config.load({"OTEL_SESSION_BUILD_COMIT": "x"})
    with pytest.raises(ConfigError, match=r"There is no setting 'idel_s'.*idle_s"):
        Config.load({}, idel_s=60)
    Config.load({"OTEL_SESSIONS": "x", "OTEL_SERVICE_NAME": "x", "OTEL_SESSION_BUILD_COMMIT": "x"})


def test_idle_is_never_longer_than_the_lifetime() -> None:
    """A lifetime below the idle time shortens the idle time."""
    assert Config.load({}, lifetime_s=60).idle_s == 60


def test_store_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is at the setting, else below XDG_STATE_HOME when that is absolute, else in the home folder."""
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert Config.load({}).store_path == pathlib.Path("/state/otel-session/telemetry.db")
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert Config.load({}).store_path == pathlib.Path("/home/somebody/.local/state/otel-session/telemetry.db")
    assert Config.load({}, store="/x/t.db").store_path == pathlib.Path("/x/t.db")


def test_store_path_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without a home folder is told which variable to set."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)

    def no_home(path: pathlib.Path) -> pathlib.Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(pathlib.Path, "expanduser", no_home)
    with pytest.raises(ConfigError, match="OTEL_SESSION_STORE is not set, and this user has no home folder"):
        _ = Config().store_path


@pytest.mark.parametrize(
    ("trusted", "peer", "believed"),
    [
        ("", "10.1.2.3", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "::1", False),
        ("10.0.0.0/8", "", False),
        ("10.0.0.0/8", "not an address", False),
        ("10.0.0.0/8", None, False),
        ("fd00::/8", "fd00::1", True),
        ("messages", None, True),
        ("messages", "10.1.2.3", False),
        ("*", "10.1.2.3", True),
        ("*", None, True),
    ],
)
def test_trusted_baggage(trusted: str, peer: str | None, believed: bool) -> None:
    """Baggage is believed from the networks named, from brokers when `messages` is named, from all with `*`."""
    environ = {"OTEL_SESSION_TRUSTED_BAGGAGE": trusted}
    assert Config.load(environ).trusted_baggage.covers(peer) is believed


def test_http_config() -> None:
    """The official HTTP variables are compiled; a broken pattern is a ConfigError that names its variable."""
    environ = {
        "OTEL_PYTHON_EXCLUDED_URLS": "health",
        "OTEL_PYTHON_FLASK_EXCLUDED_URLS": "ping,metrics",
        "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": "X-.*,Accept",
        "OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN": "logs",
    }
    http = HttpConfig.load(environ)
    assert http.excluded is not None
    assert http.excluded.search("http://localhost/ping")
    assert not http.excluded.search("http://localhost/health")
    assert http.request_headers is not None
    assert http.request_headers.match("x-thing")
    assert not http.request_headers.match("not-x-thing")
    assert http.exception_events is False
    default = HttpConfig.load({})
    assert (default.excluded, default.request_headers, default.response_headers, default.sanitize) == (None,) * 4
    assert default.exception_events is True
    assert {"GET", "POST", "PATCH", "QUERY"} < default.known_methods
    assert HttpConfig.load({"OTEL_INSTRUMENTATION_HTTP_KNOWN_METHODS": "GET, PURGE"}).known_methods == {"GET", "PURGE"}
    with pytest.raises(ConfigError, match=r"OTEL_PYTHON_EXCLUDED_URLS is '\('; expected regular expressions"):
        HttpConfig.load({"OTEL_PYTHON_EXCLUDED_URLS": "("})


def test_switches_of_opentelemetry() -> None:
    """OTEL_SDK_DISABLED and the list of disabled instrumentations are read as OpenTelemetry writes them."""
    assert config.sdk_disabled({"OTEL_SDK_DISABLED": " True "})
    assert not config.sdk_disabled({"OTEL_SDK_DISABLED": "1"})
    disabled = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": " flask, ,redis "}
    assert config.disabled_instrumentations(disabled) == {"flask", "redis"}
    assert config.disabled_instrumentations({}) == frozenset()


def test_in_force(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """The environment is read once and reported once when it cannot be used; `activate(None)` reads it again."""
    config.activate(None)
    monkeypatch.setenv("OTEL_SESSION_IDLE_S", "soon")
    try:
        with pytest.raises(ConfigError):
            config.active()
        assert config.active_or_report() is None
        assert config.active_or_report() is None
        assert [record.getMessage() for record in caplog.records] == [
            "otel-session is off. OTEL_SESSION_IDLE_S is 'soon'; expected a number of seconds from 1 to 1000000000."
        ]
        monkeypatch.setenv("OTEL_SESSION_IDLE_S", "60")
        config.activate(None)
        assert config.active().idle_s == 60
        assert config.active() is config.active_or_report()
    finally:
        config.activate(None)


def test_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are given for a block and are as before afterwards, also when it fails."""
    monkeypatch.setenv("OTEL_A", "1")
    monkeypatch.delenv("OTEL_B", raising=False)
    seen = []
    with pytest.raises(ValueError, match="not a number"), config.overridden({"OTEL_A": "2", "OTEL_B": "3"}):
        int(_noted(seen, config.environment()))
    assert seen == [("2", "3")]
    assert config.environment()["OTEL_A"] == "1"
    assert "OTEL_B" not in config.environment()


def _noted(seen: list[Any], environ: Any) -> Any:
    seen.append((environ["OTEL_A"], environ["OTEL_B"]))
    raise ValueError("not a number")
