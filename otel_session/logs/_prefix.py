"""The short session id in front of each line (feature A2): `[a1b2c3d4] PERF: get_current_positions took 0.15s`."""

from __future__ import annotations

import logging

from otel_session._guard import report
from otel_session.logs._origin import whose


class PrefixFormatter(logging.Formatter):
    r"""Formats as `logging.Formatter` does and puts `[short id] ` in front of every line, `[-] ` where none is known.

    Every line of a message or traceback has it, so that `grep '\[a1b2c3d4\]'` finds all of it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The formatted text with the prefix."""
        return with_prefix(super().format(record), record)


def with_prefix(written: str, record: logging.LogRecord) -> str:
    r"""A record's formatted text, the short session id in front of each line. Never raises.

    NUL is written as `\x00`, since `grep` would take the file for a binary one; what has no UTF-8 as `\udXXX`.
    """
    try:
        prefix = whose(record)[0].prefix
        if not written.isascii():
            written = written.encode("utf-8", "backslashreplace").decode()
        if "\0" in written:
            written = written.replace("\0", "\\x00")
        return prefix + (written.replace("\n", "\n" + prefix) if "\n" in written else written)
    except Exception:
        report("with_prefix")
        return written
