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
    """What start-up loaded is frozen once, the framework's and the application's objects are not, and it is undone."""
    code = (
        START
        + COUNT
        + "import flask\n"
        + "print(sum(getattr(o, '__module__', '') == 'flask.app' for o in gc.get_objects()) > 0)\n".replace(
            "print(", "print(int("
        ).replace("> 0)", "> 0))")
        + "import otel_session; otel_session.uninstrument()\n"
        + COUNT
    )
    frozen, flask_seen, after = _run(code, tmp_path)
    assert frozen > 10_000
    assert flask_seen == 1
    assert after == 0


def test_what_the_application_froze_stays(tmp_path: Path) -> None:
    """Objects that the application froze since are not thawed with ours."""
    code = START + COUNT + "import flask, otel_session; gc.freeze()\n" + COUNT + "otel_session.uninstrument()\n" + COUNT
    ours, both, after = _run(code, tmp_path)
    assert both > ours
    assert after > ours


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
