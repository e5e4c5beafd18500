"""Which of the official HTTP transports carries OTLP: urllib3's, unless something is set that only requests heeds.

The official exporter takes requests, which brings a detector of character sets with all its tables: 4.5 MiB and 30 ms
of each start, for answers that nobody reads as text. requests itself sends by urllib3, so that is there.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

_RESOLVING = "opentelemetry.exporter.otlp.proto.http._common"
_LIGHTER = "opentelemetry.exporter.http.transport._urllib3"
_REQUESTS = "RequestsHTTPTransport"
_AUTHORITIES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")  # as requests reads them, the first wins


@contextmanager
def lighter(environ: Mapping[str, str]) -> Iterator[None]:
    """While official HTTP exporters are made: they get urllib3's transport where it does all that requests would do.

    Where the official packages are of another shape, nothing is changed.

    Args:
        environ: Of the process.
    """
    common = _module(_RESOLVING)
    made: Any = getattr(common, _REQUESTS, None)
    light: Any = getattr(_module(_LIGHTER), "Urllib3HTTPTransport", None)
    if made is None or light is None or _only_requests_does(environ):
        yield
        return
    setattr(common, _REQUESTS, _chooser(light, made, environ))
    try:
        yield
    finally:
        setattr(common, _REQUESTS, made)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _chooser(light: Callable[..., Any], made: Callable[..., Any], environ: Mapping[str, str]) -> Callable[..., Any]:
    """What the exporter calls for a transport."""

    def transport(*, verify: bool | str = True, cert: Any = None, session: Any = None) -> Any:
        if session is not None:  # a credential provider's
            return made(verify=verify, cert=cert, session=session)
        return light(verify=_authorities(environ) if verify is True else verify, cert=cert)

    return transport


def _authorities(environ: Mapping[str, str]) -> bool | str:
    """The file of certificate authorities that requests would trust: they are not those of the machine."""
    named = _named_authorities(environ)
    if named:
        return named
    certifi = _module("certifi")
    return True if certifi is None else str(certifi.where())


def _named_authorities(environ: Mapping[str, str]) -> str:
    return next((environ[name] for name in _AUTHORITIES if environ.get(name)), "")


def _only_requests_does(environ: Mapping[str, str]) -> bool:
    """Whether a proxy, a password file, a user in the URL or a folder of authorities is set: requests heeds them."""
    if sys.platform in ("darwin", "win32"):  # a proxy may be a setting of the system
        return True
    proxies = {name.lower() for name, value in environ.items() if value and name.lower().endswith("_proxy")}
    if proxies - {"no_proxy"} or os.path.isdir(_named_authorities(environ)):
        return True
    return _has_netrc(environ) or _has_user(environ)


def _has_netrc(environ: Mapping[str, str]) -> bool:
    named = environ.get("NETRC")
    places = [named] if named else ["~/.netrc", "~/_netrc"]
    return any(os.path.exists(os.path.expanduser(place)) for place in places)


def _has_user(environ: Mapping[str, str]) -> bool:
    """Whether an endpoint is like `http://user:password@host`."""
    said = (value for name, value in environ.items() if name.startswith("OTEL_EXPORTER_OTLP_"))
    return any("@" in value.partition("://")[2].partition("/")[0] for value in said)
