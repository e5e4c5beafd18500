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
SPAN_CONNECT = "connect"
"""A new connection to a database: CLIENT, as the official instrumentation calls it."""
DB_TRANSACTION_ENDS = frozenset({"COMMIT", "ROLLBACK", "COMMIT PREPARED", "ROLLBACK PREPARED", "PREPARE TRANSACTION"})
DB_NO_STATEMENTS = DB_TRANSACTION_ENDS | {SPAN_CONNECT}
"""Names of our CLIENT spans that are no statements."""
"""Spans of these names end a transaction: they are counted as no statement."""
METRIC_DB_CLIENT_OPERATION_DURATION = "db.client.operation.duration"

# --- Units of work: what an ORM session does from its first connection to its end ---
SPAN_UNIT_OF_WORK = "sqlalchemy.unit_of_work"
UNIT_OUTCOME = "sqlalchemy.unit_of_work.outcome"
"""How it ended: commit, rollback, close (without either) or leaked (collected while it was open)."""
UNIT_STATEMENTS = "sqlalchemy.unit_of_work.statements"
UNIT_SAVEPOINTS = "sqlalchemy.unit_of_work.savepoints"
UNIT_NEW = "sqlalchemy.unit_of_work.flushed.new"
UNIT_DIRTY = "sqlalchemy.unit_of_work.flushed.dirty"
UNIT_DELETED = "sqlalchemy.unit_of_work.flushed.deleted"
UNIT_ROLLBACK_REASON = "sqlalchemy.unit_of_work.rollback.reason"
"""The type of the exception for which it was rolled back."""
UNIT_JOINED = "sqlalchemy.unit_of_work.joined"
"""True when it used a connection that was given to its ORM session: its end was not the transaction's."""
METRIC_UNIT_DURATION = "sqlalchemy.unit_of_work.duration"
METRIC_UNIT_IDLE_DURATION = "sqlalchemy.unit_of_work.idle.duration"
METRIC_UNIT_COMMITS = "sqlalchemy.unit_of_work.commits"
METRIC_UNIT_ROLLBACKS = "sqlalchemy.unit_of_work.rollbacks"
METRIC_UNIT_ERRORS = "sqlalchemy.unit_of_work.errors"
METRIC_ORM_SESSIONS_CREATED = "sqlalchemy.orm_session.created"
METRIC_ORM_SESSIONS_CLOSED = "sqlalchemy.orm_session.closed"
METRIC_ORM_SESSIONS_ACTIVE = "sqlalchemy.orm_session.active"
METRIC_ORM_SESSIONS_PEAK = "sqlalchemy.orm_session.peak"

# --- What one request did in databases, on its server span ---
REQUEST_ORM_SESSIONS = "sqlalchemy.request.orm_sessions"
REQUEST_STATEMENTS = "sqlalchemy.request.statements"
REQUEST_COMMITS = "sqlalchemy.request.commits"
REQUEST_ROLLBACKS = "sqlalchemy.request.rollbacks"
REQUEST_RECOVERIES = "sqlalchemy.request.recoveries"
"""Attributes of detached instances that were loaded all the same."""
REQUEST_DB_TIME = "sqlalchemy.request.db_time"
"""Seconds that database drivers took, COMMIT and ROLLBACK included."""

# --- Streamlit: one run of a script for a browser (a span of kind SERVER), and what is done in it ---
SPAN_RERUN = "streamlit.rerun"
"""Its name goes on with the page: `streamlit.rerun /orders`."""
SPAN_CALLBACK = "streamlit.callback"
SPAN_CACHE_MISS = "streamlit.cache_miss"
SPAN_CONNECTION = "streamlit.connection"
"""A connection of `st.connection` made anew."""
RERUN_CAUSE = "streamlit.rerun.cause"
"""Why it ran: first_load, widget, fragment (a widget in one), timer (run_every), rerun (st.rerun), page, request."""
RERUN_OUTCOME = "streamlit.rerun.outcome"
"""How it ended: ok, rerun (another run took its place), stopped (st.stop, or by the user), error."""
RERUN_FRAGMENTS = "streamlit.rerun.fragments"
"""How many fragments ran instead of the whole script."""
RERUN_PAGE = "streamlit.page"
"""The page's path: `/` for the first one."""
WIDGET_KEYS = "streamlit.widget.keys"
"""Keys of the widgets that changed; of one without a key `#` and the beginning of its hash. Never a value."""
WIDGET_KEY = "streamlit.widget.key"
TAB_ID = "streamlit.tab.id"
"""One page open in a browser, as a hash of Streamlit's own id of it; another one after a refresh."""
CACHE_KIND = "streamlit.cache.kind"
CONNECTION_NAME = "streamlit.connection.name"
CONNECTION_CLASS = "streamlit.connection.class"
METRIC_RERUN_DURATION = "streamlit.rerun.duration"
METRIC_STREAMLIT_SESSIONS_ACTIVE = "streamlit.session.active"
METRIC_STREAMLIT_TABS_ACTIVE = "streamlit.tab.active"

