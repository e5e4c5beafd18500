"""Start-up's own objects are frozen, the application's never."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest

START = "from opentelemetry.instrumentation.auto_instrumentation import initialize; initialize(); import gc, sys\n"
COUNT = "print(gc.get_freeze_count())\n"


def _run(code: str, tmp_path: Path, **variables: str) -> list[int]:
    environ = {
        "PATH": "/usr/bin:/bin",
        "OTEL_SESSION_STORE": str(tmp_path / "t.db"),
        "OTEL_PYTHON_DISTRO": "otel_session",
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    return [int(line) for line in done.stdout.split()]


def test_start_up_is_frozen_and_thawed(tmp_path: Path) -> None:
    """What start-up loaded, frameworks included, is frozen once; the application's objects are not; it is undone."""
    seen = "print(sum({0} in (type(o).__module__, getattr(o, '__module__', '')) for o in gc.get_objects()))\n"
    code = (
        START
        + COUNT
        + "import flask; assert 'sqlalchemy' in sys.modules; app = flask.Flask('shop')\n"
        + seen.format("'werkzeug.routing.map'")
        + seen.format("'flask.sansio.app'")
        + "print(sum(o is app for o in gc.get_objects()))\n"
        + "import otel_session; otel_session.uninstrument()\n"
        + COUNT
        + seen.format("'flask.sansio.app'")
    )
    frozen, made, before, app, after, thawed = _run(code, tmp_path)
    assert frozen > 40_000
    assert made >= 1  # the application's map of URLs
    assert app == 1
    assert after == 0
    assert thawed > before
    assert before == 0


def test_garbage_of_the_application_is_collected(tmp_path: Path) -> None:
    """The collector is on again, and finds what the application leaves behind."""
    code = START + (
        "import weakref\nclass Node: pass\n"
        "node = Node(); node.self = node; gone = weakref.ref(node); del node\n"
        "print(int(gc.isenabled())); gc.collect(); print(int(gone() is None))\n"
    )
    assert _run(code, tmp_path) == [1, 1]


def test_a_server_adds_to_it(tmp_path: Path) -> None:
    """What a server loads before the application is frozen as well and thawed with it; not where others froze since."""
    more = "from otel_session import _heap; import http.server; _heap.set_aside_more()\n"
    off = "import otel_session; otel_session.uninstrument()\n"
    first, second, after = _run(START + COUNT + more + COUNT + off + COUNT, tmp_path)
    assert second > first
    assert after == 0
    first, second = _run(START + "import http.server; gc.freeze()\n" + COUNT + more + COUNT, tmp_path)
    assert second <= first


def test_what_the_application_froze_stays(tmp_path: Path) -> None:
    """Objects that the application froze since are not thawed with ours."""
    code = START + COUNT + "import flask, otel_session; gc.freeze()\n" + COUNT + "otel_session.uninstrument()\n" + COUNT
    ours, both, after = _run(code, tmp_path)
    assert both > ours
    assert after > 0.9 * both  # some have died since


@pytest.mark.parametrize(
    ("before", "variables"),
    [
        ("import flask\n", {}),
        ("import gc; gc.disable()\n", {}),
        ("", {"OTEL_SESSION_GC_FREEZE": "off"}),
        ("", {"OTEL_SDK_DISABLED": "true"}),
    ],
)
def test_not_frozen(before: str, variables: dict[str, str], tmp_path: Path) -> None:
    """An application that has begun, one without a collector, and one that does not want it are left alone."""
    assert _run(before + START + COUNT, tmp_path, **variables) == [0]


def test_in_code_nothing_is_frozen() -> None:
    """`instrument()` in a running program freezes nothing."""
    import otel_session

    before = gc.get_freeze_count()
    otel_session.instrument()
    try:
        assert gc.get_freeze_count() == before
    finally:
        otel_session.uninstrument()
