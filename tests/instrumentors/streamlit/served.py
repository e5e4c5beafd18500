"""Streamlit servers in processes of their own, with the instrumentor and without, for clients and browsers."""

import contextlib
import pathlib
import sys
from collections.abc import Iterator

from tests.started import Started, started

ROOT = pathlib.Path(__file__).resolve().parents[3]
HERE = pathlib.Path(__file__).resolve().parent
EXAMPLE = ROOT / "examples" / "streamlit_app" / "app.py"
WIDGETS = HERE / "widgets_app" / "app.py"
PYTHON = pathlib.Path(sys.executable)
# Nothing of the user's, of this machine's, or of the day.
SETTINGS = ("--server.headless=true", "--server.address=127.0.0.1", "--browser.gatherUsageStats=false")
# So that what a browser did is in the store soon, even if the server is killed.
SOON = {"OTEL_BSP_SCHEDULE_DELAY": "200", "OTEL_BLRP_SCHEDULE_DELAY": "200"}


@contextlib.contextmanager
def streamlit(
    folder: pathlib.Path, *words: str, instrumented: bool = True, port: int = 0, **variables: str
) -> Iterator[Started]:
    """Run `streamlit …` as its users do, started by `opentelemetry-instrument` or plainly."""
    prefix = ("opentelemetry-instrument",) if instrumented else ()
    command = (*prefix, "streamlit", *words, "--server.port={port}", *SETTINGS)
    with started(PYTHON, folder, *command, port=port, **{**SOON, **variables}) as server:
        yield server
