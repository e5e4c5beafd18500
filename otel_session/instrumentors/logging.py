"""The application's log records -> OpenTelemetry log records; its handlers, formats and levels stay as they are.

`Logger.callHandlers` is watched instead of adding a handler: a handler on the root logger turns
`logging.basicConfig()` into a no-op, is dropped by `dictConfig`, and misses loggers that do not propagate.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Collection, Mapping
from itertools import islice
from threading import get_ident
from typing import Any

from opentelemetry._logs import NoOpLoggerProvider, SeverityNumber, get_logger, get_logger_provider
from opentelemetry._logs._internal import ProxyLoggerProvider
from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.trace import INVALID_SPAN_CONTEXT

from otel_session import attributes as names
from otel_session import context as here
from otel_session import failures
from otel_session._guard import apart, report
from otel_session.context import Identity
from otel_session.instrumentors._base import Instrumentor
from otel_session.masking import MASK, is_sensitive_key, mask, text_of
from otel_session.messages import clean, merged, prints_sql
from otel_session.processors import IdentityLogProcessor
from otel_session.wire import IN_LOG_RECORD, encode_attributes, forks
from otel_session.wire.identities import encode_for_log_record
from otel_session.wire.log_leaves import LogWriter, encode_severity

# The attributes every LogRecord has; all others were given by the application as `extra=`.
_MADE_WITH = frozenset(vars(logging.makeLogRecord({})))
_ORDINARY = _MADE_WITH | {"message", "asctime", "taskName", names.RECORD_ORIGIN}
_BY_OUR_FILTER = frozenset(names.RECORD_FIELDS)  # the same ids are on the record already
_EVENT_NAME = "otel.event.name"  # semconv: carries an event's name through the standard library
_MAX_BODY_CHARS = 65_536
_CLEANED_LATER_CHARS = 4_096
_MAX_EXTRA = 64
_MAX_DEPTH = 8
_INT64 = range(-(2**63), 2**63)
_PLAIN_INT = 10**12  # what is larger may be the number of a card
_UNREADABLE = "(its text could not be read)"
_SEVERITY_TEXT = {"WARNING": "WARN", "CRITICAL": "FATAL"}  # the log data model's names


class LoggingInstrumentor(Instrumentor):
    """Exports what the application logs. Stands aside for records that another OpenTelemetry handler takes."""

    official_name = "logging"

    def instrumentation_dependencies(self) -> Collection[str]:
        """None: it is the standard library."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        exporter = _Exporter(kwargs.get("logger_provider"))
        original = logging.Logger.callHandlers

        def call_handlers(logger: logging.Logger, record: logging.LogRecord) -> None:
            try:  # once there is a provider of the SDK's, it stays
                known = exporter.multi._log_record_processors is exporter.processors
            except AttributeError:
                known = False
            if exporter.exporting if known else exporter.ask():
                exporter.take(logger, record)
            original(logger, record)

        self._exporter, self._original, self._ours = exporter, original, call_handlers
        logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign, assignment]

    def _uninstrument(self, **kwargs: Any) -> None:
        self._exporter.active = False
        if logging.Logger.callHandlers is self._ours:
            logging.Logger.callHandlers = self._original  # type: ignore[method-assign]


class _Exporter:
    def __init__(self, provider: Any) -> None:
        self.active = True
        self._provider = provider
        self._asked: Any = None
        self.multi: Any = None
        self.processors: Any = None
        self.exporting = False
        self.after_fork()
        forks.renew(self)

    def after_fork(self) -> None:
        """In a child nobody else is at it."""
        self._busy: set[int] = set()  # threads; one of its own for each would be looked up three times a record

    def take(self, logger: logging.Logger, record: logging.LogRecord) -> None:
        try:
            thread, busy = get_ident(), self._busy
            if thread in busy or not self.active:
                return
            context = here.get_current()
            if not _OFF.isdisjoint(context) and not is_instrumentation_enabled():
                return
            if _taken_by_another(logger):
                return
            if record.levelno < logging.WARNING and prints_sql(record.name):  # the query spans tell the same
                return
            busy.add(thread)  # a log line written while we export one must not start another round
            try:
                _emit(record, self._asked, context)
            finally:
                busy.discard(thread)
        except Exception:
            report("LoggingInstrumentor")

    def ask(self) -> bool:
        """Whether anybody takes records: worked out where the provider or its processors are new. Never raises."""
        try:
            provider = self._provider or get_logger_provider()
            multi = getattr(provider, "_multi_log_record_processor", None)
            processors = getattr(multi, "_log_record_processors", None)
            self.exporting = _exports(provider, processors)
            self._asked, self.processors = provider, processors
            self.multi = multi if type(provider) is LoggerProvider else None
            return self.exporting
        except Exception:
            report("LoggingInstrumentor")
            return False


