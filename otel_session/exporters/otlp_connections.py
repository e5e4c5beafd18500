"""Connections to a far end that a child process has from its parent: they are left as they are, and made anew."""

from __future__ import annotations

import threading
from typing import Any

_abandoned: list[Any] = []


def renew_connections(exporter: Any) -> None:
    """Let an official HTTP exporter make connections of its own in a child process.

    The parent's are left as they are: closing them takes locks that the fork may have left taken.
    """
    transport: Any = getattr(getattr(exporter, "_client", None), "_transport", None)
    transport = getattr(transport, "_transport", transport)
    pools: Any = getattr(transport, "_pool", None)
    if hasattr(pools, "connection_pool_kw"):  # urllib3's transport
        _abandoned.append(pools)
        transport._pool = type(pools)(**pools.connection_pool_kw)
        return
    adapters = getattr(getattr(transport, "_session", None), "adapters", {})
    cookies: Any = getattr(getattr(transport, "_session", None), "cookies", None)
    if hasattr(cookies, "_cookies_lock"):
        cookies._cookies_lock = threading.RLock()
    for adapter in adapters.values():
        try:
            _abandoned.append(adapter.poolmanager)
            adapter.init_poolmanager(adapter._pool_connections, adapter._pool_maxsize, block=adapter._pool_block)
            adapter.proxy_manager = {}
        except AttributeError:  # an adapter of the user's own
            continue
