"""CPU of one rerun that does nothing, with everything until it is in the store: prints µs without us and with us.

python -m tests.instrumentors.streamlit.cost FILE
"""

import sys
import time
from types import SimpleNamespace
from typing import Any

from opentelemetry import trace
from streamlit import runtime
from streamlit.runtime.scriptrunner import script_runner
from streamlit.runtime.scriptrunner_utils.script_requests import RerunData

import otel_session
from otel_session import visits
from otel_session.instrumentors.streamlit.causes import Asked, asked

USERS, RUNS, ROUNDS = 50, 5_000, 5


def _client() -> Any:
    now = int(time.time())
    cookie = visits.Visit(visits.new_visit(now).secret, now - 100, now - 20).cookie_value()
    headers = [("Host", "localhost"), ("Cookie", f"otel_session={cookie}; theme=dark")]

    class Client:
        client_context = SimpleNamespace(headers=headers, remote_ip="127.0.0.1")

    return Client()


def _context(number: int) -> Any:
    pages = SimpleNamespace(get_pages=lambda: {"hash": {"url_pathname": "orders"}})
    return SimpleNamespace(
        session_id=str(number), page_script_hash="hash", pages_manager=pages, user_info={}, on_script_error=None
    )


def main() -> None:
    """Measure."""
    clients = [_client() for _ in range(USERS)]
    served: Any = SimpleNamespace(get_client=lambda app_session_id: clients[int(app_session_id)])
    runtime.exists = lambda: True
    runtime.get_instance = lambda: served
    contexts = [_context(number) for number in range(USERS)]
    data = RerunData()

    def best_us() -> float:
        return min(_round_us(contexts, data) for _ in range(ROUNDS))

    before = best_us()
    otel_session.instrument(store=sys.argv[1])
    print(before, best_us())


def _round_us(contexts: list[Any], data: RerunData) -> float:
    run = script_runner.exec_func_with_error_handling
    began = time.process_time()
    for number in range(RUNS):
        token = asked.set(Asked(data))
        run(lambda: None, contexts[number % USERS])
        asked.reset(token)
    flush: Any = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is not None:
        flush()
    return (time.process_time() - began) / RUNS * 1e6


if __name__ == "__main__":
    main()
