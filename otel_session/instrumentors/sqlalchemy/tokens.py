"""How each database family writes comments, strings and names: one regular expression a family.

Where a text could be read in two ways (a backslash before a quote, a nested comment), reading stops at that place:
better a cut text than a literal taken for SQL.
"""

from __future__ import annotations

import re

from otel_session._patterns import lazily

_POSTGRESQL = frozenset({"postgresql", "aws.redshift", "cockroachdb", "duckdb", "yugabytedb"})
_MYSQL = frozenset({"mysql", "mariadb"})

_NESTED_COMMENT = r"(?P<comment> --[^\r\n]* | /\*(?:(?!/\*|\*/).)*\*/ ) | (?P<stop> /\* {more} )"
_PLAIN_COMMENT = r"(?P<comment> --[^\n]* | /\*.*?(?:\*/|\Z) ) | (?P<stop> (?!) {more} )"
_MYSQL_COMMENT = (  # what stands in /*! … */ is SQL
    r"(?P<stop> /\*M?! {more} ) | (?P<comment> --(?=\s|\Z)[^\n]* | \#[^\n]* | /\*.*?(?:\*/|\Z) )"
)
_PERCENT = r"| %\([^)]{0,128}['\"]"  # a bound name with a quote in it, or a remainder
_QUOTES = r"(?P<string> (?:\b[EeNnBbXx]|\b[Uu]&)? '[^']*(?:''[^']*)*(?:'|\Z) {more} )"
_DOLLAR = r"| \$(?P<tag>[^\W\d]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)"
_ORACLE = (  # q'[it's]'
    r"| [nN]?[qQ]'(?:\[.*?(?:\]'|\Z)|\{.*?(?:\}'|\Z)|\(.*?(?:\)'|\Z)|<.*?(?:>'|\Z)|(?P<q>[^\s\[{(<]).*?(?:(?P=q)'|\Z))"
)
_DOUBLE = r'"[^"]*(?:""[^"]*)*(?:"|\Z)'
_BACKTICK = r"`[^`]*(?:``[^`]*)*(?:`|\Z)"
_BRACKETS = r"\[[^\]]*(?:\]\][^\]]*)*(?:\]|\Z)"
_REST = r"""
    | (?P<bound>  %\([^)'"]{{0,128}}\)s | %s | (?<!:):[A-Za-z_]\w* | @[A-Za-z_]\w* {more} )
    | (?P<number> \.?\d[\w.]*(?:(?<=[eE])[+-]\d\w*)? )
    | (?P<word>   [^\W\d][\w$]* )
    | (?P<mark>   [(),.;=] )
"""


def _compile(comment: str, strings: str, quoted: str, bound: str) -> re.Pattern[str]:
    return lazily("|".join((comment, strings, quoted)) + _REST.format(more=bound), re.VERBOSE | re.DOTALL)


_FAMILIES = {
    "postgresql": _compile(
        _NESTED_COMMENT.format(more=_PERCENT), _QUOTES.format(more=_DOLLAR), f"(?P<name> {_DOUBLE} )", r"| \$\d+"
    ),
    "mysql": _compile(
        _MYSQL_COMMENT.format(more=_PERCENT),
        _QUOTES.format(more=f"| {_DOUBLE}"),
        f"(?P<name> {_BACKTICK} )",
        r"| \?",
    ),
    "sqlite": _compile(
        _PLAIN_COMMENT.format(more=""),
        _QUOTES.format(more=""),
        rf"(?P<name> {_BACKTICK} | \[[^\]]*(?:\]|\Z) ) | (?P<either> {_DOUBLE} )",
        r"| \?\d* | :\d+ | \$\w+",
    ),
    "oracle.db": _compile(
        _PLAIN_COMMENT.format(more=_PERCENT),
        _QUOTES.format(more=_ORACLE),
        f"(?P<name> {_DOUBLE} )",
        r"| \? | :\d+",
    ),
    "microsoft.sql_server": _compile(
        _NESTED_COMMENT.format(more=_PERCENT),
        _QUOTES.format(more=""),
        f"(?P<name> {_BRACKETS} ) | (?P<either> {_DOUBLE} )",
        r"| \?",
    ),
    "": _compile(
        _NESTED_COMMENT.format(more=_PERCENT + r"""| \#  | \$\w*\$ | ''' | \"\"\" | \b[qQ]'"""),
        _QUOTES.format(more=""),
        f"(?P<name> {_BACKTICK} ) | (?P<either> {_DOUBLE} )",
        r"| \? | :\d+ | \$\d+",
    ),
}
_BACKSLASH = lazily(r"\\['\"`]")


def pattern_of(system: str) -> re.Pattern[str]:
    """The pattern for a `db.system.name`; a cautious one for those not known.

    Its groups: comment, stop (reading ends here), string, name (quoted), either (a quoted name or a string), bound
    (a placeholder), number, word, mark.
    """
    if system in _POSTGRESQL:
        return _FAMILIES["postgresql"]
    if system in _MYSQL:
        return _FAMILIES["mysql"]
    return _FAMILIES.get(system) or _FAMILIES[""]


def readable(sql: str, most: int) -> tuple[str, bool]:
    """The part of a text that can be read safely, at most `most` characters, and whether something was left out.

    Whether a backslash escapes a quote depends on the server's settings: nothing after the first is read.
    """
    start = sql[:most]
    escaped = _BACKSLASH.search(start)
    if escaped is not None:
        return start[: escaped.start()], True
    return start, len(sql) > most
