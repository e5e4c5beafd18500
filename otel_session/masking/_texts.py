"""Texts without secrets, no longer than wanted, and such as UTF-8 can hold."""

from __future__ import annotations

import re
from typing import Any

from otel_session import scrub
from otel_session._patterns import lazily
from otel_session.scrub import MASK

UNREADABLE = "(its text could not be read)"
CUT_NOTE = "… (cut, {:,} characters)"
_CUT, _NOTE_CHARS = " characters)", 40  # what was cut already is not cut again
_SLACK = 512  # a secret that begins within what is kept is recognised with so many more characters


_SCHEME = lazily(
    r"\b(Bearer|Token|ApiKey|Negotiate)(\s+)[\w.~+/-]{8,}=*"
    r"|\b(Basic|Digest)(\s+)(?=\S*(?:[\d=]|(?-i:[a-z][A-Z])))[A-Za-z0-9+/]{8,}=*",
    re.IGNORECASE,
)
_SHAPED = lazily(
    r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"  # a JSON web token
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|[sr]k_(?:live|test)_|xox[abeoprs]-)[\w-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
# `'api_key': 'x'` and `api_key=x`, as reprs, queries and headers write them.
_NAMED = lazily(
    r"(?<![\w.-])([\w.-]{0,64}(?:passw(?:or)?d|passphrase|secret|token|api[-_]?key|private[-_]?key|"
    r"authorization|cookie|csrf)[\w.-]{0,64})"
    r"([\"']\s{0,9}[:=]\s{0,9}|\s{0,9}=\s{0,9})(?!\[redacted\])(\"[^\"]*(?:\"|\Z)|'[^']*(?:'|\Z)|[^\s,;&)}\]\"']+)",
    re.IGNORECASE,
)
_DIGITS = lazily(r"(?<![\w.-])[2-6](?:[ -]?\d){12,18}(?![\w-])")
_CARD = lazily(
    r"4\d{12}(?:\d{3}){0,2}|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}|35\d{14}"
    r"|6\d{15}(?:\d{3})?"
)

# Looked for before the pattern is tried.
_SHAPES = ("eyJ", "AKIA", "ASIA", "gh", "glpat-", "k_", "xox", "PRIVATE KEY")


def text_of(value: Any, max_chars: int) -> str:
    """Any value's text, secrets masked, at most `max_chars` and a note that tells its length. Never raises."""
    try:
        written = value if type(value) is str else str.__str__(str(value))
        return clean_text(written, max_chars)
    except Exception:
        return UNREADABLE


def clean_text(text: str, max_chars: int) -> str:
    """A text without secrets, lone surrogates as `?`, at most `max_chars` and a note that tells its length."""
    length = len(text)
    if length <= _SHORT and length <= max_chars:
        return _known.get(text) or _short(text)
    if length > max_chars and not (length <= max_chars + _NOTE_CHARS and text.endswith(_CUT)):
        return _masked(text[: max_chars + _SLACK])[:max_chars] + CUT_NOTE.format(length)
    return _masked(text)


_SHORT = 64
_known: dict[str, str] = {}  # short texts come again and again: names of clients, words for states
_KNOWN_MOST = 2_000


def _short(text: str) -> str:
    made = _masked(text)
    if len(_known) >= _KNOWN_MOST:
        _known.clear()
    _known[text] = made
    return made


def is_card_number(digits: str) -> bool:
    """Whether these digits have the length, the beginning and the check digit of a payment card's number."""
    if _CARD.fullmatch(digits) is None:
        return False
    doubled = [2 * int(digit) for digit in digits[-2::-2]]
    total = sum(int(digit) for digit in digits[-1::-2]) + sum(d - 9 if d > 9 else d for d in doubled)
    return total % 10 == 0


def _masked(text: str) -> str:
    if not text.isascii():  # a lone surrogate, as in names of files, has no UTF-8
        text = text.encode("utf-8", "replace").decode()
    if len(text) < _SHORTEST:
        return text
    text = scrub.text(text)
    if len(text) >= _SHORTEST_SHAPE:
        if any([shape in text for shape in _SHAPES]):  # noqa: C419 - quicker
            text = _SHAPED.sub(MASK, text)
        text = _SCHEME.sub(_without_credentials, text)
    if "=" in text or ":" in text:
        text = _NAMED.sub(rf"\1\2{MASK}", text)
    return _DIGITS.sub(_without_card, text) if len(text) > _SHORTEST_CARD else text


_SHORTEST = 6  # `pwd=x1`
_SHORTEST_CARD = 12
_SHORTEST_SHAPE = 14  # `Basic dTpwYXNz`


def _without_credentials(match: re.Match[str]) -> str:
    return f"{match[1] or match[3]}{match[2] or match[4]}{MASK}"


def _without_card(match: re.Match[str]) -> str:
    return MASK if is_card_number(re.sub("[ -]", "", match[0])) else match[0]
