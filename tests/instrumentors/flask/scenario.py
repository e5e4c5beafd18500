"""One visit to a Flask application, told as JSON: run by the interpreters of other versions, with nothing but Flask."""

import json
import time
from typing import Any, ClassVar

import flask
from flask.sessions import SecureCookieSession, SessionInterface

import otel_session
from otel_session import testing, visits

OWN = ("session_store.", "http.", "error.", "otel_session.")


class Store(SessionInterface):
    """A server-side session, in a dictionary."""

    kept: ClassVar[dict[str, Any]] = {}

    def open_session(self, app: Any, request: Any) -> Any:
        """What was kept."""
        return SecureCookieSession(self.kept)

    def save_session(self, app: Any, session: Any, response: Any) -> None:
        """Keep it."""
        Store.kept = dict(session)


def make_app() -> flask.Flask:
    """Pages of every kind."""
    app = flask.Flask("scenario")
    app.session_interface = Store()

    @app.get("/deals/<int:deal_id>")
    def deal(deal_id: int) -> str:
        app.logger.warning("deal")
        flask.session["last"] = deal_id
        return "deal"

    @app.get("/fail")
    def fail() -> str:
        raise LookupError("no such deal")

    @app.get("/stream")
    def stream() -> Any:
        return flask.Response(flask.stream_with_context(str(otel_session.current_session()) for _ in range(2)))

    @app.errorhandler(KeyError)
    def handled(error: KeyError) -> Any:
        return "handled", 200

    @app.get("/handled")
    def raises() -> str:
        raise KeyError("a")

    return app


def node(tree: dict[str, Any]) -> dict[str, Any]:
    """A span without what differs between runs."""
    told = {k: v for k, v in tree["attributes"].items() if k.startswith(OWN)}
    children = [node(child) for child in tree["children"]]
    return {"name": tree["name"], "kind": tree["kind"], "status": tree["status"], "told": told, "children": children}


def visit(telemetry: testing.Captured) -> dict[str, Any]:
    """A browser's visit, and one whose cookie has expired."""
    app = make_app()
    client = app.test_client()
    answers = [client.get(p) for p in ("/deals/7", "/none", "/fail", "/handled", "/stream")]
    body = answers[-1].text
    session_ids = {s.attributes["session.id"] for s in telemetry.spans()}
    old = visits.Visit(b"0123456789abcdef", int(time.time()) - 9_000, int(time.time()) - 5_000)
    app.test_client(use_cookies=False).get(
        "/none", environ_overrides={"HTTP_COOKIE": f"otel_session={old.cookie_value()}"}
    )
    returned = [a.headers["X-Correlation-ID"] for a in answers]
    roots = testing.tree(telemetry.spans())
    return {
        "statuses": [a.status_code for a in answers],
        "cookies": [len(a.headers.getlist("Set-Cookie")) for a in answers],
        "correlation ids are those of the spans": returned
        == [r["attributes"]["correlation.id"] for r in roots[: len(answers)]],
        "one session": len(session_ids) == 1 and body == "".join(session_ids) * 2,
        "previous id": roots[-1]["attributes"].get("session.previous_id") == old.session_id,
        "logs with ids": sum("session.id" in (r.log_record.attributes or {}) for r in telemetry.logs()),
        "events": [r.log_record.event_name for r in telemetry.logs() if r.log_record.event_name],
        "active": sum(p.value for p in telemetry.points("http.server.active_requests")),
        "spans": [node(r) for r in roots],
    }


def main() -> None:
    """Print what was recorded."""
    with testing.captured() as telemetry:
        otel_session.instrument(**telemetry.providers)
        told = visit(telemetry)
        otel_session.uninstrument()
    print(json.dumps(told))


if __name__ == "__main__":
    main()