def _exports(provider: Any, processors: Any) -> bool:
    if not isinstance(provider, LoggerProvider):
        return not isinstance(provider, _SILENT)
    return processors is None or any(not isinstance(p, IdentityLogProcessor) for p in processors)


# What `is_instrumentation_enabled` looks for; a context without these need not ask it.
_OFF = frozenset({_SUPPRESS_INSTRUMENTATION_KEY, "suppress_instrumentation"})
_SILENT = (NoOpLoggerProvider, ProxyLoggerProvider)
_other_handlers: dict[type, bool] = {}
_KINDS_MOST = 1_000


def _is_other_handler(kind: type) -> bool:
    known = any(c.__name__ == "LoggingHandler" and c.__module__.startswith("opentelemetry.") for c in kind.__mro__)
    if len(_other_handlers) < _KINDS_MOST:
        _other_handlers[kind] = known
    return known


def _taken_by_another(logger: logging.Logger) -> bool:
    at: logging.Logger | None = logger
    while at is not None:
        for handler in at.handlers:
            kind = type(handler)
            if _other_handlers[kind] if kind in _other_handlers else _is_other_handler(kind):
                return True
        at = at.parent if at.propagate else None
    return False


_writer = LogWriter()
_places: dict[tuple[str, int, str], bytes] = {}
_PLACES_MOST = 10_000


def _emit(record: logging.LogRecord, provider: Any, context: Context) -> None:
    attributes: dict[str, Any] = {}
    event_name = None
    if len(record.__dict__) > len(_MADE_WITH):
        event_name = _add_extra(attributes, record.__dict__)
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else record.exc_info
    if isinstance(error, BaseException):
        attributes[names.EXCEPTION_TYPE] = failures.type_name(error)
        attributes[names.EXCEPTION_MESSAGE] = failures.message(error)
        attributes[names.EXCEPTION_STACKTRACE] = failures.stacktrace(error)
    identity = here.current(context)
    if event_name is not None or not _writer.writes(provider):
        _emit_through_sdk(record, provider, attributes, identity, context, event_name)
        return
    key = (record.pathname, record.lineno, record.funcName)
    place = _places.get(key)
    if place is None:
        place = encode_attributes(_place(record), IN_LOG_RECORD)
        if len(_places) < _PLACES_MOST:
            _places[key] = place
    ids, session_id = b"", None
    if identity is not None:
        ids, session_id = identity.encoded_for_logs or encode_for_log_record(identity), identity.session_id
        if attributes:  # `extra=` may have named one of the ids; ours win, and none is there twice
            for name in identity.attributes:
                attributes.pop(name, None)
    severity = (record.levelno, record.levelname)
    span: Any = context.get(here.SPAN)
    body = _said(record)
    # Cleaned while an error is being handled, whose words it may hold, or when it is long; else with many others later,
    # which takes half the time.
    later = sys.exc_info()[1] is None and len(body) <= _CLEANED_LATER_CHARS
    _writer.write(
        record.name,
        (int(record.created * 1e9), time.time_ns()),
        _severities[severity] if severity in _severities else _severity(*severity),
        body if later else _text(body),
        _text if later else None,
        place + ids,
        attributes,
        INVALID_SPAN_CONTEXT if span is None else span.get_span_context(),
        session_id,
    )


