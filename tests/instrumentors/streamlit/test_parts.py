"""The parts by themselves: watching imports, what `uninstrument()` leaves, causes, bounds, failures of our own."""

import importlib
import pathlib
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import pytest
import streamlit.elements.exception
import streamlit.web.server.starlette.starlette_app
from streamlit.runtime import app_session, fragment
from streamlit.runtime.caching import cache_utils
from streamlit.runtime.scriptrunner import exec_code, script_cache, script_runner
from streamlit.runtime.state import session_state
from streamlit.testing.v1 import AppTest

import otel_session
from otel_session import kept_visits, testing, visits
from otel_session.instrumentors.streamlit import versions
from otel_session.instrumentors.streamlit.causes import cause_of, widget_key
from otel_session.instrumentors.streamlit.imports import ImportWatch
from otel_session.instrumentors.streamlit.reruns import Reruns
from otel_session.instrumentors.streamlit.tabs import Tabs

PATCHED = [
    exec_code,
    script_cache.ScriptCache,
    fragment,
    script_runner,
    script_runner.ScriptRunner,
    session_state.SessionState,
    session_state.WStates,
    cache_utils.CachedFunc,
    app_session.AppSession,
    streamlit.web.server.starlette.starlette_app,
    streamlit.elements.exception,
]


def test_nothing_is_left() -> None:
    """`uninstrument()` puts back every function of Streamlit's, and watches no imports any more."""
    before = [dict(vars(owner)) for owner in PATCHED], list(sys.meta_path)
    with testing.captured() as captured:
        otel_session.instrument(**captured.providers)
        changed = [owner for owner, was in zip(PATCHED, before[0], strict=True) if dict(vars(owner)) != was]
        assert changed == PATCHED
        otel_session.uninstrument()
    assert ([dict(vars(owner)) for owner in PATCHED], list(sys.meta_path)) == before


def _failing() -> None:
    import sqlalchemy
    import streamlit as st

    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection:
        try:
            connection.execute(sqlalchemy.text("SELECT * FROM nowhere"))
        except sqlalchemy.exc.OperationalError as error:
            st.exception(error)
        connection.execute(sqlalchemy.text("SELECT * FROM nobody"))


def test_a_page_shows_errors_as_without_us() -> None:
    """What a script shows itself, and what it does not catch: the same frames, none of ours among them."""
    plain = [shown.stack_trace for shown in AppTest.from_function(_failing).run().exception]
    with testing.captured() as captured:
        otel_session.instrument(**captured.providers)
        ours = [shown.stack_trace for shown in AppTest.from_function(_failing).run().exception]
        otel_session.uninstrument()
    assert ours == plain
    assert len(plain) == 2


def test_streamlit_is_not_imported(tmp_path: pathlib.Path) -> None:
    """A process that does not use Streamlit does not import it; one that does is covered, also when it comes later."""
    code = """
        import sys
        import otel_session, otel_session.streamlit
        otel_session.instrument(store=sys.argv[1])
        assert "streamlit" not in sys.modules
        from streamlit.runtime.scriptrunner import script_runner
        print(script_runner.exec_func_with_error_handling.__class__.__name__)
        assert "exec_module" not in vars(script_runner.__spec__.loader)
        otel_session.uninstrument()
        print(script_runner.exec_func_with_error_handling.__class__.__name__)
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code), str(tmp_path / "t.db")],
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["partial", "function"], done.stderr


def test_import_watch(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hook is called once, after its module's code; its failure and the module's own are kept apart."""
    for name, source in (("watched_a", "VALUE = 1"), ("watched_b", "raise LookupError('own')"), ("watched_c", "")):
        (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    seen: list[str] = []

    def fail(module: object) -> None:
        raise RuntimeError("hook")

    watch = ImportWatch(
        {"watched_a": lambda m: seen.append(f"{m.__name__} {m.VALUE}"), "watched_b": fail, "watched_c": fail}
    )
    watch.begin()
    try:
        importlib.import_module("watched_a")
        importlib.import_module("watched_a")
        with pytest.raises(LookupError, match="own"):
            importlib.import_module("watched_b")
        importlib.import_module("watched_c")
    finally:
        watch.remove()
    assert seen == ["watched_a 1"]
    assert watch not in sys.meta_path


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"first": True, "widgets": True}, "first_load"),
        ({"other_page": True, "widgets": True}, "page"),
        ({"by_script": True}, "rerun"),
        ({"auto": True, "fragments": ["f"]}, "timer"),
        ({"auto": True, "fragments": ["f"], "widgets": True}, "timer"),
        ({"auto": True, "widgets": True}, "widget"),
        ({"auto": True}, "request"),
        ({"fragments": ["f"], "widgets": True}, "fragment"),
        ({"widgets": True}, "widget"),
        ({}, "request"),
    ],
)
def test_causes(told: dict[str, object], expected: str) -> None:
    """Each cause from what is known; a run of which nothing is known was asked for."""
    data = SimpleNamespace(is_auto_rerun=told.pop("auto", False), fragment_id_queue=told.pop("fragments", []))
    known = {"first": False, "by_script": False, "widgets": False, "other_page": False, **told}
    assert cause_of(data, **known) == expected  # type: ignore[arg-type]
    assert cause_of(None, first=False, by_script=False, widgets=False, other_page=False) == "request"


