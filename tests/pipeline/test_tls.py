"""TLS: the standard variables' certificate is used, and a wrong one is one line with what to check."""

import pathlib
import ssl
import subprocess

import grpc
import pytest

from tests.pipeline.far_end import GrpcFarEnd, HttpFarEnd, Served
from tests.pipeline.made import TRANSPORTS, exporter_to, lines_of, made, wait_until


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, pathlib.Path]:
    """A certificate for 127.0.0.1, its key, and beside it `other.pem`, somebody else's."""
    folder = tmp_path_factory.mktemp("tls")
    for name in ("far", "other"):
        asked = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
        files = ["-keyout", f"{name}.key", "-out", f"{name}.pem", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run([*asked, *files], cwd=folder, check=True, capture_output=True)
    return folder / "far.pem", folder / "far.key"


def far_end_with(protocol: str, certificate: pathlib.Path, key: pathlib.Path) -> Served:
    if protocol == "grpc":
        secure = GrpcFarEnd()
        secure.credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
        secure.up()
        return secure
    end = HttpFarEnd()
    end.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    end.tls.load_cert_chain(certificate, key)
    end.up()
    return end


@pytest.mark.parametrize("protocol", TRANSPORTS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_certificate(
    protocol: str,
    certificates: tuple[pathlib.Path, pathlib.Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the right certificate all arrives; with a wrong one all waits, and one line says what to check."""
    certificate, key = certificates
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # in the official client these win
        monkeypatch.delenv(variable, raising=False)
    end = far_end_with(protocol, certificate, key)
    try:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificate))
        with made(exporter_to(end.url, protocol, 2)) as ours:
            ours.spans(10)
            assert ours.provider.force_flush()
        assert len(end.names) == 10
        assert not lines_of(caplog, "cannot deliver")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificate.parent / "other.pem"))
        with made(exporter_to(end.url, protocol, 0.5)) as ours:
            ours.spans(10, 100)
            wait_until(lambda: lines_of(caplog, "cannot deliver"))
            assert ours.lane.held_count == 10
        assert len(end.names) == 10
        (said,) = lines_of(caplog, "cannot deliver")
        assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in said
        assert ours.lane.counts.resent == 0
    finally:
        end.down()


@pytest.mark.parametrize("protocol", ["http", "requests"])
def test_authorities(
    protocol: str, certificates: tuple[pathlib.Path, pathlib.Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The authorities that requests is told of count for urllib3's transport too, and not where OTLP's are named."""
    end = far_end_with(protocol, *certificates)
    other = certificates[0].parent / "other.pem"
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("CURL_CA_BUNDLE", str(certificates[0]))
    try:
        with made(exporter_to(end.url, protocol, 2)) as ours:
            ours.spans(10)
            assert ours.provider.force_flush()
        if protocol == "http":  # in the official exporter requests' variables win over OpenTelemetry's
            monkeypatch.setenv("CURL_CA_BUNDLE", str(other))
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(certificates[0]))
            with made(exporter_to(end.url, protocol, 2)) as ours:
                ours.spans(10, 10)
                assert ours.provider.force_flush()
        assert len(end.names) == (20 if protocol == "http" else 10)
    finally:
        end.down()
