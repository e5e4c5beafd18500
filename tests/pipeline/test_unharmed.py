"""Whatever the far end does, requests take no longer than with one that is well, and memory stays within its cap."""

import statistics

import pytest

from tests.pipeline.far_end import Answer
from tests.pipeline.made import PROTOCOLS
from tests.pipeline.measure_unharmed import CAP, LIMIT, STATES, Compared, compare, row

SECONDS, PATIENCE_S = 3.0, 45.0
_found: dict[tuple[str, str], Compared] = {}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("state", STATES)
def test_unharmed(state: str, protocol: str) -> None:
    """The 99th percentile of the requests' time is not beyond doubt more than 1.05 times as long.

    Nor is their mean longer by a quarter, which would tell of single requests that wait long.
    """
    found = _found[state, protocol] = compare(STATES[state], protocol, SECONDS)
    assert not found.harmed, row(state, protocol, found)
    assert max(window.held for window in found.ill) <= CAP
    # Twice for what the allocator and a request under way take.
    assert found.ill[-1].memory_kib - found.well[-1].memory_kib < 2 * CAP / 1024 + 4_096


def test_unharmed_in_all() -> None:
    """The median of the paired ratios of the 99th percentile, of all these far ends, is at most 1.05."""
    ratios = []
    for state in STATES:
        for protocol in PROTOCOLS:
            found = _found.get((state, protocol)) or compare(STATES[state], protocol, SECONDS)
            ratios += found.ratios()
    assert statistics.median(ratios) <= LIMIT


@pytest.mark.parametrize(("mistake", "delay_s"), [("thread", 0.03), ("lock", 0.3)])
def test_a_mistake_is_seen(mistake: str, delay_s: float) -> None:
    """An application that waits for a slow far end, for each span's delivery or for a lock, fails the test above."""
    found = compare(Answer(delay_s=delay_s), "http", PATIENCE_S, mistake)  # ends as soon as it is beyond doubt
    assert found.harmed, row("slow", "http", found)
