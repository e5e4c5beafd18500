"""How often the script ran, counted by itself: a line in `COUNT_FILE` for each run, of the whole or of a fragment."""

import os

import streamlit as st


def count_run() -> None:
    """To be called first in the script."""
    st.session_state.runs = st.session_state.get("runs", 0) + 1
    _write("script")


def count_fragment(name: str) -> None:
    """To be called first in a fragment: counts where it runs by itself, not as a part of the script's run."""
    seen = st.session_state.setdefault("seen", {})
    if seen.get(name) == st.session_state.runs:
        _write(name)
    seen[name] = st.session_state.runs


def count_callback() -> None:
    """To be called in a callback that fails: the script does not run then."""
    _write("callback")


def _write(what: str) -> None:
    with open(os.environ["COUNT_FILE"], "a") as file:
        file.write(f"{what}\n")
