"""What a Streamlit application may call; recording needs none of it.

from otel_session import streamlit as session

session.panel()
"""

from otel_session.instrumentors.streamlit.display import build_line, panel, session_url
from otel_session.instrumentors.streamlit.selection import AddressKeeper, Keeper, Selection

__all__ = ["AddressKeeper", "Keeper", "Selection", "build_line", "panel", "session_url"]
