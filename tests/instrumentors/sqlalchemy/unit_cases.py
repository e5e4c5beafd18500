"""What the cases of `unit_scenario.py` tell, the same on SQLAlchemy 1.4, 2.0 and 2.1.

Each has its spans as a tree; then COMMITs and ROLLBACKs, units of work by outcome, errors, and ORM sessions made.
"""

from typing import Any

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "committed": (
        """
request
  unit commit 2 statements flushed 2/0/0
    INSERT deal
    INSERT deal
    COMMIT
  unit commit 3 statements flushed 0/1/1
    SELECT deal
    UPDATE deal
    DELETE deal
    COMMIT
""",
        {
            "commits": 2,
            "rollbacks": 0,
            "outcomes": {"commit": 2},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "closed": (
        """
request
  unit close 1 statements
    SELECT
""",
        {
            "commits": 0,
            "rollbacks": 1,
            "outcomes": {"close": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "rolled_back": (
        """
request
  unit rollback 1 statements flushed 1/0/0
    INSERT deal
    ROLLBACK
""",
        {
            "commits": 0,
            "rollbacks": 1,
            "outcomes": {"rollback": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "python_error": (
        """
request
  unit rollback 1 statements for ValueError error ValueError FAILED
    SELECT
    ROLLBACK
""",
        {
            "commits": 0,
            "rollbacks": 1,
            "outcomes": {"rollback": 1},
            "errors": {"ValueError": 1},
            "orm_sessions": 1,
        },
    ),
    "python_error_closes": (
        """
request
  unit close 1 statements for ValueError error ValueError FAILED
    SELECT
""",
        {
            "commits": 0,
            "rollbacks": 1,
            "outcomes": {"close": 1},
            "errors": {"ValueError": 1},
            "orm_sessions": 1,
        },
    ),
    "handled_rollback": (
        """
request
  unit rollback 1 statements for KeyError error KeyError FAILED
    SELECT
    ROLLBACK
""",
        {
            "commits": 0,
            "rollbacks": 1,
            "outcomes": {"rollback": 1},
            "errors": {"KeyError": 1},
            "orm_sessions": 1,
        },
    ),
    "failed_flush": (
        """
request
  unit rollback 2 statements flushed 1/0/0 for sqlite3.IntegrityError error sqlite3.IntegrityError FAILED
    INSERT deal
    INSERT deal error sqlite3.IntegrityError FAILED
    ROLLBACK
  unit close 1 statements
    SELECT
""",
        {
            "commits": 0,
            "rollbacks": 2,
            "outcomes": {"rollback": 1, "close": 1},
            "errors": {"sqlite3.IntegrityError": 1},
            "orm_sessions": 1,
        },
    ),
    "failed_statement": (
        """
request
  unit commit 2 statements
    SELECT nowhere error sqlite3.OperationalError FAILED
    SELECT
    COMMIT
""",
        {
            "commits": 1,
            "rollbacks": 0,
            "outcomes": {"commit": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "failed_statement_closes": (
        """
request
  unit close 1 statements for sqlite3.OperationalError error sqlite3.OperationalError FAILED
    SELECT nowhere error sqlite3.OperationalError FAILED
""",
        {
            "commits": 0,
            "rollbacks": 1,
            "outcomes": {"close": 1},
            "errors": {"sqlite3.OperationalError": 1},
            "orm_sessions": 1,
        },
    ),
    "savepoints": (
        """
request
  unit commit 6 statements 2 savepoints flushed 1/0/0
    SAVEPOINT
    INSERT deal
    RELEASE
    SAVEPOINT
    INSERT deal error sqlite3.IntegrityError FAILED
    ROLLBACK
    COMMIT
""",
        {
            "commits": 1,
            "rollbacks": 0,
            "outcomes": {"commit": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "failed_commit": (
        """
request
  unit close 1 statements flushed 1/0/0 for sqlite3.IntegrityError error sqlite3.IntegrityError FAILED
    INSERT deal
    COMMIT error sqlite3.IntegrityError FAILED
""",
        {
            "commits": 0,
            "rollbacks": 0,
            "outcomes": {"close": 1},
            "errors": {"sqlite3.IntegrityError": 1},
            "orm_sessions": 1,
        },
    ),
    "reused": (
        """
request
  unit close 1 statements
    SELECT
  unit close 1 statements
    SELECT
""",
        {
            "commits": 0,
            "rollbacks": 2,
            "outcomes": {"close": 2},
            "errors": {},
            "orm_sessions": 2,
        },
    ),
    "leaked": (
        """
request
  unit leaked 1 statements
    SELECT
""",
        {
            "commits": 0,
            "rollbacks": 1,
            "outcomes": {"leaked": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "unused": (
        """
request
""",
        {
            "commits": 0,
            "rollbacks": 0,
            "outcomes": {},
            "errors": {},
            "orm_sessions": 2,
        },
    ),
    "joined": (
        """
request
  unit commit 1 statements joined
    SELECT
""",
        {
            "commits": 0,
            "rollbacks": 0,
            "outcomes": {"commit": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "own_span": (
        """
request
  unit commit 3 statements
    SELECT
    SELECT
    COMMIT
  step
    SELECT
""",
        {
            "commits": 1,
            "rollbacks": 0,
            "outcomes": {"commit": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "later_request": (
        """
request
  unit commit 2 statements links 1
    SELECT
    COMMIT
later
  SELECT
""",
        {
            "commits": 1,
            "rollbacks": 0,
            "outcomes": {"commit": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "no_request": (
        """
request
unit commit 1 statements
  SELECT
  COMMIT
""",
        {
            "commits": 1,
            "rollbacks": 0,
            "outcomes": {"commit": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "other_thread": (
        """
request
  unit commit 1 statements
    SELECT
    COMMIT
""",
        {
            "commits": 1,
            "rollbacks": 0,
            "outcomes": {"commit": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "interleaved": (
        """
request
  unit commit 1 statements
    SELECT
    COMMIT
  unit commit 1 statements
    connect
    SELECT
    COMMIT
""",
        {
            "commits": 2,
            "rollbacks": 0,
            "outcomes": {"commit": 2},
            "errors": {},
            "orm_sessions": 2,
        },
    ),
    "scoped": (
        """
request
  unit close 1 statements
    SELECT
""",
        {
            "commits": 0,
            "rollbacks": 1,
            "outcomes": {"close": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "several_binds": (
        """
request
  unit commit 2 statements
    SELECT
    connect
    SELECT
    COMMIT
    COMMIT
""",
        {
            "commits": 2,
            "rollbacks": 0,
            "outcomes": {"commit": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "connecting": (
        """
request
  unit close 2 statements
    connect
    SELECT
  step
    connect
    SELECT
  unit close 2 statements
    SELECT
  step
    SELECT
  connect
  SELECT
""",
        {
            "commits": 0,
            "rollbacks": 4,
            "outcomes": {"close": 2},
            "errors": {},
            "orm_sessions": 2,
        },
    ),
    "unreachable": (
        """
request
  unit close 0 statements for ConnectionRefusedError error ConnectionRefusedError FAILED
    connect error ConnectionRefusedError FAILED
  connect error ConnectionRefusedError FAILED
""",
        {
            "commits": 0,
            "rollbacks": 0,
            "outcomes": {"close": 1},
            "errors": {"ConnectionRefusedError": 1},
            "orm_sessions": 1,
        },
    ),
    "without_listeners": (
        """
request
  unit commit 1 statements
    SELECT
    COMMIT
  unit close 1 statements
    SELECT
  unit commit 1 statements
    SELECT
    COMMIT
  unit close 1 statements
    SELECT
""",
        {
            "commits": 2,
            "rollbacks": 2,
            "outcomes": {"commit": 2, "close": 2},
            "errors": {},
            "orm_sessions": 2,
        },
    ),
    "next_begun_by_a_listener": (
        """
request
  unit commit 1 statements
    SELECT
    COMMIT
  unit close 1 statements
    SELECT
""",
        {
            "commits": 1,
            "rollbacks": 1,
            "outcomes": {"commit": 1, "close": 1},
            "errors": {},
            "orm_sessions": 1,
        },
    ),
    "asynchronous": (
        """
request
  unit commit 1 statements
    connect
    SELECT
    COMMIT
  unit rollback 1 statements for ValueError error ValueError FAILED
    SELECT
    ROLLBACK
  unit close 1 statements
    SELECT
""",
        {
            "commits": 1,
            "rollbacks": 2,
            "outcomes": {"commit": 1, "rollback": 1, "close": 1},
            "errors": {"ValueError": 1},
            "orm_sessions": 3,
        },
    ),
}