def test_widget_keys() -> None:
    """Of a widget's id its key is told, whatever is in it, or the beginning of its hash; a long key is cut."""
    assert widget_key("$$ID-0123456789abcdef-my-key") == "my-key"
    assert widget_key("$$ID-0123456789abcdef-None") == "#01234567"
    assert widget_key("odd") == "#"
    assert len(widget_key("$$ID-0123-" + "k" * 5_000)) == 128


def test_what_is_kept_has_a_bound() -> None:
    """Neither open pages nor the visits that cannot be sent grow without end."""
    tabs = Tabs()
    for number in range(10_100):
        tabs.of(str(number))
    assert len(tabs.all()) == 10_000
    tabs.close("10099")
    tabs.close("never there")
    assert len(tabs.all()) == 9_999

    now = time.time()
    made = [visits.new_visit(now) for _ in range(10_100)]
    for visit in made:
        kept_visits.keep(visit.used(int(now) + 5))
    assert kept_visits.latest(made[0]) is made[0]
    assert kept_visits.latest(made[-1]).last_s == int(now) + 5
    kept_visits.forget_all()
    assert kept_visits.latest(made[-1]) is made[-1]


def test_visits_that_became_others() -> None:
    """The cookie of a visit leads to the one it became, over several steps; a cookie used later elsewhere wins."""
    now = int(time.time())
    first = visits.Visit(b"a" * 16, now - 100, now - 100)
    second, third = (visits.Visit(name * 16, now - ago, now - ago) for name, ago in ((b"b", 50), (b"c", 10)))
    kept_visits.keep(second, known_as=[first.session_id])
    kept_visits.keep(third, known_as=[second.session_id])
    try:
        assert kept_visits.latest(first) == kept_visits.latest(second) == third
        later = first.used(now)
        assert kept_visits.latest(later) == later
        assert kept_visits.latest(third.used(now)) == third.used(now)
    finally:
        kept_visits.forget_all()


def test_our_failure_is_not_the_applications(telemetry: testing.Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever of ours raises, the script runs, and what it shows is the same."""

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("ours")

    app = "import streamlit as st\nst.button('Go', key='go')\nst.write('shown')\nif st.session_state.go: 1 / 0"
    for place in ("_begin", "ended", "_start_span"):
        with monkeypatch.context() as patch:
            patch.setattr(Reruns, place, broken)
            page = AppTest.from_string(app).run()
            assert [text.value for text in page.markdown] == ["shown"]
            page.button(key="go").click().run()
            assert page.exception[0].message == "division by zero"


@pytest.mark.parametrize(
    ("found", "fine"), [("1.57.0", True), ("1.67.0", True), ("2.0", True), ("1.56.0", False), ("odd", True)]
)
def test_supported_versions(
    found: str, fine: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """From 1.57 on; an older one is told of once, with what to do."""
    monkeypatch.setattr(versions, "version", lambda _name: found)
    monkeypatch.setattr(versions, "_told", set())
    assert [versions.is_supported() for _ in range(3)] == [fine] * 3
    assert [f"Streamlit {found} is older than 1.57" in line for line in caplog.messages] == [True] * (not fine)
