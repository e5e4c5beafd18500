"""The public names as a user's type checker sees them. Checked by mypy, never run."""

import logging
from pathlib import Path
from typing import Any

from typing_extensions import assert_type

import otel_session
from otel_session import masking, streamlit, testing


def switched_on(app: object, engine: object) -> None:
    otel_session.instrument(app=app, engine=engine, idle_s=60, store=Path("telemetry.db"))
    otel_session.uninstrument()


def who_is_here() -> None:
    assert_type(otel_session.current_session(), str | None)
    assert_type(otel_session.get_correlation_id(), str | None)
    assert_type(otel_session.ensure_correlation_id(), str)
    assert_type(otel_session.end_session(), bool)
    with otel_session.bound_session("run-1") as identity:
        assert_type(identity.session_id, str | None)


def who_holds() -> None:
    for held in otel_session.held_connections(stacks=True):
        assert_type(held.held_s, float)
        assert_type(held.session_id, str | None)


def caught() -> None:
    with testing.captured() as telemetry:
        assert_type(testing.tree(telemetry.spans()), list[dict[str, Any]])


@otel_session.track_operation("create", metadata=lambda name: {"name": name})
def create(name: str) -> int:
    return len(name)


class Clients:
    @classmethod
    @otel_session.perf("count")
    def count(cls) -> int:
        return 0


def what_is_done() -> str:
    assert_type(create("Ada"), int)
    assert_type(Clients.count(), int)
    with otel_session.track_operation("save", metadata={"source": "form"}, logger="billing") as operation:
        operation.add_metadata({"rows": 1}, client_id=7)
        otel_session.get_logger("billing").error("save", "no", error=ValueError())
        return operation.correlation_id


def which_build() -> None:
    assert_type(otel_session.build_line(), str)
    assert_type(otel_session.build_info(), dict[str, str | bool | None])


def lines_of_a_user(handler: logging.Handler) -> None:
    otel_session.instrument(log_format="json", masked_keys=["salary"], metadata_max_chars=80)
    handler.setFormatter(otel_session.JsonFormatter(defaults={"service": "shop"}, max_message_chars=1_000))
    handler.setFormatter(otel_session.PrefixFormatter("%(levelname)s %(message)s"))
    handler.addFilter(otel_session.SessionFilter())
    assert_type(masking.mask_mapping({"token": 1}), dict[str, Any])


def on_a_page() -> None:
    project = streamlit.Selection("project", allowed=lambda item: item != "secret")
    assert_type(project.current(), str | None)
    assert_type(streamlit.session_url("a"), str | None)
    streamlit.panel()
    streamlit.build_line()
