"""A git remote's address as the web address telemetry may carry."""

from __future__ import annotations

import re

from otel_session._patterns import lazily

_MAX_LENGTH = 2048
_SCHEMES = {
    "https": "https",
    "http": "http",
    "git+https": "https",
    "git+http": "http",
    "ssh": "https",
    "git+ssh": "https",
    "ssh+git": "https",
    "git": "https",
}
_AUTHORITY = lazily(r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::(?P<port>\d*))?")
# user@host:path, as scp writes it. One letter before the colon is a Windows drive; `::` is a remote helper.
_SCP = lazily(r"(?:[^@:/\\]+@)?(?P<host>[^@:/\\\[\]]{2,}|\[[^\]]+\]):(?P<path>[^:].*)")


def repository_url(text: str | None) -> str | None:
    """The repository's web address: no credentials, no query, no `.git`.

    The semantic conventions want for `vcs.repository.url.full` the http(s) address at which a browser finds the
    repository, so `git@github.com:org/repo.git` and `ssh://…:2222/…` become `https://…` without the ssh port.

    Returns:
        The address; None for local paths and remote helpers, and for anything out of which credentials cannot be
        told apart with certainty, such as an address with an unescaped `/` or `#` in its password.
    """
    address = (text or "").strip()
    if not address or len(address) > _MAX_LENGTH or not address.isprintable() or " " in address:
        return None
    scheme, separator, rest = address.partition("://")
    if separator:
        return _from_url(scheme.lower(), rest)
    scp = _SCP.fullmatch(address)
    return _join("https", scp["host"], "", scp["path"]) if scp else None


def _from_url(scheme: str, rest: str) -> str | None:
    web = _SCHEMES.get(scheme)
    if web is None:
        return None
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    path = rest[len(authority) :]
    match = _AUTHORITY.fullmatch(authority.rpartition("@")[2])
    if match is None:
        return None
    # The port of ssh:// and git:// is not the web server's.
    port = match["port"] if web in scheme and match["port"] else ""
    return _join(web, match["host"], port, path)


def _join(scheme: str, host: str, port: str, path: str) -> str | None:
    # An @ this late is most often the end of a password that holds the very character we cut at.
    if "@" in path or "\\" in path:
        return None
    if not _AUTHORITY.fullmatch(host):
        return None
    clean = re.split(r"[?#]", path, maxsplit=1)[0].strip("/")
    clean = clean.removesuffix(".git").rstrip("/")
    if not clean:
        return None
    return f"{scheme}://{host.lower()}{':' + port if port else ''}/{clean}"
