"""What a span is about, in few words: its label, its query, its error."""

from __future__ import annotations

import re

from otel_session import attributes as names
from otel_session.cli._frames import innermost_own
from otel_session.cli._text import first_line
from otel_session.cli._tree import Node
from otel_session.store.views import Attributes, EventView, LogView, SpanView, text

_DETACHED = "DetachedInstanceError"
_LINK = re.compile(r" *\(Background on this error at: [^)\s]*\)")


def method(span: SpanView) -> str:
    """The request's HTTP method, `""` when the span is not about HTTP."""
    return text(span.attributes, names.HTTP_REQUEST_METHOD) or text(span.attributes, names.OLD_HTTP_METHOD)


def path(span: SpanView) -> str:
    """The request's path with its values, `""` when unknown."""
    return text(span.attributes, names.URL_PATH) or text(span.attributes, names.OLD_HTTP_TARGET).partition("?")[0]


def route(span: SpanView) -> str:
    """The request's route, else its path, else `""`."""
    return text(span.attributes, names.HTTP_ROUTE) or path(span)


def status_code(span: SpanView) -> int | None:
    """The response's HTTP status code."""
    for name in (names.HTTP_RESPONSE_STATUS_CODE, names.OLD_HTTP_STATUS_CODE):
        code = span.attributes.get(name)
        if isinstance(code, int):
            return code
    return None


def label(span: SpanView) -> str:
    """`GET /deals/<int:deal_id>` for HTTP served, a statement's query summary, `unit of work`, else the span's name."""
    if span.kind == "SERVER" and method(span) and route(span):
        return f"{method(span)} {route(span)}"
    if span.name == names.SPAN_UNIT_OF_WORK:
        return "unit of work"
    return text(span.attributes, names.DB_QUERY_SUMMARY) or span.name or "(no name)"


def unit_outcome(span: SpanView) -> str:
    """How a unit of work ended, `""` for any other span."""
    return text(span.attributes, names.UNIT_OUTCOME) if span.name == names.SPAN_UNIT_OF_WORK else ""


def unit_changes(span: SpanView) -> str:
    """What a unit of work wrote: `2 new, 1 changed, 1 deleted`; `""` when nothing."""
    counts = ((names.UNIT_NEW, "new"), (names.UNIT_DIRTY, "changed"), (names.UNIT_DELETED, "deleted"))
    return ", ".join(f"{text(span.attributes, key)} {word}" for key, word in counts if span.attributes.get(key))


def is_statement(span: SpanView) -> bool:
    """Whether the span is one database statement, also one of an older instrumentation."""
    return span.is_statement or (
        span.kind == "CLIENT" and names.OLD_DB_SYSTEM in span.attributes and span.name not in names.DB_NO_STATEMENTS
    )


def is_for_database(span: SpanView) -> bool:
    """Whether the span is a call to a database: a statement, a COMMIT or ROLLBACK, a new connection."""
    attributes = span.attributes
    return span.kind == "CLIENT" and (names.DB_SYSTEM_NAME in attributes or names.OLD_DB_SYSTEM in attributes)


def query_text(span: SpanView) -> str:
    """The statement's text on one line, `""` when it was not recorded."""
    return " ".join(
        (text(span.attributes, names.DB_QUERY_TEXT) or text(span.attributes, names.OLD_DB_STATEMENT)).split()
    )


def exceptions_of(node: Node) -> list[EventView]:
    """The span's exception events, but for those a log record of the same span tells already."""
    told = {(log.exception_type, log.exception_message) for log in node.logs if log.exception_type}
    return [e for e in node.span.events if e.name == names.EVENT_EXCEPTION and exception_key(e.attributes) not in told]


def exception_key(attributes: Attributes) -> tuple[str, str]:
    """An exception's type and message, each `""` when absent."""
    return text(attributes, names.EXCEPTION_TYPE), text(attributes, names.EXCEPTION_MESSAGE)


def exception_text(attributes: Attributes) -> str:
    """`ZeroDivisionError: division by zero`: type and first line of the message, `""` when there is no exception."""
    kind, message = exception_key(attributes)
    return ": ".join(part for part in (kind, _LINK.sub("", first_line(message)[0])) if part)


def exception_at(attributes: Attributes) -> str:
    """`ZeroDivisionError: division by zero at deals/reports.py:57 in broken`, the place where it is known."""
    place = innermost_own(text(attributes, names.EXCEPTION_STACKTRACE))
    return f"{exception_text(attributes)} at {place}" if place else exception_text(attributes)


def has_failed(node: Node) -> bool:
    """Whether a request, or one made by it, ended in an error, or an error was logged in it."""
    return any(
        (under.span.is_error and (under is node or under.span.is_request)) or any(log.is_error for log in under.logs)
        for under in node.descendants()
    )


def is_called(span: SpanView, correlation_id: str) -> bool:
    """Whether the span is the request with this correlation id; `""` is none."""
    return bool(correlation_id) and span.is_request and text(span.attributes, names.CORRELATION_ID) == correlation_id


def own_error(span: SpanView) -> str:
    """What the span itself says about its failure, `""` if nothing beyond a status code that is shown anyway."""
    kind = text(span.attributes, names.ERROR_TYPE)
    code = text(span.attributes, names.DB_RESPONSE_STATUS_CODE)
    words = [kind if kind != str(status_code(span)) else "", f"({code})" if code else ""]
    said = " ".join(word for word in words if word)
    message = first_line(span.status_message)[0]
    return f"{said}: {message}" if said and message and message not in said else said or message


def cause(node: Node) -> str:
    """The likeliest reason why a request failed: its own exception, else the first error under it; `""` if unknown."""
    by_weight: dict[int, str] = {}
    for under in node.descendants():
        span, here = under.span, under is node
        for event in span.events:
            if event.name == names.EVENT_EXCEPTION:
                by_weight.setdefault(0 if here else 2, exception_at(event.attributes))
        for log in under.logs:
            if log.is_error:
                by_weight.setdefault(1 if log.exception_type else 4, exception_at(log.attributes) or said(log))
        if span.is_error:
            by_weight.setdefault(5 if here else 3, own_error(span) or ("" if here else f"{label(span)} failed"))
    found = next((by_weight[weight] for weight in sorted(by_weight) if by_weight[weight]), "")
    advice = _detached_advice(node) if _DETACHED in found else ""
    if not advice:
        return found
    place = found.rpartition(" at ")[2]
    return f"{_DETACHED} at {place}  {advice}" if " in " in place else f"{_DETACHED}  {advice}"


def _detached_advice(node: Node) -> str:
    """What to change, as the event beside a DetachedInstanceError says; `""` without one."""
    events = (log for under in node.descendants() for log in under.logs)
    return next((first_line(e.message)[0] for e in events if e.event_name == names.EVENT_DETACHED_INSTANCE), "")


def said(log: LogView) -> str:
    """A log record in one line: an event's name and reason, else the message's first line."""
    message = first_line(log.message)[0]
    if not log.event_name:
        return message
    reason = text(log.attributes, names.SESSION_END_REASON)
    return " ".join(part for part in (log.event_name, f"({reason})" if reason else "", message) if part)
