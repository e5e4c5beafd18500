"""A response's body, watched to its end: all of it sent, its client gone, or dropped by whoever asked for it."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from otel_session import context as here

if TYPE_CHECKING:
    from otel_session.instrumentors.flask.request import ServedRequest


def watched_file(request: ServedRequest, iterable: Any) -> Iterable[bytes]:
    """A body that the server may hand to the kernel, if it gets it as it is; its end ends the request."""
    close = getattr(iterable, "close", None)

    def close_and_end() -> None:
        try:
            if close is not None:
                close()
        finally:
            request.end()

    try:
        iterable.close = close_and_end
        weakref.finalize(iterable, request.lost)
    except Exception:  # a type that takes no attributes: its end cannot be seen
        request.end()
    return cast("Iterable[bytes]", iterable)


class Body:
    """A response's iterable. Each step is bracketed by the request's context, on one thread, strictly nested."""

    __slots__ = ("__weakref__", "_iterable", "_iterator", "_left", "_request")

    def __init__(self, request: ServedRequest, iterable: Any) -> None:
        self._request = request
        self._iterable = iterable
        self._iterator: Iterator[bytes] | None = None
        # With a known length the last byte is the end, whether or not the server asks for more or closes.
        self._left = request.content_length

    def __iter__(self) -> Body:
        return self

    def __next__(self) -> bytes:
        request = self._request
        token = here.attach(request.context)
        try:
            if self._iterator is None:
                self._iterator = iter(self._iterable)
            chunk = next(self._iterator)
        except StopIteration:
            request.end()
            raise
        except BaseException as error:
            request.escaped(error)
            request.end()
            raise
        finally:
            here.detach(token)
        if self._left is not None:
            try:
                self._left -= len(chunk)
            except TypeError:  # no bytes: the server will say so
                self._left = None
            else:
                if self._left <= 0:
                    request.end()
        return chunk

    def close(self) -> None:
        """What servers call at the end of the response (PEP 3333)."""
        request = self._request
        token = here.attach(request.context)
        try:
            close = getattr(self._iterable, "close", None)
            if close is not None:
                close()
        except BaseException as error:
            request.escaped(error)
            raise
        finally:
            here.detach(token)
            request.end()

    def __del__(self) -> None:
        # Test clients drop a response without closing it.
        if not self._request.ended:
            self._request.lost()
