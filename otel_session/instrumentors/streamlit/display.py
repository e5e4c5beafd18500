"""What an application may show of itself: its build, and who is looking at it. Each call is optional."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from otel_session import build_stamp, config, ids
from otel_session import context as here
from otel_session._guard import guarded

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+.!|<>~$:-])")


@guarded
def build_line(where: Any = None) -> None:
    """Write `Build: 512fbfe (main) - 2025-12-16 07:26:50 UTC`, or `Development` without a build stamp.

    Args:
        where: A container of Streamlit's such as `st.sidebar`; by default the place of the call.
    """
    _container(where).caption(_plain(build_stamp.build_line()))


@guarded
def panel(where: Any = None) -> None:
    """Write a small panel: the session's short id, this rerun's correlation id, the build.

    With `OTEL_SESSION_VIEWER_URL` set there is a link to the session's page, too.

    Args:
        where: A container of Streamlit's; by default the sidebar.
    """
    import streamlit

    container = streamlit.sidebar if where is None else where
    identity = here.current()
    session_id = None if identity is None else identity.session_id
    lines = [f"Session `{ids.short_id(session_id)}`" if session_id else "No session"]
    if identity is not None:
        lines.append(f"Request `{identity.correlation_id}`")
    lines.append(_plain(build_stamp.build_line()))
    if session_id and (link := session_url(session_id)):
        lines.append(f"[Open this session]({link})")
    container.caption("  \n".join(lines))


def session_url(session_id: str) -> str | None:
    """The address of a session's page in the viewer; None where `OTEL_SESSION_VIEWER_URL` is not set."""
    template = config.active().viewer_url
    return None if template is None else template.replace("{session_id}", quote(session_id, safe=""))


def _container(where: Any) -> Any:
    import streamlit

    return streamlit if where is None else where


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _MARKDOWN.sub(r"\\\1", text)
