"""The ids in loguru's records: a patcher.

    logger.configure(patcher=for_loguru.add_ids)
    logger.add(sys.stderr, format="[{extra[short_session_id]}] {message}")

loguru itself is not imported.
"""

from __future__ import annotations

from typing import Any

from otel_session import context as here
from otel_session._guard import report
from otel_session.logs._filter import fields_of
from otel_session.logs._who import place_in, who_in


def add_ids(record: Any) -> None:
    """Add the ids to a record's `extra`, named as `SessionFilter` names them; `-` for what is not known.

    What the application has bound under one of these names stays. It runs where the line is logged, so a sink with
    `enqueue=True` has the right ids, too. Costs some 3 µs; never raises.

    Args:
        record: loguru's dict of a record.
    """
    try:
        context = here.get_current()
        extra = record["extra"]
        for name, value in fields_of(who_in(context), place_in(context)).items():
            extra.setdefault(name, value)
    except Exception:
        report("for_loguru.add_ids")
