"""All handlers write JSON lines, or the prefix, without a change to any of them (`OTEL_SESSION_LOG_FORMAT`).

`logging.Handler.format` is watched: handlers, their formatters and levels stay as they are, and those added later, by
`basicConfig` or a reload of the configuration, are covered. `logging.Logger.handle` is watched for records that are
written elsewhere, by the thread of a QueueListener or another process: whose they are is kept on them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.context import Context

from otel_session._guard import report
from otel_session.logs._json import JsonFormatter
from otel_session.logs._origin import keep_origin
from otel_session.logs._prefix import PrefixFormatter, with_prefix

_KINDS_MOST = 1_000
# These hand records on: whoever gets them writes the line.
_HANDING_ON = frozenset({"QueueHandler", "BufferingHandler", "SocketHandler", "HTTPHandler"})
# These write, or send what others than `logging` read, in the thread that logs.
_AT_ONCE = frozenset({"NullHandler", "SysLogHandler", "SMTPHandler", "HTTPHandler", "NTEventLogHandler"})
_STANDARD = frozenset({logging.StreamHandler, logging.FileHandler})
"""Handlers that look at nothing that a formatter leaves on a record."""
_LOGGING = ("logging", "logging.handlers")
_ACCESS_LOGGER = "gunicorn.access"
# gunicorn gives the WSGI environ's entries to its access log; ours are put there by the Flask instrumentor.
_ENTRIES = ("{otel_session.context}e", "{otel_session.request}e")

_Format = Callable[[logging.Handler, logging.LogRecord], str]

_off: Callable[[], None] | None = None


def switch_on(form: str) -> Callable[[], None] | None:
    """Have handlers write `json` lines or a `prefix`.

    Returns:
        What switches it off again; None when it is on already, or the form is `off`.
    """
    global _off
    if form == "off" or _off is not None:
        return None
    _off = _watch(_Lines(form))
    return _switch_off


def _switch_off() -> None:
    global _off
    if _off is not None:
        _off()
        _off = None


def _watch(lines: _Lines) -> Callable[[], None]:
    own_format, own_handle = logging.Handler.format, logging.Logger.handle

    def format(handler: logging.Handler, record: logging.LogRecord) -> str:
        return lines.write(handler, record, own_format) if lines.active else own_format(handler, record)

    def handle(logger: logging.Logger, record: logging.LogRecord) -> None:
        if lines.active:
            lines.remember(logger, record)
        own_handle(logger, record)

    logging.Handler.format = format  # type: ignore[method-assign, assignment]
    logging.Logger.handle = handle  # type: ignore[method-assign, assignment]

    def undo() -> None:
        lines.active = False  # where somebody has put a wrapper around ours since, it stays, without effect
        if logging.Handler.format is format:
            logging.Handler.format = own_format  # type: ignore[method-assign]
        if logging.Logger.handle is handle:
            logging.Logger.handle = own_handle  # type: ignore[method-assign]

    return undo


def _set_as_formatters_do(handler: logging.Handler, record: logging.LogRecord) -> None:
    """Set what every formatter of the standard library sets: handlers of somebody's own making read it."""
    try:
        record.message = record.getMessage()
        own = handler.formatter
        if own is not None and own.usesTime():
            record.asctime = own.formatTime(record, own.datefmt)
    except Exception:  # arguments that do not fit: the line says so
        pass


class _Lines:
    """Knows which handlers' lines are written anew, by their class."""

    def __init__(self, form: str) -> None:
        self.active = True
        self._json = JsonFormatter() if form == "json" else None
        self._in_ascii = JsonFormatter(ascii_only=True)
        self._taken: dict[type, bool] = {}
        self._at_once: dict[type, bool] = {}

    def write(self, handler: logging.Handler, record: logging.LogRecord, own_format: _Format) -> str:
        """What the handler is to write; what its own formatter raises is raised."""
        formatter = self._formatter_for(handler)
        if formatter is not None:
            written = formatter.format(record)
            if type(handler) not in _STANDARD:
                _set_as_formatters_do(handler, record)
            return written
        written = own_format(handler, record)
        return with_prefix(written, record) if self._json is None and self._takes(handler) else written

    def _formatter_for(self, handler: logging.Handler) -> JsonFormatter | None:
        """The formatter to be used instead of the handler's own; None for that."""
        if self._json is None or not self._takes(handler):
            return None
        try:
            return self._json if _takes_unicode(handler) else self._in_ascii
        except Exception:  # a stream of the application's own making
            return self._in_ascii

    def _takes(self, handler: logging.Handler) -> bool:
        kind = type(handler)
        taken = self._taken.get(kind)
        if taken is None:
            taken = _keep(self._taken, kind, self._takes_kind(kind))
        return taken and not isinstance(handler.formatter, JsonFormatter | PrefixFormatter)

    def _takes_kind(self, kind: type) -> bool:
        if self._json is not None:
            return issubclass(kind, logging.StreamHandler)
        return not _is_one_of(kind, _HANDING_ON) and not _is_telemetry(kind)

    def remember(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        """Keep on a record whose it is, where a handler may have it written elsewhere. Never raises."""
        try:
            context = _served_in(record.args) if record.name == _ACCESS_LOGGER else None
            if context is not None or self._hands_on(logger):
                keep_origin(record, context)
        except Exception:
            report("log lines")

    def _hands_on(self, logger: logging.Logger) -> bool:
        """Whether any of the handlers that get the logger's records may have them written elsewhere."""
        at: logging.Logger | None = logger
        while at is not None:
            for handler in at.handlers:
                kind = type(handler)
                at_once = self._at_once.get(kind)
                if not (_keep(self._at_once, kind, _writes_at_once(kind)) if at_once is None else at_once):
                    return True
            at = at.parent if at.propagate else None
        return False


def _keep(known: dict[type, bool], kind: type, value: bool) -> bool:
    if len(known) < _KINDS_MOST:
        known[kind] = value
    return value


def _writes_at_once(kind: type) -> bool:
    return issubclass(kind, logging.StreamHandler) or _is_one_of(kind, _AT_ONCE) or _is_telemetry(kind)


def _is_one_of(kind: type, names: frozenset[str]) -> bool:
    return any(c.__name__ in names and c.__module__ in _LOGGING for c in kind.__mro__)


def _is_telemetry(kind: type) -> bool:
    return any(c.__module__.startswith("opentelemetry.") for c in kind.__mro__)


def _takes_unicode(handler: logging.Handler) -> bool:
    stream = getattr(handler, "stream", None)
    encoding = getattr(stream, "encoding", None) or getattr(handler, "encoding", None)
    return not isinstance(encoding, str) or encoding.lower().replace("_", "-").startswith("utf")


def _served_in(args: Any) -> Context | None:
    """The context of the request that a line of gunicorn's access log tells of."""
    for entry in _ENTRIES if isinstance(args, Mapping) else ():
        found = args.get(entry)
        context = getattr(found, "context", found)
        if isinstance(context, Context):
            return context
    return None
