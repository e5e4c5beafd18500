"""A WSGI environ -> the attributes of an HTTP server span (semantic conventions, HTTP and URL, stable)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from otel_session import attributes as names
from otel_session import scrub
from otel_session.config import HttpConfig

_VERSIONS = {"HTTP/1.0": "1.0", "HTTP/1.1": "1.1", "HTTP/2": "2", "HTTP/2.0": "2", "HTTP/3": "3", "HTTP/3.0": "3"}
_MAX_VALUE_CHARS = 2_048


class LazyAttributes(Mapping[str, Any]):
    """Attributes built when somebody looks: a sampler that decides without them costs an unsampled request nothing."""

    __slots__ = ("_build", "_built")

    def __init__(self, build: Callable[[], dict[str, Any]]) -> None:
        self._build = build
        self._built: dict[str, Any] | None = None

    def _all(self) -> dict[str, Any]:
        if self._built is None:
            self._built = self._build()
        return self._built

    def __getitem__(self, key: str) -> Any:
        return self._all()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())


def method_of(environ: Mapping[str, Any], config: HttpConfig) -> str:
    """The request's method, `_OTHER` when it is none of the known ones (so that it cannot flood metrics)."""
    method = environ.get("REQUEST_METHOD", "")
    return method if method in config.known_methods else "_OTHER"


def span_name(environ: Mapping[str, Any], config: HttpConfig) -> str:
    """What the server span's name begins with: the method, or `HTTP` for one that is not known."""
    method = method_of(environ, config)
    return "HTTP" if method == "_OTHER" else method


def protocol_version(environ: Mapping[str, Any]) -> str | None:
    """The HTTP version, as the semantic conventions write it; None when it is none that exists."""
    return _VERSIONS.get(environ.get("SERVER_PROTOCOL", ""))


def request_attributes(environ: Mapping[str, Any], config: HttpConfig) -> dict[str, Any]:
    """What is known when the request arrives. Sensitive parameters and headers are masked."""
    return {
        **server_attributes(environ, config),
        **client_attributes(environ),
        **target_attributes(environ),
        **captured_attributes(environ, config),
    }


def captured_attributes(environ: Mapping[str, Any], config: HttpConfig) -> dict[str, Any]:
    """The request headers that were asked for, sensitive ones masked."""
    if config.request_headers is None:
        return {}
    return _captured(_headers(environ), config, config.request_headers, names.HTTP_REQUEST_HEADER)


def server_attributes(environ: Mapping[str, Any], config: HttpConfig) -> dict[str, Any]:
    """The method and the server that a request was sent to."""
    method = method_of(environ, config)
    scheme = environ.get("wsgi.url_scheme", "http")
    found: dict[str, Any] = {names.HTTP_REQUEST_METHOD: method, names.URL_SCHEME: scheme}
    if method == "_OTHER":
        found[names.HTTP_REQUEST_METHOD_ORIGINAL] = str(environ.get("REQUEST_METHOD"))[:64]
    host, port = _host(environ, scheme)
    if host:
        found[names.SERVER_ADDRESS] = host
        found[names.SERVER_PORT] = port
    if (version := protocol_version(environ)) is not None:
        found[names.NETWORK_PROTOCOL_VERSION] = version
    return found


def client_attributes(environ: Mapping[str, Any]) -> dict[str, Any]:
    """Where a request came from."""
    found: dict[str, Any] = {}
    if address := environ.get("REMOTE_ADDR"):
        found[names.CLIENT_ADDRESS] = address
    if agent := environ.get("HTTP_USER_AGENT"):
        found[names.USER_AGENT_ORIGINAL] = agent[:_MAX_VALUE_CHARS]
    return found


def target_attributes(environ: Mapping[str, Any]) -> dict[str, Any]:
    """What was asked for; sensitive parameters are masked."""
    found = {names.URL_PATH: _path(environ)}
    if query := environ.get("QUERY_STRING"):
        found[names.URL_QUERY] = scrub.mask_query(query[:_MAX_VALUE_CHARS])
    return found


def response_header_attributes(headers: Iterable[tuple[str, str]], config: HttpConfig) -> dict[str, Any]:
    """The response headers that were asked for, sensitive ones masked."""
    if config.response_headers is None:
        return {}
    return _captured(headers, config, config.response_headers, names.HTTP_RESPONSE_HEADER)


def _captured(
    headers: Iterable[tuple[str, str]], config: HttpConfig, wanted: re.Pattern[str], prefix: str
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if wanted.match(name) is None:
            continue
        hidden = scrub.is_sensitive(name) or (config.sanitize is not None and config.sanitize.match(name) is not None)
        found.setdefault(prefix + name.lower(), []).append(
            scrub.MASK if hidden else scrub.text(value[:_MAX_VALUE_CHARS])
        )
    return found


def _headers(environ: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            yield key[5:].replace("_", "-").title(), str(value)
        elif key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value:
            yield key.replace("_", "-").title(), str(value)


def _path(environ: Mapping[str, Any]) -> str:
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"[:_MAX_VALUE_CHARS]
    # PEP 3333: the server has decoded the bytes as Latin-1.
    return path.encode("latin-1", "replace").decode("utf-8", "replace") or "/"


def _host(environ: Mapping[str, Any], scheme: str) -> tuple[str, int]:
    default = 443 if scheme == "https" else 80
    header = environ.get("HTTP_HOST")
    if not header:
        port = str(environ.get("SERVER_PORT", ""))
        return str(environ.get("SERVER_NAME", "")), int(port) if port.isdecimal() else default
    host, colon, port = header.rpartition(":")
    if not (colon and port.isdecimal() and len(port) <= 5):
        host, port = header, str(default)
    return host[:255].strip("[]"), int(port)
