"""loguru's lines with the short session id in front, so that `grep '\\[a1b2c3d4\\]'` finds one user's lines.

pip install otel-session loguru
python examples/logs/with_loguru.py
"""

import sys

from loguru import logger

import otel_session
from otel_session.logs import for_loguru

logger.remove()
logger.configure(patcher=for_loguru.add_ids)
logger.add(
    sys.stderr,
    format="{time:HH:mm:ss} {level} [{extra[short_session_id]}] {message} (trace {extra[trace_id]})",
)


def import_prices() -> None:
    logger.info("{} prices imported", 3)


if __name__ == "__main__":
    otel_session.instrument()
    logger.info("ready")
    with otel_session.bound_session("20250115_143022_scheduled"), otel_session.track_operation("import_prices"):
        import_prices()
