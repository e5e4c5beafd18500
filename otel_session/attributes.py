"""Every span, metric, event and attribute name that leaves this process, once.

Names come from the OpenTelemetry semantic conventions where they have one (the section is named beside the group);
our own carry the prefix `otel_session.` or `sqlalchemy.`. A test fails on a literal elsewhere.
"""

# --- Who is here (semconv: session, user) ---
SESSION_ID = "session.id"
SESSION_PREVIOUS_ID = "session.previous_id"
SESSION_CONFIRMED = "otel_session.session.confirmed"
"""True on a request whose client brought its session id back; absent on a session's first request."""
CORRELATION_ID = "correlation.id"
USER_ID = "user.id"
USER_HASH = "user.hash"

# --- Events (log records with an event name; semconv: session events) ---
EVENT_SESSION_START = "session.start"
EVENT_SESSION_END = "session.end"
SESSION_END_REASON = "otel_session.session.end_reason"
"""Why a session ended: idle, lifetime or explicit."""

# --- HTTP server (semconv: HTTP, URL, client, server, user agent) ---
HTTP_REQUEST_METHOD = "http.request.method"
HTTP_REQUEST_METHOD_ORIGINAL = "http.request.method_original"
HTTP_RESPONSE_STATUS_CODE = "http.response.status_code"
HTTP_ROUTE = "http.route"
HTTP_REQUEST_HEADER = "http.request.header."
HTTP_RESPONSE_HEADER = "http.response.header."
URL_PATH = "url.path"
URL_QUERY = "url.query"
URL_SCHEME = "url.scheme"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
CLIENT_ADDRESS = "client.address"
USER_AGENT_ORIGINAL = "user_agent.original"
NETWORK_PROTOCOL_VERSION = "network.protocol.version"
METRIC_HTTP_SERVER_REQUEST_DURATION = "http.server.request.duration"
METRIC_HTTP_SERVER_ACTIVE_REQUESTS = "http.server.active_requests"

# --- The application's own server-side session, seen inside the request ---
SPAN_APP_SESSION_LOAD = "session_store.load"
SPAN_APP_SESSION_SAVE = "session_store.save"
APP_SESSION_INTERFACE = "session_store.interface"
APP_SESSION_NEW = "session_store.new"
APP_SESSION_MODIFIED = "session_store.modified"

# --- Databases (semconv: database) ---
DB_SYSTEM_NAME = "db.system.name"
DB_NAMESPACE = "db.namespace"
DB_OPERATION_NAME = "db.operation.name"
DB_OPERATION_BATCH_SIZE = "db.operation.batch.size"
DB_COLLECTION_NAME = "db.collection.name"
DB_QUERY_TEXT = "db.query.text"
DB_QUERY_SUMMARY = "db.query.summary"
DB_RESPONSE_STATUS_CODE = "db.response.status_code"
METRIC_DB_CLIENT_OPERATION_DURATION = "db.client.operation.duration"

# --- Errors, code, exceptions (semconv: error, code, exception) ---
ERROR_TYPE = "error.type"
EVENT_EXCEPTION = "exception"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"
CODE_FILE_PATH = "code.file.path"
CODE_FUNCTION_NAME = "code.function.name"
CODE_LINE_NUMBER = "code.line.number"

# --- Resource: the build (semconv: VCS, service) ---
SERVICE_NAME = "service.name"
SERVICE_VERSION = "service.version"
VCS_REF_HEAD_REVISION = "vcs.ref.head.revision"
VCS_REF_HEAD_NAME = "vcs.ref.head.name"
VCS_REF_TYPE = "vcs.ref.type"
VCS_REPOSITORY_URL_FULL = "vcs.repository.url.full"
BUILD_DATE = "otel_session.build.date"
BUILD_DIRTY = "otel_session.build.dirty"
TELEMETRY_DISTRO_NAME = "telemetry.distro.name"
TELEMETRY_DISTRO_VERSION = "telemetry.distro.version"

# --- The pipeline itself (semconv: OpenTelemetry SDK; bytes and repeats have no convention) ---
OTEL_COMPONENT_NAME = "otel.component.name"
OTEL_COMPONENT_TYPE = "otel.component.type"
SELF_METRICS = (
    (
        "spans",
        "otel.sdk.processor.span.queue.size",
        "otel.sdk.processor.span.processed",
        "otel.sdk.exporter.span.exported",
    ),
    (
        "log records",
        "otel.sdk.processor.log.queue.size",
        "otel.sdk.processor.log.processed",
        "otel.sdk.exporter.log.exported",
    ),
)
"""What it is of; the names of what waits, of what was handed over or dropped before, of what was delivered or not."""
METRIC_SELF_EXPORT_DURATION = "otel.sdk.exporter.operation.duration"
METRIC_SELF_QUEUE_USAGE = "otel_session.queue.usage"
METRIC_SELF_QUEUE_LIMIT = "otel_session.queue.limit"
METRIC_SELF_RESENT = "otel_session.exporter.resent"

# --- What we refuse, as a metric ---
METRIC_REFUSED = "otel_session.refused"
"""Counter {value}: inbound ids that failed the length or character check and were ignored."""
REFUSED_SOURCE = "otel_session.refused.source"

# --- Errors that surface after a statement was sent (semconv: `<operation>.exception` events) ---
EVENT_DB_CLIENT_OPERATION_EXCEPTION = "db.client.operation.exception"

# --- Names of before the stable conventions, read where older instrumentations still send them ---
OLD_HTTP_METHOD = "http.method"
OLD_HTTP_STATUS_CODE = "http.status_code"
OLD_HTTP_TARGET = "http.target"
OLD_DB_SYSTEM = "db.system"
OLD_DB_STATEMENT = "db.statement"
