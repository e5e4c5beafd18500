"""100,000 records from 16 threads with hostile content: one line each, valid JSON, the application unharmed."""

import io
import json
import logging
import threading
import time
from collections import Counter
from typing import Any

import otel_session
from otel_session import logs

THREADS, EACH = 16, 6_250
BIG = "x" * 10_000_000
RING: list[Any] = []
RING.append({"ring": RING})


class Raising:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Endless(dict):  # type: ignore[type-arg]
    def items(self) -> Any:
        while True:
            yield "k", "v"


# Message, arguments, extra.
HOSTILE: list[tuple[Any, tuple[Any, ...], dict[Any, Any]]] = [
    ("plain %d", (1,), {}),
    ("line\nbreaks\r\nand \u2028 \x85 others", (), {"order": "a\nb"}),
    ("nul \0", (), {"a\0b": "\0"}),
    ("lone \ud800", (), {"\udfff": "\ud9ff", "bytes": b"\xff\0"}),
    ("%s %s", ("too few",), {}),
    ("%d", (Raising(),), {"object": Raising()}),
    (Raising(), (), {"metadata": {"a": Raising(), Raising: 2}}),
    ("ring", (), {"ring": RING, "metadata": RING[0]}),
    ("endless", (), {"endless": Endless(a=1), "metadata": Endless(a=1)}),
    ("odd", (), {"operation": Raising(), "duration_ms": float("nan"), "success": Raising(), "error": Raising()}),
    ('{"fake": "line"}\n{"level": "ERROR"}', (), {"session_id": "forged", "level": "forged", "timestamp": 0}),
    ("nested", (), {"deep": [[[[[[[[[[1]]]]]]]]]], "many": {str(n): n for n in range(200)}}),
    ("secret", (), {"password": BIG, "n": 10**400, "inf": float("inf"), 7: 8, None: 9}),
]


def test_hostile_records() -> None:
    """Every record is one line of valid JSON with the ids of its own thread's session; 10 MB strings are cut."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.JsonFormatter())
    log = logging.Logger("hostile", logging.INFO)
    log.addHandler(handler)
    harmed = []

    def run(number: int) -> None:
        try:
            with otel_session.bound_session(f"{number:032x}"):
                for n in range(EACH):
                    message, args, extra = HOSTILE[n % len(HOSTILE)]
                    if n % 500 == 0:
                        message, args, extra = BIG, (), {"big": BIG}
                    if n % 50 == 1:
                        try:
                            raise KeyError(BIG[:5_000], "\ud800\n\0")
                        except KeyError:
                            log.exception(message, *args, extra={"thread_number": number, **extra})
                    else:
                        log.info(message, *args, extra={"thread_number": number, **extra})
        except BaseException as error:
            harmed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(THREADS)]
    started = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.process_time() - started
    assert harmed == []
    text = written.getvalue()
    found = text.splitlines()  # which ends lines at more characters than \n, too
    assert len(found) == text.count("\n") == THREADS * EACH
    of_thread: Counter[int] = Counter()
    for line in found:
        read = json.loads(line)
        assert read["session_id"] == f"{read['thread_number']:032x}"
        assert read["level"] in ("INFO", "ERROR")
        of_thread[read["thread_number"]] += 1
    assert of_thread == dict.fromkeys(range(THREADS), EACH)
    assert "xxxxxxxxxx… (cut, 10,000,000 characters)" in text
    assert max(map(len, found)) < 200_000
    assert took / (THREADS * EACH) < 1e-3
