"""The wheel as a user installs it: bare and with each extra, on the oldest and the newest Python at hand."""

import json
import pathlib
import subprocess
import zipfile
from importlib.metadata import metadata

import pytest

from tests.environments import ROOT, interpreter, python_with, wheel
from tests.otlp_sink import listening
from tests.started import Telemetry, environ_for

OLDEST, NEWEST = "3.10", "3.13"
EXTRAS = ("", "flask", "sqlalchemy", "otlp", "otlp-grpc", "streamlit", "fast", "all", "contrib")
PROVIDED = {
    "flask": {"flask"},
    "sqlalchemy": {"sqlalchemy"},
    "otlp": {"opentelemetry.exporter.otlp.proto.http"},
    "otlp-grpc": {"opentelemetry.exporter.otlp.proto.grpc"},
    "fast": {"orjson"},
    "contrib": {f"opentelemetry.instrumentation.{name}" for name in ("flask", "sqlalchemy", "logging")},
}
PROVIDED["all"] = set().union(*(PROVIDED[extra] for extra in ("flask", "sqlalchemy", "otlp", "otlp-grpc", "fast")))
WATCHED = sorted(set().union(*PROVIDED.values()))


@pytest.fixture(scope="session", params=[OLDEST, NEWEST])
def version(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    if interpreter(found) is None:
        pytest.skip(f"this machine has no Python {found}")
    return found


def python_of(version: str, extras: str) -> pathlib.Path:
    return python_with(extras=extras, python=interpreter(version) or "")


def run(
    python: pathlib.Path, *words: str, cwd: pathlib.Path = ROOT.parent, **variables: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words, cwd=cwd, env=environ_for(python, **variables), capture_output=True, text=True, timeout=120
    )


def code(python: pathlib.Path, source: str, cwd: pathlib.Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    return run(python, str(python), "-W", "error", "-c", source, cwd=cwd, **variables)


def test_what_is_in_it() -> None:
    """The wheel holds the package, its type marker and licence, and neither tests nor examples."""
    with zipfile.ZipFile(wheel()) as opened:
        names = opened.namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"otel_session"}
    assert "otel_session/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "otel_session").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules


def test_every_extra_is_tested() -> None:
    """The list above is the project's."""
    assert set(metadata("otel-session").get_all("Provides-Extra") or []) == set(EXTRAS) - {""}


@pytest.mark.parametrize("extra", EXTRAS)
def test_installed(version: str, extra: str, tmp_path: pathlib.Path) -> None:
    """It imports without a warning, says its version, its requirements agree, and the extra brings what it says."""
    python = python_of(version, extra)
    checked = run(python, str(python), "-m", "pip", "check", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    shown = run(python, "otel-session", "--version", cwd=tmp_path)
    assert shown.stdout == f"otel-session {metadata('otel-session')['Version']}\n", shown.stderr
    found = code(
        python,
        "import json, sys, otel_session\n"
        "from importlib.util import find_spec\n"
        "def there(name):\n"
        "    try:\n"
        "        return find_spec(name) is not None\n"
        "    except ModuleNotFoundError:\n"
        "        return False\n"
        f"print(json.dumps([sys.version_info[:2], otel_session.__file__, [n for n in {WATCHED} if there(n)]]))\n",
        tmp_path,
    )
    assert found.returncode == 0, found.stderr
    python_version, place, brought = json.loads(found.stdout)
    assert python_version == [int(part) for part in version.split(".")]
    assert place.startswith(str(python.parent.parent))
    assert set(brought) == PROVIDED.get(extra, set())


def test_every_module_imports(version: str, tmp_path: pathlib.Path) -> None:
    """With everything installed, each module imports on this Python, without a warning of its own."""
    done = code(
        python_of(version, "all"),
        "import importlib, pkgutil, otel_session\n"
        "names = [m.name for m in pkgutil.walk_packages(otel_session.__path__, 'otel_session.')]\n"
        "[importlib.import_module(name) for name in names if name != 'otel_session.__main__']\n"
        "print(len(names) > 50)\n",
        tmp_path,
    )
    assert done.stdout == "True\n", done.stderr


def test_bare(version: str, tmp_path: pathlib.Path) -> None:
    """Without any extra: `instrument()` works, log lines of a session reach the local store, `sessions` lists it."""
    python = python_of(version, "")
    store = {"OTEL_SESSION_STORE": str(tmp_path / "t.db")}
    done = code(
        python,
        "import logging, otel_session\n"
        "otel_session.instrument()\n"
        "with otel_session.bound_session('run-1'):\n"
        "    logging.getLogger('job').warning('bare')\n",
        tmp_path,
        **store,
    )
    assert (done.returncode, done.stderr) == (0, "bare\n")
    assert Telemetry.read(tmp_path / "t.db").messages("run-1") == ["bare"]
    listed = run(python, "otel-session", "sessions", "--json", "--all", cwd=tmp_path, **store)
    assert listed.returncode == 0, listed.stderr
    assert "run-1" in listed.stdout


@pytest.mark.parametrize(
    ("extra", "argument", "wanted"),
    [("flask", "engine", "sqlalchemy"), ("sqlalchemy", "app", "flask"), ("", "app", "flask")],
)
def test_missing_extra(version: str, extra: str, argument: str, wanted: str, tmp_path: pathlib.Path) -> None:
    """Naming an app or engine without its extra raises the error that says what to install."""
    done = code(
        python_of(version, extra),
        "import otel_session\n"
        "try:\n"
        f"    otel_session.instrument({argument}=object())\n"
        "except otel_session.MissingExtraError as error:\n"
        "    print(error)\n",
        tmp_path,
        OTEL_TRACES_EXPORTER="none",
        OTEL_LOGS_EXPORTER="none",
        OTEL_METRICS_EXPORTER="none",
    )
    expected = f"The {wanted} instrumentor needs {wanted}. Install it with: pip install 'otel-session[{wanted}]'\n"
    assert done.stdout == expected, done.stderr


FLASK_JOB = (
    "from flask import Flask\n"
    "app = Flask('shop')\n"
    "app.add_url_rule('/', view_func=lambda: 'x')\n"
    "print(app.test_client().get('/').status)\n"
)
SQL_JOB = (
    "from sqlalchemy import create_engine, text\n"
    "with create_engine('sqlite://').connect() as c:\n"
    "    print(c.execute(text('SELECT 1 + 1')).scalar_one())\n"
)


@pytest.mark.parametrize(
    ("extra", "job", "printed", "spans"), [("flask", FLASK_JOB, "200 OK\n", 1), ("sqlalchemy", SQL_JOB, "2\n", 2)]
)
def test_instrumentors(version: str, extra: str, job: str, printed: str, spans: int, tmp_path: pathlib.Path) -> None:
    """With its extra alone, `opentelemetry-instrument` records what the library does into the local store."""
    python = python_of(version, extra)
    (tmp_path / "job.py").write_text(job)
    done = run(
        python, "opentelemetry-instrument", "python", "job.py", cwd=tmp_path, OTEL_SESSION_STORE=str(tmp_path / "t.db")
    )
    assert (done.stdout, done.stderr) == (printed, "")
    assert Telemetry.read(tmp_path / "t.db").counts["spans"] == spans


@pytest.mark.parametrize("extra", ["otlp", "all"])
def test_otlp(version: str, extra: str, tmp_path: pathlib.Path) -> None:
    """With extra otlp, what a session logs goes to the endpoint."""
    source = (
        "import logging, otel_session\n"
        "otel_session.instrument()\n"
        "with otel_session.bound_session('run-1'):\n"
        "    logging.getLogger('job').warning('sent')\n"
    )
    with listening() as sink:
        done = code(python_of(version, extra), source, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=sink.url)
        assert done.returncode == 0, done.stderr
        assert [(body, has["session.id"]) for body, has, _ in sink.logs] == [("sent", "run-1")]


def test_otlp_grpc(version: str, tmp_path: pathlib.Path) -> None:
    """With extra otlp-grpc, an endpoint is called by gRPC with no further setting."""
    source = (
        "from concurrent import futures\n"
        "import grpc, os, threading\n"
        "from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as m, logs_service_pb2_grpc as s\n"
        "got = []\n"
        "class Logs(s.LogsServiceServicer):\n"
        "    def Export(self, request, context):\n"
        "        for of_resource in request.resource_logs:\n"
        "            for of_scope in of_resource.scope_logs:\n"
        "                got.extend(record.body.string_value for record in of_scope.log_records)\n"
        "        return m.ExportLogsServiceResponse()\n"
        "server = grpc.server(futures.ThreadPoolExecutor(1))\n"
        "s.add_LogsServiceServicer_to_server(Logs(), server)\n"
        "port = server.add_insecure_port('127.0.0.1:0')\n"
        "server.start()\n"
        "os.environ['OTEL_EXPORTER_OTLP_LOGS_ENDPOINT'] = f'http://127.0.0.1:{port}'\n"
        "import logging, otel_session\n"
        "from opentelemetry._logs import get_logger_provider\n"
        "otel_session.instrument()\n"
        "logging.getLogger('job').warning('sent')\n"
        "get_logger_provider().force_flush()\n"
        "server.stop(0).wait()\n"
        "print(got)\n"
    )
    done = run(
        (python := python_of(version, "otlp-grpc")),
        str(python),
        "-c",
        source,
        cwd=tmp_path,
        OTEL_SESSION_STORE=str(tmp_path / "t.db"),
    )
    assert done.stdout == "['sent']\n", done.stderr
