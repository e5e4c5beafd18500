"""SQLAlchemy's own tests: they are in its source distribution, which is kept in the cache folder."""

import fcntl
import pathlib
import subprocess
import sys
import tarfile
import tempfile

from tests.environments import CACHE, python_with

VERSIONS = {"2.1": "sqlalchemy==2.1.*", "2.0": "sqlalchemy==2.0.*"}
_TESTERS = ("pytest<10",)
_ASYNC = ("greenlet", "aiosqlite")


def python_for(version: str, *, greenlet: bool = True) -> pathlib.Path:
    """An environment with one version of SQLAlchemy, its test tools and our wheel."""
    return python_with(VERSIONS[version], *_TESTERS, *(_ASYNC if greenlet else ()))


def tests_of(python: pathlib.Path) -> pathlib.Path:
    """The folder of the sources of the SQLAlchemy that this Python has."""
    asked = [str(python), "-I", "-c", "import sqlalchemy; print(sqlalchemy.__version__)"]
    version = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    folder = CACHE / "sources" / f"sqlalchemy-{version}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _fetch(version, folder.parent)
    return folder


def _fetch(version: str, into: pathlib.Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        download = ("download", "--quiet", "--no-deps", "--no-binary", "sqlalchemy", f"sqlalchemy=={version}")
        subprocess.run([sys.executable, "-m", "pip", *download, "--dest", scratch], check=True)
        (archive,) = pathlib.Path(scratch).glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(scratch, filter="data")
        (found,) = (one for one in pathlib.Path(scratch).glob("*/") if (one / "test").is_dir())
        copied = into / f".{version}"
        subprocess.run(["cp", "-r", str(found), str(copied)], check=True)  # `rename` alone stays on one file system
        copied.rename(into / f"sqlalchemy-{version}")
