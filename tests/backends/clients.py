"""Ask the real back ends what they hold, by their public HTTP APIs."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Json = dict[str, Any]
T = TypeVar("T")
HTTP_TIMEOUT_S = 10.0


def get(url: str) -> bytes:
    """Return the body of a GET; raise `urllib.error.HTTPError` with the answer's text for an error status."""
    try:
        with urllib.request.urlopen(url, timeout=HTTP_TIMEOUT_S) as response:
            body: bytes = response.read()
            return body
    except urllib.error.HTTPError as error:
        with error:
            error.msg = f"{error.msg}: {error.read().decode('utf-8', 'replace')[:500]}"
        raise


def answers(url: str) -> bool:
    """Tell whether a GET of this address succeeds."""
    try:
        get(url)
    except OSError:
        return False
    return True


def post_otlp(url: str, message: bytes) -> None:
    """Send an encoded OTLP request to `http://host:port/v1/<signal>`."""
    request = urllib.request.Request(url, data=message, headers={"Content-Type": "application/x-protobuf"})
    with urllib.request.urlopen(request, timeout=HTTP_TIMEOUT_S) as response:
        response.read()


def post_otlp_grpc(address: str, message: bytes) -> None:
    """Send an encoded OTLP traces request to `host:port`, without a generated client."""
    import grpc  # type: ignore[import-untyped]  # no types, and only this function needs it

    with grpc.insecure_channel(address) as channel:
        export = channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")
        export(message, timeout=HTTP_TIMEOUT_S)


def eventually(probe: Callable[[], T], *, timeout_s: float = 20.0, every_s: float = 0.1) -> T:
    """Return the first answer of `probe()` that is true; raise `AssertionError` with the last one after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"nothing after {timeout_s:g} s; the last answer is {answer!r}")
        time.sleep(every_s)


class JaegerClient:
    """Jaeger's query API; `url` is `http://host:port`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def services(self) -> list[str]:
        """Return the names of the services that have sent spans."""
        return self._data("/api/services") or []

    def traces(self, service: str, tags: Mapping[str, str] | None = None, *, limit: int = 1000) -> list[Json]:
        """Return the traces of the last hour with a span that has all these span or resource attributes.

        Each is Jaeger's JSON: `traceID`, `spans`, `processes`; read a span with `tags_of` and `resource_of`.
        """
        query = {"service": service, "lookback": "1h", "limit": str(limit)}
        if tags:
            query["tags"] = json.dumps(dict(tags))
        return self._data(f"/api/traces?{urllib.parse.urlencode(query)}") or []

    def spans(self, service: str, tags: Mapping[str, str] | None = None) -> list[Json]:
        """Return every span of those traces, whether it has the attributes itself or not."""
        return [span for trace in self.traces(service, tags) for span in trace["spans"]]

    def _data(self, path: str) -> Any:
        return json.loads(get(self.url + path))["data"]


def tags_of(span: Json) -> Json:
    """Return a Jaeger span's attributes by name (`span.kind` and `error` among them)."""
    return {tag["key"]: tag["value"] for tag in span["tags"]}


def resource_of(trace: Json, span: Json) -> Json:
    """Return the resource attributes of a span by name, `service.name` excepted: Jaeger keeps it as `serviceName`."""
    return {tag["key"]: tag["value"] for tag in trace["processes"][span["processID"]]["tags"]}


class PrometheusClient:
    """Prometheus's query API; `url` is `http://host:port`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def query(self, promql: str) -> list[Json]:
        """Return the instant vector of an expression: `{"metric": {label: value}, "value": [unix time, text]}`."""
        result: list[Json] = self._data("query", query=promql)["result"]
        return result

    def exemplars(self, promql: str, *, last_s: float = 600.0) -> list[Json]:
        """Return the exemplars of a selector: `{"labels": {…}, "value": text, "timestamp": unix time}`."""
        now = time.time()
        series = self._data("query_exemplars", query=promql, start=str(now - last_s), end=str(now + 60))
        return [exemplar for each in series or [] for exemplar in each["exemplars"]]

    def _data(self, endpoint: str, **parameters: str) -> Any:
        return json.loads(get(f"{self.url}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}"))["data"]