def _emit_through_sdk(
    record: logging.LogRecord,
    provider: Any,
    attributes: dict[str, Any],
    identity: Identity | None,
    context: Context,
    event_name: str | None,
) -> None:
    """The same where others than our own encoders listen."""
    attributes.update(_place(record))
    if identity is not None:
        attributes.update(identity.attributes)
    apart(  # libraries log from finalizers
        get_logger(record.name, logger_provider=provider).emit,
        timestamp=int(record.created * 1e9),
        observed_timestamp=time.time_ns(),
        context=context,
        severity_number=severity_of(record.levelno),
        severity_text=_severity_text(record.levelname),
        body=body_of(record),
        attributes=attributes,
        event_name=event_name,
    )


def _place(record: logging.LogRecord) -> dict[str, Any]:
    return {
        names.CODE_FILE_PATH: record.pathname,
        names.CODE_FUNCTION_NAME: record.funcName,
        names.CODE_LINE_NUMBER: record.lineno,
    }


_severities: dict[tuple[int, str], tuple[int, bytes]] = {}
_SEVERITIES_MOST = 200


def _severity(level: int, name: str) -> tuple[int, bytes]:
    """OTLP's number of a level, and the bytes of number and text."""
    number: int = severity_of(level).value
    known = number, encode_severity(number, _severity_text(name))
    if len(_severities) < _SEVERITIES_MOST:
        _severities[level, name] = known
    return known


def _severity_text(level_name: str) -> str:
    return _SEVERITY_TEXT.get(level_name, level_name)


def severity_of(level: int) -> SeverityNumber:
    """OTLP's severity number of a logging level: 10 is DEBUG (5), 20 INFO (9), … 50 FATAL (21); 0 below 10."""
    if level < 10:
        return SeverityNumber.UNSPECIFIED
    tens, ones = divmod(min(level, 53), 10)
    return SeverityNumber(tens * 4 + 1 + min(ones, 3))


def body_of(record: logging.LogRecord) -> str:
    """The formatted message without SQL values, at most 65,536 characters. Never raises."""
    return _text(_said(record))


def _said(record: logging.LogRecord) -> str:
    """The formatted message. Never raises."""
    try:
        return str(merged(record))
    except Exception:  # the wrong number of arguments, or one that cannot be shown: the handlers complain themselves
        return _text(record.msg)


def _text(value: Any) -> str:
    """A value's text as UTF-8 can hold it, without what must not leave, at most 65,536 characters. Never raises."""
    try:
        return clean(str(value), _MAX_BODY_CHARS)
    except Exception:
        return _UNREADABLE


def _add_extra(attributes: dict[str, Any], fields: Mapping[str, Any]) -> str | None:
    event_name = None
    others = _ORDINARY | _BY_OUR_FILTER if names.RECORD_ORIGIN in fields else _ORDINARY
    for key, value in fields.items():
        if key in others or len(attributes) > _MAX_EXTRA:
            continue
        name = key if isinstance(key, str) else _text(key)
        if name == _EVENT_NAME:
            event_name = _text(value)
        elif is_sensitive_key(name):
            attributes[name] = MASK
        else:
            attributes[name] = _plain(value)
    return event_name


def _plain(value: Any, depth: int = 0) -> Any:
    """A value of `extra=` as the exporters take it: text, numbers, and lists and mappings of them."""
    if isinstance(value, str):
        return text_of(value, _MAX_BODY_CHARS)
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and value in _INT64:
        return value if -_PLAIN_INT < value < _PLAIN_INT else mask(value)
    if isinstance(value, BaseException):
        return failures.message(value)
    try:
        if depth < _MAX_DEPTH and isinstance(value, Mapping):
            return {k: MASK if is_sensitive_key(k) else _plain(v, depth + 1) for k, v in _first_items(value)}
        if depth < _MAX_DEPTH and isinstance(value, list | tuple):
            return [_plain(v, depth + 1) for v in value[:_MAX_EXTRA]]
    except Exception:  # a mapping of the application's own making
        return _UNREADABLE
    return text_of(value, _MAX_BODY_CHARS) if depth < _MAX_DEPTH else "…"


def _first_items(value: Mapping[Any, Any]) -> list[tuple[str, Any]]:
    return [(_text(k), v) for k, v in islice(value.items(), _MAX_EXTRA)]
