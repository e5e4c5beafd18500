"""What is written the short way waits for others and is encoded with them: all of it arrives, once, in time."""

import os
import random
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from otel_session import context as here
from otel_session.wire import span_ids
from otel_session.wire.encoders import WAITING_MOST, Branch, Encoder
from otel_session.wire.identities import encode_as_it_was, encode_for_span
from tests.wire.test_workers import ORIGIN, Ours, until


def _encode(one: tuple[Any, ...], looked_up: bool) -> tuple[Any, bytes]:
    assert not looked_up
    return None, one[2]


class Encoding:
    """An encoder whose one lane goes to a consumer that keeps what it gets."""

    def __init__(self, linger_s: float = 30.0, **limits: Any) -> None:
        self.ours = Ours(linger_s, **limits)
        self.encoder = Encoder()
        self.encoder.add(Branch(self.ours.lane, self.ours.worker))

    def end(self, *bodies: bytes) -> None:
        for body in bodies:
            self.encoder.defer((_encode, ORIGIN, body))

    @property
    def got(self) -> list[Any]:
        return self.ours.consumer.got


@pytest.fixture
def encoding() -> Iterator[Encoding]:
    made = Encoding()
    yield made
    made.encoder.shutdown()


def test_flush(encoding: Encoding) -> None:
    """A flush delivers also what waits to be encoded, in its order, spans of the SDK's among them."""
    encoding.end(b"a", b"b")
    encoding.encoder.put(None, ORIGIN, b"c")
    encoding.end(b"d")
    assert encoding.encoder.force_flush(5_000)
    assert encoding.got == [b"a", b"b", b"c", b"d"]


def test_enough_of_them(encoding: Encoding) -> None:
    """As many as may wait are encoded at once, by whoever brings the last of them."""
    encoding.end(*[b"x"] * (WAITING_MOST - 1))
    assert (len(encoding.encoder.waiting), encoding.ours.lane.held_count) == (WAITING_MOST - 1, 0)
    encoding.end(b"x")
    assert (len(encoding.encoder.waiting), encoding.ours.lane.held_count) == (0, WAITING_MOST)


def test_one_alone() -> None:
    """One that nobody follows is delivered within the linger time, by a thread that its coming starts."""
    made = Encoding(0.05)
    assert made.ours.thread is None
    made.end(b"a")
    until(lambda: made.got == [b"a"])
    made.encoder.shutdown()


def test_after_the_end(encoding: Encoding) -> None:
    """What comes after the shutdown is dropped and counted, and does not wait."""
    encoding.end(b"a")
    encoding.encoder.shutdown()
    encoding.end(b"late")
    assert encoding.got == [b"a"]
    assert encoding.ours.lane.counts.dropped == {"already_shutdown": 1}
    assert not encoding.encoder.waiting


def test_one_that_cannot_be_encoded(encoding: Encoding) -> None:
    """It is lost alone."""
    encoding.end(b"a")
    encoding.encoder.defer((lambda *_: 1 / 0, ORIGIN))
    encoding.end(b"b")
    assert encoding.encoder.force_flush(5_000)
    assert encoding.got == [b"a", b"b"]


def test_a_flush_in_the_middle(encoding: Encoding) -> None:
    """A signal that flushes while some are encoded, on the same thread, delivers what is encoded and what waits."""
    seen = []

    def interrupted(one: tuple[Any, ...], _: bool) -> tuple[Any, bytes]:
        encoding.encoder.force_flush(5_000)
        seen[:] = encoding.got
        return None, one[2]

    encoding.end(b"a")
    encoding.encoder.defer((interrupted, ORIGIN, b"b"))
    encoding.end(b"c")
    encoding.encoder.settle()
    assert seen == [b"a", b"c"]
    assert encoding.encoder.force_flush(5_000)
    assert encoding.got == [b"a", b"c", b"b"]


def test_more_than_a_batch() -> None:
    """What is encoded together is cut into batches as what comes alone is, and bounded like it."""
    made = Encoding(batch_bytes=500, max_bytes=2_000)
    made.end(*[b"x" * 100] * 10)
    made.encoder.settle()
    assert (made.ours.lane.waiting, made.ours.lane.held_count) == (2, 10)
    made.encoder.shutdown()
    full = Encoding(batch_bytes=500, max_bytes=1_000)
    full.ours.consumer.act = lambda: (_ for _ in ()).throw(OSError)  # type: ignore[return-value]
    full.end(*[b"x" * 100] * 20)
    full.encoder.settle()
    assert full.ours.lane.held_bytes <= 1_000
    assert full.ours.lane.held_count + sum(full.ours.lane.counts.dropped.values()) == 20
    full.encoder.shutdown()


def test_threads(encoding: Encoding) -> None:
    """Eight threads at once: each one's arrive once, and few wait."""
    most = []

    def run(number: int) -> None:
        for count in range(5_000):
            encoding.end(b"%d:%d" % (number, count))
        most.append(len(encoding.encoder.waiting))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert encoding.encoder.force_flush(20_000)
    assert len(encoding.got) == len(set(encoding.got)) == 40_000
    assert max(most) < 2_000


def test_a_child_begins_empty(encoding: Encoding) -> None:
    """What waits in the parent is the parent's; the child's ids are others."""
    encoding.end(b"a")
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writing, b"%d %d" % (len(encoding.encoder.waiting), span_ids.new_span_id()))
        os._exit(0)
    os.waitpid(pid, 0)
    waiting, drawn = os.read(reading, 100).split()
    os.close(reading)
    os.close(writing)
    assert waiting == b"0"
    assert int(drawn) != span_ids.new_span_id()
    assert encoding.encoder.force_flush(5_000)
    assert encoding.got == [b"a"]


def test_ids_leave_random_alone() -> None:
    """Who seeds `random` gets the same numbers, however many spans there are."""
    random.seed(7)
    expected = random.random()
    random.seed(7)
    drawn = {span_ids.new_span_id() for _ in range(1_000)} | {span_ids.new_trace_id() for _ in range(1_000)}
    assert random.random() == expected
    assert len(drawn) == 2_000
    assert all(0 < one < 1 << 128 for one in drawn)


def test_ids_as_they_were() -> None:
    """What ended before the user was known does not get him, though it is encoded afterwards."""
    identity = here.Identity("visit-1", "req_1")
    before = identity.attributes
    alone = encode_for_span(identity)
    identity.set_user("user.hash", "abc")
    assert encode_as_it_was(identity, before) == alone
    assert encode_as_it_was(identity, identity.attributes) == encode_for_span(identity) != alone
