"""A request's attributes as parts of its span: what many requests share is worked out and encoded once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from otel_session import attributes as names
from otel_session.config import HttpConfig
from otel_session.instrumentors.flask.attributes import (
    captured_attributes,
    client_attributes,
    server_attributes,
    target_attributes,
)
from otel_session.wire.cache import GenerationCache
from otel_session.wire.entries import Part
from otel_session.wire.parts import identity_parts, shared_part, work_attributes

__all__ = ["Part", "RequestParts", "answer_attributes", "identity_parts", "work_attributes"]

_MAX_KEY_CHARS = 1_024


class RequestParts:
    """Gives the parts of requests' spans; remembers those of the last thousands of clients and pages."""

    def __init__(self, http: HttpConfig) -> None:
        self._http = http
        self._servers = _cache(512)
        self._clients = _cache(2_048)
        self._answers = _cache(2_048)

    def of_request(self, environ: Mapping[str, Any]) -> tuple[Part, ...]:
        """What is known when a request arrives."""
        get = environ.get
        key: Any = (
            get("REQUEST_METHOD"),
            get("wsgi.url_scheme"),
            get("HTTP_HOST"),
            get("SERVER_NAME"),
            get("SERVER_PORT"),
            get("SERVER_PROTOCOL"),
        )
        server = self._servers.young.get(key)
        if server is None:
            server = _kept(self._servers, key, lambda: server_attributes(environ, self._http))
        key = (get("REMOTE_ADDR"), get("HTTP_USER_AGENT"))
        client = self._clients.young.get(key)
        if client is None:
            client = _kept(self._clients, key, lambda: client_attributes(environ))
        parts = (server, client, Part(target_attributes(environ)))
        return parts if self._http.request_headers is None else (*parts, Part(captured_attributes(environ, self._http)))

    def of_answer(self, status: int, route: str | None, view: str | None, error_type: str | None) -> Part:
        """What is known when a request ends: status 0 for none."""
        key = (status, route, view, error_type)
        found = self._answers.young.get(key)
        return _kept(self._answers, key, lambda: answer_attributes(*key)) if found is None else found


def answer_attributes(status: int, route: str | None, view: str | None, error_type: str | None) -> dict[str, Any]:
    """What is known when a request ends, as attributes."""
    told: dict[str, Any] = {}
    if status:
        told[names.HTTP_RESPONSE_STATUS_CODE] = status
    if route is not None:
        told[names.HTTP_ROUTE] = route
    if view is not None:
        told[names.CODE_FUNCTION_NAME] = view
    if error_type is not None:
        told[names.ERROR_TYPE] = error_type
    return told


def _cache(most: int) -> GenerationCache[Any, Part]:
    return GenerationCache(max_entries=most, max_bytes=4 << 20, measure=lambda part: 2 * len(part.encoded or b""))


def _kept(cache: GenerationCache[Any, Part], key: tuple[Any, ...], build: Callable[[], dict[str, Any]]) -> Part:
    found = cache.get(key)
    if found is None:
        found = shared_part(build())
        # Keys are what the client sent: of a long one nothing is kept.
        if sum(len(str(word)) for word in key) <= _MAX_KEY_CHARS:
            cache.put(key, found)
    return found
