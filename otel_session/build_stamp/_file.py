"""Find and read the stamp file, and say its line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from otel_session import config
from otel_session.build_stamp._reading import read_limited
from otel_session.build_stamp._repository import folders_upwards
from otel_session.build_stamp._stamp import STAMP_NAME, BuildStamp, stamp_from
from otel_session.build_stamp._warning import warn_once
from otel_session.exceptions import ConfigError

VARIABLE = "OTEL_SESSION_BUILD_STAMP"

DEVELOPMENT = "Development"
"""What is shown where there is no stamp."""

_MAX_BYTES = 64 * 1024


def find_stamp(*, environ: Mapping[str, str] | None = None, folder: str | Path | None = None) -> Path | None:
    """Where the stamp file is.

    Looked for, first found: the path in `OTEL_SESSION_BUILD_STAMP` (which is the answer even when nothing is there);
    then, beside the main script and in the working directory, in the folder and those above it up to the top of the
    repository or project (the nearest folder with `.git`, else with `pyproject.toml`; without either the folder alone).

    Args:
        environ: Variables to read; the configuration in force by default.
        folder: Look here instead of beside the main script and in the working directory.

    Returns:
        The file, or None when there is none.
    """
    named = _named_path(environ)
    if named is not None:
        return named
    for start in start_folders(folder):
        for place in _project_folders(start):
            if os.path.isfile(place / STAMP_NAME):
                return place / STAMP_NAME
    return None


def read_stamp(
    path: str | Path | None = None, *, environ: Mapping[str, str] | None = None, folder: str | Path | None = None
) -> BuildStamp | None:
    """Read the stamp file; never raises.

    Args:
        path: The file; looked for by `find_stamp` by default.
        environ: For `find_stamp`.
        folder: For `find_stamp`.

    Returns:
        The stamp; None when there is no file, and, with one warning in the log, when it cannot be read (missing where
        it was named, no permission, over 64 KiB, no JSON object, no commit in it).
    """
    file: str | Path | None = path
    try:
        file = find_stamp(environ=environ, folder=folder) if path is None else path
        if file is None:
            return None
        values = json.loads(read_limited(Path(file), _MAX_BYTES))
        if not isinstance(values, dict):
            raise ValueError("it holds no JSON object")
        return stamp_from(values)
    except Exception as error:  # whatever a file holds, the application goes on
        reason = (error.strerror or error) if isinstance(error, OSError) else error
        said = "%s cannot be used as a build stamp: %s. The build is shown as Development."
        warn_once(str(file), said, file, reason)
        return None


def build_line(stamp: BuildStamp | None = None) -> str:
    """The build for people: `Build: 512fbfe (main) - 2025-12-16 07:26:50 UTC`, or `Development` without a stamp.

    Args:
        stamp: The stamp; by default it is looked for and read on each call (some 0.1 ms).

    Returns:
        One line; the branch or the date is left out when the stamp does not know it.
    """
    shown = stamp if stamp is not None else read_stamp()
    if shown is None:
        return DEVELOPMENT
    branch = f" ({shown.branch})" if shown.branch else ""
    date = f" - {shown.build_date}" if shown.build_date else ""
    return f"Build: {shown.commit}{branch}{date}"


def build_info(stamp: BuildStamp | None = None) -> dict[str, str | bool | None]:
    """The build as plain data for a JSON page; never raises.

    Args:
        stamp: The stamp; by default it is looked for and read on each call (some 0.1 ms).

    Returns:
        `build`, the line for people, and the keys of the stamp file; what is not known is None.
    """
    shown = stamp if stamp is not None else read_stamp()
    if shown is None:
        return {"build": DEVELOPMENT, **{field.name: None for field in fields(BuildStamp)}}
    return {"build": build_line(shown), **shown.as_dict()}


def start_folders(folder: str | Path | None) -> list[Path]:
    """Where looking for stamp and repository begins.

    The main script's folder comes before the working directory: it says whose code runs. A script counts when it ends
    in `.py` and is not an installed one, since launchers (`flask`, `gunicorn`, `pytest`) are not the application.
    """
    if folder is not None:
        return [Path(folder)]
    found: list[Path] = []
    script = sys.argv[0] if getattr(sys, "argv", None) else ""
    if script.endswith(".py") and os.path.isfile(script):
        real = Path(os.path.realpath(script))
        if not {"site-packages", "dist-packages"} & set(real.parts):
            found.append(real.parent)
    try:
        found.append(Path.cwd())
    except OSError:  # the working directory was deleted
        pass
    return found


def _project_folders(start: Path) -> list[Path]:
    places = folders_upwards(start)
    for marker in (".git", "pyproject.toml"):
        for count, place in enumerate(places, 1):
            if os.path.exists(place / marker):
                return places[:count]
    return places[:1]


def _named_path(environ: Mapping[str, str] | None) -> Path | None:
    if environ is None:
        try:
            return config.active().build_stamp
        except ConfigError:  # another setting is wrong, which is for start-up to say
            environ = config.environment()
    named = environ.get(VARIABLE, "").strip()
    return Path(os.path.expanduser(named)) if named else None