# --- Connection pools (semconv: database client connections; overflow, the ledger and its alarm have no convention) ---
POOL_NAME = "db.client.connection.pool.name"
POOL_STATE = "db.client.connection.state"
METRIC_POOL_COUNT = "db.client.connection.count"
METRIC_POOL_IDLE_MAX = "db.client.connection.idle.max"
METRIC_POOL_IDLE_MIN = "db.client.connection.idle.min"
METRIC_POOL_MAX = "db.client.connection.max"
METRIC_POOL_PENDING = "db.client.connection.pending_requests"
METRIC_POOL_TIMEOUTS = "db.client.connection.timeouts"
METRIC_POOL_CREATE_TIME = "db.client.connection.create_time"
METRIC_POOL_WAIT_TIME = "db.client.connection.wait_time"
METRIC_POOL_USE_TIME = "db.client.connection.use_time"
METRIC_POOL_OVERFLOW = "sqlalchemy.pool.overflow"
METRIC_POOL_LONGEST_USE = "sqlalchemy.pool.longest_use"
"""Gauge, s: how long the connection that is out for the longest has been out."""
METRIC_POOL_LEAKS = "sqlalchemy.pool.leaks"
"""Counter {connection}: connections held for longer than the leak alarm's threshold, each once."""
EVENT_POOL_LEAK = "sqlalchemy.pool.leak"
POOL_HELD_S = "sqlalchemy.pool.held_s"
THREAD_NAME = "thread.name"

# --- Detached instances: mapped objects read after their ORM session ended ---
EVENT_DETACHED_INSTANCE = "sqlalchemy.detached_instance.read"
"""One read that had nothing to load from; its body explains it."""
SPAN_DETACHED_INSTANCE_RECOVER = "sqlalchemy.detached_instance.recover"
METRIC_DETACHED_INSTANCE_READS = "sqlalchemy.detached_instance.reads"
METRIC_DETACHED_INSTANCE_RECOVERY_DURATION = "sqlalchemy.detached_instance.recovery.duration"
DETACHED_INSTANCE_MODEL = "sqlalchemy.detached_instance.model"
DETACHED_INSTANCE_ATTRIBUTE = "sqlalchemy.detached_instance.attribute"
DETACHED_INSTANCE_KIND = "sqlalchemy.detached_instance.kind"
"""What was read: expired, lazy_relationship, deferred, dynamic or other."""
DETACHED_INSTANCE_OUTCOME = "sqlalchemy.detached_instance.outcome"
"""What the application got: raised, recovered, deleted; of a dynamic relationship empty; of a `reattach()` refused."""
DETACHED_INSTANCE_STRATEGY = "sqlalchemy.detached_instance.strategy"
"""How it was recovered: load_only or reattach."""
DETACHED_INSTANCE_REASON = "sqlalchemy.detached_instance.reason"
"""Why it was not recovered, though that is switched on."""
DETACHED_INSTANCE_SUGGESTION = "sqlalchemy.detached_instance.suggestion"
DETACHED_INSTANCE_ORM_SESSION_END = "sqlalchemy.detached_instance.orm_session.end"
"""How the object lost its ORM session: closed, expunged (or unpickled), garbage_collected; open when it has one."""
DETACHED_INSTANCE_ORM_SESSION_ENDED_AT = "sqlalchemy.detached_instance.orm_session.ended_at"
"""Where that was, as `path:line in function`."""

# --- Operations: what the application tells of by `track_operation` ---
OPERATION_NAME = "operation.name"
OPERATION_OUTCOME = "operation.outcome"
"""How it ended: complete, failed or cancelled."""
OPERATION_COMPLETE, OPERATION_FAILED, OPERATION_CANCELLED = "complete", "failed", "cancelled"
OPERATION_METADATA = "operation.metadata"
"""What each key of its metadata begins with."""
METRIC_OPERATION_DURATION = "operation.duration"
METRIC_OPERATION_ERRORS = "operation.errors"

# --- Records of the standard logging: what we keep on them for whoever writes them ---
RECORD_ORIGIN = "_otel_session"
RECORD_FIELDS = ("session_id", "short_session_id", "correlation_id", "user_id", "trace_id", "span_id", "commit")
"""What the filter puts on them, for format strings."""

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
    (
        "data points",
        "otel.sdk.exporter.metric_data_point.inflight",
        "",  # no processor comes before: what is dropped there counts as not delivered
        "otel.sdk.exporter.metric_data_point.exported",
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
