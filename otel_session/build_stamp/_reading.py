"""Read a small regular file without ever blocking, or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

# Without O_NONBLOCK, opening a named pipe waits for a writer for ever.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def read_limited(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file.

    Args:
        path: The file; symbolic links are followed.
        max_bytes: Largest size that is read, in bytes.

    Raises:
        OSError: It cannot be opened or read.
        ValueError: It is not a regular file, is larger than `max_bytes`, or its name cannot be a path.
    """
    descriptor = os.open(path, _FLAGS)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is not a regular file")
        parts: list[bytes] = []
        left = max_bytes + 1
        while left and (part := os.read(descriptor, min(left, 1 << 20))):
            parts.append(part)
            left -= len(part)
        if not left:
            raise ValueError(f"it is larger than {max_bytes} bytes")
        return b"".join(parts)
    finally:
        os.close(descriptor)


def read_or_none(path: Path, max_bytes: int) -> bytes | None:
    """Like `read_limited`, but None for whatever cannot be read."""
    try:
        return read_limited(path, max_bytes)
    except (OSError, ValueError):
        return None
