"""No fork in the middle of a gRPC call, and no long wait for one."""

import os
import threading
import time

from otel_session.exporters.grpc_forks import Calls


def _in_child(check: object) -> int:
    child = os.fork()
    if child == 0:
        os._exit(0 if check() else 1)  # type: ignore[operator]
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_a_fork_waits_for_a_call_and_holds_the_next() -> None:
    """The fork comes after the call under way, and a call that begins meanwhile comes after the fork."""
    calls, order = Calls(), []
    inside, forked = threading.Event(), threading.Event()

    def call() -> None:
        with calls:
            inside.set()
            time.sleep(0.1)
            order.append("called")

    def call_later() -> None:
        forked.wait(5)
        with calls:
            order.append("called later")

    threads = [threading.Thread(target=call), threading.Thread(target=call_later)]
    for thread in threads:
        thread.start()
    assert inside.wait(5)
    calls.before_fork()
    forked.set()
    time.sleep(0.05)
    order.append("forked")
    calls.after_fork_in_parent()
    for thread in threads:
        thread.join(5)
    assert order == ["called", "forked", "called later"]


def test_a_call_that_hangs_is_not_waited_for() -> None:
    """A far end that never answers holds a fork for half a second, not for the export's time-out."""
    calls = Calls()
    calls.__enter__()
    began_s = time.monotonic()
    calls.before_fork()
    assert 0.4 < time.monotonic() - began_s < 2
    calls.after_fork_in_parent()
    calls.__exit__()


def test_the_child_begins_anew() -> None:
    """Whatever was under way in the parent, a call in the child begins at once."""
    calls = Calls()
    calls.__enter__()

    def works() -> bool:
        calls.after_fork_in_child()
        began_s = time.monotonic()
        with calls:
            return time.monotonic() - began_s < 0.3

    assert _in_child(works) == 0
    calls.__exit__()
