"""OTLP over HTTP goes by urllib3's transport, and by requests where something is set that only requests heeds."""

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator
from unittest import mock

import pytest
import requests
from opentelemetry.exporter.otlp.proto.http import _common
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

from otel_session.exporters.otlp_transport import lighter
from tests.pipeline.far_end import Answer, Served, far_end
from tests.pipeline.made import exporter_to, made
from tests.started import environ_for

LIGHT, OFFICIAL = "Urllib3HTTPTransport", "RequestsHTTPTransport"
AWAY = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NETRC")
NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def home(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """A home and an environment that say nothing of proxies, passwords and authorities."""
    for name in (*AWAY, *(name.upper() for name in AWAY)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def end() -> Iterator[Served]:
    with far_end() as found:
        yield found


def transport_of(**options: object) -> str:
    """The transport of an exporter that is made with ours in charge."""
    with lighter(os.environ):
        exporter = OTLPSpanExporter(**options)  # type: ignore[arg-type]
    return type(exporter._client._transport).__name__


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, LIGHT),
        ({"NO_PROXY": "localhost"}, LIGHT),
        ({"HTTP_PROXY": ""}, LIGHT),
        ({"HTTP_PROXY": NOBODY}, OFFICIAL),
        ({"https_proxy": NOBODY}, OFFICIAL),
        ({"ALL_PROXY": NOBODY}, OFFICIAL),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:secret@127.0.0.1:9"}, OFFICIAL),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://user@127.0.0.1:9/v1/traces"}, OFFICIAL),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9/at@here"}, LIGHT),
        ({"OTEL_EXPORTER_OTLP_HEADERS": "to=me@there"}, LIGHT),
        ({"REQUESTS_CA_BUNDLE": "/etc/ssl"}, OFFICIAL),
        ({"REQUESTS_CA_BUNDLE": __file__}, LIGHT),
    ],
)
def test_choice(variables: dict[str, str], expected: str) -> None:
    """A proxy, a user in the URL, and a folder of authorities are for requests."""
    with mock.patch.dict(os.environ, variables):
        assert transport_of() == expected


@pytest.mark.parametrize("name", [".netrc", "_netrc", "elsewhere"])
def test_password_file(home: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Requests reads passwords from a file in the home directory, or the one that NETRC names."""
    (home / name).write_text("machine 127.0.0.1 login me password secret\n")
    if name == "elsewhere":
        monkeypatch.setenv("NETRC", str(home / name))
    assert transport_of() == OFFICIAL


def test_own_session() -> None:
    """A requests session, as a credential provider gives it, is used."""
    own = requests.Session()
    with lighter(os.environ):
        assert OTLPSpanExporter(session=own)._client._transport._session is own


def test_put_back() -> None:
    """The official package is as it was, also after an exporter could not be made."""
    before = _common.RequestsHTTPTransport
    with pytest.raises(ZeroDivisionError), lighter(os.environ):
        1 / (_common.RequestsHTTPTransport is before)
    assert _common.RequestsHTTPTransport is before


@pytest.mark.parametrize("gone", ["_urllib3", "name"])
def test_other_shape(gone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the official packages have no such transport, or another name, the exporter is made as it would be."""
    if gone == "_urllib3":
        monkeypatch.setitem(sys.modules, "opentelemetry.exporter.http.transport._urllib3", None)
    else:
        monkeypatch.setattr("otel_session.exporters.otlp_transport._REQUESTS", "Moved")
    assert transport_of() == OFFICIAL


@pytest.mark.parametrize("transport", ["http", "requests"])
def test_redirect(end: Served, transport: str) -> None:
    """A redirect is not followed: with the telemetry's headers it would be sent who knows where."""
    end.answer = Answer(302)
    with made(exporter_to(end.url, transport)) as ours:
        ours.spans(3)
        ours.provider.force_flush()
        assert (ours.dropped, len(end.at_s)) == ({"302": 3}, 1)


def started(code: str, end: Served, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program under `opentelemetry-instrument`."""
    said = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_ENDPOINT": end.url}
    said |= {"OTEL_PYTHON_DISTRO": "otel_session", "OTEL_METRICS_EXPORTER": "none", **variables}
    command = ["opentelemetry-instrument", sys.executable, "-c", code]
    environ = environ_for(pathlib.Path(sys.executable), **said)
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)


SPAN = "from opentelemetry import trace; trace.get_tracer('tests').start_span('one').end()"


def test_not_loaded(end: Served) -> None:
    """Under zero-code start-up neither requests nor its detector of character sets is loaded, and all arrives."""
    asked = f"{SPAN}; import sys; print(sorted({{'requests', 'charset_normalizer', 'urllib3'}} & set(sys.modules)))"
    assert started(asked, end).stdout == "['urllib3']\n"
    assert end.names == {"one": 1}


def test_proxy(end: Served) -> None:
    """A proxy that the environment names is what the telemetry goes to."""
    beyond = "http://nowhere.invalid:4318"
    started(SPAN, end, OTEL_EXPORTER_OTLP_ENDPOINT=beyond, HTTP_PROXY=end.url)
    assert end.names == {"one": 1}
