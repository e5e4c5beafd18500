"""The bounded cache."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_session.wire.cache import ENTRY_OVERHEAD, GenerationCache

from . import strategies as our


def make(max_entries: int = 8, max_bytes: int = 1 << 20) -> GenerationCache[object, bytes]:
    return GenerationCache(max_entries=max_entries, max_bytes=max_bytes, measure=len)


@pytest.mark.parametrize(("max_entries", "max_bytes"), [(6, 1 << 20), (1000, 6000), (8, 4000)])
@our.fewer
@given(st.lists(st.tuples(st.integers(0, 40), st.binary(min_size=100, max_size=600)), min_size=20))
def test_neither_bound_is_ever_passed(max_entries, max_bytes, puts):
    """Entries and charged bytes of both generations stay within what was allowed, whatever is put."""
    cache = make(max_entries, max_bytes)
    for key, value in puts:
        cache.put(key, value)
        held = [*cache.young.values(), *cache._old.values()]
        assert len(cache) == len(held) <= max_entries
        assert sum(2 * len(item) + ENTRY_OVERHEAD for item in held) <= max_bytes
        assert cache.young_bytes == sum(2 * len(item) + ENTRY_OVERHEAD for item in cache.young.values())


@our.many
@given(st.lists(st.integers(0, 20)))
def test_it_gives_what_was_put_or_nothing(keys):
    """A look-up never gives another key's value."""
    cache = make()
    for key in keys:
        assert cache.get(key) in (None, b"%d" % key)
        cache.put(key, b"%d" % key)
        assert cache.get(key) == b"%d" % key


def test_what_is_in_use_survives_a_flood():
    """An entry read now and then stays while ten thousand others pass; an entry not read leaves."""
    cache = make()
    cache.put("used", b"1")
    cache.put("unused", b"2")
    for number in range(10_000):
        cache.put(number, b"x")
        if number % 3 == 0:
            assert cache.get("used") == b"1"
    assert cache.get("unused") is None


def test_a_value_larger_than_the_cache_is_not_kept():
    """One huge value does not empty the cache."""
    cache = make(max_bytes=2000)
    cache.put("small", b"1")
    cache.put("huge", b"x" * 5000)
    assert (cache.get("huge"), cache.get("small")) == (None, b"1")


def test_nobody_waits_for_a_writer():
    """While one thread writes, another's `put` gives up at once and its `get` still answers."""
    cache = make()
    cache.put("a", b"1")
    with cache._lock:
        worker = threading.Thread(target=lambda: (cache.put("b", b"2"), seen.append(cache.get("a"))))
        seen: list[bytes | None] = []
        worker.start()
        worker.join(5)
        assert not worker.is_alive()
    assert seen == [b"1"]
    assert cache.get("b") is None


FORK_WITH_THE_LOCK_HELD = """
import os
from otel_session.wire.cache import GenerationCache
cache = GenerationCache(max_entries=8, max_bytes=4096, measure=len)
cache._lock.acquire()
if pid := os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
cache.put("first", b"1")
cache.put("second", b"2")
os._exit(0 if cache.get("second") == b"2" else 1)
"""


def test_a_child_forked_while_a_thread_was_writing_caches_again():
    """The lock a child inherits locked, with nobody to open it, is replaced at the first attempt."""
    assert hasattr(os, "fork")
    done = subprocess.run([sys.executable, "-c", FORK_WITH_THE_LOCK_HELD], timeout=30, check=False)
    assert done.returncode == 0
