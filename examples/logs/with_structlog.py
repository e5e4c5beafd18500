"""structlog's events as JSON lines with the ids of the session, the trace and the build.

pip install otel-session structlog
python examples/logs/with_structlog.py
"""

import structlog

import otel_session
from otel_session.logs import for_structlog

structlog.configure(
    processors=[
        for_structlog.add_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.JSONRenderer(),
    ]
)
log = structlog.get_logger()


def import_prices() -> None:
    log.info("prices imported", count=3)


if __name__ == "__main__":
    otel_session.instrument()
    log.info("ready")
    with otel_session.bound_session("20250115_143022_scheduled"), otel_session.track_operation("import_prices"):
        import_prices()
