"""Times as people read and type them. Everything here is whole nanoseconds unless it says otherwise."""

from __future__ import annotations

import argparse
import re
from datetime import datetime, timedelta, timezone

MS = 1_000_000
SECOND = 1_000_000_000

_SPAN = re.compile(r"(\d+)(ms|s|m|h|d|w)")
_UNITS = {"ms": MS, "s": SECOND, "m": 60 * SECOND, "h": 3600 * SECOND, "d": 86_400 * SECOND, "w": 604_800 * SECOND}


def duration(ns: int) -> str:
    """`812 µs`, `12.3 ms`, `1.24 s`, `2 min 05 s`, `1 h 02 min`, `3 d 04 h`: three digits or two units."""
    if ns < 0:
        return "-" + duration(-ns)
    if ns < 999_500:
        return f"{round(ns / 1_000)} µs" if ns >= 1_000 or ns == 0 else f"{ns} ns"
    if ns < 999_500_000:
        return f"{_three_digits(ns / MS)} ms"
    if ns < 59_950_000_000:
        return f"{_three_digits(ns / SECOND)} s"
    return _two_units(round(ns / SECOND))


def _three_digits(number: float) -> str:
    if number < 9.995:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 99.95 else f"{number:.0f}"


def _two_units(seconds: int) -> str:
    if seconds < 3_600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 1_440:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24:02d} h"


def offset(ns: int) -> str:
    """Time since the session began, cut: `+0:03.217`, `+12:03.217`, `+1:02:03`, `+2d 01:02`."""
    sign, ms = ("-", -ns // MS) if ns < 0 else ("+", ns // MS)
    seconds = ms // 1_000
    if seconds < 3_600:
        return f"{sign}{seconds // 60}:{seconds % 60:02d}.{ms % 1_000:03d}"
    if seconds < 86_400:
        return f"{sign}{seconds // 3_600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{sign}{seconds // 86_400}d {seconds // 3_600 % 24:02d}:{seconds // 60 % 60:02d}"


def local(ns: int) -> datetime:
    """A moment in this machine's time zone, to the microsecond; the nearest one a calendar has, if it has none."""
    try:
        moment = datetime.fromtimestamp(ns // SECOND, timezone.utc) + timedelta(microseconds=ns % SECOND // 1_000)
        return moment.astimezone()
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=timezone.utc)


def local_text(ns: int) -> str:
    """`2026-11-21 09:12:03`, in this machine's time zone."""
    return f"{local(ns):%Y-%m-%d %H:%M:%S}"


def utc_text(ns: int) -> str:
    """RFC 3339 in UTC with microseconds: `2026-11-21T08:12:03.123456Z`."""
    return local(ns).astimezone(timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def parse_span(text: str) -> int:
    """Nanoseconds of `500ms`, `90s`, `30m`, `1h`, `2d` or `1h30m`; an argparse type.

    Raises:
        argparse.ArgumentTypeError: The text is not such a time span; the message says how to write one.
    """
    parts = _SPAN.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text or len(text) > 20:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a time span; write for example 30m, 1h, 2d or 500ms")
    return sum(int(number) * _UNITS[unit] for number, unit in parts)


def parse_count(text: str) -> int:
    """A whole number from 1 to a million; an argparse type.

    Raises:
        argparse.ArgumentTypeError: The text is no such number.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 7 and 1 <= int(text) <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1 to 1000000")
    return int(text)
