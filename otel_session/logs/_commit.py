"""Which commit is running, as log lines show it."""

from __future__ import annotations

from otel_session._guard import report

_known: tuple[str | None, ...] = ()


def running_commit() -> str | None:
    """The commit's first seven digits, None when nobody knows. Never raises.

    Found out at the first call, in about a millisecond, and kept.
    """
    global _known
    if not _known:
        _known = (None,)  # what is said in the log while it is found out must not ask again
        try:
            # Here, because it brings the SDK's resources with it: naming a formatter must stay cheap.
            from otel_session import build_stamp

            _known = (build_stamp.running_commit(),)
        except Exception:
            report("running_commit")
    return _known[0]
