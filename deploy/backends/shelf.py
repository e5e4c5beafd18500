"""The cache folder: what is built stands there whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


class Shelf:
    """A folder of built programs, shared by every checkout and every run of one user.

    Beside the program `otelcol` lies `otelcol.inputs`: the digest of what it was built from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, name: str, inputs: str) -> bool:
        """Tell whether the program stands here, built from these inputs."""
        try:
            kept = (self.folder / f"{name}.inputs").read_text(encoding="ascii")
        except OSError:
            return False
        return kept == inputs and os.access(self.folder / name, os.X_OK)

    @contextlib.contextmanager
    def turn(self, name: str) -> Iterator[None]:
        """Wait until no other run builds this program, and keep the others waiting meanwhile.

        The kernel lets go of the lock when a process dies, so a killed build blocks nobody.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / f".{name}.lock", "w", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{name}: another run is building it, waiting ...", flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def workshop(self, name: str) -> Iterator[Path]:
        """Give an empty folder to build in, on the shelf's own file system; needs the turn."""
        for left_by_a_killed_run in self.folder.glob(f".{name}-*"):
            shutil.rmtree(left_by_a_killed_run, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=self.folder) as work:
            yield Path(work)

    def keep(self, name: str, inputs: str, built: Path) -> int:
        """Move a finished program onto the shelf in one step; return its size in bytes.

        The digest goes last and away first: whatever moment a kill hits, a digest never stands beside a program
        that was built from something else.
        """
        digest = self.folder / f"{name}.inputs"
        digest.unlink(missing_ok=True)
        os.replace(built, self.folder / name)
        fresh = built.with_suffix(".inputs")
        fresh.write_text(inputs, encoding="ascii")
        os.replace(fresh, digest)
        return (self.folder / name).stat().st_size
