"""A far end that fails, over HTTP and gRPC: what was within the caps arrives, and is repeated only where it must be."""

import threading
import time

import pytest

from tests.pipeline.far_end import OK, Answer, far_end
from tests.pipeline.made import TRANSPORTS, exporter_to, lines_of, made, wait_until

pytestmark = pytest.mark.parametrize("protocol", TRANSPORTS)
SPANS = 2_000
ALL = {str(number) for number in range(SPANS)}
BEGAN, AGAIN = "cannot deliver", "again, after"


def test_dead_from_the_start(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody listens: nothing is lost within the caps, all arrives once when somebody does; one line each way."""
    with far_end(protocol, up=False) as end, made(exporter_to(end.url, protocol, 0.5)) as ours:
        ours.spans(SPANS)
        wait_until(lambda: lines_of(caplog, BEGAN))
        assert ours.lane.held_count == SPANS
        end.up()
        wait_until(lambda: not ours.lane.held_count)
        assert set(end.names) == ALL
        assert (end.repeated, ours.lane.counts.resent, ours.dropped) == (0, 0, {})
        wait_until(lambda: lines_of(caplog, AGAIN))
    (said,) = lines_of(caplog, BEGAN)
    assert end.url.split("//")[1] in said
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in said
    assert " spans, for at most 600 s and 67.1 MB" in said
    assert len(lines_of(caplog, AGAIN)) == 1


def test_dies_and_returns_under_load(protocol: str) -> None:
    """A far end that goes away in the middle and comes back has every span; those twice are counted as repeated."""
    ended, stop = [0], threading.Event()

    def load() -> None:
        while not stop.is_set():
            ours.spans(20, ended[0])
            ended[0] += 20
            time.sleep(0.005)

    with far_end(protocol) as end, made(exporter_to(end.url, protocol, 0.6)) as ours:
        end.answer = Answer(delay_s=0.03)  # so that an answer is on its way when it dies
        thread = threading.Thread(target=load)
        thread.start()
        wait_until(lambda: len(end.names) > 200)
        end.down()
        time.sleep(1.0)
        end.up()
        wait_until(lambda: ours.courier.failing is None and len(end.names) > 1_000)
        stop.set()
        thread.join()
        assert ours.provider.force_flush(10_000)
        assert len(end.names) == ended[0]
        assert end.repeated <= ours.lane.counts.resent
        assert (ours.lane.counts.delivered, ours.dropped) == (ended[0], {})


def test_never_answers(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    """A far end that takes requests and says nothing: a flush is over in time and False; repeats are counted."""
    with far_end(protocol) as end, made(exporter_to(end.url, protocol, 0.4)) as ours:
        end.answer = Answer(how="never")
        ours.spans(SPANS)
        started_s = time.monotonic()
        assert not ours.provider.force_flush(200)
        assert time.monotonic() - started_s < 0.5
        wait_until(lambda: lines_of(caplog, BEGAN))
        end.answer = OK
        wait_until(lambda: not ours.lane.held_count)
        assert set(end.names) == ALL
        assert 0 < end.repeated <= ours.lane.counts.resent
    assert len(lines_of(caplog, BEGAN)) == 1


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("timeout_s", [0.4, 5.0])
def test_asks_for_a_pause(protocol: str, status: int, timeout_s: float) -> None:
    """A pause of a second that was asked for is kept, also by a flush, whether the client or the lane waits."""
    with far_end(protocol) as end, made(exporter_to(end.url, protocol, timeout_s)) as ours:
        end.answer = Answer(status, retry_after_s=1)
        ours.spans(SPANS)
        wait_until(lambda: end.at_s)
        asked = len(end.at_s)
        end.answer = OK
        ours.provider.force_flush(300)
        wait_until(lambda: not ours.lane.held_count)
        assert end.at_s[asked] - end.at_s[asked - 1] >= 0.95
        assert set(end.names) == ALL
        assert (end.repeated, ours.lane.counts.resent, ours.dropped) == (0, 0, {})


def test_refused_for_good(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    """A batch answered with 400 is dropped, counted and not sent again; the next one goes its way."""
    with far_end(protocol) as end, made(exporter_to(end.url, protocol)) as ours:
        end.answer = Answer(400)
        ours.spans(SPANS)
        assert ours.provider.force_flush()
        assert sum(ours.dropped.values()) == SPANS
        assert list(ours.dropped) == ["INVALID_ARGUMENT" if protocol == "grpc" else "400"]
        asked = len(end.at_s)
        time.sleep(0.2)
        assert len(end.at_s) == asked
        end.answer = OK
        ours.spans(1)
        assert ours.provider.force_flush()
        assert end.names == {"0": 1}
    assert "drop" in lines_of(caplog, BEGAN)[0]


def test_refuses_some(protocol: str) -> None:
    """A partial success is a success, what was refused of it is counted."""
    with far_end(protocol) as end, made(exporter_to(end.url, protocol)) as ours:
        end.answer = Answer(body=b"\n\x08\x08\x03\x12\x04none")  # partial_success {rejected: 3, error_message: none}
        ours.spans(10)
        assert ours.provider.force_flush()
        assert (ours.lane.counts.delivered, ours.dropped) == (7, {"rejected": 3})


def test_answers_slowly(protocol: str) -> None:
    """A far end that takes its time gets everything once, and ending a span does not wait for it."""
    with far_end(protocol) as end, made(exporter_to(end.url, protocol)) as ours:
        end.answer = Answer(delay_s=0.3)
        slowest_s = 0.0
        for number in range(100):
            started_s = time.monotonic()
            ours.spans(1, number)
            slowest_s = max(slowest_s, time.monotonic() - started_s)
            time.sleep(0.002)
        assert ours.provider.force_flush()
        assert len(end.names) == 100
        assert end.repeated == 0
        assert slowest_s < 0.15


def test_breaks_connections(protocol: str) -> None:
    """A connection that is closed in the middle of the answer: the batch is sent again, and counted as repeated."""
    with far_end(protocol) as end, made(exporter_to(end.url, protocol, 0.5)) as ours:
        end.answer = Answer(how="half")
        ours.spans(100)
        wait_until(lambda: ours.courier.failing is not None)
        end.answer = OK
        wait_until(lambda: not ours.lane.held_count)
        assert len(end.names) == 100
        assert 0 < end.repeated <= ours.lane.counts.resent
        assert ours.dropped == {}


def test_unknown_host(protocol: str, caplog: pytest.LogCaptureFixture) -> None:
    """A name that does not resolve: one line says so, and the spans wait."""
    with made(exporter_to("http://nowhere.invalid:4318", protocol, 0.5)) as ours:
        ours.spans(10)
        wait_until(lambda: lines_of(caplog, BEGAN), 30)
        assert ours.lane.held_count == 10
        assert "nowhere.invalid:4318" in lines_of(caplog, BEGAN)[0]
    assert len(lines_of(caplog, BEGAN)) == 1
    assert ours.dropped == {"shutdown_timeout": 10}
