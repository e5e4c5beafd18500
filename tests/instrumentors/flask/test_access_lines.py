"""The development server's access lines, written outside of the request, belong to it all the same."""

import logging
import threading
import urllib.request

import pytest
from werkzeug.serving import WSGIRequestHandler, make_server

import otel_session
from otel_session import testing
from tests.instrumentors.flask.served import make_app, wait_for


def test_an_access_line_has_its_requests_ids(telemetry: testing.Captured, caplog: pytest.LogCaptureFixture) -> None:
    """A real Werkzeug server's line for a request carries the session, correlation and trace id of that request."""
    caplog.set_level(logging.INFO, "werkzeug")
    made = make_server("127.0.0.1", 0, make_app(), threaded=True)
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{made.port}/deals/7") as response:
            correlation_id = response.headers["X-Correlation-ID"]
            response.read()
        wait_for(lambda: any("/deals/7" in str(r.log_record.body) for r in telemetry.logs()))
    finally:
        made.shutdown()
        thread.join()
        made.server_close()

    (line,) = [r.log_record for r in telemetry.logs() if "/deals/7" in str(r.log_record.body)]
    (span,) = telemetry.spans()
    assert line.attributes["correlation.id"] == correlation_id
    assert line.attributes["session.id"] == span.attributes["session.id"]
    assert (line.trace_id, line.span_id) == (span.context.trace_id, span.context.span_id)


def test_the_handler_is_put_back() -> None:
    """Nothing of ours is left on Werkzeug's request handler."""
    before = WSGIRequestHandler.__dict__["log_request"]
    with testing.captured() as telemetry:
        otel_session.instrument(**telemetry.providers)
        assert WSGIRequestHandler.__dict__["log_request"] is not before
        otel_session.uninstrument()
    assert WSGIRequestHandler.__dict__["log_request"] is before
