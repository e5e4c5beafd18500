"""Virtual environments for tests: other versions of libraries, and the built wheel as a user installs it.

An environment's libraries are kept between runs, in a cache folder outside of the checkout; the wheel is built once a
run, and installed anew where it is another one than last time.
"""

import fcntl
import functools
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "otel-session"


@functools.cache
def wheel() -> pathlib.Path:
    """The project's wheel, built from the checkout."""
    folder = tempfile.mkdtemp(prefix="otel-session-wheel-")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, str(ROOT)]
    _run(build)
    return next(pathlib.Path(folder).glob("*.whl"))


@functools.cache
def python_with(*requirements: str, extras: str = "", python: str = sys.executable, bare: bool = False) -> pathlib.Path:
    """The Python of an environment that has these requirements and our wheel with these extras, and nothing else.

    Args:
        requirements: As for pip: `flask==2.3.*`.
        extras: Of ours: `flask,sqlalchemy`.
        python: The interpreter to make it with.
        bare: Without our wheel: to compare with.
    """
    key = "\n".join((python, extras, *sorted(requirements), *(["bare"] if bare else [])))
    key = hashlib.sha256(key.encode()).hexdigest()[:16]
    folder = CACHE / "environments" / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = folder / "bin" / "python"
        ready = folder / ".ready"
        built = hashlib.sha256(wheel().read_bytes()).hexdigest()
        if not ready.exists():
            _run([python, "-m", "venv", "--clear", str(folder)])
        spec = f"{wheel()}[{extras}]" if extras else str(wheel())
        if not ready.exists():
            _run([str(made), "-m", "pip", "install", "--quiet", *([] if bare else [spec]), *requirements])
            ready.write_text(built)
        if not bare and ready.read_text() != built:
            _run([str(made), "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", str(wheel())])
            ready.write_text(built)
    return made


def interpreter(version: str) -> str | None:
    """The path of another CPython such as `3.10`, when this machine has one."""
    for candidate in (f"python{version}", *(str(p) for p in _pyenv(version))):
        try:
            done = subprocess.run(
                [candidate, "-c", "import sys; print(sys.executable, '%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
                timeout=30,
            )
        except OSError:
            continue
        words = done.stdout.split()
        if done.returncode == 0 and words[-1:] == [version]:
            return words[0]
    return None


def _pyenv(version: str) -> list[pathlib.Path]:
    root = pathlib.Path(os.environ.get("PYENV_ROOT") or pathlib.Path.home() / ".pyenv")
    return sorted(root.glob(f"versions/{version}.*/bin/python"))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
